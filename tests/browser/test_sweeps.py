"""The pages of sweeps in a real browser, over a sweep that really runs and over made ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from hpctrack.sweeps.control import Wish, read_control
from hpctrack.sweeps.folder import SweepFolder
from hpctrack.sweeps.sync_desk import SweepDesk
from hpctrack.sweeps.worker.result import TrialState
from hpctrack.sync.sending.push import push
from tests.browser.axe import list_barriers
from tests.browser.driving import assert_fits, eventually
from tests.programs import ROOT, wait_for
from tests.sweep_stores import write_sweep

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TRAIN = """
import math, sys, time
import hpctrack

config = {
    "method": "random", "seed": 3, "run_cap": 20, "name": "really runs",
    "metric": {"name": "val/loss", "goal": "minimize"},
    "parameters": {
        "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0},
        "hidden": {"values": [16, 32, 64]},
    },
    "early_terminate": {"type": "hyperband", "min_iter": 3, "eta": 3},
}
sweep = hpctrack.sweep(config, project="digits")
print(sweep, flush=True)

def train(parameters):
    run = hpctrack.init()
    height = abs(math.log10(parameters["lr"]) + 2) / 4
    for step in range(12):
        run.log({"val/loss": height + 2 / (step + 1)}, step=step)
        time.sleep(0.3)
        if run.should_stop():
            break

hpctrack.agent(sweep, train)
"""


@pytest.fixture
def store() -> Path:
    path = Path(os.environ["HPCTRACK_DIR"])
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture
def running(store: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A sweep that runs now, and its id."""
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/server", "HPCTRACK_TELEMETRY": "off"},
    )  # fmt: skip
    assert process.stdout
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def go(page: Any, sweep: str = "") -> None:
    base = page.url.split("/p/")[0].rstrip("/")
    page.goto(f"{base}/p/digits/sweeps{f'/{sweep}' if sweep else ''}")


def wait_for_charts(page: Any) -> None:
    expect(page.locator("#sweep")).to_have_attribute("data-ready", "true")


COUNT = """source => Bokeh.documents
  .map(one => one.get_model_by_name(source))
  .filter(Boolean)
  .map(one => Object.values(one.data)[0].length)
  .reduce((a, b) => a + b, 0)"""

FIRST_DOT = """host => {
  const view = [...Bokeh.index].find(one => host.contains(one.el));
  const { data } = view.model.document.get_model_by_name("dots");
  const box = view.canvas_view.el.getBoundingClientRect();
  const { x_scale, y_scale } = view.frame;
  return [box.x + x_scale.compute(data.x[0]), box.y + y_scale.compute(data.y[0])];
}"""


def count(page: Any, source: str) -> int:
    """Return how many marks of a kind the charts of the page have together."""
    counted: int = page.evaluate(COUNT, source)
    return counted


def test_a_sweep_that_runs_is_paused_resumed_and_watched_to_its_end(
    store: Path,
    open_page: Callable[..., Any],
    running: tuple[subprocess.Popen[str], str],
    picture: Callable[[Any, str], None],
) -> None:
    process, sweep = running
    folder = SweepFolder.of(store, "digits", sweep)
    page = open_page()
    wait_for(lambda: len(list(folder.iter_trials())) >= 2, timeout_s=60)
    page.reload()
    page.get_by_role("link", name="digits").click()
    page.get_by_role("link", name="Sweeps").click()
    page.get_by_role("link", name="really runs").click()
    wait_for_charts(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    wait_for(lambda: read_control(folder).wish == Wish.PAUSE)
    expect(page.locator("#sweep")).to_have_attribute("data-state", "paused")
    taken = len(list(folder.iter_trials()))
    assert taken < 20
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    _out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    expect(page.locator("#sweep")).to_have_attribute("data-state", "finished")
    expect(page.get_by_label("Trials", exact=True)).to_contain_text("20 of 20 ended")
    page.reload()
    wait_for_charts(page)
    expect(page.locator("[data-plot=curves] .caption")).to_contain_text("20 curves")
    expect(page.locator("[data-plot=curves] .caption")).to_contain_text("compared at 3, 9")
    eventually(lambda: count(page, "bars"), 20)
    picture(page, "sweep_light")
    page.locator("tr[data-trial] th a").first.click()
    expect(page).to_have_url(re.compile(rf".*/runs/{sweep}-\d{{4}}.*"))
    page.go_back()
    wait_for_charts(page)


def test_a_sweep_of_a_cluster_is_asked_and_the_next_push_takes_it_along(
    store: Path, tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    states = {6: TrialState.RUNNING, 7: TrialState.RUNNING}
    far = write_sweep(tmp_path / "cluster", trials=8, states=states, has_runs=False)
    push(far.store, str(store), sweeps=SweepDesk())
    page = open_page()
    go(page, "s1")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".asked.waiting")).to_contain_text("Stop was asked for")
    push(far.store, str(store), sweeps=SweepDesk())
    assert read_control(far.folder).wish == Wish.STOP
    page.reload()
    expect(page.locator(".asked.taken")).to_contain_text("picked up on")
    expect(page.locator("#sweep")).to_have_attribute("data-state", "stopping")


