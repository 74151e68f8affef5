"""The Statistics page in a real browser: choices by pointer and keyboard, addresses, exports."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.axe import list_barriers
from tests.browser.driving import assert_fits, eventually
from tests.programs import wait_for
from tests.seeds import write_groups, write_seeded
from tests.unit.server.conftest import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GROUPS = {
    "sgd": [0.901, 0.912, 0.897, 0.905, 0.918, 0.903, 0.899, 0.911],
    "adamw": [0.931, 0.942, 0.928, 0.935, 0.927, 0.938, 0.933, 0.929],
    "lion": [0.928, 0.951, 0.902, 0.944, 0.917],
    "adafactor": [0.91, 0.93, 0.90],
}


@pytest.fixture
def store() -> Path:
    path = Path(os.environ["HPCTRACK_DIR"])
    write_groups(path, GROUPS, project="vision")
    for number, name in enumerate(HOSTILE):
        for seed in range(2):
            config = {"name": name, "seed": seed}
            value = 0.5 + number / 10 + seed / 100
            write_seeded(path, f"h-{number}-{seed}", config, [value], project="hostile")
    return path


def go(page: Any, project: str = "vision", query: str = "") -> None:
    base = page.url.split("/p/")[0].rstrip("/")
    page.goto(f"{base}/p/{project}/statistics{query}")


def wait_for_runs(page: Any, project: str, count: int) -> None:
    """Return when the server's table has all of a project's runs: pages show what is there."""
    ask = f"fetch('/api/v1/projects/{project}/runs').then((one) => one.json())"
    wait_for(lambda: page.evaluate(f"{ask}.then((said) => said.matches ?? 0)") >= count)


def wait_for_chart(page: Any) -> None:
    expect(page.locator("#intervals")).to_have_attribute("data-ready", "true")


def count_dots(page: Any) -> int:
    counted: int = page.evaluate("Bokeh.documents[0].get_model_by_name('points').data.x.length")
    return counted


def test_a_reader_finds_out_which_optimizer_is_better(
    store: Path, open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    page = open_page()
    page.get_by_role("link", name="vision").click()
    page.get_by_role("link", name="Statistics").click()
    expect(page.get_by_role("heading", name="Statistics")).to_be_visible()
    expect(page.get_by_text("24 runs in 4 groups")).to_be_visible()
    wait_for_chart(page)
    eventually(lambda: count_dots(page), 24)
    expect(page.locator("#intervals-caption")).to_contain_text("all 24 runs")
    picture(page, "statistics_light")

    page.get_by_label("Test").select_option("mann-whitney")
    expect(page).to_have_url(having("test=mann-whitney"))
    page.get_by_role("link", name=re.compile("use as baseline.*optimizer=sgd")).click()
    expect(
        page.locator("tr", has_text="optimizer=sgd").get_by_text("baseline", exact=True)
    ).to_be_visible()
    expect(page.get_by_label("Verdict")).to_contain_text("optimizer=adamw\u201d is better")
    bookmark = page.url
    page.go_back()
    expect(
        page.locator("tr", has_text="optimizer=adamw").get_by_text("baseline", exact=True)
    ).to_be_visible()

    other = open_page()
    other.goto(bookmark)
    expect(other.get_by_label("Test")).to_have_value("mann-whitney")
    expect(other.get_by_label("Verdict")).to_contain_text("optimizer=adamw\u201d is better")


def having(part: str) -> Any:
    """Return a pattern of addresses that have a part."""
    return re.compile(f".*{re.escape(part)}.*")


def test_groups_are_chosen_by_keyboard_alone(store: Path, open_page: Callable[..., Any]) -> None:
    page = open_page()
    go(page)
    page.locator("#keys summary").focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("checkbox", name="config.lr")
    box.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("checkbox", name="everything but seed")).not_to_be_checked()
    page.keyboard.press("Escape")
    expect(page).to_have_url(having("by=config.lr"))
    expect(page.get_by_text("24 runs in 1 group")).to_be_visible()
    expect(page).not_to_have_url(re.compile("filter="))


def test_tables_can_be_taken_along(store: Path, open_page: Callable[..., Any]) -> None:
    page = open_page()
    go(page)
    for name, start in (("LaTeX", "% needs"), ("CSV", "group,"), ("JSON", "{")):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=name, exact=True).click()
        assert Path(waiting.value.path()).read_text().startswith(start)


def test_groups_are_compared_over_tasks_and_the_address_says_so(
    store: Path, open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    lifts = {"old": 0.0, "new": 0.08, "<b>newest</b>": 0.1}
    for number, (algorithm, lift) in enumerate(lifts.items()):
        for at, task in enumerate(("pong", "breakout", "\u202eqbert", "x" * 300)):
            for seed in range(5):
                config = {"algorithm": algorithm, "game": task, "seed": seed}
                value = (at + 1) * (0.5 + lift + 0.03 * ((seed * 7 + at) % 5))
                run = f"{number}-{at}-{seed}"
                write_seeded(store, run, config, [value], project="atari")
    page = open_page()
    wait_for_runs(page, "atari", 60)
    go(page, "atari")
    page.locator("select[name=task]").select_option("config.game")
    expect(page).to_have_url(having("task=config.game"))
    expect(page.locator("#profile")).to_have_attribute("data-ready", "true")
    wait_for_chart(page)
    expect(page.get_by_role("heading", name="over 4 tasks")).to_be_visible()
    expect(page.get_by_label("Verdict")).to_contain_text("on a task, a run of it beats")
    expect(page.locator("#profile-caption")).to_contain_text("stratified bootstrap")
    lines = "Bokeh.documents.map((one) => one.get_model_by_name('lines')).find((one) => one)"
    eventually(lambda: page.evaluate(f"{lines}.data.xs.length"), 3)
    picture(page, "statistics_tasks")
    assert_fits(page)
    eventually(lambda: list_barriers(page), [])
    page.get_by_role("button", name="Light theme").or_(
        page.get_by_role("button", name="Dark theme")
    ).click()
    eventually(lambda: list_barriers(page), [])
    page.locator("select[name=scaling]").select_option("none")
    expect(page).to_have_url(having("scaling=none"))
    expect(page.get_by_label("What this takes for granted")).to_contain_text("as they are")
    for name, start in (("LaTeX", "% needs"), ("CSV", "group,")):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=name, exact=True).click()
        text = Path(waiting.value.path()).read_text()
        assert text.startswith(start)
        assert "iqm" in text.lower()
    page.go_back()
    expect(page.locator("select[name=scaling]")).to_have_value("range")


def test_what_cannot_be_understood_is_told_where_it_was_typed(
    store: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page()
    go(page, query="?test=magic")
    expect(page.get_by_role("alert")).to_contain_text("magic")
    go(page, query="?metric=summary.none")
    expect(page.get_by_text("No run has this number")).to_be_visible()


def test_hostile_names_are_text_and_everybody_can_read_the_page(
    store: Path, open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    page = open_page(theme="dark")
    go(page, "hostile")
    wait_for_chart(page)
    assert_fits(page)
    go(page)
    wait_for_chart(page)
    picture(page, "statistics_dark")
    eventually(lambda: list_barriers(page), [])
    page.get_by_role("button", name="Dark theme").click()
    eventually(lambda: list_barriers(page), [])
    wide = open_page(width=3840, height=1600)
    go(wide)
    wait_for_chart(wide)
    assert_fits(wide)
