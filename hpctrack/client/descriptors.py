"""File descriptors: keeping ours out of the program's way."""

from __future__ import annotations

import fcntl
import os
import stat

from hpctrack.core.wire import STREAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST_FD = 10
"""Ours lie at or above it: scripts and programs use the low numbers by name."""


def raise_fd(fd: int) -> int:
    """Move a descriptor out of the low numbers."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    finally:
        os.close(fd)


def raise_both(read: int, write: int) -> tuple[int, int]:
    """Move two descriptors out of the low numbers, or none."""
    raised = fcntl.fcntl(read, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    try:
        result = raised, fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    except OSError:
        os.close(raised)
        raise
    close_all((read, write))
    return result


class FilledLowNumbers:
    """Keeps what is opened meanwhile off the descriptors 0, 1 and 2; gives which of 1, 2 are open.

    In a program that has closed its standard output, the next file would become it.
    """

    def __init__(self) -> None:
        self._fillers: list[int] = []

    def __enter__(self) -> tuple[int, ...]:
        """Fill what is not open."""
        found = tuple(number for number in STREAMS if _is_open(number))
        try:
            while not all(map(_is_open, range(3))):
                self._fillers.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            close_all(self._fillers)
            raise
        return found

    def __exit__(self, *_error: object) -> None:
        """Give the numbers back."""
        close_all(self._fillers)


def identify(fd: int) -> tuple[int, int]:
    """Return what tells one open thing from another."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def reopen(fd: int) -> int:
    """Open a terminal or pipe once more for writing, non-blocking.

    The flag belongs to what was opened, not to the descriptor: set on a duplicate it would change
    the user's shell.

    Returns
    -------
    int
        -1 if it is neither, or may not be opened.
    """
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISFIFO(mode) or os.isatty(fd)):
        return -1
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:
        return -1


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors; one that is closed already does not matter."""
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass
