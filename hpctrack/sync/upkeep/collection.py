"""Freeing room in a store that receives: what was begun and left, and what is there twice.

Nothing that anybody could miss is touched: no sealed file, no row that is nowhere else, and no
blob (those are named by what refers to them, which is not known here).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import (
    BLOBS_FOLDER,
    INCOMING_FOLDER,
    REPLACED_FOLDER,
    SEAL_LOCK_NAME,
    SEALED_NAME,
    SERVER_FOLDER,
    NodeFileName,
    is_leftover,
    scan_runs,
)
from hpctrack.errors import HpctrackError
from hpctrack.store.annotation_file import is_server_store, read_annotations
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.replica import drop_replicas
from hpctrack.store.sealed_file import SealedReader
from hpctrack.sync.files.incoming_folder import (
    ABANDONED_AFTER_S,
    PARTIAL_FOLDER,
    UPLOAD_NAME,
    find_last_change_wall_s,
)
from hpctrack.sync.files.place import list_names, open_folder, stat_no_follow
from hpctrack.sync.upkeep.audit import Action, Actor, AuditEvent, AuditLog
from hpctrack.sync.upkeep.quotas import UsageBook, list_projects
from hpctrack.sync.upkeep.server_folder import (
    hold_publication,
    open_store,
    try_lock,
)
from hpctrack.sync.upkeep.tree import iter_files

DAY_S = 24 * 3600.0

KEEP_DAYS = 14.0
"""Half of an upload is worth that long: its sender may be on holiday."""


class Leftover(StrEnum):
    """What can be removed."""

    UPLOAD = "upload"
    """The quarantine of a receiver that was killed."""
    PARTIAL = "partial"
    """A part of a large file whose sender has not come back."""
    REPLACED = "replaced"
    """An older version, kept because the key was append-only."""
    REPLICA = "replica"
    """A node file all of which is in the sealed file beside it."""
    SCRATCH = "scratch"
    """A file that was to be renamed, of somebody who was killed."""
    DELETED = "deleted"
    """A file of a run that somebody has marked as deleted, long ago."""


@dataclass(frozen=True, slots=True)
class Freed:
    """Something that was removed, or would be.

    Parameters
    ----------
    kind : Leftover
    path : str
        In the store.
    size_bytes : int
    """

    kind: Leftover
    path: str
    size_bytes: int


@dataclass(slots=True)
class Collection:
    """What came of it.

    Parameters
    ----------
    freed : list of Freed
    problems : list of str
        What could not be looked at or removed, one line each.
    """

    freed: list[Freed] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """How much was freed."""
        return sum(one.size_bytes for one in self.freed)


OnRun = Callable[[int, int], None]
"""Gets how many runs were looked at, and how many there are."""


def collect(
    store: Path,
    *,
    keep_days: float = KEEP_DAYS,
    deleted_days: float | None = None,
    dry_run: bool = False,
    clock: Clock = SYSTEM_CLOCK,
    actor: Actor | None = None,
    on_run: OnRun = lambda _done, _total: None,
) -> Collection:
    """Remove what nobody needs any more; safe while receivers are at work.

    Parameters
    ----------
    store : Path
        The store's folder.
    keep_days : float, optional
        For how long parts of uploads and older versions are kept.
    deleted_days : float, optional
        Remove the files of runs that were marked as deleted longer ago than this, for good; None,
        the default, leaves them alone. What people have said of them stays: it keeps them deleted
        if they are pushed again.
    dry_run : bool, optional
        Only say what would be removed.
    clock : Clock, optional
        For ages.
    actor : Actor, optional
        Who does so, for the log.
    on_run : callable, optional
        For a progress bar.

    Raises
    ------
    NotFoundError, StoreError
        The store cannot be opened.
    """
    with open_store(store) as store_fd:
        collector = _Collector(store, store_fd, clock.wall_s(), keep_days * DAY_S, dry_run=dry_run)
        collector.look_at_incoming()
        collector.look_at_replaced()
        collector.look_at_scratch()
        runs = [Path(one.path) for one in scan_runs(store)]
        for number, folder in enumerate(runs):
            on_run(number, len(runs))
            collector.look_at_run(folder)
            if deleted_days is not None:
                collector.look_at_deleted(folder, deleted_days * DAY_S)
        on_run(len(runs), len(runs))
        if not dry_run and is_server_store(store):
            _finish(store, store_fd, collector.found, actor or Actor(), clock)
    return collector.found


def _finish(store: Path, store_fd: int, found: Collection, actor: Actor, clock: Clock) -> None:
    """Log what is gone, and count anew what is there."""
    events = [
        AuditEvent(Action.REMOVED, *_find_item(one), one.size_bytes)
        for one in found.freed
        if one.kind in {Leftover.REPLICA, Leftover.REPLACED, Leftover.DELETED}
    ]
    try:
        AuditLog(store_fd, actor, clock=clock).append(events)
    except (OSError, HpctrackError) as error:
        found.problems.append(f"the log cannot be written: {error}")
    book = UsageBook(store_fd, clock=clock)
    for project in list_projects(store):
        book.recount(project)


def _find_item(freed: Freed) -> tuple[str, str, str]:
    parts = freed.path.split("/")
    if freed.kind == Leftover.DELETED:
        return parts[0], "deleted", "/".join(parts[1:])
    if freed.kind == Leftover.REPLICA:
        return parts[0], "live", f"{parts[1]}/{parts[2]}"
    return "", "replaced", parts[-1]


class _Collector:
    """Looks at each part of a store once."""

    def __init__(
        self, store: Path, store_fd: int, now_wall_s: float, keep_s: float, *, dry_run: bool
    ) -> None:
        self.found = Collection()
        self._store = store
        self._store_fd = store_fd
        self._now_wall_s = now_wall_s
        self._keep_s = keep_s
        self._dry_run = dry_run

    def look_at_incoming(self) -> None:
        """Remove abandoned uploads, whole folders and parts of large files."""
        with self._enter((INCOMING_FOLDER,)) as fd:
            if fd is None:
                return
            for name in filter(UPLOAD_NAME.match, sorted(list_names(fd))):
                self._look_at_upload(fd, name)
            with self._enter((INCOMING_FOLDER, PARTIAL_FOLDER)) as partial_fd:
                if partial_fd is not None:
                    at = f"{INCOMING_FOLDER}/{PARTIAL_FOLDER}"
                    self._look_at_old(partial_fd, at, Leftover.PARTIAL)

    def look_at_replaced(self) -> None:
        """Remove old versions that were replaced long ago.

        A file gets a new change time when it gets or loses a name, which is when it was replaced.
        """
        with self._enter((SERVER_FOLDER, REPLACED_FOLDER)) as fd:
            if fd is not None:
                at = f"{SERVER_FOLDER}/{REPLACED_FOLDER}"
                self._look_at_old(fd, at, Leftover.REPLACED, by_change=True)

    def look_at_scratch(self) -> None:
        """Remove scratch files, anywhere but in what is received just now, and beside blobs."""
        found = [
            (folders, name)
            for folders, name, status in iter_files(self._store_fd)
            if is_leftover(name)
            and self._now_wall_s - status.st_mtime > ABANDONED_AFTER_S
            and folders[:1] != (INCOMING_FOLDER,)
            and BLOBS_FOLDER not in folders
            # A folder of `hpctrack repair`, which knows what to do with it.
            and not any(map(is_leftover, folders))
        ]
        for folders, name in found:
            with self._enter(folders) as fd:
                if fd is not None:
                    self._remove(fd, name, "/".join(folders), Leftover.SCRATCH)

    def look_at_run(self, folder: Path) -> None:
        """Remove node files that are in the sealed file."""
        at = (folder.parent.name, folder.name)
        with self._enter(at) as fd:
            names = [] if fd is None else list_names(fd)
            nodes = sorted(name for name in names if NodeFileName.parse(name))
            if fd is None or SEALED_NAME not in names or not nodes:
                return
            if SEAL_LOCK_NAME in names:
                return  # a sealer removes them itself, or `hpctrack repair` does
            with self._hold_receivers():
                self._remove_replicas(folder, fd, nodes)

    def look_at_deleted(self, folder: Path, keep_s: float) -> None:
        """Remove a run that was marked as deleted long ago, unless it is still written to."""
        project, run = at = (folder.parent.name, folder.name)
        said = read_annotations(self._store, project, run)
        if said.deleted_wall_s is None or self._now_wall_s - said.deleted_wall_s <= keep_s:
            return
        with self._enter(at) as fd:
            if fd is None or self._now_wall_s - find_last_change_wall_s(fd) <= ABANDONED_AFTER_S:
                return
            with self._hold_receivers():
                self._remove_all(fd, at)
        if not self._dry_run:
            with self._enter((project,)) as project_fd, contextlib.suppress(OSError):
                os.rmdir(run, dir_fd=project_fd)  # by a receiver it may have been filled again

    def _remove_all(self, fd: int, at: tuple[str, ...]) -> None:
        """Remove the files of a run's folder and of the folders in it."""
        for name in sorted(list_names(fd)):
            status = stat_no_follow(fd, name)
            if status is None or not stat.S_ISDIR(status.st_mode):
                self._remove(fd, name, "/".join(at), Leftover.DELETED)
                continue
            with self._enter((*at, name)) as below_fd:
                if below_fd is not None:
                    self._remove_all(below_fd, (*at, name))
            if not self._dry_run:
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=fd)

    def _remove_replicas(self, folder: Path, fd: int, nodes: list[str]) -> None:
        at = f"{folder.parent.name}/{folder.name}"
        try:
            inside = SealedReader(folder / SEALED_NAME).node_ids()
        except HpctrackError as error:
            self.found.problems.append(f"{at}: {error.message}")
            return
        is_changed = False
        for name in nodes:
            try:
                with NodeReader(folder / name) as reader:
                    is_inside = str(reader.facts.get("uuid")) in inside
            except HpctrackError as error:
                self.found.problems.append(f"{at}: {error.message}")
                continue
            if is_inside and self._remove(fd, name, at, Leftover.REPLICA):
                is_changed = True
        if is_changed and not self._dry_run:
            try:
                drop_replicas(folder, inside)  # what is told of them
            except HpctrackError as error:
                self.found.problems.append(f"{at}: {error.message}")

    def _look_at_upload(self, incoming_fd: int, name: str) -> None:
        """Remove a quarantine that nobody has written to, and nobody holds."""
        at = f"{INCOMING_FOLDER}/{name}"
        with self._enter((INCOMING_FOLDER, name)) as fd:
            if fd is None:
                return
            last_wall_s = find_last_change_wall_s(fd)
            if self._now_wall_s - last_wall_s <= ABANDONED_AFTER_S or not try_lock(fd):
                return
            for one in list_names(fd):
                self._remove(fd, one, at, Leftover.UPLOAD)
        if not self._dry_run:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=incoming_fd)

    def _look_at_old(self, fd: int, at: str, kind: Leftover, *, by_change: bool = False) -> None:
        for name in sorted(list_names(fd)):
            status = stat_no_follow(fd, name)
            if status is None:
                continue
            age_s = self._now_wall_s - (status.st_ctime if by_change else status.st_mtime)
            if age_s <= self._keep_s:
                continue
            with _try_hold(fd, name) as is_free:
                if is_free:
                    self._remove(fd, name, at, kind)

    def _remove(self, fd: int, name: str, at: str, kind: Leftover) -> bool:
        path = f"{at}/{name}" if at else name
        status = stat_no_follow(fd, name)
        if status is None or not stat.S_ISREG(status.st_mode):
            return False
        if not self._dry_run:
            try:
                os.unlink(name, dir_fd=fd)
            except OSError as error:
                self.found.problems.append(f"{path} cannot be removed: {error.strerror}")
                return False
        size_bytes = status.st_size if status.st_nlink == 1 else 0
        self.found.freed.append(Freed(kind, path, size_bytes))
        return True

    @contextmanager
    def _enter(self, folders: tuple[str, ...]) -> Iterator[int | None]:
        with contextlib.ExitStack() as stack:
            try:
                fd = stack.enter_context(open_folder(self._store_fd, folders))
            except FileNotFoundError:
                yield None
                return
            except OSError as error:
                what = error.strerror or "a link or a file in place of a folder"
                self.found.problems.append(f"{'/'.join(folders)} cannot be opened: {what}")
                yield None
                return
            yield fd

    @contextmanager
    def _hold_receivers(self) -> Iterator[None]:
        """Let no receiver publish meanwhile: it would look at what is being removed."""
        if self._dry_run:
            yield
            return
        with hold_publication(self._store_fd):
            yield


@contextmanager
def _try_hold(folder_fd: int, name: str) -> Iterator[bool]:
    """Hold a file, unless somebody else does, as a receiver that goes on with it."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder_fd)
    except OSError:
        yield False
        return
    try:
        yield try_lock(fd)
    finally:
        os.close(fd)
