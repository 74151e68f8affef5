"""Lines as they are sent: their drawn points, chosen from all of them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hpctrack_server.data.downsample import NumberArray
from hpctrack_server.data.series.curve import Drawn
from hpctrack_server.data.series.frames import ChartLine
from hpctrack_server.data.series.grouping import Buckets, Member, group_lines
from hpctrack_server.data.series.lines import WholeLine
from hpctrack_server.data.series.pyramid_lines import PyramidLine
from hpctrack_server.data.series.query import Grouping
from hpctrack_server.data.series.shrink import Window, choose_points

USUAL = (1.0, 99.0)
"""Percentiles between which the values lie that an axis without outliers shows."""


def draw_whole_line(run: str, label: str, line: WholeLine, window: Window) -> ChartLine:
    """Return a line whose points are all in memory."""
    shown = line.extremes
    arrays = _choose(shown, window, ("x", "y"))
    if line.smoothed is not None:
        arrays |= _choose(Drawn(line.raw.x, line.smoothed), window, ("sx", "sy"))
    first, last = window.find(line.raw.x)
    return ChartLine(
        run=run,
        label=label,
        rank=line.rank,
        total=(last - first) * line.stretch,
        last=find_last(shown),
        gaps=line.raw.gaps,
        arrays=arrays,
    )


def draw_pyramid_line(run: str, label: str, line: PyramidLine, window: Window) -> ChartLine:
    """Return a line of which only what is drawn was read."""
    return ChartLine(
        run=run,
        label=label,
        rank=line.rank,
        total=line.total,
        last=line.last,
        gaps=line.drawn.gaps,
        arrays=_choose(line.drawn, window, ("x", "y")),
    )


def draw_group(label: str, members: Sequence[Member], buckets: Buckets, how: Grouping) -> ChartLine:
    """Return the line of a group, with its band."""
    found = group_lines(members, buckets, how)
    arrays: dict[str, NumberArray] = {"gx": found.x, "center": found.center}
    if found.low is not None and found.high is not None:
        arrays |= {"low": found.low, "high": found.high}
    last = (float(found.x[-1]), float(found.center[-1])) if len(found.x) else None
    return ChartLine(
        run=None, label=label, group=label, total=found.points, runs=found.runs, last=last,
        gaps=sum(one.line.gaps for one in members), arrays=arrays,
    )  # fmt: skip


def find_last(line: Drawn) -> tuple[float, float] | None:
    """Return the last point that is a number."""
    if len(line.y) and not np.isnan(line.y[-1]):
        return float(line.x[-1]), float(line.y[-1])
    there = np.flatnonzero(~np.isnan(line.y))
    return (float(line.x[there[-1]]), float(line.y[there[-1]])) if len(there) else None


def find_y_range(lines: Sequence[ChartLine]) -> tuple[float, float] | None:
    """Return where nearly all values lie: a spike is one of hundreds of points that are drawn."""
    names = ("y", "low", "high", "center")
    values = [one.arrays[name] for one in lines for name in names if name in one.arrays]
    shown = np.concatenate(values) if values else np.zeros(0)
    shown = shown[np.isfinite(shown)]
    if not len(shown):
        return None
    low, high = np.percentile(shown.astype(np.float64), USUAL)
    return float(low), float(high)


def share_window(window: Window, lines: int, least: int) -> Window:
    """Return the window with fewer buckets, where a run has many lines."""
    return dataclasses.replace(window, width=max(least, window.width // max(lines, 1)))


def _choose(line: Drawn, window: Window, names: tuple[str, str]) -> dict[str, NumberArray]:
    chosen = choose_points(line.x, line.y, window)
    return {names[0]: line.x[chosen], names[1]: line.y[chosen]}
