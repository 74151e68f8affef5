"""A worker's sign of life, and who has none any more.

A worker touches its file now and then. Whoever looks compares two times that the same file server
wrote, its own sign and the other's, so no two clocks need to agree.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hpctrack.agents.job_end import name_job
from hpctrack.core.clock import Clock
from hpctrack.core.fields import pick_fields
from hpctrack.errors import HpctrackError
from hpctrack.sweeps.folder import SweepFolder, read_json, write_json
from hpctrack.sweeps.slurm_queue import read_queue
from hpctrack.sweeps.worker.claims import Claim
from hpctrack.sweeps.worker.process import is_alive, is_seen, read_stamp

INTERVAL_S = 10.0
"""Between two signs of life."""

STALE_S = 60.0
"""Without a sign for so long, a worker is gone. A few signs may come late on a busy file server."""

JOIN_S = 5.0
"""A file server that hangs must not keep a worker from leaving."""

BROKEN = "it broke"
"""How the last word of a worker begins that an error has ended."""

QUEUE_INTERVAL_S = 30.0
"""Between two questions to Slurm, which may prove a worker dead before its sign is stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """A worker.

    Parameters
    ----------
    id : str
        Drawn when it starts.
    host, pid, stamp : str, int, str
        Its process; see `hpctrack.sweeps.worker.process.read_stamp`.
    job : str
        Slurm's id; empty outside Slurm.
    restart : int
        How often Slurm has requeued that job.
    share : int or None
        The submission that it belongs to.
    cpus, gpus : int
        What each of its trials has.
    started_wall_s : float
        UTC seconds.
    ended_wall_s : float or None
        None while it works.
    why : str
        Why it has left.
    """

    id: str
    host: str = ""
    pid: int = 0
    stamp: str = ""
    job: str = ""
    restart: int = 0
    share: int | None = None
    cpus: int = 1
    gpus: int = 0
    started_wall_s: float = 0.0
    ended_wall_s: float | None = None
    why: str = ""

    def claim(
        self, trial: int, attempt: int, *, failures: int, returns: int = 0, wall_s: float
    ) -> Claim:
        """Return what this worker writes to have an attempt."""
        return Claim(
            trial=trial,
            attempt=attempt,
            worker=self.id,
            host=self.host,
            pid=self.pid,
            stamp=self.stamp,
            job=self.job,
            restart=self.restart,
            failures=failures,
            returns=returns,
            wall_s=wall_s,
        )


def describe_worker(
    environ: Mapping[str, str], clock: Clock, *, share: int | None, cpus: int, gpus: int
) -> WorkerFacts:
    """Return the facts of a worker that this process is about to be."""
    pid = os.getpid()
    restart = environ.get("SLURM_RESTART_COUNT", "")
    return WorkerFacts(
        id=secrets.token_hex(6),
        host=socket.gethostname(),
        pid=pid,
        stamp=read_stamp(pid),
        job=name_job(environ),
        restart=int(restart) if restart.isdigit() else 0,
        share=share,
        cpus=cpus,
        gpus=gpus,
        started_wall_s=clock.wall_s(),
    )


def read_worker(folder: SweepFolder, worker_id: str) -> WorkerFacts | None:
    """Return what a worker says of itself; None if that cannot be read."""
    try:
        return WorkerFacts(**pick_fields(WorkerFacts, read_json(folder.worker(worker_id))))
    except (FileNotFoundError, HpctrackError, TypeError):
        return None


def list_workers(folder: SweepFolder) -> list[WorkerFacts]:
    """Return all workers of a sweep that can be read, the oldest first."""
    found = [read_worker(folder, path.stem) for path in folder.worker("x").parent.glob("*.json")]
    return sorted(
        (one for one in found if one is not None), key=lambda one: (one.started_wall_s, one.id)
    )


