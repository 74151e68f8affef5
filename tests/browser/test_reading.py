"""What readers make of pages in a real browser: times, printed pages, large letters."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import assert_fits, eventually
from tests.seeds import write_seeded
from tests.stores import NodeWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LATE_WALL_S = 1_795_995_000.0
"""2026-11-29 at 23:30 in UTC: half past midnight of the 30th in Berlin."""


@pytest.fixture
def store() -> Path:
    path = Path(os.environ["HPCTRACK_DIR"])
    writer = NodeWriter(path, project="vision", run="late", wall_s=LATE_WALL_S)
    session = writer.start(0, name="late", size=1, job={})
    writer.points("loss", 0, range(30), [1 / (step + 1) for step in range(30)])
    writer.end(0, session, exit_code=0)
    writer.close()
    return path


@pytest.fixture
def many(store: Path) -> Path:
    for number in range(60):
        config = {"optimizer": f"o{number % 12}", "lr": 0.1, "seed": number}
        write_seeded(store, f"r{number}", config, [0.5, 0.5 + number / 100], project="vision")
    return store


PAPER = """() => {
  const isCut = (box) =>
    box.clientHeight < box.scrollHeight - 1 && getComputedStyle(box).overflow !== "visible";
  const boxes = [...document.querySelectorAll(".grid-box, .scroll")];
  const clicked = document.querySelectorAll(".side, .top, .pager, button:not(.fold), a.button");
  return {
    isCut: boxes.some(isCut),
    clicks: [...clicked].filter((one) => one.checkVisibility()).length,
    theme: document.documentElement.dataset.theme,
  };
}"""


def count_pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_all_of_a_page_is_printed_in_light_colours_without_what_is_for_clicking(
    many: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(theme="dark")
    runs = ",".join(f"r{number}" for number in range(3))
    pages = {
        "runs?rows=100": (".runs tbody tr", 61, 2),
        "statistics": ("#groups tbody tr", 12, 2),
        f"diff?runs={runs}": (".differ tbody", 1, 1),
    }
    for path, (rows, at_least, sheets) in pages.items():
        go(page, path)
        expect(page.locator(rows).nth(at_least - 1)).to_be_attached()
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        paper = page.evaluate(PAPER)
        assert (paper["isCut"], paper["clicks"], paper["theme"]) == (False, 0, "light"), path
        expect(page.locator(rows).nth(at_least - 1)).to_be_visible()
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        eventually(lambda: page.evaluate("document.documentElement.dataset.theme"), "dark")
        page.emulate_media(media="null")
        assert count_pages(page.pdf(format="A4", landscape=True)) >= sheets, path


def go(page: Any, *parts: str) -> None:
    page.goto("/".join([page.url.split("/p/")[0].rstrip("/"), "p", "vision", *parts]))


def test_a_page_has_one_zone_and_the_filter_tells_its_own(
    store: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(zone="Europe/Berlin")
    go(page, "runs", "late")
    head = page.locator("[data-part=head] time").first
    expect(head).to_contain_text("30")
    expect(page.locator("#lane-zone")).to_contain_text("Nov 30, 2026, local time")
    expect(page.locator("#lane-zone")).to_have_attribute("title", "Europe/Berlin, UTC+01:00")
    expect(page.get_by_text("times in UTC")).to_have_count(0)
    expect(page.locator(".lane-tick").first).to_contain_text("00:30")
    go(page, "runs?filter=created+%3D%3D+2026-11-29")
    expect(page.locator(".runs tbody tr")).to_have_count(1)
    expect(page.locator("#filter-zone")).to_contain_text(
        "2026-11-29 is Nov 29, 01:00 to Nov 30, 01:00"
    )
    page.get_by_role("combobox", name="Filter runs").fill('name == "2026-11-29"')
    expect(page.locator("#filter-zone")).to_be_hidden()
    page = open_page(zone="UTC")
    go(page, "runs?filter=created+%3D%3D+2026-11-29")
    expect(page.locator(".runs tbody tr")).to_have_count(1)
    expect(page.locator("#filter-zone")).to_be_hidden()


def test_nothing_is_lost_in_the_systems_colours_or_in_large_letters(
    store: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page()
    page.emulate_media(forced_colors="active")
    go(page, "runs", "late")
    look = "one => getComputedStyle(one).backgroundColor"
    canvas = page.locator("body").evaluate(look)
    strip, lane = page.locator(".strip li").first, page.locator(".lane-bar").first
    eventually(lambda: canvas not in {strip.evaluate(look), lane.evaluate(look)})
    chosen = page.locator(".tabs a[aria-current]")
    line = "one => getComputedStyle(one).borderBottomColor"
    eventually(lambda: chosen.evaluate(line) != page.locator(".tabs a").nth(1).evaluate(line))
    page = open_page(width=640, height=430)
    for path in ("runs", "compare", "runs/late", "runs/late/ranks", "statistics"):
        go(page, path)
        expect(page.locator("main")).to_be_visible()
        assert_fits(page, said=path)


def test_a_card_shows_how_its_values_are_spread(
    store: Path, open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    page = open_page(theme="dark")
    go(page, "runs", "late", "charts")
    menu = page.locator(".panel > header .panel-menu, .panel .panel-menu").first
    menu.focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Distribution of its values").press("Enter")
    dialog = page.get_by_role("dialog", name="Distribution of loss")
    expect(dialog).to_contain_text("all 30 points of 1 rank")
    expect(dialog.locator(".distribution-bars i")).to_have_count(6)
    expect(dialog.locator("dl")).to_contain_text("Median")
    picture(page, "distribution")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(menu).to_be_focused()
