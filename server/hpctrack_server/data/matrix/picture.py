"""A window of a plane as the bytes of a picture, with what stands beside it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpctrack_server.data.downsample import IntArray
from hpctrack_server.data.matrix.plane import (
    CellArray,
    How,
    Plane,
    choose_columns,
    mean_of_columns,
    reduce_ranks,
    reduce_rows,
)

TOP_CODE = 253
"""The colours of a picture are 0 to this."""
NO_VALUE = 255
"""A pixel that no point falls into."""

CLIP = (0.5, 99.5)
"""Percentiles at which colours end, unless the reader says where: one spike would leave one
colour for everything else."""

QUANTILES = (5.0, 50.0, 95.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The part of a heat map that is asked for.

    Parameters
    ----------
    how : How
    start, stop : float or None
        Steps; None is no limit.
    first, last : int
        Rows, in the order of the ranks that is chosen.
    width, height : int
        Pixels.
    low, high : float or None
        Where the colours end; None: see `CLIP`.
    """

    how: How = How.MAX
    start: float | None = None
    stop: float | None = None
    first: int = 0
    last: int | None = None
    width: int = 1000
    height: int = 512
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a browser draws.

    Parameters
    ----------
    codes : ndarray of uint8, shape (rows, columns)
    x0, x1 : float
        Steps at its left and right edge.
    starts : ndarray of int64, shape (rows + 1,)
        Where each row's ranks begin.
    low, high : float
        Where the colours end.
    lowest, highest : float
        Of what is shown; NaN if nothing is.
    clipped : int
        Pixels whose value is beyond the colours.
    each_step : float
        Steps of a column.
    means : ndarray of float32, shape (ranks,)
        Of each rank, over the window.
    """

    codes: NDArray[np.uint8]
    x0: float
    x1: float
    starts: IntArray
    low: float
    high: float
    lowest: float
    highest: float
    clipped: int
    each_step: float
    means: CellArray


def draw(plane: Plane, order: IntArray, wanted: Wanted, *, beside: Plane | None = None) -> Picture:
    """Draw a window.

    Parameters
    ----------
    plane : Plane
    order : ndarray of int64, shape (ranks,)
        The plane's columns in the order of the picture's rows.
    wanted : Wanted
    beside : Plane, optional
        What the ranks' means are taken of, if that is cheaper; default is the plane.
    """
    start, stop = clip_window(plane, wanted)
    last = len(order) if wanted.last is None else min(wanted.last, len(order))
    chosen = order[min(max(wanted.first, 0), max(last - 1, 0)) : last]
    columns = choose_columns(plane, start, stop, wanted.width)
    cells = reduce_rows(plane, columns, wanted.how)
    rows, starts = reduce_ranks(cells[:, chosen], wanted.height, wanted.how)
    low, high = choose_limits(rows, wanted.low, wanted.high)
    finite = rows[np.isfinite(rows)]
    with np.errstate(invalid="ignore"):
        clipped = int(np.count_nonzero((rows < low) | (rows > high)))
    return Picture(
        codes=encode(rows, low, high),
        x0=columns.x0,
        x1=columns.x1,
        starts=starts,
        low=low,
        high=high,
        lowest=float(finite.min()) if len(finite) else math.nan,
        highest=float(finite.max()) if len(finite) else math.nan,
        clipped=clipped,
        each_step=(columns.x1 - columns.x0) / max(len(columns), 1),
        means=mean_of_ranks(beside or plane, start, stop)[chosen],
    )


def clip_window(plane: Plane, wanted: Wanted) -> tuple[float, float]:
    """Return the window that there is something to draw of."""
    if not len(plane):
        return 0.0, 1.0
    begin, end = float(plane.starts[0]), float(plane.stops[-1])
    start = begin if wanted.start is None else min(max(wanted.start, begin), end - 1)
    stop = end if wanted.stop is None else max(min(wanted.stop, end), start + 1)
    return start, stop


def measure_spread(cells: CellArray) -> CellArray:
    """Return lowest, 5 %, median, 95 % and highest of each row; NaN does not count."""
    if not cells.size:
        return np.full((len(cells), 5), np.nan, np.float32)
    ordered = np.sort(cells, axis=1)  # NaN goes to the end
    count = np.count_nonzero(~np.isnan(cells), axis=1)
    found = np.empty((len(cells), 5), np.float32)
    at = np.arange(len(cells))
    top = np.maximum(count - 1, 0)
    found[:, 0], found[:, 4] = ordered[:, 0], ordered[at, top]
    for place, percent in enumerate(QUANTILES, 1):
        position = top * percent / 100
        below = np.floor(position).astype(np.int64)
        share = (position - below).astype(np.float32)
        here, above = ordered[at, below], ordered[at, np.minimum(below + 1, top)]
        with np.errstate(invalid="ignore", over="ignore"):
            found[:, place] = np.where(share > 0, here + (above - here) * share, here)
    found[count == 0] = np.nan
    return found


def mean_of_ranks(plane: Plane, start: float, stop: float) -> CellArray:
    """Return the mean of each rank in a window; NaN of one that has no value there."""
    first, last = plane.find(start, stop)
    ranks = plane.mean.shape[1]
    if first == last:
        return np.full(ranks, np.nan, np.float32)
    weight = None if plane.weight is None else plane.weight[first:last]
    return mean_of_columns(plane.mean[first:last], weight)


def choose_limits(values: CellArray, low: float | None, high: float | None) -> tuple[float, float]:
    """Return where the colours end: where the reader says, else at `CLIP`."""
    finite = values[np.isfinite(values)]
    if len(finite):
        found = np.percentile(finite, CLIP)
        begin = float(found[0]) if low is None else low
        end = float(found[1]) if high is None else high
    else:
        begin, end = low or 0.0, high if high is not None else (low or 0.0) + 1.0
    if end > begin:
        return begin, end
    # One value, or limits that are the same: it gets the colour in the middle.
    half = abs(begin) * 0.05 or 0.5
    return begin - half, begin + half


def encode(values: CellArray, low: float, high: float) -> NDArray[np.uint8]:
    """Return values as 0 to `TOP_CODE` between two limits, `NO_VALUE` for NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = (values - np.float32(low)) * np.float32(TOP_CODE / (high - low))
        scaled = np.clip(np.rint(scaled), 0, TOP_CODE)
    scaled[np.isnan(values)] = NO_VALUE
    scaled[np.isnan(scaled)] = TOP_CODE
    return np.asarray(scaled, np.uint8)
