"""The step from quarantine to the store: a rename, under a lock, after a last look."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hpctrack.core.layout import (
    OWNER_NAME,
    REPLACED_FOLDER,
    SEALED_NAME,
    SERVER_FOLDER,
    NodeFileName,
)
from hpctrack.errors import HpctrackError
from hpctrack.store.accounting_file import MAX_BYTES
from hpctrack.sync.files.inventory import HashCache, hash_place
from hpctrack.sync.files.place import (
    Place,
    find_place,
    list_names,
    open_file_no_follow,
    open_folder,
    stat_no_follow,
)
from hpctrack.sync.receiving.policy import OWNED, Policy
from hpctrack.sync.receiving.quarantine import (
    SYNC_ALL_FROM,
    QuarantinedFile,
    sync_file_system,
)
from hpctrack.sync.upkeep.server_folder import hold_publication
from hpctrack.sync.wire.messages import ItemKind, Key, Outcome
from hpctrack.sync.wire.plan import Extent, choose_newest, choose_outcome
from hpctrack.sync.wire.refusal import ItemRefusal

FULL = {errno.ENOSPC, errno.EDQUOT}

_FRESH = frozenset({ItemKind.RUN, ItemKind.LIVE})
"""What may begin a run's folder."""

_OF_A_RUN = frozenset({ItemKind.ACCOUNTING, ItemKind.ANNOTATIONS})
"""What has an owner only through the run that it belongs to."""


@dataclass(slots=True)
class Arrived:
    """A file that has come and was checked.

    Parameters
    ----------
    number : int
        The sender's.
    key : Key
    sha256 : str
    size_bytes : int
    file : QuarantinedFile
    replaced_bytes : int
        Of the file that it has taken the place of.
    """

    number: int
    key: Key
    sha256: str
    size_bytes: int
    file: QuarantinedFile
    replaced_bytes: int = 0


