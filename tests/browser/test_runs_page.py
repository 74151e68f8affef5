"""The table of runs in a real browser: by pointer, by keyboard, by address, while runs go on."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from hpctrack.store.schema import EventKind
from tests.browser.driving import assert_fits, eventually
from tests.stores import NodeWriter
from tests.unit.server.conftest import HOSTILE, write_hostile

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PROJECT = "flow-surrogate"
RUNS = 60
OPTIMIZERS = ("adamw", "sgd", "lion")
WORDS = ("deft", "bold", "lunar", "eager", "crisp")


def write_one(store: Path, number: int, *, is_live: bool = False) -> tuple[NodeWriter, int]:
    """Write a run as an agent would; return its writer and session."""
    dice = random.Random(number)
    begun_s = time.time() - 3600 * (RUNS - number)
    writer = NodeWriter(store, project=PROJECT, run=f"r{number:03d}", wall_s=begun_s)
    name = f"{WORDS[number % len(WORDS)]}-river-{number:03d}"
    session = writer.start(0, name=name, user=("chen", "dara")[number % 2], size=4, job={})
    config = {
        "lr": 10 ** dice.uniform(-4, -2), "optimizer": OPTIMIZERS[number % 3], "seed": number % 4,
    }  # fmt: skip
    writer.event(EventKind.CONFIG, config)
    writer.event(EventKind.DEFINE, {"name": "val/loss", "goal": "minimize"})
    writer.event(EventKind.META, {"tags": ["paper"] if number % 5 == 0 else [], "notes": ""})
    floor = 0.3 + number / 100
    writer.points("val/loss", 0, range(30), [2 * math.exp(-step / 9) + floor for step in range(30)])
    if not is_live:
        writer.end(0, session, exit_code=1 if number % 10 == 9 else 0)
        writer.close()
    return writer, session


@pytest.fixture
def store() -> Path:
    """Fill the test's store with a project of many runs."""
    path = Path(os.environ["HPCTRACK_DIR"])
    for number in range(RUNS):
        write_one(path, number)
    return path


@pytest.fixture
def end_live(store: Path) -> Iterator[Callable[[], None]]:
    """Add a run that goes on, and return what makes it fail."""
    writer, session = write_one(store, RUNS, is_live=True)
    writer.flush()
    done: list[bool] = []

    def end() -> None:
        writer.end(0, session, exit_code=1)
        writer.close()
        done.append(True)

    yield end
    if not done:
        writer.close()


@pytest.fixture
def runs(store: Path, open_page: Callable[..., Any]) -> Any:
    """Open the table."""
    del store
    return open_runs(open_page())


def open_runs(page: Any, query: str = "") -> Any:
    """Open the table of the project, as if by a link that somebody sent."""
    page.goto(f"{page.url.rstrip('/')}/p/{PROJECT}/runs{query}")
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    return page


def rows(page: Any) -> Any:
    """Return the runs that are shown."""
    return page.locator("tbody tr[data-run]")


