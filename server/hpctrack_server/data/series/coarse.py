"""Lines that are too long to be read: their means and extremes, from the pyramids of files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpctrack_server.data.downsample import FloatArray
from hpctrack_server.data.entries import reading
from hpctrack_server.data.series.curve import Curve, Whole
from hpctrack_server.data.series.open_runs import OpenRun
from hpctrack_server.data.series.query import ChartQuery, RankChoice, XAxis

LINE_POINTS_MAX = 4_000_000
"""Of one line: reading it takes half a second, and 100 MB."""

METRIC_POINTS_MAX = 16_000_000
"""Of all ranks that are reduced to a line: their values are read, half a second."""

STRETCHES = 4096


def read_coarse(opened: OpenRun, name: str, rank: int, query: ChartQuery) -> Curve | None:
    """Return one rank's line as means; None if its file cannot tell them.

    Of a part of the x axis, with as much on both sides as it is long: averages begin there.
    """
    sealed = opened.sealed()
    if sealed is None:
        return None
    window: tuple[float | None, float | None] = (None, None)
    if query.start is not None and query.end is not None and query.x in set(XAxis):
        shift = opened.began_wall_s if query.x == XAxis.RELATIVE else 0.0
        span = abs(query.end - query.start)
        window = (query.start - span + shift, query.end + span + shift)
    with reading(opened.label):
        found = sealed.draw(
            name, rank, window=window, is_time=query.x != XAxis.STEP, width=STRETCHES
        )
    if found is None:
        return None
    buckets = found.buckets[found.buckets["points"] > 0]
    is_shown = ~found.is_outside
    extremes = Curve(found.step[is_shown], found.wall_s[is_shown], found.value[is_shown], rank)
    return Curve(
        buckets["step"].astype(np.int64),
        np.minimum(buckets["low_wall_s"], buckets["high_wall_s"]),
        buckets["mean"].astype(np.float64),
        rank,
        stretch=max(1.0, found.points / max(len(buckets), 1)),
        extremes=extremes,
        whole=Whole(found.first, found.last),
    )


def reduce_coarse(curves: Sequence[Curve], how: RankChoice) -> Curve:
    """Return ranks' means as one line; of others than the first at the first one's steps. Pure."""
    first = curves[0]
    rows: list[FloatArray] = []
    for one in curves:
        is_same = np.array_equal(one.step, first.step)
        rows.append(one.value if is_same else _lay_over(first, one))
    table = np.array(rows)
    with np.errstate(invalid="ignore", over="ignore"):
        reduce = {RankChoice.MIN: np.nanmin, RankChoice.MAX: np.nanmax}.get(how, np.nanmean)
        value = np.asarray(reduce(table, axis=0))
    return Curve(first.step, first.wall_s, value, None, first.stretch, None, first.whole)


def _lay_over(first: Curve, other: Curve) -> FloatArray:
    return np.interp(first.step, other.step, other.value, left=np.nan, right=np.nan)
