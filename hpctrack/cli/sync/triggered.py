"""``hpctrack sync --triggered``: push what jobs have asked for, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.core.layout import has_run_files, run_folder
from hpctrack.store.sync_requests import (
    REQUESTS_FOLDER,
    SyncRequest,
    claim_requests,
    settle_request,
)

PATIENCE_S = 3600.0
"""A run that was asked for and is not here may be on a file system that shows it later; after this
it is taken for deleted, and nobody waits for it."""


def serve_requests(
    store: Path,
    push: Callable[[list[str]], Collection[str]],
    *,
    project: str | None = None,
    clock: Clock,
) -> list[SyncRequest]:
    """Push what was asked for.

    Parameters
    ----------
    store : Path
        The store's folder.
    push : callable
        Told ``project/run`` of each run; an empty list is everything that is new. Returns those
        that have to wait: they are being sealed just now.
    project : str, optional
        Leave the runs of others to others.
    clock : Clock

    Returns
    -------
    list of SyncRequest
        What was served. If ``push`` raises, all of it is asked for still.
    """
    asked = claim_requests(store, lambda one: project in {None, one.project} or not one.run)
    there = [one for one in asked if not one.run or _is_there(store, one)]
    waiting: Collection[str] = push(_name_runs(there)) if there else ()
    for one in there:
        if str(one) not in waiting:
            settle_request(store, one)
    for one in asked:
        if one not in there and _is_old(store, one, clock):
            settle_request(store, one)
    return there


def _name_runs(requests: Iterable[SyncRequest]) -> list[str]:
    names = [str(one) for one in requests if one.run]
    return [] if SyncRequest() in requests else names


def _is_there(store: Path, request: SyncRequest) -> bool:
    folder = run_folder(store, request.project, request.run)
    try:
        return has_run_files(folder)
    except OSError:
        return False


def _is_old(store: Path, request: SyncRequest, clock: Clock) -> bool:
    path = store / REQUESTS_FOLDER / f"{request.stem}.claimed"
    try:
        return clock.wall_s() - path.stat().st_mtime > PATIENCE_S
    except OSError:
        return False
