"""Tabs of a run that ends, or is deleted, while they are open."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import eventually, hear
from tests.browser.test_compare import card, columns
from tests.browser.test_run_pages import go_to
from tests.programs import start_python, wait_for
from tests.stores import NodeWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TABS = ("", "/charts", "/ranks", "/system", "/console", "/media")


def write_live(run: str) -> tuple[NodeWriter, int]:
    store = Path(os.environ["HPCTRACK_DIR"])
    writer = NodeWriter(store, project="live", run=run, wall_s=time.time())
    session = writer.start(0, name=run)
    writer.points("loss", 0, range(10), [1.0] * 10)
    writer.samples("host/cpu_util_frac", [0.5, 0.6])
    writer.flush()
    return writer, session


def test_every_tab_of_a_run_sees_its_end(open_page: Callable[..., Any]) -> None:
    runs = {tab: write_live(f"run{number}") for number, tab in enumerate(TABS)}
    page = open_page()
    for number, (tab, (writer, session)) in enumerate(runs.items()):
        writer.wall_s = time.time()
        writer.points("loss", 0, [10], [1.0])
        writer.flush()
        go_to(page, f"/p/live/runs/run{number}{tab}")
        expect(page.locator("[data-part=head] .pill.large")).to_have_text("running")
        writer.end(0, session, exit_code=1)
        writer.close()
        expect(page.locator("[data-part=head] .pill.large")).to_have_text("failed")
        expect(page.locator("#run")).to_have_attribute("data-live", "false")


def test_a_chart_beside_the_screen_is_painted_when_it_is_scrolled_to(
    open_page: Callable[..., Any],
) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    names = [f"m{number:02d}" for number in range(12)]
    writer = NodeWriter(store, project="live", run="many", wall_s=time.time())
    writer.start(0, name="many")

    def log(*steps: int) -> None:
        writer.wall_s = time.time()
        for one in names:
            writer.points(one, 0, steps, [1.0] * len(steps))
        writer.flush()

    log(*range(10))
    page = open_page()
    go_to(page, "/p/live/compare?runs=many")
    first = card(page, names[0])
    expect(first).to_have_attribute("data-ready", "true")
    expect(first).to_have_attribute("data-points", "10")
    # Loaded, because it is nearly on the screen.
    eventually(lambda: page.evaluate(f"{FIND_BESIDE}?.dataset.ready"), "true")
    title = str(page.evaluate(f"{FIND_BESIDE}.dataset.title"))

    def last_step(name: str) -> float:
        return float(columns(page, name, "lines")["xs"][0][-1])

    step = 9
    deadline_s = time.monotonic() + 60
    while last_step(names[0]) <= last_step(title):
        assert time.monotonic() < deadline_s
        step += 1
        log(step)
        page.wait_for_timeout(1500)
    card(page, title).scroll_into_view_if_needed()
    wait_for(lambda: last_step(title) == step, timeout_s=30)
    writer.file.abandon()


FIND_BESIDE = """[...document.querySelectorAll('.panel')].find((one) => {
  const top = one.getBoundingClientRect().top;
  return top > innerHeight && top < innerHeight + 250;
})"""
"""A card that is not on the screen, and near it."""


def test_a_tab_says_that_its_run_was_deleted(open_page: Callable[..., Any]) -> None:
    writer, _session = write_live("gone")
    page = open_page()
    go_to(page, "/p/live/runs/gone/console")
    expect(page.locator("[data-part=head] .pill.large")).to_have_text("running")
    page.wait_for_timeout(1500)
    writer.file.abandon()
    shutil.rmtree(Path(os.environ["HPCTRACK_DIR"]) / "live" / "gone")
    expect(page.get_by_role("status").get_by_text("not in the store any more")).to_be_visible()


GROWING = """
import pathlib, sys, time
import hpctrack

