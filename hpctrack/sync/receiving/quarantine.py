"""Where files wait until they have been checked: a folder of this transfer's own in the store."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.core.layout import INCOMING_FOLDER
from hpctrack.sync.files.incoming_folder import (
    ABANDONED_AFTER_S,
    PARTIAL_FOLDER,
    UPLOAD_NAME,
    find_last_change_wall_s,
)
from hpctrack.sync.files.place import (
    list_names,
    open_file_no_follow,
    open_folder,
    stat_no_follow,
)
from hpctrack.sync.wire.refusal import ItemRefusal

PARTIAL_KEPT_S = 7 * 24 * 3600.0
"""So long a part of a large file waits for its sender, who may come once a night, or not at all
at the weekend."""

SYNC_ALL_FROM = 8
"""From so many files on, the whole file system is synced at once: 5,000 small files take 0.15 s
then, and 1.5 s one by one."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""A file system that is mounted without locks, as Lustre is by default on some clusters."""

_PARTIAL = re.compile(r"[0-9a-f]{32}\Z")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Quarantine:
    """A private folder ``<store>/.incoming/<token>``, removed with all it holds by `close`.

    Parameters
    ----------
    store : Path
        The store, by its path.
    store_fd : int
        The store, open.

    Raises
    ------
    OSError
        The store cannot be written.
    """

    def __init__(self, store: Path, store_fd: int) -> None:
        token = secrets.token_hex(8)
        self.path = store / INCOMING_FOLDER / token
        with open_folder(store_fd, (INCOMING_FOLDER,), create=True) as incoming_fd:
            self._incoming_fd = os.dup(incoming_fd)
        os.mkdir(token, 0o700, dir_fd=self._incoming_fd)
        with open_folder(self._incoming_fd, (token,)) as fd:
            self.fd = os.dup(fd)
        self._token = token
        self._count = 0

    def add(self, data: bytes | memoryview) -> QuarantinedFile:
        """Write a file; it is not safe on the disk before `sync_files`."""
        self._count += 1
        file = QuarantinedFile(self.fd, f"{self._count:06d}", self.path)
        fd = os.open(file.name, _NEW_FILE, 0o666, dir_fd=self.fd)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            file.status = os.fstat(fd)
        except OSError:
            file.discard()
            raise
        finally:
            os.close(fd)
        return file

    def close(self) -> None:
        """Remove everything."""
        os.close(self.fd)
        _remove_folder(self._incoming_fd, self._token)
        os.close(self._incoming_fd)


class QuarantinedFile:
    """A file that nobody sees yet.

    Parameters
    ----------
    folder_fd : int
        Its folder.
    name : str
        Our own, never the peer's.
    folder : Path
        The same folder by its path.

    Attributes
    ----------
    status : stat_result
        As it was when the last byte had been written.
    """

    def __init__(self, folder_fd: int, name: str, folder: Path) -> None:
        self.folder_fd, self.name, self.path = folder_fd, name, folder / name
        self.status = os.stat_result((0,) * 10)
        self._is_here = True

    def publish(self, folder_fd: int, name: str) -> None:
        """Move it to its place in one step."""
        os.rename(self.name, name, src_dir_fd=self.folder_fd, dst_dir_fd=folder_fd)
        self._is_here = False

    def discard(self) -> None:
        """Remove it, if it has not been published: the name may be somebody else's by now."""
        if self._is_here:
            self._is_here = False
            with contextlib.suppress(OSError):
                os.unlink(self.name, dir_fd=self.folder_fd)


def sync_files(files: Sequence[QuarantinedFile]) -> None:
    """Bring what was written to the disk.

    Raises
    ------
    OSError
        The disk has failed, or is full.
    """
    if len(files) >= SYNC_ALL_FROM and sync_file_system(files[0].folder_fd):
        return
    for one in files:
        sync_file(one.folder_fd, one.name)


def sync_file(folder_fd: int, name: str) -> None:
    """Bring one file to the disk."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(fd: int) -> bool:
    """Sync everything on the file system of a descriptor; return False where that is not known."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):
        return False
    if library.syncfs(fd) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL, errno.EPERM}:
        return False
    raise OSError(code, os.strerror(code))


