"""The points of one metric as columns, and the rule for steps that a requeue computes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hpctrack.store.schema import FloatArray, IntArray, PointArray


@dataclass(frozen=True, slots=True)
class Columns:
    """Points of one metric, all ranks and attempts.

    Parameters
    ----------
    rank, attempt, step : ndarray of int64, shape (n,)
    wall_s, value : ndarray of float64, shape (n,)
        Sorted by rank, then attempt; within these in the order of logging.
    """

    rank: IntArray
    attempt: IntArray
    step: IntArray
    wall_s: FloatArray
    value: FloatArray

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.step)

    @classmethod
    def from_points(cls, points: PointArray, attempt: int) -> Self:
        """Take rows of one metric from a live file."""
        return cls(
            points["rank"].astype(np.int64),
            np.full(len(points), attempt, np.int64),
            points["step"].astype(np.int64),
            points["wall_s"].astype(np.float64),
            points["value"].astype(np.float64),
        )

    @classmethod
    def join(cls, parts: Sequence[Columns]) -> Columns:
        """Put parts together, in the order that the class promises."""
        if len(parts) == 1:
            whole = parts[0]
        else:
            names = cls.__slots__
            whole = cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))
        order = np.lexsort((whole.attempt, whole.rank))
        if np.array_equal(order, np.arange(len(order))):
            return whole
        return whole.take(order)

    @classmethod
    def empty(cls) -> Self:
        """Return no points."""
        ints, floats = np.zeros(0, np.int64), np.zeros(0, np.float64)
        return cls(ints, ints, ints, floats, floats)

    def take(self, which: IntArray | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Columns:
        """Return some of the points, by index or mask."""
        return Columns(
            self.rank[which],
            self.attempt[which],
            self.step[which],
            self.wall_s[which],
            self.value[which],
        )

    def superseded(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Mark points that a later attempt of the same rank has computed again.

        A requeued job goes back to its checkpoint: it logs steps from, say, 80 although the
        attempt before had reached 100. Points of an earlier attempt at or above the first step
        of a later one are superseded; they stay in the files.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        if not len(self) or self.attempt.min() == self.attempt.max():
            return np.zeros(len(self), bool)
        starts = self.run_starts()
        counts = np.diff(starts, append=len(self))
        lowest = np.minimum.reduceat(self.step, starts)
        limits, is_limited = find_limits(self.rank[starts], lowest)
        return np.asarray(np.repeat(is_limited, counts) & (self.step >= np.repeat(limits, counts)))

    def run_starts(self) -> IntArray:
        """Return where each stretch of one rank and attempt begins."""
        is_new = np.ones(len(self), bool)
        is_new[1:] = (self.rank[1:] != self.rank[:-1]) | (self.attempt[1:] != self.attempt[:-1])
        return np.flatnonzero(is_new)

    def current(self) -> Columns:
        """Return the points that count: without the superseded ones."""
        mask = self.superseded()
        return self.take(~mask) if mask.any() else self


def find_limits(
    rank: IntArray, lowest: IntArray
) -> tuple[IntArray, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return from which step on the points of each stretch are superseded.

    Parameters
    ----------
    rank : ndarray of int64, shape (n,)
        Of each stretch of one rank and attempt; sorted, by attempt within a rank.
    lowest : ndarray of int64, shape (n,)
        The lowest step of each stretch.

    Returns
    -------
    limit : ndarray of int64, shape (n,)
        The lowest step of all later attempts of the rank.
    is_limited : ndarray of bool, shape (n,)
        False for the last attempt of a rank, which nothing supersedes.
    """
    is_limited = np.zeros(len(rank), bool)
    is_limited[:-1] = rank[1:] == rank[:-1]
    limit = np.full(len(rank), np.iinfo(np.int64).max)
    # Backwards; in Python, because only stretches with a successor take part: requeues are few.
    for one in np.flatnonzero(is_limited)[::-1].tolist():
        limit[one] = min(limit[one + 1], lowest[one + 1])
    return limit, is_limited
