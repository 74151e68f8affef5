"""Planes out of what the store reads: buckets of a pyramid, blocks of points, points in memory."""

from __future__ import annotations

import numpy as np

from hpctrack.store.metric import Metric
from hpctrack.store.sealed_matrix import Block, Level, SealedMatrix
from hpctrack_server.data.downsample import IntArray
from hpctrack_server.data.matrix.plane import CellArray, Plane

BINS_MAX = 1024
"""Of ranks that do not share their steps: so many equal bins are made of their buckets."""

SPAN_PER_POINT = 16
"""Steps that are further apart are not given a row each."""


def plane_of_level(matrix: SealedMatrix, level: int) -> Plane:
    """Return the buckets of a level as a plane."""
    found = matrix.read_level(level)
    return _grid_level(matrix.steps, found) if matrix.is_grid else _binned_level(matrix, found)


def _grid_level(steps: IntArray, level: Level) -> Plane:
    buckets = level.buckets
    rows = -(-len(steps) // level.points)
    shape = (len(buckets) // rows, rows)
    starts = steps[:: level.points]
    last = steps[np.minimum(np.arange(1, rows + 1) * level.points, len(steps)) - 1]
    weight = _by_row(buckets["points"], shape)
    is_there = weight > 0
    low, high, mean = (
        np.where(is_there, _by_row(buckets[key], shape), np.float32(np.nan))
        for key in ("low", "high", "mean")
    )
    return Plane(starts, end_rows(starts, last, typical_gap(steps)), low, high, mean, weight)


def _by_row(values: CellArray, shape: tuple[int, int]) -> CellArray:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values.reshape(shape).T, np.float32)


def typical_gap(steps: IntArray) -> int:
    """Return by how much a step is usually above the one before."""
    return max(1, int(np.median(np.diff(steps)))) if len(steps) > 1 else 1


def end_rows(starts: IntArray, last: IntArray, gap: int) -> IntArray:
    """Return where rows end: where the next one begins, but no further than usual."""
    stops = last + gap
    stops[:-1] = np.minimum(stops[:-1], starts[1:])
    return stops


def _binned_level(matrix: SealedMatrix, level: Level) -> Plane:
    """Put the buckets of ranks that do not share their steps into equal bins.

    A bucket counts in each bin that it meets, so a bin's extremes are those of a little more
    than its own steps, and none is missed.
    """
    has = level.buckets["points"] > 0
    row, buckets = level.row[has], level.buckets[has]
    late_row, late_step, late_value = matrix.read_late()
    begin = buckets["step"].astype(np.int64)
    end = _find_ends(row, begin, buckets["points"], level.points)
    row = np.concatenate([row, late_row])
    begin, end = np.concatenate([begin, late_step]), np.concatenate([end, late_step + 1])
    low, high, mean = (
        np.concatenate([buckets[key], late_value]) for key in ("low", "high", "mean")
    )
    points = np.concatenate([buckets["points"], np.ones(len(late_row))])
    first, last = int(begin.min(initial=0)), int(end.max(initial=1))
    bins = int(min(BINS_MAX, max(1, last - first), max(1, matrix.longest // level.points)))
    edges = first + (last - first) * np.arange(bins + 1) // bins
    begins = np.clip(np.searchsorted(edges, begin, "right") - 1, 0, bins - 1)
    ends = np.clip(np.searchsorted(edges, end, "left"), begins + 1, bins)
    times = ends - begins
    which = np.repeat(np.arange(len(times)), times)
    inner = np.arange(len(which)) - np.repeat(np.cumsum(times) - times, times)
    where = (begins[which] + inner, row[which])
    shape = (bins, len(matrix.ranks))
    lows, highs = np.full(shape, np.nan, "f4"), np.full(shape, np.nan, "f4")
    total, weight = np.zeros(shape), np.zeros(shape)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        np.fmin.at(lows, where, low[which].astype("f4"))
        np.fmax.at(highs, where, high[which].astype("f4"))
        share = (points / times)[which]
        np.add.at(total, where, mean[which] * share)
        np.add.at(weight, where, share)
        means = np.where(weight > 0, total / weight, np.nan).astype("f4")
    return Plane(edges[:-1], edges[1:], lows, highs, means, weight.astype("f4"))


def _find_ends(row: IntArray, begin: IntArray, points: IntArray, whole: int) -> IntArray:
    """Return the step after each bucket: the last one of a rank is as long as its others."""
    end = np.empty_like(begin)
    end[:-1] = begin[1:]
    is_last = np.ones(len(row), bool)
    is_last[:-1] = row[1:] != row[:-1]
    lengths = (end - begin)[~is_last]
    usual = float(np.median(lengths)) / whole if len(lengths) else 1.0
    grown = np.maximum(1, np.ceil(points[is_last] * max(usual, 1.0))).astype(np.int64)
    end[is_last] = begin[is_last] + grown
    return np.maximum(end, begin + 1)


def find_steps(matrix: SealedMatrix) -> IntArray | None:
    """Return all steps that any rank has logged; None if a row for each would waste memory."""
    if matrix.is_grid:
        return matrix.steps
    marks = np.zeros(0, bool)
    low = 0
    for rank in matrix.ranks.tolist():
        step, _value = matrix.read_points(rank)
        if not len(step):
            continue
        first, last = int(step.min()), int(step.max()) + 1
        low_now = min(low, first) if len(marks) else first
        high_now = max(low + len(marks), last) if len(marks) else last
        if high_now - low_now > SPAN_PER_POINT * matrix.longest + 1024:
            return None
        if low_now != low or high_now - low_now != len(marks):
            wider = np.zeros(high_now - low_now, bool)
            if len(marks):
                wider[low - low_now : low - low_now + len(marks)] = marks
            marks, low = wider, low_now
        marks[step - low] = True
    return np.flatnonzero(marks) + low


def empty_points(steps: IntArray, ranks: int) -> Plane:
    """Return a plane of single points that has none yet."""
    values = np.full((len(steps), ranks), np.nan, np.float32)
    stops = end_rows(steps, steps.copy(), typical_gap(steps))
    return Plane(steps, stops, values, values, values)


def fill_points(plane: Plane, block: Block) -> None:
    """Put the points of some ranks into a plane."""
    with np.errstate(over="ignore"):
        value = block.value.astype(np.float32)
    if block.step is plane.starts or np.array_equal(block.step, plane.starts):
        plane.mean[:, block.first : block.last] = value.T
    else:
        # numpy assigns in order: of several points at a step the last one stays.
        plane.mean[np.searchsorted(plane.starts, block.step), block.first] = value[0]


def plane_of_metric(metric: Metric) -> Plane:
    """Return the points of a metric that is in memory."""
    found = metric.matrix(by="step")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(found.values.T, np.float32)
    steps = found.steps.astype(np.int64)
    return Plane(steps, end_rows(steps, steps.copy(), typical_gap(steps)), values, values, values)
