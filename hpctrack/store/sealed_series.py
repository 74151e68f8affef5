"""One rank's points of one metric in a sealed file, and their pyramid: reading parts of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpctrack.store.envelope import EDGE_STEP
from hpctrack.store.pyramid import BoolArray, BucketArray, level_sizes
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.sealed_layout import BY_STEP_GROUP, LATE, LOCATED
from hpctrack.store.supersession import find_current, find_limits


@dataclass(frozen=True, slots=True)
class SealedSeries:
    """One rank's points of one metric; point ``i`` is ``start + i`` of the column, or of the row.

    Parameters
    ----------
    group : h5py.Group
        The metric's, or that of its points by step.
    row : int
        Of a grid; -1 for rows.
    start, points : int
    run_ends : ndarray of int64
        Where each attempt's points end.
    limits, is_limited : ndarray
        From which step on an attempt is superseded.
    replaced : ndarray of int64
        Points below that whose step a later attempt has logged again.
    offsets : list of int
        Where its buckets begin in each level.
    base : int
        Points per bucket of the lowest level.
    number : int
        Which series of the metric it is.
    """

    group: Any
    row: int
    start: int
    points: int
    run_ends: IntArray
    limits: IntArray
    is_limited: BoolArray
    replaced: IntArray
    offsets: list[int]
    base: int
    number: int

    def read_steps(self, first: int, last: int) -> IntArray:
        """Return steps of some points."""
        shift = 0 if self.row >= 0 else self.start
        steps: IntArray = self.group["step"][shift + first : shift + last]
        return steps

    def read_values(self, first: int, last: int) -> FloatArray:
        """Return values of some points."""
        column = self.group["value"]
        values: FloatArray = (
            column[self.row, first:last]
            if self.row >= 0
            else column[self.start + first : self.start + last]
        )
        return values

    def read_times(self, first: int, last: int) -> FloatArray:
        """Return when some points were logged."""
        column = self.group["wall_s"]
        times: FloatArray = (
            column[self.row, first:last]
            if self.row >= 0
            else column[self.start + first : self.start + last]
        )
        return times

    @property
    def is_located(self) -> bool:
        """Whether the places of extremes are known; older files, and points by step, have none."""
        return "extremes" in self.group

    def read_located(self, level: int, first: int, last: int) -> BucketArray:
        """Return buckets of a level with the places of their extremes."""
        shift = self.offsets[level]
        found = np.empty(last - first, LOCATED)
        for name in ("levels", "extremes"):
            rows = self.group[name][str(level)][shift + first : shift + last]
            for field in rows.dtype.names:
                found[field] = rows[field]
        return found

    def read_buckets(self, level: int, first: int, last: int) -> BucketArray:
        """Return buckets of a level."""
        shift = self.offsets[level]
        found: BucketArray = self.group["levels"][str(level)][shift + first : shift + last]
        return found

    def is_current(self, first: int, steps: IntArray) -> BoolArray:
        """Tell which points are not superseded."""
        limits = (self.limits, self.is_limited)
        current = find_current(first, steps, self.run_ends, limits, self.replaced)
        return np.ones(len(steps), bool) if current is None else current


def find_series(group: Any, rank: int, *, as_logged: bool = False) -> SealedSeries | None:
    """Find a rank's points, and its buckets in each level; points by step unless ``as_logged``."""
    if "runs" in group:
        runs = group["runs"][:]
        ranks, counts = runs["rank"].astype(np.int64), runs["count"].astype(np.int64)
        limits, is_limited = find_limits(ranks, runs["lowest"])
    else:
        ranks = group["rank"][:].astype(np.int64)
        counts = np.full(len(ranks), group["step"].shape[0], np.int64)
        limits, is_limited = np.zeros(len(ranks), np.int64), np.zeros(len(ranks), bool)
    begin, end = np.searchsorted(ranks, [rank, rank + 1]).tolist()
    if begin == end:
        return None
    row = -1 if "runs" in group else begin
    if BY_STEP_GROUP in group and not as_logged:
        # There the points that do not count are at the end, as NaN.
        group, row, is_limited = group[BY_STEP_GROUP], -1, np.zeros(len(ranks), bool)
    mine = slice(begin, end)
    base = 0
    offsets: list[int] = []
    if "levels" in group:
        base = int(group["levels"].attrs["bucket"])
        is_first = np.diff(ranks[:begin], prepend=-1) != 0
        before = np.add.reduceat(counts[:begin], np.flatnonzero(is_first)) if begin else counts[:0]
        buckets = -(-before // base)
        for _level in range(len(group["levels"])):
            offsets.append(int(buckets.sum()))
            buckets = -(-buckets // 2)
    start, points = int(counts[:begin].sum()), int(counts[mine].sum())
    return SealedSeries(
        group,
        row,
        start,
        points,
        np.cumsum(counts[mine]),
        limits[mine],
        is_limited[mine],
        _read_replaced(group, start, points),
        offsets,
        base,
        len(np.unique(ranks[:begin])),
    )


def _read_replaced(group: Any, start: int, points: int) -> IntArray:
    """Return which points of a series below the limit came again, counted from its beginning."""
    if "replaced" not in group:
        return np.zeros(0, np.int64)
    places = group["replaced"][:].astype(np.int64) - start
    return np.asarray(places[(places >= 0) & (places < points)])


def read_late(group: Any, rank: int) -> Any:
    """Return the rank's points that no bucket counts because they were logged late."""
    rows = group["late"][:] if "late" in group else np.zeros(0, LATE)
    return rows[rows["rank"] == rank]


def find_main(series: SealedSeries, first: int, steps: IntArray, late: IntArray) -> BoolArray:
    """Tell which points the buckets count: neither superseded nor late."""
    main = series.is_current(first, steps)
    here = late[(late >= first) & (late < first + len(steps))].astype(np.int64)
    main[here - first] = False
    return main


def find_place(series: SealedSeries, step: int, late: IntArray) -> int:
    """Return a point before which all steps that count are lower, and after which none is.

    From the highest level down: the buckets' steps never decrease. The bucket before the first
    one that begins at the step, or above it, may hold it too.
    """
    base, top = series.base, len(series.offsets) - 1
    sizes = level_sizes(series.points, base, top + 1)
    level, first, last = top, 0, sizes[top]
    while True:
        steps = series.read_buckets(level, first, last)["step"]
        first = max(first + int(np.searchsorted(steps, step)) - 1, 0)
        if not level:
            break
        # Several levels at a time: reading 64 buckets costs as much as reading one.
        down = min(EDGE_STEP, level)
        level -= down
        first, last = first << down, min((first + 1) << down, sizes[level])
    begin, end = first * base, min((first + 1) * base, series.points)
    steps = series.read_steps(begin, end)
    hits = np.flatnonzero(find_main(series, begin, steps, late) & (steps >= step))
    return begin + int(hits[0]) if len(hits) else end
