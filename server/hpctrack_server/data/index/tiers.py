"""The runs of a project while they change: old ones in tables, new ones as rows beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpctrack_server.data.index.parts import TEXT, BoolArray, RowArray, view_numbers
from hpctrack_server.data.index.segment import (
    Segment,
    join_segments,
    make_segment,
    sort_newest_first,
)

STAMP = "@stamp"
LIVE = "@live"

FREEZE_ROWS = 1000
"""So many rows are built anew whenever one of them changes: 50 ms."""

MERGE_SHARE = 0.25
"""Of the largest table: when the others have become so large, all become one."""


@dataclass(slots=True)
class Frozen:
    """A table, and which of its rows still count."""

    segment: Segment
    alive: BoolArray
    stamps: RowArray = field(init=False)

    def __post_init__(self) -> None:
        """Find the stamps."""
        stamps = self.segment.parts(STAMP).numbers
        length = self.segment.length
        self.stamps = np.zeros(length, np.int64) if stamps is None else view_numbers(stamps)

    def find(self, names: Any) -> RowArray:
        """Return the row of each name, -1 for one that is not there or does not count."""
        if len(names) == 1:  # without the table of hashes that is made for many
            row = pc.index(self.segment.ids(), names[0]).as_py()
            return np.array([row if row >= 0 and self.alive[row] else -1])
        found = pc.index_in(names, value_set=self.segment.ids()).fill_null(-1)
        rows = found.to_numpy(zero_copy_only=False).astype(np.int64)
        if len(self.alive):
            rows[(rows >= 0) & ~self.alive[rows]] = -1
        return np.asarray(rows)


@dataclass(slots=True)
class FreshRun:
    """A run whose row is not in a table yet."""

    row: dict[str, Any]
    stamp: int
    is_live: bool = False

    @property
    def standing(self) -> tuple[Any, ...]:
        """What lists of projects and of what is running tell of a run."""
        return (self.is_live, *(self.row.get(key) for key in ("state", "archived", "deleted")))


class Tiers:
    """All rows of a project. Not safe for several threads."""

    def __init__(self) -> None:
        self.frozen: list[Frozen] = []
        self.fresh: dict[str, FreshRun] = {}
        self.generation = 0
        """Grows when rows of tables get other places."""

    def __len__(self) -> int:
        """Return the number of runs."""
        return sum(int(one.alive.sum()) for one in self.frozen) + len(self.fresh)

    def add_table(self, segment: Segment) -> None:
        """Take over a table."""
        if segment.length:
            self.frozen.append(Frozen(segment, np.ones(segment.length, bool)))
            self.generation += 1

    def find_stamps(
        self, names: Sequence[str], seen: Sequence[BoolArray] | None = None
    ) -> list[int | None]:
        """Return what told the known state of some runs from others; None for unknown ones.

        Parameters
        ----------
        names : sequence of str
        seen : sequence of ndarray of bool, optional
            For each table; rows that are found are marked.
        """
        stamps: list[int | None] = [None] * len(names)
        wanted = pa.array(names, TEXT)
        for number, table in enumerate(self.frozen):
            rows = table.find(wanted)
            for place in np.flatnonzero(rows >= 0).tolist():
                stamps[place] = int(table.stamps[rows[place]])
            if seen is not None:
                seen[number][rows[rows >= 0]] = True
        for place, name in enumerate(names):
            fresh = self.fresh.get(name)
            if fresh is not None:
                stamps[place] = fresh.stamp
        return stamps

    def put(self, name: str, run: FreshRun, *, is_known: bool) -> None:
        """Set a run's row; ``is_known`` if it may have had one before."""
        if is_known and name not in self.fresh:
            self.bury([name])
        run.row[STAMP] = run.stamp
        run.row[LIVE] = run.is_live or None
        self.fresh[name] = run

    def remove(self, names: Iterable[str]) -> int:
        """Forget runs; return how many were known."""
        gone = list(names)
        count = sum(self.fresh.pop(one, None) is not None for one in gone)
        return count + self.bury(gone)

    def bury(self, names: Sequence[str]) -> int:
        """Let rows of tables no longer count; return how many did."""
        count, wanted = 0, pa.array(names, TEXT)
        for table in self.frozen:
            rows = table.find(wanted)
            rows = rows[rows >= 0]
            if len(rows):
                # A snapshot that somebody reads has the old mask.
                table.alive = table.alive.copy()
                table.alive[rows] = False
                count += len(rows)
        return count

    def settle(self) -> bool:
        """Make tables of rows that are unlikely to change; return whether all became one."""
        settled = [name for name, one in self.fresh.items() if not one.is_live]
        if len(settled) >= FREEZE_ROWS:
            self._freeze(settled)
        sizes = [one.segment.length for one in self.frozen]
        if len(sizes) > 1 and sum(sizes) - sizes[0] > sizes[0] * MERGE_SHARE:
            self.merge()
            return True
        return False

    def merge(self) -> None:
        """Make one table of everything that is not going on, the newest run first."""
        self._freeze([name for name, one in self.fresh.items() if not one.is_live])
        parts = [one.segment.filter(one.alive) for one in self.frozen]
        whole = sort_newest_first(join_segments(parts))
        self.frozen = []
        self.add_table(whole)

    def segments(self) -> tuple[tuple[Segment, ...], BoolArray]:
        """Return everything as tables, and which rows count."""
        rows = [one.row for one in self.fresh.values()]
        parts = [one.segment for one in self.frozen]
        masks = [one.alive for one in self.frozen]
        if rows or not parts:
            last = sort_newest_first(make_segment(rows))
            parts.append(last)
            masks.append(np.ones(last.length, bool))
        return tuple(parts), np.concatenate(masks)

    def live_rows(self) -> Mapping[str, dict[str, Any]]:
        """Return the rows of runs that go on, by id."""
        return {name: one.row for name, one in self.fresh.items() if one.is_live}

    def _freeze(self, names: Sequence[str]) -> None:
        if names:
            rows = [self.fresh.pop(one).row for one in names]
            self.add_table(sort_newest_first(make_segment(rows)))
