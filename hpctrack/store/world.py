"""The processes that an MPI launcher has started together.

The only module that imports mpi4py, and only in a process that such a launcher has started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hpctrack.client.ranks import detect_rank
from hpctrack.errors import HpctrackError, MissingPackageError, StoreError

T = TypeVar("T")

MPI_LAUNCHERS = {"openmpi", "mpich", "intelmpi", "slurm", "pmix"}

WAIT_S = 0.005

PARENTS = {
    "hydra_pmi_proxy",
    "mpirun",
    "mpiexec",
    "mpiexec.hydra",
    "orterun",
    "orted",
    "prterun",
    "prted",
    "slurmstepd",
}
"""Programs that start ranks: of MPICH and Intel MPI, Open MPI 4 and 5, and Slurm."""


@dataclass(frozen=True, slots=True)
class World:
    """Processes that work together; one alone is a world too.

    Parameters
    ----------
    comm : MPI communicator, or None
        None if this process works alone.
    is_idle : bool
        The launcher started several processes, but no MPI joins them: only the first one works.
    """

    comm: Any = None
    is_idle: bool = False

    @property
    def rank(self) -> int:
        """Number of this process."""
        return int(self.comm.Get_rank()) if self.comm else 0

    @property
    def size(self) -> int:
        """How many there are."""
        return int(self.comm.Get_size()) if self.comm else 1

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def share(self, make: Callable[[], T]) -> T:
        """Let the first process take a step, and tell all what came of it; collective.

        Raises
        ------
        HpctrackError
            It failed: the same error on all of them.
        """
        step: Callable[[], Any] = make if self.is_first else _nothing
        found: T = self.gather(step)[0]
        return found

    def gather(self, make: Callable[[], T]) -> list[T]:
        """Let each process take a step, and tell all what came of it on each; collective.

        Raises
        ------
        HpctrackError
            It failed somewhere: the error of the lowest process that it failed in, in all of them.
            An error that is none of ours becomes a `StoreError`.
        """
        if self.comm is None:
            return [make()]
        outcome = self._attempt(make)
        self._wait()
        outcomes = self.comm.allgather(outcome)
        for _result, error in outcomes:
            if error is not None:
                raise error
        return [result for result, _error in outcomes]

    def _wait(self) -> None:
        """Sleep until all have come: MPI itself would keep a core busy waiting."""
        arrived = self.comm.Ibarrier()
        while not arrived.Test():
            time.sleep(WAIT_S)

    def _attempt(self, make: Callable[[], T]) -> tuple[T | None, HpctrackError | None]:
        try:
            return make(), None
        except HpctrackError as error:
            return None, error
        except Exception as error:  # noqa: BLE001 - the others wait: whatever it is, they must hear it
            return None, StoreError(f"rank {self.rank}: {type(error).__name__}: {error}")


def join_world(environ: Mapping[str, str], *, use_mpi: bool | None = None) -> World:
    """Find out whether an MPI launcher has started several of us.

    Parameters
    ----------
    environ : mapping
        The process's environment.
    use_mpi : bool, optional
        True: it has. False: it has not. Default: it has if it is our parent; a program that a
        rank starts has the rank's environment, and would wait for the other ranks for ever.

    Raises
    ------
    MissingPackageError
        It has, and mpi4py is not installed.
    """
    place = detect_rank(environ)
    is_started = place.size > 1 and place.launcher in MPI_LAUNCHERS
    if use_mpi is None:
        use_mpi = is_started and _parent_name() in PARENTS
    if not use_mpi:
        return World()
    try:
        from mpi4py import MPI  # noqa: PLC0415 - importing it initialises MPI
    except (ImportError, RuntimeError):
        raise MissingPackageError("mpi4py", extra="mpi") from None
    if MPI.COMM_WORLD.Get_size() > 1:
        return World(MPI.COMM_WORLD)
    return World(is_idle=place.rank > 0)


def _parent_name() -> str:
    """Return the name of the parent's program, 15 characters at most, as Linux keeps it."""
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text().strip()
    except OSError:
        return ""


def _nothing() -> None:
    return None
