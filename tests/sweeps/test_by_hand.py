"""One trial by its number: environment, command, ranks, and the word it leaves."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack.errors import StoreError, SweepError
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import Sweep, create_sweep
from hpctrack.sweeps.worker.by_hand import run_trial
from hpctrack.sweeps.worker.claims import find_last_claim, make_claim
from hpctrack.sweeps.worker.result import TrialState, read_results
from tests.programs import rank_environment, run_python, start_python, wait_for
from tests.trials import LOSS, environ, make_stranger, make_sweep, silence

SHOW = """
import json, os, sys
ours = ("HPCTRACK_", "SUBMITIT_")
seen = {key: value for key, value in os.environ.items() if key.startswith(ours)}
json.dump({"argv": sys.argv[1:], "env": seen, "cwd": os.getcwd()}, open("seen.json", "w"))
print("out"); print("err", file=sys.stderr)
"""

RUN = """
import sys
from hpctrack.sweeps.sweep import load_sweep
from hpctrack.sweeps.worker.by_hand import run_trial
result = run_trial(load_sweep(sys.argv[1], "s"), 0)
print(result.state.value, result.exit_code, result.attempt, result.rank)
"""


def make(tmp_path: Path, program: str = SHOW, **more: Any) -> Sweep:
    (tmp_path / "train.py").write_text(program)
    config = {
        "method": "grid",
        "program": "train.py",
        "project": "digits",
        "parameters": {"lr": {"values": [0.1, 0.2]}, "net": {"parameters": {"d": {"value": 3}}}},
        **more,
    }
    return create_sweep(tmp_path / "store", config, sweep_id="s")


def step_of(rank: int, *, step: str = "0") -> dict[str, str]:
    """Return what srun tells one of two ranks."""
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": step,
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_PROCID": str(rank),
        "PATH": os.defpath,
    }


def test_a_trial_gets_its_parameters_and_its_place(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    result = run_trial(
        sweep, 1, environ=environ(SUBMITIT_FOLDER="x", HPCTRACK_RUN_ID="old", HPCTRACK_STRICT="1")
    )
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["argv"] == ["--lr=0.2", "--net.d=3"]
    assert seen["cwd"] == str(tmp_path)
    wanted = {
        "HPCTRACK_DIR": str(tmp_path / "store"),
        "HPCTRACK_PROJECT": "digits",
        "HPCTRACK_RUN_ID": "s-0001",
        "HPCTRACK_GROUP": "s",
        "HPCTRACK_SWEEP_ID": "s",
        "HPCTRACK_TRIAL": "1",
        "HPCTRACK_TRIAL_DIR": str(sweep.folder.work(1)),
        "HPCTRACK_STRICT": "1",
    }
    assert wanted.items() <= seen["env"].items()
    assert json.loads(seen["env"]["HPCTRACK_SWEEP_CONFIG"]) == {"lr": 0.2, "net": {"d": 3}}
    assert "SUBMITIT_FOLDER" not in seen["env"]
    assert seen["env"]["HPCTRACK_ATTEMPT"] == "1"
    assert sweep.folder.work(1).is_dir()
    assert result.state == TrialState.FINISHED
    assert result.command[1] == sys.executable
    assert read_results(sweep.folder) == {1: result}


def test_output_passes_through(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_trial(make(tmp_path), 0)
    assert capfd.readouterr() == ("out\n", "err\n")


def test_a_trial_may_be_run_again_whatever_became_of_it(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    assert [run_trial(sweep, 0).attempt for _ in range(3)] == [1, 2, 3]
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["env"]["HPCTRACK_ATTEMPT"] == "3"
    assert seen["env"]["HPCTRACK_RUN_ID"] == "s-0000"


def test_a_trial_that_a_living_worker_has_is_left_to_it(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    other = make_stranger(sweep)
    make_claim(sweep.folder, other.claim(0, 1, failures=0, wall_s=0.0))
    with pytest.raises(SweepError, match="is running on elsewhere"):
        run_trial(sweep, 0)
    silence(sweep, other, 100)
    assert run_trial(sweep, 0).attempt == 2


@pytest.mark.parametrize(
    ("program", "code", "name"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("1/0", 1, ""),
        ("import os; os.kill(os.getpid(), 9)", 137, "SIGKILL"),
    ],
)
def test_a_trial_that_fails_leaves_word_of_it(
    tmp_path: Path, program: str, code: int, name: str
) -> None:
    sweep = make(tmp_path, program, max_retries=0)
    run_trial(sweep, 0)
    result = read_results(sweep.folder)[0]
    assert (result.state, result.exit_code, result.signal) == (TrialState.FAILED, code, name)
    assert result.ended_wall_s is not None
    assert result.duration_s is not None
    assert result.duration_s > 0


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["no-such-program"], 127, "no-such-program"),
        (["./train.py"], 126, "ermission"),
        (["${envvar:NO_SUCH}"], 126, "NO_SUCH"),
    ],
)
def test_a_program_that_cannot_start_leaves_word_of_it(
    tmp_path: Path, command: list[str], code: int, said: str
) -> None:
    sweep = make(tmp_path, command=command)
    result = run_trial(sweep, 0)
    assert result.state == TrialState.FAILED
    assert result.exit_code == code
    assert said in result.message
    assert read_results(sweep.folder) == {0: result}


def test_a_store_that_cannot_be_written_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    (sweep.folder.path / "workers").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        run_trial(sweep, 0)
    assert not (tmp_path / "seen.json").exists()


def test_a_trial_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SweepError):
        run_trial(make(tmp_path), 2)


def test_the_search_hears_of_a_trial_that_was_run_by_hand(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "echo loss=2.5", metric=LOSS)
    assert run_trial(sweep, 1).value == 2.5
    with Search.open(sweep) as search:
        assert [(one.configuration, one.values) for one in search.records()] == [(1, (2.5,))]


def test_slurm_and_its_requeues_are_written_down(tmp_path: Path) -> None:
    slurm = {"SLURM_JOB_ID": "53", "SLURM_ARRAY_JOB_ID": "50", "SLURM_ARRAY_TASK_ID": "3"}
    sweep = make(tmp_path)
    result = run_trial(sweep, 0, environ=environ(**slurm, SLURM_RESTART_COUNT="2"))
    assert result.job == "50_3"
    claim = find_last_claim(sweep.folder, 0)
    assert claim is not None
    assert (claim.job, claim.restart) == ("50_3", 2)
    del slurm["SLURM_ARRAY_JOB_ID"]
    assert run_trial(sweep, 0, environ=environ(**slurm)).job == "53"


@pytest.mark.parametrize("bad_rank", [0, 1])
def test_a_trial_of_several_tasks_fails_with_any_of_them_in_any_attempt(
    tmp_path: Path, bad_rank: int
) -> None:
    text = f'test "$SLURM_PROCID" != {bad_rank} || exit 5'
    sweep = make_sweep(tmp_path, text, max_retries=0)
    for launch in ("0", "1"):
        for rank in (0, 1):
            run_trial(sweep, 0, environ=environ(**step_of(rank, step=launch)))
        result = read_results(sweep.folder)[0]
        assert (result.state, result.exit_code, result.rank) == (TrialState.FAILED, 5, bad_rank)
        assert result.attempt == int(launch) + 1


def test_all_ranks_of_a_launch_are_in_the_attempt_that_rank_0_has_taken(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "echo $RANK $HPCTRACK_ATTEMPT > seen.$RANK")
    run_trial(sweep, 0)
    other = start_python(RUN, str(sweep.store), env=rank_environment(1, 2))
    try:
        first = run_python(RUN, str(sweep.store), env=rank_environment(0, 2))
        out, err = other.communicate(timeout=180)
    finally:
        other.kill()
        other.communicate()
    assert first.stdout == "finished 0 2 0\n", first.stderr
    assert out == "finished 0 2 1\n", err
    assert [(tmp_path / f"seen.{one}").read_text() for one in (0, 1)] == ["0 2\n", "1 2\n"]


def test_a_rank_that_waits_for_rank_0_leaves_when_asked_to(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "touch ran")
    code = RUN.replace("result =", "print('up', flush=True)\nresult =", 1)
    other = start_python(code, str(sweep.store), env=rank_environment(1, 2))
    try:
        assert other.stdout is not None
        other.stdout.readline()

        def has_left() -> bool:
            other.send_signal(signal.SIGTERM)
            return other.poll() is not None

        wait_for(has_left)
    finally:
        other.kill()
        other.communicate()
    assert not (tmp_path / "ran").exists()
