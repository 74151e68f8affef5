"""How columns go together. Pure."""

from __future__ import annotations

import numpy as np

from hpctrack_server.components.panels.column import Column, FloatArray

RUNS_MIN = 3
"""Two runs always lie on a line."""


def correlate(columns: list[Column], *, is_spearman: bool = False) -> tuple[FloatArray, FloatArray]:
    """Return the correlation of each pair of columns over the runs that have both.

    Parameters
    ----------
    columns : list of Column
        Numbers; categories count by their code, which only makes sense for two of them.
    is_spearman : bool
        Of the ranks, which sees any monotone relation; else Pearson's, of the values.

    Returns
    -------
    values, counts : ndarrays, shape (columns, columns)
        NaN where fewer than 3 runs have both, or one of them does not vary.
    """
    size = len(columns)
    values, counts = np.full((size, size), np.nan), np.zeros((size, size))
    for i, one in enumerate(columns):
        for j in range(i + 1):
            values[i, j], counts[i, j] = correlate_pair(
                one.numbers, columns[j].numbers, is_spearman=is_spearman
            )
            values[j, i], counts[j, i] = values[i, j], counts[i, j]
    return values, counts


def correlate_pair(a: FloatArray, b: FloatArray, *, is_spearman: bool) -> tuple[float, int]:
    """Return the correlation of two columns, and of how many runs it is."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b, count = a[known], b[known], int(known.sum())
    if count < RUNS_MIN:
        return np.nan, count
    if is_spearman:
        a, b = rank(a), rank(b)
    a, b = _standardise(a), _standardise(b)
    if not (a.any() and b.any()):
        return np.nan, count
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1)), count


def rank(values: FloatArray) -> FloatArray:
    """Return the ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def _standardise(values: FloatArray) -> FloatArray:
    """Centre, and scale so that squares of 1e200 do not overflow; all 0 without variation."""
    scale = np.abs(values).max()
    centred = values / scale if scale > 0 else values
    centred = centred - centred.mean()
    size = np.abs(centred).max()
    return np.zeros_like(centred) if size < 1e-12 else centred / size  # noqa: PLR2004 - rounding
