"""All ranks' values of a step as one: mean, lowest, highest. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpctrack_server.data.downsample import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Reduced:
    """One row per step.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
        Increasing.
    wall_s : ndarray of float64, shape (n,)
        When the last rank logged the step, UTC seconds.
    mean, low, high : ndarray of float64, shape (n,)
        Over the ranks that have a value; NaN where none has.
    """

    step: IntArray
    wall_s: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def size_bytes(self) -> int:
        """Memory taken by the arrays."""
        return 5 * self.step.nbytes


def reduce_ranks(rank: IntArray, step: IntArray, wall_s: FloatArray, value: FloatArray) -> Reduced:
    """Reduce points over ranks.

    Parameters
    ----------
    rank, step : ndarray of int64, shape (n,)
        In any order; of several points with the same rank and step the last one counts.
    wall_s, value : ndarray of float64, shape (n,)
        NaN values do not count.

    Returns
    -------
    Reduced

    Notes
    -----
    O(n log n) time, O(n) memory: never a matrix of ranks by steps, which ranks that share no
    step would make as large as the square of what was logged.
    """
    order = np.lexsort((rank, step))
    ranks, steps = rank[order], step[order]
    is_last = np.ones(len(order), bool)
    is_last[:-1] = (ranks[1:] != ranks[:-1]) | (steps[1:] != steps[:-1])
    order = order[is_last]
    steps, walls, values = step[order], wall_s[order], value[order]
    starts = np.flatnonzero(np.diff(steps, prepend=steps[:1] - 1)) if len(steps) else order
    if not len(starts):
        empty = np.zeros(0)
        return Reduced(steps, empty, empty, empty, empty)
    is_there = ~np.isnan(values)
    counts = np.add.reduceat(is_there.astype(np.float64), starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(np.where(is_there, values, 0.0), starts) / counts
    return Reduced(
        steps[starts],
        np.maximum.reduceat(walls, starts),
        np.asarray(np.where(counts > 0, mean, np.nan)),
        np.fmin.reduceat(values, starts),
        np.fmax.reduceat(values, starts),
    )
