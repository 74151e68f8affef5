"""A real sweep on this machine: submitit's local executor, real agents, a real small training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store
from tests.programs import ROOT, wait_for

pytestmark = pytest.mark.slow

TRAIN = """
import argparse
import importlib.util
from pathlib import Path

import numpy as np

import hpctrack

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--hidden", type=int)
parser.add_argument("--epochs", type=int)
options = parser.parse_args()

run = hpctrack.init(config={"lr": -1.0, "batch": 64})
# The file itself: importing scikit-learn takes each trial seconds.
package = Path(importlib.util.find_spec("sklearn").origin).parent
digits = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", delimiter=",")
x, y = digits[:, :-1] / 16.0, digits[:, -1].astype(int)
rng = np.random.default_rng(0)
order = rng.permutation(len(x))
train, test = order[:1400], order[1400:]
first = rng.normal(size=(64, options.hidden)) * 0.1
second = rng.normal(size=(options.hidden, 10)) * 0.1
step = 0
for epoch in range(options.epochs):
    for begin in range(0, len(train), 64):
        rows = train[begin : begin + 64]
        inner = np.maximum(x[rows] @ first, 0)
        scores = inner @ second
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        loss = -np.log(scores[np.arange(len(rows)), y[rows]] + 1e-12).mean()
        scores[np.arange(len(rows)), y[rows]] -= 1
        back = (scores @ second.T) * (inner > 0)
        second -= options.lr * inner.T @ scores / len(rows)
        first -= options.lr * x[rows].T @ back / len(rows)
        run.log({"loss": loss}, step=step)
        step += 1
guess = (np.maximum(x[test] @ first, 0) @ second).argmax(axis=1)
accuracy = float((guess == y[test]).mean())
run.log({"val/acc": accuracy}, step=step)
print(f"trial {run.id}: accuracy {accuracy:.3f}, config {dict(run.config)}")
"""

SWEEP = """\
program: train.py
method: grid
project: digits
metric:
  goal: maximize
  name: val/acc
parameters:
  lr:
    values: [1e-4, 1e-1, 0.5]
  hidden:
    values: [8, 32]
  epochs:
    value: 3
