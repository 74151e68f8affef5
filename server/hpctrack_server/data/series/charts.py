"""Charts of many runs: what is asked, read run by run, and shrunk to what a screen shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError, UsageError
from hpctrack.store.store import Store
from hpctrack_server.data.series.curve import Curve, Drawn, cut_positive, lay_along
from hpctrack_server.data.series.curves import RANKS_MAX, CurveReader, spread
from hpctrack_server.data.series.frames import ChartFrame, ChartLine
from hpctrack_server.data.series.open_runs import OpenRun, OpenRuns
from hpctrack_server.data.series.pyramid_lines import (
    PyramidLine,
    draw_from_pyramid,
    find_ranks,
)
from hpctrack_server.data.series.query import ChartQuery, XAxis
from hpctrack_server.data.series.shrink import Window, choose_points
from hpctrack_server.settings import ServerSettings

POINTS_MAX = 120_000
"""Points of one answer, about 1 MB; of more lines each has fewer."""

WIDTH_MIN = 32

KEPT_POINTS = 1_000_000
"""Of a longer line a part is read from the file each time, 10 ms."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that a chart is about.

    Parameters
    ----------
    id, label : str
    group : str or None
    """

    id: str
    label: str
    group: str | None = None


class ChartReader:
    """Answers what charts ask. All of it runs on one thread.

    Parameters
    ----------
    settings : ServerSettings
        Where the store is, and how much of it may be kept in memory.
    clock : Clock, optional
        For tests.
    """

    def __init__(self, settings: ServerSettings, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path: Path = Store(settings.store).path
        self._runs = OpenRuns(self._path, clock=clock, stale_after_s=settings.stale_after_s)
        self._curves = CurveReader(settings.cache_bytes)

    def draw(self, project: str, wanted: Sequence[Wanted], query: ChartQuery) -> ChartFrame:
        """Return a chart; a run that cannot be read is named in it and hinders no other.

        Raises
        ------
        UsageError
            The question itself is wrong.
        """
        window = Window(
            start=query.start,
            end=query.end,
            width=max(WIDTH_MIN, min(query.width, POINTS_MAX // (2 * max(len(wanted), 1)))),
            log_x=query.log_x,
        )
        lines: list[ChartLine] = []
        missing: list[str] = []
        errors: list[dict[str, str]] = []
        extents: list[tuple[float, float]] = []
        for one in wanted:
            try:
                opened = self._runs.get(project, one.id)
                if query.y not in opened.sizes:
                    missing.append(one.id)
                    continue
                for line, extent in self._draw_run(opened, one, query, window):
                    lines.append(line)
                    extents.append(extent)
            except UsageError:
                raise
            except HpctrackError as error:
                errors.append(self._describe(one.id, error))
        return ChartFrame(
            y=query.y,
            x=query.x,
            lines=tuple(lines),
            x_range=_span(extents),
            missing=tuple(missing),
            errors=tuple(errors),
        )

    def metrics(self, project: str, ids: Sequence[str]) -> list[dict[str, object]]:
        """Return the metrics of some runs: name, points of all of them, and in how many they are.

        Runs that cannot be read have none; a chart says why.
        """
        points: dict[str, int] = {}
        runs: dict[str, int] = {}
        for one in ids:
            try:
                sizes = self._runs.get(project, one).sizes
            except HpctrackError:
                continue
            for name, count in sizes.items():
                points[name] = points.get(name, 0) + count
                runs[name] = runs.get(name, 0) + 1
        return [
            {"name": name, "points": points[name], "runs": runs[name], "kind": "number"}
            for name in sorted(points)
        ]

    def close(self) -> None:
        """Close all files."""
        self._runs.close()

    def _draw_run(
        self, opened: OpenRun, one: Wanted, query: ChartQuery, window: Window
    ) -> list[tuple[ChartLine, tuple[float, float]]]:
        is_whole = query.start is None and query.end is None and not query.log_x
        ranks = find_ranks(opened, query.y, query.ranks)
        # Of a short line that is looked at closely its points are kept: the next look is quicker.
        if ranks is not None and (is_whole or opened.sizes[query.y] > KEPT_POINTS * len(ranks)):
            ranks = spread(ranks, RANKS_MAX)
            share = _share(window, len(ranks))
            found = [draw_from_pyramid(opened, query.y, rank, query.x, share) for rank in ranks]
            lines = [line for line in found if line is not None]
            if len(lines) == len(ranks) and lines:
                return [(_line_of_pyramid(one, line, share), line.extent) for line in lines]
        return self._draw_points(opened, one, query, window)

    def _draw_points(
        self, opened: OpenRun, one: Wanted, query: ChartQuery, window: Window
    ) -> list[tuple[ChartLine, tuple[float, float]]]:
        found = []
        with_times = query.x in {XAxis.TIME, XAxis.RELATIVE}
        curves = self._curves.read(opened, query.y, query.ranks, with_times=with_times)
        share = _share(window, len(curves))
        for curve in curves:
            x = self._curves.find_x(opened, curve, query.x, query.ranks)
            drawn = lay_along(x, curve.value)
            if query.log_x:
                drawn = cut_positive(drawn)
            if len(drawn.x):
                extent = (float(drawn.x[0]), float(drawn.x[-1]))
                found.append((_make_line(one, curve, drawn, share), extent))
        return found

    def _describe(self, run: str, error: HpctrackError) -> dict[str, str]:
        # Where the store lies is nobody's business who only looks at it.
        return {"run": run, "message": error.message.replace(f"{self._path}/", "")}


def _make_line(one: Wanted, curve: Curve, drawn: Drawn, window: Window) -> ChartLine:
    chosen = choose_points(drawn.x, drawn.y, window)
    first, last = window.find(drawn.x)
    return ChartLine(
        run=one.id,
        label=one.label,
        group=one.group,
        rank=curve.rank,
        total=last - first,
        last=_last_point(drawn),
        gaps=drawn.gaps,
        arrays={"x": drawn.x[chosen], "y": drawn.y[chosen]},
    )


def _line_of_pyramid(one: Wanted, line: PyramidLine, window: Window) -> ChartLine:
    chosen = choose_points(line.drawn.x, line.drawn.y, window)
    return ChartLine(
        run=one.id,
        label=one.label,
        group=one.group,
        rank=line.rank,
        total=line.total,
        last=line.last,
        gaps=line.drawn.gaps,
        arrays={"x": line.drawn.x[chosen], "y": line.drawn.y[chosen]},
    )


def _share(window: Window, lines: int) -> Window:
    """Return the window with fewer buckets, where a run has many lines."""
    return dataclasses.replace(window, width=max(WIDTH_MIN, window.width // max(lines, 1)))


def _last_point(drawn: Drawn) -> tuple[float, float] | None:
    there = np.flatnonzero(~np.isnan(drawn.y))
    return (float(drawn.x[there[-1]]), float(drawn.y[there[-1]])) if len(there) else None


def _span(extents: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    if not extents:
        return None
    return min(low for low, _high in extents), max(high for _low, high in extents)
