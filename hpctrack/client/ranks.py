"""Which rank am I? Answered from the launcher's environment, without any communication.

The order matters where launchers nest. ``mpirun`` inside a Slurm allocation leaves the batch
step's SLURM variables in place (where SLURM_PROCID is 0 for everybody), so the MPI launchers and
torchrun are asked first, and Slurm's own numbers count only inside a step: the batch script has
SLURM_PROCID but no SLURM_STEP_ID.
"""

from __future__ import annotations

import sys

from hpctrack.core import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Environ = Mapping[str, str]


ATTEMPT_VARIABLE = "HPCTRACK_ATTEMPT"
"""Set by a sweep for its trials, 1-based."""


class RankInfo(Record):
    """Where a process stands among the processes of its launch.

    Parameters
    ----------
    rank, size : int
        0-based number of this process, and how many there are.
    local_rank, local_size : int
        The same within the node.
    node : int
        0-based number of the node; derived from a block distribution where the launcher does not
        tell, so take it for a label, never for a key.
    launcher : str
        Who said so: slurm, pmix, openmpi, mpich, intelmpi, torchrun, mpi4py or none.
    launch : str
        What tells this launch from another one, the same on all ranks; empty if the launcher
        tells nothing of the kind.
    attempt : int
        1-based; counts requeues and elastic restarts.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    node: int = 0
    launcher: str = "none"
    launch: str = ""
    attempt: int = 1


def detect_rank(
    environ: Environ, mpi: Callable[[], tuple[int, int] | None] | None = None
) -> RankInfo:
    """Return this process's place.

    Parameters
    ----------
    environ : mapping
        The process's environment.
    mpi : callable, optional
        Asked last, for a launcher that leaves no trace in the environment: rank and size from
        an MPI that the program has already initialised, or None.

    Returns
    -------
    RankInfo
        ``RankInfo()`` for a process that nobody launched.
    """
    for ask in (_torchrun, _openmpi, _hydra, _slurm, _pmix):
        found = ask(environ)
        if found is not None:
            return found
    known = mpi() if mpi else None
    if known:
        rank, size = known
        return RankInfo(rank=rank, size=size, launcher="mpi4py", attempt=_attempt(environ))
    return RankInfo(attempt=_attempt(environ))


def _number(environ: Environ, *names: str, default: int = 0) -> int:
    for name in names:
        text = environ.get(name, "")
        if text.isdigit():
            return int(text)
    return default


def _attempt(environ: Environ) -> int:
    """Return what a sweep's worker counts, else what the scheduler does.

    A trial may go on in another job, and a requeued job begin new trials.
    """
    return _number(environ, ATTEMPT_VARIABLE) or count_lives(environ)


def count_lives(environ: Environ) -> int:
    """Return which life of its job this is; LSF and Grid Engine only tell that it is not the first.

    Parameters
    ----------
    environ : mapping
        The process's environment.
    """
    is_restarted = environ.get("LSB_RESTART") == "Y" or (
        "SGE_TASK_ID" in environ and environ.get("RESTARTED") == "1"
    )
    least = 1 if is_restarted and "SLURM_JOB_ID" not in environ else 0
    return 1 + max(_number(environ, "SLURM_RESTART_COUNT"), least)


def _block_node(rank: int, local_size: int) -> int:
    return rank // max(local_size, 1)


def _torchrun(environ: Environ) -> RankInfo | None:
    if "TORCHELASTIC_RUN_ID" not in environ or "RANK" not in environ:
        return None
    rank, local_size = _number(environ, "RANK"), _number(environ, "LOCAL_WORLD_SIZE", default=1)
    run = environ["TORCHELASTIC_RUN_ID"]
    address = f"{environ.get('MASTER_ADDR', '')}:{environ.get('MASTER_PORT', '')}"
    restarts = _number(environ, "TORCHELASTIC_RESTART_COUNT")
    return RankInfo(
        rank=rank,
        size=_number(environ, "WORLD_SIZE", default=1),
        local_rank=_number(environ, "LOCAL_RANK"),
        local_size=local_size,
        node=_number(environ, "GROUP_RANK", default=_block_node(rank, local_size)),
        launcher="torchrun",
        # "none" is torchrun's default id, shared by everybody who did not choose one
        launch=address if run in {"", "none"} else run,
        attempt=_attempt(environ) + restarts,
    )


def _openmpi(environ: Environ) -> RankInfo | None:
    if "OMPI_COMM_WORLD_RANK" not in environ:
        return None
    rank = _number(environ, "OMPI_COMM_WORLD_RANK")
    local_size = _number(environ, "OMPI_COMM_WORLD_LOCAL_SIZE", default=1)
    return RankInfo(
        rank=rank,
        size=_number(environ, "OMPI_COMM_WORLD_SIZE", default=1),
        local_rank=_number(environ, "OMPI_COMM_WORLD_LOCAL_RANK"),
        local_size=local_size,
        node=_block_node(rank, local_size),
        launcher="openmpi",
        launch=environ.get("PMIX_NAMESPACE") or environ.get("OMPI_MCA_ess_base_jobid", ""),
        attempt=_attempt(environ),
    )


def _hydra(environ: Environ) -> RankInfo | None:
    """MPICH and Intel MPI: both are started by Hydra, and by srun through PMI-1 or PMI-2."""
    # srun sets PMI_RANK too, and its own variables say more; but inside a step, mpiexec counts.
    if "PMI_RANK" not in environ or (
        "SLURM_STEP_ID" in environ and "MPI_LOCALNRANKS" not in environ
    ):
        return None
    rank = _number(environ, "PMI_RANK")
    local_size = _number(environ, "MPI_LOCALNRANKS", default=1)
    intel = any(name.startswith("I_MPI_") for name in environ)
    return RankInfo(
        rank=rank,
        size=_number(environ, "PMI_SIZE", default=1),
        local_rank=_number(environ, "MPI_LOCALRANKID"),
        local_size=local_size,
        node=_block_node(rank, local_size),
        launcher="intelmpi" if intel else "mpich",
        attempt=_attempt(environ),
    )


def _slurm(environ: Environ) -> RankInfo | None:
    if "SLURM_STEP_ID" not in environ or "SLURM_PROCID" not in environ:
        return None
    size = _number(environ, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", default=1)
    node = _number(environ, "SLURM_NODEID")
    return RankInfo(
        rank=_number(environ, "SLURM_PROCID"),
        size=size,
        local_rank=_number(environ, "SLURM_LOCALID"),
        local_size=_tasks_on_node(environ.get("SLURM_STEP_TASKS_PER_NODE", ""), node, size),
        node=node,
        launcher="slurm",
        launch=f"{environ.get('SLURM_JOB_ID', '')}.{environ['SLURM_STEP_ID']}",
        attempt=_attempt(environ),
    )


def _tasks_on_node(text: str, node: int, size: int) -> int:
    """Read ``2(x3),1``: how many tasks the given node of the step has."""
    counts: list[int] = []
    for part in text.split(","):
        count, _, times = part.partition("(x")
        repeat = times.rstrip(")")
        if count.isdigit():
            counts.extend([int(count)] * (int(repeat) if repeat.isdigit() else 1))
    return counts[node] if node < len(counts) else size


def _pmix(environ: Environ) -> RankInfo | None:
    if "PMIX_RANK" not in environ:
        return None
    return RankInfo(
        rank=_number(environ, "PMIX_RANK"),
        size=_number(environ, "PMIX_SIZE", "PRTE_NUM_PROCS", default=1),
        local_rank=_number(environ, "PMIX_LOCAL_RANK"),
        local_size=_number(environ, "PMIX_LOCAL_SIZE", default=1),
        launcher="pmix",
        launch=environ.get("PMIX_NAMESPACE", ""),
        attempt=_attempt(environ),
    )


def ask_mpi() -> tuple[int, int] | None:
    """Ask an MPI that the program has already set up; never set it up ourselves."""
    module = sys.modules.get("mpi4py.MPI")
    try:
        if module is None or not module.Is_initialized() or module.Is_finalized():
            return None
        return int(module.COMM_WORLD.Get_rank()), int(module.COMM_WORLD.Get_size())
    except Exception:  # noqa: BLE001 - a half-built MPI may raise anything
        return None
