"""The id of a run and the token of a start: the same on all ranks, without any communication.

What the launcher tells is turned into an id by pure rules; what it does not tell (Hydra gives
its ranks no name for the launch) is read from the launcher's own process.

An id may be used again, by a requeue, by a resume or by mistake. The launch says whose points are
whose, so that two starts never mix.
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise

from hpctrack.client.ranks import ATTEMPT_VARIABLE, RankInfo, count_lives
from hpctrack.core import Record
from hpctrack.core.names import check_id, digest_text, make_safe_id
from hpctrack.core.settings import find_cwd
from hpctrack.errors import InvalidNameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LAUNCH_VARIABLE = "HPCTRACK_LAUNCH"
"""Set by ``hpctrack run`` for the program in it: wrapper and program are one start."""

_JOB_VARIABLES = (
    "SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_JOB_START_TIME",
    "PBS_JOBID", "PBS_ARRAY_INDEX", "LSB_JOBID", "LSB_JOBINDEX", "COBALT_JOBID", "FLUX_JOB_ID",
    ATTEMPT_VARIABLE,
)  # fmt: skip
"""What schedulers, and sweeps, tell all ranks alike."""

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


class Identity(Record):
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
    program : str
        What a requeue of the job has in common with this start, if its id will be another one
        because the launcher names each launch anew; else empty.
    """

    run_id: str
    job_key: str
    problem: str = ""
    job: str = ""
    program: str = ""


class Scheduler(Record):
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
    proc: str | os.PathLike[str] = "/proc",
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
    proc : path
        For tests.

    Returns
    -------
    Identity
        An id that is not allowed is replaced by a safe one, the same on every rank: a job that
        waited three days in the queue must not die of a character.
    """
    proc = os.fspath(proc)
    key, job = _job_key(environ, rank, proc), find_job(environ)
    problem = ""
    if asked:
        try:
            run_id = check_id(asked, what="run id")
        except InvalidNameError as error:
            run_id = make_safe_id(asked)
            problem = f"{error.message}; the run is recorded as {run_id!r} ({error.hint})"
        return Identity(run_id, key, problem, job)
    launch = _find_launch(rank, proc)
    run_id = _derive(environ, rank, job, launch, proc)
    number = f"-{ordinal + 1}" if ordinal else ""
    program = f"{name_program(environ, rank)}{number}" if job and launch else ""
    return Identity(f"{run_id}{number}", key, problem, job, program)


def name_program(environ: Mapping[str, str], rank: RankInfo) -> str:
    """Return what two starts of the same program have in common, on every rank.

    The command line, the working folder, the number of ranks and the place in a job array.
    """
    here = find_cwd()
    words = [os.path.normpath(os.path.join(here, sys.argv[0] or "-")), *sys.argv[1:]]  # noqa: PTH118 - a text
    task = environ.get("SLURM_ARRAY_TASK_ID", "")
    text = "\0".join([*words, here, str(rank.size), task])
    return digest_text(text, 8)


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


def _find_launch(rank: RankInfo, proc: str) -> str:
    """Name the launch, if ranks can tell it from others that way; Slurm numbers its own."""
    if rank.launcher == "slurm" or rank.size == 1:
        return ""
    return rank.launch or _parent_launch(rank, proc)


def _derive(environ: Mapping[str, str], rank: RankInfo, job: str, launch: str, proc: str) -> str:
    if rank.launcher == "slurm":
        return f"{job}.{environ['SLURM_STEP_ID']}"
    if launch:
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


def _job_key(environ: Mapping[str, str], rank: RankInfo, proc: str) -> str:
    job = environ.get("SLURM_JOB_ID")
    if job:
        step = environ.get("SLURM_STEP_ID", "batch")
        # Trials of a worker share its agent, the first time and again.
        life = count_lives(environ) if ATTEMPT_VARIABLE in environ else rank.attempt
        return f"slurm-{job}.{step}.{life}"
    for one in SCHEDULERS:
        if environ.get(one.mark) and environ.get(one.variable):
            words = [environ[one.variable], read_number(environ, one)[1]]
            if rank.launcher == "none":
                # These tell no count of requeues; but each life of the batch script is a session.
                words.append(_session(proc))
            return f"{one.name}-{_digest(' '.join(words))}"
    return "local"


def _session(proc: str) -> str:
    """Name the session of this process: the batch script's shell."""
    return _name_process(os.getsid(0), proc)


def _parent_launch(rank: RankInfo, proc: str) -> str:
    """Name the launch by its Hydra proxy, the parent of all ranks of a node.

    Ranks of one node share the process; ranks of several nodes share the address of mpiexec's
    control port, which is on the proxy's command line.
    """
    parent = os.getppid()
    if rank.local_size == rank.size:
        return _name_process(parent, proc)
    return _control_port(parent, proc)


def make_launch_token(
    environ: Mapping[str, str],
    rank: RankInfo,
    *,
    ordinal: int = 0,
    proc: str | os.PathLike[str] = "/proc",
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
    proc : path
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
    facts = [rank.launcher, rank.launch, *told, _find_starter(rank, os.fspath(proc))]
    text = "\0".join([inherited] if inherited else facts) + f"\0{ordinal}"
    return digest_text(text, 8)


def _find_starter(rank: RankInfo, proc: str) -> str:
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


def _find_launcher(variable: str, proc: str) -> int:
    """Return the nearest ancestor that was not launched itself: shells around a rank are passed."""
    process = os.getppid()
    for _generation in range(_ANCESTORS_MAX):
        words = _read(f"{proc}/{process}/environ").split("\0")
        if process <= 1 or not any(one.startswith(f"{variable}=") for one in words):
            break
        process = _parent(process, proc)
    return process if process > 1 else 0


def _control_port(process: int, proc: str) -> str:
    """Return where Hydra's proxies find their mpiexec: the same on all nodes."""
    words = _read(f"{proc}/{process}/cmdline").split("\0")
    following = dict(pairwise(words))
    return following.get("--control-port", "")


def _name_process(process: int, proc: str) -> str:
    """Return a process's number and first clock tick: together unique until the next boot."""
    facts = _stat(process, proc)
    return f"{process}@{facts[19] if len(facts) > 19 else ''}"  # noqa: PLR2004 - field 22 of proc(5)


def _parent(process: int, proc: str) -> int:
    facts = _stat(process, proc)
    return int(facts[1]) if len(facts) > 1 else 0


def _stat(process: int, proc: str) -> list[str]:
    return _read(f"{proc}/{process}/stat").rpartition(")")[2].split()


def _command_line(proc: str) -> str:
    return _read(f"{proc}/self/cmdline")


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a rank does not load pathlib
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _digest(text: str) -> str:
    return digest_text(text, 4)
