"""Which jobs Slurm still has. ``squeue`` is asked, because ``sacct`` needs a database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

_TIMEOUT_S = 30.0
"""A controller under load answers late; nobody should wait for a status for longer."""

_FORMAT = "%i|%T|%r|%k"
"""Id, state, reason and comment, which is the last because it may hold anything."""


@dataclass(frozen=True, slots=True)
class QueuedTask:
    """A job, or a task of an array, that waits or runs.

    Parameters
    ----------
    job : str
        Its id, ``50_3`` for a task of an array.
    state : str
        As ``squeue`` spells it: PENDING, RUNNING, COMPLETING, ...
    reason : str
        Why it waits.
    comment : str
        What the job's script says of itself.
    """

    job: str
    state: str
    reason: str = ""
    comment: str = ""

    @property
    def number(self) -> str:
        """Of the job, or of the array."""
        return self.job.partition("_")[0]

    @property
    def is_pending(self) -> bool:
        """Whether it waits in the queue."""
        return self.state == "PENDING"

    @property
    def is_held(self) -> bool:
        """Whether its user holds it back."""
        return self.is_pending and self.reason == "JobHeldUser"


def run_slurm(command: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    """Run one of Slurm's commands; None if it is not here or does not answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def read_queue(jobs: Iterable[str]) -> frozenset[str] | None:
    """Return which of some jobs are pending or running.

    Parameters
    ----------
    jobs : iterable of str
        Ids, ``50_3`` for a task of an array.

    Returns
    -------
    frozenset of str or None
        None if Slurm cannot be asked here: then nothing is known about them.
    """
    wanted = {job for job in jobs if job.replace("_", "").isdigit()}
    if not wanted:
        return None
    numbers = sorted({job.partition("_")[0] for job in wanted})
    done = run_slurm(
        ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(numbers)}"]
    )
    if done is None or (done.returncode and "Invalid job id" not in done.stderr):
        return None
    return frozenset(done.stdout.split()) & wanted


def list_tasks(numbers: Collection[str], comment: str) -> list[QueuedTask] | None:
    """Return our own jobs in the queue that have one of these numbers, or this comment.

    Parameters
    ----------
    numbers : collection of str
        Of jobs and arrays.
    comment : str
        What jobs of scripts that were submitted by hand say of themselves.

    Returns
    -------
    list of QueuedTask or None
        None if Slurm cannot be asked here.
    """
    command = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", f"--format={_FORMAT}"]
    done = run_slurm(command)
    if done is None or done.returncode:
        return None
    tasks = [QueuedTask(*line.split("|", 3)) for line in done.stdout.splitlines() if "|" in line]
    return [one for one in tasks if one.number in numbers or (comment and one.comment == comment)]


def join_tasks(jobs: Iterable[str]) -> list[str]:
    """Return few words that mean many tasks of arrays: ``50_[0-6,9]``."""
    single: list[str] = []
    arrays: dict[str, list[int]] = {}
    for job in jobs:
        number, _, task = job.partition("_")
        if task.isdigit():
            arrays.setdefault(number, []).append(int(task))
        else:
            single.append(job)
    return single + [f"{number}_[{_join(tasks)}]" for number, tasks in arrays.items()]


def _join(tasks: Iterable[int]) -> str:
    spans: list[list[int]] = []
    for task in sorted(set(tasks)):
        if spans and task == spans[-1][1] + 1:
            spans[-1][1] = task
        else:
            spans.append([task, task])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