def test_marks_tell_of_their_trial_and_lead_to_its_run(
    store: Path, open_page: Callable[..., Any]
) -> None:
    metrics = [{"name": "val/loss", "goal": "minimize"}, {"name": "latency", "goal": "minimize"}]
    write_sweep(store, metric=metrics, early_terminate=None)
    page = open_page()
    go(page, "s1")
    wait_for_charts(page)
    front = page.locator("[data-plot=front] .plot")
    front.scroll_into_view_if_needed()
    place = front.evaluate(FIRST_DOT)
    page.mouse.move(*place)
    expect(page.locator("#tip")).to_contain_text("latency")
    told = re.match(r"trial (\d+)", page.locator("#tip").inner_text())
    assert told
    page.mouse.click(*place)
    expect(page).to_have_url(re.compile(rf".*/runs/s1-{int(told[1]):04d}.*"))


def test_hostile_sweeps_are_text_and_everybody_can_read_the_pages(
    store: Path, open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    write_sweep(store, sweep_id="s1")
    script = "<script>alert(1)</script>"
    parameters = {
        script: {"values": ["<b>", "\u202eabc", "\U0001f680" * 50]},
        "a": {"values": [1, 2]},
    }
    write_sweep(store, sweep_id="odd", name=script + "x" * 9000, parameters=parameters, trials=6)
    broken = write_sweep(store, sweep_id="broken", trials=0)
    broken.folder.record.write_text(json.dumps({"format": 99}))
    write_sweep(store, sweep_id="empty", trials=0)
    page = open_page(theme="dark")
    go(page)
    expect(page.get_by_text("unreadable")).to_be_visible()
    eventually(lambda: list_barriers(page), [])
    for sweep in ("odd", "s1"):
        go(page, sweep)
        wait_for_charts(page)
        assert_fits(page, said=sweep)
        eventually(lambda: list_barriers(page), [])
    picture(page, "sweep_dark")
    page.get_by_role("button", name="Dark theme").click()
    eventually(lambda: list_barriers(page), [])
    go(page, "broken")
    expect(page.get_by_text("cannot be read")).to_be_visible()
    go(page, "empty")
    expect(page.get_by_text("No trial yet")).to_be_visible()
    wide = open_page(width=3840, height=1600)
    go(wide, "s1")
    wait_for_charts(wide)
    assert_fits(wide)
    picture(wide, "sweep_wide")


def test_a_command_is_copied_and_the_keyboard_reaches_everything(
    store: Path, open_page: Callable[..., Any]
) -> None:
    write_sweep(store, trials=7)
    page = open_page()
    go(page, "s1")
    wait_for_charts(page)
    button = page.get_by_role("button", name="copy the command of trial 0")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".message")).to_be_visible()
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_a_new_sweep_appears_in_the_list_by_itself(
    store: Path, open_page: Callable[..., Any]
) -> None:
    write_sweep(store, sweep_id="first", trials=3)
    page = open_page()
    go(page)
    expect(page.get_by_role("link", name="first")).to_be_visible()
    write_sweep(store, sweep_id="second", trials=3)
    expect(page.get_by_role("link", name="second")).to_be_visible()


def test_runs_that_were_not_pushed_are_said_where_their_curves_would_be(
    store: Path, tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    far = write_sweep(tmp_path / "cluster", trials=4)
    push(far.store, str(store), sweeps=SweepDesk())
    for number in range(4):
        shutil.rmtree(store / "digits" / f"s1-{number:04d}")
    page = open_page()
    go(page, "s1")
    wait_for_charts(page)
    curves = page.locator("[data-plot=curves] .caption")
    expect(curves).to_contain_text("none of them is in this store: hpctrack sync brings them")
    expect(page.locator("#parallel")).to_contain_text("none of them is in this store")
    expect(page.locator(".askings")).to_contain_text("4 runs of 4 trials are not in this store")
