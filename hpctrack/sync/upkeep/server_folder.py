"""The folder ``<store>/.server``: what a store that receives knows besides its runs.

Whoever may write to the store may put links there, so nothing is opened by a path.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpctrack.core.layout import INCOMING_FOLDER, SERVER_FOLDER
from hpctrack.errors import NotFoundError, StoreError, StoreFormatError
from hpctrack.sync.files.incoming_folder import PUBLISH_LOCK_NAME
from hpctrack.sync.files.place import open_file_no_follow, open_folder, stat_no_follow

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
"""A file system that is mounted without locks, or that cannot lock a folder (NFS)."""

SMALL_MAX_BYTES = 64 * 1024 * 1024
"""No settings and no cache of ours are longer."""


@contextmanager
def open_store(store: Path | int) -> Iterator[int]:
    """Open a store's folder, or go on with one that is open.

    Parameters
    ----------
    store : Path or int
        The folder, or a descriptor of it, which stays open.

    Yields
    ------
    int
        A descriptor of the folder, closed afterwards.

    Raises
    ------
    NotFoundError
        There is no such folder.
    StoreError
        It cannot be opened.
    """
    try:
        fd = os.dup(store) if isinstance(store, int) else os.open(store, _STORE_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        hint = "use --store, or set HPCTRACK_DIR"
        raise NotFoundError(f"no store at {store}", hint=hint) from None
    except OSError as error:
        raise StoreError(f"{store} cannot be opened: {error.strerror}") from None
    try:
        yield fd
    finally:
        os.close(fd)


_STORE_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def open_server_folder(store: Path | int, *, create: bool = False) -> Iterator[int]:
    """Open the folder of a store.

    Parameters
    ----------
    store : Path or int
        As for `open_store`.
    create : bool, optional
        Make it if it is not there.

    Yields
    ------
    int
        A descriptor of it, closed afterwards.

    Raises
    ------
    FileNotFoundError
        The store has never received anything.
    NotFoundError
        There is no such store.
    StoreError
        There is a link or a file in its place, or it cannot be made.
    """
    with open_store(store) as store_fd, contextlib.ExitStack() as stack:
        try:
            fd = stack.enter_context(open_folder(store_fd, (SERVER_FOLDER,), create=create))
        except NotADirectoryError:
            raise StoreError(f"{SERVER_FOLDER} in the store is no folder") from None
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(f"{SERVER_FOLDER} cannot be made: {error.strerror}") from None
        yield fd


def read_small(folder_fd: int, name: str) -> bytes | None:
    """Return what is in a file; None if there is none.

    Raises
    ------
    StoreFormatError
        There is something else of that name, or it is far too long.
    OSError
        It cannot be read.
    """
    fd = open_file_no_follow(folder_fd, name)
    if fd is None:
        if stat_no_follow(folder_fd, name) is None:
            return None
        raise StoreFormatError(f"{SERVER_FOLDER}/{name} cannot be read, or is no file")
    with os.fdopen(fd, "rb") as file:
        data = file.read(SMALL_MAX_BYTES + 1)
    if len(data) > SMALL_MAX_BYTES:
        raise StoreFormatError(f"{SERVER_FOLDER}/{name} is too long to be ours")
    return data


def replace_small(folder_fd: int, name: str, data: bytes) -> None:
    """Put a file there in one step, and bring it to the disk.

    Parameters
    ----------
    folder_fd : int
        The folder.
    name : str
        The file.
    data : bytes
        What is to be in it.

    Raises
    ------
    OSError
        It cannot be written; what was there is there still.
    """
    scratch = f".{name}.{secrets.token_hex(4)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(scratch, flags, 0o666, dir_fd=folder_fd), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(scratch, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch, dir_fd=folder_fd)
        raise
    os.fsync(folder_fd)


@contextmanager
def hold_lock(folder_fd: int, name: str) -> Iterator[None]:
    """Be the only one that holds a lock file; where there are no locks, one of several.

    The file stays: who removes a lock file may remove the one that another has just made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o666, dir_fd=folder_fd)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(fd)


@contextmanager
def hold_publication(store_fd: int) -> Iterator[None]:
    """Let one process look and rename at a time; the kernel frees a killed one's lock."""
    with (
        open_folder(store_fd, (INCOMING_FOLDER,), create=True) as incoming_fd,
        hold_lock(incoming_fd, PUBLISH_LOCK_NAME),
    ):
        yield


def try_lock(fd: int) -> bool:
    """Lock an open file or folder, unless somebody else has; without locks it counts as locked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True
