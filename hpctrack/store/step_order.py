"""A series in the order of its steps, for one that was not logged in it: its pyramid and points.

Where steps start over in every epoch, or go down, nearly every point is late. A pyramid over points
in their order of logging is then of no use, so such a metric has a second one, of points in order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.errors import StoreFullError
from hpctrack.store.pyramid import PyramidBuilder, count_levels
from hpctrack.store.pyramid_writer import open_levels
from hpctrack.store.schema import POINT, FloatArray, IntArray, PointArray
from hpctrack.store.scratch import Scratch
from hpctrack.store.sealed_layout import BEYOND, BY_STEP_GROUP, COLUMN_TYPES
from hpctrack.store.sealed_writer import ColumnWriter

LATE_SHARE = 20
"""One late point in so many is more than a reader should have to look at."""

LATE_MAX = 1_000_000
"""So many are, whatever their share."""

POINT_BYTES_MAX = 20
"""A point takes so much more in the sealed file, at most."""

Block = tuple[IntArray, FloatArray]
"""Steps and values of points that count."""


def most_late(points: int, series_min: int) -> int:
    """Return how many late points a metric may have and keep a pyramid in the order of logging."""
    return max(series_min, min(points // LATE_SHARE, LATE_MAX))


class StepOrderWriter:
    """Writes the points of all series of one metric in the order of steps, and their levels.

    Parameters
    ----------
    group : h5py.Group
        The metric's.
    count : ndarray of int64, shape (n,)
        How many points each series has.
    bucket : int
        Points per bucket of the lowest level.
    memory_rows : int
        Up to so many points are put in order in memory.
    """

    def __init__(self, group: Any, count: IntArray, *, bucket: int, memory_rows: int) -> None:
        self._folder = Path(group.file.filename).parent
        self._memory_rows = memory_rows
        self._check_space(int(count.sum()), int(count.max()))
        place = group.create_group(BY_STEP_GROUP)
        shape = (int(count.sum()),)
        self._columns = [
            ColumnWriter(place, name, COLUMN_TYPES[name], shape) for name in ("step", "value")
        ]
        levels = open_levels(place, count, bucket, count_levels(int(count.max()), bucket))
        self._builder = PyramidBuilder(bucket, [one.append for one in levels], _expect_none)

    def add_series(self, blocks: Iterable[Block], points: int) -> None:
        """Add a series of so many points; those that are not in ``blocks`` do not count."""
        left = points
        for step, value in iter_ordered(blocks, self._folder, points, self._memory_rows):
            self._add(step, value)
            left -= len(step)
        while left:
            some = min(left, self._memory_rows)
            self._add(np.full(some, BEYOND, np.int64), np.full(some, np.nan))
            left -= some
        self._builder.end_series()

    def _check_space(self, points: int, longest: int) -> None:
        """Refuse to begin what cannot end: the sealer has not counted on these points."""
        needed = points * POINT_BYTES_MAX + longest * POINT.itemsize * (longest > self._memory_rows)
        found = os.statvfs(self._folder)
        if found.f_bavail * found.f_frsize < needed:
            raise StoreFullError(
                f"sealing takes {needed / 1e6:.0f} MB more for steps that are out of order",
                hint="free space; nothing is lost meanwhile",
            )

    def _add(self, step: IntArray, value: FloatArray) -> None:
        for column, values in zip(self._columns, (step, value), strict=True):
            column.append(values)
        self._builder.add(step, value)


def iter_ordered(
    blocks: Iterable[Block], folder: Path, points: int, memory_rows: int
) -> Iterator[Block]:
    """Yield points by step; memory is that of a block, whatever there is.

    Parameters
    ----------
    blocks : iterable
        Of at most ``memory_rows`` points each.
    folder : Path
        Where they are kept if they are many, in a file without a name.
    points : int
        How many there are, at most.
    memory_rows : int
        Up to so many are kept in memory.
    """
    with Scratch(folder, points, memory_rows=memory_rows) as scratch:
        ends: list[int] = []
        end = 0
        for step, value in blocks:
            order = np.argsort(step, kind="stable")
            rows = np.zeros(len(step), POINT)
            rows["step"], rows["value"] = step[order], value[order]
            scratch.put(np.array([end]), np.array([len(rows)]), rows)
            end += len(rows)
            ends.append(end)
        for rows in _merge(scratch, ends, max(1, memory_rows // max(1, len(ends)))):
            yield np.ascontiguousarray(rows["step"]), np.ascontiguousarray(rows["value"])


def _merge(scratch: Scratch, ends: list[int], piece_rows: int) -> Iterator[PointArray]:
    """Merge stretches that are in order, each a piece at a time."""
    places = [0, *ends][: len(ends)]
    held = [np.zeros(0, POINT) for _end in ends]
    while True:
        for number, end in enumerate(ends):
            if not len(held[number]) and places[number] < end:
                stop = min(places[number] + piece_rows, end)
                held[number] = scratch.read(places[number], stop)
                places[number] = stop
        if not any(len(rows) for rows in held):
            return
        # What a stretch has beyond its piece is not below the piece's last step.
        lasts = [
            int(rows["step"][-1])
            for rows, place, end in zip(held, places, ends, strict=True)
            if place < end
        ]
        ready = []
        for number, rows in enumerate(held):
            cut = len(rows)
            if lasts:
                cut = int(np.searchsorted(rows["step"], min(lasts), side="right"))
            ready.append(rows[:cut])
            held[number] = rows[cut:]
        merged = np.concatenate(ready)
        yield merged[np.argsort(merged["step"], kind="stable")]


def _expect_none(_index: IntArray, _step: IntArray, _value: FloatArray) -> None:
    """Points in order are never late."""
