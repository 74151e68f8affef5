"""What is opened on a page — dialogs, menus, editors — for axe, and for readers with wishes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from scripts.benchmarks.made_compared import PROJECT, Shape, write_compared
from tests.browser.axe import list_barriers
from tests.browser.driving import eventually
from tests.stores import NodeWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OpenPage = Callable[..., Any]

STORE_PAGES = ("", f"p/{PROJECT}/runs", f"p/{PROJECT}/compare", "live")
MOVING = """() => document.getAnimations().map(({ animationName, transitionProperty, effect }) =>
  `${animationName ?? transitionProperty} of ${effect.target.className}`)"""


@pytest.fixture(autouse=True)
def compared() -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    store.mkdir(exist_ok=True)
    write_compared(store, Shape(runs=6, points=200, metrics=6))


def go(page: Any, path: str) -> None:
    page.goto(f"{'{0.scheme}://{0.netloc}'.format(urlsplit(page.url))}/{path}")


def check(page: Any, name: str, opened: Any) -> list[str]:
    """Wait for what was opened, and return what axe has against the page then."""
    expect(opened.first).to_be_visible()
    found = [f"{name}: {one}" for one in list_barriers(page)]
    page.keyboard.press("Escape")
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_the_runs_page_opens_has_no_barrier(open_page: OpenPage, theme: Any) -> None:
    page = open_page(theme=theme)
    go(page, f"p/{PROJECT}/runs")
    found = []
    for label, title in (("Group", "Group runs"), ("Columns", "Columns")):
        page.get_by_role("button", name=label, exact=True).click()
        found += check(page, label, page.get_by_role("dialog", name=title))
    page.locator("#views > summary").click()
    found += check(page, "views", page.locator("#views .drop"))
    page.locator('[data-part="exports"] summary').click()
    found += check(page, "export", page.locator('[data-part="exports"] .drop'))
    page.keyboard.press("?")
    found += check(page, "keys", page.get_by_role("dialog", name="Keys"))
    page.keyboard.press("Control+K")
    found += check(page, "go to", page.get_by_role("listbox", name="Goals").get_by_role("option"))
    page.locator("tbody input[type=checkbox]").nth(1).check()
    toolbar = page.get_by_role("toolbar")
    toolbar.get_by_role("button", name="Tag…", exact=True).click()
    found += check(page, "tag", page.get_by_role("dialog", name="Tag 1 run"))
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("e")
    found += check(page, "name", page.locator("input.cell-input"))
    page.get_by_role("combobox", name="Filter runs").click()
    page.keyboard.type("config.")
    found += check(page, "completions", page.get_by_role("option"))
    page.keyboard.type("lr >")
    page.keyboard.press("Enter")
    found += check(page, "problem", page.locator(".problem"))
    assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_a_saved_view_opens_has_no_barrier(open_page: OpenPage, theme: Any) -> None:
    page = open_page(theme=theme)
    go(page, f"p/{PROJECT}/runs")
    menu = page.locator("#views > summary")
    menu.click()
    page.get_by_role("button", name="Save as new view").click()
    found = check(page, "ask", page.get_by_role("dialog", name="Save this view as"))
    menu.click()
    page.get_by_role("button", name="Save as new view").click()
    page.keyboard.type("mine")
    page.keyboard.press("Enter")
    expect(menu).to_have_text("mine")
    menu.click()
    page.get_by_role("button", name="Change the view mine").click()
    found += check(page, "change", page.get_by_role("dialog", name="mine"))
    menu.click()
    page.get_by_role("button", name="Change the view mine").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    found += check(page, "message", page.locator(".message"))
    assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_the_compare_page_opens_has_no_barrier(open_page: OpenPage, theme: Any) -> None:
    page = open_page(theme=theme)
    go(page, f"p/{PROJECT}/compare?group=config.optimizer")
    expect(page.locator('.panel[data-title="grad_norm"][data-ready=true]')).to_be_visible()
    found = []
    page.get_by_role("button", name="Workspace").click()
    found += check(page, "workspace", page.get_by_role("menu"))
    page.get_by_role("button", name="Add panel").click()
    found += check(page, "add", page.get_by_role("dialog", name="Add a panel"))
    menu = page.get_by_role("button", name="Menu of grad_norm", exact=True)
    menu.click()
    found += check(page, "card", page.get_by_role("menu"))
    menu.click()
    page.get_by_role("menuitem", name="Settings").click()
    found += check(page, "settings", page.get_by_role("dialog", name="Settings of this panel"))
    menu.click()
    page.get_by_role("menuitem", name="Full screen").click()
    found += check(page, "full", page.get_by_role("dialog", name="grad_norm"))
    page.locator("#tools summary").click()
    found += check(page, "axes", page.locator("#tools details[open]"))
    page.locator("#rail summary").first.click()
    found += check(page, "which runs", page.locator("#rail details[open]"))
    page.locator("#rail .swatch").first.click()
    found += check(page, "colours", page.get_by_role("group", name="Colours"))
    page.locator(".panel-box").first.focus()
    page.keyboard.press("ArrowRight")
    found += check(page, "tip", page.locator("#tip"))
    assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_parallel_coordinates_and_statistics_open_has_no_barrier(
    open_page: OpenPage, theme: Any
) -> None:
    page = open_page(theme=theme)
    go(page, f"p/{PROJECT}/parallel")
    expect(page.locator("[data-ready=true] .axis-column").first).to_be_visible()
    page.locator(".axis-head").first.click()
    found = check(page, "axis", page.get_by_role("menu"))
    page.locator(".axis-column").first.focus()
    page.keyboard.press("Enter")
    found += check(page, "brush", page.locator(".brush"))
    go(page, f"p/{PROJECT}/statistics")
    page.locator("details.pick > summary, .pick summary").first.click()
    found += check(page, "groups", page.locator("details[open]"))
    assert found == []


@pytest.fixture
def running() -> Iterator[None]:
    """A run that goes on: its state is what pulses."""
    writer = NodeWriter(
        Path(os.environ["HPCTRACK_DIR"]), project=PROJECT, run="now", wall_s=time.time()
    )
    writer.start(0, name="goes on")
    writer.points("grad_norm", 0, range(3), [1.0, 0.5, 0.2])
    writer.flush()
    yield
    writer.close()


def test_nothing_moves_for_whom_motion_disturbs(running: None, open_page: OpenPage) -> None:
    page = open_page()
    go(page, STORE_PAGES[1])
    expect(page.locator(".pill.running")).to_be_visible()
    page.emulate_media(reduced_motion="no-preference")
    eventually(lambda: page.evaluate(MOVING) != [], said="else this test would prove nothing")
    page.emulate_media(reduced_motion="reduce")
    for path in STORE_PAGES:
        go(page, path)
        page.wait_for_load_state("load")
        eventually(lambda: page.evaluate(MOVING), [], said=path)
