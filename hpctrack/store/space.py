"""Room on a file system, taken before it is needed: HDF5 must never meet a full disk.

A SWMR file of h5py's that meets ENOSPC, EDQUOT or EIO leaves HDF5 in a state in which the process
dies of a segmentation fault when the file is closed, at the latest at its exit (tried). So whoever
writes such a file takes the blocks first, through a descriptor of its own, where a refusal is an
ordinary error.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import secrets
from functools import cache
from pathlib import Path
from typing import Any

from hpctrack.errors import StoreError, StoreFullError

MARGIN_BYTES = 1024 * 1024
"""Free space below which nothing grows, whatever was promised: file systems that copy on write
need new blocks to change old ones."""

STEP_MIN_BYTES = 1024 * 1024
STEP_MAX_BYTES = 64 * 1024 * 1024
"""Room is taken in steps of a quarter of the file, within these bounds: few calls for long files,
little waste for short ones."""

ZEROS_MAX_BYTES = 4 * 1024 * 1024
"""The largest step where room can only be taken by writing: it is written twice then."""

KEEP_MAX_BYTES = 2 * 1024 * 1024
"""Blocks behind the end of a replica that are kept from one tail to the next."""

_KEEP_SIZE = 1
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE."""

_UNKNOWN_HERE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAD_BYTES = 36
_END_AT = slice(28, HEAD_BYTES)
"""Where the superblock of version 3 has the end of the file that HDF5 knows of."""


def explain(error: OSError, where: Path) -> StoreError:
    """Turn an operating system's error into ours.

    Parameters
    ----------
    error : OSError
        What happened.
    where : Path
        The file or folder that was written.

    Returns
    -------
    StoreError
        A `StoreFullError` for a full disk, a used-up quota and a file-size limit.
    """
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StoreFullError(
            f"no room for {where}: {reason}", hint="free space, or move the store"
        )
    return StoreError(f"{where} cannot be written: {reason}")


def probe(folder: Path) -> None:
    """Prove that a folder can be written now: before the first write after trouble.

    Raises
    ------
    StoreError, StoreFullError
        It cannot.

    Notes
    -----
    One small file is made, written, synced and removed; a name that ends in ``.tmp`` is cleaned
    up by ``hpctrack repair`` should we be killed meanwhile.
    """
    path = folder / f".probe-{secrets.token_hex(4)}.tmp"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, bytes(4096))
            os.fsync(handle)
        finally:
            os.close(handle)
            path.unlink()
    except OSError as error:
        raise explain(error, folder) from None


