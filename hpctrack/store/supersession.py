"""Which points a later attempt has computed again: the rule for requeues. Pure.

A later attempt goes back to the step that it logs first, for each rank and metric: what earlier
attempts have at that step or above is superseded. What it logs below that step afterwards, such as
the evaluation of an old checkpoint, takes the place of the same step only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.schema import IntArray

BoolArray = NDArray[np.bool_]

IterSteps = Callable[[int], Iterable[tuple[int, IntArray]]]
"""Yields the steps of a stretch in pieces, each with the place of its first point."""


@dataclass(frozen=True, slots=True)
class Edges:
    """What decides about stretches, or groups, of one rank's and attempt's points.

    Parameters
    ----------
    first : ndarray of int64, shape (n,)
        The step that was logged first.
    lowest : ndarray of int64, shape (n,)
        The lowest one.
    """

    first: IntArray
    lowest: IntArray


def find_limits(rank: IntArray, first: IntArray) -> tuple[IntArray, BoolArray]:
    """Return from which step on the points of each stretch are superseded.

    Parameters
    ----------
    rank : ndarray of int64, shape (n,)
        Of each stretch of one rank and attempt; sorted, by attempt within a rank.
    first : ndarray of int64, shape (n,)
        The step that each stretch logged first.

    Returns
    -------
    limit : ndarray of int64, shape (n,)
        The least of these steps of all later attempts of the rank.
    is_limited : ndarray of bool, shape (n,)
        False for the last attempt of a rank, which nothing supersedes.
    """
    is_limited = np.zeros(len(rank), bool)
    is_limited[:-1] = rank[1:] == rank[:-1]
    limit = np.full(len(rank), np.iinfo(np.int64).max)
    # Backwards; in Python, because only stretches with a successor take part: requeues are few.
    for one in np.flatnonzero(is_limited)[::-1].tolist():
        limit[one] = min(limit[one + 1], first[one + 1])
    return limit, is_limited


def find_current(
    start: int,
    step: IntArray,
    ends: IntArray,
    limits: tuple[IntArray, BoolArray],
    replaced: IntArray,
) -> BoolArray | None:
    """Tell which points are not superseded.

    Parameters
    ----------
    start : int
        Place of the first point.
    step : ndarray of int64, shape (n,)
        Steps of the points from there on.
    ends : ndarray of int64
        Where each stretch ends.
    limits : tuple
        What `find_limits` says of the stretches.
    replaced : ndarray of int64
        What `find_replaced` says.

    Returns
    -------
    ndarray of bool, shape (n,), or None
        None: all of them, without a look at any.
    """
    limit, is_limited = limits
    if not is_limited.any():
        return None
    stretch = np.searchsorted(ends, np.arange(start, start + len(step)), side="right")
    current = np.asarray(~(is_limited[stretch] & (step >= limit[stretch])))
    begin, end = np.searchsorted(replaced, [start, start + len(step)]).tolist()
    current[replaced[begin:end] - start] = False
    return current


def find_replaced(rank: IntArray, edges: Edges, iter_steps: IterSteps) -> IntArray:
    """Return the places of points below the limit whose step a later attempt has logged again.

    Parameters
    ----------
    rank : ndarray of int64, shape (n,)
        As for `find_limits`.
    edges : Edges
        Of the same stretches.
    iter_steps : callable
        Gets the number of a stretch. Not called unless a later attempt has gone below the step
        that it logged first.

    Returns
    -------
    ndarray of int64
        Increasing.

    Notes
    -----
    Takes 8 bytes of memory for each step that was logged late in this way.
    """
    is_later = np.zeros(len(rank), bool)
    is_later[1:] = rank[1:] == rank[:-1]
    goes_below = is_later & (edges.lowest < edges.first)
    found = [np.zeros(0, np.int64)]
    if goes_below.any():
        limit, _is_limited = find_limits(rank, edges.first)
        for one in np.unique(rank[goes_below]).tolist():
            begin, end = np.searchsorted(rank, [one, one + 1]).tolist()
            again = np.zeros(0, np.int64)
            for stretch in range(end - 1, begin - 1, -1):
                below = int(edges.first[stretch]) if goes_below[stretch] else None
                if len(again) or below is not None:
                    pieces = iter_steps(stretch)
                    places, again = _look(pieces, int(limit[stretch]), again, below)
                    found.append(places)
    return np.sort(np.concatenate(found))


def _look(
    pieces: Iterable[tuple[int, IntArray]], limit: int, again: IntArray, below: int | None
) -> tuple[IntArray, IntArray]:
    """Return the places of steps that come again, and all steps that came late until here."""
    places, late = [np.zeros(0, np.int64)], [again]
    for start, step in pieces:
        if len(again):
            place = np.minimum(np.searchsorted(again, step), len(again) - 1)
            places.append(start + np.flatnonzero((again[place] == step) & (step < limit)))
        if below is not None:
            late.append(np.unique(step[step < below]))
    return np.concatenate(places), np.unique(np.concatenate(late)) if len(late) > 1 else again
