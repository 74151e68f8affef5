"""All runs of a project as they were at one moment: asked by any thread, changed by none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpctrack.errors import UsageError
from hpctrack_server.data.frames import BrokenFrame
from hpctrack_server.data.index.groups import (
    BUT_SEED,
    GROUPS_MAX,
    Codes,
    Grouping,
    choose_config,
    code_values,
    describe_configs,
    join_codes,
    make_groups,
)
from hpctrack_server.data.index.masks import Filter, check_pattern, find_search
from hpctrack_server.data.index.order import (
    Ranks,
    choose_first,
    is_numeric,
    is_textual,
    join_orders,
    order_texts,
    rank_values,
)
from hpctrack_server.data.index.parts import BoolArray, Parts, RowArray, join_parts
from hpctrack_server.data.index.query import ColumnFacts, ColumnKind, Group, RunQuery, Scope
from hpctrack_server.data.index.segment import Segment, join_segments
from hpctrack_server.language.names import check_columns
from hpctrack_server.language.parser import parse_filter
from hpctrack_server.language.tree import Value, ValueKind

TIMES = frozenset({"created", "ended"})
FACTS: Mapping[str, ColumnKind] = {
    "id": ColumnKind.TEXT,
    "name": ColumnKind.TEXT,
    "state": ColumnKind.TEXT,
    "user": ColumnKind.TEXT,
    "created": ColumnKind.TIME,
    "ended": ColumnKind.TIME,
    "duration": ColumnKind.NUMBER,
    "ranks": ColumnKind.NUMBER,
    "nodes": ColumnKind.NUMBER,
    "attempts": ColumnKind.NUMBER,
    "tags": ColumnKind.LIST,
    "notes": ColumnKind.TEXT,
    "lost": ColumnKind.TEXT,
    "group": ColumnKind.TEXT,
    "sweep": ColumnKind.TEXT,
    "trial": ColumnKind.NUMBER,
    "job_type": ColumnKind.TEXT,
    "archived": ColumnKind.FLAG,
    "deleted": ColumnKind.FLAG,
}
"""Columns that every project has, whether any of its runs has a value or not."""

_RELATIVE = re.compile(r"[+-]\d|now|today|yesterday", re.IGNORECASE)
"""Of a filter that may find something else a second later."""

DISTINCT_MAX = 1000
VALUES_MAX = 50
COUNTED_ROWS = 50_000
"""Of values that mostly differ, to propose some of them while somebody types."""

FOUND_MAX = 4
"""Answers that are kept: a page asks for several things of the same runs."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The runs of a project.

    Parameters
    ----------
    segments : tuple of Segment
        A large old one and a small one with what has changed since; rows are counted through.
    alive : ndarray of bool
        False for rows that a later one replaces, and for runs that are gone.
    version : str
        Differs whenever something differs.
    broken : tuple of BrokenFrame
        Runs that cannot be read, and why.
    pending : int
        Runs that have not been read yet.
    turns : int
        Grows whenever a run comes or goes, begins or ends; not when one logs.
    """

    segments: tuple[Segment, ...]
    alive: BoolArray
    version: str
    broken: tuple[BrokenFrame, ...] = ()
    pending: int = 0
    turns: int = 0
    _memo: dict[Any, Any] = field(default_factory=dict)
    _found: dict[Any, RowArray] = field(default_factory=dict)

    @cached_property
    def kinds(self) -> dict[str, ColumnKind]:
        """Kind of each column by key: facts first, then as they were found."""
        found: dict[str, ColumnKind] = dict(FACTS)
        for segment in self.segments:
            for key, parts in segment.columns.items():
                if key not in found and key[0] != "@":
                    found[key] = find_kind(parts)
        return found

    @cached_property
    def left_out(self) -> int:
        """Columns that there are too many of."""
        return max((one.left_out for one in self.segments), default=0)

    @cached_property
    def counts(self) -> dict[str, float]:
        """Numbers for a list of projects: ``runs``, ``running`` and ``last_wall_s``."""
        mask = self._scope(Scope.ALL) & ~self._flag("deleted")
        running = self._flag("@live") & mask
        ended = self.ranks("ended")[mask]
        last = np.where(np.isnan(ended), self.ranks("created")[mask], ended)
        return {
            "runs": int(mask.sum()),
            "running": int(running.sum()),
            "last_wall_s": float(np.nanmax(last)) if len(last) else 0.0,
        }

    def find(self, query: RunQuery, *, now_wall_s: float) -> RowArray:
        """Return the rows that match, in no particular order but that of ``query.ids``.

        Raises
        ------
        QueryError
            The filter or the search cannot be understood.
        """
        moment = int(now_wall_s) if _RELATIVE.search(query.filter) else 0
        key = (query.filter, query.search, query.ids, query.scope, moment)
        held = self._found.get(key)
        if held is not None:
            return held
        mask = self._scope(query.scope)
        if query.filter:
            mask = mask & self._filter(query.filter, now_wall_s)
        if query.search:
            check_pattern(Value(ValueKind.TEXT, query.search, 0, len(query.search)))
            mask = mask & self._each(lambda one: find_search(one, query.search))
        rows = self._find_ids(query.ids, mask) if query.ids else np.flatnonzero(mask)
        while len(self._found) >= FOUND_MAX:
            with suppress(KeyError, StopIteration, RuntimeError):  # of another thread
                self._found.pop(next(iter(self._found)))
        self._found[key] = rows
        return rows

    def order(self, query: RunQuery, rows: RowArray, count: int) -> RowArray:
        """Return the first rows of those that match, in the order that is wanted."""
        if query.ids and not query.sort:
            return rows[:count]
        keys = [(self.ranks(one.key), one.is_descending) for one in query.sort]
        # What is equal in all of them is ordered newest first.
        keys += [(self.ranks("created"), True)] * (len(self.segments) > 1 or not keys)
        return choose_first(keys, rows, count)

    def scope_size(self, scope: Scope) -> int:
        """Return how many runs there are."""
        return int(self._scope(scope).sum())

    def take(self, keys: Sequence[str], rows: RowArray) -> dict[str, list[Any]]:
        """Return some columns of some rows as Python has them; None where there is no value."""
        if len(self.segments) == 1:
            return self.segments[0].take(keys, rows)
        found: dict[str, list[Any]] = {key: [None] * len(rows) for key in keys}
        for segment, start in self._starts():
            is_here = (rows >= start) & (rows < start + segment.length)
            places = np.flatnonzero(is_here)
            if not len(places):
                continue
            for key, values in segment.take(keys, rows[places] - start).items():
                for place, value in zip(places.tolist(), values, strict=True):
                    found[key][place] = value
        return found

    def parts(self, key: str) -> Parts:
        """Return a column of all rows."""
        held = self._memo.get(("parts", key))
        if held is None:
            held = join_parts([(one.parts(key), one.length) for one in self.segments])
            self._memo["parts", key] = held
        return held

    def ranks(self, key: str) -> Ranks:
        """Return a number per row that orders as its value does; NaN where there is none."""
        held = self._memo.get(("ranks", key))
        if held is None:
            held = self._memo["ranks", key] = self._rank(key)
        return np.asarray(held)

    def _rank(self, key: str) -> Ranks:
        columns = [one.parts(key) for one in self.segments]
        if is_numeric(columns):
            return np.concatenate([_rank_segment(one, key) for one in self.segments])
        first, *others = self.segments
        if not others:
            return _rank_segment(first, key)
        if not is_textual(columns) or first.parts(key).texts is None:
            return rank_values(self.parts(key), len(self.alive))
        # The first table is by far the largest: its order is kept, and the others are put into it.
        held = first.memo.get(("order", key))
        if held is None:
            held = first.memo["order", key] = order_texts(first.parts(key).texts)
        rest = join_parts([(one.parts(key), one.length) for one in others]).texts
        length = sum(one.length for one in others)
        tail = np.full(length, np.nan) if rest is None else join_orders(held, rest)
        return np.concatenate([held.places, tail])

    def facts(self) -> list[ColumnFacts]:
        """Return what each column holds that a run has a value of."""
        found = (self._describe(key, kind) for key, kind in self.kinds.items())
        return [one for one in found if one.count]

    def common_values(self, key: str) -> list[Any]:
        """Return values of a column, the commonest first, of its newest runs if it is long."""
        held = self._memo.get(("values", key))
        if held is None:
            held = self._memo["values", key] = self._count_values(key)
        return list(held)

    def _count_values(self, key: str) -> list[Any]:
        parts = self.parts(key)
        found: list[tuple[int, Any]] = []
        for array in parts.arrays():
            newest = array if pa.types.is_dictionary(array.type) else array[:COUNTED_ROWS]
            plain = newest.flatten() if pa.types.is_list(array.type) else newest
            counted = pc.value_counts(plain.drop_null())
            top = pc.select_k_unstable(counted.field("counts"), VALUES_MAX, [("", "descending")])
            taken = counted.take(top).to_pylist()
            found += [(one["counts"], one["values"]) for one in taken]
        found.sort(key=lambda one: -one[0])
        return [value for _count, value in found[:VALUES_MAX]]

    def count(self, key: str, rows: RowArray) -> dict[Any, int]:
        """Return how many of some rows have each value of a column; None where there is none."""
        codes = self._codes(key)
        counts = np.bincount(codes[rows] + 1)
        firsts = np.full(len(counts), -1, np.int64)
        firsts[codes[rows][::-1] + 1] = rows[::-1]
        there = np.flatnonzero(counts)
        values = self.take([key], firsts[there])[key]
        return {
            tuple(value) if isinstance(value, list) else value: int(number)
            for value, number in zip(values, counts[there], strict=True)
        }

    def group(
        self, keys: Sequence[str], rows: RowArray, columns: Sequence[str] | None
    ) -> list[Group]:
        """Return rows by their values of some keys, the largest group first.

        Parameters
        ----------
        keys : sequence of str
            Column keys, or `groups.BUT_SEED`.
        rows : ndarray of int64
        columns : sequence of str, optional
            Whose numbers are told of each group; default all.

        Raises
        ------
        UsageError
            These would be too many groups.
        """
        grouping = Grouping(join_codes((self._codes(key)[rows] for key in keys), len(rows)))
        if len(grouping) > GROUPS_MAX:
            raise UsageError(
                f"these would be {len(grouping):,} groups",
                hint="group by columns with fewer values, or filter the runs first",
            )
        firsts = rows[grouping.firsts()] if len(rows) else rows
        told = [self._describe_keys(key, firsts) for key in keys]
        if columns is None:
            numeric = {ColumnKind.NUMBER, ColumnKind.TIME}
            columns = [key for key, kind in self.kinds.items() if kind in numeric]
        return make_groups(
            grouping,
            [[one[number] for one in told] for number in range(len(grouping))],
            self.parts("id").texts.take(pa.array(rows, pa.int64())),
            ((key, self.parts(key)) for key in columns),
            rows,
        )

    def table(self, keys: Sequence[str], rows: RowArray) -> Segment:
        """Return some columns of some rows as a table of its own, in the order of the rows."""
        wanted = pa.array(rows, pa.int64())
        columns = {}
        for key in keys:
            given = self.parts(key)
            columns[key] = Parts(*(
                None if one is None else one.take(wanted)
                for one in (given.numbers, given.texts, given.flags, given.lists)
            ))  # fmt: skip
        return Segment(len(rows), columns)

    def joined(self) -> Segment:
        """Return all living rows as one table."""
        parts = [one.filter(self.alive[at : at + one.length]) for one, at in self._starts()]
        return join_segments(parts)

    def _codes(self, key: str) -> Codes:
        length = len(self.alive)
        if key == BUT_SEED:
            held = self._memo.get(("codes", BUT_SEED))
            if held is None:
                keys = choose_config(self.kinds)
                held = join_codes((code_values(self.parts(one), length) for one in keys), length)
                self._memo["codes", BUT_SEED] = held
            return np.asarray(held)
        held = self._memo.get(("codes", key))
        if held is None:
            held = self._memo["codes", key] = code_values(self.parts(key), length)
        return np.asarray(held)

    def _describe_keys(self, key: str, firsts: RowArray) -> list[Any]:
        if key != BUT_SEED:
            return self.take([key], firsts)[key]
        keys = choose_config(self.kinds)
        return [*describe_configs([*self.take(keys, firsts).items()], len(firsts))]

    def _filter(self, text: str, now_wall_s: float) -> BoolArray:
        condition = parse_filter(text, now_wall_s=now_wall_s)
        if condition is None:
            return self.alive
        check_columns(condition, self.kinds)
        return self._each(Filter(condition, self.kinds, now_wall_s=now_wall_s).find)

    def _find_ids(self, ids: Sequence[str], mask: BoolArray) -> RowArray:
        """Return the rows of some ids, in the order of the ids."""
        wanted = pa.array(
            [one.encode("utf-8", "replace").decode() for one in ids], pa.large_string()
        )
        mask = mask & self._each(lambda one: np.asarray(pc.is_in(one.ids(), value_set=wanted)))
        rows = np.flatnonzero(mask)
        known = dict(zip(self.take(["id"], rows)["id"], rows.tolist(), strict=True))
        found = [known[one] for one in dict.fromkeys(ids) if one in known]
        return np.array(found, np.int64)

    def _scope(self, scope: Scope) -> BoolArray:
        held = self._memo.get(("scope", scope))
        if held is None:
            archived, deleted = self._flag("archived"), self._flag("deleted")
            chosen = {
                Scope.ACTIVE: ~archived & ~deleted,
                Scope.ARCHIVED: archived & ~deleted,
                Scope.DELETED: deleted,
                Scope.ALL: np.ones(len(self.alive), bool),
            }[scope]
            held = self._memo["scope", scope] = chosen & self.alive
        return np.asarray(held)

    def _flag(self, key: str) -> BoolArray:
        flags = self.parts(key).flags
        if flags is None:
            return np.zeros(len(self.alive), bool)
        return np.asarray(flags.fill_null(False).to_numpy(zero_copy_only=False))  # noqa: FBT003

    def _each(self, find: Callable[[Segment], BoolArray]) -> BoolArray:
        found = [find(one) for one in self.segments]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _starts(self) -> list[tuple[Segment, int]]:
        ends = np.cumsum([one.length for one in self.segments]).tolist()
        return [(one, end - one.length) for one, end in zip(self.segments, ends, strict=True)]

    def _describe(self, key: str, kind: ColumnKind) -> ColumnFacts:
        if self.alive.all() and len(self.segments) == 1:
            count, distinct = describe_segment(self.segments[0], key)
        elif len(self.alive) <= COUNTED_ROWS:
            count, distinct = describe_parts(self.parts(key).filter(self.alive))
        else:
            counts = [describe_segment(one, key) for one in self.segments]
            # Of several tables some values are the same: what the largest has is the least.
            distinct = max((one[1] for one in counts), default=0)
            count = min(sum(one[0] for one in counts), int(self.alive.sum()))
        return ColumnFacts(key=key, kind=kind, count=count, distinct=min(distinct, DISTINCT_MAX))


def _rank_segment(segment: Segment, key: str) -> Ranks:
    held = segment.memo.get(("order", key))
    if held is not None:
        return np.asarray(held.places)
    held = segment.memo.get(("ranks", key))
    if held is None:
        parts = segment.parts(key)
        if is_textual([parts]) and parts.texts is not None:
            order = segment.memo["order", key] = order_texts(parts.texts)
            return order.places
        held = segment.memo["ranks", key] = rank_values(parts, segment.length)
    return np.asarray(held)


def find_kind(parts: Parts) -> ColumnKind:
    """Return what most values of a column are."""
    order = (ColumnKind.NUMBER, ColumnKind.TEXT, ColumnKind.FLAG, ColumnKind.LIST)
    arrays = (parts.numbers, parts.texts, parts.flags, parts.lists)
    counts = [0 if one is None else len(one) - one.null_count for one in arrays]
    return order[int(np.argmax(counts))]


def describe_segment(segment: Segment, key: str) -> tuple[int, int]:
    """Return how many values a column of a table has, and how many different ones."""
    held = segment.memo.get(("facts", key))
    if held is None:
        held = segment.memo["facts", key] = describe_parts(segment.parts(key))
    return held


def describe_parts(parts: Parts) -> tuple[int, int]:
    """Return how many values a column has, and how many different ones."""
    distinct = 0
    for array in parts.arrays():
        if pa.types.is_list(array.type):
            values = array.flatten()
        elif pa.types.is_dictionary(array.type):
            values = array.indices  # what no row has any more may be in the dictionary
        else:
            values = array[: 20 * DISTINCT_MAX]
        distinct += pc.count_distinct(values).as_py()
    return parts.count(), distinct
