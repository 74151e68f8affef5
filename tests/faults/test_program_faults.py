"""What programs do to the recorder without meaning to. Processes are real."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpctrack
from tests.programs import only_run, run_python

FORK_WITH_TWO_RUNS = """
import os, hpctrack
first, second = hpctrack.init("p", id="first"), hpctrack.init("p", id="second")
first.log({"a": 1})
second.log({"a": 1})
if (pid := os.fork()) == 0:
    for run in (first, second):
        run.log({"a": 99})
        run.finish()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
first.log({"a": 2})
second.log({"a": 2})
"""


def test_a_fork_leaves_both_of_two_runs_alone_and_the_end_finishes_both(tmp_path: Path) -> None:
    done = run_python(FORK_WITH_TWO_RUNS)
    assert done.returncode == 0, done.stderr
    runs = hpctrack.Store(tmp_path / "store").runs()
    assert {run.id: run.metric("a").values.tolist() for run in runs} == {
        "first": [1, 2],
        "second": [1, 2],
    }
    assert {run.state for run in runs} == {"finished"}
    assert not any(run.record.ledger.get("dropped_points") for run in runs)


NOTEBOOK = """
import traceback, hpctrack
space = {}
cells = ["import hpctrack; run = hpctrack.init('p', id='cell%d')\\nrun.log({'a': %d})" % (n, n)
         for n in range(4)]
for cell in [*cells, "1 / 0", "run.log({'a': 10})"]:
    try:
        exec(compile(cell, "<cell>", "exec"), space)
    except ZeroDivisionError:
        traceback.print_exc()
"""


def test_cells_that_begin_a_run_each_leave_finished_runs(tmp_path: Path) -> None:
    done = run_python(NOTEBOOK)
    assert done.returncode == 0, done.stderr
    runs = {run.id: run for run in hpctrack.Store(tmp_path / "store").runs()}
    assert [runs[f"cell{n}"].metric("a").values.tolist() for n in range(4)] == [
        [0],
        [1],
        [2],
        [3, 10],
    ]
    assert {run.state for run in runs.values()} == {"finished"}


SPAWN = """
import multiprocessing
from pathlib import Path

def work(number):
    import hpctrack
    with hpctrack.init("p", id=f"child{number}") as run:
        for step in range(100):
            run.log({"a": number}, step=step)
    return number

if __name__ == "__main__":
    import sys, hpctrack
    with hpctrack.init("p", id="parent") as run:
        run.log({"a": 1})
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            assert pool.map(work, range(2)) == [0, 1]
        run.log({"a": 2})
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_children_of_multiprocessing_have_runs_of_their_own(method: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(SPAWN)
    done = run_python(
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], "
        "run_name='__main__')"
        if method == "fork"
        else "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))",
        str(script),
        method,
    )
    assert done.returncode == 0, done.stderr
    store = hpctrack.Store(tmp_path / "store")
    assert store.run("p/parent").metric("a").values.tolist() == [1, 2]
    for number in range(2):
        found = store.run(f"p/child{number}")
        assert found.metric("a").values.tolist() == [number] * 100
    assert {run.state for run in store.runs()} == {"finished"}


CLOCK = """
import os, signal, sys, time, hpctrack
from hpctrack.client import session
from hpctrack.core.clock import Clock
back_s = 0.0
session.SYSTEM_CLOCK = Clock(lambda: time.time() - back_s, time.monotonic)
run = hpctrack.init("p", settings={"seal": "manual"})
slowest_s = 0.0
def log(number):
    global slowest_s
    began_s = time.perf_counter()
    run.log({"a": number})
    slowest_s = max(slowest_s, time.perf_counter() - began_s)
for number in range(100):
    log(number)
run.flush(90)
back_s = 7200.0
mine = os.environ["HPCTRACK_RUNTIME_DIR"]
for pid in map(int, os.popen("pgrep -f folder.*" + mine).read().split()):
    if b"hpctrack.agents.main" in open(f"/proc/{pid}/cmdline", "rb").read():
        os.kill(pid, signal.SIGKILL)
deadline_s = time.monotonic() + 90
while not run._channel.losses.agents and time.monotonic() < deadline_s:
    number += 1
    log(number)
    time.sleep(0.01)
assert run._channel.losses.agents == 1, "the agent's death is noticed before the clock is back"
run.summary["logged"] = number + 1
run.summary["slowest_s"] = slowest_s
run.finish()
"""


def test_a_clock_that_jumps_back_does_not_silence_the_rank(tmp_path: Path) -> None:
    done = run_python(CLOCK)
    assert done.returncode == 0, done.stderr
    found = only_run(tmp_path / "store")
    logged = int(found.summary["logged"])
    assert found.metric("a").values.tolist() == list(range(logged))
    assert found.metric("a").steps.tolist() == list(range(logged))
    assert found.record.ledger["agents_lost"] == 1
    assert found.summary["slowest_s"] < 10


def test_the_loop_does_not_wait_for_a_stopped_agent_and_every_point_is_accounted_for(
    tmp_path: Path,
) -> None:
    done = run_python(
        """
        import os, signal, sys, time, hpctrack
        from tests.programs import list_agents
        run = hpctrack.init("p", settings={"seal": "manual", "buffer_bytes": 262144})
        run.log({"a": -1.0})
        assert run.flush(60)
        (agent,) = list_agents()
        os.kill(agent, signal.SIGSTOP)
        slowest_s = 0.0
        for number in range(30_000):
            began_s = time.perf_counter()
            run.log({"a": number})
            slowest_s = max(slowest_s, time.perf_counter() - began_s)
        os.kill(agent, signal.SIGCONT)
        run.summary["slowest_s"] = slowest_s
        assert run.finish()
        """,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    found = only_run(tmp_path / "store")
    assert len(found.metric("a")) + found.record.ledger["dropped_points"] == 30_001
    assert found.summary["slowest_s"] < 10


ON_A_THREAD = """
import hpctrack
from hpctrack.client import spawn
spawn.SOCKET_PATH_MAX_BYTES = 1  # no place for a socket
run = hpctrack.init("p", id="alone")
for step in range(200):
    run.log({f"m{number}": step for number in range(300)})
"""


def test_the_programs_end_waits_for_a_recorder_on_a_thread(tmp_path: Path) -> None:
    done = run_python(ON_A_THREAD)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "store" / "p" / "alone" / "run.h5").exists()
    found = only_run(tmp_path / "store")
    assert found.state == "finished"
    assert len(found.metric("m299")) == 200
