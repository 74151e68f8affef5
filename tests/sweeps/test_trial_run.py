"""A trial of a sweep and its worker: what is reported, and how the trial hears of its end."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import hpctrack
from hpctrack.agents.stop import write_stop
from hpctrack.cli import main as cli
from hpctrack.client.trial_run import TrialRun
from hpctrack.core.trial_wire import Ask, Hello, Report
from tests.programs import only_run, run_python, wait_for
from tests.trial_workers import WorkerDouble, listening, trial_environment

SILENCE_S = "1"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def enter(monkeypatch: pytest.MonkeyPatch, path: object, *metrics: str) -> None:
    for name, value in trial_environment(path, *metrics).items():
        monkeypatch.setenv(name, value)


def plain(worker: WorkerDouble) -> list[tuple[int, dict[str, float]]]:
    return [(one.step, dict(one.values)) for one in worker.reports]


def bad_after(steps: int) -> object:
    def decide(reports: Sequence[Report]) -> str:
        return f"bad at step {reports[-1].step}" if len(reports) >= steps else ""

    return decide


def test_what_the_sweep_wants_is_reported_whatever_it_was_logged_as(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Tensor:
        def item(self) -> float:
            return 0.25

    with listening() as worker:
        enter(monkeypatch, worker.path, "loss", "val.acc", "test/f1")
        with hpctrack.init() as run:
            run.log({"loss": 1.0, "other": 2.0})
            run.log({"other": 1.0})
            run.log({"loss": np.float32(0.5), "val": {"acc": 1, "more": 2}}, step=7)
            run.log({"loss": Tensor()}, commit=False)
            run.log({"test/f1": float("nan"), "val/acc": float("-inf")}, step=np.int64(9))  # type: ignore[arg-type]
            run.log({"loss": "text", "test": {"f1": np.array([3.0])}})
            assert not run.should_stop()
        first = worker.said[0]
        assert first == Hello("t", 1, first.pid, raises=False)  # type: ignore[union-attr]
        found = plain(worker)
    assert math.isnan(found[3][1].pop("test/f1"))
    assert found == [
        (0, {"loss": 1.0}),
        (7, {"loss": 0.5, "val.acc": 1.0}),
        (8, {"loss": 0.25}),
        (9, {"val.acc": -math.inf}),
        (10, {"test/f1": 3.0}),
    ]


def test_the_worker_is_asked_once_for_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(bad_after(2)) as worker:  # type: ignore[arg-type]
        enter(monkeypatch, worker.path)
        with hpctrack.init() as run:
            assert not run.should_stop()
            run.log({"loss": 1.0})
            assert [run.should_stop() for _ in range(3)] == [False] * 3
            run.log({"loss": 1.0})
            assert [run.should_stop() for _ in range(3)] == [True] * 3
            assert run.stop_reason == "sweep: bad at step 1"
        assert [one for one in worker.said if isinstance(one, Ask)] == [Ask(1), Ask(2)]


def test_the_run_tells_that_it_was_stopped_and_by_whom(
    monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    with listening() as worker:
        enter(monkeypatch, worker.path)
        with hpctrack.init() as run:
            assert not run.should_stop()
            assert wait_for(lambda: worker.said)
            worker.tell("all others are better")
            assert wait_for(run.should_stop)
    found = only_run(store)
    assert found.state == "finished"
    (told,) = [one for one in found.record.warnings if one["code"] == "stopped"]
    assert told["text"] == "the program was told to end: sweep: all others are better"


def test_a_worker_that_does_not_answer_costs_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCTRACK_STOP_ANSWER_TIMEOUT_S", SILENCE_S)
    with listening(bad_after(99)) as worker:  # type: ignore[arg-type]
        enter(monkeypatch, worker.path)
        worker.is_mute = True
        with hpctrack.init() as run:
            begun_s = time.monotonic()
            for _ in range(50):
                run.log({"loss": 1.0})
                assert not run.should_stop()
            assert time.monotonic() - begun_s < 50 * float(SILENCE_S) / 2
            worker.is_mute = False
            wait_for(lambda: len([one for one in worker.said if isinstance(one, Report)]) == 50)
            assert len([one for one in worker.said if isinstance(one, Ask)]) == 1
            worker.tell("late")
            assert wait_for(run.should_stop)


def test_a_worker_that_is_gone_leaves_the_stop_file(
    monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    monkeypatch.setenv("HPCTRACK_HEARTBEAT_S", "0.05")
    with listening() as worker:
        enter(monkeypatch, worker.path)
        run = hpctrack.init()
        run.log({"loss": 1.0})
        assert not run.should_stop()
    run.log({"loss": 1.0})
    assert not run.should_stop()
    run.flush(90)
    write_stop(store / "p" / "t", who="sweep", why="worse", attempt=1, wall_s=0.0)

    def hears() -> bool:
        run.log({"loss": 1.0})
        return run.should_stop()

    assert wait_for(hears)
    assert run.stop_reason == "sweep: worse"
    run.finish()
    assert not only_run(store).record.ledger


@pytest.mark.parametrize("path", ["/nowhere/s", "x" * 300, "\0", "."])
def test_a_socket_that_cannot_be_reached_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, store: Path, path: str
) -> None:
    if path == "\0":
        path = "/dev/null"
    enter(monkeypatch, path)
    monkeypatch.setenv("HPCTRACK_SWEEP_METRICS", "{nonsense")
    with hpctrack.init() as run:
        run.log({"loss": 1.0})
        assert not run.should_stop()
    assert len(only_run(store).metric("loss")) == 1


def test_a_report_that_finds_no_room_is_no_loss_of_the_run(
    monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    import socket

    path = Path(monkeypatch.__class__.__name__)  # a short relative name, in the test's folder
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        enter(monkeypatch, path)
        monkeypatch.setenv("HPCTRACK_STOP_ANSWER_TIMEOUT_S", SILENCE_S)
        run = hpctrack.init()
        for _ in range(5000):
            run.log({"loss": 1.0})
        assert not run.should_stop()
        run.finish()
    found = only_run(store)
    assert not found.lost
    assert len(found.metric("loss")) == 5000


def test_outside_sweeps_a_run_knows_nothing_of_them() -> None:
    with hpctrack.init("p") as run:
        assert not isinstance(run, TrialRun)
        assert run.checkpoint_dir is None


def test_a_trial_knows_its_folder_for_checkpoints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    enter(monkeypatch, "/nowhere")
    monkeypatch.setenv("HPCTRACK_TRIAL_DIR", str(tmp_path))
    with hpctrack.init() as run:
        assert isinstance(run, TrialRun)
        assert run.checkpoint_dir == tmp_path


LOOP = """
import sys, hpctrack
print("begins")
with hpctrack.init(raise_pruned=True) as run:
    try:
        for step in range(1000):
            try:
                run.log({"loss": 1.0})
                run.log({"other": 1.0}, step=step)
            except Exception:
                print("swallowed")
    finally:
        run.log({"last": 1.0})
        print("cleaned up", run.step)
