"""A clock that is put back while agents die: the order of files and events stays. All is real."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from hpctrack.store.node_reader import NodeReader
from tests.faults.test_failing_store import build_shim
from tests.programs import list_agents, only_run, start_python, wait_for

pytestmark = pytest.mark.faults

HOURS_2_S = 7200

PROGRAM = """
import sys, time, hpctrack
run = hpctrack.init("p", settings={"seal": "manual"})
began_s, step = time.time(), 0
for line in sys.stdin:
    for _ in range(500):
        run.log({"a": step}, step=step)
        step += 1
    print(run.flush(60), int(time.time() - began_s) < -3600, flush=True)
run.finish()
"""


def test_a_clock_that_is_put_back_and_a_dead_agent_leave_order_and_state(tmp_path: Path) -> None:
    lag = tmp_path / "lag"
    lag.touch()
    shim = {"LD_PRELOAD": str(build_shim("clock", tmp_path)), "TEST_CLOCK_FILE": str(lag)}
    child = start_python(PROGRAM, env=shim, stdin=subprocess.PIPE)
    assert child.stdin
    assert child.stdout

    def log() -> str:
        assert child.stdin
        assert child.stdout
        child.stdin.write("go\n")
        child.stdin.flush()
        return child.stdout.readline()

    assert log() == "True False\n"
    os.truncate(lag, HOURS_2_S)
    assert log() == "True True\n"
    for pid in wait_for(list_agents):
        os.kill(pid, signal.SIGKILL)
    assert log() == "True True\n"
    _out, errors = child.communicate("go\n", timeout=180)
    assert child.returncode == 0, errors
    found = only_run(tmp_path / "store")
    assert found.metric("a").values.tolist() == list(range(2000))
    assert found.state == "finished"
    assert {one.state for one in found.ranks()} == {"finished"}
    found.close()
    readers = sorted(map(NodeReader, (tmp_path / "store").rglob("node-*.h5")), key=get_age)
    times = [event.wall_s for one in readers for event in one.read_events().events]
    assert len(readers) == 2
    assert times == sorted(times)


def get_age(reader: NodeReader) -> tuple[int, int, float]:
    return reader.age_key
