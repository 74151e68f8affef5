"""What reading a metric gives: values over something, for one rank, all of them, or reduced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hpctrack.store.grid import AxisArray
from hpctrack.store.schema import FloatArray, IntArray

STEP, WALL, RELATIVE = "step", "wall", "relative"
"""What a metric can be read by, besides other metrics."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values over something.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
        Of reduced values the highest step of the ranks.
    wall_s : ndarray of float64, shape (n,)
        UTC seconds; of reduced values the latest of the ranks.
    value : ndarray of float64, shape (n,)
    x : ndarray, shape (n,)
        What was asked for: the step, seconds, or the other metric's value.
    by : str
        What ``x`` is.
    left_out : int
        Points that have no ``x``, such as those before the first epoch; they are not here.
    """

    step: IntArray
    wall_s: FloatArray
    value: FloatArray
    x: AxisArray
    by: str = STEP
    left_out: int = 0

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.step)

    def __repr__(self) -> str:
        """Say how much there is, and what is not."""
        return f"<hpctrack.Series {len(self)} values by {self.by!r}{_absent(self.left_out)}>"


@dataclass(frozen=True, slots=True)
class RankMatrix:
    """A metric as ranks x columns; the columns are steps unless something else was asked for.

    Parameters
    ----------
    values : ndarray of float64, shape (ranks, columns)
        NaN where a rank has no value.
    ranks : ndarray of int64, shape (ranks,)
    steps : ndarray of int64, shape (columns,)
        The highest step in each column.
    wall_s : ndarray of float64, shape (columns,)
        UTC seconds of the latest value in each column.
    x : ndarray, shape (columns,)
        What was asked for: the step, seconds, or the other metric's value.
    by : str
        What ``x`` is.
    left_out : int
        Points of all ranks that have no ``x``; they are not here.
    """

    values: FloatArray
    ranks: IntArray
    steps: IntArray
    wall_s: FloatArray
    x: AxisArray
    by: str = STEP
    left_out: int = 0

    def __repr__(self) -> str:
        """Say how much there is, and what is not."""
        ranks, columns = self.shape
        shown = f"{ranks} ranks x {columns} columns by {self.by!r}"
        return f"<hpctrack.RankMatrix {shown}{_absent(self.left_out)}>"

    @property
    def shape(self) -> tuple[int, int]:
        """Number of ranks and of columns."""
        return len(self.ranks), len(self.x)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001 - numpy's protocol
        """Return the values, for numpy."""
        return np.array(self.values, dtype=dtype, copy=bool(copy))


def _absent(points: int) -> str:
    return f", {points:,} points left out" if points else ""
