"""A series shrunk for drawing, with exact extremes. Pure.

A window of a chart is answered by the buckets of one level of the series' pyramid, so few that a
pixel gets at most two of them, and at its two edges by lower levels down to single points. Nothing
is sampled: the lowest and highest values are those of all points in the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpctrack.errors import UsageError
from hpctrack.store.pyramid import BucketArray, make_buckets, merge_buckets
from hpctrack.store.schema import FloatArray, IntArray

EDGE_STEP = 6
"""Edges are refined six levels at a time: reading 64 buckets costs as much as reading one."""


Window = tuple[int | None, int | None]
"""Steps: from the first on, below the second; None is no limit."""

ALL: Window = (None, None)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A series shrunk for drawing; every extreme is exact.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
        Where each stretch begins; never decreasing.
    low, high, mean : ndarray of float64, shape (n,)
        Of the points of the stretch. NaN points are left out, infinite ones are not.
    points : ndarray of int64, shape (n,)
        How many there are, at least 1.
    """

    step: IntArray
    low: FloatArray
    high: FloatArray
    mean: FloatArray
    points: IntArray

    def __len__(self) -> int:
        """Return the number of stretches."""
        return len(self.step)


@dataclass(frozen=True, slots=True)
class Part:
    """Buckets, or points, that together with others make up a window.

    Parameters
    ----------
    level : int
        Of the buckets; -1 for single points.
    first, last : int
        The first one, and the one after the last one.
    """

    level: int
    first: int
    last: int


def find_stretch(first: int, last: int, width: int) -> int:
    """Return how many points, a power of two, become one stretch of an envelope.

    Stretches begin at multiples of it, and at most ``2 * width`` of them meet the window.
    """
    if width < 1:
        raise UsageError(f"a width of {width} pixels", hint="ask for at least 1")
    stretch = 1
    while last > first and (last - 1) // stretch - first // stretch + 1 > 2 * width:
        stretch *= 2
    return stretch


def plan_window(first: int, last: int, stretch: int, *, base: int, levels: int) -> list[Part]:
    """Say what to read for a window.

    Parameters
    ----------
    first, last : int
        First point of the window, and the one after its last.
    stretch : int
        From `find_stretch`.
    base, levels : int
        Of the pyramid; ``levels`` 0 if there is none.

    Returns
    -------
    list of Part
        Disjoint, in order, each within whole stretches or within the window's edges; together
        they are the window. There are at most ``4 * width`` buckets and a few hundred at the edges,
        or ``2 * width * base`` points.
    """
    level = min((stretch // base).bit_length() - 1, levels - 1)
    return list(_cover(first, last, base, level))


def _cover(first: int, last: int, base: int, level: int) -> Iterator[Part]:
    if first >= last:
        return
    if level < 0:
        yield Part(-1, first, last)
        return
    size = base << level
    inner_first, inner_last = -(-first // size), last // size
    below = max(level - EDGE_STEP, 0) if level else -1
    if inner_first >= inner_last:
        yield from _cover(first, last, base, below)
        return
    yield from _cover(first, inner_first * size, base, below)
    yield Part(level, inner_first, inner_last)
    yield from _cover(inner_last * size, last, base, below)


def stretch_starts(first: int, last: int, stretch: int) -> IntArray:
    """Return where stretches begin within points ``first`` to ``last``, counted from ``first``."""
    cuts = np.arange(-(-first // stretch) * stretch, last, stretch, dtype=np.int64) - first
    return cuts if len(cuts) and cuts[0] == 0 else np.concatenate([np.zeros(1, np.int64), cuts])


def make_envelope(buckets: BucketArray, index: IntArray, stretch: int) -> Envelope:
    """Join what was read of a window into stretches.

    Parameters
    ----------
    buckets : structured array of `BUCKET`, shape (n,)
        In order.
    index : ndarray of int64, shape (n,)
        The first point of each.
    stretch : int
        Points per stretch.
    """
    # A bucket without points may begin anywhere.
    has_points = buckets["points"] > 0
    buckets, index = buckets[has_points], index[has_points]
    numbers = index // stretch
    is_first = np.ones(len(numbers), bool)
    is_first[1:] = numbers[1:] != numbers[:-1]
    merged = merge_buckets(buckets, np.flatnonzero(is_first))
    return Envelope(
        merged["step"].astype(np.int64),
        merged["low"].astype(np.float64),
        merged["high"].astype(np.float64),
        merged["mean"].astype(np.float64),
        merged["points"].astype(np.int64),
    )


def draw_window(step: IntArray, value: FloatArray, window: Window, width: int) -> Envelope:
    """Return the envelope of those points in memory whose steps lie in a window."""
    inside = within(step, window)
    return draw_series(step[inside], value[inside], width)


def within(step: IntArray, window: Window) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell which steps lie in a window."""
    inside = np.ones(len(step), bool)
    start, stop = window
    if start is not None:
        inside &= step >= start
    if stop is not None:
        inside &= step < stop
    return inside


def draw_series(step: IntArray, value: FloatArray, width: int) -> Envelope:
    """Return the envelope of points that are in memory, in any order of steps.

    Parameters
    ----------
    step, value : ndarray, shape (n,)
    width : int
        Pixels; the envelope has at most twice as many stretches.

    Raises
    ------
    UsageError
        ``width`` is below 1.
    """
    stretch = find_stretch(0, len(step), width)
    if len(step) and (step[1:] < step[:-1]).any():
        order = np.argsort(step, kind="stable")
        step, value = step[order], value[order]
    starts = np.arange(0, len(step), stretch)
    return make_envelope(make_buckets(step, value, starts), starts, stretch)


def add_late(envelope: Envelope, step: IntArray, value: FloatArray, width: int) -> Envelope:
    """Add points that were logged late: each counts in the stretch that its step falls into."""
    is_number = ~np.isnan(value)
    step, value = step[is_number], value[is_number]
    if not len(envelope) or not len(step):
        return envelope if len(envelope) else draw_series(step, value, width)
    where = np.maximum(np.searchsorted(envelope.step, step, side="right") - 1, 0)
    starts, low, high = envelope.step.copy(), envelope.low.copy(), envelope.high.copy()
    np.minimum.at(starts, where, step)
    np.minimum.at(low, where, value)
    np.maximum.at(high, where, value)
    points = envelope.points + np.bincount(where, minlength=len(low))
    with np.errstate(invalid="ignore", over="ignore"):
        added = np.bincount(where, weights=value, minlength=len(low))
        mean = (envelope.mean * envelope.points + added) / points
    return Envelope(starts, low, high, mean, points)
