"""Pages that are open while a run fails, is requeued, and goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from hpctrack.store.schema import EventKind
from tests.programs import rank_environment, start_python, wait_for
from tests.stores import NodeWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PILL = "[data-part=head] .pill.large"

TRAIN = """
import pathlib, sys, time
import hpctrack

first, last, stop = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
with hpctrack.init("live", name="requeued", provenance="off") as run:
    for step in range(first, last):
        run.log({"loss": 1.0 / (step + 1)}, step=step)
        print(f"this is step {step}", flush=True)
        time.sleep(0.02)
    while not stop.exists():
        time.sleep(0.1)
"""


@contextmanager
def attempt(
    first: int, last: int, *, stop: Path, number: int = 0, ranks: int = 2
) -> Iterator[list[subprocess.Popen[str]]]:
    """Start the ranks of an attempt; they end when `stop` is there, at the latest after this."""
    processes = [
        start_python(
            TRAIN, str(first), str(last), str(stop),
            env={
                **rank_environment(rank, ranks),
                "TORCHELASTIC_RESTART_COUNT": str(number),
                "HPCTRACK_CONSOLE": "auto",
            },
        )
        for rank in range(ranks)
    ]  # fmt: skip
    try:
        yield processes
    finally:
        stop.touch()
        for one in processes:
            one.communicate(timeout=120)


def find_run() -> str:
    """Wait for the run and return its path."""
    folder = Path(os.environ["HPCTRACK_DIR"]) / "live"
    wait_for(lambda: any(folder.glob("*/*.h5")), timeout_s=60)
    return f"p/live/runs/{next(folder.iterdir()).name}"


def kill(processes: list[subprocess.Popen[str]]) -> None:
    for one in processes:
        one.kill()
        one.communicate(timeout=60)


def test_tabs_of_a_run_that_has_failed_go_on_after_a_requeue(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    first = open_page()
    with attempt(0, 43, stop=tmp_path / "stop") as processes:
        path = find_run()
        tabs = {one: first.context.new_page() for one in ("", "/charts", "/console")}
        for tab, page in tabs.items():
            page.goto(first.url + path + tab)
            expect(page.locator(PILL)).to_have_text("running")
        expect(tabs["/charts"].locator(".panel[data-points='43']")).to_be_visible()
        kill(processes)
        for page in tabs.values():
            expect(page.locator(PILL)).to_have_text("failed")
            expect(page.locator("#run")).to_have_attribute("data-live", "false")
    late = first.context.new_page()
    late.goto(first.url + path + "/charts")
    expect(late.locator(".panel[data-points='43']")).to_be_visible()
    with attempt(40, 60, stop=tmp_path / "stop again", number=1):
        for page in (*tabs.values(), late):
            expect(page.locator(PILL)).to_have_text("running")
            expect(page.locator("#run")).to_have_attribute("data-live", "true")
        expect(tabs[""].locator(".lane-name")).to_have_count(2)
        expect(tabs["/console"].get_by_text("this is step 59").first).to_be_visible()
        expect(tabs["/console"].get_by_role("button", name="Follow")).to_be_visible()
        for page in (tabs["/charts"], late):
            expect(page.locator(".panel[data-points='60']")).to_be_visible()
    for page in (*tabs.values(), late):
        expect(page.locator(PILL)).to_have_text("finished")


def write_attempt(store: Path, steps: range, *, number: int, exit_code: int, lr: float) -> Path:
    """Write an attempt that is over; return its file."""
    writer = NodeWriter(
        store, project="live", run="synced", attempt=number, wall_s=time.time() - 600 + 60 * number
    )
    writer.event(EventKind.CONFIG, {"lr": lr, "depth": 3})
    session = writer.start(0, name="synced")
    writer.points("loss", 0, steps, [100.0 + step for step in steps])
    writer.end(0, session, exit_code=exit_code)
    return writer.close()


def bring(file: Path) -> None:
    """Put a file beside those that a run has, as a sync does."""
    folder = Path(os.environ["HPCTRACK_DIR"]) / "live" / "synced"
    shutil.copy(file, folder / "brought.part")
    (folder / "brought.part").rename(folder / file.name)


def test_charts_show_what_a_sync_brings_of_a_run_that_nobody_saw_running(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    write_attempt(store, range(43), number=1, exit_code=1, lr=0.1)
    rest = write_attempt(tmp_path / "remote", range(40, 60), number=2, exit_code=0, lr=0.1)
    first = open_page()
    compare, charts, parallel = (first.context.new_page() for _ in range(3))
    compare.goto(first.url + "p/live/compare?search=synced")
    charts.goto(first.url + "p/live/runs/synced/charts")
    for page in (compare, charts):
        expect(page.locator(".panel[data-points='43']")).to_be_visible()
    parallel.goto(first.url + "p/live/parallel?axes=config.lr,summary.loss")
    table = parallel.locator("#parallel-table")
    expect(table.get_by_text("142", exact=True)).to_be_visible()
    bring(rest)
    for page in (compare, charts):
        expect(page.locator(".panel[data-points='60']")).to_be_visible()
    expect(table.get_by_text("159", exact=True)).to_be_visible()