print("never")
"""


def test_a_program_that_wants_it_is_ended_by_pruned(store: Path) -> None:
    with listening(bad_after(3)) as worker:  # type: ignore[arg-type]
        ended = run_python(LOOP, env=trial_environment(worker.path))
        assert worker.said[0].raises  # type: ignore[union-attr]
    assert (ended.returncode, ended.stdout) == (0, "begins\ncleaned up 4\n"), ended.stderr
    assert "Traceback" not in ended.stderr
    found = only_run(store)
    assert found.state == "finished"
    assert found.metric("loss").rank(0).step.tolist() == [0, 1, 2]
    assert found.metric("other").rank(0).step.tolist() == [0, 1, 2]
    texts = [one["text"] for one in found.record.warnings]
    assert texts == ["the program was told to end: sweep: bad at step 2"]


def test_pruned_is_raised_once_and_can_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(bad_after(1)) as worker:  # type: ignore[arg-type]
        enter(monkeypatch, worker.path)
        monkeypatch.setenv("HPCTRACK_RAISE_PRUNED", "1")
        with hpctrack.init() as run:
            run.log({"loss": 1.0}, commit=False)
            run.log({"loss": 1.0})
            with pytest.raises(hpctrack.Pruned, match="sweep: bad at step 0") as caught:
                run.log({"loss": 1.0})
            run.log({"loss": 1.0})
            assert run.should_stop()
        assert caught.value.code == 0
        assert not isinstance(caught.value, Exception)


def test_pruned_does_not_end_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    with listening(bad_after(1)) as worker:  # type: ignore[arg-type]
        enter(monkeypatch, worker.path)
        with hpctrack.init(raise_pruned=True) as run:
            run.log({"loss": 1.0})
            done: list[int] = []

            def log() -> None:
                run.log({"loss": 1.0})
                done.append(1)

            thread = threading.Thread(target=log)
            thread.start()
            thread.join()
            assert done == [1]
            with pytest.raises(hpctrack.Pruned):
                run.log({"loss": 1.0})


def test_the_command_that_stops_any_run_raises_too(
    monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    monkeypatch.setenv("HPCTRACK_HEARTBEAT_S", "0.05")
    with hpctrack.init("p", id="r", raise_pruned=True) as run:
        run.log({"a": 1})
        run.flush(90)
        write_stop(store / "p" / "r", who="me", why="enough", attempt=1, wall_s=0.0)

        def goes_on() -> bool:
            try:
                run.log({"a": 1})
            except hpctrack.Pruned as end:
                return str(end) == "me: enough"
            return False

        assert wait_for(goes_on)


ATTEMPT = """
import sys, hpctrack
run = hpctrack.init(config={"lr": 1})
print(run.step, run.resumed, run.config.as_dict())
begin = run.step
for step in range(begin, begin + 3):
    run.log({"loss": begin + 10.0}, step=step)
