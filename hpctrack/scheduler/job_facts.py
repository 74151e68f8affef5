"""What a batch job is: from its environment, and from ``scontrol`` where that answers.

The environment is there at once and says who the job is. ``scontrol`` knows more: what was asked
for and given, times, the comment. It asks the controller, which may be busy or away, so its word
is added where it is to be had and nothing waits for it without a bound.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpctrack.scheduler.durations import parse_moment
from hpctrack.scheduler.hostlist import try_expand_hosts
from hpctrack.scheduler.scontrol import ShownJob
from hpctrack.scheduler.sizes import MIB, MemoryRequest

COMPONENTS_MAX = 128
"""Slurm's own bound for a heterogeneous job."""

_SLURM_TEXTS = {
    "job_id": "SLURM_JOB_ID",
    "array_job_id": "SLURM_ARRAY_JOB_ID",
    "array_task_id": "SLURM_ARRAY_TASK_ID",
    "step_id": "SLURM_STEP_ID",
    "name": "SLURM_JOB_NAME",
    "user": "SLURM_JOB_USER",
    "cluster": "SLURM_CLUSTER_NAME",
    "partition": "SLURM_JOB_PARTITION",
    "account": "SLURM_JOB_ACCOUNT",
    "qos": "SLURM_JOB_QOS",
    "reservation": "SLURM_JOB_RESERVATION",
    "comment": "SLURM_JOB_COMMENT",
    "dependency": "SLURM_JOB_DEPENDENCY",
    "submit_dir": "SLURM_SUBMIT_DIR",
    "submit_host": "SLURM_SUBMIT_HOST",
}

_SHOWN_TEXTS = {
    "array_job_id": "ArrayJobId",
    "array_task_id": "ArrayTaskId",
    "name": "JobName",
    "partition": "Partition",
    "account": "Account",
    "qos": "QOS",
    "reservation": "Reservation",
    "comment": "Comment",
    "dependency": "Dependency",
    "reason": "Reason",
    "state": "JobState",
    "submit_dir": "WorkDir",
    "script": "Command",
}

