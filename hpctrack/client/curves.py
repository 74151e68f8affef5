"""The arithmetic of ready-made plots, in the standard library: exact, and small when written down.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

Line = tuple[list[float], list[float]]
"""x and y of a line's points."""

POINTS_MAX = 10_000
"""Points of one plot: more than a screen has columns, and about 200 KB."""


def count_hits(scores: Sequence[float], is_hit: Sequence[bool]) -> list[tuple[int, int]]:
    """Return (false, true) positives for each threshold, the highest first.

    Parameters
    ----------
    scores : sequence of float, length n
    is_hit : sequence of bool, length n
        Whether the sample is of the class.

    Returns
    -------
    list of (int, int)
        One for each distinct score; equal scores cannot be told apart by any threshold.
    """
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    found: list[tuple[int, int]] = []
    false = true = 0
    last = math.nan
    for at in order:
        score = scores[at]
        if score != last and (false or true):
            found.append((false, true))
        last = score
        if is_hit[at]:
            true += 1
        else:
            false += 1
    found.append((false, true))
    return found


def roc_line(hits: Sequence[tuple[int, int]]) -> tuple[Line, float]:
    """Return false and true positive rates where the line bends, and the area below all of it.

    Points on a straight piece are left out, which changes nothing in the drawing.
    """
    false, true = hits[-1]
    points = [(0, 0), *hits]
    area = sum((b[0] - a[0]) * (a[1] + b[1]) for a, b in pairwise(points)) / 2
    kept = _bends(points)
    return ([x / false for x, _y in kept], [y / true for _x, y in kept]), area / (false * true)


def pr_line(hits: Sequence[tuple[int, int]]) -> tuple[Line, float]:
    """Return recall and precision, from recall 0 to 1, and the average precision.

    Points inside a vertical piece, where only the precision changes, are left out.
    """
    total = hits[-1][1]
    average, before = 0.0, 0
    recall, precision = [0.0], [1.0]
    for at, (false, true) in enumerate(hits):
        share = true / (true + false)
        average += (true - before) / total * share
        is_inner = 0 < at < len(hits) - 1 and hits[at - 1][1] == true == hits[at + 1][1]
        before = true
        if not is_inner:
            recall.append(true / total)
            precision.append(share)
    return (recall, precision), average


def _bends(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    kept = [points[0]]
    for at in range(1, len(points) - 1):
        (x0, y0), (x1, y1), (x2, y2) = kept[-1], points[at], points[at + 1]
        if (x1 - x0) * (y2 - y1) != (x2 - x1) * (y1 - y0):
            kept.append(points[at])
    kept.append(points[-1])
    return kept


def thin(line: Line, limit: int) -> Line:
    """Return at most ``limit`` points of a line, evenly chosen, both ends among them."""
    xs, ys = line
    count = len(xs)
    if count <= limit:
        return line
    chosen = [round(n * (count - 1) / (limit - 1)) for n in range(limit)]
    return [xs[n] for n in chosen], [ys[n] for n in chosen]


def envelope(line: Line, limit: int) -> Line:
    """Return at most ``limit`` points of a line with the extremes of every stretch."""
    xs, ys = line
    count = len(xs)
    if count <= limit:
        return line
    stretches = max(1, limit // 2 - 1)
    chosen = {0, count - 1}
    for n in range(stretches):
        part = range(n * count // stretches, (n + 1) * count // stretches)
        chosen |= {min(part, key=ys.__getitem__), max(part, key=ys.__getitem__)}
    order = sorted(chosen)
    return [xs[n] for n in order], [ys[n] for n in order]


def count_bins(values: Sequence[float], bins: int) -> tuple[list[int], list[float]]:
    """Return counts and edges of bins of equal width over finite values."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = high / bins - low / bins
    edges = [low + n * width for n in range(bins)] + [high]
    counts = [0] * bins
    for value in values:
        at = min(bins - 1, int((value - low) / width)) if width > 0 else 0
        # Rounding may put a value beside its bin; the edges decide.
        if value < edges[at]:
            at -= 1
        elif at + 1 < bins and value >= edges[at + 1]:
            at += 1
        counts[at] += 1
    return counts, edges