class Heartbeat:
    """Touches a worker's file from a thread, so that a long trial does not look like a death.

    Parameters
    ----------
    folder : SweepFolder
        The sweep's.
    facts : WorkerFacts
        Whose.
    clock : Clock
    interval_s : float, optional
        Between two signs.
    """

    def __init__(
        self,
        folder: SweepFolder,
        facts: WorkerFacts,
        *,
        clock: Clock,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._folder = folder
        self._facts = facts
        self._clock = clock
        self._interval_s = interval_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hpctrack-heartbeat", daemon=True)

    def begin(self) -> None:
        """Write the file and keep touching it.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        write_json(self._folder.worker(self._facts.id), dataclasses.asdict(self._facts))
        self._thread.start()

    def end(self, why: str) -> None:
        """Say that the worker has left: what it has not finished is free at once."""
        self._over.set()
        self._thread.join(JOIN_S)
        last = dataclasses.replace(self._facts, ended_wall_s=self._clock.wall_s(), why=why)
        with suppress(HpctrackError):  # the silence that follows says the same, later
            write_json(self._folder.worker(self._facts.id), dataclasses.asdict(last))

    def _run(self) -> None:
        path = self._folder.worker(self._facts.id)
        while not self._over.wait(self._interval_s):
            with suppress(OSError):
                os.utime(path)  # without a time: the file server's own


class Liveness:
    """Judges whether the worker that has a claim is gone.

    Parameters
    ----------
    folder : SweepFolder
        The sweep's.
    me : WorkerFacts
        Who asks; its own file has been written.
    clock : Clock
    stale_s : float, optional
        Silence that means death.
    interval_s : float, optional
        Between two signs of life.
    """

    def __init__(
        self,
        folder: SweepFolder,
        me: WorkerFacts,
        *,
        clock: Clock,
        stale_s: float = STALE_S,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._folder = folder
        self._me = me
        self._clock = clock
        self._stale_s = stale_s
        self._late_s = 2 * interval_s
        self._asked_s: dict[str, float] = {}

    def is_dead(self, claim: Claim) -> bool:
        """Tell whether nobody works on a claim any more."""
        if claim.worker == self._me.id:
            return True  # we have come to its end, and do one thing at a time
        if claim.job and claim.job == self._me.job and claim.restart < self._me.restart:
            return True  # Slurm starts a job again when its earlier life is over
        facts = read_worker(self._folder, claim.worker)
        if facts is not None and facts.ended_wall_s is not None:
            return True  # its process may go on: a notebook's, or a script's that did other things
        if claim.host == self._me.host and claim.stamp and is_seen(claim.stamp):
            return not is_alive(claim.pid, claim.stamp)
        age_s = self.age_s(claim.worker)
        if age_s is None or age_s > self._stale_s:
            return True
        return age_s > self._late_s and self._is_gone(claim.job)

    def is_late(self, claim: Claim) -> bool:
        """Tell whether a worker may be dead, and a little waiting would show it."""
        age_s = self.age_s(claim.worker)
        return age_s is None or age_s > self._late_s

    def age_s(self, worker_id: str) -> float | None:
        """Return how long ago a worker gave a sign, by the file server; None if it never did."""
        own = self._folder.worker(self._me.id)
        try:
            os.utime(own)
            now_s = own.stat().st_mtime
        except OSError:
            return 0.0  # a file server that does not answer proves nobody dead
        try:
            return max(0.0, now_s - self._folder.worker(worker_id).stat().st_mtime)
        except FileNotFoundError:
            return None
        except OSError:
            return 0.0

    def _is_gone(self, job: str) -> bool:
        """Ask Slurm whether it still has a job."""
        if not job:
            return False
        now_s = self._clock.mono_s()
        if now_s - self._asked_s.get(job, -QUEUE_INTERVAL_S) < QUEUE_INTERVAL_S:
            return False
        self._asked_s[job] = now_s
        queue = read_queue([job])
        return queue is not None and job not in queue


def describe_allocation(slurm: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[int, int]:
    """Return the processors and GPUs that each trial has, by the file and the environment."""
    tasks = slurm.get("nodes", 1) * slurm.get("tasks_per_node", 1)
    told = environ.get("SLURM_CPUS_PER_TASK", "")
    cpus = int(told) if told.isdigit() else slurm.get("cpus_per_task", 1)
    gpus = slurm.get("gpus_per_task", 0) * tasks or slurm.get("gpus_per_node", 0) * slurm.get(
        "nodes", 1
    )
    visible = [one for one in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    return tasks * cpus, gpus or (len(visible) if environ.get("SLURM_JOB_ID") else 0)
