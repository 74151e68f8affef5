"""Running one trial: environment, command, signals, and the word it leaves."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack.errors import SweepError
from hpctrack.sweeps.sweep import Sweep, create_sweep
from hpctrack.sweeps.worker.child import run_child
from hpctrack.sweeps.worker.loop import WorkerOptions, run_worker
from hpctrack.sweeps.worker.process import is_alive, read_stamp
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_results, write_result
from hpctrack.sweeps.worker.trial import run_trial
from tests.programs import start_python, wait_for

SHOW = """
import json, os, sys
ours = ("HPCTRACK_", "SUBMITIT_")
seen = {key: value for key, value in os.environ.items() if key.startswith(ours)}
json.dump({"argv": sys.argv[1:], "env": seen, "cwd": os.getcwd()}, open("seen.json", "w"))
print("out"); print("err", file=sys.stderr)
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


def environ(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


def test_a_trial_gets_its_parameters_and_its_place(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    end = run_trial(
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
        "HPCTRACK_STRICT": "1",
    }
    assert wanted.items() <= seen["env"].items()
    assert json.loads(seen["env"]["HPCTRACK_SWEEP_CONFIG"]) == {"lr": 0.2, "net": {"d": 3}}
    assert "SUBMITIT_FOLDER" not in seen["env"]
    assert end.result.state == TrialState.FINISHED
    assert end.result.command[1] == sys.executable
    assert read_results(sweep.folder) == {1: end.result}


def test_output_passes_through_or_goes_to_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = make(tmp_path)
    run_trial(sweep, 0)
    assert capfd.readouterr() == ("out\n", "err\n")
    run_trial(sweep, 0, output=sweep.folder.log(0))
    assert sorted(sweep.folder.log(0).read_text().split()) == ["err", "out"]
    assert capfd.readouterr() == ("", "")


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
    sweep = make(tmp_path, program)
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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], code: int, said: str
) -> None:
    sweep = make(tmp_path, command=command)
    result = run_trial(sweep, 0).result
    assert result.state == TrialState.FAILED
    assert result.exit_code == code
    assert said in result.message
    assert said in capsys.readouterr().err
    assert read_results(sweep.folder) == {0: result}


def test_parameters_come_as_a_file_if_the_command_asks(tmp_path: Path) -> None:
    command = [
        "${interpreter}",
        "-c",
        "import sys; print(open(sys.argv[1]).read())",
        "${args_json_file}",
    ]
    sweep = make(tmp_path, command=command)
    run_trial(sweep, 0, output=tmp_path / "out")
    assert json.loads((tmp_path / "out").read_text()) == {"lr": 0.1, "net": {"d": 3}}


def test_a_store_that_is_full_does_not_end_the_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make(tmp_path)
    (sweep.folder.path / "trials").write_text("in the way")
    assert run_trial(sweep, 0).result.state == TrialState.FINISHED
    assert "cannot write" in capsys.readouterr().err
    assert (tmp_path / "seen.json").exists()


def test_a_trial_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SweepError):
        run_trial(make(tmp_path), 2)


def test_slurm_and_its_requeues_are_written_down(tmp_path: Path) -> None:
    slurm = {"SLURM_JOB_ID": "53", "SLURM_ARRAY_JOB_ID": "50", "SLURM_ARRAY_TASK_ID": "3"}
    sweep = make(tmp_path)
    result = run_trial(sweep, 0, environ=environ(**slurm, SLURM_RESTART_COUNT="2")).result
    assert (result.job, result.attempt) == ("50_3", 3)
    del slurm["SLURM_ARRAY_JOB_ID"]
    assert run_trial(sweep, 0, environ=environ(**slurm)).result.job == "53"


