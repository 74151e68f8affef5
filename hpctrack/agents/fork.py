"""Beginning a run with the first part of another one: copied, so that the run stands alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.agents.past import Past, find_last_step
from hpctrack.core.clock import Clock
from hpctrack.core.layout import NodeFileName, iter_node_files
from hpctrack.core.wire import NAME_HEAD, make_plain
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.store.columns import Columns
from hpctrack.store.node_file import NodeFile
from hpctrack.store.record import RunRecord, assemble
from hpctrack.store.schema import POINT, EventKind
from hpctrack.store.stored_run import StoredRun

FORK_ATTEMPT = 0
"""Attempt of what was copied: any step that the run computes itself supersedes it."""

NO_ATTEMPT = 2**31
"""No run has so many: points of all attempts count."""

PIECE_ROWS = 262_144


def has_fork(folder: Path) -> bool:
    """Tell whether a run's folder holds a copied beginning already."""
    if not folder.is_dir():
        return False
    names = (NodeFileName.parse(path.name) for path in iter_node_files(folder))
    return any(name is not None and name.attempt == FORK_ATTEMPT for name in names)


def copy_fork(
    parent: Path, step: int, folder: Path, facts: Mapping[str, Any], *, clock: Clock
) -> Past:
    """Copy the points of all ranks up to a step, configuration, summary and definitions.

    Parameters
    ----------
    parent : Path
        Folder of the run to fork.
    step : int
        The last step that is copied.
    folder : Path
        The new run's; the copy is a node file of its own, closed at once.
    facts : mapping
        ``run, project, node, host`` of the new run.
    clock : Clock
        For time stamps.

    Returns
    -------
    Past
        What the program goes on with.

    Raises
    ------
    NotFoundError
        There is no such run.
    StoreError
        It cannot be read, or the copy cannot be written.

    Notes
    -----
    Media are not copied. About 10 million points a second; one metric is in memory at a time.
    """
    run = StoredRun(parent, clock=clock)
    try:
        record = run.record
        told = assemble(
            run.sources(),
            run=run.id,
            project=run.project,
            now_wall_s=clock.wall_s(),
            stale_after_s=60.0,
        )
        file = NodeFile(folder, {**facts, "attempt": FORK_ATTEMPT}, wall_s=clock.wall_s())
        try:
            last = None
            for number, name in enumerate(run.metrics()):
                columns = run.columns([name])[name].current()
                chosen = columns.take(columns.step <= step)
                if len(chosen):
                    _copy_metric(file, number, name, chosen, wall_s=clock.wall_s())
                    top = int(chosen.step.max())
                    last = top if last is None else max(last, top)
            _copy_told(file, told, run.id, step, clock)
        finally:
            file.close(wall_s=clock.wall_s())
        return Past(last, record.config, record.summary)
    finally:
        run.close()


def read_fork(parent: Path, step: int, *, clock: Clock) -> tuple[Past, int | None]:
    """Return what a program that forks a run goes on with, and the last step of that run.

    Raises
    ------
    NotFoundError, StoreError
        There is no such run, or it cannot be read.
    """
    if not parent.is_dir():
        raise NotFoundError(f"there is no run {parent.name} in project {parent.parent.name}")
    run = StoredRun(parent, clock=clock)
    try:
        past = Past(step, run.record.config, run.record.summary)
        try:
            last = find_last_step(run, NO_ATTEMPT)
        except HpctrackError:
            last = None
        return past, last
    finally:
        run.close()


def _copy_metric(
    file: NodeFile, number: int, name: str, columns: Columns, *, wall_s: float
) -> None:
    body = NAME_HEAD.pack(number) + name.encode()
    file.add_event(EventKind.NAME, body, wall_s=wall_s, rank=-1, session=0)
    for start in range(0, len(columns), PIECE_ROWS):
        piece = slice(start, start + PIECE_ROWS)
        rows = np.zeros(len(columns.step[piece]), POINT)
        for field in ("step", "wall_s", "value", "rank"):
            rows[field] = getattr(columns, field)[piece]
        rows["metric"] = number
        file.add_points(rows.tobytes())


def _copy_told(file: NodeFile, told: RunRecord, parent: str, step: int, clock: Clock) -> None:
    """Copy what was set; the last logged values follow from the points."""
    events: list[tuple[EventKind, Mapping[str, Any]]] = [
        (EventKind.META, {"fork": {"run": parent, "step": step}}),
        (EventKind.CONFIG, told.config),
        (EventKind.SUMMARY, told.summary),
    ]
    events += [(EventKind.DEFINE, one) for one in told.to_json()["definitions"]]
    for kind, value in events:
        body = json.dumps(value, default=make_plain).encode()
        file.add_event(kind, body, wall_s=clock.wall_s(), rank=0, session=0)
