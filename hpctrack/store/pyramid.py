"""Minima, maxima and means of ever longer stretches of a series. Pure.

A series is cut into buckets of, say, 256 points; each level above has buckets twice as long. Any
part of the series can then be drawn exactly without reading its points; see `envelope`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.sealed_layout import BUCKET, LOCATED

BASE_POINTS = 256
"""Points of a bucket of the lowest level: the pyramid then takes 2 % of the points' space."""

SERIES_MIN = 65536
"""A series up to one chunk is read as fast as its pyramid would be."""

TOP_BUCKETS = 512
"""No level is made above one that has so few buckets."""

NOTHING_YET = np.iinfo(np.int64).min

SIDES = ("low", "high")

BucketArray = NDArray[np.void]
BoolArray = NDArray[np.bool_]


def level_sizes(points: int, base: int, levels: int) -> list[int]:
    """Return the number of buckets of each level of a series."""
    size, sizes = -(-points // base), []
    for _level in range(levels):
        sizes.append(size)
        size = -(-size // 2)
    return sizes


def count_levels(longest: int, base: int = BASE_POINTS) -> int:
    """Return how many levels a metric needs whose longest series has so many points."""
    size, levels = -(-longest // base), 1
    while size > TOP_BUCKETS:
        size, levels = -(-size // 2), levels + 1
    return levels


def merge_buckets(buckets: BucketArray, starts: IntArray) -> BucketArray:
    """Merge neighbouring buckets into one each.

    Parameters
    ----------
    buckets : structured array of `BUCKET` or `LOCATED`, shape (n,)
    starts : ndarray of int64, shape (m,)
        Where each group begins; increasing, the first is 0.

    Returns
    -------
    structured array, shape (m,)
        Of the same type.
    """
    merged = np.zeros(len(starts), buckets.dtype)
    if not len(starts):
        return merged
    counts = buckets["points"].astype(np.int64)
    total = np.add.reduceat(counts, starts)
    merged["step"] = buckets["step"][starts]
    with np.errstate(invalid="ignore", over="ignore"):
        merged["low"] = np.fmin.reduceat(buckets["low"], starts)
        merged["high"] = np.fmax.reduceat(buckets["high"], starts)
        weighted = np.where(counts > 0, buckets["mean"] * counts, 0.0)
        merged["mean"] = _divide(np.add.reduceat(weighted, starts), total)
    merged["points"] = total
    if buckets.dtype == LOCATED:
        for side in SIDES:
            at = _first_equal(buckets[side], merged[side], starts)
            for name in (f"{side}_step", f"{side}_wall_s"):
                merged[name] = buckets[name][at]
    return merged


def make_buckets(
    step: IntArray,
    value: FloatArray,
    starts: IntArray,
    *,
    main: BoolArray | None = None,
    top: int = NOTHING_YET,
    wall_s: FloatArray | None = None,
) -> BucketArray:
    """Make buckets of points.

    Parameters
    ----------
    step, value : ndarray, shape (n,)
    starts : ndarray of int64, shape (m,)
        Where each bucket begins; increasing, the first is 0.
    main : ndarray of bool, shape (n,), optional
        The points that count, whose steps never decrease; default all.
    top : int, optional
        The highest step before these that counts.
    wall_s : ndarray of float64, shape (n,), optional
        When each was logged: then the places of the extremes are found too.

    Returns
    -------
    structured array of `BUCKET`, or of `LOCATED` if ``wall_s`` was given, shape (m,)
        A bucket's step is that of the first point at or after its beginning that counts, or, if
        there is none here, of the last one before: so the steps of buckets never decrease.
    """
    buckets = np.zeros(len(starts), BUCKET if wall_s is None else LOCATED)
    if not len(starts):
        return buckets
    true_step = step
    if main is not None:
        value = np.where(main, value, np.nan)
        step = _carry(step, main, top)
    is_number = ~np.isnan(value)
    points = np.add.reduceat(is_number, starts, dtype=np.int64)
    buckets["step"] = step[starts]
    buckets["points"] = points
    with np.errstate(invalid="ignore", over="ignore"):
        buckets["low"] = np.fmin.reduceat(value, starts)
        buckets["high"] = np.fmax.reduceat(value, starts)
        total = np.add.reduceat(np.where(is_number, value, 0.0), starts)
        buckets["mean"] = _divide(total, points)
    if wall_s is not None:
        for side in SIDES:
            at = _first_equal(value, buckets[side], starts)
            buckets[f"{side}_step"], buckets[f"{side}_wall_s"] = true_step[at], wall_s[at]
    return buckets


def _first_equal(value: FloatArray, wanted: FloatArray, starts: IntArray) -> IntArray:
    """Return per group the first index that has its wanted value; of a NaN one its beginning."""
    sizes = np.diff(np.append(starts, len(value)))
    hits = np.flatnonzero(value == np.repeat(wanted, sizes))
    if not len(hits):
        return starts
    found = hits[np.minimum(np.searchsorted(hits, starts), len(hits) - 1)]
    return np.where(np.isnan(wanted), starts, found)


def _carry(step: IntArray, main: BoolArray, top: int) -> IntArray:
    """Give points that do not count the step of the next one that does, else of the last one."""
    none = np.iinfo(np.int64).max
    following = np.minimum.accumulate(np.where(main, step, none)[::-1])[::-1]
    before = np.maximum.accumulate(np.concatenate([[top], np.where(main, step, NOTHING_YET)]))[1:]
    is_last = ~np.logical_or.accumulate(main[::-1])[::-1]
    return np.where(is_last, before, following)


def _divide(total: FloatArray, count: IntArray) -> FloatArray:
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


class LateFinder:
    """Tells which points of a series are late, from pieces of any length."""

    def __init__(self) -> None:
        self._highest = int(NOTHING_YET)

    def find(
        self, step: IntArray, is_current: BoolArray | None
    ) -> tuple[BoolArray, BoolArray | None]:
        """Return which points count, being current and not late, and which are late if any is."""
        if not len(step):
            return np.zeros(0, bool), None
        if is_current is None and step[0] >= self._highest and (step[1:] >= step[:-1]).all():
            self._highest = int(step[-1])
            return np.ones(len(step), bool), None
        current = np.ones(len(step), bool) if is_current is None else is_current
        counted = np.where(current, step, NOTHING_YET)
        highest = np.maximum.accumulate(np.concatenate([[self._highest], counted]))
        late = current & (step < highest[:-1])
        self._highest = int(highest[-1])
        return np.asarray(current & ~late), late if late.any() else None


class PyramidBuilder:
    """Builds the levels of one series after the other, from pieces of any length.

    Memory is a few buckets per level, however long the series are.

    Parameters
    ----------
    base : int
        Points per bucket of the lowest level.
    sinks : sequence of callable
        One per level; gets finished buckets in order.
    on_late : callable
        Gets index, step and value of late points of the current series.
    """

    def __init__(
        self,
        base: int,
        sinks: Sequence[Callable[[BucketArray], None]],
        on_late: Callable[[IntArray, IntArray, FloatArray], None],
    ) -> None:
        self._base = base
        self._sinks = sinks
        self._on_late = on_late
        self._begin()

    def _begin(self) -> None:
        self._index = 0
        self._finder = LateFinder()
        self._emitted = int(NOTHING_YET)
        self._rest: tuple[IntArray, FloatArray, BoolArray, FloatArray | None] = (
            np.zeros(0, np.int64),
            np.zeros(0),
            np.zeros(0, bool),
            None,
        )
        self._odd: list[BucketArray | None] = [None for _sink in self._sinks]

    def add(
        self,
        step: IntArray,
        value: FloatArray,
        is_current: BoolArray | None = None,
        wall_s: FloatArray | None = None,
    ) -> None:
        """Add points in their order; those that are not current are superseded.

        The places of extremes are found if ``wall_s`` is given, with all points of a series.
        """
        main, late = self._finder.find(step, is_current)
        if late is not None:
            self._on_late(np.flatnonzero(late) + self._index, step[late], value[late])
        self._index += len(step)
        steps = np.concatenate([self._rest[0], step])
        values = np.concatenate([self._rest[1], value])
        mains = np.concatenate([self._rest[2], main])
        times = self._rest[3]
        if wall_s is not None:
            times = wall_s if times is None else np.concatenate([times, wall_s])
        whole = len(steps) // self._base * self._base
        rest = None if times is None else times[whole:].copy()
        self._emit(
            steps[:whole],
            values[:whole],
            mains[:whole],
            None if times is None else times[:whole],
        )
        self._rest = (steps[whole:].copy(), values[whole:].copy(), mains[whole:].copy(), rest)

    def end_series(self) -> None:
        """Finish the last, incomplete bucket of each level."""
        self._emit(*self._rest)
        for level in range(len(self._sinks)):
            odd, self._odd[level] = self._odd[level], None
            if odd is not None:
                self._put(level + 1, odd)
        self._begin()

    def _emit(
        self, step: IntArray, value: FloatArray, main: BoolArray, wall_s: FloatArray | None
    ) -> None:
        counted = step[main]
        starts = np.arange(0, len(step), self._base)
        which = None if len(counted) == len(step) else main
        self._put(
            0, make_buckets(step, value, starts, main=which, top=self._emitted, wall_s=wall_s)
        )
        if len(counted):
            self._emitted = int(counted[-1])

    def _put(self, level: int, buckets: BucketArray) -> None:
        """Give buckets to a level, and the pairs that they complete to the one above."""
        if level >= len(self._sinks) or not len(buckets):
            return
        self._sinks[level](buckets)
        odd = self._odd[level]
        waiting = buckets if odd is None else np.concatenate([odd, buckets])
        whole = len(waiting) // 2 * 2
        self._odd[level] = waiting[whole:]
        if whole:
            self._put(level + 1, merge_buckets(waiting[:whole], np.arange(0, whole, 2)))
