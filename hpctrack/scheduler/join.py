"""Asking Slurm about the jobs of runs, and writing what it says beside them.

Slurm is asked once for all runs together. Its accounting lags: a job that has just ended may
still be called RUNNING, or not be known at all; such a run is said to be so, and asked for again
the next time.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError, SchedulerError
from hpctrack.scheduler.accounting import JobStart, make_accounting, make_starts
from hpctrack.scheduler.sacct import Life
from hpctrack.store.accounting_file import write_accounting
from hpctrack.store.gpu_use import GpuUse, measure_gpu_use
from hpctrack.store.schema import EventKind
from hpctrack.store.stored_run import StoredRun

Ask = Callable[[Sequence[str], str], list[Life]]
"""Jobs and cluster (empty for this one) to lives: `Sacct.ask`."""


class Outcome(StrEnum):
    """What became of a run."""

    JOINED = "joined"
    """Written, and final."""
    RUNNING = "running"
    """Written, but its job, or a step of it, goes on, or will be requeued."""
    UNKNOWN = "unknown"
    """Slurm knows none of its jobs, or not yet."""
    KEPT = "kept"
    """Not asked for: what was written before is final."""
    NO_JOB = "no job"
    """It did not run under Slurm."""
    FAILED = "failed"
    """It could not be read, or not be written to."""
    WOULD_ASK = "would ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A run and what is known of its jobs.

    Parameters
    ----------
    project, run : str
    outcome : Outcome
    jobs : tuple of str
        As people know them: ``4711``, ``1200_3``.
    accounting : dict or None
        As in its file.
    problem : str
        Why it failed.
    """

    project: str
    run: str
    outcome: Outcome
    jobs: tuple[str, ...] = ()
    accounting: Mapping[str, Any] | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "project": self.project,
            "id": self.run,
            "outcome": self.outcome,
            "jobs": list(self.jobs),
            "accounting": self.accounting,
            "problem": self.problem,
        }


@dataclass(slots=True)
class _Wanted:
    """A run that Slurm has to be asked about."""

    run: StoredRun
    starts: list[JobStart] = field(default_factory=list)
    attempts: int = 1

    def make(self, outcome: Outcome, **more: Any) -> Joined:
        jobs = dict.fromkeys(one.facts.shown_id for one in self.starts)
        return Joined(
            project=self.run.project, run=self.run.id, outcome=outcome, jobs=tuple(jobs), **more
        )

    def measure_gpus(self, since_wall_s: float, until_wall_s: float) -> list[GpuUse]:
        """Return what the run's GPUs did; nothing if its samples cannot be read."""
        find = self.run.sensor
        try:
            return measure_gpu_use(find, since_wall_s=since_wall_s, until_wall_s=until_wall_s)
        except (HpctrackError, OSError):
            return []
        finally:
            self.run.close()


def join_accounting(
    runs: Iterable[StoredRun],
    ask: Ask | None,
    *,
    again: bool = False,
    clock: Clock = SYSTEM_CLOCK,
) -> list[Joined]:
    """Ask Slurm about runs and write what it says.

    Parameters
    ----------
    runs : iterable of StoredRun
        Closed when they have been read.
    ask : callable or None
        Asks Slurm; None only tells what would be asked for.
    again : bool
        Also for runs whose accounting is final.
    clock : Clock, optional
        When that was.

    Returns
    -------
    list of Joined
        One for each run, in their order; a run that cannot be read costs no other.

    Raises
    ------
    SchedulerError
        Slurm cannot be asked. Nothing has been written then.
    """
    found: dict[int, Joined] = {}
    wanted: dict[int, _Wanted] = {}
    for number, run in enumerate(runs):
        one = _Wanted(run)
        try:
            done = _look(one, again=again)
        except (HpctrackError, OSError) as error:
            done = one.make(Outcome.FAILED, problem=str(getattr(error, "message", error)))
        finally:
            run.close()
        if done is not None:
            found[number] = done
        else:
            wanted[number] = one
    if ask is None:
        found |= {number: one.make(Outcome.WOULD_ASK) for number, one in wanted.items()}
    elif wanted:
        starts = [start for one in wanted.values() for start in one.starts]
        lives = _ask_all(starts, ask)
        found |= {number: _join(one, lives, clock) for number, one in wanted.items()}
    return [found[number] for number in sorted(found)]


