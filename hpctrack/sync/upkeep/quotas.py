"""How much a project may hold: ``.server/quotas.json``, and what it holds: ``.server/usage.json``.

What counts is the sum of ``st_size`` over the regular files in the project's folder, a file with
several names once. Not the blocks on the disk: those of a file that was just written are not
known for seconds on Lustre, ZFS and btrfs, change when a file system compresses, and could not be
compared with the size that a peer announces. The two differ by the ends of blocks, and by holes.

Two receivers at once each know what the other has stored up to its last commit group. So a
project may exceed its quota by what all others of them have in flight: one group, one large
file, or the rows of some seconds, each. Files that append-only keeps in ``.server/replaced`` count
for nobody.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.names import check_id
from hpctrack.errors import BusyError, StoreError, StoreFormatError
from hpctrack.store.folder_lock import hold_folder
from hpctrack.sync.files.place import open_folder, stat_no_follow
from hpctrack.sync.upkeep.server_folder import (
    open_server_folder,
    open_store,
    read_small,
    replace_small,
)
from hpctrack.sync.upkeep.tree import iter_files

QUOTAS_NAME = "quotas.json"
USAGE_NAME = "usage.json"
_WHAT = "the quotas of the store"

ANY_PROJECT = "*"
"""The quota of projects that have none of their own."""


def read_quotas(store: Path | int) -> dict[str, int]:
    """Return the quotas of a store, bytes by project; `ANY_PROJECT` is that of all others.

    Raises
    ------
    StoreFormatError
        The file is not as we write it. Nothing may be received then: nobody knows how much.
    """
    try:
        with open_server_folder(store) as folder_fd:
            data = read_small(folder_fd, QUOTAS_NAME)
    except FileNotFoundError:
        return {}
    return {} if data is None else _parse_quotas(data)


def _parse_quotas(data: bytes) -> dict[str, int]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and all(type(one) is int and one >= 0 for one in found.values()):
        return found
    raise StoreFormatError(
        f".server/{QUOTAS_NAME} is damaged",
        hint="it is to be {project: bytes}; remove it, and use: hpctrack server quota set",
    )


def set_quota(store: Path | int, project: str, quota_bytes: int | None) -> dict[str, int]:
    """Give a project a quota, or take it away; return all of them.

    Parameters
    ----------
    store : Path or int
        Its folder, or a descriptor of it.
    project : str
        Or `ANY_PROJECT`.
    quota_bytes : int or None
        None: as all others.

    Raises
    ------
    InvalidNameError
        No project can be called that.
    StoreFormatError
        The quotas are damaged.
    StoreError
        They cannot be written.
    """
    if project != ANY_PROJECT:
        check_id(project, what="project")
    try:
        with (
            open_server_folder(store, create=True) as folder_fd,
            hold_folder(folder_fd, what=_WHAT),
        ):
            data = read_small(folder_fd, QUOTAS_NAME)
            quotas = {} if data is None else _parse_quotas(data)
            quotas.pop(project, None)
            if quota_bytes is not None:
                quotas[project] = quota_bytes
            text = json.dumps(dict(sorted(quotas.items())), indent=1)
            replace_small(folder_fd, QUOTAS_NAME, f"{text}\n".encode())
    except OSError as error:
        raise StoreError(f"the quotas cannot be written: {error.strerror}") from None
    return quotas


def find_limit(quotas: Mapping[str, int], project: str, policy_bytes: int | None) -> int | None:
    """Return how many bytes a project may hold: its quota, or that of the key if it is less."""
    own = quotas.get(project, quotas.get(ANY_PROJECT))
    limits = [one for one in (own, policy_bytes) if one is not None]
    return min(limits, default=None)


def measure_project(store: Path | int, project: str) -> int:
    """Return how many bytes a project holds, by looking at each of its files."""
    with open_store(store) as store_fd:
        try:
            with open_folder(store_fd, (project,)) as fd:
                seen: set[tuple[int, int]] = set()
                total = 0
                for _folder, _name, status in iter_files(fd):
                    if status.st_nlink > 1:
                        if (status.st_dev, status.st_ino) in seen:
                            continue
                        seen.add((status.st_dev, status.st_ino))
                    total += status.st_size
                return total
        except (FileNotFoundError, NotADirectoryError):
            return 0


class UsageBook:
    """How much each project holds, kept up to date by those who add to it.

    Parameters
    ----------
    store : Path or int
        Its folder, or a descriptor of it, which must stay open.
    clock : Clock, optional
        For the time of counting.

    Notes
    -----
    ``usage.json`` is a cache: what it does not have is counted, which takes 5 us for each file.
    A machine that dies may lose what was added last; `recount` finds it.
    """

    def __init__(self, store: Path | int, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock
        self._entries = _read_usage(store)
        self._added: Counter[str] = Counter()

    def used_bytes(self, project: str) -> int:
        """Return what a project holds, with what was added here and not saved; count if need be."""
        entry = self._entries.get(project)
        if entry is None:
            self.recount(project)
            entry = self._entries[project]
        return max(0, int(entry["bytes"]) + self._added[project])

    def add(self, project: str, size_bytes: int) -> None:
        """Note that a project has grown, or has shrunk, by so many bytes."""
        self._added[project] += size_bytes

    def save(self) -> None:
        """Write what was added, and learn what others have added.

        Notes
        -----
        Once per commit group: it takes 0.2 ms. What cannot be written is kept for the next time.
        """
        try:
            with (
                open_server_folder(self._store, create=True) as folder_fd,
                hold_folder(folder_fd, what=_WHAT),
            ):
                entries = _parse_usage(read_small(folder_fd, USAGE_NAME))
                added = {key: size for key, size in self._added.items() if size and key in entries}
                for project, size_bytes in added.items():
                    _grow(entries[project], size_bytes)
                if added:
                    _write_usage(folder_fd, entries)
                self._entries = entries
                self._added.clear()
        except (OSError, StoreError, BusyError):
            return

    def recount(self, project: str) -> int:
        """Count the bytes of a project anew, and write that down.

        Notes
        -----
        What others add meanwhile is added to what was counted, though some of it was seen: a
        project is then rather held for larger than it is.
        """
        before = _read_usage(self._store).get(project, {}).get("added", 0)
        counted = measure_project(self._store, project)
        self._added.pop(project, None)  # it was stored before it was added, so it was seen
        entry = {"bytes": counted, "added": 0, "counted_wall_s": self._clock.wall_s()}
        try:
            with (
                open_server_folder(self._store, create=True) as folder_fd,
                hold_folder(folder_fd, what=_WHAT),
            ):
                entries = _parse_usage(read_small(folder_fd, USAGE_NAME))
                added = entries.get(project, {}).get("added", before)
                entry["added"] = added
                entry["bytes"] = counted + max(0, added - before)
                entries[project] = entry
                _write_usage(folder_fd, entries)
                self._entries = entries
        except (OSError, StoreError, BusyError):
            self._entries[project] = entry  # a store that cannot be written has no book
        return int(entry["bytes"])


def _grow(entry: dict[str, Any], size_bytes: int) -> None:
    entry["bytes"] = max(0, entry["bytes"] + size_bytes)
    entry["added"] += size_bytes


def _read_usage(store: Path | int) -> dict[str, dict[str, Any]]:
    """Return what the cache says; nothing if it cannot be read."""
    try:
        with open_server_folder(store) as folder_fd:
            if stat_no_follow(folder_fd, USAGE_NAME) is None:
                return {}
            try:
                with hold_folder(folder_fd, what=_WHAT):
                    return _parse_usage(read_small(folder_fd, USAGE_NAME))
            except (OSError, BusyError):  # of a store that may only be read
                return _parse_usage(read_small(folder_fd, USAGE_NAME))
    except (OSError, StoreError):
        return {}


def _write_usage(folder_fd: int, entries: Mapping[str, Any]) -> None:
    """Write the cache where it is, under the lock: half a cache is none, and is counted anew.

    Renaming would bring it to the disk at once on ext4, 3 ms for what may well be lost.
    """
    data = json.dumps({"format": 1, "projects": entries}, indent=1).encode()
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(USAGE_NAME, flags, 0o666, dir_fd=folder_fd)
    try:
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def _parse_usage(data: bytes | None) -> dict[str, dict[str, Any]]:
    """Return what the cache says; nothing of it if it is not as we write it."""
    try:
        projects = json.loads(data or b"{}").get("projects", {})
        return {
            project: {
                "bytes": int(entry["bytes"]),
                "added": int(entry["added"]),
                "counted_wall_s": float(entry["counted_wall_s"]),
            }
            for project, entry in projects.items()
        }
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}


class QuotaGate:
    """How much more may come in, for one receiver.

    Parameters
    ----------
    store : Path or int
        Its folder, or a descriptor of it, which must stay open.
    policy_quota_bytes : int or None
        Of the key that the peer came with: ``hpctrack receive --quota``.
    clock : Clock, optional
        For the time of counting.

    Raises
    ------
    StoreFormatError
        The quotas are damaged.

    Examples
    --------
    For each item: refuse it if ``room_bytes(project)`` is less than its size; after it was
    stored, ``add(project, size)``; after each group of them, ``commit()``.
    """

    def __init__(
        self,
        store: Path | int,
        policy_quota_bytes: int | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._store = store
        self._policy_bytes = policy_quota_bytes
        self._quotas = read_quotas(store)
        self._stamp = self._find_stamp()
        self._book = UsageBook(store, clock=clock)

    def limit_bytes(self, project: str) -> int | None:
        """Return how much a project may hold; None if that is not limited."""
        return find_limit(self._quotas, project, self._policy_bytes)

    def room_bytes(self, project: str) -> int | None:
        """Return how much more a project may hold; None if that is not limited.

        Notes
        -----
        1 us, but for the first time that a project is asked for that was never counted.
        """
        limit = self.limit_bytes(project)
        return None if limit is None else max(0, limit - self._book.used_bytes(project))

    def add(self, project: str, size_bytes: int) -> None:
        """Note that a project has grown, or has shrunk, by so many bytes."""
        self._book.add(project, size_bytes)

    def commit(self) -> None:
        """Write what was added; learn what others have added, and what the quotas are now.

        Raises
        ------
        StoreFormatError
            The quotas have been damaged.
        """
        self._book.save()
        stamp = self._find_stamp()
        if stamp != self._stamp:
            self._quotas, self._stamp = read_quotas(self._store), stamp

    def _find_stamp(self) -> tuple[int, int] | None:
        try:
            with open_server_folder(self._store) as folder_fd:
                status = stat_no_follow(folder_fd, QUOTAS_NAME)
        except FileNotFoundError:
            return None
        return None if status is None else (status.st_ino, status.st_mtime_ns)


def list_usage(store: Path) -> dict[str, int]:
    """Return what each project holds, as far as that was counted."""
    entries = _read_usage(store)
    return {project: max(0, entry["bytes"]) for project, entry in sorted(entries.items())}


def list_projects(store: Path) -> list[str]:
    """Return the folders of a store that are projects, also of those without a run."""
    with os.scandir(store) as entries:
        return sorted(
            one.name for one in entries if one.name[0] != "." and one.is_dir(follow_symlinks=False)
        )