"""

POINTS = [
    {"lr": lr, "hidden": hidden, "epochs": 3} for lr in (1e-4, 0.1, 0.5) for hidden in (8, 32)
]


def hpctrack(*words: str) -> subprocess.CompletedProcess[str]:
    """Type a command, as a user whose checkout is on PYTHONPATH."""
    return subprocess.run(
        command(*words),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from hpctrack.cli.main import main; main()", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def read_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def write_files(tmp_path: Path, program: str, sweep: str) -> None:
    (tmp_path / "train.py").write_text(program)
    (tmp_path / "sweep.yaml").write_text(sweep)


def test_a_sweep_of_six_trials_fills_the_store_and_names_the_best(tmp_path: Path) -> None:
    write_files(tmp_path, TRAIN, SWEEP)
    done = hpctrack("sweep", "submit", "sweep.yaml", "--executor", "local", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    submitted = read_json(done)
    sweep_id = submitted["id"]
    assert submitted["executor"] == "local"
    assert submitted["tasks"] == min(len(os.sched_getaffinity(0)), 6)

    runs = Store(tmp_path / "store").runs(order="id", project="digits")
    assert [run.id for run in runs] == [f"{sweep_id}-{number:04d}" for number in range(6)]
    for number, run in enumerate(runs):
        assert run.state == "finished"
        assert run.record.group == run.record.sweep == sweep_id
        assert run.record.trial == number
        assert run.config == {**POINTS[number], "batch": 64}
        assert len(run.history(["loss"])) == 3 * 22
        run.close()

    status = read_json(hpctrack("sweep", "status", sweep_id, "--json"))
    assert status["counts"]["finished"] == 6
    assert status["open"] == 0
    assert [one["parameters"] for one in status["trials"]] == POINTS
    by_run = {run.id: run.summary["val/acc"] for run in runs}
    assert {one["run"]: one["metric"] for one in status["trials"]} == by_run
    for one in status["trials"]:
        assert f"trial {one['run']}: accuracy" in Path(one["log"]).read_text()

    best = read_json(hpctrack("sweep", "best", sweep_id, "--json"))
    assert best["metric"] == max(by_run.values())
    assert best["metric"] > 0.8
    assert best["parameters"]["lr"] > 1e-3

    again = hpctrack("sweep", "submit", sweep_id, "--executor", "local")
    assert again.returncode == 11
    assert "have been taken" in again.stderr


FAILING = """
import sys
import hpctrack
run = hpctrack.init()
run.log({"val/acc": 0.5})
sys.exit(3 if run.config.hidden == 8 else 0)
"""


def test_a_trial_that_fails_is_marked_with_its_exit_code(tmp_path: Path) -> None:
    write_files(tmp_path, FAILING, SWEEP.replace("1e-4, 1e-1, 0.5", "0.5"))
    done = hpctrack(
        "sweep", "submit", "sweep.yaml", "--executor", "local", "--parallelism", "1", "--json"
    )
    assert done.returncode == 11
    assert "1 of 2 trials" in done.stderr
    status = read_json(done)["status"]
    assert [(one["state"], one["exit_code"], one["has_run"]) for one in status["trials"]] == [
        ("failed", 3, True),
        ("finished", 0, True),
    ]
    best = read_json(hpctrack("sweep", "best", status["id"], "--json"))
    assert best["number"] == 1


COUNTING = """
import fcntl, os, time
def change(by):
    with open("count", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        now, most = map(int, (file.read() or "0 0").split())
        file.truncate(0)
        file.write(f"{now + by} {max(most, now + by)}")
        return max(most, now + by)
most, until = change(1), time.monotonic() + 90
while most < 2 and time.monotonic() < until:
    time.sleep(0.05)
    most = change(0)  # the other worker may need longer to begin
time.sleep(0.3)
change(-1)
"""


def test_no_more_trials_run_at_a_time_than_asked(tmp_path: Path) -> None:
    # The program never calls init: its trials are seen all the same.
    sweep = "method: random\nrun_cap: 7\nprogram: train.py\nparameters: {a: {min: 0.0, max: 1.0}}\n"
    write_files(tmp_path, COUNTING, sweep)
    done = hpctrack("sweep", "submit", "sweep.yaml", "-e", "local", "--parallelism", "2", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "count").read_text() == "0 2"
    status = read_json(done)["status"]
    assert status["counts"]["finished"] == 7
    assert {one["run_state"] for one in status["trials"]} == {""}


WAITING = """
import os, time
while not os.path.exists("go"): time.sleep(0.02)
"""


def test_workers_go_on_when_nobody_waits_and_hold_no_pipe(tmp_path: Path) -> None:
    sweep = "method: grid\nprogram: train.py\nparameters: {a: {values: [1, 2, 3]}}\n"
    write_files(tmp_path, WAITING, sweep)
    # Reads to the end of the pipe: hangs if a worker has inherited it.
    done = hpctrack(
        "sweep", "submit", "sweep.yaml", "-e", "local", "--parallelism", "1", "--no-wait", "--json"
    )
    try:
        assert done.returncode == 0, done.stderr
        sweep_id = read_json(done)["id"]

        def states() -> list[str]:
            status = read_json(hpctrack("sweep", "status", sweep_id, "--json"))
            return [one["state"] for one in status["trials"]]

        wait_for(lambda: states() == ["running"])
    finally:
        (tmp_path / "go").touch()
    wait_for(lambda: states() == ["finished"] * 3)


def test_killed_workers_leave_crashed_trials(tmp_path: Path) -> None:
    sweep = "method: grid\nprogram: train.py\nparameters: {a: {values: [1, 2]}}\n"
    write_files(tmp_path, WAITING, sweep)
    done = hpctrack(
        "sweep", "submit", "sweep.yaml", "-e", "local", "--parallelism", "1", "--no-wait", "--json"
    )
    assert done.returncode == 0, done.stderr
    submitted = read_json(done)
    folder = tmp_path / "store/uncategorized/.sweeps" / submitted["id"]
    said = wait_for(lambda: list(folder.glob("trials/0000.json")))
    controller, worker = int(submitted["jobs"][0]), json.loads(said[0].read_text())["pid"]
    try:
        for pid in (controller, worker):
            os.kill(pid, signal.SIGKILL)

        def states() -> list[str]:
            status = read_json(hpctrack("sweep", "status", submitted["id"], "--json"))
            return [one["state"] for one in status["trials"]]

        wait_for(lambda: states() == ["crashed"])
    finally:
        (tmp_path / "go").touch()  # the program itself, which nobody has killed, ends by this


ENDING = """
import pathlib, signal, sys, time
def on(number, frame):
    pathlib.Path("ended").touch()
    sys.exit(4)
signal.signal(signal.SIGTERM, on)
pathlib.Path("began").touch()
while True: time.sleep(0.02)
"""


def test_a_cancelled_sweep_ends_its_processes_and_takes_no_more_trials(tmp_path: Path) -> None:
    sweep = "method: grid\nprogram: train.py\nparameters: {a: {values: [1, 2]}}\n"
    write_files(tmp_path, ENDING, sweep)
    done = hpctrack(
        "sweep", "submit", "sweep.yaml", "-e", "local", "-w", "1", "--no-wait", "--json"
    )
    assert done.returncode == 0, done.stderr
    submitted = read_json(done)
    wait_for((tmp_path / "began").exists)
    ended = read_json(hpctrack("sweep", "cancel", submitted["id"], "--moment", "0.2", "--json"))
    assert ended["problems"] == []
    wait_for((tmp_path / "ended").exists)

    def is_idle() -> bool:
        return not read_json(hpctrack("sweep", "stop", submitted["id"], "--json"))["running"]

    wait_for(is_idle)
    status = read_json(hpctrack("sweep", "status", submitted["id"], "--json"))
    assert len(status["trials"]) == 1


def test_a_paused_sweep_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    sweep = "method: grid\nprogram: train.py\nparameters: {a: {values: [1, 2]}}\n"
    write_files(tmp_path, WAITING, sweep)
    done = hpctrack(
        "sweep", "submit", "sweep.yaml", "-e", "local", "-w", "1", "--no-wait", "--json"
    )
    sweep_id = read_json(done)["id"]

    def states() -> list[str]:
        status = read_json(hpctrack("sweep", "status", sweep_id, "--json"))
        return [one["state"] for one in status["trials"]]

    wait_for(lambda: states() == ["running"])
    assert read_json(hpctrack("sweep", "pause", sweep_id, "--json"))["running"] == 1
    (tmp_path / "go").touch()
    wait_for(lambda: states() == ["finished"])
    # The worker is there and waits: a trial of this program would be over at once.
    assert read_json(hpctrack("sweep", "pause", sweep_id, "--json"))["running"] == 1
    assert states() == ["finished"]
    assert read_json(hpctrack("sweep", "resume", sweep_id, "--json"))["running"] == 1
    wait_for(lambda: states() == ["finished"] * 2)
