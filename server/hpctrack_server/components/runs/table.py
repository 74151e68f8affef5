"""Rows and groups as the template draws them. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hpctrack_server.components.runs.columns import Column
from hpctrack_server.components.runs.deltas import Delta, make_delta
from hpctrack_server.components.text import (
    DASH,
    format_duration,
    format_iso,
    format_number,
    format_value,
    format_when,
    is_number,
)

Row = Mapping[str, Any]
"""Facts by name, and ``config.X`` and ``summary.X``."""

TAGS_SHOWN = 3
TITLE_MAX_CHARS = 1000
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of the table.

    Parameters
    ----------
    text : str
        What is read.
    title : str
        What is read when pointing at it: the value in full, if it was cut.
    iso : str
        A time for ``<time>``.
    items : tuple of str
        Tags.
    more : tuple of str
        Those that are not shown.
    delta : Delta or None
        Against the baseline.
    spread : str
        Of a group: how far its runs are apart.
    """

    text: str = ""
    title: str = ""
    iso: str = ""
    items: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    delta: Delta | None = None
    spread: str = ""


ABSENT = Cell(DASH)

NO_DELTA = Delta("", "", "")
"""Takes the place of one, so that the numbers of a column stay below each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A run."""

    id: str
    name: str
    state: str
    tags: tuple[str, ...]
    cells: tuple[Cell, ...]
    is_baseline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableGroup:
    """Runs that agree in some keys.

    Parameters
    ----------
    mark : str
        Names it in an address.
    label : tuple of (str, str)
        Keys and values; a value that says itself what it is of has no key.
    title : str
        Them in one line, longer values too.
    count : int
    ids : tuple of str
    cells : tuple of Cell
        Of the same columns as the rows; the first is empty.
    rows : tuple of TableRow
        Of an open group; at most a page of them.
    """

    mark: str
    label: tuple[tuple[str, str], ...]
    title: str
    count: int
    ids: tuple[str, ...]
    cells: tuple[Cell, ...]
    is_open: bool = False
    rows: tuple[TableRow, ...] = field(default=())


def make_rows(
    rows: Sequence[Row], columns: Sequence[Column], baseline: Row | None = None
) -> tuple[TableRow, ...]:
    """Return runs as they are drawn.

    Parameters
    ----------
    rows : sequence of mapping
        By column key; each has an ``id``.
    columns : sequence of Column
    baseline : mapping or None
        The run that numbers are compared with.
    """
    makers = [(one, CELLS.get(one.kind, _make_text)) for one in columns]
    base_id = baseline["id"] if baseline else None
    return tuple(
        TableRow(
            id=row["id"],
            name=str(row.get("name") or row["id"]),
            state=str(row.get("state", "")),
            tags=tuple(str(one) for one in row.get("tags") or ()),
            cells=tuple(_make_cell(make, column, row, baseline) for column, make in makers),
            is_baseline=row["id"] == base_id,
        )
        for row in rows
    )


def make_group(
    key: Sequence[Any], keys: Sequence[str], columns: Sequence[Column], group: Any
) -> TableGroup:
    """Return a group without its rows.

    Parameters
    ----------
    key : sequence
        Its values.
    keys : sequence of str
        What they are values of.
    columns : sequence of Column
    group : object
        With ``ids`` and ``values``, see `hpctrack_server.data.index.query.Group`.
    """
    known = dict(zip(keys, key, strict=True))
    cells = []
    for column in columns:
        spread = group.values.get(column.key)
        if column.key in known and column.kind != "name":
            cells.append(_make_value(known[column.key]))
        elif spread and column.is_number:
            cells.append(make_spread(spread, is_duration=column.kind == "duration"))
        else:
            cells.append(Cell())
    return TableGroup(
        mark=hashlib.blake2b(
            repr(tuple(key)).encode("utf-8", "replace"), digest_size=4
        ).hexdigest(),
        label=tuple((shorten_key(name), name_value(name, value)) for name, value in known.items()),
        title=_make_title(known),
        count=len(group.ids),
        ids=group.ids,
        cells=tuple(cells),
    )


