"""The newest part of a run in bounded memory: rings, rates, slow and silent ranks."""

from __future__ import annotations

import math

import pytest

from hpctrack.cli.top.model import (
    GPU_UTIL,
    HOLD_S,
    RINGS_MAX,
    ROWS_MAX,
    RunModel,
    StreamKey,
    split_numbers,
)
from hpctrack.cli.top.rings import COLUMNS, MeanRing, Ring
from hpctrack.cli.top.slow import find_silent, find_slow
from hpctrack.store.node_tail import Point, Reading

NAN = math.nan


def same(found: list[float], wanted: list[float]) -> bool:
    return found == pytest.approx(wanted, nan_ok=True)


def test_a_ring_forgets_what_is_too_old_and_fills_gaps() -> None:
    ring = Ring()
    ring.put(10, 1.0)
    ring.put(13, 2.0)
    assert same(ring.row(14, 6), [NAN, 1.0, 1.0, 1.0, 2.0, NAN])
    assert same(ring.row(14, 2, hold=1), [2.0, 2.0])
    ring.put(10, 5.0)  # late, but not too late
    assert ring.get(10) == 5.0
    ring.put(13 + 2 * COLUMNS, 3.0)
    assert math.isnan(ring.get(13))
    ring.put(13, 9.0)
    assert same(ring.row(13 + 2 * COLUMNS, 2), [NAN, 3.0])


def test_a_ring_that_was_never_written_is_empty_wherever_one_looks() -> None:
    assert same(Ring().row(1_700_000_000, 2, hold=5), [NAN, NAN])


def test_halving_a_ring_keeps_the_later_of_two_values() -> None:
    ring = Ring()
    for stretch in range(8):
        ring.put(stretch, float(stretch))
    ring.halve()
    assert same(ring.row(3, 5), [NAN, 1.0, 3.0, 5.0, 7.0])


def test_a_mean_ring_has_the_mean_of_each_stretch() -> None:
    ring = MeanRing()
    for stretch, value in ((5, 1.0), (5, 3.0), (7, 4.0)):
        ring.add(stretch, value)
    assert same(ring.row(7, 4), [NAN, 2.0, 2.0, 4.0])


def points(rank: int, steps: range, *, metric: str = "loss", pace_s: float = 1.0) -> list[Point]:
    return [Point(metric, rank, step, 1000.0 + step * pace_s, float(step)) for step in steps]


def test_columns_get_wider_as_the_run_gets_older() -> None:
    model = RunModel()
    model.take_points(points(0, range(50)))
    model.widen(50.0)
    assert model.width_s == 1.0
    model.widen(61.0)
    assert model.width_s == 2.0
    assert model.metrics["loss"].rings[0].row(model.column(1049.0), 3) == [45.0, 47.0, 49.0]
    model.widen(1e9)
    assert model.width_s == 64.0


def test_the_rate_is_that_of_the_last_minute_and_0_when_nothing_comes() -> None:
    model = RunModel()
    assert math.isnan(model.rate(1000.0))
    model.take_points(points(0, range(0, 200, 10), pace_s=1.0))
    assert model.step == 190
    assert model.rate(1190.0) == pytest.approx(1.0)
    assert model.rate(2000.0) == 0.0
    model.rewind()
    assert model.step == -1
    model.take_points([Point("loss", 0, 50, 2000.0, 0.0)])
    assert model.step == 50


def test_what_is_no_number_is_seen_and_spoils_no_mean() -> None:
    model = RunModel()
    model.take_points([Point("loss", 0, 0, 1000.0, 1.0), Point("loss", 1, 0, 1000.0, NAN)])
    tail = model.metrics["loss"]
    assert list(tail.last) == [1.0, math.inf]
    assert tail.reduce() == (1.0, 1.0, 1.0)
    assert tail.mean.row(model.column(1000.0), 1) == [1.0]


def test_many_ranks_have_a_value_each_and_no_history() -> None:
    model = RunModel()
    for rank in range(ROWS_MAX + 1):
        model.take_points(points(rank, range(3)))
    assert model.metrics["loss"].rings == {}
    assert model.metrics["loss"].ranks() == list(range(ROWS_MAX + 1))
    assert model.ranks_seen == ROWS_MAX + 1


def test_histories_are_bounded_but_the_chosen_metric_has_them() -> None:
    model = RunModel(chosen="chosen")
    metrics = RINGS_MAX // ROWS_MAX + 2
    for number in range(metrics):
        for rank in range(ROWS_MAX):
            model.take_points([Point(f"m{number}", rank, 0, 1000.0, 1.0)])
    model.take_points([Point("chosen", 3, 0, 1000.0, 1.0)])
    assert sum(len(one.rings) for one in model.metrics.values()) == RINGS_MAX + 1
    assert list(model.metrics["chosen"].rings) == [3]


def test_a_model_of_a_row_in_a_list_keeps_no_metrics() -> None:
    model = RunModel(is_detailed=False)
    model.take_points(points(0, range(5)))
    assert (model.step, model.metrics) == (4, {})


def test_a_sample_counts_until_it_would_have_been_written_again() -> None:
    model = RunModel()
    model.take_samples(
        [
            Reading(GPU_UTIL, "n2", "GPU-a", -1, 1000.0, 0.5),
            Reading(GPU_UTIL, "n10", "GPU-b", -1, 1000.0, 1.0),
            Reading("disk/busy_frac", "n2", "sda", -1, 1000.0, 1.0),
        ]
    )
    assert model.gpus() == [StreamKey("n2", "GPU-a", -1), StreamKey("n10", "GPU-b", -1)]
    assert model.gpu_mean(GPU_UTIL, 1000.0 + HOLD_S - 1) == 0.75
    assert math.isnan(model.gpu_mean(GPU_UTIL, 1000.0 + HOLD_S))
    assert list(model.sensors) == [GPU_UTIL]
    assert split_numbers("n2") < split_numbers("n10")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("step_time", True),
        ("train/step_time_ms", True),
        ("perf.iteration_duration", True),
        ("batch_time_s", True),
        ("steps", False),
        ("time", False),
        ("step_timeout", False),
    ],
)
def test_the_metric_that_tells_the_time_of_a_step_is_known_by_its_name(
    name: str,
    is_one: bool,
) -> None:
    model = RunModel()
    model.take_points([Point(name, 0, 0, 1000.0, 1.0)])
    assert model.step_metric() == (name if is_one else "")


def test_a_slow_rank_is_named_and_noise_is_not() -> None:
    times = [0.2 + 0.001 * (rank % 5) for rank in range(16)]
    assert find_slow(times) == []
    times[7] = 0.3
    (slow,) = find_slow(times)
    assert (slow.rank, round(slow.factor, 2)) == (7, 1.49)
    assert find_slow([0.2, 0.9]) == []  # of two nobody can say which
    assert find_slow([NAN, 0.0, -1.0, math.inf, 0.2, 0.2]) == []


def test_a_rank_that_stopped_while_the_others_went_on_is_silent() -> None:
    wall_s = [1000.0, 1000.0, 900.0, 0.0]
    (silent,) = find_silent(wall_s, [10, 10, 4, -1], 1001.0)
    assert (silent.rank, silent.silent_s, silent.step) == (2, 101.0, 4)
    assert find_silent([900.0, 900.0, 899.0], [1, 1, 1], 1001.0) == []
