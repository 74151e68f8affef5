"""Fewer points, the same picture: every bucket keeps its extremes. Pure.

A series of any length is cut into as many buckets as a screen has columns. What a reader could
see in the full drawing (the lowest and highest pixel of a column, a gap, the end) is kept
exactly; what could not be seen is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
NumberArray = NDArray[Any]


def envelope(step: NumberArray, value: FloatArray, *, width: int) -> tuple[NumberArray, FloatArray]:
    """Shrink a series for drawing without hiding a spike.

    Splits the range of steps into ``width`` equal buckets and keeps the lowest and the highest
    value of each, in step order. The last point is always kept, so that a live curve ends where
    the run is now.

    Parameters
    ----------
    step : ndarray of int64 or float64, shape (n,)
        Never decreasing; steps, or seconds.
    value : ndarray of float64, shape (n,)
        NaN is kept if a whole bucket is NaN, and ignored otherwise.
    width : int
        Screen columns, at least 1.

    Returns
    -------
    step, value : ndarrays, shape (m,) with m <= 2 * width + 1
        Points of the series; all of them if they are no more than that.

    Raises
    ------
    ValueError
        Shapes differ, or ``width`` is below 1.

    Notes
    -----
    O(n) time and memory; pure; same input, same output.
    """
    if step.shape != value.shape:
        raise ValueError(f"shapes differ: {step.shape} steps, {value.shape} values")
    starts = _bucket_starts(step, width)
    if len(step) <= 2 * width + 1:
        return step, value
    low = _first_where_equal(value, np.fmin.reduceat(value, starts), starts)
    high = _first_where_equal(value, np.fmax.reduceat(value, starts), starts)
    kept = np.unique(np.concatenate([low, high, [len(step) - 1]]))
    return step[kept], value[kept]


@dataclass(frozen=True, slots=True)
class Band:
    """A reduced metric: its mean over the ranks, between the lowest and the highest.

    Parameters
    ----------
    x, mean, low, high : ndarray of float64, shape (n,)
    """

    x: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self.x)

    def window(self, start: float | None, end: float | None) -> Band:
        """Cut out what lies between two x, with one column more on each side."""
        cut = window(self.x, start, end)
        return Band(self.x[cut], self.mean[cut], self.low[cut], self.high[cut])


def shrink_band(band: Band, *, width: int) -> Band:
    """Shrink a band: the extremes of each bucket are exact, the mean is the mean of its steps.

    Parameters
    ----------
    band : Band
        ``x`` never decreasing.
    width : int
        Screen columns, at least 1.

    Returns
    -------
    Band
        At most ``width + 1`` columns, each at the first x of its bucket; the last one is the
        last of the input, as it was.

    Raises
    ------
    ValueError
        ``width`` is below 1.
    """
    starts = _bucket_starts(band.x[:-1], width)
    if len(band) <= width + 1:
        return band
    return Band(
        np.append(band.x[starts], band.x[-1]),
        np.append(_mean_of_buckets(band.mean[:-1], starts), band.mean[-1]),
        np.append(np.fmin.reduceat(band.low[:-1], starts), band.low[-1]),
        np.append(np.fmax.reduceat(band.high[:-1], starts), band.high[-1]),
    )


def window(x: NumberArray, start: float | None, end: float | None) -> slice:
    """Return where ``x`` lies between two values, with one more on each side.

    The neighbours outside let a line run on to the edge of the plot.
    """
    first = 0 if start is None else max(int(np.searchsorted(x, start, "left")) - 1, 0)
    last = len(x) if end is None else int(np.searchsorted(x, end, "right")) + 1
    return slice(first, last)


def _bucket_starts(x: NumberArray, width: int) -> IntArray:
    """Return the index of the first point of each bucket that is not empty."""
    if width < 1:
        raise ValueError(f"width is {width}, at least 1 is needed")
    if not len(x):
        return np.zeros(0, np.int64)
    span = float(x[-1]) - float(x[0])
    if span <= 0:
        return np.zeros(1, np.int64)
    # In float64: the difference of two int64 can be too large for one.
    position = (x.astype(np.float64) - float(x[0])) * (width / span)
    bucket = np.minimum(position.astype(np.int64), width - 1)
    return np.flatnonzero(np.diff(bucket, prepend=-1) > 0)


def _first_where_equal(value: FloatArray, wanted: FloatArray, starts: IntArray) -> IntArray:
    """Return, per bucket, the first index that has its wanted value; of a NaN bucket its start."""
    counts = np.diff(np.append(starts, len(value)))
    hits = np.flatnonzero(value == np.repeat(wanted, counts))
    if not len(hits):
        return starts
    found = hits[np.minimum(np.searchsorted(hits, starts), len(hits) - 1)]
    return np.where(np.isnan(wanted), starts, found)


def _mean_of_buckets(value: FloatArray, starts: IntArray) -> FloatArray:
    is_there = ~np.isnan(value)
    counts = np.add.reduceat(is_there.astype(np.float64), starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.add.reduceat(np.where(is_there, value, 0.0), starts)
        return np.asarray(np.where(counts > 0, total / counts, np.nan))
