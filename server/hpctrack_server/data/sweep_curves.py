"""Which curves of a sweep a page draws, and how many points of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpctrack_server.data.downsample import envelope

CURVES_MAX = 400
"""More lines hide each other, and each may be a run to open."""

CURVE_WIDTH = 200
"""Buckets of one curve: a chart of a sweep is no wider than 800 pixels on most screens."""


def choose_trials(numbers: Sequence[int], ranking: Sequence[int]) -> frozenset[int]:
    """Return the trials whose curves are drawn: half are the best, half are spread over the rest.

    Parameters
    ----------
    numbers : sequence of int
        All trials, in order.
    ranking : sequence of int
        Those with a value, the best first.
    """
    if len(numbers) <= CURVES_MAX:
        return frozenset(numbers)
    best = frozenset(ranking[: CURVES_MAX // 2])
    rest = [one for one in numbers if one not in best]
    places = np.linspace(0, len(rest) - 1, CURVES_MAX - len(best)).round().astype(int)
    return best | {rest[at] for at in places.tolist()}


def count_iterations(trials: Mapping[str, Any], ends: Mapping[int, int]) -> dict[str, Any]:
    """Return the columns of trials; one that runs has as many iterations as its curve.

    It says itself how many they were when it ends.

    Parameters
    ----------
    trials : mapping
        With ``number``, ``state`` and ``iterations``.
    ends : mapping
        The last iteration of a curve, by the trial's number.
    """
    columns = zip(trials["number"], trials["state"], trials["iterations"], strict=True)
    counted = [
        max(said, ends.get(number, 0)) if state == "running" else said
        for number, state, said in columns
    ]
    return {**trials, "iterations": counted}


def thin_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a curve with as many points as can be told apart; its extremes and ends are exact.

    Parameters
    ----------
    line : mapping
        With ``iterations``, ``values`` (None where there is no number) and ``steps``, which a
        thinned one has no more.
    """
    values = np.array([np.nan if one is None else one for one in line["values"]], np.float64)
    iterations = np.asarray(line["iterations"], np.int64)
    kept, shown = envelope(iterations, values, width=CURVE_WIDTH)
    if len(kept) == len(iterations):
        return {**line, "is_thinned": False}
    plain = [one if np.isfinite(one) else None for one in shown.tolist()]
    return {
        **line, "iterations": kept.tolist(), "values": plain, "steps": [], "is_thinned": True,
    }  # fmt: skip
