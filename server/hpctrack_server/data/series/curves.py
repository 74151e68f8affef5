"""Reading the lines of runs whole: each column once, as many as memory is allowed for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import NotFoundError
from hpctrack.store.metric import Metric
from hpctrack.store.sealed_matrix import SealedMatrix
from hpctrack_server.data.cache import ByteCache
from hpctrack_server.data.downsample import FloatArray, NumberArray
from hpctrack_server.data.entries import reading
from hpctrack_server.data.series.curve import Curve
from hpctrack_server.data.series.open_runs import OpenRun
from hpctrack_server.data.series.query import RankChoice, XAxis

KEPT_POINTS = 1_000_000
"""Of all metrics of a run, 70 MB."""

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
        self._cache: ByteCache[tuple[int, Any]] = ByteCache(cache_bytes)

    def read(
        self, opened: OpenRun, name: str, ranks: RankChoice | int, *, with_times: bool = True
    ) -> list[Curve]:
        """Return the lines of a metric: one, or one for each rank.

        Raises
        ------
        NotFoundError
            The run, or the rank that was asked for, has not logged it.

        Notes
        -----
        Of a sealed run whose ranks log the same steps a line of all ranks has the times of the
        lowest one, which is all that is read of them.
        """
        numbers = self.find_ranks(opened, name)
        if isinstance(ranks, RankChoice):
            if ranks != RankChoice.ALL and len(numbers) > 1:
                return [self._reduce_metric(opened, name, ranks)]
            chosen = spread(numbers, RANKS_MAX)
        else:
            chosen = [ranks]
        return [self.read_rank(opened, name, one, with_times=with_times) for one in chosen]

    def find_ranks(self, opened: OpenRun, name: str) -> list[int]:
        """Return the ranks that have logged a metric."""
        sealed = opened.sealed()
        if sealed is not None:
            with reading(opened.label):
                return sealed.ranks(name)
        return self.read_metric(opened, name).rank_numbers()

    def read_rank(self, opened: OpenRun, name: str, rank: int, *, with_times: bool) -> Curve:
        """Return one rank's points in the order of logging, without superseded ones.

        Raises
        ------
        NotFoundError
            It has not logged the metric.
        """
        sealed = opened.sealed()
        if sealed is None:
            return curve_of(self.read_metric(opened, name), rank)
        step = self._column(opened, name, rank, "step")
        if not len(step):
            raise NotFoundError(f"rank {rank} of run {opened.run.id} has not logged {name!r}")
        value = self._column(opened, name, rank, "value")
        wall_s = self._column(opened, name, rank, "wall_s") if with_times else None
        with reading(opened.label):
            current = sealed.find_current(name, rank, step)
        if current is not None and not current.all():
            step, value = step[current], value[current]
            wall_s = None if wall_s is None else wall_s[current]
        return Curve(step, wall_s, value, rank)

    def read_metric(self, opened: OpenRun, name: str) -> Metric:
        """Return a metric of all ranks.

        Raises
        ------
        NotFoundError
            The run has not logged it.
        """

        def read() -> Metric:
            with reading(opened.label):
                metric = opened.run.metric(name)
                if not opened.is_live:
                    self._keep_others(opened, name)
                    opened.run.close()
            return metric

        key = (opened.run.folder, name)
        metric: Metric = self._keep(key, opened.version, read, lambda one: one.size_bytes)
        return metric

    def _keep_others(self, opened: OpenRun, name: str) -> None:
        """Keep the other metrics of a run that has ended unsealed: its files hold all in one."""
        if opened.run.is_sealed or sum(opened.sizes.values()) > KEPT_POINTS:
            return
        for other in opened.sizes:
            if other != name:
                metric = opened.run.metric(other)
                key = (opened.run.folder, other)
                self._cache.put(key, (opened.version, metric), metric.size_bytes)

    def _reduce_metric(self, opened: OpenRun, name: str, how: RankChoice) -> Curve:
        """Return all ranks of a metric as one line; a matrix is read some ranks at a time."""
        key = (opened.run.folder, name, how)
        sealed = opened.sealed()
        if sealed is not None:
            with reading(opened.label):
                matrix = sealed.matrix(name)
                if matrix is not None and matrix.is_grid:
                    return self._reduce_grid(opened, key, matrix, how)
        return self.reduce(opened, key, how, lambda: self.read_metric(opened, name))

    def _reduce_grid(
        self, opened: OpenRun, key: Hashable, matrix: SealedMatrix, how: RankChoice
    ) -> Curve:
        def work() -> Curve:
            value = reduce_blocks((one.value for one in matrix.iter_blocks()), how)
            return Curve(matrix.steps, matrix.read_times()[1], value)

        curve: Curve = self._keep(key, opened.version, work, lambda one: one.size_bytes)
        return curve

    def reduce(
        self,
        opened: OpenRun,
        key: Hashable,
        how: RankChoice,
        read: Callable[[], Metric],
    ) -> Curve:
        """Return all ranks of a metric as one line; ``key`` names what is kept of it."""

        def work() -> Curve:
            found = read().reduce(str(how), by="step")
            return Curve(found.step, found.wall_s, found.value)

        curve: Curve = self._keep(key, opened.version, work, lambda one: one.size_bytes)
        return curve

    def find_x(self, opened: OpenRun, curve: Curve, x: str, ranks: RankChoice | int) -> NumberArray:
        """Return the x of each point of a line; NaN where it has none.

        A metric's x is its value of the same rank at the same step, or at the last step before
        that has one; of a line that stands for all ranks it is reduced over the ranks alike.

        Raises
        ------
        NotFoundError
            The run has not logged it.
        """
        if x == XAxis.STEP:
            return curve.step
        if x in {XAxis.TIME, XAxis.RELATIVE}:
            if curve.wall_s is None:
                return np.full(len(curve), np.nan)
            return curve.wall_s - opened.began_wall_s if x == XAxis.RELATIVE else curve.wall_s
        numbers = self.find_ranks(opened, x)
        if not numbers:
            raise NotFoundError(f"no metric {x[:80]!r} to be x in {opened.label}")
        if curve.rank is not None and len(numbers) > 1:
            rank = curve.rank if curve.rank in numbers else numbers[0]
            other = self.read_rank(opened, x, rank, with_times=False)
        else:
            how = ranks if ranks in {RankChoice.MIN, RankChoice.MAX} else RankChoice.MEAN
            other = self.read(opened, x, how, with_times=False)[0]
        return hold_by_step(curve.step, other)

    def _column(self, opened: OpenRun, name: str, rank: int, column: str) -> NDArray[Any]:
        sealed = opened.sealed()
        if sealed is None:
            raise NotFoundError(f"{opened.label} is not sealed")

        def read() -> NDArray[Any]:
            with reading(opened.label):
                return shorten(sealed.read_column(name, rank, column))

        with reading(opened.label):
            place = sealed.place_of(name, column)
        key = (opened.run.folder, place, rank)
        values: NDArray[Any] = self._keep(key, opened.version, read, lambda one: one.nbytes)
        return values

    def _keep(
        self, key: Hashable, version: int, make: Callable[[], Any], size: Callable[[Any], int]
    ) -> Any:
        held = self._cache.get(key)
        if held and held[0] == version:
            return held[1]
        made = make()
        self._cache.put(key, (version, made), size(made))
        return made


def reduce_blocks(blocks: Iterable[FloatArray], how: RankChoice) -> FloatArray:
    """Return one value per column of blocks of rows; NaN does not count. Pure."""
    total: FloatArray | None = None
    count: FloatArray | None = None
    for block in blocks:
        if how == RankChoice.MEAN:
            there = ~np.isnan(block)
            with np.errstate(over="ignore", invalid="ignore"):
                part = np.where(there, block, 0.0).sum(axis=0)
            total = part if total is None else total + part
            here = there.sum(axis=0).astype(np.float64)
            count = here if count is None else count + here
            continue
        reduce = np.fmin if how == RankChoice.MIN else np.fmax
        part = reduce.reduce(block, axis=0)
        total = part if total is None else reduce(total, part)
    if total is None:
        return np.zeros(0)
    if count is None:
        return total
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(count > 0, total / count, np.nan))


def curve_of(metric: Metric, rank: int) -> Curve:
    """Return one rank of a metric."""
    found = metric.rank(rank, by="step")
    return Curve(found.step, found.wall_s, found.value, rank)


def shorten(values: NDArray[Any]) -> NDArray[Any]:
    """Return doubles as float32 where that loses nothing: training logs little else. Pure."""
    if values.dtype != np.float64:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype(np.float32)
        is_same = (narrow == values) | np.isnan(values)
    return narrow if is_same.all() else values


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
    if not len(values):
        return np.full(len(step), np.nan)
    at = np.searchsorted(steps, step, side="right") - 1
    return np.asarray(np.where(at >= 0, values[np.maximum(at, 0)], np.nan))
