"""How fast each rank was at each step, against the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hpctrack.store.grid import Grid, make_grid, number_runs, number_values
from hpctrack.store.metric import Metric
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.slowness import RANKS_MIN, median

COVERED = 0.5
"""Share of ranks that an average step must have; below, neighbouring steps are put together."""

PAUSE = 5.0
"""A step that took more than this many usual ones contained a pause, and counts as this many."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Ranks x columns; a column is a step, or a few where each step is logged by few ranks.

    Parameters
    ----------
    ranks : ndarray of int64, shape (ranks,)
    steps : ndarray of int64, shape (columns,)
        The first step of each column.
    wall_s : ndarray of float64, shape (columns,)
        When the last rank logged it.
    excess : ndarray of float64, shape (ranks, columns)
        Logarithm of the rank's time over the median of the ranks; NaN where it is absent.
    median_s : ndarray of float64, shape (columns,)
        The time that a rank typically took for the column.
    group : int
        Logged steps per column.
    is_time : bool
        Excess is a share of ``median_s``; of a throughput ``median_s`` is the time between
        columns, which already has the waiting in it.
    """

    ranks: IntArray
    steps: IntArray
    wall_s: FloatArray
    excess: FloatArray
    median_s: FloatArray
    group: int
    is_time: bool

    def lost_s(self, row: int) -> FloatArray:
        """Return by how much a rank was behind the median in each column, seconds, at least 0."""
        return self._seconds(np.nan_to_num(self.excess[row], nan=0.0))

    def waited_s(self) -> FloatArray:
        """Return by how much the slowest rank was behind the median in each column, seconds."""
        return self._seconds(np.fmax.reduce(self.excess, axis=0, initial=0.0))

    def _seconds(self, excess: FloatArray) -> FloatArray:
        share = np.expm1(np.maximum(excess, 0.0))
        return np.asarray(self.median_s * (share if self.is_time else share / (1 + share)))


def measure_pace(metric: Metric, *, higher_is_better: bool, unit_s: float) -> Pace:
    """Compare ranks at each step.

    Parameters
    ----------
    metric : Metric
        Values that are not positive and finite count as absent.
    higher_is_better : bool
        It is a throughput, not a time.
    unit_s : float
        Seconds per unit of a time.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(metric.values)
    logs[~np.isfinite(logs)] = np.nan
    grid = make_grid(metric.ranks, metric.steps)
    group = _choose_group(grid)
    steps = np.asarray(grid.x[::group], np.int64)
    wall_s = grid.highest(metric.wall_s)
    if group == 1:
        table = grid.table(logs)
        times = np.ones(len(steps))
    else:
        wall_s = np.maximum.reduceat(wall_s, np.arange(0, len(wall_s), group))
        table, times = _group_steps(metric, logs, group)
    middle = median(table, 0) if table.size else np.zeros(len(steps))
    excess = table - middle
    excess[:, (~np.isnan(table)).sum(axis=0) < RANKS_MIN] = np.nan
    if higher_is_better:
        return Pace(grid.ranks, steps, wall_s, -excess, _durations(wall_s), group, is_time=False)
    median_s = np.nan_to_num(np.exp(middle), nan=0.0) * times * unit_s
    return Pace(grid.ranks, steps, wall_s, excess, median_s, group, is_time=True)


def _choose_group(grid: Grid) -> int:
    """Return how many logged steps make a column that most ranks have."""
    if not grid.cells or grid.points >= COVERED * grid.cells:
        return 1
    return min(math.ceil(grid.cells / grid.points), len(grid.x))


def _group_steps(metric: Metric, logs: FloatArray, group: int) -> tuple[FloatArray, FloatArray]:
    """Return the mean of each rank's values in each column, and how many a rank typically has."""
    ranks, row = number_runs(metric.ranks)
    steps, number = number_values(metric.steps)
    width = -(-len(steps) // group)
    cell = row * width + number // group
    is_there = ~np.isnan(logs)
    count = np.bincount(cell[is_there], minlength=len(ranks) * width)
    total = np.bincount(cell[is_there], logs[is_there], minlength=len(ranks) * width)
    with np.errstate(invalid="ignore"):
        table = (total / count).reshape(len(ranks), width)
    times = np.where(count > 0, count, np.nan).reshape(table.shape)
    return table, np.nan_to_num(median(times, 0), nan=0.0)


def _durations(wall_s: FloatArray) -> FloatArray:
    """Return the time from each column to the next, without pauses."""
    if len(wall_s) < 2:  # noqa: PLR2004 - there is nothing between one
        return np.zeros(len(wall_s))
    between = np.maximum(np.diff(wall_s), 0.0)
    usual = float(np.median(between))
    between = np.minimum(between, PAUSE * usual)
    return np.concatenate([[usual], between])
