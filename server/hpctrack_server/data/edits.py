"""Changing what people say of runs; the one thing that the dashboard writes into a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import BusyError, HpctrackError, UsageError
from hpctrack.store.annotation_edit import make_changes
from hpctrack.store.annotation_file import edit_annotations
from hpctrack_server.data.index.query import RunQuery, Scope
from hpctrack_server.data.index.run_index import RunIndex

EDIT_MAX_RUNS = 1000
SHOWN = ("name", "notes", "tags", "archived", "deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be said of runs; None leaves it alone.

    Parameters
    ----------
    was : mapping
        Name and notes as whoever changes them has read them: a run of which somebody else has said
        something different meanwhile is left alone.
    """

    name: str | None = None
    notes: str | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    archived: bool | None = None
    deleted: bool | None = None
    was: Mapping[str, str] = field(default_factory=dict)

    def said(self) -> dict[str, Any]:
        """Return what is to be said."""
        names = (one for one in Change.__dataclass_fields__ if one != "was")
        return {name: getattr(self, name) for name in names}

    def is_empty(self) -> bool:
        """Tell whether nothing would change."""
        return self.said() == Change().said()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What came of it for one run.

    Parameters
    ----------
    id : str
    before : dict
        Name, notes, tags and marks as they were shown, to undo it.
    error : HpctrackError or None
    """

    id: str
    before: dict[str, Any]
    error: HpctrackError | None = None


def edit_runs(
    store: Path,
    index: RunIndex,
    project: str,
    ids: Sequence[str],
    change: Change,
    *,
    by: str,
    clock: Clock = SYSTEM_CLOCK,
) -> list[Edited]:
    """Say something of runs, and wait a moment until the index knows.

    Parameters
    ----------
    store : Path
    index : RunIndex
    project : str
    ids : sequence of str
    change : Change
    by : str
        The name of who does it.
    clock : Clock, optional

    Raises
    ------
    UsageError
        Nothing is to be changed, or it cannot be said of any run.
    NotFoundError
        There is no such project.

    Notes
    -----
    Each run is a file that is written and synced to the disk: a few milliseconds.
    """
    if change.is_empty():
        raise UsageError("nothing is to be changed", hint="send name, notes, add_tags, ...")
    given = change.said()
    make_changes(**given)  # what cannot be said of any is told before one is changed
    wanted = tuple(dict.fromkeys(ids))
    if change.was:
        index.refresh()
    known, columns = index.values(project, SHOWN, RunQuery(ids=wanted, scope=Scope.ALL))
    before = {run: {key: columns[key][place] for key in SHOWN} for place, run in enumerate(known)}
    found = [
        _find_clash(_fill(before.get(one, {})), change.was)
        or _edit_one(store, project, one, given, by=by, clock=clock)
        for one in wanted
    ]
    index.refresh()
    return [
        Edited(id=run, before=_fill(before.get(run, {})), error=error)
        for run, error in zip(wanted, found, strict=True)
    ]


def _find_clash(before: Mapping[str, Any], was: Mapping[str, str]) -> HpctrackError | None:
    """Return what is wrong if what somebody has read is not what is there any more."""
    for key, read in was.items():
        if before[key] != read:
            hint = "look at it, then change it again"
            return BusyError(f"somebody else has changed the {key} meanwhile", hint=hint)
    return None


def _edit_one(
    store: Path, project: str, run: str, given: dict[str, Any], *, by: str, clock: Clock
) -> HpctrackError | None:
    try:
        edit_annotations(store, project, run, **given, by=by, clock=clock)
    except HpctrackError as error:
        return error
    return None


def _fill(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a run without a value shows."""
    return {
        "name": row.get("name") or "",
        "notes": row.get("notes") or "",
        "tags": row.get("tags") or [],
        "archived": bool(row.get("archived")),
        "deleted": bool(row.get("deleted")),
    }
