"""Which trials were given to whom: one record for each ``hpctrack sweep submit``."""

from __future__ import annotations

import dataclasses
import itertools
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.fields import pick_fields
from hpctrack.errors import StoreFormatError, SweepError, UsageError
from hpctrack.sweeps.folder import create_json, read_json, write_json
from hpctrack.sweeps.sweep import Sweep

MAX_TRIALS = 10_000
"""More trials in one submission are more files than a scheduler or a quota likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A Slurm job, a task of an array, or a process of this machine.

    Parameters
    ----------
    job : str
        Slurm's id (``50_3``), or submitit's for a process.
    trials : tuple of int
        What it runs; several workers of one machine share their trials.
    log : str
        Where its output goes.
    pid : int
        Of a process; 0 for a Slurm job.
    stamp : str
        See `hpctrack.sweeps.worker.process.read_stamp`.
    """

    job: str
    trials: tuple[int, ...]
    log: str = ""
    pid: int = 0
    stamp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Trials that were submitted together.

    Parameters
    ----------
    sweep_id, project : str
        Whose.
    number : int
        Counts the sweep's submissions from 1.
    executor : {"slurm", "local"}
        What runs them.
    trials : tuple of int
        Their numbers.
    parallelism : int or None
        How many may run at a time.
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
    trials: tuple[int, ...]
    parallelism: int | None = None
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
            kept["trials"] = tuple(int(one) for one in kept["trials"])
            kept["workers"] = tuple(
                Worker(**{**pick_fields(Worker, one), "trials": tuple(one["trials"])})
                for one in kept.get("workers", ())
            )
            return cls(**kept)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StoreFormatError(f"a submission's file lacks or garbles {error}") from None


def choose_trials(sweep: Sweep, count: int | None = None) -> tuple[int, ...]:
    """Return the next trials that nobody was given yet.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    count : int, optional
        How many at most. Default: all; a random sweep without ``run_cap`` has no end.

    Raises
    ------
    UsageError
        A random sweep needs a count.
    SweepError
        None is left, or too many would be submitted at once.
    """
    total = sweep.file.trial_count()
    if count is not None and count < 1:
        raise UsageError(f"a count of {count} trials", hint="at least 1")
    if total is None and count is None:
        raise UsageError(
            f"sweep {sweep.id} is random and has no end",
            hint="say how many: --count N, or run_cap in the file",
        )
    taken = {trial for one in read_submissions(sweep) for trial in one.trials}
    wanted = MAX_TRIALS + 1 if count is None else count
    numbers = range(total) if total is not None else itertools.count()
    chosen = tuple(itertools.islice((one for one in numbers if one not in taken), wanted))
    if not chosen:
        raise SweepError(
            f"all {total} trials of sweep {sweep.id} have been submitted",
            hint=f"`hpctrack sweep status {sweep.id}` shows them",
        )
    if len(chosen) > MAX_TRIALS:
        raise SweepError(
            f"sweep {sweep.id} has more than {MAX_TRIALS} trials", hint="submit some: --count N"
        )
    return chosen


def reserve(
    sweep: Sweep,
    executor: str,
    count: int | None = None,
    *,
    parallelism: int | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Submission:
    """Take the next trials, so that nobody else submits them, and return the record.

    Raises
    ------
    UsageError, SweepError
        See `choose_trials`.
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
            trials=choose_trials(sweep, count),
            parallelism=parallelism,
            host=socket.gethostname(),
            submitted_wall_s=clock.wall_s(),
        )
        if create_json(sweep.folder.submission(number), submission.to_json()):
            return submission
        # Somebody has submitted at the same moment: look again at what is left.


def confirm(sweep: Sweep, submission: Submission, workers: tuple[Worker, ...]) -> Submission:
    """Record who runs the trials."""
    confirmed = replace(submission, workers=workers)
    write_json(sweep.folder.submission(submission.number), confirmed.to_json())
    return confirmed


def withdraw(sweep: Sweep, submission: Submission) -> None:
    """Give back trials that nobody has taken."""
    sweep.folder.submission(submission.number).unlink(missing_ok=True)


def read_submissions(sweep: Sweep) -> list[Submission]:
    """Return the sweep's submissions, in order.

    Raises
    ------
    StoreFormatError
        One of them cannot be read; trials might otherwise run twice.
    """
    found = []
    for _, path in sweep.folder.iter_submissions():
        try:
            found.append(Submission.from_json(read_json(path)))
        except FileNotFoundError:
            continue  # withdrawn just now
    return found
