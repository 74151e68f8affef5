"""What a chart is sent: lines that are already as short as its screen is wide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hpctrack_server.data.downsample import NumberArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartLine:
    """One line.

    Parameters
    ----------
    run : str or None
        None if it stands for a group of runs.
    label : str
        What a legend calls it.
    group : str or None
        The group that it is, or belongs to.
    rank : int or None
        None if it stands for all ranks of its run.
    total : int
        Points in the part of the x axis that was asked for.
    last : (float, float) or None
        The last point of all, also if it lies outside of that part.
    gaps : int
        Points without a value that can be drawn.
    runs : int
        How many runs it stands for.
    arrays : dict of str to ndarray
        ``x, y`` are points; ``sx, sy`` the smoothed line; ``gx, center, low, high`` a group.
    """

    run: str | None
    label: str
    group: str | None = None
    rank: int | None = None
    total: int = 0
    last: tuple[float, float] | None = None
    gaps: int = 0
    runs: int = 1
    arrays: dict[str, NumberArray] = field(default_factory=dict)

    @property
    def drawn(self) -> int:
        """Points that are sent."""
        return len(self.arrays.get("x", self.arrays.get("gx", ())))

    def describe(self) -> dict[str, Any]:
        """Return what of it is no array."""
        return {
            "run": self.run,
            "label": self.label,
            "group": self.group,
            "rank": self.rank,
            "total": self.total,
            "drawn": self.drawn,
            "last": self.last,
            "gaps": self.gaps,
            "runs": self.runs,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartFrame:
    """A chart.

    Parameters
    ----------
    y, x : str
        What was asked for.
    lines : tuple of ChartLine
    exact : bool
        Whether everything was computed from all points.
    note : str
        What a reader has to know of what is not.
    y_range : (float, float) or None
        Where 98 % of the values lie, for an axis without outliers.
    x_range : (float, float) or None
        From the first to the last x of all runs, whatever part was asked for.
    missing : tuple of str
        Runs that have not logged it.
    errors : tuple of dict
        ``run`` and ``message`` of runs that cannot be read.
    """

    y: str
    x: str
    lines: tuple[ChartLine, ...] = ()
    exact: bool = True
    note: str = ""
    y_range: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None
    missing: tuple[str, ...] = ()
    errors: tuple[dict[str, str], ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return the header of its bytes, without the list of arrays."""
        return {
            "y": self.y,
            "x": self.x,
            "lines": [one.describe() for one in self.lines],
            "total": sum(one.total for one in self.lines),
            "drawn": sum(one.drawn for one in self.lines),
            "exact": self.exact,
            "note": self.note,
            "y_range": self.y_range,
            "x_range": self.x_range,
            "missing": self.missing,
            "errors": self.errors,
        }
