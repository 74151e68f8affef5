"""Reading the lines of runs: each metric once, as many as memory is allowed for."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from hpctrack.errors import NotFoundError
from hpctrack.store.metric import Metric
from hpctrack_server.data.cache import ByteCache
from hpctrack_server.data.downsample import NumberArray
from hpctrack_server.data.entries import reading
from hpctrack_server.data.series.curve import Curve
from hpctrack_server.data.series.open_runs import OpenRun
from hpctrack_server.data.series.query import RankChoice, XAxis

RANKS_MAX = 256
"""More lines than this cannot be told apart; the ranks that are drawn are spread evenly."""


class CurveReader:
    """Whole lines of runs. Not safe for several threads.

    Parameters
    ----------
    cache_bytes : int
        How much of them is kept in memory.
    """

    def __init__(self, cache_bytes: int) -> None:
        self._metrics: ByteCache[tuple[int, Metric]] = ByteCache(cache_bytes // 2)
        self._reduced: ByteCache[tuple[int, Curve]] = ByteCache(cache_bytes // 2)

    def read_metric(self, opened: OpenRun, name: str) -> Metric:
        """Return a metric of all ranks.

        Raises
        ------
        NotFoundError
            The run has not logged it.
        """
        key = (opened.run.folder, name)
        held = self._metrics.get(key)
        if held and held[0] == opened.version:
            return held[1]
        with reading(opened.label):
            metric = opened.run.metric(name)
        if not opened.is_live:
            opened.run.close()
        self._metrics.put(key, (opened.version, metric), metric.size_bytes)
        return metric

    def read(self, opened: OpenRun, name: str, ranks: RankChoice | int) -> list[Curve]:
        """Return the lines of a metric: one, or one for each rank.

        Raises
        ------
        NotFoundError
            The run, or the rank that was asked for, has not logged it.
        """
        metric = self.read_metric(opened, name)
        key = (opened.run.folder, name, ranks)
        return self.take(metric, ranks, key=key, version=opened.version)

    def take(
        self, metric: Metric, ranks: RankChoice | int, *, key: Hashable, version: int
    ) -> list[Curve]:
        """Return the lines of a metric that has been read; ``key`` names what is kept."""
        numbers = metric.rank_numbers()
        if not isinstance(ranks, RankChoice):
            return [_curve_of(metric, ranks)]
        if ranks == RankChoice.ALL:
            return [_curve_of(metric, one) for one in spread(numbers, RANKS_MAX)]
        if len(numbers) == 1:
            return [_curve_of(metric, numbers[0])]
        held = self._reduced.get(key)
        if held and held[0] == version:
            return [held[1]]
        found = metric.reduce(str(ranks), by="step")
        curve = Curve(found.step, found.wall_s, found.value)
        self._reduced.put(key, (version, curve), curve.size_bytes)
        return [curve]

    def find_x(self, opened: OpenRun, curve: Curve, x: str, ranks: RankChoice | int) -> NumberArray:
        """Return the x of each point of a line; NaN where it has none.

        A metric's x is its value of the same rank at the same step, or at the last step before
        that has one; of a line that stands for all ranks it is reduced over the ranks alike.
        """
        if x == XAxis.STEP:
            return curve.step
        if x == XAxis.TIME:
            return curve.wall_s
        if x == XAxis.RELATIVE:
            return curve.wall_s - opened.began_wall_s
        metric = self.read_metric(opened, x)
        if curve.rank is not None and len(metric.rank_numbers()) > 1:
            try:
                other = _curve_of(metric, curve.rank)
            except NotFoundError:
                other = _curve_of(metric, metric.rank_numbers()[0])
        else:
            how = ranks if ranks in {RankChoice.MIN, RankChoice.MAX} else RankChoice.MEAN
            other = self.read(opened, x, how)[0]
        return hold_by_step(curve.step, other)


def _curve_of(metric: Metric, rank: int) -> Curve:
    found = metric.rank(rank, by="step")
    return Curve(found.step, found.wall_s, found.value, rank)


def spread(numbers: list[int], limit: int) -> list[int]:
    """Return at most so many of them, spread evenly."""
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), limit)).round()
    return [numbers[int(one)] for one in places]


def hold_by_step(step: NumberArray, other: Curve) -> NumberArray:
    """Return another line's value at each step, or at its last step before; NaN before the first.

    Of several values at a step the last one counts. Pure.
    """
    steps, values = other.step, other.value
    if len(steps) > 1 and (steps[1:] < steps[:-1]).any():
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
    if np.array_equal(steps, step) and (len(step) < 2 or (step[1:] > step[:-1]).all()):  # noqa: PLR2004
        return values
    at = np.searchsorted(steps, step, side="right") - 1
    if not len(values):
        return np.full(len(step), np.nan)
    return np.asarray(np.where(at >= 0, values[np.maximum(at, 0)], np.nan))
