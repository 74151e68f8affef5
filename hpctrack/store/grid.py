"""Points as a table of ranks by anything: where each one goes, and which one counts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import UsageError
from hpctrack.store.reduction import reduce_groups, reduce_table
from hpctrack.store.schema import FloatArray, IntArray

AxisArray = IntArray | FloatArray
"""What a table's columns stand for: int64 steps, or float64 seconds or values."""

FULL_ENOUGH = 4
"""A table with at most this many cells per point is made; a sparser one would waste memory."""

CELLS_MAX = 1 << 27
"""One gigabyte: a sparse table above it is refused instead of killing a login node."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the points of a metric go in a table of ranks by x.

    Parameters
    ----------
    ranks : ndarray of int64, shape (ranks,)
        The rows, increasing.
    x : ndarray, shape (columns,)
        The columns, increasing.
    kept : ndarray of int64, shape (m,), or None
        The points that count, by cell; None if it is all of them in their order.
    cell : ndarray of int64, shape (m,), or None
        Their cells, counted row by row, increasing; None if every cell has its point.
    """

    ranks: IntArray
    x: AxisArray
    kept: IntArray | None = None
    cell: IntArray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of ranks and of columns."""
        return len(self.ranks), len(self.x)

    @property
    def cells(self) -> int:
        """Number of cells, with a point or without."""
        return len(self.ranks) * len(self.x)

    @property
    def points(self) -> int:
        """Number of cells with a point."""
        return self.cells if self.cell is None else len(self.cell)

    def pick(self, of_points: NDArray[Any]) -> NDArray[Any]:
        """Return one value per point that counts, by cell; a view where it can be."""
        return of_points if self.kept is None else of_points[self.kept]

    def table(self, of_points: FloatArray) -> FloatArray:
        """Return values as ranks x columns, NaN where there is none; a view where it can be.

        Raises
        ------
        UsageError
            The table would be huge and almost empty.
        """
        is_sparse = self.cells > FULL_ENOUGH * self.points
        if is_sparse and self.cells > CELLS_MAX:
            raise UsageError(
                f"a table of {len(self.ranks)} ranks by {len(self.x)} columns is almost empty",
                hint="the ranks share few steps: ask for fewer columns with samples=1000",
            )
        return self.fill(of_points, np.nan)

    def fill(self, of_points: FloatArray, absent: float) -> FloatArray:
        """Return values as ranks x columns, whatever it takes; a view where it can be."""
        values = self.pick(of_points)
        if self.cell is None:
            return values.reshape(self.shape)
        table = np.full(self.cells, absent)
        table[self.cell] = values
        return table.reshape(self.shape)

    def highest(self, of_points: FloatArray | IntArray) -> NDArray[Any]:
        """Return the highest value of each column."""
        values = self.pick(of_points)
        if self.cell is None:
            return np.asarray(values.reshape(self.shape).max(axis=0, initial=_lowest(values)))
        highest = np.full(len(self.x), _lowest(values), values.dtype)
        np.maximum.at(highest, self.cell % len(self.x), values)
        return highest

    def reduce(self, of_points: FloatArray, hows: tuple[str, ...]) -> dict[str, FloatArray]:
        """Return one value per column and reduction, over the ranks that have one."""
        if self.cell is None or self.cells <= FULL_ENOUGH * self.points:
            return reduce_table(self.table(of_points), hows)
        column = self.cell % len(self.x)
        order = np.argsort(column)
        starts = np.searchsorted(column[order], np.arange(len(self.x)))
        return reduce_groups(self.pick(of_points)[order], starts, hows)


def make_grid(rank: IntArray, x: AxisArray) -> Grid:
    """Find out where points go; of several in one cell the last one counts.

    Parameters
    ----------
    rank : ndarray of int64, shape (n,)
        Never decreasing.
    x : ndarray, shape (n,)
        Without NaN.

    Notes
    -----
    O(n), without sorting, where each rank has a value for each x in the same order; else
    O(n) plus the range of integer x, or O(n log n). Memory is O(n): the table is made by
    `Grid.table` only.
    """
    if not len(rank):
        return Grid(rank, x)
    dense = _dense_grid(rank, x)
    if dense:
        return dense
    ranks, row = number_runs(rank)
    distinct, column = number_values(x)
    cell = row * len(distinct) + column
    kept: IntArray | None = None
    if not (cell[1:] > cell[:-1]).all():
        kept, cell = _keep_last(cell, len(ranks) * len(distinct))
    if len(cell) == len(ranks) * len(distinct):
        return Grid(ranks, distinct, kept)
    return Grid(ranks, distinct, kept, cell)


def _dense_grid(rank: IntArray, x: AxisArray) -> Grid | None:
    """Return the grid of ranks that all have the same x, increasing, each once."""
    width = int(np.searchsorted(rank, rank[0], "right"))
    first = rank[::width]
    if len(rank) % width or (first != rank[width - 1 :: width]).any():
        return None
    row = x[:width]
    if (first[1:] == first[:-1]).any() or (row[1:] <= row[:-1]).any():
        return None
    return Grid(first.copy(), row.copy()) if (x.reshape(-1, width) == row).all() else None


def number_runs(values: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct values of a sorted array and, for each element, which one it is."""
    is_new = np.ones(len(values), bool)
    is_new[1:] = values[1:] != values[:-1]
    return values[is_new], np.cumsum(is_new) - 1


