"""The step from quarantine to the store: one rename, under a lock, after a last look."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpctrack.core.layout import INCOMING_FOLDER, SEALED_NAME, NodeFileName
from hpctrack.store.accounting_file import MAX_BYTES
from hpctrack.sync.files.place import (
    Place,
    find_place,
    list_names,
    open_file_no_follow,
    open_folder,
    stat_no_follow,
)
from hpctrack.sync.receiving.quarantine import IncomingFile
from hpctrack.sync.receiving.verification import (
    SWEEP_EXTENT,
    read_accounting_extent,
    try_read_extent,
)
from hpctrack.sync.wire.messages import Item, ItemKind, Outcome
from hpctrack.sync.wire.plan import Extent, choose_newest, choose_outcome
from hpctrack.sync.wire.refusal import ItemRefusal

LOCK_NAME = "publish.lock"

FULL = {errno.ENOSPC, errno.EDQUOT}

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""A file system that is mounted without locks, as Lustre is by default on some clusters."""


def publish(
    store: Path, store_fd: int, item: Item, incoming: IncomingFile, extent: Extent
) -> Outcome:
    """Make a file visible that has been checked and brought to the disk.

    Parameters
    ----------
    store : Path
        The store, by its path.
    store_fd : int
        The store, open.
    item : Item
        What it is.
    incoming : IncomingFile
        The file.
    extent : Extent
        How much it holds.

    Returns
    -------
    Outcome
        PUBLISHED or REPLACED; PRESENT if another transfer of the same was quicker, or the
        accounting there is newer.

    Raises
    ------
    ItemRefusal
        What is there holds more, is being recorded, or is no file of ours.
    """
    place = find_place(item.key)
    is_aside = item.key.kind == ItemKind.ACCOUNTING
    try:
        with (
            _hold_lock(store_fd),
            open_folder(store_fd, place.folders, create=not is_aside) as folder_fd,
        ):
            if _is_same(folder_fd, place, item):
                return Outcome.PRESENT
            if is_aside:
                outcome = choose_newest(extent, _look_aside(place, folder_fd))
            else:
                outcome = choose_outcome(extent, _look(store, place, folder_fd, item))
            if outcome != Outcome.PRESENT:
                incoming.publish(folder_fd, place.file)
            return outcome
    except NotADirectoryError:
        raise ItemRefusal("link") from None
    except FileNotFoundError:
        raise ItemRefusal("no-run" if is_aside else "unwritable") from None
    except OSError as error:
        code = "no-space" if error.errno in FULL else "unwritable"
        raise ItemRefusal(code, size_bytes=item.size_bytes) from None


def _look(store: Path, place: Place, folder_fd: int, item: Item) -> Extent | None:
    """Return how much the file there holds; None if there is none, or a broken one."""
    names = list_names(folder_fd)
    # Points of a live file would be counted twice if they are in the sealed one too.
    if item.key.kind == ItemKind.RUN and any(NodeFileName.parse(name) for name in names):
        raise ItemRefusal("live")
    status = stat_no_follow(folder_fd, place.file)
    if status is None:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise ItemRefusal("link")
    if item.key.kind == ItemKind.SWEEP:
        return SWEEP_EXTENT
    return try_read_extent(store / place.path)


def _look_aside(place: Place, folder_fd: int) -> Extent | None:
    """Return when the accounting there was asked for; the run has to be there, too."""
    sealed, status = stat_no_follow(folder_fd, SEALED_NAME), stat_no_follow(folder_fd, place.file)
    if sealed is None or not stat.S_ISREG(sealed.st_mode):
        raise ItemRefusal("no-run")
    if status is None:
        return None
    fd = open_file_no_follow(folder_fd, place.file)
    if fd is None:
        raise ItemRefusal("link")
    with os.fdopen(fd, "rb") as file:
        return read_accounting_extent(file.read(MAX_BYTES))


def _is_same(folder_fd: int, place: Place, item: Item) -> bool:
    status = stat_no_follow(folder_fd, place.file)
    if status is None or status.st_size != item.size_bytes:
        return False
    fd = open_file_no_follow(folder_fd, place.file)
    if fd is None:
        return False
    with os.fdopen(fd, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == item.sha256


@contextmanager
def _hold_lock(store_fd: int) -> Iterator[None]:
    """Let one receiver look and rename at a time; the kernel frees the lock of a killed one."""
    with open_folder(store_fd, (INCOMING_FOLDER,), create=True) as incoming_fd:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock_fd = os.open(LOCK_NAME, flags, 0o666, dir_fd=incoming_fd)
    try:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(lock_fd)
