"""Planning, handing over and watching, with Slurm's commands as small programs on PATH."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack.errors import NotFoundError, SweepError, UsageError
from hpctrack.sweeps.control import Wish, read_control, write_control
from hpctrack.sweeps.folder import write_json
from hpctrack.sweeps.results.best import find_best
from hpctrack.sweeps.results.status import read_states, read_status
from hpctrack.sweeps.slurm_queue import read_queue
from hpctrack.sweeps.submission import executor
from hpctrack.sweeps.submission.executor import SweepWorker, submit_sweep
from hpctrack.sweeps.submission.plan import Wanted, choose_executor, plan_submission
from hpctrack.sweeps.submission.waiting import wait_for_submission
from hpctrack.sweeps.submission_record import Worker, confirm, read_submissions, reserve
from hpctrack.sweeps.sweep import Sweep, create_sweep
from hpctrack.sweeps.worker.loop import WorkerEnd, WorkerOptions
from hpctrack.sweeps.worker.process import read_stamp
from hpctrack.sweeps.worker.result import TrialResult, TrialState, write_result
from tests.stores import NodeWriter

SBATCH = """#!/bin/sh
cp "$1" "$SLURM_FAKE/script"
if [ -e "$SLURM_FAKE/refuse" ]; then
  echo "sbatch: error: invalid partition specified: nowhere" >&2
  echo "sbatch: error: Batch job submission failed: Invalid partition name specified" >&2
  exit 1
fi
echo "Submitted batch job 50"
"""
SQUEUE = """#!/bin/sh
echo "$@" >> "$SLURM_FAKE/asked"
cat "$SLURM_FAKE/queue" 2>/dev/null && exit 0
echo "slurm_load_jobs error: Invalid job id specified" >&2
exit 1
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an sbatch that only takes jobs and a squeue that reads a file on PATH."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    programs = (("sbatch", SBATCH), ("squeue", SQUEUE), ("srun", "#!/bin/sh\n"))
    for name, text in programs:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_FAKE", str(folder))
    return folder


@pytest.fixture
def no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))


def make(tmp_path: Path, program: str = "", **more: Any) -> Sweep:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "train.py").write_text(program)
    config = {
        "method": "grid",
        "program": "train.py",
        "project": "digits",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"a": {"values": [1, 2, 3]}},
        **more,
    }
    return create_sweep(tmp_path / "store", config, sweep_id="s")


def script_lines(slurm: Path) -> list[str]:
    return (slurm / "script").read_text().splitlines()


def test_workers_become_one_job_array(tmp_path: Path, slurm: Path) -> None:
    sweep = make(
        tmp_path,
        slurm={
            "partition": "debug", "timeout_min": 7, "tasks_per_node": 2, "mem_gb": 1,
            "srun_args": ["--mpi=pmix"], "setup": ["module load x"],
            "additional_parameters": {"mail-type": "END"},
        },
    )  # fmt: skip
    submission = submit_sweep(sweep.store, sweep, Wanted(parallelism=2, max_trials=1))
    assert submission.executor == "slurm"
    assert [worker.job for worker in submission.workers] == ["50_0", "50_1", "50_2"]
    assert (submission.tasks, submission.parallelism, submission.max_trials) == (3, 2, 1)
    lines = script_lines(slurm)
    for line in (
        "#SBATCH --array=0-2%2",
        "#SBATCH --partition=debug",
        "#SBATCH --time=7",
        "#SBATCH --ntasks-per-node=2",
        "#SBATCH --mem=1GB",
        "#SBATCH --mail-type=END",
        "#SBATCH --job-name=sweep-s",
        "module load x",
    ):
        assert line in lines
    assert read_submissions(sweep) == [submission]
    # Slurm opens the output before submitit makes any folder: it must be there already.
    (output,) = (line.partition("=")[2] for line in lines if line.startswith("#SBATCH --output"))
    assert Path(output).parent.is_dir()
    assert Path(submission.workers[1].log).parent == Path(output).parent


