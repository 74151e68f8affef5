"""File descriptors: keeping ours out of the program's way."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator

from hpctrack.core.console_pieces import STREAMS
from hpctrack.core.ring import is_same

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


@contextlib.contextmanager
def fill_low_numbers() -> Iterator[tuple[int, ...]]:
    """Keep what is opened meanwhile off the descriptors 0, 1 and 2; yield which of 1, 2 are open.

    In a program that has closed its standard output, the next file would become it.
    """
    found = tuple(number for number in STREAMS if _is_open(number))
    fillers: list[int] = []
    try:
        while not all(map(_is_open, range(3))):
            fillers.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        yield found
    finally:
        close_all(fillers)


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


def close_own(fds: Iterable[int], identity: tuple[int, int]) -> None:
    """Close those descriptors that still are what `identify` once saw."""
    close_all([fd for fd in fds if fd >= 0 and is_same(fd, identity)])


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors; one that is closed already does not matter."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
