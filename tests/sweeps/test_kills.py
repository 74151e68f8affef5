"""Workers that are asked to leave, or killed, in mid-trial: no trial lost, doubled or stuck."""

from __future__ import annotations

import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.claims import find_last_claim
from hpctrack.sweeps.worker.loop import WorkerOptions, run_worker
from hpctrack.sweeps.worker.process import read_stamp
from hpctrack.sweeps.worker.result import TrialState, read_result, read_results
from tests.programs import wait_for
from tests.trials import make_sweep, python_command, read_end, running_worker, start_worker

STEPS = """
import os, pathlib, sys, time
mark = pathlib.Path(os.environ["HPCTRACK_TRIAL_DIR"], "step")
first = int(mark.read_text()) if mark.exists() else 0
attempt = os.environ.get("HPCTRACK_ATTEMPT", "1")
for step in range(first, 40):
    with open("steps", "a") as file:
        file.write(f"{os.environ['HPCTRACK_RUN_ID']} {attempt} {step}\\n")
    beside = mark.with_name(f"step.{attempt}")
    beside.write_text(str(step + 1))
    os.replace(beside, mark)
    time.sleep(0.2 if attempt == "1" else 0.0)
"""
"""A program with a checkpoint at each step."""

UNTIL_GO = "touch up; while [ ! -e go ]; do sleep 0.05; done"
"""A program that ends when its test says so."""


def read_steps(tmp_path: Path) -> list[tuple[str, int, int]]:
    path = tmp_path / "steps"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(run, int(attempt), int(step)) for run, attempt, step in map(str.split, lines)]


def check_continued(sweep: Sweep, tmp_path: Path) -> None:
    result = read_result(sweep.folder, 0)
    assert result is not None
    assert (result.state, result.attempt, result.failures) == (TrialState.FINISHED, 2, 0)
    steps = read_steps(tmp_path)
    assert {run for run, _, _ in steps} == {"s-0000"}
    assert {attempt for _, attempt, _ in steps} == {1, 2}
    assert {step for _, _, step in steps} == set(range(40))


def test_a_trial_whose_worker_is_asked_to_leave_goes_on_elsewhere(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, python_command(STEPS), values=1)
    with running_worker(sweep) as worker:
        wait_for(lambda: len(read_steps(tmp_path)) > 2)
        worker.send_signal(signal.SIGTERM)
        end = read_end(worker)
    assert end == [1, 0, 0, 0, "it was asked to leave", False]
    result = read_result(sweep.folder, 0)
    assert result is not None
    assert (result.state, result.signal) == (TrialState.WAITING, "SIGTERM")
    assert run_worker(sweep).finished == 1
    check_continued(sweep, tmp_path)


def test_a_trial_whose_worker_is_killed_goes_on_elsewhere_at_once(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, python_command(STEPS), values=1)
    with running_worker(sweep) as worker:
        wait_for(lambda: len(read_steps(tmp_path)) > 2)
        worker.kill()
        worker.communicate()
    claim = find_last_claim(sweep.folder, 0)
    assert claim is not None
    assert claim.attempt == 1
    assert run_worker(sweep).finished == 1
    check_continued(sweep, tmp_path)


def test_a_warned_worker_lets_a_program_end_that_cannot_be_told(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, UNTIL_GO, values=3)
    with running_worker(sweep) as worker:
        wait_for((tmp_path / "up").exists)
        worker.send_signal(signal.SIGUSR2)
        (tmp_path / "go").touch()
        end = read_end(worker)
    assert end == [1, 1, 0, 0, "it was asked to leave", False]


def test_a_worker_that_is_asked_to_leave_before_it_begins_begins_nothing(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "touch ran; exec sleep 60", values=1)
    with running_worker(sweep) as worker:
        wait_for(lambda: list((sweep.folder.path / "workers").glob("*.json")))
        worker.send_signal(signal.SIGTERM)
        end = read_end(worker)
    assert end[4] == "it was asked to leave"
    results = list(read_results(sweep.folder).values())
    assert {one.state for one in results} <= {TrialState.WAITING}


def test_a_program_that_ignores_sigterm_keeps_its_worker_and_its_result(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, f"trap '' TERM; {UNTIL_GO}", values=1)
    with running_worker(sweep) as worker:
        wait_for((tmp_path / "up").exists)
        worker.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert read_end(worker)[:4] == [1, 0, 0, 0]
    result = read_result(sweep.folder, 0)
    assert result is not None
    assert result.state == TrialState.WAITING, "nobody knows what it made of the signal"


def test_workers_that_are_killed_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    text = 'echo "$HPCTRACK_RUN_ID" >> begun; sleep 0.05; echo "$HPCTRACK_RUN_ID" >> ended'
    sweep = make_sweep(tmp_path, text, values=24, max_retries=0)
    chance = random.Random(11)
    workers = [start_worker(sweep) for _ in range(2)]
    killed: list[subprocess.Popen[str]] = []
    try:
        wait_for(lambda: len(read_results(sweep.folder)) >= 3)
        for number in (signal.SIGKILL, signal.SIGTERM):
            victim = chance.choice(workers)
            victim.send_signal(number)
            victim.communicate(timeout=180)
            workers.remove(victim)
            killed.append(victim)
            workers.append(start_worker(sweep))
            before = len(read_results(sweep.folder))
            wait_for(lambda before=before: len(read_results(sweep.folder)) > min(before, 23))  # type: ignore[misc]
        for worker in workers:
            worker.communicate(timeout=180)
        run_worker(sweep, WorkerOptions())
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    results = read_results(sweep.folder)
    assert sorted(results) == list(range(24))
    assert {one.state for one in results.values()} == {TrialState.FINISHED}
    begun = Counter((tmp_path / "begun").read_text().split())
    again = {name for name, count in begun.items() if count > 1}
    assert len(again) <= len(killed), "only what was cut short begins twice"
    ended = Counter((tmp_path / "ended").read_text().split())
    assert set(ended) == {sweep.run_id(one) for one in range(24)}


def test_nothing_of_a_killed_worker_runs_on(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "echo $$ > pid_; mv pid_ pid; exec sleep 60", values=1)
    with running_worker(sweep) as worker:
        wait_for((tmp_path / "pid").exists)
        program = int((tmp_path / "pid").read_text())
        assert read_stamp(program)
        worker.kill()
        wait_for(lambda: not read_stamp(program))
