"""What tells one start of a program from the next: the same on all of its ranks.

A run's id may be used again, by a requeue, by a resume or by mistake. The launch says whose points
are whose, so that two starts never mix. Like the id it needs no communication.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from hpctrack.client.ranks import RankInfo
from hpctrack.core.names import digest_text

LAUNCH_VARIABLE = "HPCTRACK_LAUNCH"
"""Set by ``hpctrack run`` for the program in it: wrapper and program are one start."""

_JOB_VARIABLES = (
    "SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_JOB_START_TIME",
    "PBS_JOBID", "PBS_ARRAY_INDEX", "LSB_JOBID", "LSB_JOBINDEX", "COBALT_JOBID", "FLUX_JOB_ID",
)  # fmt: skip
"""What schedulers tell all ranks alike."""

_TORCHRUN_VARIABLES = ("TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells all its workers alike; elsewhere a script may set these as it likes."""

_RANK_VARIABLES = {
    "torchrun": "TORCHELASTIC_RUN_ID",
    "openmpi": "OMPI_COMM_WORLD_RANK",
    "mpich": "PMI_RANK",
    "intelmpi": "PMI_RANK",
    "pmix": "PMIX_RANK",
}
"""A process that has the variable was launched; its nearest ancestor without it is the launcher."""

_ANCESTORS_MAX = 16


def make_launch_token(
    environ: Mapping[str, str], rank: RankInfo, *, ordinal: int = 0, proc: Path = Path("/proc")
) -> str:
    """Return the token of this start.

    Parameters
    ----------
    environ : mapping
        The process's environment.
    rank : RankInfo
        Where this process stands.
    ordinal : int
        How many runs this process has begun before: each is a start of its own.
    proc : Path
        For tests.

    Returns
    -------
    str
        16 hexadecimal digits; equal on all ranks, different for each start. Where a launcher of
        several nodes tells nothing of itself, two starts in one job may have the same.
    """
    inherited = environ.get(LAUNCH_VARIABLE, "")
    if inherited and not ordinal:
        return inherited
    names = _JOB_VARIABLES + (_TORCHRUN_VARIABLES if rank.launcher == "torchrun" else ())
    told = [f"{name}={environ[name]}" for name in names if name in environ]
    facts = [rank.launcher, rank.launch, *told, _find_starter(rank, proc)]
    text = "\0".join([inherited] if inherited else facts) + f"\0{ordinal}"
    return digest_text(text, 8)


def _find_starter(rank: RankInfo, proc: Path) -> str:
    """Name the process that started all ranks, or its address; empty where ranks cannot agree."""
    if rank.launcher == "slurm":
        return ""  # the step's number and the restart count tell everything
    if rank.launcher == "none" or (rank.launcher == "mpi4py" and rank.size == 1):
        return _name_process(_own_starter(), proc)
    launcher = _find_launcher(_RANK_VARIABLES.get(rank.launcher, ""), proc)
    if launcher and rank.local_size == rank.size:
        return _name_process(launcher, proc)
    if launcher and rank.launcher in {"mpich", "intelmpi"}:
        return _control_port(launcher, proc)
    return ""


def _own_starter() -> int:
    """Return this process, or the one that multiprocessing has spawned it from."""
    module = sys.modules.get("multiprocessing.process")
    parent = module.parent_process() if module is not None else None
    return int(parent.pid) if parent is not None and parent.pid else os.getpid()


def _find_launcher(variable: str, proc: Path) -> int:
    """Return the nearest ancestor that was not launched itself: shells around a rank are passed."""
    process = os.getppid()
    for _generation in range(_ANCESTORS_MAX):
        words = _read(proc / str(process) / "environ").split("\0")
        if process <= 1 or not any(one.startswith(f"{variable}=") for one in words):
            break
        process = _parent(process, proc)
    return process if process > 1 else 0


def _control_port(process: int, proc: Path) -> str:
    """Return where Hydra's proxies find their mpiexec: the same on all nodes."""
    words = _read(proc / str(process) / "cmdline").split("\0")
    following = dict(pairwise(words))
    return following.get("--control-port", "")


def _name_process(process: int, proc: Path) -> str:
    """Return a process's number and first clock tick: together unique until the next boot."""
    facts = _stat(process, proc)
    return f"{process}@{facts[19] if len(facts) > 19 else ''}"  # noqa: PLR2004 - field 22 of proc(5)


def _parent(process: int, proc: Path) -> int:
    facts = _stat(process, proc)
    return int(facts[1]) if len(facts) > 1 else 0


def _stat(process: int, proc: Path) -> list[str]:
    return _read(proc / str(process) / "stat").rpartition(")")[2].split()


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
