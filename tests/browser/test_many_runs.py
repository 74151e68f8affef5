"""More runs than an address, a figure or a panel can hold: what is left out is said."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

import hpctrack
from hpctrack.store.seal import seal_run
from scripts.benchmarks.made_compared import PROJECT, Shape, write_compared
from tests.browser.driving import eventually
from tests.browser.test_panels import add_panel
from tests.media_writing import write_media
from tests.stores import START_S, NodeWriter, write_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RUNS = 201
"""One more than a page of the table holds; the ids of a page are too many for an address."""


@pytest.fixture
def many(open_page: Callable[..., Any]) -> Callable[[str], Any]:
    """Return a function that opens a page of a project with many runs."""
    store = Path(os.environ["HPCTRACK_DIR"])
    store.mkdir(exist_ok=True)
    write_compared(store, Shape(runs=RUNS, points=4, metrics=1))

    def make(path: str) -> Any:
        page = open_page()
        page.goto(re.sub(r"/(\?.*)?$", f"/p/{PROJECT}/{path}", page.url))
        return page

    return make


def pick_page(page: Any) -> None:
    """Pick every run of the table's page, once the index knows all runs."""
    expect(page.locator("[data-part='place']")).to_have_attribute("data-matches", str(RUNS))
    expect(page.locator(".runs tbody tr[data-run]")).to_have_count(200)
    page.get_by_label("Select all runs of this page").check()


def test_a_selection_that_is_too_long_for_an_address_is_kept_by_the_server(
    many: Callable[[str], Any],
) -> None:
    page = many("runs?rows=200")
    pick_page(page)
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#rail [role=status]").first).to_have_text("200 runs")
    expect(page).to_have_url(re.compile(r"\?selection=[0-9a-f]+$"))
    page.reload()
    expect(page.locator("#rail [role=status]").first).to_have_text("200 runs")
    page.get_by_label("Find runs").fill("ember")
    expect(page).not_to_have_url(re.compile("selection"))
    expect(page.locator("#rail [role=status]").first).not_to_have_text("200 runs")


def test_all_that_match_are_compared_and_not_the_newest_of_them(
    many: Callable[[str], Any],
) -> None:
    page = many("runs?rows=200")
    pick_page(page)
    page.get_by_role("button", name=f"Select all {RUNS} that match").click()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#rail [role=status]").first).to_have_text(f"{RUNS} runs")
    expect(page).to_have_url(re.compile("limit=10000"))


def test_a_run_that_is_taken_out_of_all_that_match_leaves_the_others_selected(
    many: Callable[[str], Any],
) -> None:
    page = many("runs?rows=200")
    pick_page(page)
    page.get_by_role("button", name=f"Select all {RUNS} that match").click()
    boxes = page.locator(".runs tbody tr[data-run] input[type=checkbox]")
    boxes.nth(3).uncheck()
    bar = page.get_by_role("toolbar", name="What to do with the selected runs")
    expect(bar).to_contain_text(f"{RUNS - 1} selected: all that match but 1")
    expect(boxes.nth(3)).not_to_be_checked()
    expect(boxes.nth(4)).to_be_checked()
    bar.get_by_role("button", name="Archive").click()
    expect(page.get_by_text(f"Archived {RUNS - 1} runs")).to_be_visible()
    expect(page.locator("[data-part='place']")).to_have_attribute("data-matches", "1")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[data-part='place']")).to_have_attribute("data-matches", str(RUNS))

    pick_page(page)
    page.get_by_role("button", name=f"Select all {RUNS} that match").click()
    boxes.nth(3).uncheck()
    boxes.nth(5).uncheck()
    bar.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#rail [role=status]").first).to_have_text(f"{RUNS - 2} runs")


def test_exceptions_end_with_the_filter_they_were_made_of_and_that_is_said(
    many: Callable[[str], Any],
) -> None:
    page = many("runs?rows=200")
    pick_page(page)
    page.get_by_role("button", name=f"Select all {RUNS} that match").click()
    page.locator(".runs tbody tr[data-run] input[type=checkbox]").nth(3).uncheck()
    page.locator("#name-search").fill("ember")
    expect(page.get_by_text("Nothing is selected any more")).to_be_visible()
    expect(page.locator("#selection")).to_be_hidden()
    expect(page.locator(".runs tbody tr.is-picked")).to_have_count(0)