class Publisher:
    """Moves files that have come into the store.

    Used as a context manager it holds the lock: one receiver at a time looks and renames. What
    was renamed is safe on the disk after `sync`.

    Parameters
    ----------
    store_fd : int
        The store, open.
    cache : HashCache
        Of the store.
    policy : Policy
        Of this connection.
    """

    def __init__(self, store_fd: int, cache: HashCache, policy: Policy) -> None:
        self._store_fd = store_fd
        self._cache = cache
        self._policy = policy
        self._stack = contextlib.ExitStack()
        self._projects: dict[str, int] = {}
        self._changed: set[tuple[str, ...]] = set()

    def __enter__(self) -> Self:
        """Take the lock."""
        self._stack.enter_context(hold_publication(self._store_fd))
        return self

    def __exit__(self, *_error: object) -> None:
        """Let go of the lock and of the folders."""
        self._stack.close()
        self._projects.clear()
        self._changed.clear()

    def publish(self, arrived: Arrived) -> Outcome:
        """Make a file visible that was brought to the disk.

        Returns
        -------
        Outcome
            PUBLISHED or REPLACED; PRESENT if another transfer of the same was quicker, or what is
            there is newer.

        Raises
        ------
        ItemRefusal
            What is there holds more, is somebody else's, is being recorded, or is no file of ours.
        """
        place, kind = find_place(arrived.key), arrived.key.kind
        try:
            if kind == ItemKind.RUN and self._publish_first(arrived, place):
                return Outcome.PUBLISHED
            is_fresh = kind in _FRESH or place.folders[1].startswith(".")
            with self.folder(place.folders, create=is_fresh) as folder_fd:
                return self._publish_into(folder_fd, arrived, place)
        except NotADirectoryError:
            raise ItemRefusal("link") from None
        except FileNotFoundError:
            raise ItemRefusal("no-run" if kind in _OF_A_RUN else "unwritable") from None
        except OSError as error:
            raise translate(error, arrived.size_bytes) from None

    def sync(self) -> None:
        """Bring all renames to the disk."""
        changed = self._changed | {(project,) for project in self._projects}
        if len(changed) >= SYNC_ALL_FROM and sync_file_system(self._store_fd):
            return
        for names in changed:
            with open_folder(self._store_fd, names) as fd:
                os.fsync(fd)

    @contextmanager
    def folder(self, names: tuple[str, ...], *, create: bool = False) -> Iterator[int]:
        """Open a folder of the store whose content is about to change; see `open_folder`."""
        with open_folder(self._store_fd, names, create=create) as fd:
            self._changed.add(names)
            yield fd

    def check_owner(self, key: Key, folder_fd: int, *, is_new: bool) -> None:
        """Refuse what belongs to a run of somebody else; make the user the owner of a new one.

        Raises
        ------
        ItemRefusal
            It is somebody else's.
        """
        if not self._policy.user or key.kind not in OWNED:
            return
        owner = read_owner(folder_fd)
        if not owner and is_new:
            _write_owner(folder_fd, self._policy.user)
        else:
            self._policy.check_owner(owner)

    def _publish_first(self, arrived: Arrived, place: Place) -> bool:
        """Publish the sealed file of a run that is not there: the common case, in few calls."""
        project, run = place.folders
        project_fd = self._open_project(project)
        try:
            os.mkdir(run, dir_fd=project_fd)
        except FileExistsError:
            return False
        self._changed.add(place.folders)
        if self._policy.user:
            with open_folder(project_fd, (run,)) as folder_fd:
                self.check_owner(arrived.key, folder_fd, is_new=True)
        # It was made just now: no link can be in the way.
        arrived.file.publish(project_fd, f"{run}/{place.file}")
        self._cache.remember(place.name, arrived.file.status, arrived.sha256)
        return True

    def _publish_into(self, folder_fd: int, arrived: Arrived, place: Place) -> Outcome:
        key = arrived.key
        self.check_owner(key, folder_fd, is_new=_is_empty(folder_fd))
        if hash_place(self._store_fd, place, self._cache) == arrived.sha256:
            return Outcome.PRESENT
        incoming = _find_extent(arrived)
        if key.kind == ItemKind.ACCOUNTING:
            outcome = choose_newest(incoming, _look_aside(place, folder_fd))
        elif key.kind == ItemKind.RUN:
            there = _look_at_run(place, folder_fd, incoming)
            outcome = choose_outcome(incoming, there, append_only=self._policy.append_only)
        else:
            outcome = _look_at_others(place, folder_fd)
        if outcome == Outcome.PRESENT:
            return outcome
        # How a sweep stood an hour ago is nothing that anybody could lose.
        is_kept = self._policy.append_only and key.kind != ItemKind.PROGRESS
        if outcome == Outcome.REPLACED and is_kept:
            self._keep(folder_fd, place)
        self._rename(arrived, folder_fd, place)
        if key.kind == ItemKind.RUN:
            _drop_replicas(folder_fd, incoming.nodes)
        return outcome

    def check_run_owner(self, key: Key) -> None:
        """Refuse what lies beside the run of somebody else.

        Raises
        ------
        ItemRefusal
            It is somebody else's.
        FileNotFoundError
            There is no such run.
        """
        with open_folder(self._store_fd, (key.project, key.id)) as folder_fd:
            self.check_owner(key, folder_fd, is_new=False)

    def _rename(self, arrived: Arrived, folder_fd: int, place: Place) -> None:
        before = stat_no_follow(folder_fd, place.file)
        arrived.replaced_bytes = before.st_size if before is not None else 0
        arrived.file.publish(folder_fd, place.file)
        self._cache.remember(place.name, arrived.file.status, arrived.sha256)

    def _keep(self, folder_fd: int, place: Place) -> None:
        """Give the file that is about to be replaced another name: nothing is ever lost."""
        sha256 = hash_place(self._store_fd, place, self._cache)
        names = (SERVER_FOLDER, REPLACED_FOLDER)
        with self.folder(names, create=True) as kept_fd, contextlib.suppress(FileExistsError):
            os.link(
                place.file, sha256, src_dir_fd=folder_fd, dst_dir_fd=kept_fd, follow_symlinks=False
            )

    def _open_project(self, project: str) -> int:
        if project not in self._projects:
            with open_folder(self._store_fd, (project,), create=True) as fd:
                self._projects[project] = os.dup(fd)
            self._stack.callback(os.close, self._projects[project])
        return self._projects[project]