def number_values(values: AxisArray) -> tuple[NDArray[Any], IntArray]:
    """Return the distinct values, increasing, and, for each element, which one it is."""
    if values.dtype.kind == "i" and len(values):
        low, high = int(values.min()), int(values.max())
        span = high - low + 1
        if span <= FULL_ENOUGH * len(values) + 1024:
            # Steps are mostly consecutive: marking them is ten times faster than sorting.
            is_there = np.zeros(span, bool)
            offset = values - low
            is_there[offset] = True
            number = np.cumsum(is_there) - 1
            return np.flatnonzero(is_there) + low, number[offset]
    # np.unique took 10 s for 10^6 random int64 (numpy 2.4), this 0.07 s.
    order = np.argsort(values)
    ordered = values[order]
    is_new = np.ones(len(values), bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    number = np.empty(len(values), np.int64)
    number[order] = np.cumsum(is_new) - 1
    return ordered[is_new], number


def order_within(rank: IntArray, x: AxisArray) -> IntArray | None:
    """Return the order by rank, then x, then place; None if the points have it.

    Parameters
    ----------
    rank : ndarray of int64, shape (n,)
        Never decreasing.
    x : ndarray, shape (n,)
    """
    if ((x[1:] >= x[:-1]) | (rank[1:] > rank[:-1])).all():
        return None
    order = np.argsort(x, kind="stable")
    row = number_runs(rank)[1]
    # numpy sorts 16 bits by their digits, five times faster than np.lexsort takes for both.
    row = row.astype(np.uint16) if row[-1] <= np.iinfo(np.uint16).max else row
    return order[np.argsort(row[order], kind="stable")]


def _keep_last(cell: IntArray, cells: int) -> tuple[IntArray, IntArray]:
    """Return the last point of each cell and these cells, by cell."""
    if cells <= FULL_ENOUGH * len(cell):
        last = np.full(cells, -1)
        last[cell] = np.arange(len(cell))  # numpy assigns in order: the last one stays
        found = np.flatnonzero(last >= 0)
        return last[found], found
    order = np.argsort(cell, kind="stable")
    ordered = cell[order]
    is_last = np.ones(len(order), bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    return order[is_last], ordered[is_last]


def _lowest(values: NDArray[Any]) -> Any:
    return np.iinfo(values.dtype).min if values.dtype.kind == "i" else -np.inf