def show(run: str) -> dict[str, Any]:
    """Return a run as the command line shows it."""
    words = [sys.executable, "-m", "hpctrack", "show", f"{PROJECT}/{run}", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return dict(json.loads(done.stdout))


def test_headings_sort_and_the_back_button_goes_back(runs: Any) -> None:
    expect(rows(runs)).to_have_count(50)
    head = runs.get_by_role("columnheader", name="val/loss")
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(rows(runs).first).to_have_attribute("data-run", "r000")
    head.get_by_role("link").click()
    expect(rows(runs).first).to_have_attribute("data-run", "r059")
    runs.get_by_role("columnheader", name="optimizer").get_by_role("link").click(
        modifiers=["Shift"]
    )
    expect(runs).to_have_url(re.compile(r"sort=-summary\.val%2Floss%2Cconfig\.optimizer"))
    runs.get_by_role("link", name="Next").click()
    expect(rows(runs)).to_have_count(10)
    runs.go_back()
    expect(rows(runs)).to_have_count(50)
    runs.go_back()
    runs.go_back()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(rows(runs).first).to_have_attribute("data-run", "r000")


def test_filter_is_completed_applied_and_says_what_is_wrong_where(runs: Any) -> None:
    runs.keyboard.press("/")
    runs.keyboard.type("config.opt")
    option = runs.get_by_role("option", name="config.optimizer")
    expect(option).to_be_visible()
    runs.keyboard.press("ArrowDown")
    runs.keyboard.press("Enter")
    field = runs.get_by_role("combobox", name="Filter runs")
    expect(field).to_have_value(re.compile("^config.optimizer "))
    runs.keyboard.type('== "sgd" and summary.val/loss < 0.6 andd')
    expect(runs.get_by_role("alert")).to_contain_text("andd")
    expect(runs.locator(".problem mark")).to_have_text("andd")
    expect(rows(runs)).not_to_have_count(0)  # the table waits
    for _ in range(4):
        runs.keyboard.press("Backspace")
    expect(runs.locator("#filter-problem")).to_be_empty()
    expect(rows(runs)).to_have_count(8)
    expect(runs.locator('[data-part="count"]')).to_have_text("8 of 60 runs")
    runs.reload()
    expect(rows(runs)).to_have_count(8)
    expect(field).to_have_value(re.compile("sgd"))
    runs.get_by_role("searchbox", name=re.compile("names")).fill("^(bold|lunar)-.*4$")
    expect(rows(runs)).to_have_count(0)
    expect(runs.get_by_text("Nothing matches")).to_be_visible()
    runs.get_by_role("link", name="Show all runs").click()
    expect(rows(runs)).to_have_count(50)
    runs.get_by_role("button", name=re.compile("^failed")).click()
    expect(rows(runs)).to_have_count(6)
    expect(runs).to_have_url(re.compile("state=failed"))


def test_enter_closes_completions_so_that_the_error_is_seen(runs: Any) -> None:
    field = runs.get_by_role("combobox", name="Filter runs")
    field.click()
    runs.keyboard.type("config.lr >", delay=5)
    runs.keyboard.press("Enter")
    expect(runs.get_by_role("alert")).to_contain_text("a value is missing")
    runs.wait_for_timeout(400)  # longer than what was typed waits for its completions
    expect(runs.locator("#completions")).to_be_hidden()


def test_enter_asks_the_server_once(runs: Any) -> None:
    field = runs.locator("#filter-text")
    asked: list[str] = []
    runs.on("request", lambda one: asked.append(one.url) if "/runs?filter=" in one.url else None)
    field.fill('config.optimizer == "sgd"')
    field.press("Enter")
    expect(runs.locator("tr[data-run]")).to_have_count(RUNS // 3)
    field.press("Enter")
    runs.wait_for_timeout(400)  # what typing asks for would be on its way
    assert len(asked) == 1
    field.fill('config.optimizer == "lion"')
    expect(runs).to_have_url(re.compile("lion"))
    field.press("Enter")
    assert len(asked) == 2


def test_completions_behind_an_emoji_replace_the_right_word(runs: Any) -> None:
    field = runs.get_by_role("combobox", name="Filter runs")
    field.fill('name == "\N{GRINNING FACE}\N{GRINNING FACE}" and config.opt')
    expect(runs.get_by_role("option", name="config.optimizer")).to_be_visible()
    runs.keyboard.press("ArrowDown")
    runs.keyboard.press("Enter")
    expect(field).to_have_value(
        'name == "\N{GRINNING FACE}\N{GRINNING FACE}" and config.optimizer '
    )


def test_table_is_worked_by_keyboard_only(runs: Any) -> None:
    runs.keyboard.press("j")
    expect(rows(runs).first.get_by_role("link")).to_be_focused()
    runs.keyboard.press("x")
    runs.keyboard.press("ArrowDown")
    runs.keyboard.press("x")
    toolbar = runs.get_by_role("toolbar")
    expect(toolbar).to_contain_text("2 selected")
    runs.keyboard.press("Escape")
    expect(toolbar).to_be_hidden()
    runs.keyboard.press("?")
    expect(runs.get_by_role("dialog", name="Keys")).to_be_visible()
    runs.keyboard.press("Escape")
    runs.keyboard.press("b")
    expect(runs.locator("tr.baseline")).to_have_attribute("data-run", "r058")
    expect(runs.locator('tr[data-run="r000"] .delta.better, .delta.better').first).to_be_visible()
    expect(runs).to_have_url(re.compile("base=r058"))
    runs.keyboard.press("j")
    runs.keyboard.press("Enter")
    expect(runs).to_have_url(re.compile(rf"/p/{PROJECT}/runs/r0\d\d$"))


def test_name_tags_and_notes_are_edited_in_place_and_kept(runs: Any) -> None:
    runs.goto(runs.url + "?cols=name,notes,tags")
    runs.keyboard.press("j")
    runs.keyboard.press("F2")
    runs.keyboard.type("never")
    runs.keyboard.press("Escape")
    runs.keyboard.press("e")
    runs.keyboard.type(HOSTILE[0])
    runs.keyboard.press("Enter")
    expect(rows(runs).first.get_by_role("link")).to_have_text(HOSTILE[0])
    runs.keyboard.press("t")
    runs.keyboard.type("best, paper")
    runs.keyboard.press("Enter")
    expect(rows(runs).first.locator("bdi.tag")).to_have_text(["best", "paper"])
    runs.keyboard.press("n")
    runs.keyboard.type("why it is good")
    runs.keyboard.press("Enter")
    expect(rows(runs).first.locator(".noted")).to_contain_text("why it is good")
    runs.keyboard.press("t")
    runs.keyboard.press("Control+A")
    runs.keyboard.type("paper")
    runs.keyboard.press("Enter")
    expect(rows(runs).first.locator("bdi.tag")).to_have_text(["paper"])
    kept = [HOSTILE[0], ["paper"], "why it is good"]
    eventually(lambda: [show("r059")[one] for one in ("name", "tags", "notes")], kept)
    rows(runs).nth(2).locator("td").last.click()
    runs.keyboard.press("x")
    expect(rows(runs).nth(2).get_by_role("checkbox")).to_be_checked()


def test_many_runs_are_selected_tagged_deleted_and_brought_back(runs: Any) -> None:
    boxes = runs.locator("tbody input[type=checkbox]")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    toolbar = runs.get_by_role("toolbar")
    expect(toolbar).to_contain_text("4 selected")
    toolbar.get_by_role("button", name="Tag\u2026", exact=True).click()
    runs.keyboard.type("golden")
    runs.keyboard.press("Enter")
    expect(runs.locator("bdi.tag", has_text="golden")).to_have_count(4)
    runs.get_by_role("button", name="Undo").click()
    expect(runs.locator("bdi.tag", has_text="golden")).to_have_count(0)

    toolbar.get_by_role("button", name="Delete").click()
    expect(runs.get_by_text("Deleted 4 runs")).to_be_visible()
    expect(runs.locator('[data-part="count"]')).to_have_text("56 runs")
    runs.get_by_role("link", name="deleted").click()
    expect(rows(runs)).to_have_count(4)
    runs.get_by_role("button", name="Undo").last.click()
    expect(rows(runs)).to_have_count(0)
    runs.get_by_role("link", name="active", exact=True).click()
    expect(runs.locator('[data-part="count"]')).to_have_text("60 runs")

    runs.get_by_role("checkbox", name=re.compile("all runs of this page")).check()
    runs.get_by_role("button", name="Select all 60 that match").click()
    expect(toolbar).to_contain_text("60 selected, all that match")
    toolbar.get_by_role("button", name="Archive").click()
    expect(runs.get_by_text("Archived 60 runs")).to_be_visible()
    runs.get_by_role("link", name="archived").click()
    expect(rows(runs)).to_have_count(50)


def test_runs_are_grouped_and_groups_open(runs: Any) -> None:
    runs.get_by_role("button", name="Group", exact=True).click()
    panel = runs.get_by_role("dialog", name="Group runs")
    panel.get_by_role("checkbox", name=re.compile("optimizer")).check()
    groups = runs.locator("tbody tr.group")
    expect(groups).to_have_count(3)
    runs.keyboard.press("Escape")
    expect(groups.first).to_contain_text("20")
    groups.first.get_by_role("button").click()
    expect(rows(runs)).to_have_count(20)
    expect(runs).to_have_url(re.compile("group=config.optimizer&open="))
    runs.reload()
    expect(rows(runs)).to_have_count(20)
    groups.first.get_by_role("button").focus()
    runs.keyboard.press("Space")
    expect(rows(runs)).to_have_count(0)
    open_but_seed = runs.url.partition("?")[0] + "?group=%40config-but-seed"
    runs.goto(open_but_seed)
    expect(groups).to_have_count(50)  # each has a learning rate of its own


def test_columns_are_chosen_pinned_and_moved(runs: Any) -> None:
    runs.get_by_role("button", name="Columns", exact=True).click()
    panel = runs.get_by_role("dialog", name="Columns")
    panel.get_by_role("searchbox").fill("val/loss")
    panel.get_by_role("checkbox", name="drawn: val/loss").check()
    expect(runs.locator("td.spark svg").first).to_be_visible()
    panel.get_by_role("searchbox").fill("")
    panel.get_by_role("button", name="Keep lr in view").click()
    expect(runs.get_by_role("columnheader").nth(2)).to_contain_text("lr")
    panel.get_by_role("button", name=re.compile("Move state")).focus()
    runs.keyboard.press("Alt+ArrowDown")
    expect(runs).to_have_url(re.compile("cols=name%2C%21config.lr%2Cuser%2Cstate"))
    runs.keyboard.press("Escape")
    runs.reload()
    heads = runs.get_by_role("columnheader")
    expect(heads.nth(3)).to_contain_text("User")
    heads.nth(4).drag_to(heads.nth(3))
    expect(heads.nth(3)).to_contain_text("State")
    left = heads.nth(2).bounding_box()
    runs.set_viewport_size({"width": 800, "height": 700})
    runs.locator("#grid").evaluate("one => { one.scrollLeft = 400 }")
    expect(runs.locator("#grid")).to_have_js_property("scrollLeft", 400)
    eventually(
        lambda: abs(heads.nth(2).bounding_box()["x"] - left["x"]) < 8,
        said="a pinned column stays",
    )


def test_a_view_is_saved_opened_changed_and_deleted(runs: Any) -> None:
    runs.get_by_role("button", name=re.compile("^failed")).click()
    expect(rows(runs)).to_have_count(6)
    menu = runs.locator("#views > summary")
    menu.click()
    runs.get_by_role("button", name="Save as new view").click()
    runs.keyboard.type("what failed")
    runs.keyboard.press("Enter")
    expect(menu).to_have_text("what failed")
    expect(runs).to_have_url(re.compile(r"\?view=[0-9a-f]+$"))
    shared = runs.url
    runs.get_by_role("columnheader", name="User").get_by_role("link").click()
    expect(menu).to_contain_text("edited")
    menu.click()
    runs.get_by_role("button", name="Save changes").click()
    expect(menu).to_have_text("what failed")
    menu.click()
    runs.get_by_role("button", name="Change the view what failed").click()
    runs.get_by_role("button", name="Begin with it", exact=True).click()
    expect(runs.locator("#views .tag")).to_have_text("shown first")
    runs.goto(runs.url.partition("?")[0])
    expect(rows(runs)).to_have_count(6)
    expect(runs.get_by_role("columnheader", name="User")).to_have_attribute(
        "aria-sort", "ascending"
    )
    menu.click()
    runs.get_by_role("link", name="All runs").click()
    expect(rows(runs)).to_have_count(50)
    runs.goto(shared)
    expect(rows(runs)).to_have_count(6)
    menu.click()
    runs.get_by_role("button", name="Change the view what failed").click()
    runs.get_by_role("button", name="Delete", exact=True).click()
    expect(rows(runs)).to_have_count(50)
    expect(menu).to_have_text("All runs")


def test_a_run_that_goes_on_changes_its_row_and_nothing_else(
    end_live: Callable[[], None], open_page: Callable[..., Any]
) -> None:
    page = open_runs(open_page(width=900, height=500))
    row = page.locator(f'tr[data-run="r{RUNS:03d}"]')
    expect(row.locator(".pill")).to_have_text("running")
    grid = page.locator("#grid")
    grid.evaluate("one => { one.scrollTop = 200; one.scrollLeft = 60 }")
    quiet = page.locator('tr[data-run="r052"]')
    quiet.locator("input").check()
    page.keyboard.press("e")
    page.keyboard.press("Control+A")
    page.keyboard.type("half a na")
    quiet.evaluate("one => { one.isTheSame = true }")
    end_live()
    expect(row.locator(".pill")).to_have_text("failed")
    expect(page.locator("input.cell-input")).to_be_focused()
    expect(page.locator("input.cell-input")).to_have_value("half a na")
    eventually(lambda: quiet.evaluate("one => one.isTheSame"), said="its row was left alone")
    eventually(lambda: grid.evaluate("one => [one.scrollTop, one.scrollLeft]"), [200, 60])
    page.keyboard.press("Escape")
    expect(page.get_by_role("toolbar")).to_contain_text("1 selected")


def test_everything_is_found_from_anywhere(runs: Any) -> None:
    runs.keyboard.press("Control+K")
    runs.keyboard.type("river-03")
    options = runs.get_by_role("listbox", name="Goals").get_by_role("option")
    expect(options.first).to_contain_text("river-03")
    runs.keyboard.press("ArrowDown")
    runs.keyboard.press("Enter")
    expect(runs).to_have_url(re.compile(rf"/p/{PROJECT}/runs/r03\d$"))
    runs.goto(runs.url.partition("/p/")[0] + "/")
    runs.keyboard.press("/")
    runs.keyboard.type("flow")
    runs.keyboard.press("Enter")
    expect(runs).to_have_url(re.compile(rf"/p/{PROJECT}/runs$"))


def test_hostile_runs_are_shown_searched_and_edited_as_text(open_page: Callable[..., Any]) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    for number, text in enumerate(HOSTILE):
        write_hostile(store, f"hostile-{number}", text)
    page = open_page()
    page.get_by_role("link", name="hostile").click()
    expect(rows(page)).to_have_count(len(HOSTILE))
    page.wait_for_load_state("load")
    page.get_by_role("button", name="Group", exact=True).click()
    page.get_by_role("searchbox", name="Search keys").fill("user")
    page.get_by_role("checkbox", name="user").check()
    expect(page.locator("tr.group")).to_have_count(len(HOSTILE))
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Columns", exact=True).click()
    panel = page.get_by_role("dialog", name="Columns")
    panel.get_by_role("searchbox").fill("<script>")
    panel.get_by_role("checkbox", name=HOSTILE[0]).first.check()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+K")
    page.keyboard.type("<script>")
    goals = page.get_by_role("listbox", name="Goals").get_by_role("option")
    expect(goals.first).to_contain_text(HOSTILE[0])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_table_looks_as_it_should_at_any_width(
    end_live: Callable[[], None],
    open_page: Callable[..., Any],
    picture: Callable[[Any, str], None],
    theme: Any,
) -> None:
    del end_live
    for width, height in ((1280, 800), (3840, 1600)):
        page = open_runs(open_page(width=width, height=height, theme=theme), "?base=r030")
        expect(page.locator("tr.baseline")).to_be_visible()
        assert_fits(page)
        picture(page, f"runs_{theme}_{width}" if width > 2000 else f"runs_{theme}")
