"""Which of Slurm's records belong to a run, and what is kept of them. Pure.

A run has attempts, a job has lives: each requeue ends one and begins the next, under the same
number. Numbers are not for ever either; a controller that lost its state counts from 1 again. So
an attempt belongs to the life of its job during which its ranks began.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpctrack.scheduler.advice import advise
from hpctrack.scheduler.efficiency import measure
from hpctrack.scheduler.hostlist import try_expand_hosts
from hpctrack.scheduler.job_facts import JobFacts, read_slurm
from hpctrack.scheduler.sacct import CUT_SHORT, Life, Row
from hpctrack.store.gpu_use import GpuUse

MeasureGpus = Callable[[float, float], list[GpuUse]]
"""From one moment to another, in UTC seconds."""

SKEW_S = 120.0
"""How far the clocks of a node and of the controller may be apart."""

REQUEUE_S = 60.0
"""A requeue submits the job anew when its life ends; what is submitted later is another job that
was given the same number. A requeue may also take that long to be told."""

SETTLED_S = 3600.0
"""After that nothing more comes: a step that is still RUNNING in a job that has ended was lost."""

KEPT_STEPS = 64
"""Steps of which the record is kept; a job that starts thousands has most of them left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStart:
    """An attempt of a run, as its ranks told it.

    Parameters
    ----------
    attempt : int
        Of the run, from 1.
    facts : JobFacts
        The job that it ran in.
    started_wall_s : float
        When its first rank began.
    """

    attempt: int
    facts: JobFacts
    started_wall_s: float


def make_starts(attempt: int, job: Mapping[str, str], started_wall_s: float) -> list[JobStart]:
    """Return the start; of a heterogeneous job one for each component, outside Slurm none."""
    facts = read_slurm(job)
    if facts is None:
        return []
    return [
        JobStart(
            attempt=attempt,
            facts=dataclasses.replace(facts, job_id=number),
            started_wall_s=started_wall_s,
        )
        for number in facts.het_job_ids or (facts.job_id,)
    ]


def match_life(start: JobStart, lives: Iterable[Life]) -> Life | None:
    """Return the life of the job in which an attempt ran.

    Parameters
    ----------
    start : JobStart
    lives : iterable of Life
        May hold other jobs', and other incarnations of the number.
    """
    mine = _select(start, lives)
    near = [one for one in mine if _is_within(one, start.started_wall_s, SKEW_S)]
    # A requeue may take seconds, which clocks cannot tell apart; but the job counts its restarts.
    for chain in _chain(mine):
        place = start.facts.restarts or 0
        if place < len(chain) and chain[place] in near:
            return chain[place]
    # The count does not fit: some lives are not there, or not yet. Then only the clock is left.
    exact = [one for one in near if _is_within(one, start.started_wall_s, 0)]
    return exact[-1] if exact else None


def make_accounting(
    starts: Sequence[JobStart],
    lives: Sequence[Life],
    *,
    asked_wall_s: float,
    measure_gpus: MeasureGpus = lambda _since_wall_s, _until_wall_s: [],
) -> dict[str, Any] | None:
    """Put together what is kept of a run.

    Parameters
    ----------
    starts : sequence of JobStart
        By attempt.
    lives : sequence of Life
        What Slurm answered.
    asked_wall_s : float
        When.
    measure_gpus : callable
        Says what the run's GPUs did from one moment to another; only asked for jobs with GPUs.

    Returns
    -------
    dict or None
        ``is_final``, ``asked_wall_s`` and ``attempts``; None if Slurm knows none of the jobs,
        which may be a matter of seconds.
    """
    matched = [(start, match_life(start, lives)) for start in starts]
    entries = [_make_entry(start, life, measure_gpus) for start, life in matched if life]
    if not entries:
        return None
    is_final = len(entries) == len(starts) and all(
        _is_settled(start, life, lives, asked_wall_s) for start, life in matched if life
    )
    return {"asked_wall_s": asked_wall_s, "is_final": is_final, "attempts": entries}


