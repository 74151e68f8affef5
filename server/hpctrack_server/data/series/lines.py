"""Whole lines of a run for a chart: metrics or expressions, one rank or all, smoothed or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpctrack.errors import NotFoundError
from hpctrack.store.columns import Columns
from hpctrack.store.metric import Metric
from hpctrack_server.data.cache import ByteCache
from hpctrack_server.data.downsample import FloatArray
from hpctrack_server.data.encode import narrow
from hpctrack_server.data.series.coarse import (
    LINE_POINTS_MAX,
    METRIC_POINTS_MAX,
    read_coarse,
    reduce_coarse,
)
from hpctrack_server.data.series.curve import (
    Curve,
    Drawn,
    Whole,
    cut_positive,
    find_last,
    lay_along,
)
from hpctrack_server.data.series.curves import RANKS_MAX, CurveReader, spread
from hpctrack_server.data.series.formula import combine
from hpctrack_server.data.series.open_runs import OpenRun
from hpctrack_server.data.series.query import (
    ChartQuery,
    RankChoice,
    Smoothing,
    SmoothKind,
    XAxis,
)
from hpctrack_server.data.series.smooth import smooth
from hpctrack_server.language.expression import Name, Node, iter_names


@dataclass(frozen=True, slots=True)
class WholeLine:
    """A line with all of its points.

    Parameters
    ----------
    rank : int or None
    raw : Drawn
    smoothed : ndarray of float64 or float32, shape (n,), or None
        Along the same x.
    extremes : Drawn
        The same as ``raw``, or, if that has only means, the lowest and highest points.
    stretch : float
        How many points a mean is of; 1 if these are the points.
    extent : (float, float)
        The first and the last x of all of the line, of which ``raw`` may be a part.
    last : (float, float) or None
        Its last point that is a number; None if that is not known.
    """

    rank: int | None
    raw: Drawn
    smoothed: FloatArray | None
    extremes: Drawn
    stretch: float
    extent: tuple[float, float]
    last: tuple[float, float] | None


class LineReader:
    """Reads what charts cannot draw from pyramids. Not safe for several threads.

    Parameters
    ----------
    cache_bytes : int
        How much is kept in memory.
    """

    def __init__(self, cache_bytes: int) -> None:
        self.curves = CurveReader(cache_bytes // 2)
        self._smoothed: ByteCache[tuple[int, FloatArray]] = ByteCache(cache_bytes // 2)

    def read(self, opened: OpenRun, node: Node, query: ChartQuery) -> list[WholeLine]:
        """Return the lines of a run that has all metrics of an expression.

        Raises
        ------
        NotFoundError
            There is no such rank, or the run has not logged what is to be x.
        HpctrackError
            The run cannot be read.
        """
        with_times = query.x in {XAxis.TIME, XAxis.RELATIVE}
        curves = self._read_curves(opened, node, query, with_times=with_times)
        found = [self._lay(opened, one, query) for one in curves]
        return [one for one in found if one is not None]

    def _read_curves(
        self, opened: OpenRun, node: Node, query: ChartQuery, *, with_times: bool
    ) -> list[Curve]:
        if isinstance(node, Name):
            return self._read_metric(opened, node.name, query, with_times=with_times)
        names = list(iter_names(node))
        if not names:
            raise NotFoundError(f"{query.y!r} names no metric", hint="a number alone is no line")
        if isinstance(query.ranks, int):
            return [self._combine(opened, node, query, with_times=with_times)]
        shared = self._find_shared(opened, names)
        if query.ranks == RankChoice.ALL:
            shared = spread(shared, RANKS_MAX)
        if query.ranks == RankChoice.ALL or len(shared) == 1:
            return [
                self._combine(opened, node, replace(query, ranks=one), with_times=with_times)
                for one in shared
            ]
        parts = [
            self._combine(opened, node, replace(query, ranks=one), with_times=True)
            for one in shared
        ]
        if any(one.stretch > 1 for one in parts):
            return [reduce_coarse(parts, query.ranks)]
        key = (opened.run.folder, query.y, "expression", query.ranks)
        return [self.curves.reduce(opened, key, query.ranks, lambda: make_metric(query.y, parts))]

    def _read_metric(
        self, opened: OpenRun, name: str, query: ChartQuery, *, with_times: bool
    ) -> list[Curve]:
        """Return lines of a metric, as means where they are too long to be read."""
        points, ranks = opened.sizes[name], query.ranks
        if points > LINE_POINTS_MAX:
            numbers = self.curves.find_ranks(opened, name)
            chosen = numbers if isinstance(ranks, RankChoice) else [ranks]
            if ranks == RankChoice.ALL:
                chosen = spread(chosen, RANKS_MAX)
            is_line = ranks == RankChoice.ALL or len(chosen) == 1
            limit = LINE_POINTS_MAX * len(numbers) if is_line else METRIC_POINTS_MAX
            if points > limit:
                found = [read_coarse(opened, name, one, query) for one in chosen]
                coarse = [one for one in found if one is not None]
                if len(coarse) == len(chosen) and isinstance(ranks, RankChoice):
                    return coarse if is_line else [reduce_coarse(coarse, ranks)]
                if len(coarse) == len(chosen):
                    return coarse
        return self.curves.read(opened, name, ranks, with_times=with_times)

    def _find_shared(self, opened: OpenRun, names: Sequence[str]) -> list[int]:
        """Return the ranks that have logged all of some metrics."""
        found = [set(self.curves.find_ranks(opened, name)) for name in names]
        shared = sorted(set.intersection(*found))
        if not shared:
            raise NotFoundError(f"no rank of {opened.label} has logged all of {', '.join(names)}")
        return shared

    def _combine(
        self, opened: OpenRun, node: Node, query: ChartQuery, *, with_times: bool
    ) -> Curve:
        """Return an expression of one rank's metrics."""
        curves = {
            name: self._read_metric(opened, name, query, with_times=with_times)[0]
            for name in iter_names(node)
        }
        stretch = max(one.stretch for one in curves.values())
        whole = next((one.whole for one in curves.values() if one.whole), None)
        if whole is not None:
            whole = Whole(whole.first, (*whole.last[:2], np.nan))
        rank = query.ranks if isinstance(query.ranks, int) else None
        return replace(combine(node, curves), rank=rank, stretch=stretch, whole=whole)

    def _lay(self, opened: OpenRun, curve: Curve, query: ChartQuery) -> WholeLine | None:
        x = self.curves.find_x(opened, curve, query.x, query.ranks)
        raw = lay_along(x, curve.value)
        extremes = raw
        if curve.extremes is not None and query.x in set(XAxis):
            far = curve.extremes
            extremes = lay_along(self.curves.find_x(opened, far, query.x, query.ranks), far.value)
        smoothed = self._smooth(opened, curve, raw, query) if query.smooth.is_on else None
        if query.log_x:
            whole, raw = len(raw.x), cut_positive(raw)
            extremes = cut_positive(extremes)
            smoothed = None if smoothed is None else smoothed[whole - len(raw.x) :]
        if not len(raw.x):
            return None
        extent = (float(raw.x[0]), float(raw.x[-1]))
        last = find_last(extremes)
        if curve.whole is not None and query.x in set(XAxis):
            extent = curve.whole.places(query.x, opened.began_wall_s)
            value = curve.whole.last[2]
            last = None if np.isnan(value) else (extent[1], value)
        return WholeLine(curve.rank, raw, smoothed, extremes, curve.stretch, extent, last)

    def _smooth(self, opened: OpenRun, curve: Curve, raw: Drawn, query: ChartQuery) -> FloatArray:
        part = (query.start, query.end) if curve.whole else None
        key = (opened.run.folder, query.y, query.ranks, curve.rank, query.x, query.smooth, part)
        held = self._smoothed.get(key)
        if held and held[0] == opened.version and len(held[1]) == len(raw.x):
            return held[1]
        found = narrow(smooth(raw.x, raw.y, scale_smoothing(query.smooth, curve.stretch)))
        self._smoothed.put(key, (opened.version, found), found.nbytes)
        return found


def make_metric(name: str, curves: Sequence[Curve]) -> Metric:
    """Return lines of several ranks as a metric, which can be reduced. Pure."""
    counts = [len(one) for one in curves]
    ranks = np.repeat([one.rank or 0 for one in curves], counts).astype(np.int64)
    walls = [
        np.zeros(len(one)) if one.wall_s is None else one.wall_s for one in curves
    ]  # fmt: skip
    return Metric(
        name,
        Columns(
            ranks,
            np.ones(len(ranks), np.int64),
            np.concatenate([one.step for one in curves]),
            np.concatenate(walls),
            np.concatenate([one.value for one in curves]).astype(np.float64),
        ),
    )


def scale_smoothing(how: Smoothing, stretch: float) -> Smoothing:
    """Return what smooths means of so many points as ``how`` smooths the points. Pure."""
    if stretch <= 1 or how.kind == SmoothKind.TWEMA:
        return how
    if how.kind == SmoothKind.EMA:
        return replace(how, amount=how.amount**stretch)
    return replace(how, amount=how.amount / stretch)
