"""Drawing any window of a series in a sealed file from few of its points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpctrack.store.envelope import (
    Envelope,
    Window,
    add_late,
    draw_series,
    find_stretch,
    make_envelope,
    plan_window,
    stretch_starts,
    within,
)
from hpctrack.store.pyramid import BoolArray, BucketArray, level_sizes, make_buckets
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.sealed_layout import BEYOND, BUCKET, BY_STEP_GROUP, LATE
from hpctrack.store.supersession import find_current, find_limits


@dataclass(frozen=True, slots=True)
class _Series:
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


def draw_sealed(group: Any, rank: int, window: Window, width: int) -> Envelope | None:
    """Return a window of one rank's points; None if it has none. See `SealedReader`."""
    series = _find_series(group, rank)
    if series is None:
        return None
    if not series.offsets:
        return _draw_all(series, window, width)
    late = _read_late(series.group, rank)
    start, stop = window
    first = 0 if start is None else _find_step(series, start, late["index"])
    last = series.points if stop is None else _find_step(series, stop, late["index"])
    stretch = find_stretch(first, max(first, last), width)
    parts, indexes = [np.zeros(0, BUCKET)], [np.zeros(0, np.int64)]
    levels = len(series.offsets)
    for part in plan_window(first, last, stretch, base=series.base, levels=levels):
        if part.level < 0:
            found, where = _read_points(series, part.first, part.last, stretch, late["index"])
        else:
            found = series.read_buckets(part.level, part.first, part.last)
            where = np.arange(part.first, part.last) * (series.base << part.level)
        parts.append(found)
        indexes.append(where)
    envelope = make_envelope(np.concatenate(parts), np.concatenate(indexes), stretch)
    inside = within(late["step"], window)
    return add_late(envelope, late["step"][inside], late["value"][inside], width)


def read_window_points(group: Any, rank: int, window: Window) -> tuple[IntArray, FloatArray]:
    """Return steps and values of one rank's points in a window, by step, superseded ones left out.

    Returns
    -------
    step : ndarray of int64, shape (n,)
        Never decreasing; of several points at a step the one that was logged last is the last.
    value : ndarray of float64, shape (n,)
    """
    series = _find_series(group, rank)
    if series is None:
        return np.zeros(0, np.int64), np.zeros(0)
    late = np.zeros(0, LATE)
    first, last = 0, series.points
    if series.offsets:
        late = _read_late(series.group, rank)
        start, stop = window
        first = 0 if start is None else _find_step(series, start, late["index"])
        last = series.points if stop is None else _find_step(series, stop, late["index"])
        last = max(first, last)
    step, value = series.read_steps(first, last), series.read_values(first, last)
    which = _main_of(series, first, step, late["index"]) & within(step, window)
    if BY_STEP_GROUP in group:
        which &= step != BEYOND
    too = within(late["step"].astype(np.int64), window)
    step = np.concatenate([step[which], late["step"][too]])
    value = np.concatenate([value[which], late["value"][too]])
    if len(step) < 2 or (step[1:] >= step[:-1]).all():  # noqa: PLR2004 - one is in order
        return step, value
    order = np.argsort(step, kind="stable")
    return step[order], value[order]


def _find_series(group: Any, rank: int) -> _Series | None:
    """Find a rank's points, and its buckets in each level."""
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
    if BY_STEP_GROUP in group:
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
    return _Series(
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
    )


def _read_replaced(group: Any, start: int, points: int) -> IntArray:
    """Return which points of a series below the limit came again, counted from its beginning."""
    if "replaced" not in group:
        return np.zeros(0, np.int64)
    places = group["replaced"][:].astype(np.int64) - start
    return np.asarray(places[(places >= 0) & (places < points)])


def _draw_all(series: _Series, window: Window, width: int) -> Envelope:
    """Draw a series that is short enough to be read whole."""
    steps = series.read_steps(0, series.points)
    which = series.is_current(0, steps) & within(steps, window)
    return draw_series(steps[which], series.read_values(0, series.points)[which], width)


def _read_late(group: Any, rank: int) -> Any:
    """Return the rank's points that no bucket counts because they were logged late."""
    rows = group["late"][:] if "late" in group else np.zeros(0, LATE)
    return rows[rows["rank"] == rank]


def _main_of(series: _Series, first: int, steps: IntArray, late: IntArray) -> BoolArray:
    """Tell which points the buckets count: neither superseded nor late."""
    main = series.is_current(first, steps)
    here = late[(late >= first) & (late < first + len(steps))].astype(np.int64)
    main[here - first] = False
    return main


def _find_step(series: _Series, step: int, late: IntArray) -> int:
    """Return a point before which all steps that count are lower, and after which none is.

    From the highest level down: the buckets' steps never decrease. The bucket before the first
    one that begins at the step, or above it, may hold it too.
    """
    base, top = series.base, len(series.offsets) - 1
    sizes = level_sizes(series.points, base, top + 1)
    first, last = 0, sizes[top]
    for level in range(top, -1, -1):
        steps = series.read_buckets(level, first, last)["step"]
        found = max(first + int(np.searchsorted(steps, step)) - 1, 0)
        first, last = (found, found + 1) if level == 0 else (2 * found, 2 * found + 2)
        last = min(last, sizes[max(level - 1, 0)])
    begin, end = first * base, min((first + 1) * base, series.points)
    steps = series.read_steps(begin, end)
    hits = np.flatnonzero(_main_of(series, begin, steps, late) & (steps >= step))
    return begin + int(hits[0]) if len(hits) else end


def _read_points(
    series: _Series, first: int, last: int, stretch: int, late: IntArray
) -> tuple[BucketArray, IntArray]:
    """Make buckets of single points, one for each stretch that they lie in."""
    steps, values = series.read_steps(first, last), series.read_values(first, last)
    main = _main_of(series, first, steps, late)
    starts = stretch_starts(first, last, stretch)
    return make_buckets(steps, values, starts, main=main), starts + first