def _select(start: JobStart, lives: Iterable[Life]) -> list[Life]:
    """Return the lives under the job's number, by their start."""
    facts = start.facts
    mine = [
        one
        for one in lives
        if one.job.job_id == facts.job_id
        and facts.cluster in {"", one.job.fields.get("Cluster", "") or facts.cluster}
    ]
    return sorted(mine, key=_order)


def _order(life: Life) -> float:
    found = life.job.moment("Start")
    return float("inf") if found is None else found


def _is_within(life: Life, moment_wall_s: float, slack_s: float) -> bool:
    start, end = life.job.moment("Start"), life.job.moment("End")
    if start is None or moment_wall_s < start - slack_s:
        return False
    return end is None or moment_wall_s <= end + slack_s


def _chain(lives: Sequence[Life]) -> list[list[Life]]:
    """Part the lives of one number into those of one job each."""
    chains: list[list[Life]] = []
    for life in lives:
        submit = life.job.moment("Submit")
        end = chains[-1][-1].job.moment("End") if chains else None
        if end is not None and submit is not None and submit <= end + REQUEUE_S:
            chains[-1].append(life)
        else:
            chains.append([life])
    return chains


def _is_settled(start: JobStart, life: Life, lives: Sequence[Life], asked_wall_s: float) -> bool:
    """Tell whether asking again would give the same answer."""
    end = life.job.moment("End")
    age_s = asked_wall_s - end if end is not None else 0.0
    if not life.is_final and not (life.job.is_final and age_s > SETTLED_S):
        return False
    if life.job.state in CUT_SHORT and age_s < REQUEUE_S:
        return False
    chain = next(one for one in _chain(_select(start, lives)) if life in one)
    return all(one.job.is_final for one in chain)


def _make_entry(start: JobStart, life: Life, measure_gpus: MeasureGpus) -> dict[str, Any]:
    facts, job = start.facts, life.job
    per = facts.memory.per if facts.memory else ""
    used = measure(life, gpus=_find_gpus(start, life, measure_gpus), memory_per=per)
    advice = advise(used)
    step = _find_step(facts, life)
    rows = _keep(life, step)
    return {
        "attempt": start.attempt,
        "restarts": facts.restarts,
        "cluster": job.fields.get("Cluster", ""),
        "job": job.shown_id,
        "job_id": job.job_id,
        "state": used.state,
        "exit_code": job.exit_code,
        "step": step.step if step else "",
        "step_state": step.state if step else "",
        "step_exit_code": step.exit_code if step else None,
        "is_final": life.is_final,
        "submit_wall_s": job.moment("Submit"),
        "eligible_wall_s": job.moment("Eligible"),
        "start_wall_s": job.moment("Start"),
        "end_wall_s": job.moment("End"),
        "efficiency": used.to_json(),
        "advice": str(advice),
        "options": list(advice.options),
        "rows": [dict(one.fields) for one in rows],
        "steps_left_out": len(life.steps) + 1 - len(rows),
    }


def _find_gpus(start: JobStart, life: Life, measure_gpus: MeasureGpus) -> list[GpuUse]:
    """Return what the GPUs of a job that has ended did; of a component those of its nodes."""
    since, until = life.job.moment("Start"), life.job.moment("End")
    if not (life.job.gpus and life.job.is_final) or since is None or until is None:
        return []
    found = measure_gpus(since, until)
    if not start.facts.het_job_ids:
        return found
    nodes = {one.partition(".")[0] for one in try_expand_hosts(life.job.fields.get("NodeList", ""))}
    return [one for one in found if one.host.partition(".")[0] in nodes]


def _find_step(facts: JobFacts, life: Life) -> Row | None:
    """Return the step that the ranks were: the batch script is one, too."""
    if facts.step_id:
        return life.step(facts.step_id)
    return life.step("batch") or life.step("interactive")


def _keep(life: Life, own: Row | None) -> list[Row]:
    """Return the rows to keep: the job, our own step, and of the others those with most memory."""
    if len(life.steps) <= KEPT_STEPS:
        return [life.job, *life.steps]
    largest = sorted(life.steps, key=lambda one: -(one.task_rss_bytes or 0.0))[:KEPT_STEPS]
    return [life.job, *(one for one in life.steps if one in largest or one is own)]