def translate(error: OSError, size_bytes: int) -> ItemRefusal:
    """Return what the peer is told of an error of the file system."""
    code = "no-space" if error.errno in FULL else "unwritable"
    return ItemRefusal(code, size_bytes=size_bytes)


def read_owner(folder_fd: int) -> str | None:
    """Return whose run a folder is; empty if nobody's, None if there is nothing in it."""
    fd = open_file_no_follow(folder_fd, OWNER_NAME)
    if fd is None:
        return None if _is_empty(folder_fd) else ""
    with os.fdopen(fd, "rb") as file:
        return file.read(1024).decode("utf-8", "replace").strip()


def _write_owner(folder_fd: int, user: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(OWNER_NAME, flags, 0o644, dir_fd=folder_fd), "w") as file:
        file.write(f"{user}\n")
        file.flush()
        os.fsync(file.fileno())


def _is_empty(folder_fd: int) -> bool:
    return not list_names(folder_fd)


def _find_extent(arrived: Arrived) -> Extent:
    """Return how much a file holds that has come; it was checked."""
    from hpctrack.sync.receiving.verification import (  # noqa: PLC0415 - brings numpy and h5py
        find_extent,
    )

    if arrived.key.kind not in {ItemKind.RUN, ItemKind.ACCOUNTING}:
        return Extent()
    return find_extent(arrived.file.path, arrived.key)


def _look_at_run(place: Place, folder_fd: int, incoming: Extent) -> Extent | None:
    """Return how much the sealed file there holds; None if there is none, or a broken one."""
    from hpctrack.sync.receiving.verification import try_read_extent  # noqa: PLC0415 - as above

    names = {name for name in list_names(folder_fd) if NodeFileName.parse(name)}
    # Points of a live file would be counted twice if they are in the sealed one too; a replica
    # is only the beginning of what has been sealed now, or of a later attempt.
    if names - _find_replicas(folder_fd).keys():
        raise ItemRefusal("live")
    del incoming
    if _check_regular(place, folder_fd):
        return try_read_extent(path_of(folder_fd, place.file))
    return None


def _look_aside(place: Place, folder_fd: int) -> Extent | None:
    """Return when the accounting there was asked for; the run has to be there, too."""
    from hpctrack.sync.receiving.verification import (  # noqa: PLC0415 - as above
        read_accounting_extent,
    )

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


def _look_at_others(place: Place, folder_fd: int) -> Outcome:
    """Descriptions of sweeps and annotations do not grow: the one that comes is as good."""
    return Outcome.REPLACED if _check_regular(place, folder_fd) else Outcome.PUBLISHED


def _check_regular(place: Place, folder_fd: int) -> bool:
    status = stat_no_follow(folder_fd, place.file)
    if status is None:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise ItemRefusal("link")
    return True


def _find_replicas(folder_fd: int) -> dict[str, object]:
    from hpctrack.store.replica import find_replicas  # noqa: PLC0415 - as above

    return dict(find_replicas(path_of(folder_fd)))


def _drop_replicas(folder_fd: int, nodes: frozenset[str]) -> None:
    from hpctrack.store.replica import drop_replicas  # noqa: PLC0415 - as above

    # What is in use just now stays: readers pass over it, and `hpctrack server gc` removes it.
    with contextlib.suppress(HpctrackError):
        drop_replicas(path_of(folder_fd), nodes)


def path_of(folder_fd: int, name: str = "") -> Path:
    """Return a path to an open folder, or a file in it, that no link can lead astray."""
    return Path(f"/proc/self/fd/{folder_fd}", name)
