"""Rank as an axis, against dictionaries and loops that nobody could get wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.store.columns import Columns
from hpctrack.store.history import make_history
from hpctrack.store.metric import Metric
from hpctrack.store.reduction import REDUCTIONS


class Point(NamedTuple):
    attempt: int
    rank: int
    step: int
    wall_s: float
    value: float


numbers = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf])
steps = st.integers(0, 4) | st.integers(-(2**62), 2**62)
points = st.lists(
    st.builds(
        Point,
        st.integers(1, 3),
        st.sampled_from([0, 1, 2, 3, 700]),
        steps,
        st.integers(0, 12).map(float),
        numbers,
    ),
    max_size=30,
)
dense_points = st.builds(
    lambda ranks, count, values: [
        Point(1, rank, step, float(step), values[(rank * count + step) % len(values)])
        for rank in range(ranks)
        for step in range(count)
    ],
    st.integers(1, 4),
    st.integers(1, 5),
    st.lists(numbers, min_size=1, max_size=7),
)
logged = points | dense_points
MODEL = settings(deadline=None, max_examples=40)


def make_columns(found: Sequence[Point]) -> Columns:
    """Store points as node files would hand them on: by attempt, in the order of logging."""
    if not found:
        return Columns.empty()
    rows = [np.array(one) for one in zip(*sorted(found, key=lambda p: p.attempt), strict=True)]
    attempt, rank, step, wall_s, value = rows
    return Columns.join([Columns(rank, attempt, step, wall_s, value)])


def make_metric(found: Sequence[Point], others: dict[str, Sequence[Point]] | None = None) -> Metric:
    every = {name: Metric(name, make_columns(one)) for name, one in (others or {}).items()}
    return Metric("loss", make_columns(found), find=every.__getitem__)


def current(found: Sequence[Point]) -> list[Point]:
    """Return what counts, by rank and attempt, in the order of logging."""
    kept = []
    for one in sorted(found, key=lambda p: (p.rank, p.attempt)):
        later: dict[int, list[int]] = {}
        for p in found:
            if p.rank == one.rank and p.attempt > one.attempt:
                later.setdefault(p.attempt, []).append(p.step)
        if all(one.step < steps[0] and one.step not in steps for steps in later.values()):
            kept.append(one)
    return kept


def reduce(values: Sequence[float], how: str) -> float:
    there = sorted(one for one in values if not math.isnan(one))
    if not there:
        return math.nan
    with np.errstate(all="ignore"):
        if how in {"p5", "p95"}:
            place = (0.05 if how == "p5" else 0.95) * (len(there) - 1)
            low, high = there[int(place)], there[min(int(place) + 1, len(there) - 1)]
            share = place - int(place)
            return low if share == 0 or low == high else low * (1 - share) + high * share
        plain: dict[str, Any] = {
            "mean": np.mean,
            "min": np.min,
            "max": np.max,
            "std": np.std,
            "spread": np.ptp,
        }
        return float(plain[how](np.array(there)))


def check(metric: Metric, cells: dict[tuple[int, float], Point], **how: Any) -> None:
    """Compare matrix and reductions with what belongs in each cell."""
    ranks = sorted({rank for rank, _x in cells})
    columns = sorted({x for _rank, x in cells})
    matrix = metric.matrix(**how)
    assert matrix.ranks.tolist() == ranks
    assert matrix.x.tolist() == columns
    expected = [
        [cells[rank, x].value if (rank, x) in cells else math.nan for x in columns]
        for rank in ranks
    ]
    shaped = np.array(expected, float).reshape(len(ranks), len(columns))
    np.testing.assert_array_equal(matrix.values, shaped)
    members = [[one for (_rank, x), one in cells.items() if x == column] for column in columns]
    assert matrix.wall_s.tolist() == [max(p.wall_s for p in group) for group in members]
    assert matrix.steps.tolist() == [max(p.step for p in group) for group in members]
    for name, series in metric.reduce_each(REDUCTIONS, **how).items():
        wanted = [reduce([p.value for p in group], name) for group in members]
        np.testing.assert_allclose(series.value, wanted, rtol=1e-9, atol=1e-6, err_msg=name)
        assert series.x.tolist() == columns
        assert series.wall_s.tolist() == matrix.wall_s.tolist()
        assert series.step.tolist() == matrix.steps.tolist()


@MODEL
@given(logged)
def test_by_step_the_last_value_of_a_rank_counts(found: list[Point]) -> None:
    metric = make_metric(found)
    kept = current(found)
    check(metric, {(p.rank, p.step): p for p in kept})
    assert metric.recomputed_points == len(found) - len(kept)
    assert metric.rank_numbers() == sorted({p.rank for p in kept})
    for rank in metric.rank_numbers():
        series = metric.rank(rank)
        mine = [p for p in kept if p.rank == rank]
        assert series.step.tolist() == series.x.tolist() == [p.step for p in mine]
        assert series.wall_s.tolist() == [p.wall_s for p in mine]
        np.testing.assert_array_equal(series.value, np.array([p.value for p in mine]))


@MODEL
@given(points)
def test_what_was_superseded_can_be_looked_at(found: list[Point]) -> None:
    metric = make_metric(found)
    assert metric.attempts() == sorted({p.attempt for p in found})
    for number in metric.attempts():
        mine = [p for p in found if p.attempt == number]
        mine.sort(key=lambda p: p.rank)
        earlier = metric.attempt(number)
        assert earlier.steps.tolist() == [p.step for p in mine]
        check(earlier, {(p.rank, p.step): p for p in mine})


@MODEL
@given(logged, points)
def test_by_another_metric_its_last_value_counts(found: list[Point], other: list[Point]) -> None:
    kept, there = current(found), current(other)
    cells: dict[tuple[int, float], Point] = {}
    # Within a rank and column: the highest step, of several the one logged last.
    for point in sorted(kept, key=lambda p: p.step):
        rank = point.rank
        if all(p.rank != rank for p in there):
            rank = min((p.rank for p in there), default=rank)
        at = {p.step: p.value for p in there if p.rank == rank and p.step <= point.step}
        x = at[max(at)] if at else math.nan
        if not math.isnan(x):
            cells[point.rank, x] = point
    check(make_metric(found, {"epoch": other}), cells, by="epoch")


@MODEL
@given(points, st.integers(1, 6))
def test_by_time_a_rank_has_the_last_value_at_or_before(found: list[Point], samples: int) -> None:
    kept = current(found)
    low = min((p.wall_s for p in kept), default=0.0)
    high = max((p.wall_s for p in kept), default=0.0)
    width = high / samples - low / samples
    ends = [min(low + width * (one + 1), high) for one in range(samples - 1)] + [high]
    ends = [high] if low == high else ends
    cells: dict[tuple[int, float], Point] = {}
    for rank in {p.rank for p in kept}:
        mine = sorted((p for p in kept if p.rank == rank), key=lambda p: p.wall_s)
        first = next(end for end in ends if mine[0].wall_s <= end)
        last = next(end for end in ends if mine[-1].wall_s <= end)
        for end in ends:
            if first <= end <= last:
                cells[rank, end] = [p for p in mine if p.wall_s <= end][-1]
    check(make_metric(found), cells, by="wall", samples=samples)


@MODEL
@given(logged, points, st.none() | st.sampled_from([0, 2, 700]))
def test_history_joins_by_rank_and_step(
    found: list[Point], other: list[Point], rank: int | None
) -> None:
    metrics = {"a": make_metric(found), "b": make_metric(other)}
    history = make_history(metrics, rank=rank)
    kept = {"a": current(found), "b": current(other)}
    cells = {
        name: {(p.step, p.rank): p for p in one if rank in {None, p.rank}}
        for name, one in kept.items()
    }
    rows = sorted(set(cells["a"]) | set(cells["b"]))
    assert list(zip(history["_step"].tolist(), history["_rank"].tolist(), strict=True)) == rows
    for name, one in cells.items():
        wanted = [one[row].value if row in one else math.nan for row in rows]
        np.testing.assert_array_equal(history[name], np.array(wanted))
    walls = [max(one[row].wall_s for one in cells.values() if row in one) for row in rows]
    assert history["_timestamp"].tolist() == walls
    assert len(list(history.rows())) == len(rows)


@MODEL
@given(points, points, st.integers(1, 5))
def test_history_thins_out_evenly(found: list[Point], other: list[Point], samples: int) -> None:
    metrics = {"a": make_metric(found), "epoch": make_metric(other)}
    whole = make_history(metrics, x="epoch")
    assert whole["epoch"].tolist() == sorted(whole["epoch"].tolist())
    thin = make_history(metrics, x="epoch", samples=samples)
    every = sorted(set(whole["epoch"].tolist()))
    chosen = sorted(set(thin["epoch"].tolist()))
    assert len(chosen) == min(samples, len(every))
    assert chosen[-1:] == every[-1:]
    assert set(chosen) <= set(every)
    assert len(thin) == sum(x in chosen for x in whole["epoch"].tolist())
