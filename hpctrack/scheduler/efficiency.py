"""How much of what a job was given it has used. Pure.

All numbers but those of GPUs are Slurm's own, with its limits: memory is what it saw when it looked
(every 30 s by default, and per task), processors may be hardware threads, and a step that was
killed may have lost the time of its children. So nothing is more exact than it looks, and what was
not measured is None.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpctrack.scheduler.sacct import Life, Row
from hpctrack.store.gpu_use import GpuUse

TELEMETRY, SACCT = "telemetry", "sacct"
"""Values of `Efficiency.gpu_source`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What a job had, and what it used of it.

    Parameters
    ----------
    state : str
        The job's; ``OUT_OF_MEMORY`` also if a step of it was killed for that, because the job is
        then called COMPLETED or FAILED.
    elapsed_s, limit_s, time_frac : float or None
        The limit is infinite if there is none; there is no fraction of that.
    cpus : int
        Given.
    cpu_s, cpu_frac : float or None
        User and system time, and its share of ``elapsed_s * cpus``.
    memory_bytes : float or None
        At most: of the steps that ran at the same time, the highest memory of each task.
    node_memory_bytes : float or None
        The same for the node that has most, as far as it can be told.
    memory_asked_bytes, memory_frac : float or None
        For the whole job.
    memory_per : {"job", "node", "cpu"}
        How it was asked for.
    nodes, tasks, gpus : int
        ``tasks`` of the largest step.
    gpu_frac : float or None
        Mean utilisation of the GPUs, as far as they were measured.
    gpu_source : str
        Who measured it: ``telemetry``, our own samples, or ``sacct``: what Slurm had seen when it
        looked last, summed over the processes of the largest step. Empty if nobody did.
    gpus_measured : int or None
        How many of the GPUs were sampled.
    gpu_measured_frac : float or None
        Of the time of all GPUs that were given, how much was sampled.
    gpus_unused : int or None
        On how many of the sampled ones no sample saw any work.
    wait_s, since_submit_s : float or None
        From when it could have run, and from when it was submitted, to its start.
    energy_j : float or None
        Of its nodes; of shared ones all of them.
    """

    state: str = ""
    elapsed_s: float | None = None
    limit_s: float | None = None
    time_frac: float | None = None
    cpus: int = 0
    cpu_s: float | None = None
    cpu_frac: float | None = None
    memory_bytes: float | None = None
    node_memory_bytes: float | None = None
    memory_asked_bytes: float | None = None
    memory_frac: float | None = None
    memory_per: str = "job"
    nodes: int = 0
    tasks: int = 0
    gpus: int = 0
    gpu_frac: float | None = None
    gpu_source: str = ""
    gpus_measured: int | None = None
    gpu_measured_frac: float | None = None
    gpus_unused: int | None = None
    wait_s: float | None = None
    since_submit_s: float | None = None
    energy_j: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form; an infinite limit is ``"UNLIMITED"``."""
        found = dataclasses.asdict(self)
        if self.limit_s is not None and math.isinf(self.limit_s):
            found["limit_s"] = "UNLIMITED"
        return found


def measure(life: Life, *, gpus: Sequence[GpuUse] = (), memory_per: str = "") -> Efficiency:
    """Work out what a job used.

    Parameters
    ----------
    life : Life
        A job with its steps; of a running job only what does not change is told.
    gpus : sequence of GpuUse
        What our own samples say of its GPUs, from its start to its end.
    memory_per : {"", "node", "cpu"}
        How memory was asked for, if somebody knows; since 21.08 sacct does not tell.
    """
    job = life.job
    nodes, cpus = job.nodes, job.cpus
    elapsed_s = job.elapsed_s if job.is_final else None
    cpu_s = job.cpu_s if job.is_final else None
    steps = [one for one in life.steps if one.step != "extern"]
    used_bytes = _peak([(one, _step_bytes(one)) for one in steps]) if job.is_final else None
    node_bytes = _peak([(one, _node_bytes(one)) for one in steps]) if job.is_final else None
    request = job.memory_asked
    asked_bytes = request.total_bytes(nodes=nodes, cpus=cpus) if request else None
    if asked_bytes is None:
        asked_bytes = job.tres_given.get("mem") or None
    told_per = request.per if request and request.per != "job" else ""
    return Efficiency(
        state=_state(life),
        elapsed_s=elapsed_s,
        limit_s=job.limit_s,
        time_frac=_divide(elapsed_s, job.limit_s),
        cpus=cpus,
        cpu_s=cpu_s,
        cpu_frac=_divide(cpu_s, elapsed_s * cpus if elapsed_s else None),
        memory_bytes=used_bytes,
        node_memory_bytes=node_bytes,
        memory_asked_bytes=asked_bytes,
        memory_frac=_divide(used_bytes, asked_bytes),
        memory_per=told_per or memory_per or "job",
        nodes=nodes,
        tasks=max((one.tasks for one in steps), default=0),
        gpus=job.gpus,
        **(_measure_gpus(life, gpus) if job.is_final else {}),
        wait_s=_wait(job, "Eligible"),
        since_submit_s=_wait(job, "Submit"),
        energy_j=job.energy_j if job.is_final else None,
    )


