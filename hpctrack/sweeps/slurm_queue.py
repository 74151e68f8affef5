"""Which jobs Slurm still has. ``squeue`` is asked, because ``sacct`` needs a database."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

_TIMEOUT_S = 30.0
"""A controller under load answers late; nobody should wait for a status for longer."""


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
    if not wanted or shutil.which("squeue") is None:
        return None
    numbers = sorted({job.partition("_")[0] for job in wanted})
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(numbers)}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and "Invalid job id" not in done.stderr:
        return None
    return frozenset(done.stdout.split()) & wanted
