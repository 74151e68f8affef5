"""Every page there is, over a store with one of everything: errors, other hosts, accessibility."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from hpctrack_server.pages.page import PROJECT, Page
from hpctrack_server.pages.registry import PAGES
from tests.browser.axe import list_barriers
from tests.browser.driving import eventually
from tests.unit.server.conftest import Zoo, make_zoo
from tests.wild import PROJECT as WILD
from tests.wild import RUNS, SWEEP, UNREADABLE, write_wild

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDEST = """() => [document.documentElement.scrollWidth, innerWidth]"""

FOREIGN = """main script:not([src^="/assets/"]), main iframe:not([sandbox])"""
"""What a run may not bring along."""

SETTLE_MS = 400
PLACES = (("p", "live"), ("p", "sealed"), ("hostile", "hostile-0"), ("empty", ""))
"""Projects and runs that each page is opened for."""


@pytest.fixture
def zoo() -> Iterator[Zoo]:
    """Fill the test's store with one of everything."""
    made = make_zoo(Path(os.environ["HPCTRACK_DIR"]))
    yield made
    made.writer.close()


def list_addresses() -> list[tuple[str, str]]:
    """Return the name and the address of every page, for each place that it can show."""
    found = []
    for name, page in PAGES.items():
        if name == "sweep":
            continue  # there is none in the zoo; tests/browser/test_sweeps.py has one
        for project, run in PLACES:
            parts = fill(page, project, run)
            if parts is not None and (name, parts) not in found:
                found.append((name, parts))
    return found


def fill(page: Page, project: str, run: str) -> str | None:
    """Return a page's address for a project and a run; None if it needs a run and there is none."""
    wanted = page.route.count(PROJECT)
    if wanted > 1 and not run:
        return None
    values = [quote(one, safe="") for one in (project, run)][:wanted]
    return "/" + "/".join(page.parts(*values)) if page.route != "/" else "/"


def list_wild_addresses() -> list[str]:
    """Return every page for everything in the wild store; what was drawn from it is in the place.

    Charts of a run with hostile names, and of all runs at once, are drawn by the scripts.
    """
    found = []
    for name, page in PAGES.items():
        runs = [SWEEP] if name == "sweep" else [*RUNS, *UNREADABLE]
        places = [(WILD, one) for one in runs] if page.route.count(PROJECT) > 1 else [(WILD, "")]
        found += [fill(page, *one) for one in places]
    grouped = f"/p/{WILD}/runs?group=%40config-but-seed"
    return [*dict.fromkeys(one for one in found if one), grouped]


def is_settled(page: Any) -> None:
    page.wait_for_load_state("load")
    page.wait_for_timeout(SETTLE_MS)
    page.evaluate("document.fonts.ready")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_fails_for_a_reader_or_for_axe(
    zoo: Zoo, open_page: Callable[..., Any], theme: str
) -> None:
    page = open_page(theme=theme)
    base = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    problems = []
    for name, address in list_addresses():
        answer = page.goto(base + address)
        assert answer.status == 200, address
        is_settled(page)
        problems += [f"{name} {address}: {one}" for one in list_barriers(page)]
        if page.locator("h1").count() != 1:
            problems.append(f"{address} has not one heading")
        eventually(lambda: page.title().endswith("hpctrack"), said=address)
    assert problems == []


@pytest.mark.parametrize("width", [1280, 3840])
def test_no_page_is_wider_than_its_window(
    zoo: Zoo, open_page: Callable[..., Any], width: int
) -> None:
    page = open_page(width=width, height=900 if width == 1280 else 2160)
    base = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    too_wide = []
    for _name, address in list_addresses():
        page.goto(base + address)
        is_settled(page)
        needed, there = page.evaluate(WIDEST)
        if needed > there + 1:
            too_wide.append((address, needed))
    assert too_wide == []


def test_every_page_can_be_reached_and_left_by_keyboard(
    zoo: Zoo, open_page: Callable[..., Any]
) -> None:
    """Tab leads through a page and out of it again, and what has the focus is visible."""
    page = open_page()
    base = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    for _name, address in list_addresses():
        if "/hostile" in address:
            continue
        page.goto(base + address)
        is_settled(page)
        seen = []
        for _ in range(12):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate(
                    """() => {
                      const one = document.activeElement;
                      const box = one.getBoundingClientRect();
                      const label = one.labels && one.labels[0] && one.labels[0].textContent;
                      const name = one.getAttribute("aria-label") || one.textContent || label || "";
                      const isVisible = box.width > 0 && box.height > 0;
                      return [one.tagName, isVisible, name.trim().slice(0, 40)];
                    }"""
                )
            )
        stops = [one for one in seen if one[0] != "BODY"]
        assert len(stops) >= 5, address
        assert all(is_visible for _tag, is_visible, _label in stops), (address, seen)
        assert len({tuple(one) for one in stops}) > 3, (address, "the focus is stuck")
        assert re.search("skip", str(seen[0][2]), re.IGNORECASE), address


@pytest.mark.timeout(1200)
def test_no_page_stumbles_over_huge_half_written_broken_or_hostile_runs(
    open_page: Callable[..., Any],
) -> None:
    """No error of a script, no other host, no dialog, nothing wider than its window."""
    write_wild(Path(os.environ["HPCTRACK_DIR"]))
    page = open_page()
    dialogs: list[str] = []

    def refuse(one: Any) -> None:
        dialogs.append(one.message)
        one.dismiss()

    page.on("dialog", refuse)
    base = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    problems = []
    for address in list_wild_addresses():
        answer = page.goto(base + address)
        assert answer.status == 200, address
        is_settled(page)
        needed, there = page.evaluate(WIDEST)
        if needed > there + 1:
            problems.append(f"{address} is {needed} wide")
        if page.locator("h1").count() != 1:
            problems.append(f"{address} has not one heading")
        if page.locator(FOREIGN).count():
            problems.append(f"{address} has a script of a run")
    assert (problems, dialogs) == ([], [])
