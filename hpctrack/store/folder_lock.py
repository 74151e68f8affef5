"""One process at a time in a folder, on one machine or on several that share its file system."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import BusyError

LOCK_NAME = ".lock"
HELD_NAME = ".held"

PATIENCE_S = 30.0
WAIT_S = 0.005

STALE_S = 10.0
"""Whoever holds the link does so for milliseconds: one that lies there unchanged was left."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""A file system that is mounted without locks, as Lustre is by default on some clusters."""


@contextmanager
def hold_folder(
    folder_fd: int,
    *,
    what: str,
    patience_s: float = PATIENCE_S,
    clock: Clock = SYSTEM_CLOCK,
    flock: Callable[[int, int], None] = fcntl.flock,
) -> Iterator[None]:
    """Hold the lock of a folder: the kernel's, or where there is none, a link.

    Parameters
    ----------
    folder_fd : int
        The folder, open.
    what : str
        What is locked, for the message.
    patience_s : float, optional
        How long to wait for others.
    clock : Clock, optional
    flock : callable, optional
        For tests.

    Raises
    ------
    BusyError
        Others had it all the time.
    """
    deadline_mono_s = clock.mono_s() + patience_s
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock_fd = os.open(LOCK_NAME, flags, 0o666, dir_fd=folder_fd)
    try:
        while (found := _try_flock(lock_fd, flock)) is False:
            _wait(deadline_mono_s, clock, what)
        if found is None:
            with _hold_link(folder_fd, deadline_mono_s, clock, what):
                yield
        else:
            yield
    finally:
        os.close(lock_fd)


def _try_flock(lock_fd: int, flock: Callable[[int, int], None]) -> bool | None:
    """Return whether the lock is ours; None if there are none here."""
    try:
        flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


@contextmanager
def _hold_link(folder_fd: int, deadline_mono_s: float, clock: Clock, what: str) -> Iterator[None]:
    mine = f".link-{secrets.token_hex(6)}"
    os.close(os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=folder_fd))
    try:
        seen, since_mono_s = 0, clock.mono_s()
        while not _try_link(folder_fd, mine):
            inode = _find_inode(folder_fd, HELD_NAME)
            if inode != seen:
                seen, since_mono_s = inode, clock.mono_s()
            elif inode and clock.mono_s() - since_mono_s > STALE_S:
                _break(folder_fd, inode)
            _wait(deadline_mono_s, clock, what)
        try:
            yield
        finally:
            if _find_inode(folder_fd, HELD_NAME) == _find_inode(folder_fd, mine):
                os.unlink(HELD_NAME, dir_fd=folder_fd)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(mine, dir_fd=folder_fd)


def _try_link(folder_fd: int, mine: str) -> bool:
    with contextlib.suppress(FileExistsError):
        os.link(mine, HELD_NAME, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
    # NFS repeats requests: the link may have been made although the answer says no.
    return _find_inode(folder_fd, HELD_NAME) == _find_inode(folder_fd, mine)


def _break(folder_fd: int, inode: int) -> None:
    """Remove a link that was left; of several that want to, one gets to rename it."""
    aside = f".link-{secrets.token_hex(6)}"
    with contextlib.suppress(OSError):
        if _find_inode(folder_fd, HELD_NAME) == inode:
            os.rename(HELD_NAME, aside, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            os.unlink(aside, dir_fd=folder_fd)


def _find_inode(folder_fd: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_ino
    except OSError:
        return 0


def _wait(deadline_mono_s: float, clock: Clock, what: str) -> None:
    if clock.mono_s() >= deadline_mono_s:
        raise BusyError(f"somebody else is writing {what}", hint="try again")
    time.sleep(WAIT_S)
