"""A program in C that is hurt, or hurts: what its run has of it. Processes and agents are real."""

from __future__ import annotations

import math
import os
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hpctrack import Store, StoredRun
from tests.compiled.building import build, end, run_tracked, say, start_tracked
from tests.programs import (
    list_agents,
    only_run,
    rank_environment,
    run_python,
    start_python,
    wait_for,
)

pytestmark = pytest.mark.cc


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that does what its first argument says."""
    source = Path(__file__).with_name("driver.c")
    return build("gcc", "gnu11", source, into=tmp_path_factory.mktemp("driver"))


def list_steps(run: StoredRun, name: str) -> list[int]:
    return list(run.metric(name).steps.tolist())


def count_lost(run: StoredRun) -> int:
    ledger = run.record.ledger
    return int(ledger.get("dropped_points", 0)) + int(ledger.get("unnamed_points", 0))


def kill_agents() -> None:
    pids = set(wait_for(list_agents))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not pids & set(list_agents()))  # the next one may be there already


# -- what is logged --------------------------------------------------------------------------------


def test_values_and_names_of_all_kinds(driver: Path, tmp_path: Path) -> None:
    done = run_tracked(driver, "values")
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
    run = only_run(tmp_path / "store")
    assert sorted(run.metrics()) == [
        'a "quoted" \\ name',
        "odd",
        "x" * 512,
        "\N{LATIN SMALL LETTER U WITH DIAERESIS}",
    ]
    odd = run.metric("odd")
    values = dict(zip(odd.steps.tolist(), odd.values.tolist(), strict=True))
    assert math.isnan(values.pop(0))
    assert values == {1: math.inf, 2: -math.inf, 2**63 - 1: 1e-310, -(2**63): 0}
    assert math.copysign(1, values[-(2**63)]) == -1
    # No name, too long, none; then a control character and a column of every history.
    assert run.record.ledger == {"dropped_points": 3, "unnamed_points": 2}
    assert done.stderr.count("1 to 512 bytes") == 1


def test_eight_threads_lose_nothing(driver: Path, tmp_path: Path) -> None:
    assert run_tracked(driver, "threads").returncode == 0
    run = only_run(tmp_path / "store")
    for number in range(8):
        assert run.metric(f"thread/{number}").values.tolist() == list(map(float, range(20000)))
    assert len(run.columns(["all"])["all"]) == 8 * 20000
    assert count_lost(run) == 0


def test_a_signal_handler_may_log(driver: Path, tmp_path: Path) -> None:
    done = run_tracked(driver, "handlers")
    assert done.returncode == 0, done.stderr
    interrupted, dropped = map(int, done.stdout.split())
    run = only_run(tmp_path / "store")
    assert len(run.metric("handler").values) + dropped == interrupted
    assert count_lost(run) == dropped
    assert list_steps(run, "a") == list(range(len(run.metric("a").steps)))


def test_a_forked_child_is_silent_unless_it_begins_itself(driver: Path, tmp_path: Path) -> None:
    done = run_tracked(driver, "forks")
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "store")
    assert run.state == "finished"
    assert sorted(run.metrics()) == ["child", "parent"]
    assert list_steps(run, "child") == list_steps(run, "parent") == list(range(1000))


def test_thousands_of_metrics(driver: Path, tmp_path: Path) -> None:
    child = start_tracked(driver, "lots", "2", "5000")
    say(child, "logged")
    kill_agents()  # the next one is told all names again: more than a socket takes at once
    say(child, "logged")
    say(child)
    end(child)
    run = only_run(tmp_path / "store")
    assert len(run.metrics()) == 5000
    assert all(run.metric(name).values.tolist() == [0, 1, 2, 3] for name in run.metrics()[::499])
    assert count_lost(run) == 0


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("moment_ms", [50, 400])
def test_a_program_killed_in_mid_log_loses_nothing_that_log_returned_from(
    driver: Path, tmp_path: Path, moment_ms: int
) -> None:
    counter = tmp_path / "returned"
    child = start_tracked(driver, "forever", counter)

    def count() -> int:
        data = counter.read_bytes() if counter.exists() else b""
        return struct.unpack_from("<q", data)[0] if data else 0

    wait_for(lambda: count() > 100 * moment_ms)
    found = subprocess.run(
        ["pgrep", "-P", str(child.pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    end(child, 128 + signal.SIGKILL)
    run = only_run(tmp_path / "store")
    kept = list_steps(run, "a")
    # Between the last note and the kill, one more may have been logged.
    assert len(kept) - count() in {0, 1}
    assert kept == list(range(len(kept)))
    (rank,) = run.ranks()
    assert (run.state, rank.state, rank.exit_code) == ("failed", "failed", 137)


def test_a_program_that_aborts_has_its_exit_code(driver: Path, tmp_path: Path) -> None:
    assert run_tracked(driver, "crash").returncode == 128 + signal.SIGABRT
    run = only_run(tmp_path / "store")
    assert [(one.state, one.exit_code) for one in run.ranks()] == [("failed", 134)]
    assert run.metric("a").values.tolist() == [1]


def test_agents_that_die_cost_nothing_and_double_nothing(driver: Path, tmp_path: Path) -> None:
    child = start_tracked(driver, "lots", "30000", "1")
    for lost in range(2):
        say(child, "logged")
        # One that has only been started is not missed when it dies.
        wait_for(lambda lost=lost: len([*tmp_path.glob("store/*/*/node-*.h5")]) > lost)  # type: ignore[misc]
        kill_agents()
    say(child)
    errors = end(child)
    run = only_run(tmp_path / "store")
    assert len(run.columns(["a"])["a"]) == 60000
    assert list_steps(run, "a") == list(range(60000))
    assert run.record.ledger["agents_lost"] >= 2
    assert count_lost(run) == 0
    assert "twice" not in errors


def test_what_a_stopped_agent_has_no_room_for_is_counted(driver: Path, tmp_path: Path) -> None:
    child = start_tracked(driver, "lots", "30000", "1", env={"HPCTRACK_BUFFER_BYTES": "300000"})
    say(child, "logged")
    (agent,) = wait_for(list_agents)
    os.kill(agent, signal.SIGSTOP)
    say(child, "logged")
    os.kill(agent, signal.SIGCONT)
    say(child)
    end(child)
    run = only_run(tmp_path / "store")
    assert count_lost(run) > 20000
    assert len(run.columns(["a"])["a"]) + count_lost(run) == 60000


def test_a_program_that_closes_what_it_does_not_know_goes_on(driver: Path, tmp_path: Path) -> None:
    done = run_tracked(driver, "closes")
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "store")
    kept = list_steps(run, "a")
    assert kept[:100] == list(range(100))
    assert kept[-1] == 199
    assert len(set(kept)) == len(kept)
    # Until it notices, within half a second, it may write where nobody reads any more.
    assert len(kept) > 120
    assert run.state == "finished"


def test_without_an_agent_it_says_so_once_and_does_nothing(driver: Path, tmp_path: Path) -> None:
    done = subprocess.run([driver], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0 0\n")
    (line,) = done.stderr.splitlines()
    assert line.endswith("nothing is recorded: start each rank by `hpctrack run -- ...`")
    assert not (tmp_path / "store").exists()
    read, write = os.pipe()
    os.close(read)  # a line that nobody reads must not end the program
    silent = subprocess.run([driver], stdout=subprocess.PIPE, stderr=write, check=False)
    os.close(write)
    assert (silent.returncode, silent.stdout) == (0, b"0 0\n")


@pytest.mark.parametrize("limit", ["-f 190", "-v 12000"])
def test_limits_that_leave_no_room_are_told(driver: Path, limit: str) -> None:
    done = run_tracked("sh", "-c", f"ulimit {limit}; exec {driver}")
    assert (done.returncode, done.stdout) == (0, "0 0\n"), done.stderr
    assert done.stderr.count("no memory to share") == 1


def test_somebody_asks_the_program_to_stop(driver: Path, tmp_path: Path) -> None:
    child = start_tracked(driver, "stops", env={"HPCTRACK_HEARTBEAT_S": "0.1"})
    assert child.stdout
    assert child.stdout.readline() == "runs\n"
    wait_for((tmp_path / "store").exists)
    run = wait_for(lambda: Store(tmp_path / "store").runs())[0]
    code = "import sys; from hpctrack.cli.main import main; main(sys.argv[1:])"
    assert run_python(code, "stop", run.id).returncode == 0
    end(child)


# -- several ------------------------------------------------------------------------------------


def test_ranks_are_who_their_launcher_says(driver: Path, tmp_path: Path) -> None:
    ranks = [start_tracked(driver, env=rank_environment(rank, 3)) for rank in range(3)]
    for one in ranks:
        out, errors = one.communicate(timeout=180)
        assert (one.returncode, out) == (0, "1 1\n"), errors
    run = only_run(tmp_path / "store")
    assert run.record.size == 3
    assert [one.rank for one in run.ranks()] == [0, 1, 2]
    for rank in range(3):
        assert run.metric("a").rank(rank).value.tolist() == list(map(float, range(10)))


@pytest.mark.mpi
def test_a_launcher_inside_the_wrapper_starts_ranks(
    driver: Path, tmp_path: Path, program: Callable[[str], str]
) -> None:
    done = run_tracked(program("mpiexec"), "-n", "3", driver)
    assert (done.returncode, done.stdout) == (0, "1 1\n" * 3), done.stderr
    run = only_run(tmp_path / "store")
    assert run.metric("a").matrix().shape == (3, 10)


BESIDE = """
import os, subprocess, sys, hpctrack
run = hpctrack.init()
child = subprocess.Popen(sys.argv[1:], env={**os.environ, **run.make_environment()},
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def go_on():
    child.stdin.write("\\n")
    child.stdin.flush()
step = 0
for lot in range(2):
    go_on()
    for step in range(lot * 20000, (lot + 1) * 20000):
        run.log({"python": step, "both": step}, step=step)
    child.stdout.readline()
    run.flush(90)
    print("logged", flush=True)
    sys.stdin.readline()
    run.flush(90)
go_on()
child.communicate()
assert child.returncode == 0
run.finish()
"""


def test_two_programs_of_one_rank_log_and_their_agent_dies(driver: Path, tmp_path: Path) -> None:
    child = start_python(BESIDE, str(driver), "lots", "20000", "1", stdin=subprocess.PIPE)
    assert child.stdout
    for _lot in range(2):
        assert child.stdout.readline() == "logged\n"
        kill_agents()
        say(child)
    errors = end(child)
    run = only_run(tmp_path / "store")
    wanted = list(range(40000))
    for name in ("python", "both", "a"):
        assert sorted(run.columns([name])[name].step.tolist()) == wanted, name
    assert count_lost(run) == 0
    assert "twice" not in errors
    assert [(one.rank, one.state) for one in run.ranks()] == [(0, "finished")]


def test_a_program_of_a_job_step_finds_the_agent_of_another_task(
    driver: Path, tmp_path: Path
) -> None:
    step = {
        "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_NODEID": "0",
    }  # fmt: skip
    first = start_python(
        "import hpctrack; run = hpctrack.init('p', id='mine'); run.flush(90)\n"
        "print(1, flush=True)\n"
        "input(); run.finish()",
        env={**step, "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        stdin=subprocess.PIPE,
    )
    assert first.stdout
    assert first.stdout.readline() == "1\n"
    bare = subprocess.run(
        [driver],
        env={**os.environ, **step, "SLURM_PROCID": "1", "SLURM_LOCALID": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert (bare.returncode, bare.stdout, bare.stderr) == (0, "1 1\n", "")
    say(first)
    end(first)
    run = only_run(tmp_path / "store")
    assert (run.id, run.project) == ("mine", "p")
    assert run.metric("a").rank(1).value.tolist() == list(map(float, range(10)))


def test_a_disabled_run_is_silent(driver: Path) -> None:
    done = run_tracked(driver, env={"HPCTRACK_MODE": "disabled"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 0\n", "")
