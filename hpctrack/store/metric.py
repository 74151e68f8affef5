"""One metric of a run: rank is an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hpctrack.errors import NotFoundError
from hpctrack.store.alignment import hold, join_last
from hpctrack.store.columns import Columns
from hpctrack.store.grid import AxisArray, Grid, make_grid, number_values, order_within
from hpctrack.store.ledger import describe_losses
from hpctrack.store.reduction import REDUCTIONS, check_reductions, reduce_table
from hpctrack.store.schema import IntArray
from hpctrack.store.series import RELATIVE, STEP, WALL, RankMatrix, Series

__all__ = ["REDUCTIONS", "Metric", "RankMatrix", "Series"]

NEAR_MAX = 3
KNOWN_MAX = 8
"""Names in a hint: those that resemble a wrong one, else the first ones there are."""

SAMPLES = 1000
"""Intervals of time, unless the caller says how many: about the pixels of a chart."""


class Metric:
    """All points of one metric of a run. Made by `StoredRun.metric`; for all ranks.

    Parameters
    ----------
    name : str
        As logged.
    columns : Columns
        All points; those that a requeued attempt computed again are left out here.
    find : callable, optional
        Returns another metric of the run by name, for ``by="epoch"``.
    find_step_metric : callable, optional
        Returns what ``define_metric`` said that it is drawn against, empty if nothing; asked
        when it is needed.
    start_wall_s : callable, optional
        Returns when the run began, UTC seconds, for ``by="relative"``; default is the
        metric's own first point.
    find_lost : callable, optional
        Returns what of the run is missing, see `StoredRun.lost`; only a `repr` asks.

    Attributes
    ----------
    name : str
    steps, ranks : ndarray of int64, shape (n,)
    wall_s, values : ndarray of float64, shape (n,)
        All ranks, sorted by rank, in the order of logging.
    recomputed_points : int
        Points that a later attempt has superseded; `attempt` shows them.

    Notes
    -----
    ``by`` says what the values are read over. By default it is the ``step_metric`` that
    ``run.define_metric`` gave this metric, as long as the run has logged that one; else the step.
    ``by="step"`` has every point, whatever was defined.

    ``"step"``
        One column per step that any rank has logged; of several values of a rank at a step
        the last one counts.
    ``"wall"``, ``"relative"``
        UTC seconds, or seconds since the run began. Ranks never log at the same instant, so the
        time from the first point of any rank to the last is cut into equal intervals, and
        at the end of each (that is ``x``) a rank has the last value that it logged at or before.
        A rank counts from the interval of its first point to the interval of its last: one that has
        ended is not carried on. Intervals in which no rank counts are left out.
    another metric's name, or a `Metric`
        Each point is given that metric's value of the same rank at the same step, or at the last
        step before that has one; a rank that never logged it takes that of the lowest rank
        that did. Points before the first such value are left out. There is one column per
        distinct value; of several points of a rank in a column the one with the highest step
        counts, of several at that step the one logged last.

    ``samples`` cuts any of them into that many equal intervals, as time is; time has
    `SAMPLES` by default, or fewer if no rank has logged as many points.

    Examples
    --------
    >>> metric = run.metric("loss")              # doctest: +SKIP
    >>> metric.rank(3).value                     # doctest: +SKIP
    >>> metric.reduce("p95", by="epoch").value   # doctest: +SKIP
    """

    def __init__(
        self,
        name: str,
        columns: Columns,
        *,
        find: Callable[[str], Metric] | None = None,
        find_step_metric: Callable[[], str] | None = None,
        start_wall_s: Callable[[], float] | None = None,
        find_lost: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        current = columns.current()
        self.name = name
        self.recomputed_points = len(columns) - len(current)
        self.ranks = current.rank
        self.steps = current.step
        self.wall_s = current.wall_s
        self.values = current.value
        self._columns = columns
        self._find = find
        self._find_step_metric = find_step_metric
        self._start_wall_s = start_wall_s
        self._find_lost = find_lost

    def __len__(self) -> int:
        """Return the number of points of all ranks."""
        return len(self.values)

    def __repr__(self) -> str:
        """Name the metric, and what of its run is missing."""
        count, lost = len(self.rank_numbers()), describe_losses(self._find_lost)
        return f"<hpctrack.Metric {self.name!r}: {len(self)} points of {count} ranks{lost}>"

    @property
    def step_metric(self) -> str:
        """What ``run.define_metric`` said that it is drawn against; empty if nothing."""
        return self._find_step_metric() if self._find_step_metric else ""

    @property
    def size_bytes(self) -> int:
        """Memory that the points take, superseded ones included."""
        own = (self.ranks, self.steps, self.wall_s, self.values)
        every = [getattr(self._columns, name) for name in Columns.__slots__]
        return sum({id(one): one.nbytes for one in (*own, *every)}.values())

    def rank_numbers(self) -> list[int]:
        """Return the ranks that have logged this metric."""
        return [int(one) for one in self.ranks[self._starts()]]

    def attempts(self) -> list[int]:
        """Return the attempts that have logged this metric; a requeue begins the next."""
        return [int(one) for one in number_values(self._columns.attempt)[0]]

    def attempt(self, number: int) -> Metric:
        """Return what one attempt has logged, the points superseded later included.

        Parameters
        ----------
        number : int
            From 1.

        Raises
        ------
        NotFoundError
            That attempt has not logged this metric.
        """
        mine = self._columns.attempt == number
        if not mine.any():
            known = _shorten(self.attempts())
            raise NotFoundError(
                f"attempt {number} has not logged {self.name!r}",
                hint=f"attempts that have: {known}",
            )
        find = self._find

        def find_same(name: str) -> Metric:
            if find is None:
                raise self._no_other(name)
            other = find(name)
            return other.attempt(number) if number in other.attempts() else other

        return Metric(
            self.name,
            self._columns.take(mine),
            find=find_same,
            find_step_metric=self._find_step_metric,
            start_wall_s=self._start_wall_s,
            find_lost=self._find_lost,
        )

    def rank(self, rank: int, *, by: str | Metric | None = None) -> Series:
        """Return one rank's values in the order of logging.

        Parameters
        ----------
        rank : int
            Its number in the whole job.
        by : str or Metric, optional
            What ``x`` is, see the class; default is what was defined, else the step. Points
            without it are left out; the result's ``left_out`` says how many.

        Raises
        ------
        NotFoundError
            The rank has not logged this metric, or there is no metric called ``by``.
        """
        start, end = np.searchsorted(self.ranks, [rank, rank + 1])
        if start == end:
            raise NotFoundError(
                f"rank {rank} has not logged {self.name!r}",
                hint=f"ranks that have: {_shorten(self.rank_numbers())}",
            )
        by = self._choose_axis(by)
        mine = np.s_[int(start) : int(end)]
        x = self._axis(by)[mine]
        step, wall_s, value = self.steps[mine], self.wall_s[mine], self.values[mine]
        left_out = 0
        if x.dtype.kind == "f" and np.isnan(x).any():
            has_x = ~np.isnan(x)
            left_out = int(np.count_nonzero(~has_x))
            x, step, wall_s, value = x[has_x], step[has_x], wall_s[has_x], value[has_x]
        return Series(step, wall_s, value, x, _name_axis(by), left_out)

    def matrix(self, *, by: str | Metric | None = None, samples: int | None = None) -> RankMatrix:
        """Return the values as ranks x columns.

        Parameters
        ----------
        by : str or Metric, optional
            What the columns are, see the class; default is what was defined, else the step.
        samples : int, optional
            Cut it into this many equal intervals.

        Returns
        -------
        RankMatrix
            NaN where a rank has no value.

        Raises
        ------
        NotFoundError
            There is no metric called ``by``.
        UsageError
            The ranks share so few steps that the matrix would be huge and almost empty.

        Notes
        -----
        O(n), without sorting, where all ranks log the same steps in order.
        """
        by = self._choose_axis(by)
        axis, samples = _name_axis(by), self._samples(by, samples)
        which, x = self._with_axis(by, is_finite=samples is not None)
        ranks, values = self.ranks[which], self.values[which]
        steps, wall_s = self.steps[which], self.wall_s[which]
        absent = len(self) - len(x)
        if samples is not None:
            held = hold(ranks, x, samples)
            table, steps = held.table(values), held.highest(steps)
            return RankMatrix(table, held.ranks, steps, held.highest(wall_s), held.x, axis, absent)
        grid = make_grid(ranks, x)
        table, steps = grid.table(values), _steps_of(grid, steps, by)
        # A copy: what the caller does with it must not change the metric.
        table = table.copy() if np.shares_memory(table, self.values) else table
        return RankMatrix(table, grid.ranks, steps, grid.highest(wall_s), grid.x, axis, absent)

    def reduce(
        self, how: str, *, by: str | Metric | None = None, samples: int | None = None
    ) -> Series:
        """Return one value per column over all ranks that have one.

        Parameters
        ----------
        how : {"mean", "min", "max", "std", "p5", "p95", "spread"}
            What to do with the ranks' values. NaN does not count; ``std`` is the population's,
            percentiles interpolate linearly, ``spread`` is the highest minus the lowest.
        by, samples
            As for `matrix`.

        Raises
        ------
        UsageError
            ``how`` is something else.
        NotFoundError
            There is no metric called ``by``.
        """
        return self.reduce_each([how], by=by, samples=samples)[how]

    def reduce_each(
        self, hows: Sequence[str], *, by: str | Metric | None = None, samples: int | None = None
    ) -> dict[str, Series]:
        """Return several reductions for the price of little more than one; see `reduce`.

        Notes
        -----
        Never takes memory for a matrix that is almost empty, whatever the ranks have logged.
        """
        names = check_reductions(hows)
        by = self._choose_axis(by)
        axis, samples = _name_axis(by), self._samples(by, samples)
        if samples is not None:
            matrix = self.matrix(by=by, samples=samples)
            steps, wall_s, x, absent = matrix.steps, matrix.wall_s, matrix.x, matrix.left_out
            reduced = reduce_table(matrix.values, names)
        else:
            which, along = self._with_axis(by, is_finite=False)
            absent = len(self) - len(along)
            grid = make_grid(self.ranks[which], along)
            steps, x = _steps_of(grid, self.steps[which], by), grid.x
            wall_s = grid.highest(self.wall_s[which])
            reduced = grid.reduce(self.values[which], names)
        return {how: Series(steps, wall_s, reduced[how], x, axis, absent) for how in names}

    def summary(self) -> dict[str, float]:
        """Return ``last``, ``min``, ``max`` and ``mean``.

        ``last`` is the value at the highest step of the lowest rank, as a run's summary has
        it; the others are over all points of all ranks, NaN left out.
        """
        values = self.values[~np.isnan(self.values)]
        last = float("nan")
        if len(self):
            mine = slice(0, int(np.searchsorted(self.ranks, self.ranks[0], "right")))
            steps = self.steps[mine]
            last = float(self.values[mine][np.flatnonzero(steps == steps.max())[-1]])
        if not len(values):
            return {"last": last, "min": np.nan, "max": np.nan, "mean": np.nan}
        with np.errstate(all="ignore"):
            mean = float(values.mean())
        return {"last": last, "min": float(values.min()), "max": float(values.max()), "mean": mean}

    def _choose_axis(self, by: str | Metric | None) -> str | Metric:
        """Return what to read by: what the caller says, else what was defined, else the step."""
        if by is not None:
            return by
        name = self.step_metric
        try:
            # The metric itself: one called "step" is not the step.
            return self._find(name) if name and self._find else STEP
        except NotFoundError:
            return STEP

    def _axis(self, by: str | Metric) -> AxisArray:
        """Return each point's x; NaN where it has none."""
        if by == STEP:
            return self.steps
        if by == WALL:
            return self.wall_s
        if by == RELATIVE:
            start = self._start_wall_s() if self._start_wall_s else 0.0
            return self.wall_s - (start or self.wall_s.min(initial=np.inf))
        if isinstance(by, str):
            if self._find is None:
                raise self._no_other(by)
            by = self._find(by)
        return join_last(
            self.ranks,
            self.steps,
            other_rank=by.ranks,
            other_step=by.steps,
            other_value=by.values,
        )

    def _with_axis(self, by: str | Metric, *, is_finite: bool) -> tuple[Any, AxisArray]:
        """Return which points have an x, ordered by what later means there, and their x."""
        x = self._axis(by)
        if by == STEP:
            return slice(None), x
        is_there = np.isfinite(x) if is_finite else ~np.isnan(x)
        if by in {WALL, RELATIVE}:
            return (slice(None), x) if is_there.all() else (is_there, x[is_there])
        order = order_within(self.ranks, self.steps)
        if order is None:
            return (slice(None), x) if is_there.all() else (is_there, x[is_there])
        order = order[is_there[order]]
        return order, x[order]

    def _samples(self, by: str | Metric, samples: int | None) -> int | None:
        if samples is not None or by not in {WALL, RELATIVE}:
            return samples
        counts = np.diff(np.append(self._starts(), len(self)))
        return min(SAMPLES, int(counts.max(initial=1)))

    def _starts(self) -> IntArray:
        """Return where each rank's points begin."""
        is_new = np.ones(len(self.ranks), bool)
        is_new[1:] = self.ranks[1:] != self.ranks[:-1]
        return np.flatnonzero(is_new)

    def _no_other(self, name: str) -> NotFoundError:
        return NotFoundError(
            f"{self.name!r} does not know its run, so there is no metric {name!r} to read it by",
            hint="pass the other Metric itself",
        )


def _name_axis(by: str | Metric) -> str:
    return by if isinstance(by, str) else by.name


def _steps_of(grid: Grid, steps: IntArray, by: str | Metric) -> IntArray:
    return np.asarray(grid.x if by == STEP else grid.highest(steps), np.int64)


def _shorten(numbers: list[int]) -> str:
    shown = ", ".join(str(one) for one in numbers[:8])
    return f"{shown}, ..." if len(numbers) > 8 else shown  # noqa: PLR2004 - fits a line


def no_such_metric(run: str, name: str, known: Sequence[str]) -> NotFoundError:
    """Return the error for a metric that a run has never logged; the hint names the nearest."""
    import difflib  # noqa: PLC0415 - only for a message

    near = difflib.get_close_matches(name, known, n=NEAR_MAX) or known[:KNOWN_MAX]
    return NotFoundError(
        f"run {run} has no metric {name!r}",
        hint=f"did you mean {', '.join(near)}?" if near else "it has logged none",
    )
