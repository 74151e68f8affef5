"""A copy of a store that is in use, which is a store itself.

::

    <destination>/2026-11-28T114545Z/                a store: its projects, its .server folder
    <destination>/2026-11-28T114545Z/MANIFEST.jsonl  every file, its size and hash
    <destination>/latest -> 2026-11-28T114545Z

A backup is built under another name and renamed when it is complete and on the disk. Files that
have not changed since the last one are hard links to it; node files, which grow in place, and the
log are always copied, so that no program that opens one backup can change another.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import (
    HASHES_NAME,
    INCOMING_FOLDER,
    REPLICA_LOCK_NAME,
    SEAL_LOCK_NAME,
    SERVER_FOLDER,
    NodeFileName,
    is_leftover,
)
from hpctrack.errors import (
    BusyError,
    HpctrackError,
    NotFoundError,
    StoreError,
    StoreFullError,
    UsageError,
)
from hpctrack.store.folder_lock import HELD_NAME, LOCK_NAME
from hpctrack.sync.files.place import (
    list_names,
    open_file_no_follow,
    open_folder,
    stat_no_follow,
)
from hpctrack.sync.upkeep.audit import AUDIT_NAME
from hpctrack.sync.upkeep.copying import copy_file, copy_node_file, copy_whole_lines
from hpctrack.sync.upkeep.manifest import MANIFEST_NAME, Entry, read_manifest, write_manifest
from hpctrack.sync.upkeep.server_folder import open_store, try_lock

LATEST_NAME = "latest"
BUILDING_PREFIX = ".building-"
REMOVING_PREFIX = ".removing-"
LOOKS_MAX = 5
"""How often a folder is listed again because names have come meanwhile: a run is sealed once."""

_DATED = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z(?:-\d+)?\Z")
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_COPIED = frozenset(
    {SEAL_LOCK_NAME, REPLICA_LOCK_NAME, LOCK_NAME, HELD_NAME, MANIFEST_NAME, INCOMING_FOLDER}
)


@dataclass(slots=True)
class BackUp:
    """What was done.

    Parameters
    ----------
    path : Path
        The backup.
    copied_files, copied_bytes : int
        That were read and written.
    linked_files, linked_bytes : int
        That are shared with the backup before.
    problems : list of str
        Files that could not be read and are not in it, one line each.
    removed : list of str
        Names of older backups that were removed.
    """

    path: Path
    copied_files: int = 0
    copied_bytes: int = 0
    linked_files: int = 0
    linked_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def back_up(
    store: Path,
    destination: Path,
    *,
    incremental: bool = True,
    keep: int | None = None,
    clock: Clock = SYSTEM_CLOCK,
    on_bytes: Callable[[int], None] = lambda _size_bytes: None,
) -> BackUp:
    """Copy a store while others push to it.

    Parameters
    ----------
    store : Path
        The store's folder.
    destination : Path
        A folder for this store's backups; made if its parent is there.
    incremental : bool, optional
        Share files that have not changed with the backup before, by hard links.
    keep : int, optional
        Remove the oldest backups of the destination, so that so many are left.
    clock : Clock, optional
        For the name, and the silence of writers.
    on_bytes : callable, optional
        For a progress bar: called with the size of each file that is done.

    Returns
    -------
    BackUp
        With the files that could not be read among its problems; all others are in the backup.

    Raises
    ------
    NotFoundError
        There is no such store, or no folder for the destination.
    UsageError
        The destination is in the store.
    BusyError
        Another backup to this destination is going on.
    StoreFullError, StoreError
        The backup cannot be written; what was there before is there still.
    """
    destination = destination.absolute()
    if destination.resolve().is_relative_to(store.resolve()):
        raise UsageError(f"{destination} is in the store", hint="use another disk, at best")
    try:
        with open_store(store) as store_fd, _hold(destination) as destination_fd:
            _remove_unfinished(destination)
            began_wall_s = clock.wall_s()
            building = destination / f"{BUILDING_PREFIX}{secrets.token_hex(4)}"
            building.mkdir()
            try:
                previous = _find_latest(destination) if incremental else None
                writer = _Writer(store, building, previous, clock, on_bytes)
                writer.copy_folder(store_fd, ())
                entries = sorted(writer.entries, key=lambda one: one.path)
                write_manifest(building, store.absolute(), began_wall_s, entries)
                os.sync()  # thousands of files at once: fsync of each takes a thousand times longer
                writer.result.path = _publish(building, destination, destination_fd, began_wall_s)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
            if keep is not None:
                writer.result.removed = _remove_oldest(destination, keep)
            return writer.result
    except OSError as error:
        kind = StoreFullError if error.errno in _FULL else StoreError
        raise kind(f"{destination} cannot be written: {error.strerror}") from None


class _Writer:
    """Fills one backup."""

    def __init__(
        self,
        store: Path,
        building: Path,
        previous: Path | None,
        clock: Clock,
        on_bytes: Callable[[int], None],
    ) -> None:
        self.result = BackUp(building)
        self.entries: list[Entry] = []
        self._store = store
        self._building = building
        self._previous = previous
        self._known = read_manifest(previous).entries if previous else {}
        self._clock = clock
        self._on_bytes = on_bytes
        self._scratch = building / f"{BUILDING_PREFIX}rows"

    def copy_folder(self, folder_fd: int, at: tuple[str, ...]) -> None:
        """Copy what is in a folder, and what comes into it meanwhile.

        A run may be sealed between the look at its names and the copying: then its node files
        are gone, and the sealed file is among the names of the next look.
        """
        target = self._building.joinpath(*at)
        done: set[str] = set()
        for _look in range(LOOKS_MAX):
            names = [one for one in self._list(folder_fd, at) if one not in done]
            if not names:
                return
            for name in sorted(names, key=_rank):
                self._copy(folder_fd, at, name, target)
            done.update(names)

    def _list(self, folder_fd: int, at: tuple[str, ...]) -> list[str]:
        try:
            names = list_names(folder_fd)
        except OSError as error:
            self._complain(at, error)
            return []
        return [
            name
            for name in names
            if name not in _NOT_COPIED
            and not is_leftover(name)
            and not name.startswith(HASHES_NAME)
        ]

    def _copy(self, folder_fd: int, at: tuple[str, ...], name: str, target: Path) -> None:
        status = stat_no_follow(folder_fd, name)
        if status is None:
            return  # gone meanwhile
        here = (*at, name)
        try:
            if stat.S_ISDIR(status.st_mode):
                (target / name).mkdir()
                with open_folder(folder_fd, (name,)) as fd:
                    self.copy_folder(fd, here)
            elif stat.S_ISREG(status.st_mode):
                self._copy_file(folder_fd, here, target / name)
            else:
                self.result.problems.append(f"{'/'.join(here)} is no file, and is not copied")
        except FileNotFoundError:
            return
        except (OSError, HpctrackError) as error:
            if isinstance(error, OSError) and error.errno in _FULL | {errno.EROFS}:
                raise
            (target / name).unlink(missing_ok=True)
            self._complain(here, error)

    def _copy_file(self, folder_fd: int, here: tuple[str, ...], target: Path) -> None:
        path, name = "/".join(here), here[-1]
        fd = open_file_no_follow(folder_fd, name)
        if fd is None:
            if stat_no_follow(folder_fd, name) is not None:
                self.result.problems.append(f"{path} cannot be opened")
            return
        try:
            status = os.fstat(fd)
            is_node = NodeFileName.parse(name) is not None
            is_log = here == (SERVER_FOLDER, AUDIT_NAME)
            if not (is_node or is_log) and self._link(path, status, target):
                return
            if is_node:
                self._scratch.mkdir(exist_ok=True)
                source = self._store.joinpath(*here)
                digest, size_bytes = copy_node_file(source, target, self._scratch, self._clock)
                self._scratch.rmdir()
            elif is_log:
                digest, size_bytes = copy_whole_lines(fd, target)
            else:
                digest, size_bytes = copy_file(fd, target)
        finally:
            os.close(fd)
        self._note(Entry(path, size_bytes, digest, status.st_mtime_ns, status.st_ino))
        self.result.copied_files += 1
        self.result.copied_bytes += size_bytes

    def _link(self, path: str, status: os.stat_result, target: Path) -> bool:
        """Share a file with the backup before, if it is the same; return whether that worked."""
        known = self._known.get(path)
        found = (status.st_size, status.st_mtime_ns, status.st_ino)
        if known is None or (known.size_bytes, known.mtime_ns, known.inode) != found:
            return False
        assert self._previous is not None  # noqa: S101 - for the type checker
        try:
            os.link(self._previous / path, target, follow_symlinks=False)
            if target.stat().st_size != known.size_bytes:
                target.unlink()
                return False
        except OSError:
            return False  # no links here, too many, or it is gone: it is copied
        self._note(known)
        self.result.linked_files += 1
        self.result.linked_bytes += known.size_bytes
        return True

    def _note(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._on_bytes(entry.size_bytes)

    def _complain(self, at: tuple[str, ...], error: Exception) -> None:
        what = error.strerror if isinstance(error, OSError) else str(error)
        self.result.problems.append(f"{'/'.join(at)} is not in the backup: {what}")


def _rank(name: str) -> tuple[int, str]:
    """Order names so that what tells of rows is copied before the rows, which only grow."""
    return (1 if NodeFileName.parse(name) else 0 if name.startswith(".") else 2, name)


@contextmanager
def _hold(destination: Path) -> Iterator[int]:
    """Open the destination, and keep other backups out."""
    if not destination.parent.is_dir():
        raise NotFoundError(f"no folder {destination.parent}", hint="make it first")
    destination.mkdir(exist_ok=True)
    fd = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not try_lock(fd):
            raise BusyError(f"another backup to {destination} is going on")
        yield fd
    finally:
        os.close(fd)


def _remove_unfinished(destination: Path) -> None:
    """Remove what a backup that was killed has left; we hold the lock."""
    for one in destination.iterdir():
        if one.name.startswith((BUILDING_PREFIX, REMOVING_PREFIX)):
            shutil.rmtree(one, ignore_errors=True)


def find_backup(destination: Path) -> Path:
    """Return the newest backup of a destination, or the backup that is meant itself.

    Raises
    ------
    NotFoundError
        There is none.
    """
    if (destination / MANIFEST_NAME).is_file():
        return destination
    found = _find_latest(destination) if destination.is_dir() else None
    if found is None:
        raise NotFoundError(f"no backup in {destination}")
    return found


def list_backups(destination: Path) -> list[str]:
    """Return the names of the backups of a destination, the oldest first."""
    names = [one.name for one in destination.iterdir() if _DATED.match(one.name)]
    return sorted(name for name in names if (destination / name / MANIFEST_NAME).is_file())


def _find_latest(destination: Path) -> Path | None:
    names = list_backups(destination)
    with contextlib.suppress(OSError):
        pointed = (destination / LATEST_NAME).readlink().name
        if pointed in names:
            return destination / pointed
    return destination / names[-1] if names else None


def _publish(building: Path, destination: Path, destination_fd: int, wall_s: float) -> Path:
    """Give a complete backup its name, and point to it."""
    stamp = f"{dt.datetime.fromtimestamp(wall_s, dt.UTC):%Y-%m-%dT%H%M%SZ}"
    path, number = destination / stamp, 1
    while os.path.lexists(path):
        number += 1
        path = destination / f"{stamp}-{number}"
    building.rename(path)
    scratch = destination / f"{BUILDING_PREFIX}{LATEST_NAME}"
    scratch.symlink_to(path.name)
    scratch.replace(destination / LATEST_NAME)
    os.fsync(destination_fd)
    return path


def _remove_oldest(destination: Path, keep: int) -> list[str]:
    """Remove backups until so many are left, each in one step for who looks."""
    names = list_backups(destination)
    gone = names[: max(0, len(names) - max(1, keep))]
    for name in gone:
        aside = destination / f"{REMOVING_PREFIX}{name}"
        (destination / name).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    return gone