def _measure_gpus(life: Life, gpus: Sequence[GpuUse]) -> dict[str, Any]:
    """Return what is known of the GPUs; nothing if it is not known which ones are the job's."""
    given = life.job.gpus
    if not given or len(gpus) > given:
        return {}
    if not gpus:
        seen = [_step_gpus(one) for one in life.steps]
        busy = max((one for one in seen if one is not None), default=None)
        # More than all of them is no utilisation that we understand.
        is_sense = busy is not None and busy <= given
        return {"gpu_frac": busy / given, "gpu_source": SACCT} if busy and is_sense else {}
    measured_s = sum(one.measured_s for one in gpus)
    whole_s = given * (life.job.elapsed_s or 0.0)
    return {
        "gpu_frac": sum(one.busy_frac * one.measured_s for one in gpus) / measured_s,
        "gpu_source": TELEMETRY,
        "gpus_measured": len(gpus),
        "gpu_measured_frac": min(1.0, measured_s / whole_s) if whole_s else None,
        "gpus_unused": sum(one.peak_frac <= 0 for one in gpus),
    }


def _step_gpus(step: Row) -> float | None:
    """Return how many GPUs a step kept busy, as Slurm saw it."""
    task_frac = step.task_gpu_frac
    return None if task_frac is None else task_frac * max(step.tasks, 1)


def _state(life: Life) -> str:
    if any(one.state == "OUT_OF_MEMORY" for one in life.steps):
        return "OUT_OF_MEMORY"
    return life.job.state


def _divide(part: float | None, whole: float | None) -> float | None:
    if part is None or not whole or math.isinf(whole):
        return None
    return part / whole


def _wait(job: Row, since: str) -> float | None:
    start, begin = job.moment("Start"), job.moment(since)
    return max(start - begin, 0.0) if start is not None and begin is not None else None


def _step_bytes(step: Row) -> float | None:
    """Return what a step had in memory at most.

    The sum over its tasks of each one's highest is an upper bound; the highest of one times the
    number of tasks is a coarser one, for versions and plug-ins that do not tell the sum.
    """
    task_bytes = step.task_rss_bytes
    if task_bytes is None:
        return step.sum_rss_bytes
    coarse_bytes = task_bytes * max(step.tasks, 1)
    if step.sum_rss_bytes is None:
        return coarse_bytes
    return max(min(step.sum_rss_bytes, coarse_bytes), task_bytes)


def _node_bytes(step: Row) -> float | None:
    """Return what the tasks of a step on one node had at most, spread as evenly as they go."""
    whole_bytes, task_bytes = _step_bytes(step), step.task_rss_bytes
    if whole_bytes is None or task_bytes is None or step.nodes <= 1:
        return whole_bytes
    tasks_on_node = math.ceil(max(step.tasks, 1) / step.nodes)
    return min(whole_bytes, task_bytes * tasks_on_node)


def _peak(steps: Sequence[tuple[Row, float | None]]) -> float | None:
    """Return the most that steps which ran at the same time had together.

    ``srun A & srun B & wait`` needs the memory of both; two steps one after the other do not.
    """
    changes: list[tuple[float, int, float]] = []
    best_bytes: float | None = None
    for step, size_bytes in steps:
        if size_bytes is None:
            continue
        best_bytes = max(best_bytes or 0.0, size_bytes)
        start, end = step.moment("Start"), step.moment("End")
        if start is not None and end is not None and end >= start:
            # Slurm's clock has no fractions: steps that touch did not overlap.
            changes += [(start, 1, size_bytes), (max(end, start + 0.5), 0, -size_bytes)]
    now_bytes = 0.0
    for _moment, _order, size_bytes in sorted(changes):
        now_bytes += size_bytes
        best_bytes = max(best_bytes or 0.0, now_bytes)
    return best_bytes
