"""Reaching files of a store by name without ever following a link.

The names come from a peer, and others may write to the store: with paths, a link that is put
there between a check and its use would lead out of the store. So each folder is opened from its
parent, with O_NOFOLLOW.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hpctrack.core.layout import (
    ACCOUNTING_NAME,
    ANNOTATIONS_FOLDER,
    BLOBS_FOLDER,
    PROGRESS_NAME,
    SEALED_NAME,
    SWEEP_NAME,
    SWEEPS_FOLDER,
    NodeFileName,
)
from hpctrack.core.names import check_id
from hpctrack.errors import InvalidNameError
from hpctrack.sync.wire.messages import ItemKind, Key
from hpctrack.sync.wire.refusal import ItemRefusal

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_WHAT = {
    ItemKind.SWEEP: "sweep id",
    ItemKind.PROGRESS: "sweep id",
    ItemKind.BLOB: "name of a blob",
}
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item's file lies, relative to the store; the names have been checked."""

    folders: tuple[str, ...]
    file: str

    @property
    def name(self) -> str:
        """The relative path."""
        return "/".join((*self.folders, self.file))


def find_place(key: Key) -> Place:
    """Return where an item belongs.

    Raises
    ------
    ItemRefusal
        A name is not allowed.
    """
    what = "project"
    if key.kind == ItemKind.UNKNOWN:
        raise ItemRefusal("unknown-kind")
    try:
        check_id(key.project, what="project")
        what = _WHAT.get(key.kind, "run id")
        if key.kind == ItemKind.BLOB:
            return _place_blob(key)
        if key.kind == ItemKind.LIVE:
            what = "name of a node file"
            return _place_node_file(key)
        _check(not key.part, key.part)
        id_ = check_id(key.id, what=what)
    except InvalidNameError:
        raise ItemRefusal("bad-name", what=what) from None
    if key.kind in {ItemKind.SWEEP, ItemKind.PROGRESS}:
        file = SWEEP_NAME if key.kind == ItemKind.SWEEP else PROGRESS_NAME
        return Place((key.project, SWEEPS_FOLDER, id_), file)
    if key.kind == ItemKind.ANNOTATIONS:
        return Place((key.project, ANNOTATIONS_FOLDER), f"{id_}.json")
    name = ACCOUNTING_NAME if key.kind == ItemKind.ACCOUNTING else SEALED_NAME
    return Place((key.project, id_), name)


def _place_node_file(key: Key) -> Place:
    _check(str(NodeFileName.parse(key.part)) == key.part, key.part)
    return Place((key.project, check_id(key.id, what="run id")), key.part)


def _check(is_right: bool, name: str) -> None:  # noqa: FBT001 - a question and its answer
    if not is_right:
        raise InvalidNameError(name)


def _place_blob(key: Key) -> Place:
    _check(not key.part and bool(_SHA256.match(key.id)), key.id)
    return Place((key.project, BLOBS_FOLDER, key.id[:2]), key.id)


@contextmanager
def open_folder(parent_fd: int, names: tuple[str, ...], *, create: bool = False) -> Iterator[int]:
    """Open a folder below another one, name by name.

    Parameters
    ----------
    parent_fd : int
        Where to begin.
    names : tuple of str
        Checked names.
    create : bool
        Make what is not there.

    Yields
    ------
    int
        A descriptor, closed afterwards.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    NotADirectoryError
        There is a file or a link instead of a folder.
    """
    fd = os.dup(parent_fd)
    try:
        for name in names:
            if create:
                ensure_folder(fd, name)
            try:
                below = os.open(name, _FOLDER_FLAGS, dir_fd=fd)
            except OSError as error:
                if stat_no_follow(fd, name) is not None:
                    raise NotADirectoryError(name) from error
                raise
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def ensure_folder(fd: int, name: str) -> None:
    """Make a folder if it is not there."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=fd)
        # A run that was acknowledged must not vanish with its folder when the power fails.
        os.fsync(fd)


def open_file_no_follow(folder_fd: int, name: str) -> int | None:
    """Open a regular file, or return None if there is none or something else."""
    try:
        fd = os.open(name, _FILE_FLAGS, dir_fd=folder_fd)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def stat_no_follow(folder_fd: int, name: str) -> os.stat_result | None:
    """Return what a name is, or None if there is nothing of that name."""
    try:
        return os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except OSError:
        return None


def list_names(folder_fd: int) -> list[str]:
    """Return the names in a folder."""
    with os.scandir(folder_fd) as entries:
        return [entry.name for entry in entries]
