"""Lines as they are sent: their drawn points, chosen from all of them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hpctrack_server.data.downsample import FloatArray, NumberArray
from hpctrack_server.data.series.curve import Drawn
from hpctrack_server.data.series.frames import ChartLine
from hpctrack_server.data.series.grouping import Buckets, Member, group_lines
from hpctrack_server.data.series.lines import WholeLine
from hpctrack_server.data.series.pyramid_lines import PyramidLine
from hpctrack_server.data.series.query import Grouping
from hpctrack_server.data.series.shrink import Window, choose_points

SAMPLE_POINTS = 2000
"""Of each line, for its usual values."""

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
        total=round((last - first) * line.stretch),
        last=line.last,
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


def find_y_range(
    lines: Sequence[ChartLine], samples: Sequence[FloatArray]
) -> tuple[float, float] | None:
    """Return where nearly all values lie.

    Parameters
    ----------
    lines : sequence of ChartLine
        A spike is one of the hundreds of points that each draws.
    samples : sequence of ndarray
        Some points of all, where these are in memory: of a line that draws few points a spike is
        not one of hundreds.
    """
    names = ("y", "low", "high", "center")
    shown = _find_usual([one.arrays[name] for one in lines for name in names if name in one.arrays])
    usual = _find_usual(samples)
    if shown is None or usual is None:
        return shown
    span = usual[1] - usual[0]
    low, high = max(shown[0], usual[0] - span), min(shown[1], usual[1] + span)
    return (low, high) if low < high else shown


def _find_usual(values: Sequence[NumberArray]) -> tuple[float, float] | None:
    whole = np.concatenate(values).astype(np.float64) if values else np.zeros(0)
    whole = whole[np.isfinite(whole)]
    if not len(whole):
        return None
    low, high = np.percentile(whole, USUAL)
    return float(low), float(high)


def take_sample(line: WholeLine, window: Window) -> FloatArray:
    """Return some values of a line's window, spread evenly."""
    first, last = window.find(line.raw.x)
    return line.raw.y[first : last : max(1, (last - first) // SAMPLE_POINTS)]


def share_window(window: Window, lines: int, least: int) -> Window:
    """Return the window with fewer buckets, where a run has many lines."""
    return dataclasses.replace(window, width=max(least, window.width // max(lines, 1)))


def _choose(line: Drawn, window: Window, names: tuple[str, str]) -> dict[str, NumberArray]:
    chosen = choose_points(line.x, line.y, window)
    return {names[0]: line.x[chosen], names[1]: line.y[chosen]}