class Reservation:
    """Blocks behind the end of a file that somebody else (HDF5) writes.

    Parameters
    ----------
    handle : int
        A descriptor of the file, for writing; the reservation owns it from now on.
    path : Path
        For messages.

    Notes
    -----
    Where the file system knows ``fallocate``, the blocks are taken without a change of the
    file's size. Elsewhere (NFS before 4.2, old Lustre, ext3) zeros are written behind the end
    and synced, which meets a quota too.
    """

    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self._path = path
        self._end = 0
        self._can_allocate = True
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        self._limit = None if limit == resource.RLIM_INFINITY else limit

    def begin(self, image: bytes, margin_bytes: int) -> None:
        """Write the file's first bytes where there is room for them and some more.

        Raises
        ------
        OSError
            There is not.
        """
        self._take(len(image) + margin_bytes, may_write=False)
        done = 0
        while done < len(image):
            done += os.pwrite(self._handle, image[done:], done)
        if self.writes_zeros:
            os.fdatasync(self._handle)

    def resume(self) -> None:
        """Begin with a file that is there.

        Raises
        ------
        OSError
            There are holes in it, as `cp` makes them, and no room to fill them.
        """
        found = os.fstat(self._handle)
        if found.st_blocks * 512 < found.st_size:
            try:
                _allocate(self._handle, 0, found.st_size)
            except OSError as error:
                if error.errno not in _UNKNOWN_HERE:
                    raise
        self._end = found.st_size

    @property
    def end_bytes(self) -> int:
        """Up to where the file can grow."""
        return self._end

    @property
    def is_removed(self) -> bool:
        """Whether the file has no name any more."""
        return os.fstat(self._handle).st_nlink == 0

    @property
    def writes_zeros(self) -> bool:
        """Whether the file system does not know ``fallocate``."""
        return not self._can_allocate

    def cover(self, end_bytes: int, *, is_exact: bool = False) -> None:
        """Take what is needed for the file to reach a size; cheap if it is there already.

        Parameters
        ----------
        end_bytes : int
        is_exact : bool, optional
            Take no more than that: the file will not grow again soon.

        Raises
        ------
        StoreFullError
            The disk, the quota or a limit of the process does not allow it.
        StoreError
            The file system does not let us write (any more).
        """
        if end_bytes <= self._end:
            return
        most = STEP_MAX_BYTES if self._can_allocate else ZEROS_MAX_BYTES
        step = 0 if is_exact else min(max(STEP_MIN_BYTES, end_bytes // 4), most)
        try:
            try:
                self._take(end_bytes + step)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._take(end_bytes)  # less may still fit
        except OSError as error:
            raise explain(error, self._path) from None

    def close(self, *, is_durable: bool, keeps_room: bool = False) -> None:
        """Give back what is not used and close the descriptor; HDF5 has closed the file already.

        Parameters
        ----------
        is_durable : bool
            Wait until the disk has everything.
        keeps_room : bool, optional
            Keep up to `KEEP_MAX_BYTES`: the file grows again soon, and giving them back costs
            more than all the rest.

        Raises
        ------
        OSError
            The disk may not have it, though the pages were written.
        """
        try:
            if not (keeps_room and self._is_little_left()):
                _cut(self._handle)
            if is_durable:
                os.fsync(self._handle)
        finally:
            os.close(self._handle)
            self._handle = -1

    def _is_little_left(self) -> bool:
        found = os.fstat(self._handle)
        end = find_end(os.pread(self._handle, HEAD_BYTES, 0))
        return end == found.st_size and found.st_blocks * 512 - end <= KEEP_MAX_BYTES

    def sync(self) -> bool:
        """Wait until the disk has the file as it is; return whether it does."""
        try:
            os.fsync(self._handle)
        except OSError:
            return False
        return True

    def divert(self, descriptor: int) -> None:
        """Make somebody else's descriptor of the file lead to memory, and keep our own for ever.

        Parameters
        ----------
        descriptor : int
            HDF5's own. Left alone if it is not, or no longer, of this file.

        Notes
        -----
        HDF5 knows files by device and inode. Were ours closed, the kernel could give the number of
        a removed file to the next one, which HDF5 would take for the file that it still holds,
        and write to memory.
        """
        ours, theirs = os.fstat(self._handle), os.fstat(descriptor)
        if os.path.samestat(ours, theirs):
            divert(descriptor, max(self._end, ours.st_size))

    def _take(self, target: int, *, may_write: bool = True) -> None:
        if self._limit is not None and target > self._limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        found = os.fstatvfs(self._handle)
        free = found.f_bavail * found.f_frsize
        if found.f_blocks and free < target - self._end + MARGIN_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._can_allocate:
            try:
                _allocate(self._handle, self._end, target - self._end)
            except OSError as error:
                if error.errno not in _UNKNOWN_HERE:
                    raise
                self._can_allocate = False
        if not self._can_allocate:
            if not may_write:
                return
            self._write_zeros(target)
        self._end = target

    def _write_zeros(self, target: int) -> None:
        start = max(self._end, os.fstat(self._handle).st_size)
        piece = bytes(min(ZEROS_MAX_BYTES, max(0, target - start)))
        while start < target:
            start += os.pwrite(self._handle, piece[: target - start], start)
        os.fdatasync(self._handle)


def divert(descriptor: int, size_bytes: int) -> None:
    """Make a descriptor of a file of HDF5's lead to as much memory, of which none is used yet."""
    sink = os.memfd_create("hpctrack-abandoned", os.MFD_CLOEXEC)
    os.ftruncate(sink, size_bytes)
    os.dup2(sink, descriptor, inheritable=False)
    os.close(sink)


def _allocate(handle: int, start: int, size: int) -> None:
    while _fallocate()(handle, _KEEP_SIZE, start, size):
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


@cache
def _fallocate() -> Any:
    """Return the C library's function; ``os.posix_fallocate`` would make the file longer."""
    function = ctypes.CDLL(None, use_errno=True).fallocate
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


def find_end(head: bytes) -> int:
    """Return how long HDF5 believes a closed file to be, or 0 if its head is none of ours.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES` of the file.
    """
    return int.from_bytes(head[_END_AT], "little") if head.startswith(_SIGNATURE) else 0


def _cut(handle: int) -> None:
    """Cut a closed HDF5 file where HDF5 says that it ends; blocks behind that go back too."""
    end = find_end(os.pread(handle, HEAD_BYTES, 0))
    if 0 < end <= os.fstat(handle).st_size:
        with contextlib.suppress(OSError):  # it only wastes room
            os.ftruncate(handle, end)


def exchange(one: Path, other: Path) -> bool:
    """Give two files each other's name in one step; return False where that cannot be done.

    No file is made and none removed: that takes 0.02 ms where replacing one takes 2 (ext4).
    """
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return not library.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has what a folder lists.

    Raises
    ------
    OSError
        It may not have it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
