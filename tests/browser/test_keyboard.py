"""The dashboard by keyboard only: no test of this file has a mouse."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from scripts.benchmarks.made_compared import PROJECT, Shape, write_compared
from scripts.benchmarks.made_ranks import RankShape, write_ranks
from scripts.benchmarks.made_runs import PROJECT as RANKS_PROJECT
from tests.browser.driving import log_run
from tests.browser.keys import assert_trapped, tab_to, use
from tests.browser.test_media import write_run
from tests.programs import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHAPE = Shape(runs=8, points=300, metrics=6)
OpenPage = Callable[..., Any]


@pytest.fixture
def store() -> Path:
    path = Path(os.environ["HPCTRACK_DIR"])
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture
def compared(store: Path) -> Path:
    write_compared(store, SHAPE)
    return store


def go(page: Any, path: str) -> Any:
    page.goto(f"{'{0.scheme}://{0.netloc}'.format(urlsplit(page.url))}/{path}")
    return page


def rows(page: Any) -> Any:
    return page.locator("tbody tr[data-run]")


def panel(page: Any, title: str) -> Any:
    return page.locator(f'.panel[data-title="{title}"][data-ready=true]')


def test_projects_lead_to_a_run_and_its_pages(compared: Path, open_page: OpenPage) -> None:
    page = open_page()
    use(page, page.get_by_role("link", name=PROJECT, exact=True))
    expect(rows(page)).to_have_count(SHAPE.runs)
    wait_for(lambda: page.keyboard.press("j") or page.locator("tr[data-run] a:focus").count())
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/runs/compared-\d+$"))
    for tab in ("Charts", "Config"):
        use(page, page.get_by_role("link", name=tab, exact=True))
        expect(page).to_have_url(re.compile(f"/{tab.lower()}$"))
    page.go_back()
    expect(page).to_have_url(re.compile("/charts$"))
    use(page, page.get_by_role("link", name="Skip to content"))
    expect(page.locator("#main")).to_be_focused()


def test_runs_are_filtered_sorted_tagged_and_compared(compared: Path, open_page: OpenPage) -> None:
    page = go(open_page(), f"p/{PROJECT}/runs")
    expect(rows(page)).to_have_count(SHAPE.runs)
    page.keyboard.press("/")
    page.keyboard.type("config.opt")
    expect(page.get_by_role("option", name="config.optimizer")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type('== "lion"')
    expect(rows(page)).to_have_count(4)
    page.keyboard.press("Escape")  # the completions
    name = page.get_by_role("columnheader", name="Name").get_by_role("link")
    use(page, name)
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "ascending"
    )

    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    tag = page.get_by_role("toolbar").get_by_role("button", name="Tag…", exact=True)
    use(page, tag)
    assert_trapped(page, page.get_by_role("dialog", name="Tag 2 runs"), stops=6)
    page.keyboard.press("Escape")
    expect(tag).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("golden")
    page.keyboard.press("Enter")
    expect(page.locator("bdi.tag", has_text="golden")).to_have_count(2)
    use(page, page.get_by_role("button", name="Undo"))
    expect(page.locator("bdi.tag", has_text="golden")).to_have_count(0)

    page.keyboard.press("c")
    expect(page).to_have_url(re.compile(r"/compare\?runs=compared-\d+%2Ccompared-\d+"))


def test_a_run_is_renamed_in_its_row_and_keeps_the_focus(
    compared: Path, open_page: OpenPage
) -> None:
    page = go(open_page(), f"p/{PROJECT}/runs")
    expect(rows(page)).to_have_count(SHAPE.runs)
    page.keyboard.press("j")
    link = rows(page).first.locator(".named a")
    before = link.inner_text()
    field = page.get_by_role("textbox", name="Name", exact=True)
    page.keyboard.press("e")
    expect(field).to_be_focused()
    page.keyboard.type("never kept")
    page.keyboard.press("Escape")
    expect(link).to_have_text(before)
    expect(link).to_be_focused()
    page.keyboard.press("e")
    expect(field).to_be_focused()
    page.keyboard.type("renamed by keys")
    page.keyboard.press("Enter")
    expect(link).to_have_text("renamed by keys")
    expect(link).to_be_focused()
    page.reload()
    expect(link).to_have_text("renamed by keys")


def test_dialogs_of_the_runs_page_hold_the_focus_and_give_it_back(
    compared: Path, open_page: OpenPage
) -> None:
    page = go(open_page(), f"p/{PROJECT}/runs")
    expect(rows(page)).to_have_count(SHAPE.runs)
    for label, title in (("Group", "Group runs"), ("Columns", "Columns")):
        button = page.get_by_role("button", name=label, exact=True)
        use(page, button)
        dialog = page.get_by_role("dialog", name=title)
        assert_trapped(page, dialog)
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(button).to_be_focused()
    for selector in ("#views > summary", '[data-part="exports"] summary'):
        summary = page.locator(selector)
        use(page, summary)
        page.keyboard.press("Tab")
        assert summary.locator("xpath=..").evaluate("one => one.contains(document.activeElement)")
        page.keyboard.press("Escape")
        expect(summary).to_be_focused()
        expect(summary.locator("xpath=..")).not_to_have_attribute("open", "")
    page.keyboard.press("Control+K")
    assert_trapped(page, page.get_by_role("dialog", name="Go to"), stops=4)
    page.keyboard.press("Escape")
    expect(page.locator('[data-part="exports"] summary')).to_be_focused()


def test_panels_are_added_moved_resized_set_and_zoomed(compared: Path, open_page: OpenPage) -> None:
    page = go(open_page(), f"p/{PROJECT}/compare")
    expect(panel(page, "grad_norm")).to_be_visible()
    add = page.get_by_role("button", name="Add panel")
    use(page, add)
    dialog = page.get_by_role("dialog", name="Add a panel")
    assert_trapped(page, dialog, stops=10)
    page.keyboard.press("Escape")
    expect(add).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Metric or expression"))
    page.keyboard.type("log(grad_norm)")
    page.keyboard.press("Enter")
    expect(panel(page, "log(grad_norm)")).to_be_visible()

    handle = page.get_by_role("button", name="Move or resize grad_norm", exact=True)
    use(page, handle, "ArrowRight")
    expect(page.locator("#announce")).to_contain_text("is panel")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#announce")).to_contain_text("7 columns")
    expect(handle).to_be_focused()

    menu = page.get_by_role("button", name="Menu of grad_norm", exact=True)
    use(page, menu)
    items = page.get_by_role("menuitem")
    expect(items.first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(items.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(items.last).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # the settings come first
    settings = page.get_by_role("dialog", name="Settings of this panel")
    assert_trapped(page, settings, stops=20)
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()

    chart = panel(page, "grad_norm").locator(".panel-box")
    use(page, chart, "+")
    expect(page).to_have_url(re.compile("zoom="))
    page.keyboard.press("0")
    expect(page).not_to_have_url(re.compile("zoom="))


def test_groups_are_hidden_by_the_entries_of_a_legend(compared: Path, open_page: OpenPage) -> None:
    page = go(open_page(), f"p/{PROJECT}/compare?group=config.optimizer")
    card = panel(page, "grad_norm")
    entry = card.locator(".line-legend button").first
    use(page, entry, " ")
    expect(entry).to_have_attribute("aria-pressed", "false")
    expect(entry).to_be_focused()
    expect(card.locator(".caption")).to_contain_text("1 group hidden")
    page.keyboard.press(" ")
    expect(entry).to_have_attribute("aria-pressed", "true")
    expect(card.locator(".caption")).not_to_contain_text("hidden")


def test_axes_of_parallel_coordinates_are_brushed(compared: Path, open_page: OpenPage) -> None:
    page = go(open_page(), f"p/{PROJECT}/parallel")
    expect(page.locator("[data-ready=true] .axis-column").first).to_be_visible()
    axis = page.locator('.axis-column[data-key="config.lr"]')
    use(page, axis)
    brush = page.get_by_role("slider", name=re.compile("Brush 1 of config.lr"))
    expect(brush).to_be_focused()
    before = brush.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowUp")
    expect(brush).not_to_have_attribute("aria-valuetext", str(before))
    expect(page).to_have_url(re.compile("brush|axes"))
    page.keyboard.press("Delete")
    expect(brush).to_have_count(0)
    expect(axis).to_be_focused()
    head = page.locator('.axis-head[data-key="config.lr"]')
    use(page, head)
    expect(page.get_by_role("menuitem", disabled=False).first).to_be_focused()
    page.keyboard.press("Escape")
    expect(head).to_be_focused()


def test_heat_map_is_read_by_its_cursor(store: Path, open_page: OpenPage) -> None:
    write_ranks(store, "many", RankShape(nodes=2, ranks=4, steps=400, spikes=2, slow_node=1))
    page = go(open_page(), f"p/{RANKS_PROJECT}/runs/many/ranks")
    expect(page.locator("#matrix[data-ready=true]")).to_be_visible()
    picture = page.locator("#matrix .picture")
    use(page, picture, "ArrowRight")
    speech = page.locator("#speech")
    expect(speech).to_contain_text(re.compile(r"rank \d, step \d+: \S+ on node00\d"))
    before = speech.inner_text()
    page.keyboard.press("ArrowDown")
    expect(speech).not_to_have_text(before)
    page.keyboard.press("+")
    expect(page).to_have_url(re.compile("x0="))
    page.keyboard.press("0")
    expect(page).not_to_have_url(re.compile("x0="))


def test_media_step_by_step(store: Path, open_page: OpenPage) -> None:
    write_run(store, "first")
    page = go(open_page(height=320), "p/vision/runs/first/media")
    card = page.locator(".media-card", has_text="val/pictures").first
    tab_to(page, card.get_by_role("slider").first)
    expect(card).to_have_attribute("data-ready", "20")
    page.keyboard.press("Home")
    expect(card).to_have_attribute("data-ready", "0")
    page.keyboard.press("ArrowRight")
    expect(card).to_have_attribute("data-ready", "10")
    left = page.locator(".media-card:not([data-ready])")  # fetched when they are on the screen
    wait_for(lambda: page.keyboard.press("Tab") or not left.count())


def test_console_is_searched(store: Path, open_page: OpenPage) -> None:
    log_run("talks", ranks=1, steps=3)
    page = go(open_page(), "p/vision/runs")
    expect(rows(page)).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    use(page, page.get_by_role("link", name="Console", exact=True))
    expect(page).to_have_url(re.compile("/console$"))
    page.wait_for_load_state("load")  # nobody listens to keys before
    page.keyboard.press("/")
    expect(page.locator("#search input").first).to_be_focused()
    page.keyboard.type("nothing like it")
    page.keyboard.press("Enter")
    expect(page.locator("#hits")).to_have_text(re.compile("0|no", re.IGNORECASE))
