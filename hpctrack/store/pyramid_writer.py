"""Writing the pyramids of a metric's series while its points pass by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hpctrack.store.pyramid import (
    BASE_POINTS,
    NOTHING_YET,
    SERIES_MIN,
    BoolArray,
    BucketArray,
    PyramidBuilder,
    count_levels,
    level_sizes,
)
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.sealed_layout import BUCKET, EXTREME, LAST, LATE, LEVEL_CHUNK_ROWS
from hpctrack.store.sealed_writer import ColumnWriter, TableWriter, write_column

LATE_CHUNK_ROWS = 4096


class PyramidWriter:
    """The levels of all series of one metric, one rank's after the other's.

    Parameters
    ----------
    group : h5py.Group
        The metric's.
    rank, count : ndarray of int64, shape (n,)
        Of each series, and how many points it has.
    bucket : int, optional
        Points per bucket of the lowest level.
    """

    def __init__(
        self, group: Any, rank: IntArray, count: IntArray, *, bucket: int = BASE_POINTS
    ) -> None:
        self._group = group
        self._rank = rank.tolist()
        self._ends = np.cumsum(count)
        self._series = 0
        self._last = np.zeros(len(count), LAST)
        self._last["value"] = np.nan
        self._last["step"] = NOTHING_YET
        self._late: TableWriter | None = None
        levels = count_levels(int(count.max()), bucket)
        columns = open_levels(group, count, bucket, levels)
        places = open_extremes(group, count, bucket, levels)
        sinks = [_split(*both) for both in zip(columns, places, strict=True)]
        self._builder = PyramidBuilder(bucket, sinks, self._note_late)

    def add(
        self,
        start: int,
        step: IntArray,
        wall_s: FloatArray,
        value: FloatArray,
        is_current: BoolArray | None,
    ) -> None:
        """Add the metric's points from ``start`` on; those that are not current are superseded."""
        first, end = start, start + len(step)
        while first < end:
            series_end = int(self._ends[self._series])
            last = min(series_end, end)
            part = slice(first - start, last - start)
            mask = None if is_current is None else is_current[part]
            self._note_last(step[part], wall_s[part], value[part], mask)
            self._builder.add(step[part], value[part], mask, wall_s[part])
            first = last
            if last == series_end:
                self._builder.end_series()
                self._series += 1

    def close(self) -> None:
        """Write what was held back."""
        write_column(self._group, "last", self._last)
        if self._late:
            self._late.close()

    def _note_last(
        self, step: IntArray, wall_s: FloatArray, value: FloatArray, is_current: BoolArray | None
    ) -> None:
        """Remember the current series' number with the highest step, the latest of several."""
        counts = ~np.isnan(value) if is_current is None else is_current & ~np.isnan(value)
        steps = np.where(counts, step, NOTHING_YET)
        highest = steps.max(initial=NOTHING_YET)
        if highest > NOTHING_YET and highest >= self._last["step"][self._series]:
            at = int(np.flatnonzero(steps == highest)[-1])
            self._last[self._series] = (step[at], wall_s[at], value[at])

    def _note_late(self, index: IntArray, step: IntArray, value: FloatArray) -> None:
        if self._late is None:
            self._late = TableWriter(self._group, "late", LATE, chunk_rows=LATE_CHUNK_ROWS)
        rows = np.zeros(len(index), LATE)
        rows["rank"] = self._rank[self._series]
        rows["index"], rows["step"], rows["value"] = index, step, value
        self._late.append(rows)


def _split(columns: ColumnWriter, places: ColumnWriter) -> Callable[[BucketArray], None]:
    """Return what writes buckets to a level, and the places of their extremes beside it."""

    def write(located: BucketArray) -> None:
        for writer, dtype in ((columns, BUCKET), (places, EXTREME)):
            rows = np.empty(len(located), dtype)
            for name in dtype.names or ():
                rows[name] = located[name]
            writer.append(rows)

    return write


def open_levels(group: Any, count: IntArray, bucket: int, levels: int) -> list[ColumnWriter]:
    """Make the levels of series of so many points each."""
    place = group.create_group("levels")
    place.attrs["bucket"] = bucket
    return [
        ColumnWriter(place, str(level), BUCKET, (size,), chunk_rows=LEVEL_CHUNK_ROWS)
        for level, size in enumerate(_total_sizes(count, bucket, levels))
    ]


def open_extremes(group: Any, count: IntArray, bucket: int, levels: int) -> list[ColumnWriter]:
    """Make the places of the extremes of all levels."""
    place = group.create_group("extremes")
    return [
        ColumnWriter(place, str(level), EXTREME, (size,), chunk_rows=LEVEL_CHUNK_ROWS)
        for level, size in enumerate(_total_sizes(count, bucket, levels))
    ]


def _total_sizes(count: IntArray, bucket: int, levels: int) -> list[int]:
    """Return the number of buckets of each level of series of so many points."""
    sizes = np.array([level_sizes(one, bucket, levels) for one in count.tolist()])
    return [int(one) for one in sizes.sum(axis=0)]


def needs_pyramid(count: IntArray, series_min: int = SERIES_MIN) -> bool:
    """Tell whether a metric has a series that is too long to be read for each drawing."""
    return bool(count.max(initial=0) > series_min)