class Partial:
    """A large file that comes in pieces, perhaps over several connections.

    Parameters
    ----------
    folder_fd : int
        ``<store>/.incoming/partial``, open.
    folder : Path
        The same by its path.
    token : str
        What the sender calls these bytes; the same in the next connection.
    offset_bytes : int
        Where to go on; what is behind that is thrown away.
    is_private : bool
        The folder is that of one connection: nobody else knows the file.

    Raises
    ------
    BlockingIOError
        Another connection is writing it, or it cannot be known whether one does.
    ItemRefusal
        It has less than so many bytes.
    OSError
        It cannot be written.
    """

    def __init__(
        self,
        folder_fd: int,
        folder: Path,
        token: str,
        offset_bytes: int,
        *,
        is_private: bool = False,
    ) -> None:
        open_part = _open_part if is_private else _open_locked
        self._fd = open_part(folder_fd, token)
        self.file = QuarantinedFile(os.dup(folder_fd), token, folder)
        try:
            self._hash = hashlib.sha256()
            self.size_bytes = 0
            self._hash_beginning(offset_bytes)
            os.ftruncate(self._fd, offset_bytes)
            os.lseek(self._fd, offset_bytes, os.SEEK_SET)
        except BaseException:
            self.close()
            raise

    @property
    def sha256(self) -> bytes:
        """The hash of what is there."""
        return self._hash.digest()

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        view = memoryview(data)
        self._hash.update(view)
        self.size_bytes += len(view)
        while view:
            view = view[os.write(self._fd, view) :]

    def make_durable(self) -> None:
        """Bring it to the disk."""
        os.fsync(self._fd)
        self.file.status = os.fstat(self._fd)

    def close(self) -> None:
        """Let go of it: the next connection may continue."""
        os.close(self._fd)
        os.close(self.file.folder_fd)

    def _hash_beginning(self, size_bytes: int) -> None:
        while self.size_bytes < size_bytes:
            data = os.read(self._fd, min(1 << 20, size_bytes - self.size_bytes))
            if not data:
                raise ItemRefusal("part-lost")
            self._hash.update(data)
            self.size_bytes += len(data)


def _open_locked(folder_fd: int, name: str) -> int:
    """Open a file that nobody else is writing; make it if need be.

    Between opening and locking it the one who had it may have published it: then what is locked
    is a file of the store, which must not be touched.
    """
    while True:
        fd = _open_part(folder_fd, name)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = stat_no_follow(folder_fd, name)
            if there is not None and os.path.samestat(os.fstat(fd), there):
                return fd
        except OSError as error:
            os.close(fd)
            if error.errno in NO_LOCKS:
                raise BlockingIOError from None
            raise
        os.close(fd)


def _open_part(folder_fd: int, name: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(name, flags, 0o666, dir_fd=folder_fd)


def measure_partial(store_fd: int, token: str) -> int:
    """Return how many bytes of a large file have come in earlier connections.

    None of one that another connection is sending just now: whoever comes later begins anew.
    """
    folders = (INCOMING_FOLDER, PARTIAL_FOLDER)
    # One call for each of the thousands of small files of which there never is a part.
    if stat_no_follow(store_fd, "/".join((*folders, token))) is None:
        return 0
    with contextlib.suppress(OSError), open_folder(store_fd, folders) as folder_fd:
        fd = open_file_no_follow(folder_fd, token)
        if fd is not None:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return os.fstat(fd).st_size
            finally:
                os.close(fd)
    return 0


def remove_abandoned(store_fd: int, clock: Clock) -> None:
    """Remove what receivers that were killed have left; what cannot be removed stays."""
    with contextlib.suppress(OSError), open_folder(store_fd, (INCOMING_FOLDER,)) as incoming_fd:
        for name in filter(UPLOAD_NAME.match, list_names(incoming_fd)):
            last_wall_s = _last_change_wall_s(incoming_fd, name)
            if last_wall_s is not None and clock.wall_s() - last_wall_s > ABANDONED_AFTER_S:
                _remove_folder(incoming_fd, name)
        with open_folder(incoming_fd, (PARTIAL_FOLDER,)) as partial_fd:
            for name in filter(_PARTIAL.match, list_names(partial_fd)):
                status = stat_no_follow(partial_fd, name)
                if status and clock.wall_s() - status.st_mtime > PARTIAL_KEPT_S:
                    _remove_partial(partial_fd, name)


def _remove_partial(folder_fd: int, name: str) -> None:
    """Remove a part, unless somebody has just gone on with it."""
    with contextlib.suppress(OSError):
        fd = _open_locked(folder_fd, name)
        try:
            os.unlink(name, dir_fd=folder_fd)
        finally:
            os.close(fd)


def _last_change_wall_s(incoming_fd: int, name: str) -> float | None:
    """Return when a quarantine folder or a file in it was last written, None if it is none."""
    status = stat_no_follow(incoming_fd, name)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return None
    with contextlib.suppress(OSError), open_folder(incoming_fd, (name,)) as fd:
        return find_last_change_wall_s(fd)
    return status.st_mtime


def _remove_folder(incoming_fd: int, name: str) -> None:
    """Remove a folder of ours: flat, and whatever it holds is a file."""
    with contextlib.suppress(OSError):
        with open_folder(incoming_fd, (name,)) as fd:
            for one in list_names(fd):
                with contextlib.suppress(OSError):
                    os.unlink(one, dir_fd=fd)
        os.rmdir(name, dir_fd=incoming_fd)
