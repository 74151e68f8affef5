"""All histograms of a key as one picture: steps by bins. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

BINS = 80
STEPS_MAX = 400
"""More rows than this a screen cannot show one by one."""


@dataclass(frozen=True, slots=True)
class Histograms:
    """Histograms on common edges.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
    edges : ndarray of float64, shape (bins + 1,)
    share : ndarray of float64, shape (n, bins)
        Of the values of each step, divided by the width of a bin relative to the whole: 1 is even.
    total : int
        How many steps there are; ``n`` of them are here.
    """

    step: NDArray[np.int64]
    edges: FloatArray
    share: FloatArray
    total: int


def join_histograms(
    steps: Sequence[int], parts: Sequence[tuple[FloatArray, FloatArray]], *, total: int
) -> Histograms:
    """Put histograms with edges of their own onto common ones.

    Parameters
    ----------
    steps : sequence of int
    parts : sequence of (counts, edges)
        As ``numpy.histogram`` returns them.
    total : int
        How many there were before some were left out.

    Notes
    -----
    Counts are spread evenly over their bin, so every sum is kept, and no value moves farther than
    the width of the bin that it was logged in.
    """
    lows = [edges[0] for counts, edges in parts if len(counts)]
    highs = [edges[-1] for counts, edges in parts if len(counts)]
    low, high = (min(lows), max(highs)) if lows else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    common = np.linspace(low, high, BINS + 1)
    rows = [_spread(counts, edges, common) for counts, edges in parts]
    share = np.array(rows, dtype=np.float64).reshape(len(rows), BINS)
    return Histograms(np.array(steps, dtype=np.int64), common, share * BINS, total)


def _spread(counts: FloatArray, edges: FloatArray, common: FloatArray) -> FloatArray:
    whole = counts.sum()
    if not len(counts) or not whole > 0:
        return np.zeros(len(common) - 1)
    below = np.concatenate([[0.0], np.cumsum(counts)])
    inside = np.interp(common, edges, below, left=0.0, right=whole)
    return np.asarray(np.diff(inside) / whole)
