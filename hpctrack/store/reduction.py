"""All ranks' values of one column as one number. Pure.

NaN does not count, infinities do; where nothing counts, or where infinities of both signs meet,
the result is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import UsageError
from hpctrack.store.schema import FloatArray, IntArray

PERCENTILES = {"p5": 0.05, "p95": 0.95}
REDUCTIONS = ("mean", "min", "max", "std", "p5", "p95", "spread")
"""``std`` is the population's; percentiles interpolate linearly; ``spread`` is max minus min."""


def check_reductions(hows: Sequence[str]) -> tuple[str, ...]:
    """Return the names of reductions.

    Raises
    ------
    UsageError
        One of them does not exist.
    """
    for how in hows:
        if how not in REDUCTIONS:
            raise UsageError(
                f"cannot reduce by {how!r}", hint=f"use one of {', '.join(REDUCTIONS)}"
            )
    return tuple(hows)


def reduce_table(values: FloatArray, hows: Sequence[str]) -> dict[str, FloatArray]:
    """Reduce the columns of a table.

    Parameters
    ----------
    values : ndarray of float64, shape (ranks, columns)
        NaN where a rank has none.
    hows : sequence of str
        Out of `REDUCTIONS`.

    Returns
    -------
    dict of str to ndarray of float64, shape (columns,)

    Notes
    -----
    A table without NaN takes numpy's plain functions, which are several times faster than
    those that look for NaN.
    """
    if not values.shape[0]:
        return {how: np.full(values.shape[1], np.nan) for how in hows}
    with np.errstate(all="ignore"):
        is_full = not np.isnan(values).any()
        table = _Full(values) if is_full else _Gappy(values)
        return {how: _REDUCE[how](table) for how in hows}


def reduce_groups(
    values: FloatArray, starts: IntArray, hows: Sequence[str]
) -> dict[str, FloatArray]:
    """Reduce groups of values that lie one after the other; for tables that are almost empty.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    starts : ndarray of int64, shape (groups,)
        Where each group begins, increasing, the first at 0: no group is empty.
    hows : sequence of str
        Out of `REDUCTIONS`.

    Returns
    -------
    dict of str to ndarray of float64, shape (groups,)
    """
    with np.errstate(all="ignore"):
        groups = _Groups(values, starts)
        return {how: _REDUCE[how](groups) for how in hows}


class _Full:
    """A table in which every cell has a number."""

    def __init__(self, values: FloatArray) -> None:
        self.values = values

    def mean(self) -> FloatArray:
        return np.asarray(self.values.mean(axis=0))

    def low(self) -> FloatArray:
        return np.asarray(self.values.min(axis=0))

    def high(self) -> FloatArray:
        return np.asarray(self.values.max(axis=0))

    def std(self) -> FloatArray:
        return np.asarray(self.values.std(axis=0))

    def percentile(self, share: float) -> FloatArray:
        place = share * (len(self.values) - 1)
        low = int(place)
        high = min(low + 1, len(self.values) - 1)
        parted = np.partition(self.values, sorted({low, high}), axis=0)
        return _between(parted[low], parted[high], np.float64(place - low))


class _Gappy:
    """A table in which some cells have none."""

    def __init__(self, values: FloatArray) -> None:
        self.values = values
        self.is_there = ~np.isnan(values)
        self.counts = self.is_there.sum(axis=0)

    @cached_property
    def _ordered(self) -> FloatArray:
        return np.sort(self.values, axis=0)  # NaN goes last

    @cached_property
    def _mean(self) -> FloatArray:
        total = np.where(self.is_there, self.values, 0.0).sum(axis=0)
        return np.asarray(total / self.counts)

    def mean(self) -> FloatArray:
        return self._mean

    def low(self) -> FloatArray:
        return np.asarray(np.fmin.reduce(self.values, axis=0))

    def high(self) -> FloatArray:
        return np.asarray(np.fmax.reduce(self.values, axis=0))

    def std(self) -> FloatArray:
        off = np.where(self.is_there, self.values - self._mean, 0.0)
        return np.asarray(np.sqrt((off * off).sum(axis=0) / self.counts))

    def percentile(self, share: float) -> FloatArray:
        place = share * np.maximum(self.counts - 1, 0)
        low = place.astype(np.int64)
        high = np.minimum(low + 1, np.maximum(self.counts - 1, 0))
        column = np.arange(len(low))
        return _between(self._ordered[low, column], self._ordered[high, column], place - low)


class _Groups:
    """Values of one group after the other."""

    def __init__(self, values: FloatArray, starts: IntArray) -> None:
        self.values, self.starts = values, starts
        self.sizes = np.diff(np.append(starts, len(values)))
        self.is_there = ~np.isnan(values)
        self.counts = np.add.reduceat(self.is_there.astype(np.float64), starts)

    @cached_property
    def _mean(self) -> FloatArray:
        total = np.add.reduceat(np.where(self.is_there, self.values, 0.0), self.starts)
        return np.asarray(total / self.counts)

    @cached_property
    def _ordered(self) -> FloatArray:
        group = np.repeat(np.arange(len(self.starts)), self.sizes)
        order = np.argsort(self.values)  # NaN goes last
        return np.asarray(self.values[order[np.argsort(group[order], kind="stable")]])

    def mean(self) -> FloatArray:
        return self._mean

    def low(self) -> FloatArray:
        return np.asarray(np.fmin.reduceat(self.values, self.starts))

    def high(self) -> FloatArray:
        return np.asarray(np.fmax.reduceat(self.values, self.starts))

    def std(self) -> FloatArray:
        off = np.where(self.is_there, self.values - np.repeat(self._mean, self.sizes), 0.0)
        return np.asarray(np.sqrt(np.add.reduceat(off * off, self.starts) / self.counts))

    def percentile(self, share: float) -> FloatArray:
        top = np.maximum(self.counts - 1, 0)
        place = share * top
        low = place.astype(np.int64)
        high = np.minimum(low + 1, top.astype(np.int64))
        return _between(
            self._ordered[self.starts + low], self._ordered[self.starts + high], place - low
        )


def _between(low: FloatArray, high: FloatArray, share: NDArray[Any] | np.float64) -> FloatArray:
    """Interpolate; the ends stay what they are, infinite ones too."""
    mixed = low * (1.0 - share) + high * share
    return np.asarray(np.where((share == 0) | (low == high), low, mixed))


_REDUCE: dict[str, Callable[[Any], FloatArray]] = {
    "mean": lambda one: one.mean(),
    "min": lambda one: one.low(),
    "max": lambda one: one.high(),
    "std": lambda one: one.std(),
    "p5": lambda one: one.percentile(PERCENTILES["p5"]),
    "p95": lambda one: one.percentile(PERCENTILES["p95"]),
    "spread": lambda one: one.high() - one.low(),
}
