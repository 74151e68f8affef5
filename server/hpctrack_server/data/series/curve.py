"""One line of numbers, whole, before anything is left out for drawing. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hpctrack_server.data.downsample import FloatArray, IntArray, NumberArray


@dataclass(frozen=True, slots=True)
class Whole:
    """Where a line begins and ends.

    Parameters
    ----------
    first : (int, float)
        Step and time, UTC seconds.
    last : (int, float, float)
        Step, time and value.
    """

    first: tuple[int, float]
    last: tuple[int, float, float]

    def places(self, x: str, began_wall_s: float) -> tuple[float, float]:
        """Return both along an x axis: ``step``, ``time`` or ``relative``."""
        if x == "step":
            return float(self.first[0]), float(self.last[0])
        shift = began_wall_s if x == "relative" else 0.0
        return self.first[1] - shift, self.last[1] - shift


@dataclass(frozen=True, slots=True)
class Curve:
    """All points of a line.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
    wall_s : ndarray of float64, shape (n,), or None
        UTC seconds; None if nobody asked for it.
    value : ndarray of float64 or float32, shape (n,)
        NaN is a gap.
    rank : int or None
        None if the line stands for several ranks.
    stretch : float
        1 if it has all points; of a line that is too long to be read the values are means of so
        many points.
    extremes : Curve or None
        Of such a line the lowest and highest points of each stretch.
    whole : Whole or None
        Of such a line how far all of it goes: here may be a part.
    """

    step: IntArray
    wall_s: FloatArray | None
    value: FloatArray
    rank: int | None = None
    stretch: float = 1.0
    extremes: Curve | None = None
    whole: Whole | None = None

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.step)

    @property
    def size_bytes(self) -> int:
        """Memory that the points take."""
        times = 0 if self.wall_s is None else self.wall_s.nbytes
        return self.step.nbytes + times + self.value.nbytes


@dataclass(frozen=True, slots=True)
class Drawn:
    """A line along its x axis.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Never decreasing, finite.
    y : ndarray of float64, shape (n,)
        NaN is a gap; never infinite.
    gaps : int
        How many points had a value that cannot be drawn.
    """

    x: NumberArray
    y: FloatArray
    gaps: int = 0


def lay_along(x: NumberArray, value: FloatArray) -> Drawn:
    """Put values in the order of x; points without an x are left out."""
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        has_x = np.isfinite(x)
        x, value = x[has_x], value[has_x]
    if len(x) > 1 and (x[1:] < x[:-1]).any():
        order = np.argsort(x, kind="stable")
        x, value = x[order], value[order]
    is_number = np.isfinite(value)
    gaps = len(value) - int(np.count_nonzero(is_number))
    if gaps:
        value = np.where(is_number, value, np.nan)
    return Drawn(x, value, gaps)


def cut_positive(drawn: Drawn) -> Drawn:
    """Leave out what a logarithmic axis has no place for."""
    first = int(np.searchsorted(drawn.x, 0, side="right"))
    return replace(drawn, x=drawn.x[first:], y=drawn.y[first:]) if first else drawn


def find_last(line: Drawn) -> tuple[float, float] | None:
    """Return the last point that is a number."""
    if len(line.y) and not np.isnan(line.y[-1]):
        return float(line.x[-1]), float(line.y[-1])
    there = np.flatnonzero(~np.isnan(line.y))
    return (float(line.x[there[-1]]), float(line.y[there[-1]])) if len(there) else None
