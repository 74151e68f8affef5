"""Which workers were started when: one record for each ``hpctrack sweep submit``."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.fields import pick_fields
from hpctrack.errors import StoreFormatError
from hpctrack.sweeps.folder import create_json, read_json, write_json
from hpctrack.sweeps.sweep import Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A Slurm job, a task of an array, or a process of a machine.

    Parameters
    ----------
    job : str
        Slurm's id (``50_3``), or submitit's for a process.
    trials : tuple of int
        What it runs, if it was given trials when it was submitted, as older versions did; else
        empty: it takes what is left.
    log : str
        Where its output goes.
    pid : int
        Of a process; 0 for a Slurm job.
    stamp : str
        See `hpctrack.sweeps.worker.process.read_stamp`.
    """

    job: str
    trials: tuple[int, ...] = ()
    log: str = ""
    pid: int = 0
    stamp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Workers that were submitted together.

    Parameters
    ----------
    sweep_id, project : str
        Whose.
    number : int
        Counts the sweep's submissions from 1.
    executor : {"slurm", "local"}
        What runs them.
    trials : tuple of int
        What older versions gave them; else empty.
    parallelism : int or None
        How many may run at a time.
    tasks : int
        How many workers were asked for.
    limit : int or None
        How many trials they take together at most.
    max_trials : int or None
        How many trials each of them takes at most.
    workers : tuple of Worker
        Empty until the executor has taken them.
    host : str
        Where it was submitted.
    submitted_wall_s : float
        UTC seconds.
    """

    sweep_id: str
    project: str
    number: int
    executor: str
    trials: tuple[int, ...] = ()
    parallelism: int | None = None
    tasks: int = 0
    limit: int | None = None
    max_trials: int | None = None
    workers: tuple[Worker, ...] = ()
    host: str = ""
    submitted_wall_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read it back; unknown keys, from a newer writer, are left out.

        Raises
        ------
        StoreFormatError
            It is not a submission's.
        """
        kept = pick_fields(cls, value)
        try:
            kept["trials"] = tuple(int(one) for one in kept.get("trials", ()))
            kept["workers"] = tuple(
                Worker(**{**pick_fields(Worker, one), "trials": tuple(one.get("trials", ()))})
                for one in kept.get("workers", ())
            )
            return cls(**kept)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StoreFormatError(f"a submission's file lacks or garbles {error}") from None


def reserve(
    sweep: Sweep,
    executor: str,
    *,
    tasks: int,
    parallelism: int | None = None,
    limit: int | None = None,
    max_trials: int | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Submission:
    """Take the next number for a submission, and return the record.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    while True:
        number = 1 + max((found for found, _ in sweep.folder.iter_submissions()), default=0)
        submission = Submission(
            sweep_id=sweep.id,
            project=sweep.project,
            number=number,
            executor=executor,
            parallelism=parallelism,
            tasks=tasks,
            limit=limit,
            max_trials=max_trials,
            host=socket.gethostname(),
            submitted_wall_s=clock.wall_s(),
        )
        if create_json(sweep.folder.submission(number), submission.to_json()):
            return submission
        # Somebody has submitted at the same moment: the next number, then.


def confirm(sweep: Sweep, submission: Submission, workers: tuple[Worker, ...]) -> Submission:
    """Record who the workers are."""
    confirmed = replace(submission, workers=workers)
    write_json(sweep.folder.submission(submission.number), confirmed.to_json())
    return confirmed


def withdraw(sweep: Sweep, submission: Submission) -> None:
    """Forget a submission that the executor has refused."""
    sweep.folder.submission(submission.number).unlink(missing_ok=True)


def read_submissions(sweep: Sweep) -> list[Submission]:
    """Return the sweep's submissions, in order.

    Raises
    ------
    StoreFormatError
        One of them cannot be read.
    """
    found = []
    for _, path in sweep.folder.iter_submissions():
        try:
            found.append(Submission.from_json(read_json(path)))
        except FileNotFoundError:
            continue  # withdrawn just now
    return found
