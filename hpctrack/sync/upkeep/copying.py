"""Copying files of a store that is in use, so that each copy can be read."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from io import BufferedWriter
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.errors import HpctrackError
from hpctrack.store.salvage import salvage_node_file
from hpctrack.store.verify_node import check_node_file

FICLONE = 0x40049409
"""Of linux/fs.h: the copy shares the blocks of the original, where a file system can do so."""

PIECE_BYTES = 1 << 20
NODE_ATTEMPTS = 3
STALE_AFTER_S = 60.0
"""Of no consequence: whether the writer is silent is no error."""


def copy_file(source_fd: int, target: Path, limit_bytes: int | None = None) -> tuple[str, int]:
    """Copy an open file; return its SHA-256 and size.

    Parameters
    ----------
    source_fd : int
        At its beginning.
    target : Path
        Where to; there must be no such file.
    limit_bytes : int, optional
        Copy no more than that.

    Raises
    ------
    OSError
        It cannot be read, or written.
    """
    status = os.fstat(source_fd)
    with target.open("xb") as file:
        if limit_bytes is None and status.st_size and _clone(source_fd, file.fileno()):
            digest, size_bytes = _hash(target)
        else:
            digest, size_bytes = _copy_bytes(source_fd, file, limit_bytes)
        os.fchmod(file.fileno(), status.st_mode & 0o777)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    return digest, size_bytes


def _copy_bytes(source_fd: int, file: BufferedWriter, limit_bytes: int | None) -> tuple[str, int]:
    hashed, left = hashlib.sha256(), limit_bytes
    while data := os.read(source_fd, PIECE_BYTES if left is None else min(left, PIECE_BYTES)):
        hashed.update(data)
        file.write(data)
        if left is not None:
            left -= len(data)
    return hashed.hexdigest(), file.tell()


def _clone(source_fd: int, target_fd: int) -> bool:
    try:
        fcntl.ioctl(target_fd, FICLONE, source_fd)
    except OSError:
        return False
    return True


def _hash(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


Copy = Callable[[int, Path], tuple[str, int]]
"""Copies an open file to a path, and returns SHA-256 and size."""


def copy_whole_lines(source_fd: int, target: Path) -> tuple[str, int]:
    """Copy a file that grows by lines, as far as whole lines go."""
    end = os.fstat(source_fd).st_size
    while end:
        begin = max(0, end - PIECE_BYTES)
        at = os.pread(source_fd, end - begin, begin).rfind(b"\n")
        if at >= 0:
            return copy_file(source_fd, target, begin + at + 1)
        end = begin
    return copy_file(source_fd, target, 0)


def copy_node_file(
    source: Path, target: Path, scratch: Path, clock: Clock, copy: Copy = copy_file
) -> tuple[str, int]:
    """Copy a live node file that somebody may be writing; return its SHA-256 and size.

    Parameters
    ----------
    source : Path
        The node file.
    target : Path
        Where to; there must be no such file.
    scratch : Path
        An empty folder of the target's file system.
    clock : Clock
        Tells whether the writer is silent.
    copy : callable, optional
        How bytes are copied.

    Raises
    ------
    OSError
        It cannot be read, or written.
    HpctrackError
        It is damaged: nothing of it can be read.

    Notes
    -----
    HDF5 changes a file in many places. If nothing was written while the bytes were copied, the
    copy is as good as the original; else it is read from front to back, and taken if that finds
    nothing wrong. If somebody always writes, the rows are copied instead of the bytes: that copy
    is closed, so the run looks as if it had ended there.
    """
    found = ("", 0)
    for _attempt in range(NODE_ATTEMPTS):
        target.unlink(missing_ok=True)
        with source.open("rb") as file:
            before = os.fstat(file.fileno())
            found = copy(file.fileno(), target)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return found
        wall_s = clock.wall_s()
        if not check_node_file(target, now_wall_s=wall_s, stale_after_s=STALE_AFTER_S).errors:
            return found
    try:
        saved = salvage_node_file(source, scratch)
    except HpctrackError:
        return found  # as damaged as the original: `hpctrack verify` names it in both
    target.unlink()
    saved.paths[0].rename(target)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(exist_ok=True)
    return _hash(target)