def _make_title(known: Mapping[str, Any]) -> str:
    parts = (
        (shorten_key(name), DASH if value is None else str(value)) for name, value in known.items()
    )
    return ", ".join(f"{key}={value}" if key else value for key, value in parts)[:TITLE_MAX_CHARS]


def name_value(key: str, value: Any) -> str:
    """Return what a group is called: ``"32"`` is another value than ``32``, but in Slurm's ids."""
    if isinstance(value, str) and not key.startswith("slurm."):
        with suppress(ValueError):
            float(value)
            return f'"{format_value(value)}"'
    return format_value(value)


def make_spread(found: Mapping[str, float], *, is_duration: bool = False) -> Cell:
    """Return the mean of a group's numbers, and how far they are apart."""
    show: Callable[[float], str] = format_duration if is_duration else format_number
    count = int(found.get("n", 0))
    if not count:
        return ABSENT
    title = f"min {show(found['min'])}, max {show(found['max'])}, of {count:,} runs"
    spread = f"{PLUS_MINUS}{show(found['std'])}" if found["max"] > found["min"] else ""
    return Cell(show(found["mean"]), f"mean {show(found['mean'])}, {title}", spread=spread)


def shorten_key(key: str) -> str:
    """Return a key of a group as people read it; empty for that of all of the configuration."""
    if key.startswith("@"):
        return ""
    area, _, rest = key.partition(".")
    return rest if rest and area in {"config", "summary", "slurm"} else key


def _make_cell(make: Callable[[Any], Cell], column: Column, row: Row, baseline: Row | None) -> Cell:
    value = row.get(column.key)
    if value is None:
        return Cell() if column.kind in {"tags", "notes", "spark"} else ABSENT
    cell = make(value)
    if baseline is None or not column.is_compared:
        return cell
    if row["id"] == baseline["id"]:
        return Cell(cell.text, cell.title, delta=NO_DELTA)
    delta = make_delta(value, baseline.get(column.key), column.goal)
    return Cell(cell.text, cell.title, delta=delta or NO_DELTA)


def _make_text(value: Any) -> Cell:
    return _make_value(value)


def _make_value(value: Any) -> Cell:
    shown = format_value(value)
    if isinstance(value, bool) or value is None:
        return Cell(shown)
    return Cell(shown, str(value)[:TITLE_MAX_CHARS])


def _make_number(value: Any) -> Cell:
    return Cell(format_number(value), repr(value)[:80]) if is_number(value) else _make_value(value)


def _make_time(value: Any) -> Cell:
    wall_s = _as_float(value)
    return Cell(format_when(wall_s), iso=format_iso(wall_s))


def _make_duration(value: Any) -> Cell:
    duration_s = _as_float(value)
    if not math.isfinite(duration_s) or not is_number(value):
        return ABSENT
    return Cell(format_duration(duration_s), f"{duration_s:,.1f} seconds")


def _as_float(value: Any) -> float:
    """Return a number as a float; what is none, or too large for one, as infinity."""
    try:
        return float(value) if is_number(value) else math.inf
    except OverflowError:
        return math.inf


def _make_tags(value: Any) -> Cell:
    tags = tuple(str(one) for one in value) if isinstance(value, (list, tuple)) else (str(value),)
    return Cell(items=tags[:TAGS_SHOWN], more=tags[TAGS_SHOWN:])


def _make_notes(value: Any) -> Cell:
    return Cell(" ".join(str(value)[:300].split()), str(value))


CELLS: dict[str, Callable[[Any], Cell]] = {
    "number": _make_number,
    "time": _make_time,
    "duration": _make_duration,
    "tags": _make_tags,
    "notes": _make_notes,
}
