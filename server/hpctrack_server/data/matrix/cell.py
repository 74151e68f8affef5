"""What stands behind one pixel: the exact value, its rank and step, and what the others had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpctrack_server.data.downsample import FloatArray
from hpctrack_server.data.matrix.plane import How, Plane
from hpctrack_server.data.matrix.table import Table

RANKS_MAX = 32
"""Ranks of one pixel that are looked at; more only meet in pictures of 10,000 ranks."""

OTHERS = (50.0, 99.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellQuery:
    """A pixel of a heat map.

    Parameters
    ----------
    ranks : tuple of int
    start, stop : int
        Its steps: from the first on, below the second.
    how : How
        Which of its values is shown.
    """

    ranks: tuple[int, ...]
    start: int
    stop: int
    how: How


def describe_cell(table: Table, query: CellQuery) -> dict[str, Any]:
    """Return rank, step and exact value of what a pixel shows, and the step's percentiles.

    Returns
    -------
    dict
        ``points`` is how many the pixel stands for; without any there is nothing else. For a
        mean, ``value`` is that mean, and ``rank`` and ``step`` are those nearest to it.
        ``p50`` and ``p99`` are over all ranks at that step; None while they are being read.
    """
    found = [
        (one, *table.read_points(one, query.start, query.stop)) for one in query.ranks[:RANKS_MAX]
    ]
    rank = np.repeat([one for one, *_points in found], [len(step) for _one, step, _value in found])
    step = np.concatenate([np.zeros(0, np.int64), *(step for _one, step, _value in found)])
    value = np.concatenate([np.zeros(0), *(value for _one, _step, value in found)])
    is_there = ~np.isnan(value)
    rank, step, value = rank[is_there], step[is_there], value[is_there]
    if not len(value):
        return {"points": 0, "start": query.start, "stop": query.stop}
    at, shown = choose_value(value, query.how)
    others = find_others(table, int(step[at]))
    return {
        "points": len(value),
        "start": query.start,
        "stop": query.stop,
        "rank": int(rank[at]),
        "step": int(step[at]),
        "value": shown,
        "at_step": float(value[at]),
        **others,
    }


def choose_value(value: FloatArray, how: How) -> tuple[int, float]:
    """Return which value a pixel shows, and what it shows."""
    if how == How.MAX:
        at = int(np.argmax(value))
        return at, float(value[at])
    if how == How.MIN:
        at = int(np.argmin(value))
        return at, float(value[at])
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(value.mean())
        return int(np.argmin(np.abs(value - mean))), mean


def find_others(table: Table, step: int) -> dict[str, Any]:
    """Return percentiles over all ranks at a step, if that can be told at once."""
    whole = table.whole
    if whole is None or not _has_single_steps(whole):
        return {"p50": None, "p99": None, "of_ranks": 0}
    at = int(np.searchsorted(whole.starts, step))
    if at == len(whole.starts) or whole.starts[at] != step:
        return {"p50": None, "p99": None, "of_ranks": 0}
    row = whole.mean[at].astype(np.float64)
    row = row[~np.isnan(row)]
    if not len(row):
        return {"p50": None, "p99": None, "of_ranks": 0}
    with np.errstate(invalid="ignore"):
        middle, high = np.percentile(row, OTHERS)
    return {"p50": float(middle), "p99": float(high), "of_ranks": len(row)}


def _has_single_steps(plane: Plane) -> bool:
    return plane.low is plane.mean
