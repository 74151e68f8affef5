"""Joules out of one meter's samples: its counter, and its power where the counter says nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.schema import FloatArray
from hpctrack.store.series import Series


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used in each interval in which a meter told it.

    Parameters
    ----------
    begin_s, end_s : ndarray of float64, shape (n,)
        UTC seconds.
    measured_s : ndarray of float64, shape (n,)
        How much of the interval is in it.
    joules : ndarray of float64, shape (n,)
    """

    begin_s: FloatArray
    end_s: FloatArray
    measured_s: FloatArray
    joules: FloatArray

    def __add__(self, other: Spent) -> Spent:
        """Put what was told at other times, or by a part beside it, behind it."""
        return Spent(
            np.concatenate([self.begin_s, other.begin_s]),
            np.concatenate([self.end_s, other.end_s]),
            np.concatenate([self.measured_s, other.measured_s]),
            np.concatenate([self.joules, other.joules]),
        )

    @property
    def total_j(self) -> float:
        """All of it."""
        return float(self.joules.sum())

    @property
    def total_s(self) -> float:
        """For how long it was measured."""
        return float(self.measured_s.sum())


def find_spent(
    counter: tuple[Series, NDArray[np.bool_]] | None,
    power: tuple[Series, NDArray[np.bool_]] | None,
) -> Spent:
    """Return what a meter tells: by its counter, and by its power where that stands still.

    Parameters
    ----------
    counter, power : (Series, ndarray of bool) or None
        Samples, and for each pair of neighbours whether somebody was reading between them.

    Notes
    -----
    A counter is preferred: it has seen what happened between two samples. What it grew while
    nobody was reading is not known, and one that begins anew adds nothing for that interval. It is
    believed until it grew for the last time: some move every few minutes, and what was used since
    then is not in them yet; one that never moves is not believed at all.
    """
    found = _empty() if counter is None else _count(*counter)
    if power is None:
        return found
    return found + _integrate(*power, beside=found)


def grow(series: Series, is_read: NDArray[np.bool_]) -> float:
    """Return how much a counter of any kind grew while it was read."""
    grown = np.diff(series.value)
    return float(grown[is_read & (grown > 0)].sum())


def _empty() -> Spent:
    return Spent(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))


def _count(series: Series, is_read: NDArray[np.bool_]) -> Spent:
    grown = np.diff(series.value)
    is_read = is_read & (grown >= 0)
    number = np.arange(len(grown))
    # The last growth in each stretch without a gap.
    stretch = np.cumsum(~is_read)
    last = np.full(len(grown) + 1, -1)
    moved = is_read & (grown > 0)
    np.maximum.at(last, stretch[moved], number[moved])
    is_told = is_read & (number <= last[stretch])
    begin_s, end_s = series.wall_s[:-1][is_told], series.wall_s[1:][is_told]
    return Spent(begin_s, end_s, end_s - begin_s, np.asarray(grown[is_told], np.float64))


def _integrate(series: Series, is_read: NDArray[np.bool_], *, beside: Spent) -> Spent:
    """Return power over the time that is not told otherwise; a value counts until the next one."""
    is_told = is_read & ~np.isnan(series.value[:-1])
    begin_s, end_s = series.wall_s[:-1][is_told], series.wall_s[1:][is_told]
    watts = series.value[:-1][is_told]
    known_s = _sum_until(beside, end_s) - _sum_until(beside, begin_s)
    open_s = np.maximum(end_s - begin_s - known_s, 0.0)
    is_open = open_s > 0
    return Spent(begin_s[is_open], end_s[is_open], open_s[is_open], (watts * open_s)[is_open])


def _sum_until(known: Spent, wall_s: FloatArray) -> FloatArray:
    """Return how many seconds are known until each time."""
    if not len(known.begin_s):
        return np.zeros(len(wall_s))
    until_s = np.cumsum(known.measured_s)
    knots_s = np.stack([known.begin_s, known.end_s], axis=1).ravel()
    sums_s = np.stack([until_s - known.measured_s, until_s], axis=1).ravel()
    return np.asarray(np.interp(wall_s, knots_s, sums_s), np.float64)
