"""Which columns foretell another: extremely randomised trees, in numpy alone. Pure.

References
----------
Geurts, Ernst and Wehenkel, "Extremely randomized trees", Machine Learning 63 (2006): random
thresholds, the best of a few. Breiman, "Random forests", Machine Learning 45 (2001): importance by
permuting one column among the rows that a tree has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hpctrack_server.components.panels.column import Column, FloatArray, IntArray, Kind

TREES = 60
DEPTH_MAX = 9
LEAF_MIN = 5
ROWS_MAX = 2000
"""Of more runs a random part is taken: the importance of a column changes little, the time does."""

MatrixArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(slots=True)
class Tree:
    """Nodes in the order of their making; a leaf has column -1.

    A category goes left if the number that the node drew for it is at most the threshold.
    """

    columns: list[int]
    thresholds: list[float]
    keys: list[FloatArray | None]
    """What each category of a node's column counts as."""
    children: list[tuple[int, int]]
    values: list[float]

    def predict(self, matrix: MatrixArray) -> FloatArray:
        """Return the value of each row, shape (rows,)."""
        found = np.empty(len(matrix))
        waiting = [(0, np.arange(len(matrix)))]
        while waiting:
            node, rows = waiting.pop()
            if self.columns[node] < 0 or not len(rows):
                found[rows] = self.values[node]
                continue
            is_left = (
                _numbers(matrix[rows, self.columns[node]], self.keys[node])
                <= (self.thresholds[node])
            )
            left, right = self.children[node]
            waiting += [(left, rows[is_left]), (right, rows[~is_left])]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestImportance:
    """What each column is worth.

    Parameters
    ----------
    shares : ndarray, shape (columns,)
        Permutation importance, all together 1; all 0 if nothing foretells anything.
    explained_frac : float
        Variance of unseen runs that the forest explains (R squared); at most 1.
    rows : int
        Runs that it has seen.
    """

    shares: FloatArray
    explained_frac: float
    rows: int


def measure_importance(columns: list[Column], target: FloatArray, *, seed: int = 0) -> (
    ForestImportance
):  # fmt: skip
    """Return how much worse unseen runs are foretold when one column is shuffled.

    Parameters
    ----------
    columns : list of Column
        At least one. A run without a value goes its own way: it counts as below all others.
    target : ndarray, shape (runs,)
        Finite.
    seed : int
    """
    random = np.random.default_rng(seed)
    matrix = np.stack([_fill(one) for one in columns], axis=1)
    if len(matrix) > ROWS_MAX:
        chosen = np.sort(random.choice(len(matrix), ROWS_MAX, replace=False))
        matrix, target = matrix[chosen], target[chosen]
    # Categories by their codes from 1; 0 is a run without a value.
    sizes = [len(one.labels) + 1 if one.kind == Kind.CATEGORY else 0 for one in columns]
    rows = np.arange(len(matrix))
    losses, base = np.zeros(len(columns)), np.zeros(len(rows))
    seen = np.zeros(len(rows))
    for _ in range(TREES):
        inside = random.integers(0, len(rows), len(rows))
        outside = np.setdiff1d(rows, inside)
        tree = grow_tree(matrix, target, sizes, inside, random=random)
        part, wanted = matrix[outside], target[outside]
        foretold = tree.predict(part)
        base[outside] += foretold
        seen[outside] += 1
        error = float(((wanted - foretold) ** 2).mean()) if len(outside) else 0.0
        used = {one for one in tree.columns if one >= 0}
        for column in used if len(outside) else ():
            shuffled = part.copy()
            shuffled[:, column] = random.permutation(shuffled[:, column])
            losses[column] += float(((wanted - tree.predict(shuffled)) ** 2).mean()) - error
    losses = np.maximum(losses, 0)
    total = losses.sum()
    return ForestImportance(
        shares=losses / total if total > 0 else losses,
        explained_frac=_explain(target, base, seen),
        rows=len(rows),
    )


def grow_tree(
    matrix: MatrixArray,
    target: FloatArray,
    sizes: list[int],
    rows: IntArray,
    *,
    random: np.random.Generator,
) -> Tree:
    """Grow one tree on some rows; ``sizes`` has the number of categories of a column, or 0."""
    tree = Tree([], [], [], [], [])
    waiting = [(rows, 0, -1, 0)]
    while waiting:
        part, depth, parent, side = waiting.pop()
        node = _add_node(tree, float(target[part].mean()))
        if parent >= 0:
            pair = list(tree.children[parent])
            pair[side] = node
            tree.children[parent] = (pair[0], pair[1])
        split = None
        if depth < DEPTH_MAX and len(part) >= 2 * LEAF_MIN:
            split = _find_split(matrix[part], target[part], sizes, random)
        if split is None:
            continue
        tree.columns[node], tree.thresholds[node], tree.keys[node], is_left = split
        waiting += [(part[~is_left], depth + 1, node, 1), (part[is_left], depth + 1, node, 0)]
    return tree


def _add_node(tree: Tree, value: float) -> int:
    tree.columns.append(-1)
    tree.thresholds.append(0.0)
    tree.keys.append(None)
    tree.children.append((-1, -1))
    tree.values.append(value)
    return len(tree.values) - 1


_Split: TypeAlias = tuple[int, float, FloatArray | None, npt.NDArray[np.bool_]]


def _find_split(
    matrix: MatrixArray, target: FloatArray, sizes: list[int], random: np.random.Generator
) -> _Split | None:
    """Try one random threshold per column and keep the one that parts the target best."""
    keys = [random.random(size) if size else None for size in sizes]
    numbers = matrix.copy()
    for column, key in enumerate(keys):
        if key is not None:
            numbers[:, column] = key[matrix[:, column].astype(np.int64)]
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    thresholds = low + random.random(len(low)) * (high - low)
    is_left = numbers <= thresholds
    left = is_left.sum(axis=0)
    right = len(target) - left
    centred = target - target.mean()
    sums = centred @ is_left
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.where(
            (left >= LEAF_MIN) & (right >= LEAF_MIN), sums**2 * (1 / left + 1 / right), 0
        )
    best = int(np.argmax(gains))
    if not gains[best] > 0:
        return None
    return best, float(thresholds[best]), keys[best], is_left[:, best]


def _numbers(values: FloatArray, key: FloatArray | None) -> FloatArray:
    return values if key is None else key[values.astype(np.int64)]


def _fill(column: Column) -> FloatArray:
    """Return ranks, which no outlier stretches, or codes from 1; 0 for a run without a value."""
    if column.kind == Kind.CATEGORY:
        return np.where(column.is_known, np.nan_to_num(column.numbers) + 1, 0.0)
    known = np.unique(column.numbers[column.is_known])
    place = np.searchsorted(known, column.numbers) + 1.0
    return np.where(column.is_known, place / max(len(known), 1), 0.0)


def _explain(target: FloatArray, sums: FloatArray, seen: FloatArray) -> float:
    known = seen > 0
    wanted = target[known]
    if len(wanted) < 2 or not wanted.var() > 0:  # noqa: PLR2004
        return 0.0
    error = wanted - sums[known] / seen[known]
    return float(1 - (error @ error) / ((wanted - wanted.mean()) ** 2).sum())
