"""The points that draw a window of a series in a sealed file, without reading the others."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpctrack.store.envelope import EDGE_STEP, find_stretch, plan_window, stretch_starts
from hpctrack.store.pyramid import SIDES, BucketArray, level_sizes, make_buckets, merge_buckets
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.sealed_layout import LOCATED
from hpctrack.store.sealed_series import SealedSeries, find_main

LEVELS_BYTES = 4 << 20
"""Of a file's levels so much is kept."""

LEVEL_BUCKETS = 8192
"""A level with more buckets is read where it is needed."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What draws a window of one rank's points.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
        Never decreasing.
    wall_s, value : ndarray of float64, shape (n,)
        True points: of each stretch of the window the lowest and the highest, and the points next
        to the window on both sides.
    is_outside : ndarray of bool, shape (n,)
        Which ones these are.
    buckets : structured array of `LOCATED`, shape (m,)
        The stretches, with means and numbers of points.
    points : int
        Points of the window that are neither superseded nor NaN.
    gaps : int
        Points of the window that are NaN; -1 if that is not known, as after a requeue.
    first : (int, float)
        Step and time where the series begins; the time to within a bucket.
    last : (int, float, float)
        Step, time and value of the last point of all.
    """

    step: IntArray
    wall_s: FloatArray
    value: FloatArray
    is_outside: np.ndarray[Any, np.dtype[np.bool_]]
    buckets: BucketArray
    points: int
    gaps: int
    first: tuple[int, float]
    last: tuple[int, float, float]


class LevelCache:
    """Small levels of a file's series, the least recently used given up first."""

    def __init__(self) -> None:
        self._levels: OrderedDict[tuple[str, int, int], BucketArray] = OrderedDict()
        self._size_bytes = 0

    def read(self, of: tuple[str, int], series: SealedSeries, level: int) -> BucketArray | None:
        """Return a whole level of a series; None if it is too large for that."""
        size = level_sizes(series.points, series.base, level + 1)[level]
        if size > LEVEL_BUCKETS:
            return None
        key = (*of, level)
        if key not in self._levels:
            self._levels[key] = series.read_located(level, 0, size)
            self._size_bytes += self._levels[key].nbytes
            while self._size_bytes > LEVELS_BYTES and len(self._levels) > 1:
                self._size_bytes -= self._levels.popitem(last=False)[1].nbytes
        self._levels.move_to_end(key)
        return self._levels[key]

    def clear(self) -> None:
        """Forget all."""
        self._levels.clear()
        self._size_bytes = 0


@dataclass(frozen=True, slots=True)
class DrawnSeries:
    """A series that its pyramid alone can draw.

    Parameters
    ----------
    key : (str, int)
        Metric and rank.
    series : SealedSeries
    last : (int, float, float)
        Step, time and value of its last point.
    levels : LevelCache
    """

    key: tuple[str, int]
    series: SealedSeries
    last: tuple[int, float, float]
    levels: LevelCache

    def read(self, level: int, first: int, last: int) -> BucketArray:
        """Return buckets of a level."""
        whole = self.levels.read(self.key, self.series, level)
        if whole is None:
            return self.series.read_located(level, first, last)
        return whole[first:last]


