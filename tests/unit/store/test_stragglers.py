"""Slow ranks and nodes are named, and nobody else."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.columns import Columns
from hpctrack.store.metric import Metric
from hpctrack.store.seal import seal_run
from hpctrack.store.slowness import median, midmean, robust_sigma
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.straggler import Stragglers
from hpctrack.store.stragglers import find_stragglers
from tests.paces import STEP_S, Planted, make_homes, make_metric, make_times
from tests.stores import NodeWriter


def find(times: np.ndarray, **how: Any) -> Stragglers:
    return find_stragglers(make_metric(times), make_homes(len(times)), **how)


def plant(ranks: int, steps: int, seed: int) -> list[Planted]:
    """Choose one rank in 32, 15 to 60 % slow, and a node of eight, 15 to 40 %; for half the run."""
    rng = np.random.default_rng([seed, 7])

    def since() -> int:
        return int(rng.integers(0, steps // 2))

    node = int(rng.integers(0, ranks // 8))
    others = [rank for rank in range(ranks) if rank // 8 != node]
    chosen = rng.choice(others, size=ranks // 32, replace=False).tolist()
    planted = [Planted((rank,), float(rng.uniform(1.15, 1.6)), since()) for rank in chosen]
    members = tuple(range(8 * node, 8 * node + 8))
    return [*planted, Planted(members, float(rng.uniform(1.15, 1.4)), since())]


@pytest.mark.parametrize(("ranks", "steps", "seeds"), [(64, 1000, 30), (512, 2000, 2)])
def test_planted_stragglers_are_found_and_nobody_else(
    ranks: int, steps: int, seeds: int, record_property: Callable[[str, object], None]
) -> None:
    right = named = there = nodes = 0
    late: list[int] = []
    for seed in range(seeds):
        planted = plant(ranks, steps, seed)
        found = find(make_times(ranks, steps, seed=seed, planted=planted))
        slow = {rank: one for one in planted for rank in one.ranks}
        right += len(slow.keys() & set(found.slow_ranks()))
        named += len(found.slow_ranks())
        there += len(slow)
        nodes += sum(one.kind == "node" for one in found)
        late += [one.since_step - slow[one.ranks[0]].start for one in found if one.ranks[0] in slow]
    precision, recall = right / named, right / there
    record_property("precision", precision)
    record_property("recall", recall)
    record_property("onset_off_median", float(np.median(np.abs(late))))
    assert precision >= 0.95
    assert recall >= 0.95
    assert nodes == seeds
    assert np.median(np.abs(late)) <= 5
    assert np.percentile(np.abs(late), 90) <= 30


@pytest.mark.parametrize(
    ("ranks", "steps", "sigma", "alike"),
    [(64, 600, 0.15, 0.6), (64, 600, 0.3, 0.9), (4, 600, 0.15, 0.6), (3, 100, 0.1, 0.9)],
)
def test_nobody_is_accused_where_nobody_is_slow(
    ranks: int, steps: int, sigma: float, alike: float
) -> None:
    """All wait for the file system, rank 0 writes checkpoints, single steps take for ever."""
    accused = [
        seed
        for seed in range(12)
        if len(find(make_times(ranks, steps, seed=seed, sigma=sigma, alike=alike)))
    ]
    assert accused == []


def test_slowness_below_the_margin_is_not_worth_a_name() -> None:
    times = make_times(32, 600, seed=1, planted=[Planted((5,), 1.03, 0)], sigma=0.02)
    assert len(find(times)) == 0
    assert find(times, margin=0.01).slow_ranks() == [5]


def test_a_rank_that_recovers_has_an_end() -> None:
    (one,) = find(make_times(32, 1000, seed=2, planted=[Planted((9,), 1.4, 200, 600)]))
    assert (one.kind, one.rank, one.host, one.node) == ("rank", 9, "n2", 1)
    assert one.since_step == pytest.approx(200, abs=15)
    assert one.until_step == pytest.approx(600, abs=15)
    assert one.factor == pytest.approx(1.4, rel=0.05)
    assert one.confidence > 0.99
    assert one.since_wall_s > 1_000_000
    assert one.until_wall_s is not None
    assert one.until_wall_s > one.since_wall_s


def test_intermittent_slowness_is_one_straggler_with_several_intervals() -> None:
    times = [Planted((9,), 1.5, start, start + 150) for start in (100, 450, 800)]
    (one,) = find(make_times(32, 1000, seed=3, planted=times))
    assert [i.since_step for i in one.intervals] == pytest.approx([100, 450, 800], abs=15)
    assert [i.until_step for i in one.intervals[:2]] == pytest.approx([250, 600], abs=15)
    assert one.slow_steps == pytest.approx(450, abs=40)
    assert "3 times" in str(one)


@pytest.mark.parametrize(("every", "factor"), [(2, 1.3), (2, 1.5), (3, 1.5), (3, 2.0)])
def test_a_rank_that_is_slow_at_every_second_or_third_step_is_named(
    every: int, factor: float
) -> None:
    for seed in range(4):
        times = make_times(32, 1000, seed=seed)
        times[9, 100::every] *= factor
        (one,) = find(times)
        lost_s = np.maximum(times[9] - np.median(times, axis=0), 0)[100:].sum()
        assert one.rank == 9
        assert one.since_step == pytest.approx(100, abs=100)
        assert one.until_step is None
        assert one.lost_s == pytest.approx(lost_s, rel=0.15)


def test_a_rank_that_drifts_away_is_named_once_it_is_slow() -> None:
    times = make_times(32, 1000, seed=4, sigma=0.05)
    times[7] *= np.linspace(1.0, 1.5, 1000)
    (one,) = find(times)
    assert one.rank == 7
    assert 50 < one.since_step < 500
    assert one.until_step is None


def test_a_node_is_named_instead_of_its_ranks() -> None:
    slow = (*range(16, 22), 23)  # one of its eight ranks is well
    planted = [Planted(slow, 1.3, 300), Planted((40, 41), 1.3, 500)]
    found = find(make_times(64, 1000, seed=5, planted=planted))
    assert {one.kind: one.ranks for one in found if one.kind == "node"} == {"node": slow}
    assert sorted(one.rank for one in found if one.rank is not None) == [40, 41]
    (node,) = [one for one in found if one.kind == "node"]
    assert (node.host, node.rank) == ("n3", None)
    assert node.since_step == pytest.approx(300, abs=15)
    assert found.slow_ranks() == [*slow, 40, 41]


@pytest.mark.parametrize("ranks", [4, 8, 64])
@pytest.mark.parametrize(("start", "end"), [(0, None), (400, None), (200, 600)])
def test_of_two_equal_groups_nobody_is_named_and_the_reason_says_so(
    ranks: int, start: int, end: int | None
) -> None:
    half = tuple(range(ranks // 2, ranks))
    times = make_times(ranks, 900, seed=3, planted=[Planted(half, 1.3, start, end)])
    found = find_stragglers(make_metric(times), make_homes(ranks, per_node=ranks // 2))
    assert len(found) == 0
    told = re.match(
        rf"the {ranks // 2} ranks of n2 take (\d+)% longer than the other {ranks // 2} ranks"
        r"(?: since step (\d+)| from step (\d+) until (\d+)|): "
        r"of two groups of the same size nobody can say which is slow",
        found.reason,
    )
    assert told is not None, found.reason
    assert 22 <= int(told[1]) <= 38
    assert abs(int(told[2] or told[3] or 0) - start) <= 20
    assert (told[4] is None) == (end is None)
    assert end is None or abs(int(told[4]) - end) <= 20
    assert found.reason in repr(found)


def test_groups_that_are_not_of_the_same_size_or_not_apart_are_no_reason() -> None:
    for planted in ([Planted((0, 1, 2), 1.3, 0)], [Planted((0, 1, 2, 3), 1.02, 0)]):
        assert find(make_times(8, 900, seed=3, planted=planted)).reason == ""
    assert [
        seed for seed in range(12) if find(make_times(4, 600, seed=seed, sigma=0.3)).reason
    ] == []


def test_without_homes_ranks_are_named() -> None:
    times = make_times(64, 500, seed=6, planted=[Planted(tuple(range(8)), 1.4, 0)])
    found = find_stragglers(make_metric(times))
    assert found.slow_ranks() == list(range(8))
    assert {(one.kind, one.node, one.host) for one in found} == {("rank", -1, "")}


def test_of_a_throughput_the_low_ones_are_slow() -> None:
    times = make_times(32, 800, seed=7, planted=[Planted((3,), 1.4, 200)])
    metric = make_metric(times)
    attempt = np.ones(len(metric), np.int64)
    columns = Columns(metric.ranks, attempt, metric.steps, metric.wall_s, 64 / metric.values)
    speed = Metric("samples_per_s", columns)
    (one,) = find_stragglers(speed, higher_is_better=True)
    assert (one.rank, one.until_step) == (3, None)
    assert one.factor == pytest.approx(1.4, rel=0.05)
    assert one.lost_s > 0


def test_lost_time_is_what_the_others_waited() -> None:
    times = np.full((8, 200), 2.0)
    times[3, 100:] = 3.0
    times[5, 150:] = 2.5
    found = find(times)
    assert {one.rank: round(one.lost_s, 6) for one in found} == {3: 100, 5: 25}
    assert found.lost_s == pytest.approx(100), "they waited for the slower one only"
    assert found.waited_s == pytest.approx(100)
    assert {one.rank: one.since_step for one in found} == {3: 100, 5: 150}
    assert find(times, unit_s=0.001).lost_s == pytest.approx(0.1)


def test_ranks_that_log_at_different_steps_are_compared() -> None:
    times = make_times(32, 3200, seed=8, planted=[Planted((4,), 1.4, 1000)])
    keep = np.zeros(times.shape, bool)
    for rank in range(32):
        keep[rank, rank::32] = True
    found = find_stragglers(make_metric(times, keep=keep))
    assert found.steps == 100
    (one,) = found
    assert one.rank == 4
    assert one.since_step == pytest.approx(1000, abs=200)


def test_missing_points_ranks_and_nan_are_borne() -> None:
    times = make_times(64, 1000, seed=9, planted=[Planted((20,), 1.4, 400)])
    rng = np.random.default_rng(0)
    times[rng.random(times.shape) < 0.1] = np.nan
    times[rng.random(times.shape) < 0.01] = 0.0
    times[30] = np.nan
    keep = rng.random(times.shape) < 0.8
    keep[10:14] = False
    keep[40, 300:600] = False
    (one,) = find_stragglers(make_metric(times, keep=keep))
    assert one.rank == 20
    assert one.since_step == pytest.approx(400, abs=15)


def test_a_rank_that_stops_logging_is_silent_since() -> None:
    times = make_times(16, 500, seed=10)
    keep = np.ones(times.shape, bool)
    keep[6, 300:] = False
    keep[7, 490:] = False  # a little behind is not silent
    found = find_stragglers(make_metric(times, keep=keep), make_homes(16))
    assert len(found) == 0
    (one,) = found.silent
    assert (one.rank, one.last_step, one.host) == (6, 299, "n1")
    assert "rank 6 on n1: silent since step 299" in repr(found)


@pytest.mark.parametrize(
    ("ranks", "steps", "reason"),
    [(1, 100, "1 rank"), (2, 100, "2 rank"), (8, 4, "4 step"), (0, 0, "0 rank")],
)
def test_too_little_to_tell_gives_nothing_and_says_why(ranks: int, steps: int, reason: str) -> None:
    found = find(np.full((ranks, steps), STEP_S))
    assert len(found) == 0
    assert reason in found.reason
    assert found.reason in repr(found)


def test_values_that_are_no_times_are_no_reason_to_fail() -> None:
    for value in (0.0, -1.0, np.nan, np.inf):
        assert "positive" in find(np.full((4, 50), value)).reason
    assert find(np.full((4, 50), 1e300)).reason == ""


def test_wrong_parameters_are_refused() -> None:
    for wrong in ({"margin": 0}, {"k": -1}, {"window": 0}, {"unit_s": 0}):
        with pytest.raises(UsageError, match="margin is"):
            find(np.ones((4, 50)), **wrong)


def test_results_become_a_data_frame_and_text() -> None:
    planted = [Planted((3,), 1.5, 100), Planted((6,), 1.5, 100, 300)]
    found = find(make_times(16, 500, seed=11, planted=planted))
    frame = found.to_pandas()
    assert frame["rank"].tolist() == [one.rank for one in found]
    assert set(frame["kind"]) == {"rank"}
    assert frame["until_step"].isna().tolist() == [one.until_step is None for one in found]
    assert len(find(np.ones((4, 50))).to_pandas()) == 0
    assert found[0].lost_s >= found[1].lost_s
    assert len(found[:1]) == 1
    text = repr(found)
    assert text.startswith("<hpctrack.Stragglers of 'step_time', 16 ranks x 500 steps: 2 named")
    assert "rank 3 on n1: 1.5" in text
    assert repr(find(np.ones((4, 50)))).endswith("4 ranks x 50 steps: none>")


def test_a_requeued_run_is_judged_by_its_latest_attempt(tmp_path: Path) -> None:
    times = np.full((6, 100), 1.0)
    for attempt, slow in ((1, 2), (2, 4)):
        writer = NodeWriter(tmp_path, node=attempt, attempt=attempt)
        mine = times.copy()
        mine[slow, 20:] = 1.5
        for rank in range(6):
            writer.start(rank, size=6)
        writer.table("step_time", range(6), mine, np.arange(100) + writer.wall_s)
        writer.close()
    for _ in range(2):
        run = StoredRun(tmp_path / "p" / "r")
        assert [(one.rank, one.host) for one in run.stragglers()] == [(4, "n3")]
        assert [(one.rank, one.host) for one in run.stragglers(attempt=1)] == [(2, "n2")]
        with pytest.raises(NotFoundError, match="attempt 3"):
            run.stragglers(attempt=3)
        run.close()
        seal_run(tmp_path / "p" / "r", force=True)


def test_a_million_points_are_searched_in_less_than_a_second() -> None:
    metric = make_metric(make_times(512, 2000, seed=12, planted=[Planted((3,), 1.3, 500)]))
    spent = []
    for _ in range(4):
        start = time.process_time()
        assert find_stragglers(metric).slow_ranks() == [3]
        spent.append(time.process_time() - start)
    assert min(spent) < 1.0


def test_the_median_leaves_nan_out_and_few_values_are_corrected() -> None:
    table = np.array([[1.0, np.nan, 5.0], [2.0, np.nan, 6.0], [9.0, np.nan, np.nan]])
    np.testing.assert_array_equal(median(table, 0), [2.0, np.nan, 5.5])
    np.testing.assert_array_equal(median(table, 1), [3.0, 4.0, 9.0])
    rng = np.random.default_rng(0)
    for count in (3, 4, 5, 8, 12, 101):
        sigmas = robust_sigma(rng.normal(size=(count, 4000)))
        assert sigmas.mean() == pytest.approx(1.0, abs=0.04), count


def test_the_middle_half_leaves_out_nan_and_spikes() -> None:
    table = np.array([[1.0, 2.0, 3.0, 90.0, np.nan], [5.0, np.nan, 7.0, np.nan, np.nan]])
    np.testing.assert_array_equal(midmean(table, 1), [2.5, 6.0])
    np.testing.assert_array_equal(midmean(np.array([[3.0], [1.0], [50.0]]), 0), [3.0])
    assert np.isnan(midmean(np.full((1, 3), np.nan), 1)).all()
