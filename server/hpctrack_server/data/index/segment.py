"""Runs as a table that never changes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpctrack_server.data.index.parts import (
    NOTHING,
    BoolArray,
    Parts,
    RowArray,
    join_parts,
    make_parts,
)

MAX_COLUMNS = 2000
"""A project in which every run has keys of its own would be a table of nothing but gaps."""

_PREFIXES = {"numbers": "n:", "texts": "t:", "flags": "f:", "lists": "l:"}
_KINDS = {prefix: kind for kind, prefix in _PREFIXES.items()}

Row = Mapping[str, Any]
"""Values by column key; keys that begin with ``@`` are ours and no column of a page."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A table of runs.

    Parameters
    ----------
    length : int
        Number of runs.
    columns : mapping
        By key; each has ``length`` values.
    left_out : int
        Columns beyond `MAX_COLUMNS`, those that the fewest runs have.
    memo : dict
        What was worked out of it before: it never changes, so that stays true.
    """

    length: int
    columns: Mapping[str, Parts]
    left_out: int = 0
    memo: dict[Any, Any] = field(default_factory=dict)

    def parts(self, key: str) -> Parts:
        """Return a column; one that is not there has no values."""
        return self.columns.get(key, NOTHING)

    def ids(self) -> Any:
        """Return the ids as an Arrow array."""
        return self.columns["id"].texts

    def filter(self, kept: BoolArray) -> Segment:
        """Return a table of some of the runs; columns without any value are dropped."""
        found = {key: one.filter(kept) for key, one in self.columns.items()}
        columns = {key: one for key, one in found.items() if one.count() or key == "id"}
        return Segment(int(kept.sum()), columns, self.left_out)

    def take(self, keys: Sequence[str], rows: RowArray) -> dict[str, list[Any]]:
        """Return some columns of some runs, as Python has them."""
        return {key: self.parts(key).take(rows) for key in keys}

    def to_lists(self, keys: Sequence[str]) -> dict[str, list[Any]]:
        """Return some columns of all runs, as Python has them."""
        return self.take(keys, np.arange(self.length))

    def to_arrow(self) -> Any:
        """Return it as an Arrow table: an array per column and kind."""
        arrays, names = [], []
        for key, parts in self.columns.items():
            for one in fields(parts):
                array = getattr(parts, one.name)
                if array is not None:
                    arrays.append(array)
                    names.append(_PREFIXES[one.name] + key)
        return pa.table(arrays, names=names)

    @classmethod
    def from_arrow(cls, table: Any) -> Segment:
        """Read it back without copying.

        Raises
        ------
        ValueError, KeyError
            It is no such table.
        """
        found: dict[str, dict[str, Any]] = {}
        for name in table.column_names:
            chunks = table.column(name).chunks
            if len(chunks) > 1:
                raise ValueError(f"the column {name!r} is in pieces")
            array = chunks[0] if chunks else pa.array([], table.schema.field(name).type)
            found.setdefault(name[2:], {})[_KINDS[name[:2]]] = array
        columns = {key: Parts(**parts) for key, parts in found.items()}
        if "id" not in columns:
            raise KeyError("id")
        return cls(table.num_rows, columns)


def make_segment(rows: Sequence[Row]) -> Segment:
    """Return a table of rows, in their order; each has an ``id``."""
    counts = Counter(key for row in rows for key in row)
    kept = list(counts)
    if len(counts) > MAX_COLUMNS:
        commonest = {key for key, _count in counts.most_common(MAX_COLUMNS)}
        kept = [key for key in counts if key in commonest or "." not in key]
    columns = {key: make_parts([row.get(key) for row in rows]) for key in kept}
    columns = {key: parts for key, parts in columns.items() if parts is not NOTHING}
    columns.setdefault("id", Parts(texts=pa.array([], pa.large_string())))
    return Segment(len(rows), columns, left_out=len(counts) - len(kept))


def join_segments(segments: Iterable[Segment]) -> Segment:
    """Return one table of several, one behind the other."""
    given = [one for one in segments if one.length]
    if not given:
        return make_segment([])
    if len(given) == 1:
        return given[0]
    counts: Counter[str] = Counter()
    for segment in given:
        counts.update({key: parts.count() for key, parts in segment.columns.items()})
    keys = list(counts)
    if len(counts) > MAX_COLUMNS:
        commonest = {key for key, _count in counts.most_common(MAX_COLUMNS)}
        keys = [key for key in counts if key in commonest or "." not in key]
    columns = {key: join_parts([(one.parts(key), one.length) for one in given]) for key in keys}
    left_out = max([len(counts) - len(keys), *(one.left_out for one in given)])
    return Segment(sum(one.length for one in given), columns, left_out)


def sort_newest_first(segment: Segment) -> Segment:
    """Return the same runs by creation, the newest first, and id."""
    created = segment.parts("created").numbers
    if created is None or segment.length < 2:  # noqa: PLR2004 - nothing to order
        return segment
    table = pa.table({"created": created, "id": segment.ids()})
    keys = [("created", "descending"), ("id", "ascending")]
    return take_rows(segment, np.asarray(pc.sort_indices(table, sort_keys=keys)))


def take_rows(segment: Segment, rows: RowArray) -> Segment:
    """Return some runs in another order."""
    wanted = pa.array(rows, pa.int64())

    def take(parts: Parts) -> Parts:
        given = (getattr(parts, one.name) for one in fields(parts))
        return Parts(*(None if one is None else one.take(wanted) for one in given))

    columns = {key: take(parts) for key, parts in segment.columns.items()}
    return Segment(len(rows), columns, segment.left_out)
