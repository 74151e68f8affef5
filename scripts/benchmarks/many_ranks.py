"""Many real ranks of one job: processes with torchrun's environment that begin together."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.benchmarks.lab import OURS, Case, Lab, Place, end_process

START_TIMEOUT_S = 300.0
STARTED_AT_ONCE = 8
"""Interpreters that start at the same time: more would only wait for a core."""

HEAD_START_S = 1.0


@dataclass(slots=True)
class Job:
    """Ranks that are connected and wait for the word to go."""

    place: Place
    size: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def meeting(self) -> Path:
        """The folder in which ranks and we leave word."""
        return self.place.folder / "meeting"

    def go(self) -> float:
        """Let them begin together; return when that is."""
        start_wall_s = time.time() + HEAD_START_S
        self._say("go", str(start_wall_s))
        return start_wall_s

    def end(self) -> list[dict[str, Any]]:
        """Let them finish, wait for all, and return what each has said."""
        self._say("end", "")
        for process in self.processes:
            process.wait(START_TIMEOUT_S)
        paths = [self.place.folder / f"rank-{rank}.json" for rank in range(self.size)]
        return [json.loads(path.read_text()) for path in paths if path.is_file()]

    def wait(self, what: str, timeout_s: float) -> None:
        """Wait until every rank has left a word.

        Raises
        ------
        RuntimeError
            A rank has ended, or the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while len(list(self.meeting.glob(f"*.{what}"))) < self.size:
            gone = [one for one in self.processes if one.poll() is not None]
            if gone or time.monotonic() > deadline:
                said = (self.place.folder / "log").read_text(errors="replace")[-300:]
                raise RuntimeError(f"{len(gone)} ranks have ended before {what!r}: {said}")
            time.sleep(0.05)

    def _say(self, name: str, text: str) -> None:
        scratch = self.meeting / f".{name}"
        scratch.write_text(text)
        scratch.rename(self.meeting / name)


@contextmanager
def running_job(
    lab: Lab, place: Place, params: Mapping[str, Any], *, nodes: int, ranks: int
) -> Iterator[Job]:
    """Start the ranks of a job, and yield when all of them have returned from ``init``.

    Parameters
    ----------
    params : mapping
        What `programs.rank` is told.
    nodes, ranks : int
        A "node" has a runtime folder, and with it an agent, of its own.
    """
    job = Job(place, nodes * ranks)
    job.meeting.mkdir()
    try:
        for rank in range(job.size):
            job.processes.append(_start_rank(lab, job, rank, ranks, params))
            if rank % STARTED_AT_ONCE == STARTED_AT_ONCE - 1:
                _wait_for_some(job, rank + 1)
        job.wait("ready", START_TIMEOUT_S)
        yield job
    finally:
        for process in job.processes:
            end_process(process)


def _wait_for_some(job: Job, count: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while len(list(job.meeting.glob("*.ready"))) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def _start_rank(
    lab: Lab, job: Job, rank: int, ranks: int, params: Mapping[str, Any]
) -> subprocess.Popen[bytes]:
    place, node = job.place, rank // ranks
    told = {**params, "rank": rank, "meeting": str(job.meeting)}
    runtime = place.folder / f"r{node}"
    runtime.mkdir(exist_ok=True)
    environ = {
        "HPCTRACK_RUNTIME_DIR": str(runtime),
        "RANK": str(rank),
        "WORLD_SIZE": str(job.size),
        "LOCAL_RANK": str(rank % ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "GROUP_RANK": str(node),
        "TORCHELASTIC_RUN_ID": "bench",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }
    command = lab.command(Case(OURS, "rank", told), place, out=f"rank-{rank}.json")
    return lab.start(place, command, environ=environ)


def wait_until(what: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a condition; return whether it came true."""
    deadline = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
