"""One metric of a run: rank is an axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.columns import Columns
from hpctrack.store.schema import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Series:
    """Values over steps.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
    wall_s : ndarray of float64, shape (n,)
        UTC seconds; of reduced values the latest of the ranks.
    value : ndarray of float64, shape (n,)
    """

    step: IntArray
    wall_s: FloatArray
    value: FloatArray

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.step)


@dataclass(frozen=True, slots=True)
class RankMatrix:
    """A metric as ranks x steps.

    Parameters
    ----------
    values : ndarray of float64, shape (ranks, steps)
        NaN where a rank has no value.
    ranks : ndarray of int64, shape (ranks,)
    steps : ndarray of int64, shape (steps,)
    wall_s : ndarray of float64, shape (steps,)
        When the last rank logged the step.
    """

    values: FloatArray
    ranks: IntArray
    steps: IntArray
    wall_s: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """Number of ranks and of steps."""
        return len(self.ranks), len(self.steps)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001 - numpy's protocol
        """Return the values, for numpy."""
        return np.array(self.values, dtype=dtype, copy=bool(copy))


def _spread(values: FloatArray) -> FloatArray:
    return np.asarray(np.nanmax(values, axis=0) - np.nanmin(values, axis=0))


REDUCTIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "mean": lambda v: np.nanmean(v, axis=0),
    "min": lambda v: np.nanmin(v, axis=0),
    "max": lambda v: np.nanmax(v, axis=0),
    "std": lambda v: np.nanstd(v, axis=0),
    "p5": lambda v: np.nanpercentile(v, 5, axis=0),
    "p95": lambda v: np.nanpercentile(v, 95, axis=0),
    "spread": _spread,
}
"""How the ranks' values of one step become one number; absent ranks do not count."""


class Metric:
    """All points of one metric of a run.

    Parameters
    ----------
    name : str
        As logged.
    columns : Columns
        All points; those that a requeued attempt computed again are left out here.

    Attributes
    ----------
    name : str
    steps, ranks : ndarray of int64, shape (n,)
    wall_s, values : ndarray of float64, shape (n,)
        All ranks, sorted by rank, in the order of logging.

    Examples
    --------
    >>> metric = run.metric("loss")              # doctest: +SKIP
    >>> metric.rank(3).value                     # doctest: +SKIP
    >>> metric.reduce("p95").value               # doctest: +SKIP
    """

    def __init__(self, name: str, columns: Columns) -> None:
        current = columns.current()
        self.name = name
        self.recomputed_points = len(columns) - len(current)
        self.ranks = current.rank
        self.steps = current.step
        self.wall_s = current.wall_s
        self.values = current.value

    def __len__(self) -> int:
        """Return the number of points of all ranks."""
        return len(self.values)

    def __repr__(self) -> str:
        """Name the metric."""
        count = len(np.unique(self.ranks))
        return f"<hpctrack.Metric {self.name!r}: {len(self)} points of {count} ranks>"

    def rank_numbers(self) -> list[int]:
        """Return the ranks that have logged this metric."""
        return [int(one) for one in np.unique(self.ranks)]

    def rank(self, rank: int) -> Series:
        """Return one rank's values in the order of logging.

        Raises
        ------
        NotFoundError
            The rank has not logged this metric.
        """
        start, end = np.searchsorted(self.ranks, [rank, rank + 1])
        if start == end:
            raise NotFoundError(
                f"rank {rank} has not logged {self.name!r}",
                hint=f"ranks that have: {_shorten(self.rank_numbers())}",
            )
        mine = slice(int(start), int(end))
        return Series(self.steps[mine], self.wall_s[mine], self.values[mine])

    def matrix(self) -> RankMatrix:
        """Return the values as ranks x steps.

        Returns
        -------
        RankMatrix
            NaN where a rank has no value for a step; the last value where it has several.
        """
        ranks, rows = np.unique(self.ranks, return_inverse=True)
        steps, columns = np.unique(self.steps, return_inverse=True)
        values = np.full((len(ranks), len(steps)), np.nan)
        values[rows, columns] = self.values
        wall_s = np.zeros(len(steps))
        np.maximum.at(wall_s, columns, self.wall_s)
        return RankMatrix(values, ranks, steps, wall_s)

    def reduce(self, how: str) -> Series:
        """Return one value per step over all ranks that have one.

        Parameters
        ----------
        how : {"mean", "min", "max", "std", "p5", "p95", "spread"}
            What to do with the ranks' values; NaN values do not count.

        Raises
        ------
        UsageError
            ``how`` is something else.
        """
        if how not in REDUCTIONS:
            raise UsageError(
                f"cannot reduce by {how!r}", hint=f"use one of {', '.join(REDUCTIONS)}"
            )
        matrix = self.matrix()
        is_there = ~np.isnan(matrix.values).all(axis=0)
        out = np.full(len(matrix.steps), np.nan)
        if is_there.any():
            out[is_there] = REDUCTIONS[how](matrix.values[:, is_there])
        return Series(matrix.steps, matrix.wall_s, out)


def _shorten(numbers: list[int]) -> str:
    shown = ", ".join(str(one) for one in numbers[:8])
    return f"{shown}, ..." if len(numbers) > 8 else shown  # noqa: PLR2004 - fits a line