_SHOWN_MOMENTS = {
    "submit_wall_s": "SubmitTime",
    "eligible_wall_s": "EligibleTime",
    "start_wall_s": "StartTime",
    "end_wall_s": "EndTime",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job; what is not known is empty or None, never made up.

    Parameters
    ----------
    scheduler : {"slurm", "pbs", "lsf", "sge", "cobalt", "flux"}
    job_id : str
        Its own number; of an array's task not the array's.
    array_job_id, array_task_id : str
        The array and the place in it.
    step_id : str
        The step that this process is in; empty in the batch script.
    het_job_ids : tuple of str
        The numbers of a heterogeneous job's components; empty for any other. The ranks of all
        of them are told the first one's as theirs.
    nodes : tuple of str
    node_count, tasks, cpus_per_task, gpus : int or None
        As asked for.
    memory : MemoryRequest or None
        As asked for, by node or by processor.
    tres_asked, tres_given : mapping
        Trackable resources by name; memory in bytes.
    limit_s : float or None
        The time limit; infinite if there is none.
    restarts : int or None
        How often it was requeued.
    reason, state : str
        As the controller shows them.
    submit_wall_s, eligible_wall_s, start_wall_s, end_wall_s : float or None
        UTC; the end of a running job is the one its time limit sets.
    script : str
        What was submitted.
    """

    scheduler: str
    job_id: str
    array_job_id: str = ""
    array_task_id: str = ""
    step_id: str = ""
    het_job_ids: tuple[str, ...] = ()
    name: str = ""
    user: str = ""
    cluster: str = ""
    partition: str = ""
    account: str = ""
    qos: str = ""
    reservation: str = ""
    nodes: tuple[str, ...] = ()
    node_count: int | None = None
    tasks: int | None = None
    cpus_per_task: int | None = None
    gpus: int | None = None
    memory: MemoryRequest | None = None
    tres_asked: Mapping[str, float] = field(default_factory=dict)
    tres_given: Mapping[str, float] = field(default_factory=dict)
    limit_s: float | None = None
    restarts: int | None = None
    comment: str = ""
    dependency: str = ""
    reason: str = ""
    state: str = ""
    submit_wall_s: float | None = None
    eligible_wall_s: float | None = None
    start_wall_s: float | None = None
    end_wall_s: float | None = None
    submit_dir: str = ""
    submit_host: str = ""
    script: str = ""

    @property
    def shown_id(self) -> str:
        """As people know it: ``4711``, ``1200_3``."""
        if self.array_job_id and self.array_task_id:
            return f"{self.array_job_id}_{self.array_task_id}"
        return self.job_id

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form of what is known."""
        found = dataclasses.asdict(self)
        if self.limit_s is not None and math.isinf(self.limit_s):
            found["limit_s"] = "UNLIMITED"
        return {key: value for key, value in found.items() if value or value == 0}


def read_slurm(environ: Mapping[str, str]) -> JobFacts | None:
    """Return what Slurm's environment tells; None outside a job.

    Parameters
    ----------
    environ : mapping
        A process's environment, or the ``job`` of a run's record, which is a part of one.
    """
    if not environ.get("SLURM_JOB_ID"):
        return None
    texts: dict[str, Any] = {key: environ.get(name, "") for key, name in _SLURM_TEXTS.items()}
    return JobFacts(
        scheduler="slurm",
        **texts,
        het_job_ids=_read_components(environ),
        nodes=tuple(try_expand_hosts(environ.get("SLURM_JOB_NODELIST", ""))),
        node_count=read_int(environ, "SLURM_JOB_NUM_NODES"),
        tasks=read_int(environ, "SLURM_NTASKS"),
        cpus_per_task=read_int(environ, "SLURM_CPUS_PER_TASK"),
        gpus=_read_gpus(environ.get("SLURM_GPUS", "")),
        memory=read_memory(environ),
        limit_s=_read_limit(environ),
        # Slurm does not set it on the first attempt.
        restarts=read_int(environ, "SLURM_RESTART_COUNT") or 0,
        start_wall_s=parse_moment(environ.get("SLURM_JOB_START_TIME", "")),
        end_wall_s=parse_moment(environ.get("SLURM_JOB_END_TIME", "")),
    )


def add_shown(facts: JobFacts, shown: ShownJob) -> JobFacts:
    """Return the facts with what ``scontrol`` adds; for what both know, it is the newer word."""
    more: dict[str, Any] = {
        key: shown.fields[name]
        for key, name in _SHOWN_TEXTS.items()
        if name in shown.fields and (key != "submit_dir" or not facts.submit_dir)
    }
    moments = {key: shown.moment(name) for key, name in _SHOWN_MOMENTS.items()}
    more |= {key: value for key, value in moments.items() if value is not None}
    others = {
        "nodes": shown.nodes,
        "het_job_ids": tuple(_unfold_numbers(shown.fields.get("HetJobIdSet", ""))),
        "memory": shown.memory_asked,
        "tres_asked": shown.tres_asked,
        "tres_given": shown.tres_given,
        "limit_s": shown.limit_s,
        "restarts": shown.restarts,
        "user": shown.fields.get("UserId", "").partition("(")[0],
        "node_count": read_int(shown.fields, "NumNodes"),
        "tasks": read_int(shown.fields, "NumTasks"),
        "cpus_per_task": read_int(shown.fields, "CPUs/Task"),
    }
    more |= {key: value for key, value in others.items() if value or value == 0}
    return dataclasses.replace(facts, **more)


def read_memory(environ: Mapping[str, str]) -> MemoryRequest | None:
    """Return what ``--mem`` or ``--mem-per-cpu`` said: megabytes, 0 for all that a node has."""
    for name, per in (("SLURM_MEM_PER_CPU", "cpu"), ("SLURM_MEM_PER_NODE", "node")):
        number = read_int(environ, name)
        if number:
            return MemoryRequest(number * MIB, per)
    return None


def read_int(values: Mapping[str, str], name: str) -> int | None:
    """Return a number, or None for what is none."""
    text = values.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _read_components(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the numbers of the components; until 19.05 they were called packs."""
    for word in ("HET", "PACK"):
        size = min(read_int(environ, f"SLURM_{word}_SIZE") or 0, COMPONENTS_MAX)
        names = [f"SLURM_JOB_ID_{word}_GROUP_{number}" for number in range(size)]
        found = tuple(environ[name] for name in names if environ.get(name))
        if found:
            return found
    return ()


def _unfold_numbers(text: str) -> list[str]:
    """Read ``12-13,17``."""
    return try_expand_hosts(f"[{text}]") if text else []


def _read_gpus(text: str) -> int | None:
    """Read ``--gpus``: ``4``, ``a100:4`` or ``a100:2,v100:2``."""
    counts = [part.rpartition(":")[2] for part in text.split(",") if part]
    if not counts or not all(one.isdigit() for one in counts):
        return None
    return sum(map(int, counts))


def _read_limit(environ: Mapping[str, str]) -> float | None:
    """Return the time limit: since 23.02 start and end are in the environment."""
    start = parse_moment(environ.get("SLURM_JOB_START_TIME", ""))
    end = parse_moment(environ.get("SLURM_JOB_END_TIME", ""))
    return end - start if start and end and end > start else None
