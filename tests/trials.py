"""Small sweeps and their workers: real folders, real processes, programs of a few lines."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.sweeps.folder import write_json
from hpctrack.sweeps.sweep import Sweep, create_sweep
from hpctrack.sweeps.worker.heartbeat import Heartbeat, Liveness, WorkerFacts, describe_worker
from tests.programs import start_python

WORKER = """
import json, sys
from hpctrack.sweeps.sweep import load_sweep
from hpctrack.sweeps.worker.loop import WorkerOptions, run_worker
end = run_worker(load_sweep(sys.argv[1], "s"), WorkerOptions(**json.loads(sys.argv[2])))
print(json.dumps([end.taken, end.finished, end.pruned, end.failed, end.why, end.should_requeue]))
"""

LOSS = {"name": "loss", "goal": "minimize", "pattern": "loss=(\\S+)"}
"""A metric that programs print."""


def make_sweep(
    tmp_path: Path, command: Sequence[str] | str = "true", *, values: int = 2, **more: Any
) -> Sweep:
    """Store a sweep ``s`` over ``a`` = 0, 1, ...; a command that is text is for a shell."""
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    config = {
        "method": "grid",
        "command": words,
        "project": "p",
        "parameters": {"a": {"values": list(range(values))}},
        **more,
    }
    return create_sweep(tmp_path / "store", config, sweep_id="s")


def python_command(code: str) -> list[str]:
    """Return the command of a program in Python that starts quickly."""
    return [sys.executable, "-S", "-E", "-c", code]


def start_worker(sweep: Sweep, **options: Any) -> subprocess.Popen[str]:
    """Start a worker in a process of its own; the caller ends it."""
    return start_python(WORKER, str(sweep.store), json.dumps(options))


@contextmanager
def running_worker(sweep: Sweep, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Have a worker in a process of its own until the block ends."""
    worker = start_worker(sweep, **options)
    try:
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def read_end(worker: subprocess.Popen[str], *, timeout_s: float = 180) -> list[Any]:
    """Wait for a worker and return what it says it has done: see `WORKER`."""
    out, err = worker.communicate(timeout=timeout_s)
    assert worker.returncode == 0, err
    said: list[Any] = json.loads(out.splitlines()[-1])
    return said


def make_worker(sweep: Sweep, **more: Any) -> WorkerFacts:
    """Return this process as a worker, whose file is written."""
    me = describe_worker(os.environ, SYSTEM_CLOCK, share=more.pop("share", None), cpus=1, gpus=0)
    return write_worker(sweep, me, **more)


def write_worker(sweep: Sweep, facts: WorkerFacts, **changes: Any) -> WorkerFacts:
    """Write a worker's file as somebody else would."""
    told = {name: getattr(facts, name) for name in WorkerFacts.__dataclass_fields__} | changes
    write_json(sweep.folder.worker(told["id"]), told)
    return WorkerFacts(**told)


def make_stranger(sweep: Sweep, **changes: Any) -> WorkerFacts:
    """Return a worker on another machine, which has just given a sign of life."""
    facts = WorkerFacts(id=secrets.token_hex(6), host="elsewhere", pid=1, stamp="1")
    return write_worker(sweep, facts, **changes)


def silence(sweep: Sweep, facts: WorkerFacts, age_s: float) -> None:
    """Let a worker's last sign of life be so long ago."""
    path = sweep.folder.worker(facts.id)
    sign_s = path.stat().st_mtime - age_s
    os.utime(path, (sign_s, sign_s))


def judge_by(sweep: Sweep, me: WorkerFacts, clock: Clock = SYSTEM_CLOCK, **more: Any) -> Liveness:
    """Return a judge of who is alive."""
    return Liveness(sweep.folder, me, clock=clock, **more)


@contextmanager
def beating(sweep: Sweep, me: WorkerFacts, *, interval_s: float = 0.05) -> Iterator[Heartbeat]:
    """Keep a worker's sign of life up to date in this block."""
    heartbeat = Heartbeat(sweep.folder, me, clock=SYSTEM_CLOCK, interval_s=interval_s)
    heartbeat.begin()
    try:
        yield heartbeat
    finally:
        heartbeat.end("the test is over")


def environ(**more: str) -> Mapping[str, str]:
    """Return our environment and more."""
    return {**os.environ, **more}


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0
        self.clock = Clock(wall_s=lambda: self.now_s, mono_s=lambda: self.now_s)
