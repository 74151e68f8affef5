"""What becomes of a program, and of its record, when the recorder is hurt. Processes are real."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import hpctrack
from tests.programs import list_agents, only_run, start_python, wait_for

SMALL_BUFFER = 256 * 1024

LOGGER = """
import os, sys, time, hpctrack
count, pause_s, progress = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
run = hpctrack.init("p", settings={"seal": "manual", "buffer_bytes": 262144})
run.log({"a": -1.0})
fd = os.open(progress, os.O_CREAT | os.O_WRONLY)
for number in range(count):
    run.log({"a": number})
    os.pwrite(fd, b"%12d" % (number + 1), 0)
    if pause_s:
        time.sleep(pause_s)
"""


@pytest.fixture
def progress(tmp_path: Path) -> Path:
    """The file in which a `LOGGER` says how many calls of log have returned."""
    return tmp_path / "progress"


@pytest.fixture
def logger(progress: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that logs at about 1 kHz for some seconds."""
    child = start_python(LOGGER, "6000", "0.001", str(progress))
    yield child
    if child.poll() is None:
        child.kill()
    child.communicate()


def read_progress(progress: Path) -> int:
    return int(progress.read_text() or 0) if progress.exists() else 0


def kill_agents() -> int:
    pids = list_agents()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


def test_agents_killed_at_any_moment_cost_nothing_and_double_nothing(
    logger: subprocess.Popen[str], progress: Path, tmp_path: Path
) -> None:
    chance = random.Random(7)
    for lost, share in enumerate((0.2, 0.45, 0.7)):
        wait_for(lambda share=share: read_progress(progress) > 6000 * share)  # type: ignore[misc]
        # One that has only been started is not missed when it dies.
        wait_for(lambda lost=lost: len([*tmp_path.glob("store/*/*/node-*.h5")]) > lost)  # type: ignore[misc]
        time.sleep(chance.random() / 20)  # a flush lasts some milliseconds of every 40
        assert wait_for(kill_agents) == 1
    _out, err = logger.communicate(timeout=180)
    assert logger.returncode == 0, err
    assert "Traceback" not in err
    found = only_run(tmp_path / "store")
    assert found.metric("a").values.tolist() == [-1, *range(6000)]
    assert found.record.ledger["agents_lost"] == 3
    assert found.state == "finished"


def test_a_stopped_agent_costs_what_the_ledger_says(tmp_path: Path) -> None:
    run = hpctrack.init("p", settings={"seal": "manual", "buffer_bytes": SMALL_BUFFER})
    run.log({"a": -1.0})
    assert run.flush(60)
    (agent,) = list_agents()
    os.kill(agent, signal.SIGSTOP)
    try:
        for number in range(30_000):
            run.log({"a": number})
    finally:
        os.kill(agent, signal.SIGCONT)
    assert run.finish()
    found = only_run(tmp_path / "store")
    dropped = found.record.ledger["dropped_points"]
    assert 10_000 < dropped < 30_000
    values = found.metric("a").values.tolist()
    assert values == [-1, *range(30_000 - dropped)]


def test_a_rank_killed_beside_a_stopped_agent_leaves_its_points_and_its_losses(
    tmp_path: Path, progress: Path
) -> None:
    child = start_python(LOGGER, "1000000", "0", str(progress))
    try:
        wait_for(lambda: read_progress(progress) > 100)
        (agent,) = list_agents()
        os.kill(agent, signal.SIGSTOP)
        reached = read_progress(progress)
        wait_for(lambda: read_progress(progress) > reached + 30_000)
        child.kill()
        child.communicate()
    finally:
        for pid in list_agents():
            os.kill(pid, signal.SIGCONT)
    returned = 1 + read_progress(progress)
    wait_for(lambda: not list_agents())
    found = only_run(tmp_path / "store")
    recorded = len(found.metric("a"))
    dropped = found.record.ledger["dropped_points"]
    assert dropped > 0
    assert returned <= recorded + dropped <= returned + 1
    assert found.ranks()[0].state == "lost"


def test_an_agent_that_never_comes_back_bounds_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = hpctrack.init("p", settings={"finish_timeout_s": 0.5})
    run.log({"a": 1.0})
    assert run.flush(60)
    (agent,) = list_agents()
    os.kill(agent, signal.SIGSTOP)
    try:
        run.log({"a": 2.0, "b": 3.0})
        began_s = time.monotonic()
        assert not run.finish()
        assert time.monotonic() - began_s < 25, "by default it waits for 30 s"
    finally:
        os.kill(agent, signal.SIGKILL)
    assert "2 points may be missing" in capsys.readouterr().err
    assert only_run(tmp_path / "store").metric("a").values.tolist() == [1]


UNFINISHED = """
import sys, hpctrack
runs = [hpctrack.init("p", id=f"r{n}", settings={"finish_timeout_s": 4.0}) for n in range(9)]
for run in runs:
    run.log({"a": 1})
    assert run.flush(90)
print("ready", flush=True)
sys.stdin.readline()
"""


