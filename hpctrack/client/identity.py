"""The id of a run, the same on all ranks, without any communication.

What the launcher tells is turned into an id by pure rules; what it does not tell (Hydra gives
its ranks no name for the launch) is read from the launcher's own process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from hpctrack.client.ranks import RankInfo
from hpctrack.core.names import check_id, digest_text, make_safe_id
from hpctrack.errors import InvalidNameError


@dataclass(frozen=True, slots=True)
class Identity:
    """A run's id and the key of the agent that serves it.

    Parameters
    ----------
    run_id : str
        The id.
    job_key : str
        What may share one agent: the processes of one Slurm step (its end kills the agent), of
        one job of another scheduler, or of one user outside any job.
    problem : str
        Why the id that was asked for could not be used; empty otherwise.
    job : str
        The batch job, such as ``4711``, ``1200_3`` or ``pbs-77_2``; empty outside any.
    """

    run_id: str
    job_key: str
    problem: str = ""
    job: str = ""


class Scheduler(NamedTuple):
    """How a batch scheduler other than Slurm tells a job who it is.

    Parameters
    ----------
    name : str
        Stands before the job's number in ids: two schedulers may have used the same number.
    variable : str
        Holds that number.
    mark : str
        Has to be set, too: the variable's name alone is anybody's.
    indices : tuple of str
        Number of the task in a job array; the first that is set.
    """

    name: str
    variable: str
    mark: str
    indices: tuple[str, ...] = ()


SCHEDULERS = (
    Scheduler("pbs", "PBS_JOBID", "PBS_JOBID", ("PBS_ARRAY_INDEX", "PBS_ARRAYID")),
    Scheduler("lsf", "LSB_JOBID", "LSB_JOBID", ("LSB_JOBINDEX",)),
    Scheduler("sge", "JOB_ID", "SGE_TASK_ID", ("SGE_TASK_ID",)),
    Scheduler("cobalt", "COBALT_JOBID", "COBALT_JOBID"),
    Scheduler("flux", "FLUX_JOB_ID", "FLUX_JOB_ID"),
)
"""PBS Pro and Torque, LSF, Grid Engine, Cobalt, Flux."""

_NO_INDEX = ("", "0", "undefined")
"""What LSF and Grid Engine set where there is no array; their indices begin at 1."""


def make_identity(
    environ: Mapping[str, str],
    rank: RankInfo,
    *,
    asked: str = "",
    ordinal: int = 0,
    proc: Path = Path("/proc"),
) -> Identity:
    """Work out the run's id.

    Parameters
    ----------
    environ : mapping
        The process's environment.
    rank : RankInfo
        Where this process stands.
    asked : str
        The id from ``init(id=...)`` or ``HPCTRACK_RUN_ID``; empty to derive one.
    ordinal : int
        How many runs this process has begun before: ranks run the same program, so they agree.
    proc : Path
        For tests.

    Returns
    -------
    Identity
        An id that is not allowed is replaced by a safe one, the same on every rank: a job that
        waited three days in the queue must not die of a character.
    """
    key, job = _job_key(environ, rank, proc), find_job(environ)
    problem = ""
    if asked:
        try:
            run_id = check_id(asked, what="run id")
        except InvalidNameError as error:
            run_id = make_safe_id(asked)
            problem = f"{error.message}; the run is recorded as {run_id!r} ({error.hint})"
        return Identity(run_id, key, problem, job)
    run_id = _derive(environ, rank, job, proc)
    return Identity(f"{run_id}-{ordinal + 1}" if ordinal else run_id, key, problem, job)


def find_job(environ: Mapping[str, str]) -> str:
    """Return the batch job of this process, as ids name it; nothing outside any.

    ``4711`` under Slurm, ``1200_3`` for a task of an array, ``pbs-77_2`` under PBS. A requeue
    keeps it.
    """
    job = _slurm_job(environ)
    if job:
        return job
    for one in SCHEDULERS:
        number, index = read_number(environ, one)
        if number:
            job = f"{one.name}-{number}_{index}" if index else f"{one.name}-{number}"
            try:
                return check_id(job, what="job")
            except InvalidNameError:
                return make_safe_id(job)
    return ""


def read_number(environ: Mapping[str, str], scheduler: Scheduler) -> tuple[str, str]:
    """Return a job's number and its index in an array, both empty where they are not told.

    PBS says ``77[2].server``, Torque ``77-2.server``: the server's name and the index are cut.
    """
    if not environ.get(scheduler.mark):
        return "", ""
    number = environ.get(scheduler.variable, "").partition(".")[0]
    index = next((environ[name] for name in scheduler.indices if environ.get(name)), "")
    # PBS counts from 0 if it is told to.
    if index in _NO_INDEX and not (index and scheduler.name == "pbs"):
        index = ""
    number = number.partition("[")[0].removesuffix(f"-{index}")
    # Flux writes its numbers with a florin sign in front.
    return number.replace("\N{LATIN SMALL LETTER F WITH HOOK}", "f"), index


def _derive(environ: Mapping[str, str], rank: RankInfo, job: str, proc: Path) -> str:
    if rank.launcher == "slurm":
        return f"{job}.{environ['SLURM_STEP_ID']}"
    launch = rank.launch or (_parent_launch(rank, proc) if rank.size > 1 else "")
    if rank.size > 1 and launch:
        return f"{job}-{_digest(launch)}" if job else f"{rank.launcher}-{_digest(launch)}"
    if job and rank.size > 1:
        return job
    if job:
        # A plain program in the batch script: its command line is what a requeue repeats.
        return f"{job}-b{_digest(_command_line(proc))}"
    return os.urandom(4).hex()


def _slurm_job(environ: Mapping[str, str]) -> str:
    """Return ``1234``, or ``1200_3`` for a task of an array, or nothing outside Slurm.

    The array's own number is used, because the last task reuses it as its job id.
    """
    if environ.get("SLURM_ARRAY_JOB_ID") and environ.get("SLURM_ARRAY_TASK_ID"):
        return f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return environ.get("SLURM_JOB_ID", "")


def _job_key(environ: Mapping[str, str], rank: RankInfo, proc: Path) -> str:
    job = environ.get("SLURM_JOB_ID")
    if job:
        step = environ.get("SLURM_STEP_ID", "batch")
        return f"slurm-{job}.{step}.{rank.attempt}"
    for one in SCHEDULERS:
        if environ.get(one.mark) and environ.get(one.variable):
            words = [environ[one.variable], read_number(environ, one)[1]]
            if rank.launcher == "none":
                # These tell no count of requeues; but each life of the batch script is a session.
                words.append(_session(proc))
            return f"{one.name}-{_digest(' '.join(words))}"
    return "local"


def _session(proc: Path) -> str:
    """Name the session of this process: the batch script's shell."""
    leader = os.getsid(0)
    return f"{leader}@{_start_time(proc / str(leader))}"


def _parent_launch(rank: RankInfo, proc: Path) -> str:
    """Name the launch by its Hydra proxy, the parent of all ranks of a node.

    Ranks of one node share the process; ranks of several nodes share the address of mpiexec's
    control port, which is on the proxy's command line.
    """
    parent = os.getppid()
    if rank.local_size == rank.size:
        return f"{parent}@{_start_time(proc / str(parent))}"
    words = _read(proc / str(parent) / "cmdline").split("\0")
    for flag, value in pairwise(words):
        if flag == "--control-port":
            return value
    return ""


def _start_time(process: Path) -> str:
    """Return the clock tick in which a process began: with its number, unique per boot."""
    after_name = _read(process / "stat").rpartition(")")[2].split()
    return after_name[19] if len(after_name) > 19 else ""  # noqa: PLR2004 - field 22 of proc(5)


def _command_line(proc: Path) -> str:
    return _read(proc / "self" / "cmdline")


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _digest(text: str) -> str:
    return digest_text(text, 4)