def draw_window(
    drawn: DrawnSeries, window: tuple[float | None, float | None], *, is_time: bool, width: int
) -> Drawing:
    """Return what draws a window of a series; see `OpenSealed.draw`."""
    series = drawn.series
    start, stop = window
    first = 0 if start is None else _find_first(drawn, start, is_time=is_time)
    last = series.points
    if stop is not None:
        above = np.nextafter(stop, np.inf) if is_time else np.floor(stop) + 1
        last = _find_first(drawn, float(above), is_time=is_time)
    last = max(first, last)
    stretch = find_stretch(first, last, width)
    parts = [np.zeros(0, LOCATED)]
    indexes = [np.zeros(0, np.int64)]
    outside = [np.zeros(0, LOCATED)]
    levels = len(series.offsets)
    sizes = level_sizes(series.points, series.base, levels)
    top = max(0, min((stretch // series.base).bit_length() - 1, levels - 1))
    # The last bucket of a series is there although it is not full: no point of it has to be read.
    whole = series.base << top
    until = -(-last // whole) * whole if last == series.points and stretch >= series.base else last
    for part in plan_window(first, until, stretch, base=series.base, levels=levels):
        if part.level < 0:
            found, where = _read_points(series, part.first, part.last, stretch)
        else:
            found = drawn.read(part.level, part.first, min(part.last, sizes[part.level]))
            where = (part.first + np.arange(len(found))) * (series.base << part.level)
        parts.append(found)
        indexes.append(where)
    beside = [one for one in (first - 1, last) if 0 <= one < series.points]
    outside += [_read_points(series, one, one + 1, 1)[0] for one in beside]
    buckets = _merge(np.concatenate(parts), np.concatenate(indexes), stretch)
    begin = drawn.read(0, 0, 1)[0]
    at = (int(begin["step"]), float(min(begin["low_wall_s"], begin["high_wall_s"])))
    return _make_drawing(drawn, buckets, np.concatenate(outside), last - first, at)


def _find_first(drawn: DrawnSeries, place: float, *, is_time: bool) -> int:
    """Return the first point that is not before a step, or a time.

    From the highest level down, several levels at a time: neither steps of buckets nor the times
    of their lowest points decrease. The one before the first that is not below may hold it, or,
    as its time is that of some point in it, the one after.
    """
    series, column = drawn.series, "low_wall_s" if is_time else "step"
    sizes = level_sizes(series.points, series.base, len(series.offsets))
    level = len(sizes) - 1
    first, last = 0, sizes[level]
    while True:
        found = drawn.read(level, first, last)[column]
        first = max(first + int(np.searchsorted(found, place)) - 1, 0)
        if not level:
            break
        down = min(EDGE_STEP, level)
        level -= down
        first, last = first << down, min((first + 2) << down, sizes[level])
    begin, end = first * series.base, min((first + 2) * series.base, series.points)
    if is_time:
        hits = np.flatnonzero(series.read_times(begin, end) >= place)
    else:
        steps = series.read_steps(begin, end)
        main = find_main(series, begin, steps, np.zeros(0, np.int64))
        hits = np.flatnonzero(main & (steps >= place))
    return begin + int(hits[0]) if len(hits) else end


def _merge(buckets: BucketArray, index: IntArray, stretch: int) -> BucketArray:
    numbers = index // stretch
    is_first = np.ones(len(numbers), bool)
    is_first[1:] = numbers[1:] != numbers[:-1]
    return merge_buckets(buckets, np.flatnonzero(is_first))


def _read_points(
    series: SealedSeries, first: int, last: int, stretch: int
) -> tuple[BucketArray, IntArray]:
    """Make buckets of single points, one for each stretch that they lie in."""
    steps, values = series.read_steps(first, last), series.read_values(first, last)
    main = find_main(series, first, steps, np.zeros(0, np.int64))
    starts = stretch_starts(first, last, stretch)
    times = series.read_times(first, last)
    return make_buckets(steps, values, starts, main=main, wall_s=times), starts + first


def _make_drawing(
    drawn: DrawnSeries,
    buckets: BucketArray,
    outside: BucketArray,
    count: int,
    first: tuple[int, float],
) -> Drawing:
    """Make points of stretches: the lowest and the highest of each, in their order."""
    is_whole = len(drawn.series.run_ends) == 1
    # Without a requeue a stretch without numbers is a gap; else it may only be superseded.
    shown = buckets if is_whole else buckets[buckets["points"] > 0]
    points = int(buckets["points"].sum())
    shown_outside = outside[outside["points"] > 0]
    rows = [_ends(shown), _ends(shown_outside)]
    step, wall_s, value = (np.concatenate([one[i] for one in rows]) for i in range(3))
    is_outside = np.repeat([False, True], [len(one[0]) for one in rows])
    order = np.lexsort((wall_s, step))
    return Drawing(
        step[order],
        wall_s[order],
        value[order],
        is_outside[order],
        buckets,
        points,
        count - points if is_whole else -1,
        first,
        drawn.last,
    )


def _ends(buckets: BucketArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return the extremes of buckets as points; one that has a single point gives one."""
    low, high = (
        (buckets[f"{side}_step"], buckets[f"{side}_wall_s"], buckets[side]) for side in SIDES
    )
    is_two = (low[0] != high[0]) | (low[1] != high[1])
    step, wall_s, value = (
        np.concatenate([one, other[is_two]]) for one, other in zip(low, high, strict=True)
    )
    return step.astype(np.int64), wall_s.astype(np.float64), value.astype(np.float64)
