"""A batch script for a job that had none, and what a submission needs besides a script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_OPTIONS: tuple[tuple[str, str], ...] = (
    ("--job-name", "SLURM_JOB_NAME"),
    ("--partition", "SLURM_JOB_PARTITION"),
    ("--account", "SLURM_JOB_ACCOUNT"),
    ("--qos", "SLURM_JOB_QOS"),
    ("--nodes", "SLURM_JOB_NUM_NODES"),
    ("--ntasks", "SLURM_NTASKS"),
    ("--ntasks-per-node", "SLURM_NTASKS_PER_NODE"),
    ("--cpus-per-task", "SLURM_CPUS_PER_TASK"),
    ("--mem", "SLURM_MEM_PER_NODE"),
    ("--mem-per-cpu", "SLURM_MEM_PER_CPU"),
    ("--mem-per-gpu", "SLURM_MEM_PER_GPU"),
    ("--gpus", "SLURM_GPUS"),
    ("--gpus-per-node", "SLURM_GPUS_PER_NODE"),
    ("--gpus-per-task", "SLURM_GPUS_PER_TASK"),
    ("--constraint", "SLURM_JOB_CONSTRAINTS"),
    ("--reservation", "SLURM_JOB_RESERVATION"),
)
"""Options of sbatch, and the variable in which Slurm tells a job what it has got."""

_PLAIN = re.compile(r"[\w.,:/@+=*()\[\]|&-]+\Z")
_SHORT = {
    "--job-name": "-J", "--partition": "-p", "--account": "-A", "--qos": "-q", "--nodes": "-N",
    "--ntasks": "-n", "--cpus-per-task": "-c", "--constraint": "-C", "--gpus": "-G", "--time": "-t",
}  # fmt: skip
_UNLIMITED_S = 360 * 86400
DEFAULT_QOS = "normal"


def list_options(environ: Mapping[str, str], script: str = "") -> dict[str, str]:
    """Return the options that a job was given, as far as it was told.

    Parameters
    ----------
    environ : mapping
        Of a rank, as recorded.
    script : str
        Options that it sets itself are left out.

    Returns
    -------
    dict
        Value by long option.
    """
    found = {}
    for option, name in _OPTIONS:
        value = environ.get(name, "")
        if value and _PLAIN.match(value) and not _is_set(script, option):
            found[option] = value
    if found.get("--qos") == DEFAULT_QOS:
        del found["--qos"]
    # Slurm tells memory in MB per node; 0 is all of it in both languages.
    limit = _time_limit(environ)
    if limit and not _is_set(script, "--time"):
        found["--time"] = limit
    return found


def make_job_script(options: Mapping[str, str], lines: Sequence[str]) -> str:
    """Return a batch script that asks for what a job had and then runs lines."""
    directives = [f"#SBATCH {option}={value}" for option, value in options.items()]
    return "\n".join(["#!/bin/bash", *directives, "", *lines, ""])


def _is_set(script: str, option: str) -> bool:
    short = _SHORT.get(option, "")
    pattern = rf"(?m)^#SBATCH\s+(?:.*\s)?(?:{re.escape(option)}(?:[=\s]|$)"
    pattern += rf"|{re.escape(short)}(?![\w-]*=)\S*(?:\s|$))" if short else ")"
    return re.search(pattern, script) is not None


def _time_limit(environ: Mapping[str, str]) -> str:
    """Return the limit that a job had: Slurm tells when it began and when it would be ended."""
    start, end = (environ.get(f"SLURM_JOB_{one}_TIME", "") for one in ("START", "END"))
    if not (start.isdigit() and end.isdigit()):
        return ""
    limit_s = int(end) - int(start)
    if not 0 < limit_s < _UNLIMITED_S:
        return ""
    minutes = -(-limit_s // 60)
    days, minutes = divmod(minutes, 24 * 60)
    return f"{days}-{minutes // 60:02d}:{minutes % 60:02d}:00"
