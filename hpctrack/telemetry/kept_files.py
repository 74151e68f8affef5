"""Small files of many processes that are read again and again: to open them costs most of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Set as AbstractSet
from typing import Final

from hpctrack.telemetry.kernel_files import KernelFiles

KEPT_MAX: Final = 256
KEPT_SHARE: Final = 1 / 32
"""Of the descriptors that this process may have: ranks need some of them, too."""

SMALL_BYTES: Final = 4096
"""More than the kernel says in any of the files that are read like this."""


class KeptFiles:
    """One file of each of many processes, such as ``stat``.

    Parameters
    ----------
    files : KernelFiles
    name : str
        Of the file.

    Notes
    -----
    A file that is open belongs to its process for good: when that has ended, reading fails, also if
    another one has its number by then. Beyond a number of processes files are opened each time, and
    so is what is no file of the kernel's: it has a size.
    """

    def __init__(self, files: KernelFiles, name: str) -> None:
        self._files = files
        self._name = name
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        is_endless = limit == resource.RLIM_INFINITY
        self._most = KEPT_MAX if is_endless else min(KEPT_MAX, int(limit * KEPT_SHARE))
        self._handles: dict[int, int] = {}

    def read(self, pid: int) -> str:
        """Return what the file of a process says.

        Raises
        ------
        OSError
            The process has ended, or does not let us.
        """
        handle = self._handles.get(pid)
        if handle is None:
            return self._open(pid)
        try:
            return os.pread(handle, SMALL_BYTES, 0).decode("utf-8", "replace")
        except OSError:
            self._drop(pid)
            raise

    def retain(self, pids: AbstractSet[int]) -> None:
        """Close the files of all other processes."""
        for pid in self._handles.keys() - pids:
            self._drop(pid)

    def close(self) -> None:
        """Close all files; they are opened again when they are read."""
        self.retain(frozenset())

    def _open(self, pid: int) -> str:
        handle = self._files.open(f"proc/{pid}/{self._name}")
        try:
            text = os.pread(handle, SMALL_BYTES, 0).decode("utf-8", "replace")
            if len(self._handles) < self._most and os.fstat(handle).st_size == 0:
                self._handles[pid], handle = handle, -1
            return text
        finally:
            if handle >= 0:
                os.close(handle)

    def _drop(self, pid: int) -> None:
        os.close(self._handles.pop(pid))