def test_unfinished_runs_share_one_time_out_at_the_programs_end() -> None:
    child = start_python(UNFINISHED, stdin=subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    (agent,) = list_agents()
    os.kill(agent, signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        _out, errors = child.communicate("\n", timeout=180)
        assert time.monotonic() - began_s < 34, "nine would take 36"
    finally:
        os.kill(agent, signal.SIGKILL)
    assert child.returncode == 0, errors
    assert errors.count("has not confirmed the end") == 9


SIGNALS = """
import signal, hpctrack
run = hpctrack.init("p")
inside = 0
def on_alarm(number, frame):
    global inside
    inside += 1
    run.log({"from handler": inside}, step=inside)
signal.signal(signal.SIGALRM, on_alarm)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
for step in range(30_000):
    run.log({"a": step, "b": {"c": 1}}, step=step)
signal.setitimer(signal.ITIMER_REAL, 0)
run.summary["inside"] = inside
run.finish()
"""


def test_a_signal_handler_that_logs_in_the_middle_of_log_loses_nothing(tmp_path: Path) -> None:
    child = start_python(SIGNALS)
    _out, err = child.communicate(timeout=180)
    assert child.returncode == 0, err
    found = only_run(tmp_path / "store")
    assert found.metric("a").values.tolist() == list(range(30_000))
    inside = int(found.summary["inside"])
    assert inside > 5
    assert sorted(found.metric("from handler").values.tolist()) == list(range(1, inside + 1))


ENDS = {
    "leaves without a word": ("os._exit(3)", "lost"),
    "is hit by a segmentation fault": ("ctypes.string_at(0)", "lost"),
    "raises": ("raise ValueError('boom')", "failed"),
    "exits with an error": ("sys.exit(3)", "failed"),
}


@pytest.mark.parametrize(("what", "state"), ENDS.values(), ids=ENDS)
def test_a_program_that_ends_badly_loses_nothing(what: str, state: str, tmp_path: Path) -> None:
    child = start_python(
        f"""
        import ctypes, os, sys, hpctrack
        run = hpctrack.init("p")
        for step in range(5000):
            run.log({{"a": step}})
        {what}
        """
    )
    child.communicate(timeout=180)
    assert child.returncode != 0
    wait_for(lambda: not list_agents())
    found = only_run(tmp_path / "store")
    assert found.metric("a").values.tolist() == list(range(5000))
    assert found.ranks()[0].state == state
    assert found.state == "failed"


CHILDREN = """
import multiprocessing, os, h5py, hpctrack
run = hpctrack.init("p", id="parent")
run.log({"a": 1})
def work(number):
    run.log({"a": 100 + number})        # the parent's run is not the child's
    return os.getpid()
with h5py.File("mine.h5", "w") as file:  # the program's own HDF5 meets none of ours
    file["x"] = [1, 2, 3]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert len(pool.map(work, range(8))) == 8
    run.log({"a": 2})
other = hpctrack.init("p", id="other")
other.log({"b": 5})
run.log({"a": 3})
other.finish()
run.finish()
"""


def test_forks_two_runs_and_the_programs_own_hdf5_do_not_disturb(tmp_path: Path) -> None:
    child = start_python(CHILDREN)
    _out, err = child.communicate(timeout=180)
    assert child.returncode == 0, err
    store = hpctrack.Store(tmp_path / "store")
    assert store.run("p/parent").metric("a").values.tolist() == [1, 2, 3]
    assert store.run("p/other").metric("b").values.tolist() == [5]
    assert {run.state for run in store.runs()} == {"finished"}


def test_agents_that_die_again_and_again_are_left_in_peace_until_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = hpctrack.init("p", settings={"seal": "manual", "finish_timeout_s": 30})
    channel = run._channel
    assert channel
    logged = 0
    for lost in range(1, 5):
        wait_for(kill_agents)
        while channel.losses.agents < lost:
            run.log({"a": logged})
            logged += 1
            run.summary["lost"] = lost
    # The fourth death is one too many: nobody is started now, and nothing waits for anybody.
    threads = len(list(Path("/proc/self/task").iterdir()))
    for _ in range(1000):
        run.log({"a": logged})
        logged += 1
        run.look_soon()
    run.config["late"] = True
    run.log({"t": hpctrack.Text("late")})
    assert not run.flush(60)
    assert list_agents() == []
    wait_for(lambda: len(list(Path("/proc/self/task").iterdir())) <= threads)
    assert run.finish()
    told = capsys.readouterr().err
    assert told.count("the agent died 4 times within 10 minutes") == 1
    found = only_run(tmp_path / "store")
    assert found.metric("a").values.tolist() == list(range(logged))
    assert found.summary["lost"] == 4
    assert found.config == {"late": True}
    assert len(found.media()) == 1
    assert found.record.ledger["agents_lost"] == 4
    assert found.state == "finished"


def test_what_waits_for_a_stopped_agent_is_bounded_and_the_rest_counted(tmp_path: Path) -> None:
    settings = {"seal": "manual", "buffer_bytes": 1024 * 1024, "finish_timeout_s": 60}
    run = hpctrack.init("p", settings=settings)
    assert run.flush(60)
    (agent,) = list_agents()
    os.kill(agent, signal.SIGSTOP)
    try:
        for number in range(200):
            run.log({"t": hpctrack.Text(f"{number} " + "x" * 200_000)})
    finally:
        os.kill(agent, signal.SIGCONT)
    assert run.finish()
    found = only_run(tmp_path / "store")
    dropped = found.record.ledger["dropped_frames"]
    assert dropped > 100
    assert len(found.media()) + dropped == 200
