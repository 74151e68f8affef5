"""A metric by rank, as a matrix and reduced, over steps, time and other metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.columns import Columns
from hpctrack.store.metric import Metric
from hpctrack.store.reduction import REDUCTIONS
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.paces import Planted, make_metric, make_times
from tests.stores import START_S, NodeWriter


def metric(rows: list[tuple[int, int, float, float]], *, attempt: int = 1, **more: Any) -> Metric:
    """Make a metric out of (rank, step, wall_s, value)."""
    rank, step, wall_s, value = (np.array(one) for one in zip(*rows, strict=True))
    attempts = np.full(len(rank), attempt)
    columns = Columns(rank, attempts, step, wall_s.astype(float), value.astype(float))
    return Metric("loss", Columns.join([columns]), **more)


def write_requeued(store: Path) -> StoredRun:
    """Write a run whose second attempt begins again at step 3 of 5, 100 s later."""
    for attempt, wall_s, steps in ((1, START_S, range(5)), (2, START_S + 100, range(3, 7))):
        writer = NodeWriter(store, attempt=attempt, wall_s=wall_s)
        for rank in range(2):
            writer.start(rank, size=2, wall_s=wall_s)
            writer.points("loss", rank, steps, [attempt * 10.0 + step for step in steps])
        writer.points("epoch", 0, steps[::2], [step // 2 for step in steps[::2]])
        writer.close()
    return StoredRun(store / "p" / "r")


def test_points_without_x_are_counted_where_they_are_left_out(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    for rank in range(2):
        writer.points("loss", rank, range(10), list(range(10)))
    writer.points("epoch", 0, [3, 6], [1, 2])
    writer.event(EventKind.DEFINE, {"name": "loss", "step_metric": "epoch"})
    run = StoredRun(writer.close().parent)
    loss = run.metric("loss")
    series, matrix = loss.rank(1), loss.matrix()
    assert (len(series), series.left_out) == (7, 3)
    assert repr(series) == "<hpctrack.Series 7 values by 'epoch', 3 points left out>"
    assert matrix.left_out == loss.matrix(samples=3).left_out == 6
    assert repr(matrix) == "<hpctrack.RankMatrix 2 ranks x 2 columns by 'epoch', 6 points left out>"
    assert loss.reduce("mean").left_out == loss.reduce("mean", samples=3).left_out == 6
    whole = loss.rank(1, by="step")
    assert (len(whole), whole.left_out) == (10, 0)
    assert repr(whole) == "<hpctrack.Series 10 values by 'step'>"
    run.close()


def test_the_points_that_a_requeue_computed_again_can_be_looked_at(tmp_path: Path) -> None:
    run = write_requeued(tmp_path)
    loss = run.metric("loss")
    assert loss.rank(0).value.tolist() == [10, 11, 12, 23, 24, 25, 26]
    assert loss.attempts() == [1, 2]
    assert run.metric("loss", attempt=1).rank(1).value.tolist() == [10, 11, 12, 13, 14]
    assert loss.attempt(2).matrix().steps.tolist() == [3, 4, 5, 6]
    assert loss.recomputed_points == 4
    assert loss.attempt(1).rank(0, by="epoch").x.tolist() == [0, 0, 1, 1, 2]
    with pytest.raises(NotFoundError, match="attempt 3") as caught:
        run.metric("loss", attempt=3)
    assert caught.value.hint == "attempts that have: 1, 2"
    run.close()


def test_a_rank_without_an_epoch_takes_that_of_the_lowest_rank_that_has_one(
    tmp_path: Path,
) -> None:
    run = write_requeued(tmp_path)
    series = run.metric("loss").rank(1, by="epoch")
    assert series.by == "epoch"
    assert series.x.tolist() == [0, 0, 1, 1, 1, 2, 2]
    matrix = run.metric("loss").matrix(by="epoch")
    assert matrix.x.tolist() == [0, 1, 2]
    assert matrix.values.tolist() == [[11, 24, 26], [11, 24, 26]], "the last of each epoch"
    assert matrix.steps.tolist() == [1, 4, 6]
    with pytest.raises(NotFoundError, match="epoc"):
        run.metric("loss").reduce("mean", by="epoc")
    run.close()


def test_what_a_metric_is_drawn_against_is_what_it_is_read_by(tmp_path: Path) -> None:
    """Live and sealed; one called ``step`` too, and the step as long as it was not logged."""
    writer = NodeWriter(tmp_path)
    for rank in range(2):
        writer.start(rank, size=2)
        for name in ("val/acc", "odd", "late"):
            writer.points(name, rank, range(4), [rank + step for step in range(4)])
    writer.points("epoch", 0, range(1, 4), [0, 1, 1])
    writer.points("step", 0, range(4), [10, 20, 30, 40])
    for name, against in (("val/*", "epoch"), ("odd", "step"), ("late", "never")):
        writer.event(EventKind.DEFINE, {"name": name, "step_metric": against})
    writer.close()
    folder = tmp_path / "p" / "r"
    for run in (StoredRun(folder), StoredRun(folder)):
        acc = run.metric("val/acc")
        assert acc.step_metric == "epoch"
        assert (acc.matrix().by, acc.matrix().x.tolist()) == ("epoch", [0, 1])
        assert acc.matrix().values.tolist() == [[1, 3], [2, 4]]
        assert acc.reduce("mean").x.tolist() == [0, 1]
        assert acc.rank(1).x.tolist() == [0, 1, 1], "what has no epoch yet is left out"
        assert acc.attempt(1).reduce("max").by == "epoch"
        assert acc.matrix(by="step").x.tolist() == [0, 1, 2, 3]
        assert run.metric("odd").rank(0).x.tolist() == [10, 20, 30, 40]
        late = run.metric("late").reduce("mean")
        assert (late.by, late.x.tolist()) == ("step", [0, 1, 2, 3])
        assert run.metric("epoch").step_metric == ""
        assert run.envelope("val/acc").points.sum() == 4, "its window is one of steps"
        assert len(run.history(["val/acc"])) == 8
        run.close()
        seal_run(folder)
    assert StoredRun(folder).is_sealed


def test_time_is_cut_into_intervals_at_whose_ends_each_rank_has_its_last_value() -> None:
    found = metric([(0, 0, 0, 1), (0, 1, 4, 2), (0, 2, 10, 3), (1, 0, 3, 10), (1, 1, 5, 20)])
    matrix = found.matrix(by="wall", samples=5)
    assert matrix.x.tolist() == [2, 4, 6, 8, 10]
    assert matrix.values[0].tolist() == [1, 2, 2, 2, 3]
    gone = [np.nan, 10, 20, np.nan, np.nan]
    np.testing.assert_array_equal(matrix.values[1], gone, "it ends with its last point")
    assert found.reduce("mean", by="wall", samples=5).value.tolist() == [1, 6, 11, 2, 3]
    assert found.matrix(by="wall").shape == (2, 3), "as many as a rank has points"


def test_relative_time_begins_with_the_run(tmp_path: Path) -> None:
    run = write_requeued(tmp_path)
    assert run.metric("loss").rank(0, by="relative").x.tolist() == [0, 0, 0, 100, 100, 100, 100]
    later = metric([(0, 0, 70, 1), (0, 1, 75, 2)])
    assert later.rank(0, by="relative").x.tolist() == [0, 5], "without a run with its first point"
    run.close()


def test_samples_thin_out_any_axis() -> None:
    found = metric([(0, step, step, step * 2.0) for step in range(100)])
    assert found.matrix(samples=4).x.tolist() == [24.75, 49.5, 74.25, 99]
    assert found.reduce("max", samples=4).value.tolist() == [48, 98, 148, 198]
    assert found.reduce("max", by=found, samples=2).x.tolist() == [99, 198]
    with pytest.raises(UsageError, match="samples is 0"):
        found.matrix(samples=0)


def test_a_metric_without_its_run_can_be_read_by_a_metric_but_not_by_a_name() -> None:
    found = metric([(0, 0, 0, 5), (0, 1, 1, 6)])
    assert found.reduce("mean", by=found).x.tolist() == [5, 6]
    for call in (found, found.attempt(1)):
        with pytest.raises(NotFoundError, match="does not know its run"):
            call.reduce("mean", by="epoch")


def test_what_the_caller_does_to_a_matrix_leaves_the_metric_alone() -> None:
    found = metric([(rank, step, 0, 1.0) for rank in range(3) for step in range(4)])
    found.matrix().values[:] = 7
    assert found.values.tolist() == [1.0] * 12
    assert np.asarray(found.matrix()).sum() == 12


def test_ranks_that_share_no_step_cost_no_matrix() -> None:
    count = 30_000  # as a matrix: 7 GB
    number = np.arange(count)
    value = number.astype(np.float64)
    found = Metric("a", Columns(number, number * 0 + 1, number, value, value))
    assert found.reduce("p95").value.tolist() == number.tolist()
    with pytest.raises(UsageError, match="almost empty"):
        found.matrix()
    assert found.matrix(samples=10).shape == (count, 10)


def test_a_huge_rank_number_costs_nothing() -> None:
    found = metric([(0, 0, 0, 1), (2**32 - 1, 2**62, 1, 2), (2**32 - 1, -(2**62), 0, 3)])
    assert found.matrix().shape == (2, 3)
    assert found.matrix(by="wall").shape == (2, 2)
    assert found.rank_numbers() == [0, 2**32 - 1]


def test_no_points_give_empty_answers() -> None:
    found = Metric("a", Columns.empty())
    for by in ("step", "wall", "relative", found):
        assert found.matrix(by=by).shape == (0, 0)
        assert len(found.reduce("std", by=by)) == 0
    assert np.isnan(list(found.summary().values())).all()
    assert found.attempts() == []
    assert repr(found) == "<hpctrack.Metric 'a': 0 points of 0 ranks>"


def test_summary_has_the_last_value_of_the_lowest_rank_and_the_extremes_of_all() -> None:
    found = metric([(0, 0, 0, 4), (0, 2, 0, 3), (0, 1, 0, 9), (1, 5, 0, -1), (1, 6, 0, np.nan)])
    assert found.summary() == {"last": 3, "min": -1, "max": 9, "mean": 3.75}
    assert found.size_bytes == 5 * 5 * 8


def test_an_unknown_reduction_names_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="median") as caught:
        metric([(0, 0, 0, 1)]).reduce_each(["mean", "median"])
    assert caught.value.hint is not None
    assert all(name in caught.value.hint for name in REDUCTIONS)


def best_cpu_s(call: Callable[[], object]) -> float:
    """Return the least processor time of a few calls: other programs only ever add to it."""
    spent = []
    for _ in range(5):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return min(spent)


@pytest.mark.parametrize(("ranks", "steps"), [(512, 2000), (10_000, 100)])
def test_a_million_points_become_a_matrix_in_no_time(ranks: int, steps: int) -> None:
    found = make_metric(np.arange(ranks * steps, dtype=float).reshape(ranks, steps))
    assert best_cpu_s(found.matrix) < 0.05, "it takes 5 ms; a sort would take 0.1 s"
    assert best_cpu_s(lambda: found.reduce("spread")) < 0.1
    assert best_cpu_s(lambda: found.reduce("p95")) < 0.2


@pytest.mark.slow
def test_512_ranks_by_2000_steps_work_from_node_files_to_stragglers(tmp_path: Path) -> None:
    slow = [Planted((77,), 1.3, 600), Planted(tuple(range(128, 192)), 1.25, 1200)]
    times = make_times(512, 2000, seed=1, planted=slow)
    wall_s = START_S + np.cumsum(times.max(axis=0))
    for node in range(8):
        writer = NodeWriter(tmp_path, node=node)
        mine = range(64 * node, 64 * node + 64)
        for rank in mine:
            writer.start(rank, size=512, local_rank=rank % 64, local_size=64)
        writer.table("step_time", mine, times[mine], wall_s)
        if node == 0:
            writer.table("epoch", [0], np.arange(2000.0)[np.newaxis] // 100, wall_s)
        writer.close()
    seal_run(tmp_path / "p" / "r", force=True)
    run = StoredRun(tmp_path / "p" / "r")
    assert best_cpu_s(lambda: run.metric("step_time").matrix()) < 0.5
    matrix = run.metric("step_time").matrix()
    assert matrix.shape == (512, 2000)
    np.testing.assert_array_equal(matrix.values, times)
    by_epoch = run.metric("step_time").reduce("mean", by="epoch")
    assert by_epoch.x.tolist() == list(range(20))
    assert by_epoch.value == pytest.approx(times[:, 99::100].mean(axis=0))
    found = run.stragglers("step_time")
    assert found.slow_ranks() == [77, *range(128, 192)]
    assert {one.kind: one.host for one in found} == {"rank": "n2", "node": "n3"}
    run.close()