def test_one_worker_takes_the_shells_place_whatever_a_trial_asks_for(
    tmp_path: Path, slurm: Path
) -> None:
    sweep = make(tmp_path, slurm={"nodes": 2, "tasks_per_node": 2, "srun_args": ["--mpi=pmix"]})
    submit_sweep(sweep.store, sweep)
    lines = script_lines(slurm)
    assert not any("srun" in line for line in lines)
    (started,) = (line for line in lines if "submitit.core._submit" in line)
    assert started.startswith(f"exec {sys.executable} ")
    # The signal is for the shell, so for the worker; it may come while that is only starting.
    assert "#SBATCH --signal=B:USR2@90" in lines
    assert lines.index("trap '' USR2") < lines.index(started)


def test_a_worker_that_is_to_come_back_leaves_that_to_submitit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make(tmp_path)
    end = WorkerEnd(1, 1, 0, 0, "time is up", should_requeue=True)
    monkeypatch.setattr(executor, "run_worker", lambda *_, **__: end)
    heard: list[int] = []
    # submitit's handler stands here: it calls `checkpoint` and has Slurm requeue the job.
    before = signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    try:
        SweepWorker(str(sweep.store), "digits", "s", WorkerOptions())()
        assert heard == [signal.SIGUSR2]

        def refuse(*_: object) -> None:
            raise subprocess.CalledProcessError(1, ["scontrol", "requeue", "50"])

        signal.signal(signal.SIGUSR2, refuse)  # Slurm is about to requeue a preempted job itself
        worker = SweepWorker(str(sweep.store), "digits", "s", WorkerOptions())
        assert worker()["should_requeue"]
        assert "not requeued from here" in capsys.readouterr().err
    finally:
        signal.signal(signal.SIGUSR2, before)
    worker = SweepWorker(str(sweep.store), "digits", "s", WorkerOptions())
    assert worker()["why"] == "time is up"  # nobody listens: it ends as it is


def test_an_hour_is_asked_for_and_not_submitits_five_minutes(tmp_path: Path, slurm: Path) -> None:
    sweep = make(tmp_path)
    submit_sweep(sweep.store, sweep, Wanted(count=1))
    assert "#SBATCH --time=60" in script_lines(slurm)
    assert not any("--array" in line for line in script_lines(slurm))


@pytest.mark.parametrize(
    ("block", "asked"),
    [
        ({}, "B:USR2@90"),
        ({"timeout_min": 2}, "B:USR2@30"),
        ({"signal_delay_s": 300}, "B:USR2@300"),
        ({"additional_parameters": {"signal": "USR1@5"}}, "USR1@5"),
    ],
)
def test_the_worker_is_warned_before_its_time_is_up(
    tmp_path: Path, slurm: Path, block: dict[str, Any], asked: str
) -> None:
    sweep = make(tmp_path, slurm=block)
    submit_sweep(sweep.store, sweep)
    assert f"#SBATCH --signal={asked}" in script_lines(slurm)


def test_with_a_teardown_the_shell_stays_and_hands_signals_on(tmp_path: Path, slurm: Path) -> None:
    sweep = make(tmp_path, slurm={"teardown": ["echo bye"]})
    submit_sweep(sweep.store, sweep)
    lines = script_lines(slurm)
    assert any(line.startswith(f"run_worker {sys.executable} ") for line in lines)
    assert lines.index("echo bye") > lines.index("run_worker() {")


