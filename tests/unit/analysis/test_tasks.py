"""Aggregates over tasks agree with scipy, and with the definitions on data that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hpctrack.analysis.averages import STATISTICS, Center
from hpctrack.analysis.bootstrap import Interval, bootstrap
from hpctrack.analysis.tasks import (
    AGGREGATES,
    Aggregate,
    Scaling,
    bootstrap_strata,
    improve_over_tasks,
    make_profile,
    optimality_gap,
    scale_scores,
    task_iqm,
    task_mean,
    task_median,
)

rng = np.random.default_rng(11)
SCORES = rng.normal(0.6, 0.3, (5, 8))
"""Tasks x runs."""
TASKS = list(SCORES)
OTHERS = list(rng.normal(0.5, 0.3, (5, 6)))

IRIS = {
    "setosa": [5.1, 4.9, 4.7, 4.6, 5.0, 5.4, 4.6, 5.0, 4.4, 4.9],
    "versicolor": [7.0, 6.4, 6.9, 5.5, 6.5, 5.7, 6.3, 4.9, 6.6, 5.2],
    "virginica": [6.3, 5.8, 7.1, 6.3, 6.5, 7.6, 4.9, 7.3, 6.7, 7.2],
}
"""Sepal lengths, the first ten of each: R. A. Fisher, Annals of Eugenics 7 (1936) 179-188."""


def test_aggregates_are_what_the_paper_defines() -> None:
    assert float(task_iqm(TASKS)) == pytest.approx(stats.trim_mean(SCORES, 0.25, axis=None))
    assert float(task_mean(TASKS)) == pytest.approx(SCORES.mean())
    assert float(task_median(TASKS)) == pytest.approx(np.median(SCORES.mean(axis=1)))
    gap = 1 - np.minimum(SCORES, 1).mean()
    assert float(optimality_gap(TASKS)) == pytest.approx(gap)


@pytest.mark.parametrize("which", list(Aggregate))
def test_stratified_intervals_are_those_of_scipy(which: Aggregate) -> None:
    def statistic(*tasks: np.ndarray, axis: int = -1) -> np.ndarray:
        return AGGREGATES[which]([np.moveaxis(one, axis, -1) for one in tasks])

    ours = bootstrap_strata(TASKS, AGGREGATES[which], resamples=999, seed=3)
    theirs = stats.bootstrap(
        tuple(TASKS), statistic, n_resamples=999, vectorized=True, method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_one_task_is_an_ordinary_bootstrap_and_none_is_nothing() -> None:
    one = bootstrap_strata([SCORES[0]], task_iqm, seed=5, resamples=999)
    alone = bootstrap(
        SCORES[0], STATISTICS[Center.IQM], seed=5, resamples=999, interval=Interval.PERCENTILE
    )
    assert one == alone
    assert math.isnan(bootstrap_strata([], task_iqm).value)
    assert math.isnan(bootstrap_strata([np.asarray([1.0])], task_iqm).low)


def test_strata_are_drawn_apart() -> None:
    tasks = [np.zeros(3), np.ones(3)]
    found = bootstrap_strata(tasks, task_mean)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)  # one heap would spread


def test_improvement_is_the_mean_of_mann_and_whitneys_u() -> None:
    found = improve_over_tasks(TASKS, OTHERS)
    shares = [
        stats.mannwhitneyu(ours, theirs).statistic / (len(ours) * len(theirs))
        for ours, theirs in zip(TASKS, OTHERS, strict=True)
    ]
    assert found.value == pytest.approx(np.mean(shares))
    assert found.low < found.value < found.high
    same = improve_over_tasks([np.ones(3)], [np.ones(4)])
    assert (same.value, same.low, same.high) == (0.5, 0.5, 0.5)


def test_improvement_intervals_are_those_of_drawing_runs() -> None:
    ours, theirs = TASKS[:2], OTHERS[:2]

    def statistic(*parts: np.ndarray, axis: int = -1) -> np.ndarray:
        pairs = zip(parts[:2], parts[2:], strict=True)
        shares = [(one[..., :, None] > two[..., None, :]).mean(axis=(-1, -2)) for one, two in pairs]
        return np.asarray(np.mean(shares, axis=0))

    found = improve_over_tasks(ours, theirs, resamples=8000)
    wanted = stats.bootstrap(
        (*ours, *theirs), statistic, n_resamples=8000, vectorized=True, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.015)


def test_a_profile_is_the_mean_survival_function_of_the_tasks() -> None:
    at = np.linspace(-0.5, 1.5, 41)
    found = make_profile(TASKS, at)
    survival = [stats.ecdf(one).sf.evaluate(at) for one in TASKS]
    assert found.share == pytest.approx(np.mean(survival, axis=0))
    assert (found.low <= found.share + 1e-12).all()
    assert (found.share <= found.high + 1e-12).all()
    assert np.isnan(make_profile([np.asarray([0.3])], at).low).all()


def test_flowers_of_fisher_give_numbers_that_anybody_can_check() -> None:
    # The middle half of 5.1 4.9 4.7 4.6 5.0 5.4 4.6 5.0 4.4 4.9 is 4.6 4.7 4.9 4.9 5.0 5.0.
    setosa = np.asarray(IRIS["setosa"])
    assert float(task_iqm([setosa])) == pytest.approx(29.1 / 6)
    tasks = [np.asarray(one) for one in IRIS.values()]
    assert float(task_mean(tasks)) == pytest.approx((4.86 + 6.10 + 6.57) / 3)
    assert float(task_median(tasks)) == pytest.approx(6.10)
    # Of the 100 pairs virginica has the longer one in 94, and two are equally long.
    assert improve_over_tasks(tasks[2:], tasks[:1]).value == pytest.approx(0.95)


def test_scores_are_scaled_over_all_groups_and_turned_round() -> None:
    first, second = [np.asarray([1.0, 3.0]), np.asarray([5.0])], [np.asarray([5.0]), np.ones(1)]
    scaled = scale_scores([first, second], Scaling.RANGE)
    assert [one.tolist() for one in scaled[0]] == [[0.0, 0.5], [1.0]]
    assert [one.tolist() for one in scaled[1]] == [[1.0], [0.0]]
    turned = scale_scores([first, second], Scaling.RANGE, is_higher_better=False)
    assert [one.tolist() for one in turned[0]] == [[1.0, 0.5], [0.0]]
    alike = scale_scores([[np.full(2, 7.0)], [np.full(1, 7.0)]], Scaling.RANGE)
    assert [one.tolist() for one in alike[0]] == [[1.0, 1.0]]
    plain = scale_scores([first], Scaling.NONE, is_higher_better=False)
    assert plain[0][0].tolist() == [-1.0, -3.0]
