"""The batch script of the job, as the scheduler has it: the user's own copy may have changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpctrack.telemetry.provenance.child import Programs
from hpctrack.telemetry.provenance.files import read_text
from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.process import Process, iter_processes

SCRIPT_MAX_BYTES = 256 * 1024
SCONTROL_TIMEOUT_S = 8.0
"""A controller that is busy answers late; one that is down lets scontrol try for a minute."""

_SPOOLED = re.compile(r"/job0*(?P<job>\d+)/slurm_script\Z")
BASH_SCRIPT_FD = "255"
"""Where bash keeps the script that it reads: the file's folder may be closed to others."""


def read_spooled(root: Path, environ: Mapping[str, str]) -> str | None:
    """Return the script as the batch shell on this node is running it; None if it runs elsewhere.

    Parameters
    ----------
    root : Path
        What stands for ``/``.
    environ : mapping
        The job's.
    """
    job = _job_of(environ)
    if not job.isdigit():
        return None
    for one in iter_processes(root):
        for word in one.arguments[:4]:
            found = _SPOOLED.search(word)
            if found and found["job"] == job:
                return _read_of(one, word)
    return None


def read_job_script(
    spooled: str | None, environ: Mapping[str, str], programs: Programs, masker: Masker
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the script that was given to sbatch.

    Parameters
    ----------
    spooled : str or None
        What `read_spooled` has found.
    environ : mapping
        The job's environment.
    programs : Programs
        Who starts scontrol, if the script is not on this node.
    masker : Masker

    Returns
    -------
    facts, missing : dict
        ``text``, secrets hidden, and ``from``; empty outside of a batch job.
    """
    job = _job_of(environ)
    if not job.isdigit():
        return {}, {}
    text, where = spooled, "spool"
    missing = {}
    if text is None:
        answer = programs.ask(
            ["scontrol", "write", "batch_script", job, "-"],
            timeout_s=SCONTROL_TIMEOUT_S,
            max_bytes=SCRIPT_MAX_BYTES,
        )
        text, where = answer.text if answer.output else None, "scontrol"
        if answer.problem:
            missing = {"job_script": _explain(answer.problem)}
    if text is None:
        return {}, missing or {"job_script": "the job has no batch script"}
    return {"scheduler": "slurm", "from": where, "text": masker.text(text)}, {}


def _job_of(environ: Mapping[str, str]) -> str:
    return environ.get("SLURM_JOB_ID") or environ.get("SLURM_JOBID", "")


def _read_of(shell: Process, path: str) -> str | None:
    for place in (Path("fd") / BASH_SCRIPT_FD, None):
        file = (
            shell.root / "proc" / str(shell.pid) / place
            if place
            else shell.files / path.lstrip("/")
        )
        text = read_text(file, SCRIPT_MAX_BYTES)
        if text and text.startswith("#!"):
            return text
    return None


def _explain(problem: str) -> str:
    if "does not exist" in problem or "no batch script" in problem.lower() or "Invalid" in problem:
        return "the job has no batch script, or Slurm does not have it any more"
    return problem