def test_what_submitit_calls_on_the_node_takes_the_trials(tmp_path: Path, slurm: Path) -> None:
    sweep = make(tmp_path)
    submit_sweep(sweep.store, sweep, Wanted(count=2, workers=1))
    (pickled,) = sweep.folder.jobs(1).glob("*_submitted.pkl")
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path)}
    environ |= {"SLURM_JOB_ID": "50", "SUBMITIT_EXECUTOR": "slurm"}
    done = subprocess.run(
        [sys.executable, "-m", "submitit.core._submit", str(pickled.parent)],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    states = read_states(sweep, asks_queue=False)
    assert states == {0: TrialState.FINISHED, 1: TrialState.FINISHED}
    # The same object again, as after a requeue: what it was to take has been taken.
    checkpointed = SweepWorker(str(sweep.store), "digits", "s", WorkerOptions()).checkpoint()
    assert isinstance(checkpointed.function, SweepWorker)


def test_a_refusal_is_told_in_slurms_words_and_leaves_no_record(
    tmp_path: Path, slurm: Path
) -> None:
    (slurm / "refuse").touch()
    sweep = make(tmp_path)
    with pytest.raises(SweepError) as caught:
        submit_sweep(sweep.store, sweep, executor="slurm")
    assert "invalid partition specified: nowhere" in caught.value.message
    assert "Invalid partition name specified" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint is not None
    assert read_submissions(sweep) == []
    (slurm / "refuse").unlink()
    assert submit_sweep(sweep.store, sweep, executor="slurm").number == 1


def test_auto_is_local_where_there_is_no_slurm(no_slurm: None) -> None:
    assert choose_executor("auto") == "local"
    with pytest.raises(SweepError, match="not on PATH"):
        choose_executor("slurm")
    with pytest.raises(UsageError):
        choose_executor("cloud")


def test_a_program_that_is_not_there_is_missed_before_it_waits(
    tmp_path: Path, no_slurm: None
) -> None:
    sweep = make(tmp_path)
    (tmp_path / "train.py").unlink()
    with pytest.raises(SweepError, match=r"train\.py"):
        plan_submission(sweep)


def test_this_machine_runs_one_task_per_trial(tmp_path: Path, no_slurm: None) -> None:
    sweep = make(tmp_path, slurm={"nodes": 2, "tasks_per_node": 4})
    with pytest.raises(SweepError, match="8 tasks"):
        plan_submission(sweep, executor="local")


def test_workers_follow_the_cores_here(tmp_path: Path, no_slurm: None) -> None:
    cores = len(os.sched_getaffinity(0))
    sweep = make(tmp_path, parameters={"a": {"min": 1, "max": 1000}})
    assert plan_submission(sweep).tasks == cores
    assert plan_submission(sweep, Wanted(parallelism=7)).tasks == 7
    assert plan_submission(sweep, Wanted(parallelism=7, count=2)).tasks == 2
    assert plan_submission(sweep, Wanted(parallelism=7, workers=3)).tasks == 3
    with pytest.raises(UsageError):
        plan_submission(sweep, Wanted(parallelism=0))


@pytest.mark.parametrize(
    ("wanted", "planned"),
    [
        (Wanted(), (8, 8, 1000)),
        (Wanted(parallelism=20), (20, 20, 1000)),
        (Wanted(workers=30), (30, 30, 1000)),
        (Wanted(workers=30, parallelism=4), (30, 4, 1000)),
        (Wanted(max_trials=1), (1000, 1000, 1000)),
        (Wanted(max_trials=300, parallelism=2), (4, 2, 1000)),
        (Wanted(count=5), (5, 5, 5)),
        (Wanted(count=5, max_trials=2), (3, 3, 5)),
        (Wanted(workers=2, max_trials=3), (2, 2, 6)),
    ],
)
def test_how_many_tasks_an_array_has(
    tmp_path: Path, slurm: Path, wanted: Wanted, planned: tuple[int, int, int]
) -> None:
    plan = plan_submission(make(tmp_path, parameters={"a": {"min": 1, "max": 1000}}), wanted)
    assert (plan.tasks, plan.parallelism, plan.trials) == planned
    bounded = make(
        tmp_path / "b",
        parameters={"a": {"min": 1, "max": 1000}},
        slurm={"array_parallelism": 5},
    )
    assert plan_submission(bounded).tasks == 5


def test_submissions_of_one_sweep_add_up(tmp_path: Path, slurm: Path) -> None:
    sweep = make(tmp_path)
    say(sweep, 0, TrialState.FINISHED, exit_code=0)
    first = submit_sweep(sweep.store, sweep, Wanted(workers=1))
    second = submit_sweep(sweep.store, sweep)
    assert (first.number, first.tasks) == (1, 1)
    assert (second.number, second.tasks) == (2, 2)  # what the first will take is not known
    say(sweep, 1, TrialState.RUNNING, job="50_0")
    say(sweep, 2, TrialState.FAILED, exit_code=1)
    (slurm / "queue").write_text("50\n50_0\n")
    with pytest.raises(SweepError, match="all 3 trials"):
        submit_sweep(sweep.store, sweep)


def test_a_sweep_without_end_needs_a_count_here_and_none_under_slurm(
    tmp_path: Path, slurm: Path
) -> None:
    sweep = make(tmp_path, method="random", parameters={"a": {"min": 0.0, "max": 1.0}})
    with pytest.raises(UsageError, match="no end"):
        plan_submission(sweep, executor="local")
    plan = plan_submission(sweep)
    assert (plan.tasks, plan.left, plan.trials) == (8, None, None)


def test_who_submits_wants_a_stopped_sweep_to_run_and_a_paused_one_resumed(
    tmp_path: Path, slurm: Path
) -> None:
    sweep = make(tmp_path)
    write_control(sweep.folder, Wish.CANCEL)
    submit_sweep(sweep.store, sweep)
    assert read_control(sweep.folder).wish == Wish.RUN
    write_control(sweep.folder, Wish.PAUSE)
    with pytest.raises(SweepError, match="paused"):
        submit_sweep(sweep.store, sweep)


def test_records_of_older_versions_are_read(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    old = {
        "sweep_id": "s", "project": "digits", "number": 1, "executor": "slurm", "trials": [0, 1],
        "parallelism": 2, "host": "login", "submitted_wall_s": 1.0,
        "workers": [{"job": "7_0", "trials": [0], "log": "x", "pid": 0, "stamp": ""}],
    }  # fmt: skip
    write_json(sweep.folder.submission(1), old)
    (read,) = read_submissions(sweep)
    assert (read.trials, read.workers[0].trials, read.tasks) == ((0, 1), (0,), 0)


def test_a_sweep_of_another_store_is_refused(tmp_path: Path, no_slurm: None) -> None:
    with pytest.raises(UsageError, match="lies in"):
        submit_sweep(tmp_path / "elsewhere", make(tmp_path))


def test_the_queue_is_asked_once_for_all_tasks(slurm: Path) -> None:
    (slurm / "queue").write_text("50_1\n50_2\n51\n99\n")
    assert read_queue(["50_0", "50_1", "51", "52"]) == frozenset({"50_1", "51"})
    (asked,) = (slurm / "asked").read_text().splitlines()
    assert "--jobs=50,51,52" in asked
    assert read_queue([]) is None


def test_jobs_that_slurm_has_forgotten_are_gone_and_no_answer_means_nothing(
    slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_queue(["50_0"]) == frozenset()
    (slurm / "squeue").write_text("#!/bin/sh\necho 'Unable to contact controller' >&2; exit 1\n")
    assert read_queue(["50_0"]) is None
    monkeypatch.setenv("PATH", str(slurm / "none"))
    assert read_queue(["50_0"]) is None


def say(sweep: Sweep, number: int, state: TrialState, **more: Any) -> None:
    write_result(sweep.folder, TrialResult(trial=number, state=state, host="n9", **more))


def test_trials_of_jobs_that_are_gone_have_crashed(tmp_path: Path, slurm: Path) -> None:
    sweep = make(tmp_path, parameters={"a": {"min": 0, "max": 4}})
    submit_sweep(sweep.store, sweep)
    say(sweep, 0, TrialState.FINISHED, exit_code=0, job="50_0")
    say(sweep, 1, TrialState.RUNNING, job="50_1")
    say(sweep, 2, TrialState.RUNNING, job="50_2")
    (slurm / "queue").write_text("50_2\n50_3\n")
    states = [state.value for _, state in sorted(read_states(sweep).items())]
    assert states == ["finished", "crashed", "running"]
    assert read_states(sweep, asks_queue=False)[1] == TrialState.RUNNING


def test_waiting_ends_when_the_workers_have_left(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    child = subprocess.Popen(["sleep", "60"])
    worker = Worker(job=str(child.pid), pid=child.pid, stamp=read_stamp(child.pid))
    submission = confirm(sweep, reserve(sweep, "local", tasks=1), (worker,))
    say(sweep, 0, TrialState.FINISHED, exit_code=0)
    say(sweep, 1, TrialState.FAILED, exit_code=3)
    seen: list[dict[int, TrialState]] = []

    def look(states: dict[int, TrialState]) -> None:
        seen.append(states)
        child.kill()
        child.wait()

    states = wait_for_submission(sweep, submission, on_progress=look)
    assert len(seen) == 2
    assert list(states.values()) == [TrialState.FINISHED, TrialState.FAILED]


def test_slurms_workers_are_not_waited_for_when_nothing_is_left(
    tmp_path: Path, slurm: Path
) -> None:
    sweep = make(tmp_path)
    submission = submit_sweep(sweep.store, sweep)
    (slurm / "queue").write_text("50_0\n")
    for number in range(3):
        say(sweep, number, TrialState.FINISHED, exit_code=0)
    assert len(wait_for_submission(sweep, submission)) == 3


def write_run(sweep: Sweep, number: int, loss: float, *, project: str = "", code: int = 0) -> None:
    writer = NodeWriter(sweep.store, project=project or sweep.project, run=sweep.run_id(number))
    session = writer.start(0, group=sweep.id, sweep=sweep.id, trial=number)
    writer.points("loss", 0, [0], [loss])
    writer.end(0, session, exit_code=code)
    writer.close()


def test_status_joins_what_trials_say_and_what_runs_recorded(tmp_path: Path) -> None:
    sweep = make(tmp_path, parameters={"a": {"min": 0, "max": 9}})
    for number in range(4):
        say(sweep, number, TrialState.FINISHED, exit_code=0, duration_s=1.0)
    write_run(sweep, 0, 0.5)
    write_run(sweep, 1, 0.2, project="elsewhere")  # the program chose the project
    write_run(sweep, 2, 0.1, code=1)  # it said so in finish()
    write_run(sweep, 6, 0.3)  # run by hand
    status = read_status(sweep)
    assert [one.number for one in status.trials] == [0, 1, 2, 3]
    assert [one.state.value for one in status.trials] == [
        "finished", "finished", "failed", "finished",
    ]  # fmt: skip
    assert [one.metric for one in status.trials] == [0.5, 0.2, 0.1, None]
    assert [one.run_state for one in status.trials] == ["finished", "finished", "failed", ""]
    assert status.trials[1].run_project == "elsewhere"
    assert status.trials[3].parameters == {"a": 3}
    assert status.open_count == 6
    assert find_best(status).number == 1
    as_json = status.to_json()
    assert as_json["counts"]["finished"] == 3
    assert as_json["trials"][0]["run"] == "s-0000"


@pytest.mark.parametrize(("goal", "best"), [("minimize", 1), ("maximize", 0)])
def test_the_best_is_by_the_goal_and_nan_never_wins(tmp_path: Path, goal: str, best: int) -> None:
    sweep = make(tmp_path, metric={"name": "loss", "goal": goal})
    for number, loss in enumerate((0.5, 0.2, float("nan"))):
        say(sweep, number, TrialState.FINISHED, exit_code=0)
        write_run(sweep, number, loss)
    assert find_best(read_status(sweep)).number == best


def test_without_a_metric_or_a_finished_trial_there_is_no_best(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="loss"):
        find_best(read_status(make(tmp_path / "a")))
    sweep = make(tmp_path / "b", metric=None)
    with pytest.raises(UsageError, match="no metric"):
        find_best(read_status(sweep))