go, stop = map(pathlib.Path, sys.argv[1:])
with hpctrack.init("live", name="grows", config={"lr": 0.1}) as run:
    step = 0
    while not stop.exists():
        run.log({"loss": 1.0}, step=step)
        step += 1
        if go.exists():
            go.unlink()
            run.config["momentum"] = 0.9
            pathlib.Path("kept.txt").write_text("kept for later")
            pathlib.Path("model.py").write_text("layers = 12")
            run.save("kept.txt")
            run.log_code(".")
        time.sleep(0.2)
"""


@contextmanager
def growing_run(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Start a run that goes on; yield its path, and what lets it save files, code and config."""
    go, stop = tmp_path / "go", tmp_path / "stop"
    process = start_python(GROWING, str(go), str(stop))
    try:
        store = Path(os.environ["HPCTRACK_DIR"])
        wait_for(lambda: any((store / "live").glob("*/*.h5")), timeout_s=60)
        (folder,) = (store / "live").iterdir()
        yield f"/p/live/runs/{folder.name}", go.touch
    finally:
        stop.touch()
        _output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def test_config_files_and_code_follow_a_run_that_goes_on(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page()
    with growing_run(tmp_path) as (path, grow):
        tabs = {}
        for tab in ("config?shape=flat&q=o", "files", "code"):
            tabs[tab[:4]] = one = page.context.new_page()
            one.goto(page.url.rstrip("/") + f"{path}/{tab}")
            expect(one.locator("[data-part=head] .pill.large")).to_have_text("running")
        expect(tabs["file"].get_by_role("heading", name="No files")).to_be_visible()
        tabs["conf"].get_by_role("button", name="Copy YAML").focus()
        grow()
        found = tabs["conf"].locator("tr[data-path=momentum]")
        expect(found).to_be_visible()
        expect(tabs["conf"].locator("tr[data-path=lr]")).to_be_hidden()
        expect(tabs["conf"].locator("#tree")).to_have_attribute("data-shape", "flat")
        expect(tabs["conf"].locator("#found")).to_have_text("1 found")
        expect(tabs["conf"].get_by_role("button", name="Copy YAML")).to_be_focused()
        expect(tabs["file"].get_by_role("link", name="kept.txt", exact=True)).to_be_visible()
        expect(tabs["code"].get_by_role("link", name="model.py")).to_be_visible()


def test_what_a_reader_has_in_hand_stays_while_a_tab_is_fetched_again(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page()
    with growing_run(tmp_path) as (path, grow):
        go_to(page, f"{path}/config")
        expect(page.locator("[data-part=head] .pill.large")).to_have_text("running")
        cell = page.locator("tr[data-path=lr] td")
        cell.evaluate("(one) => getSelection().selectAllChildren(one)")
        held = page.locator("tr[data-path=lr]").element_handle()
        fetched: list[str] = []
        page.on("requestfinished", lambda one: fetched.append(one.url))
        grow()
        hear(page, lambda: sum(one.endswith("/config") for one in fetched) >= 2)
        eventually(
            lambda: held.evaluate("(one) => one.isConnected"),
            said="what is selected is not replaced",
        )
        page.evaluate("getSelection().removeAllRanges()")
        expect(page.locator("tr[data-path=momentum]")).to_be_visible()


def test_a_tab_of_a_finished_run_says_that_it_was_deleted(open_page: Callable[..., Any]) -> None:
    writer, session = write_live("over")
    writer.end(0, session)
    writer.close()
    page = open_page()
    streams: list[str] = []
    page.on("request", lambda one: streams.append(one.url) if "/events" in one.url else None)
    go_to(page, "/p/live/runs/over/console")
    expect(page.locator("[data-part=head] .pill.large")).to_have_text("finished")
    with page.expect_event("websocket") as opened:
        page.reload()
    opened.value.wait_for_event("framereceived")
    page.wait_for_timeout(1500)
    shutil.rmtree(Path(os.environ["HPCTRACK_DIR"]) / "live" / "over")
    expect(page.get_by_role("status").get_by_text("not in the store any more")).to_be_visible()
    assert streams == []
