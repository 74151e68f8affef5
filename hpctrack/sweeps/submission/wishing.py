"""Stop, pause, resume and cancel: a wish in the sweep's folder, and what Slurm has to be told.

Workers look at the wish themselves. Slurm is told about the workers that have not begun, so that
they do not wait for a node only to leave it at once.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hpctrack.core.account import find_account
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack.sweeps.control import Wish, read_control, write_control
from hpctrack.sweeps.slurm_queue import QueuedTask, join_tasks, list_tasks, run_slurm
from hpctrack.sweeps.submission.script import make_comment
from hpctrack.sweeps.submission_record import Worker, read_submissions
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.process import is_alive

CANCEL_MOMENT_S = 10.0
"""How long workers have to leave by themselves: they look at the wish every few seconds, and their
trials can end as they do when the time is up."""

POLL_S = 0.5


@dataclass(slots=True, kw_only=True)
class WishEnd:
    """What was done about a wish.

    Parameters
    ----------
    wish, before : Wish
        What is wished now, and what was wished before.
    removed, held, released, ended : list of str
        Jobs and tasks that were taken out of the queue, held back in it, given back to it, and
        ended while they ran.
    signalled : list of int
        Processes of this machine that were asked to end.
    running : int
        Workers that still run, as far as can be seen from here.
    problems : list of str
        What could not be done.
    """

    wish: Wish
    before: Wish
    removed: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    signalled: list[int] = field(default_factory=list)
    running: int = 0
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "wish": self.wish.value,
            "before": self.before.value,
            "removed": self.removed,
            "held": self.held,
            "released": self.released,
            "ended": self.ended,
            "signalled": self.signalled,
            "running": self.running,
            "problems": self.problems,
        }


def make_wish(
    sweep: Sweep,
    wish: Wish,
    *,
    who: str = "",
    moment_s: float = CANCEL_MOMENT_S,
    clock: Clock = SYSTEM_CLOCK,
) -> WishEnd:
    """Say what the workers of a sweep are to do, and tell Slurm; fine to call again.

    Parameters
    ----------
    sweep : Sweep
        Whose workers.
    wish : Wish
        What. A sweep that is being cancelled cannot merely be stopped.
    who : str, optional
        Whose wish it is. Default: the user of this process.
    moment_s : float
        How long a cancelled sweep's workers have to leave by themselves, seconds.
    clock : Clock, optional
        For tests.

    Raises
    ------
    StoreError
        The wish cannot be written.
    """
    before = read_control(sweep.folder).wish
    if wish == Wish.STOP and before == Wish.CANCEL:
        wish = Wish.CANCEL
    me = find_account(environment())
    write_control(sweep.folder, wish, who=who or me, clock=clock)
    end = WishEnd(wish=wish, before=before)
    tasks = _find_tasks(sweep)
    if tasks is None:
        end.problems.append("Slurm does not answer: jobs in its queue stay there for now")
        tasks = []
    pending = [one for one in tasks if one.is_pending]
    if wish in {Wish.STOP, Wish.CANCEL}:
        _tell(end, ["scancel", "--state=PENDING"], pending, end.removed)
    elif wish == Wish.PAUSE:
        free = [one for one in pending if not one.is_held]
        _tell(end, ["scontrol", "hold"], free, end.held)
    else:
        _tell(end, ["scontrol", "release"], [one for one in pending if one.is_held], end.released)
    if wish == Wish.CANCEL:
        _end_workers(sweep, end, moment_s, clock)
    else:
        end.running = len(tasks) - len(pending) + len(_find_processes(sweep))
    return end


def _end_workers(sweep: Sweep, end: WishEnd, moment_s: float, clock: Clock) -> None:
    """Wait a moment for the workers to leave, then end those that have not."""
    deadline_s = clock.mono_s() + moment_s
    while True:
        tasks = [one for one in _find_tasks(sweep) or () if not one.is_pending]
        processes = _find_processes(sweep)
        if not tasks and not processes:
            return
        if clock.mono_s() >= deadline_s:
            break
        time.sleep(POLL_S)
    # SIGTERM now, SIGKILL after Slurm's KillWait; also what was requeued or has begun meanwhile.
    _tell(end, ["scancel"], tasks, end.ended)
    for worker in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(worker.pid, signal.SIGTERM)
            end.signalled.append(worker.pid)
    end.running = len(tasks) + len(processes)


def _tell(end: WishEnd, command: list[str], tasks: list[QueuedTask], done: list[str]) -> None:
    """Run one of Slurm's commands for some tasks, and note which."""
    if not tasks:
        return
    jobs = [one.job for one in tasks]
    # Task by task: the number of an array would mean those that run as well.
    answer = run_slurm([*command, *join_tasks(jobs)])
    if answer is None:
        end.problems.append(f"{command[0]} does not answer")
        return
    if answer.returncode:
        said = "; ".join(line.strip() for line in answer.stderr.splitlines() if line.strip())
        end.problems.append(f"{' '.join(command[:2])}: {said}")
    else:
        done.extend(jobs)


def _find_tasks(sweep: Sweep) -> list[QueuedTask] | None:
    """Return the sweep's jobs in the queue; None if there should be some and nobody answers."""
    numbers = {
        worker.job.partition("_")[0]
        for one in read_submissions(sweep)
        if one.executor == "slurm"
        for worker in one.workers
    }
    found = list_tasks(numbers, make_comment(sweep))
    return found if found is not None or numbers else []


def _find_processes(sweep: Sweep) -> list[Worker]:
    """Return the sweep's workers that are processes of this machine."""
    host = socket.gethostname()
    return [
        worker
        for one in read_submissions(sweep)
        if one.executor == "local" and one.host == host
        for worker in one.workers
        if is_alive(worker.pid, worker.stamp)
    ]
