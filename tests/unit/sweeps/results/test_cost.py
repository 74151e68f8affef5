"""What trials used, what early stopping saved, and how long the rest takes."""

from __future__ import annotations

import pytest

from hpctrack.sweeps.results.cost import Effort, estimate_eta_s, measure_cost
from hpctrack.sweeps.worker.result import TrialState

FINISHED, PRUNED, RUNNING, WAITING = (
    TrialState.FINISHED, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING,
)  # fmt: skip


def effort(state: TrialState, duration_s: float | None = None, **more: float) -> Effort:
    return Effort(state=state, duration_s=duration_s, **more)  # type: ignore[arg-type]


def test_hours_are_time_times_what_each_trial_had() -> None:
    cost = measure_cost([
        effort(FINISHED, 3600.0, cpus=4, gpus=1),
        effort(TrialState.FAILED, 1800.0, cpus=4, gpus=2),
        effort(RUNNING, 1800.0, cpus=2, gpus=0),
        effort(WAITING),
    ])  # fmt: skip
    assert cost.used_s == 7200.0
    assert cost.cpu_hours == 4 + 2 + 1
    assert cost.gpu_hours == 1 + 1
    assert cost.saved_s == cost.pruned == cost.saved_share == 0


def test_what_earlier_attempts_took_is_used_but_says_nothing_of_the_pace() -> None:
    again = effort(FINISHED, 100.0, earlier_s=50.0, iterations=10, cpus=36)
    cost = measure_cost(
        [again, effort(WAITING, earlier_s=10.0), effort(PRUNED, 10.0, iterations=1)]
    )
    assert cost.used_s == 170.0
    assert cost.cpu_hours == pytest.approx(1.5)
    assert cost.saved_s == pytest.approx(90.0)


def test_hours_of_unknown_processors_are_unknown_not_zero() -> None:
    cost = measure_cost([effort(FINISHED, 60.0)])
    assert cost.cpu_hours is None
    assert cost.gpu_hours is None
    assert cost.saved_gpu_hours is None


def test_a_pruned_trial_would_have_gone_on_as_others_did() -> None:
    finished = [effort(FINISHED, 10.0 * n, iterations=n) for n in (20, 27, 27)]
    cost = measure_cost([*finished, effort(PRUNED, 90.0, iterations=9, cpus=2, gpus=1)])
    assert cost.saved_s == pytest.approx(180.0)
    assert cost.saved_gpu_hours == pytest.approx(180 / 3600)
    assert cost.saved_cpu_hours == pytest.approx(360 / 3600)
    assert cost.saved_share == pytest.approx(180 / (740 + 90 + 180))
    assert (cost.pruned, cost.estimated) == (1, 1)
    assert (cost.iterations, cost.saved_iterations) == (83, 18)
    assert cost.saved_iterations_share == pytest.approx(18 / 101)


def test_a_long_start_is_not_taken_for_a_slow_pace() -> None:
    # 50 s to import and load, then 1 s an iteration: 8 more of them were saved, not 8 x 51 s.
    finished = [effort(FINISHED, 59.0, iterations=9) for _ in range(4)]
    pruned = [effort(PRUNED, 51.0, iterations=1) for _ in range(6)]
    assert measure_cost([*finished, *pruned]).saved_s == pytest.approx(6 * 8.0)


def test_a_trial_goes_on_at_its_own_pace_or_the_median_one() -> None:
    cost = measure_cost([
        effort(FINISHED, 30.0, iterations=10, pace_s=1.0),
        effort(PRUNED, 25.0, iterations=2, pace_s=2.0),
        effort(PRUNED, 60.0, iterations=1),
    ])  # fmt: skip
    # Two took longer for less, which was their start.
    assert cost.saved_s == pytest.approx(8 * 2.0 + 9 * 1.5)
    assert cost.saved_iterations == 8 + 9


def test_a_trial_that_was_twice_as_slow_would_have_stayed_so() -> None:
    finished = [effort(FINISHED, 270.0, iterations=27)] * 5
    usual = [effort(PRUNED, 90.0, iterations=9)] * 3
    slow = effort(PRUNED, 180.0, iterations=9)
    saved_s = measure_cost([*finished, *usual, slow]).saved_s
    assert saved_s == pytest.approx(3 * 180.0 + 360.0)


def test_trials_that_took_longer_for_less_save_nothing_rather_than_less_than_nothing() -> None:
    efforts = [effort(FINISHED, 10.0, iterations=9), effort(PRUNED, 40.0, iterations=1)]
    assert measure_cost(efforts).saved_s == pytest.approx(0.0)
    beyond = [effort(FINISHED, 10.0, iterations=3), effort(PRUNED, 40.0, iterations=12)]
    assert measure_cost(beyond).saved_s == pytest.approx(0.0)


def test_without_iterations_the_median_duration_is_the_measure() -> None:
    finished = [effort(FINISHED, duration_s) for duration_s in (50.0, 60.0, 1000.0)]
    cost = measure_cost([*finished, effort(PRUNED, 20.0), effort(PRUNED, 80.0)])
    assert cost.saved_s == 40.0  # and nothing of the one that took longer than most
    assert cost.estimated == 2


def test_before_a_trial_has_finished_nothing_is_estimated() -> None:
    cost = measure_cost([effort(PRUNED, 20.0, iterations=3), effort(PRUNED)])
    assert (cost.saved_s, cost.pruned, cost.estimated) == (0.0, 2, 0)
    assert measure_cost([]).to_json()["used_s"] == 0


def test_the_time_left_counts_short_and_long_trials_by_their_mean() -> None:
    ended = [effort(FINISHED, 100.0), effort(PRUNED, 10.0), effort(PRUNED, 10.0)]
    assert estimate_eta_s(ended, open_count=9, workers=3) == pytest.approx(120.0)
    waiting = [effort(WAITING), effort(RUNNING, 15.0), effort(RUNNING, 500.0)]
    eta_s = estimate_eta_s([*ended, *waiting], open_count=0, workers=2)
    assert eta_s == pytest.approx((40 + 25) / 2)


def test_the_time_left_is_at_least_that_of_the_trial_that_has_longest_to_go() -> None:
    efforts = [effort(FINISHED, 100.0), effort(RUNNING, 10.0)]
    assert estimate_eta_s(efforts, open_count=0, workers=50) == pytest.approx(90.0)


def test_nothing_is_said_of_the_time_left_before_a_trial_has_ended() -> None:
    assert estimate_eta_s([effort(RUNNING, 5.0)], open_count=3, workers=1) is None
    assert estimate_eta_s([effort(FINISHED, 5.0)], open_count=3, workers=0) is None
