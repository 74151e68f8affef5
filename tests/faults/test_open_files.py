"""An agent that may open few files, and more ranks than it has files for. Processes are real."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hpctrack.core.wire import Decoder, Kind
from tests.programs import list_agents, only_run, rank_environment, wait_for

pytestmark = pytest.mark.faults

RANKS = 16

PROGRAM = """
import sys, hpctrack
run = hpctrack.init("p", settings={"seal": "manual", "console": "redirect"})
for step in range(50):
    run.log({"a": step}, step=step)
print("flushed", run.flush(60), flush=True)
sys.stdin.readline()
for step in range(50, 100):
    run.log({"a": step}, step=step)
print("finished", run.finish(), flush=True)
"""


class Ranks:
    """Ranks of one node, each of which may open so many files."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, count: int, *, files_max: int) -> None:
        shell = f'ulimit -n {files_max}; exec "$@"'
        for rank in range(count):
            child = subprocess.Popen(
                ["/bin/bash", "-c", shell, "sh", sys.executable, "-c", PROGRAM],
                env={**os.environ, **rank_environment(rank, count)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self._stack.callback(child.communicate)
            self._stack.callback(child.kill)
            self.processes.append(child)
        for child in self.processes:
            assert child.stdout
            assert child.stdout.readline() == "flushed True\n"

    def finish(self) -> str:
        """Let them end; return what they said."""
        told = ""
        for child in self.processes:
            out, errors = child.communicate("\n", timeout=180)
            assert child.returncode == 0, errors
            assert "finished True" in out
            told += errors
        return told


@pytest.fixture
def ranks() -> Iterator[Ranks]:
    """Ranks that are gone when the test is over."""
    with ExitStack() as stack:
        yield Ranks(stack)


def check_whole(store: Path, count: int) -> None:
    found = only_run(store)
    assert {one.state for one in found.ranks()} == {"finished"}
    assert not found.record.ledger.get("dropped_points")
    for rank in range(count):
        assert found.metric("a").rank(rank).value.tolist() == list(range(100))


def test_many_ranks_under_a_low_limit_lose_nothing(ranks: Ranks, tmp_path: Path) -> None:
    ranks.start(RANKS, files_max=128)
    (agent,) = list_agents()
    assert len(list(Path(f"/proc/{agent}/fd").iterdir())) > 60, "the limit was felt"
    ranks.finish()
    check_whole(tmp_path / "store", RANKS)
    codes = {one["code"] for one in only_run(tmp_path / "store").record.warnings}
    assert "protocol" not in codes


def find_socket() -> str:
    (found,) = Path(os.environ["HPCTRACK_RUNTIME_DIR"]).rglob("*.sock")
    return str(found)


def was_refused(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        data = peer.recv(65536)
    except BlockingIOError:
        return False
    (told,) = Decoder().feed(data)
    assert told.kind == Kind.NOTICE
    assert told.json()["code"] == "files"
    return True


def test_ranks_beyond_the_limit_are_refused_and_told_and_disturb_nobody(
    ranks: Ranks, tmp_path: Path
) -> None:
    ranks.start(1, files_max=64)
    (agent,) = list_agents()
    with ExitStack() as stack:
        peers = []
        for _number in range(80):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            peer.connect(find_socket())
            peers.append(peer)
        served = list(peers)

        def are_refused() -> bool:
            served[:] = [peer for peer in served if not was_refused(peer)]
            return len(peers) - len(served) > 40

        wait_for(are_refused)
        before_s = read_cpu_s(agent)
        time.sleep(3)
        assert read_cpu_s(agent) - before_s < 1.0, "it does not run in circles"
        assert are_refused()
        assert served, "for some there is room"
    ranks.finish()
    check_whole(tmp_path / "store", 1)


def read_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
