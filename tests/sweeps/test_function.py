"""Trials that are functions of Python, called in the worker's process."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hpctrack
from hpctrack.errors import Pruned
from hpctrack.sweeps.control import Wish, write_control
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.loop import WorkerEnd, WorkerOptions, run_worker
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_results
from tests.leaks import count_files
from tests.programs import run_python, wait_for
from tests.trials import make_sweep

METRIC = {"name": "loss", "goal": "minimize"}


def call(sweep: Sweep, function: Callable[[], object], **options: Any) -> WorkerEnd:
    return run_worker(sweep, WorkerOptions(**options), function=function)


def log_and_ask(run: hpctrack.Run) -> bool:
    run.log({"loss": 1.0})
    return bool(run.should_stop())


def only_result(sweep: Sweep) -> TrialResult:
    [result] = read_results(sweep.folder).values()
    return result


def test_a_function_finds_its_trial_and_its_run_is_finished(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=3, metric=METRIC)
    seen: list[int] = []

    def train() -> None:
        run = hpctrack.init()
        seen.append(run.config["a"])
        run.log({"loss": 10.0 - run.config["a"]})

    end = call(sweep, train)
    assert (end.taken, end.finished, end.failed) == (3, 3, 0)
    assert seen == [0, 1, 2]
    results = read_results(sweep.folder)
    assert [results[one].value for one in range(3)] == [10.0, 9.0, 8.0]
    assert [results[one].iterations for one in range(3)] == [1, 1, 1]
    store = hpctrack.Store(sweep.store)
    assert sorted(one.id for one in store.runs()) == ["s-0000", "s-0001", "s-0002"]
    assert {one.record.state for one in store.runs()} == {"finished"}


def test_an_exception_is_a_failure_with_its_traceback_and_the_next_trial_runs(
    tmp_path: Path,
) -> None:
    sweep = make_sweep(tmp_path, values=2, max_retries=0)

    def train() -> None:
        if json.loads(os.environ["HPCTRACK_SWEEP_CONFIG"])["a"] == 0:
            raise ValueError("too hot")

    end = call(sweep, train)
    assert (end.taken, end.finished, end.failed) == (2, 1, 1)
    failed = read_results(sweep.folder)[0]
    assert (failed.state, failed.exit_code) == (TrialState.FAILED, 1)
    assert failed.message == "ValueError: too hot"
    assert "raise ValueError" in failed.log_tail


@pytest.mark.parametrize(
    ("raised", "state", "code"),
    [
        (SystemExit(0), TrialState.FINISHED, 0),
        (SystemExit(None), TrialState.FINISHED, 0),
        (SystemExit(3), TrialState.FAILED, 3),
        (SystemExit("no data"), TrialState.FAILED, 1),
        (Pruned("enough"), TrialState.PRUNED, 0),
    ],
)
def test_a_function_may_end_as_a_program_does(
    tmp_path: Path, raised: BaseException, state: TrialState, code: int
) -> None:
    sweep = make_sweep(tmp_path, values=1, max_retries=0)

    def train() -> None:
        raise raised

    call(sweep, train)
    result = only_result(sweep)
    assert (result.state, result.exit_code) == (state, code)


def test_whoever_interrupts_a_trial_does_not_want_the_next(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=3)

    def train() -> None:
        raise KeyboardInterrupt

    end = call(sweep, train)
    assert end.taken == 1
    assert end.why == "it was asked to leave"
    assert only_result(sweep).state == TrialState.WAITING
    again = call(sweep, lambda: None)
    assert (again.taken, again.finished) == (3, 3)
    assert read_results(sweep.folder)[0].attempt == 2


def test_ctrl_c_reaches_a_function(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=3)

    def train() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(180)

    # What a shell starts in the background ignores Ctrl-C, these tests too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        end = call(sweep, train)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert end.taken == 1
    assert only_result(sweep).state == TrialState.WAITING


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_function_is_told_when_its_worker_has_to_leave(
    tmp_path: Path, number: signal.Signals
) -> None:
    sweep = make_sweep(tmp_path, values=3, metric=METRIC)

    def train() -> None:
        run = hpctrack.init()
        os.kill(os.getpid(), number)
        wait_for(lambda: log_and_ask(run))

    end = call(sweep, train)
    # Whoever is told to end at once was cancelled, or Slurm sees to it.
    assert (end.taken, end.should_requeue) == (1, number == signal.SIGUSR2)
    assert only_result(sweep).state == TrialState.WAITING


def test_a_function_that_never_asked_and_ended_in_time_has_ended(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=3)
    end = call(sweep, lambda: os.kill(os.getpid(), signal.SIGUSR2))
    assert (end.taken, end.finished, end.should_requeue) == (1, 1, False)


def test_a_function_is_told_when_the_sweep_is_cancelled(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=3, metric=METRIC)

    def train() -> None:
        run = hpctrack.init()
        write_control(sweep.folder, Wish.CANCEL)
        wait_for(lambda: log_and_ask(run))

    end = call(sweep, train)
    assert end.taken == 1
    assert "cancelled" in end.why
    assert only_result(sweep).state == TrialState.STOPPED


def test_a_function_that_does_badly_is_stopped_early(tmp_path: Path) -> None:
    early = {"type": "threshold", "upper": 5.0}
    sweep = make_sweep(tmp_path, values=2, metric=METRIC, early_terminate=early)

    def train() -> None:
        run = hpctrack.init()
        for step in range(1000):
            run.log({"loss": 3.0 * step}, step=step)
            if run.should_stop():
                return
        raise AssertionError("nobody stopped it")

    end = call(sweep, train)
    assert (end.taken, end.pruned) == (2, 2)
    result = read_results(sweep.folder)[1]
    assert (result.iterations, result.value) == (3, 6.0)
    assert result.why


def test_a_function_leaves_no_threads_files_or_variables_behind(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=6)
    environ = dict(os.environ)
    call(sweep, lambda: None, max_trials=1)
    threads = threading.active_count()
    files = count_files()
    temporary = list(Path(environ["TMPDIR"]).glob("hpctrack-trial-*"))
    call(sweep, lambda: None)
    wait_for(lambda: threading.active_count() <= threads)
    wait_for(lambda: count_files() <= files)
    assert temporary == list(Path(environ["TMPDIR"]).glob("hpctrack-trial-*")) == []
    assert dict(os.environ) == environ


NOTEBOOK = """
import os, sys
from hpctrack.sweeps.sweep import load_sweep
from hpctrack.sweeps.worker.loop import run_worker
from hpctrack.sweeps.worker import attempt
sweep = load_sweep(sys.argv[1], "s")
attempt.PATIENCE_S = 0.0
def train():
    os.rename(sweep.folder.path / "trials", sweep.folder.path / "away")
    open(sweep.folder.path / "trials", "w").close()
try:
    run_worker(sweep, function=train)
except Exception as error:
    print(type(error).__name__)
os.remove(sweep.folder.path / "trials")
end = run_worker(sweep, function=lambda: None)
print(end.taken, end.finished)
"""


def test_a_process_that_goes_on_after_its_worker_broke_frees_the_trial(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=2)
    end = run_python(NOTEBOOK, str(sweep.store))
    assert end.stdout.splitlines() == ["StoreError", "2 2"], end.stderr
