"""The memory limits that hold for a cgroup: its own, and those of the ones around it."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack.telemetry.cgroups import Cgroup
from hpctrack.telemetry.kernel_files import NONE_AT_ALL, KernelFiles


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A limit that holds for the job.

    Parameters
    ----------
    folder : str
        The cgroup that has it.
    limit_bytes : int
    """

    folder: str
    limit_bytes: int


def read_limit(files: KernelFiles, version: int, folder: str) -> int | None:
    """Return the limit of one cgroup in bytes, or None if it has none."""
    name = "memory.limit_in_bytes" if version == 1 else "memory.max"
    limit = files.number(f"{folder}/{name}")  # "max" is no number
    return limit if limit is not None and 0 < limit < NONE_AT_ALL else None


def find_tightest(files: KernelFiles, cgroup: Cgroup) -> MemoryLimit | None:
    """Return the smallest limit of a cgroup and those around it; of equal ones the outermost.

    What is used counts at the level of the limit, so that neighbours that share it are seen.
    """
    tightest = None
    for folder in cgroup.levels():
        limit = read_limit(files, cgroup.version, folder)
        if limit is not None and (tightest is None or limit <= tightest.limit_bytes):
            tightest = MemoryLimit(folder, limit)
    return tightest
