"""Making every cache of a store anew from its files, which are the truth."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import (
    ACCOUNTING_NAME,
    ANNOTATIONS_FOLDER,
    BLOBS_FOLDER,
    HASHES_NAME,
    SEALED_NAME,
    SWEEP_NAME,
    SWEEPS_FOLDER,
    scan_runs,
)
from hpctrack.errors import StoreError
from hpctrack.store.index import Index
from hpctrack.store.store import Store
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.upkeep.quotas import UsageBook, list_projects

_BESIDE = (
    f"{SWEEPS_FOLDER}/*/{SWEEP_NAME}",
    f"{ANNOTATIONS_FOLDER}/*.json",
    f"{BLOBS_FOLDER}/??/*",
)
"""What a project has besides its runs that is synced."""


@dataclass(slots=True)
class Reindexed:
    """What was looked at.

    Parameters
    ----------
    files, size_bytes : int
        That were hashed.
    runs, broken : int
        In the index, and those that cannot be read.
    usage : dict of str and int
        Bytes by project.
    """

    files: int = 0
    size_bytes: int = 0
    runs: int = 0
    broken: int = 0
    usage: dict[str, int] = field(default_factory=dict)


def reindex(
    store: Path,
    *,
    clock: Clock = SYSTEM_CLOCK,
    on_bytes: Callable[[int], None] = lambda _size_bytes: None,
) -> Reindexed:
    """Hash every file that is synced, list every run, and count what each project holds.

    Parameters
    ----------
    store : Path
        The store's folder.
    clock : Clock, optional
        For the time of counting.
    on_bytes : callable, optional
        For a progress bar: called with the size of each file that was hashed.

    Raises
    ------
    StoreError
        The caches cannot be removed.

    Notes
    -----
    Also of a file that has changed since it was received the hash is now known: run
    `hpctrack server verify` before, not after.
    """
    found = Reindexed()
    index = Index(store)
    try:
        (store / HASHES_NAME).unlink(missing_ok=True)
        index.path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"a cache cannot be removed: {error.strerror}") from None
    cache = HashCache(store)
    for path in _list_synced(store):
        try:
            with path.open("rb") as file:
                cache.hash_file(file, str(path.relative_to(store)))
                size_bytes = os.fstat(file.fileno()).st_size
        except OSError:
            continue  # gone, or broken: `verify` tells
        found.files += 1
        found.size_bytes += size_bytes
        on_bytes(size_bytes)
    cache.save()
    readable, broken = Store(store).listing()
    found.runs, found.broken = len(readable), len(broken)
    book = UsageBook(store, clock=clock)
    found.usage = {project: book.recount(project) for project in list_projects(store)}
    return found


def measure_synced(store: Path) -> int:
    """Return how many bytes `reindex` will hash, about."""
    total = 0
    for path in _list_synced(store):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _list_synced(store: Path) -> list[Path]:
    """Return the files whose hashes are asked for by who pushes."""
    found = []
    for run in scan_runs(store):
        paths = [Path(run.path, SEALED_NAME), Path(run.path, ACCOUNTING_NAME)]
        found += [path for path in paths if path.is_file()]
    for project in list_projects(store):
        for pattern in _BESIDE:
            found += sorted((store / project).glob(pattern))
    return found
