"""The command that ends the job. Pure."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from hpctrack.agents.job_end import name_job


def make_cancel_command(environ: Mapping[str, str]) -> list[str] | None:
    """Return the scheduler's command line that ends this job, and no more than it.

    Parameters
    ----------
    environ : mapping
        The job's.

    Returns
    -------
    list of str or None
        None if this is no job, or the command is not here.
    """
    for program, job in _iter_candidates(environ):
        path = shutil.which(program, path=environ.get("PATH", ""))
        if job and path:
            return [path, job]
    return None


def _iter_candidates(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    lsf, index = environ.get("LSB_JOBID", ""), environ.get("LSB_JOBINDEX", "0")
    if lsf and index not in {"", "0"}:
        lsf = f"{lsf}[{index}]"  # the number alone means the whole array
    return [
        ("scancel", name_job(environ)),
        ("qdel", environ.get("PBS_JOBID", "")),
        ("bkill", lsf),
    ]
