"""The points of one metric as columns, and the rule for steps that a requeue computes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hpctrack.store.schema import FloatArray, IntArray, PointArray
from hpctrack.store.supersession import Edges, find_limits, find_replaced


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
        attempt before had reached 100. Points of an earlier attempt at or above the step that a
        later one logged first are superseded; below it, those at a step that a later one has
        logged too. They stay in the files.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        if not len(self) or self.attempt.min() == self.attempt.max():
            return np.zeros(len(self), bool)
        starts = self.run_starts()
        ends = np.append(starts[1:], len(self))
        rank, first = self.rank[starts], self.step[starts]
        limits, is_limited = find_limits(rank, first)
        counts = ends - starts
        above = self.step >= np.repeat(limits, counts)
        hidden = np.asarray(np.repeat(is_limited, counts) & above)
        edges = Edges(first, np.minimum.reduceat(self.step, starts))
        replaced = find_replaced(
            rank, edges, lambda one: [(int(starts[one]), self.step[starts[one] : ends[one]])]
        )
        hidden[replaced] = True
        return hidden

    def run_starts(self) -> IntArray:
        """Return where each stretch of one rank and attempt begins."""
        is_new = np.ones(len(self), bool)
        is_new[1:] = (self.rank[1:] != self.rank[:-1]) | (self.attempt[1:] != self.attempt[:-1])
        return np.flatnonzero(is_new)

    def current(self) -> Columns:
        """Return the points that count: without the superseded ones."""
        mask = self.superseded()
        return self.take(~mask) if mask.any() else self
