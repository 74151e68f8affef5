"""Jobs of PBS, LSF, Grid Engine, Cobalt and Flux, from their environment. Pure.

How they derive a run's id is in `hpctrack.client.identity`, which runs in the job itself; here is
what else they tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hpctrack.client.identity import SCHEDULERS, Scheduler, read_number
from hpctrack.scheduler.job_facts import JobFacts, read_int

_TEXTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pbs": {
        "name": ("PBS_JOBNAME",),
        "partition": ("PBS_QUEUE",),
        "account": ("PBS_ACCOUNT",),
        "submit_dir": ("PBS_O_WORKDIR",),
        "submit_host": ("PBS_O_HOST",),
    },
    "lsf": {
        "name": ("LSB_JOBNAME",),
        "partition": ("LSB_QUEUE",),
        "account": ("LSB_PROJECT_NAME",),
        "submit_dir": ("LS_SUBCWD",),
        "submit_host": ("LSB_SUB_HOST",),
    },
    "sge": {
        "name": ("JOB_NAME",),
        "partition": ("QUEUE",),
        "cluster": ("SGE_CELL",),
        "submit_dir": ("SGE_O_WORKDIR",),
        "submit_host": ("SGE_O_HOST",),
    },
    "cobalt": {"partition": ("COBALT_QUEUE", "COBALT_PARTNAME"), "account": ("COBALT_PROJECT",)},
    "flux": {},
}
"""Fact and the variables that may hold it."""

_TASKS = {
    "pbs": "PBS_NP",
    "lsf": "LSB_DJOB_NUMPROC",
    "sge": "NSLOTS",
    "flux": "FLUX_JOB_SIZE",
}

_NODES = {"pbs": "PBS_NUM_NODES", "sge": "NHOSTS", "flux": "FLUX_JOB_NNODES"}


def read_other(environ: Mapping[str, str]) -> JobFacts | None:
    """Return what a scheduler other than Slurm tells; None if there is none.

    Parameters
    ----------
    environ : mapping
        A process's environment, or the ``job`` of a run's record.
    """
    for scheduler in SCHEDULERS:
        number, index = read_number(environ, scheduler)
        if number:
            return _read(environ, scheduler, number, index)
    return None


def _read(environ: Mapping[str, str], scheduler: Scheduler, number: str, index: str) -> JobFacts:
    texts: dict[str, Any] = {
        key: next((environ[name] for name in names if environ.get(name)), "")
        for key, names in _TEXTS[scheduler.name].items()
    }
    nodes = _read_nodes(environ, scheduler.name)
    return JobFacts(
        scheduler=scheduler.name,
        job_id=number,
        array_job_id=number if index else "",
        array_task_id=index,
        nodes=nodes,
        node_count=len(nodes) or read_int(environ, _NODES.get(scheduler.name, "")),
        tasks=read_int(environ, _TASKS.get(scheduler.name, "")),
        limit_s=_read_limit(environ, scheduler.name),
        restarts=_read_restarts(environ, scheduler.name),
        **texts,
    )


def _read_nodes(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return LSF's nodes, each once: ``LSB_MCPU_HOSTS`` is ``n1 4 n2 4``."""
    if name != "lsf":
        return ()
    words = environ.get("LSB_MCPU_HOSTS", "").split()[::2] or environ.get("LSB_HOSTS", "").split()
    return _unique(words)


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _read_limit(environ: Mapping[str, str], name: str) -> float | None:
    """Return Torque's time limit, which is in seconds."""
    limit_s = read_int(environ, "PBS_WALLTIME") if name == "pbs" else None
    return float(limit_s) if limit_s else None


def _read_restarts(environ: Mapping[str, str], name: str) -> int | None:
    """Return 0 or at least 1 where the scheduler tells whether it is the first start."""
    if name == "lsf":
        return int(environ.get("LSB_RESTART") == "Y")
    if name == "sge" and environ.get("RESTARTED", "") in {"0", "1"}:
        return int(environ["RESTARTED"])
    return None
