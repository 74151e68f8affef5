"""From true and predicted classes to curves and counts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpctrack.client.curves import Line, count_hits, pr_line, roc_line
from hpctrack.errors import UsageError

VALUES_MAX = 1_000_000
"""Scores that are sorted in a rank: about a second."""

CLASSES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Curve:
    """One class's line.

    Parameters
    ----------
    name : str
    line : (list of float, list of float)
    score : float
        Area or average precision, of all points.
    thresholds : int
        Points before those on straight pieces were left out.
    """

    name: str
    line: Line
    score: float
    thresholds: int


def make_curves(
    kind: str,
    y_true: Sequence[Any],
    y_probas: Sequence[Any],
    labels: Sequence[str] | None,
    chosen: Sequence[Any] | None,
) -> tuple[list[Curve], list[str]]:
    """Return one curve for each class, and the names of classes that have none.

    Parameters
    ----------
    kind : {"roc", "pr"}
    y_true : sequence, length n
    y_probas : sequence, n rows of scores, or n scores of class 1
    labels, chosen : sequence, optional

    Raises
    ------
    UsageError
        The lengths differ, a score is no finite number, or no class has a curve.
    """
    scores = _read_scores(y_true, y_probas)
    classes = _read_classes(y_true, len(scores[0]))
    wanted = set(chosen) if chosen is not None else None
    is_binary = len(scores[0]) == 1
    curves, skipped = [], []
    for at, one in enumerate(classes):
        if (is_binary and at == 0) or (wanted is not None and one not in wanted):
            continue
        name = str(labels[at]) if labels is not None and at < len(labels) else str(one)
        column = [row[0 if is_binary else at] for row in scores]
        hits = count_hits(column, [value == one for value in y_true])
        false, true = hits[-1]
        if not true or (kind == "roc" and not false):
            skipped.append(name)  # a rate of nothing
            continue
        line, score = roc_line(hits) if kind == "roc" else pr_line(hits)
        curves.append(Curve(name, line, score, len(hits) + 1))
    if not curves:
        raise UsageError("no class has both samples of it and of others, or none was chosen")
    return curves, skipped


def count_confusion(
    y_true: Sequence[Any],
    probs: Sequence[Any] | None,
    preds: Sequence[Any] | None,
    class_names: Sequence[str] | None,
) -> tuple[list[str], list[list[int]]]:
    """Return the classes' names, and the counts by true (row) and predicted (column) class.

    Raises
    ------
    UsageError
        The lengths differ, or a value is no class.
    """
    if (probs is None) == (preds is None):
        raise UsageError("a confusion matrix needs either probs= or preds=")
    if preds is None:
        rows = _read_scores(y_true, probs or [])
        preds = [max(range(len(row)), key=row.__getitem__) for row in rows]
    if len(preds) != len(y_true) or not preds:
        raise UsageError(f"there are {len(y_true)} true and {len(preds)} predicted classes")
    values, names = _number_classes([*y_true, *preds], class_names)
    count = len(names)
    if count > CLASSES_MAX:
        raise UsageError(f"there are {count:,} classes, at most {CLASSES_MAX:,} are counted")
    counts = [[0] * count for _row in range(count)]
    for actual, guess in zip(values[: len(y_true)], values[len(y_true) :], strict=True):
        counts[actual][guess] += 1
    return names, counts


def _number_classes(
    values: Sequence[Any], class_names: Sequence[str] | None
) -> tuple[list[int], list[str]]:
    """Return the number of each value's class, and the classes' names."""
    is_whole = all(isinstance(one, int) for one in values)
    if is_whole and all(0 <= one < CLASSES_MAX for one in values):
        found = [int(one) for one in values]
        count = max(found) + 1
        if class_names is None:
            return found, [str(number) for number in range(count)]
        names = [str(one) for one in class_names]
        if count > len(names):
            raise UsageError(f"class {count - 1} has no name, there are {len(names)} class_names")
        return found, names
    if class_names is not None:
        names = [str(one) for one in class_names]
    elif is_whole:
        names = [str(one) for one in sorted({int(one) for one in values})]
    else:
        names = sorted({str(one) for one in values})
    numbers = {name: number for number, name in enumerate(names)}
    try:
        return [numbers[str(int(one) if is_whole else one)] for one in values], names
    except KeyError as error:
        raise UsageError(
            f"{error} is no class", hint=f"classes are numbers from 0, or {names[:8]}"
        ) from None


def _read_scores(y_true: Sequence[Any], y_probas: Sequence[Any]) -> list[list[float]]:
    if len(y_true) != len(y_probas) or not len(y_true):
        raise UsageError(f"there are {len(y_true)} true classes and {len(y_probas)} rows of scores")
    is_flat = not isinstance(y_probas[0], (list, tuple))
    rows = [[one] for one in y_probas] if is_flat else y_probas
    width = len(rows[0])
    if any(len(row) != width for row in rows) or not width:
        raise UsageError("the rows of scores differ in length")
    if width * len(rows) > VALUES_MAX:
        raise UsageError(
            f"there are {width * len(rows):,} scores, at most {VALUES_MAX:,} are sorted in a rank",
            hint="log a random sample of them",
        )
    try:
        found = [[float(one) for one in row] for row in rows]
    except (TypeError, ValueError):
        raise UsageError("a score is not a number") from None
    if any(one - one != 0 for row in found for one in row):
        raise UsageError("a score is NaN or infinite")
    return found


def _read_classes(y_true: Sequence[Any], width: int) -> list[Any]:
    """Return the class of each column."""
    count = 2 if width == 1 else width
    found = set(y_true)
    if all(isinstance(one, int) and 0 <= one < count for one in found):
        return list(range(count))
    if len(found) != count:
        raise UsageError(
            f"y_true has {len(found)} classes and y_probas {count} columns",
            hint="use the columns' numbers as classes",
        )
    return sorted(found)
