"""Which points of a line are drawn: the extremes of every bucket of its window. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpctrack_server.data.downsample import FloatArray, IntArray, NumberArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of an axis that a chart shows.

    Parameters
    ----------
    start, end : float or None
        None is open.
    width : int
        Buckets, at least 1.
    log_x : bool
        Whether they are equal on a logarithmic axis.
    """

    start: float | None = None
    end: float | None = None
    width: int = 500
    log_x: bool = False

    def find(self, x: NumberArray) -> tuple[int, int]:
        """Return where the points begin and end that lie inside; ``x`` never decreases."""
        start: float | np.int64 | None = self.start
        end: float | np.int64 | None = self.end
        if x.dtype.kind == "i":
            # A search for a float would make floats of the whole array first.
            start = None if start is None else _as_step(math.ceil(float(start)))
            end = None if end is None else _as_step(math.floor(float(end)))
        first = 0 if start is None else int(np.searchsorted(x, start, "left"))
        last = len(x) if end is None else int(np.searchsorted(x, end, "right"))
        return first, max(first, last)


def _as_step(place: int) -> np.int64:
    """Return a place among steps, none of which lies beyond these bounds."""
    bounds = np.iinfo(np.int64)
    return np.int64(max(bounds.min, min(place, bounds.max)))


def choose_points(x: NumberArray, y: FloatArray, window: Window) -> IntArray:
    """Return the points of a line that are drawn.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Never decreasing, finite; positive if ``window.log_x``.
    y : ndarray of float64, shape (n,)
        NaN is a gap, and ignored in a bucket that has numbers.
    window : Window

    Returns
    -------
    ndarray of int64, shape (m,)
        Increasing, at most ``2 * width + 4``: the lowest and the highest of each bucket, the
        window's first and last point, and its neighbours outside, to which a line runs on. All
        points of the window if there are no more than ``2 * width``.
    """
    first, last = window.find(x)
    outside = [one for one in (first - 1, last) if 0 <= one < len(x)]
    if last - first <= 2 * window.width:
        inside = np.arange(first, last)
    else:
        starts = bucket_starts(x[first:last], window.width, log_x=window.log_x) + first
        low, high = find_extremes(y[first:last], starts - first)
        inside = _join_distinct([low + first, high + first, np.array([first, last - 1])])
    if not outside:
        return inside
    return _join_distinct([inside, np.array(outside)])


def _join_distinct(parts: Sequence[IntArray]) -> IntArray:
    """Return all numbers of some arrays, each once, increasing; faster than `numpy.unique`."""
    whole = np.sort(np.concatenate(parts))
    is_new = np.ones(len(whole), bool)
    np.not_equal(whole[1:], whole[:-1], out=is_new[1:])
    return np.asarray(whole[is_new], np.int64)


def bucket_starts(x: NumberArray, width: int, *, log_x: bool = False) -> IntArray:
    """Return the index of the first point of each bucket that is not empty; ``x`` has some."""
    place = x.astype(np.float64)  # the difference of two int64 can be too large for one
    if log_x:
        place = np.log(place)
    span = place[-1] - place[0]
    if not span > 0:
        return np.zeros(1, np.int64)
    place -= place[0]
    place *= width / span
    bucket = np.minimum(place.astype(np.int64), width - 1)
    is_first = np.ones(len(bucket), bool)
    np.not_equal(bucket[1:], bucket[:-1], out=is_first[1:])
    return np.flatnonzero(is_first)


def find_extremes(value: FloatArray, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Return per bucket the first index of its lowest and its highest value.

    Of a bucket that has only NaN both are its first index.
    """
    lowest, highest = np.fmin.reduceat(value, starts), np.fmax.reduceat(value, starts)
    sizes = np.diff(np.append(starts, len(value)))
    is_low, is_high = value == np.repeat(lowest, sizes), value == np.repeat(highest, sizes)
    return _first_hit(is_low, lowest, starts), _first_hit(is_high, highest, starts)


def _first_hit(is_hit: np.ndarray, wanted: FloatArray, starts: IntArray) -> IntArray:
    hits = np.flatnonzero(is_hit)
    if not len(hits):
        return starts
    found = hits[np.minimum(np.searchsorted(hits, starts), len(hits) - 1)]
    return np.where(np.isnan(wanted), starts, found)
