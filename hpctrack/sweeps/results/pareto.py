"""Which points no other point beats in every respect. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpctrack.errors import UsageError


def find_front(values: Sequence[Sequence[float]] | np.ndarray, goals: Sequence[str]) -> list[int]:
    """Return the rows that are on the Pareto front, in order.

    A row is beaten by another that is at least as good in every column and better in one. Equal
    rows do not beat each other, so all of them are returned.

    Parameters
    ----------
    values : sequence or ndarray, shape (rows, columns)
        A row with a NaN is left out: it cannot be compared.
    goals : sequence of {"minimize", "maximize"}
        For each column.

    Raises
    ------
    UsageError
        There are not as many goals as columns.

    Notes
    -----
    O(rows x front) time.

    Examples
    --------
    >>> find_front([[1.0, 9.0], [2.0, 2.0], [3.0, 3.0]], ["minimize", "minimize"])
    [0, 1]
    """
    if not len(values):
        return []
    costs = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    if costs.shape[1] != len(goals):
        raise UsageError(f"{costs.shape[1]} metrics and {len(goals)} goals")
    costs = costs * np.where(np.asarray(goals) == "maximize", -1.0, 1.0)
    (left,) = np.nonzero(~np.isnan(costs).any(axis=1))
    # In lexical order a row can be beaten by an earlier one only, so each that is still there
    # when its turn comes is on the front.
    left = left[np.lexsort(costs[left].T[::-1])]
    at = 0
    while at < len(left):
        row, rest = costs[left[at]], costs[left]
        is_kept = (rest < row).any(axis=1) | (rest == row).all(axis=1)
        left = left[is_kept]
        at += 1
    return sorted(int(one) for one in left)
