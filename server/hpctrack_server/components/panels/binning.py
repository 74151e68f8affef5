"""Counting: histograms of a column, and two columns against each other. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from hpctrack_server.components.panels.column import Column, FloatArray, Kind

BINS_MAX = 200
CATEGORY_BINS_MAX = 60


class Aggregate(StrEnum):
    """What the colour of a cell is."""

    COUNT = "count"
    MEAN = "mean"
    MEDIAN = "median"
    MIN = "min"
    MAX = "max"
    STD = "std"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One side of a binned drawing.

    Parameters
    ----------
    edges : ndarray, shape (bins + 1,)
        In values; for categories -0.5, 0.5, ...
    labels : tuple of str
        Of categories.
    is_log : bool
    """

    edges: FloatArray
    labels: tuple[str, ...] = ()
    is_log: bool = False

    @property
    def bins(self) -> int:
        """How many."""
        return len(self.edges) - 1

    def place(self, numbers: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the bin of each number, -1 for what lies in none; the last bin is closed."""
        found = np.searchsorted(self.edges, numbers, side="right") - 1
        found[numbers == self.edges[-1]] = self.bins - 1
        out = ~np.isfinite(numbers) | (found < 0) | (found >= self.bins)
        return np.where(out, -1, found).astype(np.int64)


def choose_bins(numbers: FloatArray, *, most: int = 60) -> int:
    """Return how many bins show some numbers: Freedman and Diaconis' rule, 5 to ``most``."""
    known = numbers[np.isfinite(numbers)]
    if len(known) < 2:  # noqa: PLR2004
        return 1
    quarter, third = np.percentile(known, [25, 75])
    span = known.max() - known.min()
    if span <= 0:
        return 1
    width = 2 * (third - quarter) / len(known) ** (1 / 3)
    wanted = int(np.ceil(span / width)) if width > 0 else int(np.sqrt(len(known)))
    return max(5, min(wanted, most))


def make_axis(column: Column, *, bins: int = 0, is_log: bool = False, most: int = 60) -> Axis:
    """Return the bins of a column: equal ones, one per category, or one per whole number.

    Parameters
    ----------
    column : Column
    bins : int
        How many; 0 chooses.
    is_log : bool
        Equal in the logarithm; only what is above 0 counts.
    most : int
        Of those that are chosen.
    """
    if column.kind == Kind.CATEGORY:
        edges = np.arange(len(column.labels) + 1, dtype=np.float64) - 0.5
        return Axis(edges=edges, labels=column.labels)
    numbers = column.numbers[column.is_known]
    if is_log:
        numbers = np.log10(numbers[numbers > 0])
    if not len(numbers):
        return Axis(edges=np.array([0.0, 1.0]), is_log=is_log)
    low, high = float(numbers.min()), float(numbers.max())
    whole = not is_log and bool(np.all(numbers == np.round(numbers))) and high - low < most
    if whole and not bins:
        edges = np.arange(low, high + 2, dtype=np.float64) - 0.5
    elif high > low:
        count = min(bins or choose_bins(numbers, most=most), BINS_MAX)
        edges = np.linspace(low, high, count + 1)
    else:
        half = abs(low) * 0.05 or 0.5
        edges = np.array([low - half, low + half])
    if is_log:
        edges = np.power(10.0, edges)
        # 10 ** log10(x) can miss x by one bit, and the outermost run would be in no bin.
        edges[0], edges[-1] = edges[0] * (1 - 1e-12), edges[-1] * (1 + 1e-12)
    return Axis(edges=edges, is_log=is_log)


def aggregate_cells(
    x: Column, y: Column, colour: Column | None, axes: tuple[Axis, Axis], how: Aggregate
) -> tuple[FloatArray, FloatArray]:
    """Return one number per cell of two columns.

    Parameters
    ----------
    x, y : Column
    colour : Column or None
        What is aggregated; None counts.
    axes : pair of Axis
        Of x and of y.
    how : Aggregate

    Returns
    -------
    values, counts : ndarrays, shape (bins of y, bins of x)
        NaN where no run lies.
    """
    columns, rows = axes[0].place(x.numbers), axes[1].place(y.numbers)
    known = (columns >= 0) & (rows >= 0)
    if colour is not None:
        known &= colour.is_known
    shape = (axes[1].bins, axes[0].bins)
    cells = rows[known] * shape[1] + columns[known]
    counts = np.bincount(cells, minlength=shape[0] * shape[1]).astype(np.float64)
    if colour is None or how == Aggregate.COUNT:
        values = np.where(counts > 0, counts, np.nan)
    else:
        values = _aggregate(cells, colour.numbers[known], counts, how)
    return values.reshape(shape), counts.reshape(shape)


def _aggregate(
    cells: np.ndarray[tuple[int], np.dtype[np.int64]],
    numbers: FloatArray,
    counts: FloatArray,
    how: Aggregate,
) -> FloatArray:
    values = np.full(len(counts), np.nan)
    if how == Aggregate.MEAN:
        total = np.bincount(cells, weights=numbers, minlength=len(counts))
        np.divide(total, counts, out=values, where=counts > 0)
        return values
    order = np.argsort(cells, kind="stable")
    used, starts = np.unique(cells[order], return_index=True)
    for cell, part in zip(used, np.split(numbers[order], starts[1:]), strict=True):
        values[cell] = _AGGREGATES[how](part)
    return values


_AGGREGATES: dict[Aggregate, Callable[[FloatArray], Any]] = {
    Aggregate.MEDIAN: np.median,
    Aggregate.MIN: np.min,
    Aggregate.MAX: np.max,
    Aggregate.STD: lambda part: np.std(part, ddof=1) if len(part) > 1 else 0.0,
}