run.flush(90)
if len(sys.argv) > 1:
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("resume", ["", "allow"])
def test_a_trial_that_another_job_continues_is_the_next_attempt_of_its_run(
    store: Path, resume: str
) -> None:
    job = {"SLURM_JOB_ID": "71", "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": "n1"}
    first = run_python(ATTEMPT, "die", env=trial_environment("/nowhere") | job)
    assert first.returncode == -signal.SIGKILL
    again = trial_environment("/nowhere") | {"HPCTRACK_ATTEMPT": "2"} | job
    again |= {"SLURM_JOB_ID": "72", **({"HPCTRACK_RESUME": resume} if resume else {})}
    second = run_python(ATTEMPT, env=again)
    assert second.returncode == 0, second.stderr
    begin = 3 if resume else 0
    assert second.stdout.startswith(f"{begin} {bool(resume)}")
    found = only_run(store)
    assert (found.id, found.record.attempts, found.state) == ("t", 2, "finished")
    loss = found.metric("loss").rank(0)
    assert loss.step.tolist() == list(range(begin + 3))
    assert loss.value.tolist() == ([10.0] * 3 + [13.0] * 3 if resume else [10.0] * 3)
    assert len(found.metric("loss").attempt(1)) == 3


def test_a_requeued_worker_begins_new_trials_with_their_first_attempt(store: Path) -> None:
    job = {"SLURM_JOB_ID": "71", "SLURM_RESTART_COUNT": "2"}
    done = run_python(ATTEMPT, env=trial_environment("/nowhere") | job)
    assert done.returncode == 0, done.stderr
    assert only_run(store).record.attempts == 1


def test_a_wrapper_around_the_program_has_nothing_to_say_to_the_worker() -> None:
    code = "import hpctrack; hpctrack.init().log({'loss': 1.0})"
    with listening() as worker:
        done = subprocess.run(
            [sys.executable, "-m", "hpctrack", "run", "--", sys.executable, "-c", code],
            env={**os.environ, **trial_environment(worker.path)},
            check=False,
            timeout=180,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        wait_for(lambda: len(worker.said) >= 2)
        assert [type(one) for one in worker.said] == [Hello, Report]


def test_show_tells_that_a_run_was_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(bad_after(1)) as worker:  # type: ignore[arg-type]
        enter(monkeypatch, worker.path)
        with hpctrack.init() as run:
            run.log({"loss": 1.0})
            assert run.should_stop()
        monkeypatch.delenv("HPCTRACK_SWEEP_ID")
        assert cli.run(["show", "t"]) == 0
    assert "told to end: sweep: bad at step 0" in " ".join(capsys.readouterr().out.split())


def test_a_forked_child_leaves_the_line_to_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(bad_after(2)) as worker:  # type: ignore[arg-type]
        enter(monkeypatch, worker.path)
        with hpctrack.init() as run:
            run.log({"loss": 1.0})
            child = os.fork()
            if child == 0:
                run.log({"loss": 2.0})
                run.should_stop()
                os._exit(0)
            os.waitpid(child, 0)
            assert not run.should_stop()
            run.log({"loss": 3.0})
            assert run.should_stop()
    assert [one.values["loss"] for one in worker.reports] == [1.0, 3.0]


def test_a_program_that_closes_all_descriptors_is_not_cut_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = """
    import os, hpctrack
    run = hpctrack.init()
    run.log({"loss": 1.0})
    os.closerange(3, 200)
    mine = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
    run.log({"loss": 2.0})
    assert not run.should_stop()
    run.finish()
    assert [os.fstat(one).st_rdev for one in mine] == [os.stat("/dev/null").st_rdev] * 50
    """
    with listening() as worker:
        done = run_python(code, env=trial_environment(worker.path))
        assert done.returncode == 0, done.stderr
        wait_for(lambda: worker.reports)
        assert [one.values["loss"] for one in worker.reports] == [1.0]


def test_a_program_that_knows_of_its_end_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(bad_after(1)) as worker:  # type: ignore[arg-type]
        enter(monkeypatch, worker.path)
        with hpctrack.init(raise_pruned=True) as run:
            run.log({"loss": 1.0})
            assert run.should_stop()
            run.log({"final": 1.0})


@pytest.mark.parametrize("data", [None, 3, "loss", [("loss", 1.0)], {3: 1.0}, {"loss": object()}])
def test_odd_arguments_are_refused_once_as_in_any_run(
    monkeypatch: pytest.MonkeyPatch, store: Path, data: object
) -> None:
    with listening() as worker:
        enter(monkeypatch, worker.path, "loss")
        with hpctrack.init(raise_pruned=True) as run:
            run.log(data, step="nonsense")  # type: ignore[arg-type]
            run.log({"loss": 1.0}, step=2.5)  # type: ignore[arg-type]
        wait_for(lambda: worker.reports)
        assert [one.values for one in worker.reports] == [{"loss": 1.0}]
    refused = only_run(store).record.ledger["refused"]
    assert set(refused) <= {"log", "step", "value"}
    assert refused.get("log", 1) == 1