@pytest.mark.parametrize("bad_rank", [0, 1])
def test_a_trial_of_several_tasks_fails_with_any_of_them(tmp_path: Path, bad_rank: int) -> None:
    program = f"import os; raise SystemExit(5 if os.environ['SLURM_PROCID'] == '{bad_rank}' else 0)"
    sweep = make(tmp_path, program)
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    for rank in (0, 1):
        run_trial(sweep, 0, environ=environ(**step, SLURM_PROCID=str(rank)))
    result = read_results(sweep.folder)[0]
    assert (result.state, result.exit_code, result.rank) == (TrialState.FAILED, 5, bad_rank)


def test_a_rank_that_failed_in_an_earlier_attempt_is_forgiven(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    failed = TrialResult(trial=0, state=TrialState.FAILED, exit_code=1, rank=4, attempt=1)
    write_result(sweep.folder, failed)
    again = TrialResult(trial=0, state=TrialState.FINISHED, exit_code=0, attempt=2)
    write_result(sweep.folder, again)
    assert read_results(sweep.folder) == {0: again}


def test_a_file_that_is_no_result_counts_for_nothing(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    run_trial(sweep, 0)
    sweep.folder.trial(1).write_text("{")
    sweep.folder.trial(2).write_text('{"state": "strange"}')
    (sweep.folder.path / "trials" / "notes.txt").write_text("")
    assert set(read_results(sweep.folder)) == {0}


def test_workers_share_trials_and_each_is_run_once(tmp_path: Path) -> None:
    sweep = make(tmp_path, "print('ran')", parameters={"a": {"values": [1, 2, 3]}})
    sweep.folder.path.joinpath("trials").mkdir()
    sweep.folder.taken(1).write_text("")
    run_worker(sweep, WorkerOptions(has_logs=True))
    assert set(read_results(sweep.folder)) == {0, 2}
    assert sweep.folder.log(2).read_text() == "ran\n"


def test_a_hidden_gpu_is_shown_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show = "import os; print(repr(os.environ.get('CUDA_VISIBLE_DEVICES')))"
    sweep = make(tmp_path, show)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for number, before in enumerate((None, "2,3")):
        restored = {"CUDA_VISIBLE_DEVICES": before}
        run_worker(sweep, WorkerOptions(has_logs=True, max_trials=1, restored=restored))
        assert sweep.folder.log(number).read_text().strip() == repr(before)


RUNNER = """
import sys
from pathlib import Path
from hpctrack.sweeps.worker.child import run_child
import os
end = run_child(
    [sys.executable, "-c", sys.argv[1]], environ=os.environ, directory=Path("."),
)
print(end.exit_code, end.signal, end.was_stopped)
"""
PATIENT = """
import signal, sys, time
def on(number, frame):
    print('got', signal.Signals(number).name, flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, on)
signal.signal(signal.SIGUSR1, on)
open('ready', 'w').close()
while True: time.sleep(0.05)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_signals_are_passed_on_and_the_program_may_tidy_up(tmp_path: Path, name: str) -> None:
    runner = start_python(RUNNER, PATIENT)
    try:
        wait_for((tmp_path / "ready").exists)
        runner.send_signal(signal.Signals[name])
        out, _ = runner.communicate(timeout=20)
    finally:
        runner.kill()
        runner.communicate()
    assert out.splitlines() == [f"got {name}", f"7  {name == 'SIGTERM'}"]


def test_a_trial_is_ended_when_its_time_is_up(tmp_path: Path) -> None:
    end = run_child(["sleep", "60"], environ=os.environ, directory=tmp_path, timeout_s=0.2)
    assert (end.exit_code, end.signal) == (143, "SIGTERM")
    assert "0.2 s" in end.message
    assert not end.was_stopped


def test_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_child(["true"], environ=os.environ, directory=tmp_path)
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_a_process_is_known_by_more_than_its_number() -> None:
    child = start_python("import sys; sys.stdin.read()")
    stamp = read_stamp(child.pid)
    assert is_alive(child.pid, stamp)
    assert not is_alive(child.pid, "1")
    assert not is_alive(child.pid, "")
    child.kill()
    wait_for(lambda: not is_alive(child.pid, stamp))  # a zombie does not count
    child.communicate()
    assert read_stamp(child.pid) == ""