def has_final_accounting(run: StoredRun) -> bool:
    """Tell whether asking again would add nothing: a requeue since then would."""
    known = run.accounting
    if known is None or not known.get("is_final"):
        return False
    attempts = known.get("run_attempts")
    return isinstance(attempts, int) and attempts >= run.brief.attempts


def read_starts(run: StoredRun) -> list[JobStart]:
    """Return the attempts of a run that ran under Slurm, each with its job.

    Of a heterogeneous job there is one for each component.
    """
    first: dict[tuple[int, str], tuple[int, float, Mapping[str, str]]] = {}
    for source in run.sources():
        for event in source.events:
            if event.kind != EventKind.START:
                continue
            said = event.json()
            job, attempt = said.get("job") or {}, int(said.get("attempt", 1))
            if not job.get("SLURM_JOB_ID") or attempt < 1:
                continue
            key = attempt, str(job["SLURM_JOB_ID"])
            rank, wall_s = int(said.get("rank", 0)), float(said.get("wall_s", event.wall_s))
            known = first.get(key, (rank, wall_s, job))
            # The lowest rank tells most of the job; the earliest one when it began.
            lowest = min(known, (rank, wall_s, job), key=lambda one: one[0])
            first[key] = (lowest[0], min(known[1], wall_s), lowest[2])
    return [
        start
        for (attempt, _job_id), (_rank, wall_s, job) in sorted(first.items())
        for start in make_starts(attempt, job, wall_s)
    ]


def list_jobs(starts: Iterable[JobStart]) -> dict[str, list[str]]:
    """Return the numbers to ask for, by cluster, each once."""
    jobs: dict[str, dict[str, None]] = {}
    for one in starts:
        jobs.setdefault(one.facts.cluster, {})[one.facts.job_id] = None
    return {cluster: sorted(numbers, key=_by_number) for cluster, numbers in sorted(jobs.items())}


def _by_number(job: str) -> tuple[int, str]:
    return len(job), job


def _look(one: _Wanted, *, again: bool) -> Joined | None:
    """Return what can be said of a run without asking, or None."""
    run = one.run
    brief = run.brief
    if not brief.job.get("SLURM_JOB_ID") and brief.attempts <= 1:
        return one.make(Outcome.NO_JOB)
    known = run.accounting
    if known is not None and not again and has_final_accounting(run):
        jobs = dict.fromkeys(str(entry.get("job", "")) for entry in known["attempts"])
        return Joined(
            project=run.project,
            run=run.id,
            outcome=Outcome.KEPT,
            jobs=tuple(jobs),
            accounting=known,
        )
    one.starts, one.attempts = read_starts(run), brief.attempts
    return None if one.starts else one.make(Outcome.NO_JOB)


def _ask_all(starts: Sequence[JobStart], ask: Ask) -> list[Life]:
    """Ask for all jobs; where they are of one cluster, first without naming it.

    Naming a cluster takes a database that knows it under that name; the one that we are on
    answers anyway.
    """
    jobs = list_jobs(starts)
    if len(jobs) > 1:
        return [life for cluster, numbers in jobs.items() for life in ask(numbers, cluster)]
    ((cluster, numbers),) = jobs.items()
    lives = ask(numbers, "")
    if cluster and not any(one.job.fields.get("Cluster") == cluster for one in lives):
        with contextlib.suppress(SchedulerError):
            lives = lives + ask(numbers, cluster)
    return lives


def _join(one: _Wanted, lives: Sequence[Life], clock: Clock) -> Joined:
    made = make_accounting(
        one.starts, lives, asked_wall_s=clock.wall_s(), measure_gpus=one.measure_gpus
    )
    if made is None:
        return one.make(Outcome.UNKNOWN, accounting=one.run.accounting)
    accounting = {
        "project": one.run.project,
        "run": one.run.id,
        "run_attempts": one.attempts,
        "asked_by": "sacct",
        "asked_on": socket.gethostname(),
        **made,
    }
    try:
        accounting = write_accounting(one.run.folder, accounting)
    except HpctrackError as error:
        return one.make(Outcome.FAILED, accounting=accounting, problem=error.message)
    outcome = Outcome.JOINED if made["is_final"] else Outcome.RUNNING
    return one.make(outcome, accounting=accounting)