def test_the_bar_of_the_selection_covers_nothing_of_the_table(many: Callable[[str], Any]) -> None:
    page = many("runs?rows=200")
    for width, height in ((1280, 860), (1600, 500), (600, 800)):
        page.set_viewport_size({"width": width, "height": height})
        pick_page(page)
        expect(page.locator("#selection")).to_be_in_viewport(ratio=1)
        page.locator(".pager").scroll_into_view_if_needed()
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_function(
            "() => document.getElementById('selection').getBoundingClientRect().top"
            " >= document.querySelector('.pager').getBoundingClientRect().bottom"
        )
        page.keyboard.press("Escape")
        expect(page.locator("#selection")).to_be_hidden()


def test_the_rail_says_how_many_are_left_out_and_brings_them(many: Callable[[str], Any]) -> None:
    page = many("compare")
    count = page.locator("#rail [role=status]").first
    expect(count).to_have_text(f"20 of {RUNS} runs")
    rest = page.locator(".rail-limit")
    expect(rest).to_contain_text(f"{RUNS - 20} left out")
    rest.get_by_role("button", name="Show 50").click()
    expect(count).to_have_text(f"50 of {RUNS} runs")
    rest.get_by_role("button", name="Show all").click()
    expect(count).to_have_text(f"{RUNS} runs")
    expect(rest).to_be_hidden()
    page.go_back()
    expect(count).to_have_text(f"50 of {RUNS} runs")


def test_media_of_more_runs_than_fit_are_gone_through(open_page: Callable[..., Any]) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    store.mkdir(exist_ok=True)
    for number in range(15):
        writer = NodeWriter(store, run=f"r{number:02}", wall_s=START_S + number)
        session = writer.start(0, name=f"run {number:02}")
        write_media(writer, hpctrack.Html(f"<p>{number}</p>"), key="page", step=1)
        writer.end(0, session)
        writer.close()
    page = open_page()
    page.goto(re.sub(r"/(\?.*)?$", "/p/p/compare?sort=created", page.url))
    panel = add_panel(page, "media")
    expect(panel.locator("section.media-run")).to_have_count(12)
    expect(panel.locator(".caption")).to_contain_text("runs 1 to 12 of 15")

    def lower_edge(box: dict[str, float]) -> float:
        return box["y"] + box["height"]

    inner = panel.locator(".side-by-side")
    eventually(
        lambda: lower_edge(inner.bounding_box()) <= lower_edge(panel.bounding_box()),
        said="scrolled to, in the card",
    )
    following = panel.get_by_role("button", name="Next runs")
    following.click()
    expect(panel.locator("section.media-run")).to_have_count(3)
    expect(panel.locator("section.media-run").first).to_have_attribute("aria-label", "run 12")
    expect(panel.locator(".caption")).to_contain_text("runs 13 to 15 of 15")
    expect(following).to_be_disabled()
    expect(panel.get_by_role("button", name="Previous runs")).to_be_focused()
    page.reload()
    expect(panel.locator("section.media-run").first).to_have_attribute("aria-label", "run 12")
    panel.get_by_role("button", name="Previous runs").press("Enter")
    expect(panel.locator("section.media-run")).to_have_count(12)


def test_the_rail_names_the_runs_that_cannot_be_read(open_page: Callable[..., Any]) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    store.mkdir(exist_ok=True)
    seal_run(write_run(store, run="whole"))
    broken = write_run(store, run="torn", steps=500)
    seal_run(broken)
    (broken / "run.h5").write_bytes((broken / "run.h5").read_bytes()[:3000])
    page = open_page()
    page.goto(re.sub(r"/(\?.*)?$", "/p/p/compare?runs=torn,whole", page.url))
    expect(page.locator("#rail [role=status]").first).to_have_text("1 run")
    told = page.locator(".rail-broken")
    told.get_by_text("1 run cannot be read").click()
    expect(told.get_by_role("listitem")).to_contain_text("torn")
    expect(told.get_by_role("link", name="torn")).to_be_visible()
    expect(page.locator("#rail")).not_to_contain_text("Not there")
