"""Writing the pyramids of a metric's series while its points pass by."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpctrack.store.pyramid import (
    BASE_POINTS,
    SERIES_MIN,
    BoolArray,
    PyramidBuilder,
    count_levels,
    level_sizes,
)
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.sealed_layout import BUCKET, LATE
from hpctrack.store.sealed_writer import ColumnWriter, TableWriter

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
        self._late: TableWriter | None = None
        columns = open_levels(group, count, bucket, count_levels(int(count.max()), bucket))
        self._builder = PyramidBuilder(
            bucket, [column.append for column in columns], self._note_late
        )

    def add(
        self, start: int, step: IntArray, value: FloatArray, is_current: BoolArray | None
    ) -> None:
        """Add the metric's points from ``start`` on; those that are not current are superseded."""
        first, end = start, start + len(step)
        while first < end:
            series_end = int(self._ends[self._series])
            last = min(series_end, end)
            part = slice(first - start, last - start)
            mask = None if is_current is None else is_current[part]
            self._builder.add(step[part], value[part], mask)
            first = last
            if last == series_end:
                self._builder.end_series()
                self._series += 1

    def close(self) -> None:
        """Write what was held back."""
        if self._late:
            self._late.close()

    def _note_late(self, index: IntArray, step: IntArray, value: FloatArray) -> None:
        if self._late is None:
            self._late = TableWriter(self._group, "late", LATE, chunk_rows=LATE_CHUNK_ROWS)
        rows = np.zeros(len(index), LATE)
        rows["rank"] = self._rank[self._series]
        rows["index"], rows["step"], rows["value"] = index, step, value
        self._late.append(rows)


def open_levels(group: Any, count: IntArray, bucket: int, levels: int) -> list[ColumnWriter]:
    """Make the levels of series of so many points each."""
    place = group.create_group("levels")
    place.attrs["bucket"] = bucket
    sizes = np.array([level_sizes(one, bucket, levels) for one in count.tolist()])
    return [
        ColumnWriter(place, str(level), BUCKET, (int(size),))
        for level, size in enumerate(sizes.sum(axis=0))
    ]


def needs_pyramid(count: IntArray, series_min: int = SERIES_MIN) -> bool:
    """Tell whether a metric has a series that is too long to be read for each drawing."""
    return bool(count.max(initial=0) > series_min)
