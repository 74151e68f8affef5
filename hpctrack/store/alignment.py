"""Putting ranks side by side over something that they do not share, as time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import UsageError
from hpctrack.store.grid import AxisArray, make_grid, number_runs, order_within
from hpctrack.store.schema import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Held:
    """Which point each rank stands at in each interval of x.

    Parameters
    ----------
    ranks : ndarray of int64, shape (ranks,)
    x : ndarray of float64, shape (columns,)
        Where each interval ends.
    point : ndarray of int64, shape (ranks, columns)
        -1 where the rank does not count.
    """

    ranks: IntArray
    x: FloatArray
    point: IntArray

    def table(self, of_points: FloatArray) -> FloatArray:
        """Return values as ranks x columns, NaN where the rank does not count."""
        if not self.point.size:
            return np.zeros(self.point.shape)
        return np.asarray(np.where(self.point >= 0, of_points[self.point], np.nan))

    def highest(self, of_points: FloatArray | IntArray) -> NDArray[Any]:
        """Return the highest value of each column."""
        if not self.point.size:
            return of_points[:0]
        found = of_points[np.maximum(self.point, 0)]
        return np.asarray(found.max(axis=0, where=self.point >= 0, initial=of_points.min()))


def hold(rank: IntArray, x: AxisArray, samples: int) -> Held:
    """Cut x into equal intervals and find where each rank stands at the end of each.

    From the lowest x of all ranks to the highest there are ``samples`` intervals. At the end
    of an interval a rank stands at its point with the highest x at or before it, of several
    with that x at the one logged last. It counts from the interval of its first point to the
    interval of its last: a rank that has ended is not carried on. Intervals in which no rank
    counts are left out.

    Parameters
    ----------
    rank : ndarray of int64, shape (n,)
        Never decreasing.
    x : ndarray, shape (n,)
        Finite.
    samples : int
        At least 1.

    Raises
    ------
    UsageError
        ``samples`` is below 1.
    """
    if samples < 1:
        raise UsageError(f"samples is {samples}, at least 1 is needed")
    if not len(rank):
        return Held(rank, np.zeros(0), np.zeros((0, 0), np.int64))
    x = x.astype(np.float64)
    order = order_within(rank, x)
    if order is not None:
        rank, x = rank[order], x[order]
    ends = _interval_ends(float(x.min()), float(x.max()), samples)
    ranks, row = number_runs(rank)
    interval = np.searchsorted(ends, x, "left")
    point = np.full((len(ranks), len(ends)), -1)
    point[row, interval] = np.arange(len(x))
    point = np.maximum.accumulate(point, axis=1)
    last = np.append(np.flatnonzero(np.diff(rank)), len(rank) - 1)
    point[np.arange(len(ends)) > interval[last][:, np.newaxis]] = -1
    is_there = (point >= 0).any(axis=0)
    ends, point = ends[is_there], point[:, is_there]
    if order is not None:
        point = np.where(point >= 0, order[point], -1)
    return Held(ranks, ends, point)


def _interval_ends(low: float, high: float, samples: int) -> FloatArray:
    if low == high:
        return np.array([high])
    # Divided first: the difference of two large values may be infinite.
    width = high / samples - low / samples
    ends: FloatArray = np.minimum(low + width * np.arange(1, samples + 1), high)
    ends[-1] = high
    return ends


def join_last(
    rank: IntArray,
    step: IntArray,
    *,
    other_rank: IntArray,
    other_step: IntArray,
    other_value: FloatArray,
) -> FloatArray:
    """Give each point another metric's value of the same rank, at its step or the last before.

    A rank that has not logged the other metric at all takes that of the lowest rank that has:
    what holds for the whole job, as the epoch, is mostly logged by rank 0 alone.

    Parameters
    ----------
    rank, step : ndarray of int64, shape (n,)
    other_rank, other_step, other_value : ndarray, shape (m,)
        ``other_rank`` never decreasing; of several values at one step the last one counts.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN before the first value.
    """
    if not len(other_rank):
        return np.full(len(rank), np.nan)
    grid = make_grid(other_rank, other_step)
    width = len(grid.x)
    row = np.searchsorted(grid.ranks, rank)
    is_known = grid.ranks[np.minimum(row, len(grid.ranks) - 1)] == rank
    row = np.where(is_known, row, 0)
    column = np.searchsorted(grid.x, step, "right") - 1
    key = row * width + column
    place = key if grid.cell is None else np.searchsorted(grid.cell, key, "right") - 1
    found_row = place // width if grid.cell is None else grid.cell[np.maximum(place, 0)] // width
    is_found = (column >= 0) & (place >= 0) & (found_row == row)
    values = grid.pick(other_value)
    return np.asarray(np.where(is_found, values[np.maximum(place, 0)], np.nan))
