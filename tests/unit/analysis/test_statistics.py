"""Statistics agree with scipy and with numbers that others have published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpctrack.analysis.averages import STATISTICS, Center, interquartile_mean
from hpctrack.analysis.bootstrap import Interval, bootstrap
from hpctrack.analysis.corrections import Correction, correct_p
from hpctrack.analysis.effects import (
    cliffs_delta,
    cohen_d,
    difference_of_means,
    hedges_g,
    mean_of_differences,
    name_size,
    paired_d,
)
from hpctrack.analysis.improvement import measure_improvement
from hpctrack.analysis.samples import Sample, make_numbers, pair_samples
from hpctrack.analysis.significance import (
    Method,
    find_least_p,
    find_runs_needed,
    judge_difference,
    judge_normality,
)

SLEEP_1 = np.asarray([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SLEEP_2 = np.asarray([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
"""Hours of sleep gained with two drugs, ten patients: Student, Biometrika 6 (1908) 1-25."""

HOCHBERG = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
    0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip
"""Of a study of thrombolysis: Benjamini and Hochberg (1995), section 4.1."""

rng = np.random.default_rng(7)
NORMAL = rng.normal(1.0, 0.4, 12)
SHIFTED = rng.normal(1.3, 0.7, 9)


@pytest.mark.parametrize("center", list(Center))
@pytest.mark.parametrize("interval", list(Interval))
def test_bootstrap_intervals_are_those_of_scipy(center: Center, interval: Interval) -> None:
    def statistic(values: np.ndarray, axis: int = -1) -> np.ndarray:
        return STATISTICS[center](np.moveaxis(values, axis, -1))

    ours = bootstrap(NORMAL, STATISTICS[center], interval=interval, resamples=999, seed=3)
    theirs = stats.bootstrap(
        (NORMAL,), statistic, n_resamples=999, confidence_level=0.95, vectorized=True,
        method="BCa" if interval == Interval.BCA else "percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_interquartile_mean_is_scipys_trimmed_mean(values: list[float]) -> None:
    ours = float(interquartile_mean(np.asarray(values)))
    assert ours == pytest.approx(float(stats.trim_mean(values, 0.25)), abs=1e-6)


def test_a_bootstrap_says_the_same_each_time_and_says_when_it_cannot() -> None:
    first, again = (bootstrap(NORMAL, interquartile_mean, seed=1) for _ in range(2))
    assert first == again != bootstrap(NORMAL, interquartile_mean, seed=2)
    assert math.isnan(bootstrap(NORMAL[:1], interquartile_mean).low)
    assert math.isnan(bootstrap(NORMAL[:0], interquartile_mean).value)
    still = bootstrap(np.ones(5), interquartile_mean)
    assert (still.value, still.low, still.high) == (1.0, 1.0, 1.0)


def test_a_bootstrap_of_many_runs_is_drawn_in_pieces() -> None:
    many = np.arange(5_000.0)
    found = bootstrap(many, STATISTICS[Center.MEAN], resamples=2_000)
    assert found.low < 2499.5 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * many.std() / 5_000**0.5, rel=0.1)


def test_students_sleep_gives_students_numbers() -> None:
    # R's t.test on its dataset "sleep" prints the same.
    paired = judge_difference(Method.PAIRED_T, SLEEP_1, SLEEP_2)
    assert (paired.statistic, paired.p) == pytest.approx((-4.0621, 0.002833), rel=1e-4)
    welch = judge_difference(Method.WELCH, SLEEP_1, SLEEP_2)
    assert (welch.statistic, welch.p) == pytest.approx((-1.8608, 0.07939), rel=1e-4)
    found = difference_of_means(SLEEP_1, SLEEP_2)
    assert (found.low, found.high) == pytest.approx((-3.3654832, 0.2054832), rel=1e-6)
    of_pairs = mean_of_differences(SLEEP_1 - SLEEP_2)
    assert (of_pairs.low, of_pairs.high) == pytest.approx((-2.4598858, -0.7001142), rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        (Method.WELCH, lambda: stats.ttest_ind(NORMAL[:9], SHIFTED, equal_var=False)),
        (Method.MANN_WHITNEY, lambda: stats.mannwhitneyu(NORMAL[:9], SHIFTED)),
        (Method.PAIRED_T, lambda: stats.ttest_rel(NORMAL[:9], SHIFTED)),
        (Method.WILCOXON, lambda: stats.wilcoxon(NORMAL[:9], SHIFTED)),
    ],
)
def test_tests_are_those_of_scipy(kind: Method, theirs: object) -> None:
    ours, given_ = judge_difference(kind, NORMAL[:9], SHIFTED), theirs()  # type: ignore[operator]
    assert (ours.statistic, ours.p) == (given_.statistic, given_.pvalue)


@pytest.mark.parametrize("kind", [Method.PERMUTATION, Method.PAIRED_PERMUTATION])
def test_permutations_of_few_runs_are_all_tried(kind: Method) -> None:
    low, high = np.asarray([1.0, 2.0, 3.0, 4.0]), np.asarray([5.0, 6.5, 8.0, 9.5])
    assert judge_difference(kind, low, high).p == pytest.approx(find_least_p(kind, 4, 4))


@pytest.mark.parametrize("kind", [one for one in Method if find_least_p(one, 4, 4) > 0])
def test_no_test_gives_less_than_its_least_p(kind: Method) -> None:
    for n in (2, 3, 4, 5):
        low, high = np.arange(n, dtype=np.float64), np.linspace(100, 100 + 1.5 * (n - 1), n)
        least_p = find_least_p(kind, n, n)
        assert judge_difference(kind, low, high).p == pytest.approx(least_p)
    needed = find_runs_needed(kind, 0.05)
    assert find_least_p(kind, needed, needed) <= 0.05 < find_least_p(kind, needed - 1, needed - 1)
    assert needed == (6 if kind.is_paired else 4)


def test_what_cannot_be_tested_says_why() -> None:
    assert "two runs" in judge_difference(Method.WELCH, NORMAL[:1], SHIFTED).note
    assert "do not differ" in judge_difference(Method.WELCH, np.ones(3), np.zeros(3)).note
    assert judge_difference(Method.PAIRED_T, SLEEP_1, SLEEP_1).p == 1.0
    assert judge_difference(Method.MANN_WHITNEY, np.ones(3), np.ones(3)).p == 1.0
    assert math.isnan(judge_normality(NORMAL[:7]))
    assert judge_normality(NORMAL) == float(stats.shapiro(NORMAL).pvalue)


def test_corrected_p_values_are_those_of_the_paper_and_of_scipy() -> None:
    found = {method: correct_p(HOCHBERG, method) for method in Correction}
    count = {method: sum(p <= 0.05 for p in ps) for method, ps in found.items()}
    assert count == {
        Correction.NONE: 9, Correction.BONFERRONI: 3, Correction.HOLM: 3, Correction.BH: 4,
    }  # fmt: skip
    assert found[Correction.BH] == pytest.approx(stats.false_discovery_control(HOCHBERG))
    assert correct_p([0.01, 0.04, 0.03, 0.005], Correction.HOLM) == [0.03, 0.06, 0.06, 0.02]
    with_gap = correct_p([0.01, math.nan, 0.02], Correction.BONFERRONI)
    assert with_gap[::2] == [0.02, 0.04]
    assert math.isnan(with_gap[1])
    assert correct_p([], Correction.HOLM) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_never_worse_than_bonferroni_nor_better_than_nothing(ps: list[float]) -> None:
    nothing, holm, bonferroni, bh = (
        correct_p(ps, one)
        for one in (Correction.NONE, Correction.HOLM, Correction.BONFERRONI, Correction.BH)
    )
    for a, b, c, d in zip(nothing, holm, bonferroni, bh, strict=True):
        assert a <= b <= c <= 1.0
        assert a - 1e-12 <= d <= b + 1e-12


def test_improvement_is_mann_and_whitneys_u() -> None:
    found = measure_improvement(NORMAL, SHIFTED)
    u = stats.mannwhitneyu(NORMAL, SHIFTED).statistic
    assert found.value == pytest.approx(u / (len(NORMAL) * len(SHIFTED)))
    assert found.low < found.value < found.high
    turned = measure_improvement(NORMAL, SHIFTED, is_higher_better=False)
    assert turned.value == pytest.approx(1 - found.value)
    tied = measure_improvement(np.ones(4), np.ones(4))
    assert tied.value == 0.5


def test_a_published_proportion_of_better_pairs() -> None:
    # Bonett's example of ci.mann in R's package statpsych, whose estimate is of the other group.
    first = np.asarray([32, 39, 26, 35, 43, 27, 40, 37, 34, 29.0])
    second = np.asarray([36, 44, 47, 42, 49, 39, 46, 31, 33, 48.0])
    assert measure_improvement(second, first).value == pytest.approx(0.795)


def test_groups_that_do_not_overlap_keep_an_interval() -> None:
    found = measure_improvement(np.arange(10, 13, dtype=np.float64), np.arange(3, dtype=np.float64))
    assert found.value == found.high == 1.0
    assert 0.3 < found.low < 0.75
    larger = measure_improvement(
        np.arange(100, 130, dtype=np.float64), np.arange(30, dtype=np.float64)
    )
    assert found.low < larger.low < 1.0


def test_the_interval_of_improvement_holds_what_it_promises() -> None:
    draws = np.random.default_rng(11)
    truth = float(stats.norm.cdf(1 / 2**0.5))  # of two normals one apart
    inside = 0
    for _ in range(400):
        found = measure_improvement(draws.normal(1, 1, 10), draws.normal(0, 1, 10))
        inside += found.low <= truth <= found.high
    assert 0.92 <= inside / 400 <= 0.99


def test_effects_are_those_of_their_inventors() -> None:
    pooled = math.sqrt((SLEEP_1.var(ddof=1) + SLEEP_2.var(ddof=1)) / 2)
    assert cohen_d(SLEEP_1, SLEEP_2) == pytest.approx((SLEEP_1 - SLEEP_2).mean() / pooled)
    g = hedges_g(SLEEP_1, SLEEP_2)
    # Hedges' table of 1981 has 0.9576 for 18 degrees of freedom.
    assert g.value / cohen_d(SLEEP_1, SLEEP_2) == pytest.approx(0.9576, abs=5e-5)
    assert g.low < g.value < g.high
    assert paired_d(SLEEP_1 - SLEEP_2) == pytest.approx(-4.0621 / math.sqrt(10), rel=1e-4)
    delta = cliffs_delta(SLEEP_1, SLEEP_2)
    pairs = np.sign(SLEEP_1[:, None] - SLEEP_2[None, :])
    assert delta.value == pytest.approx(pairs.mean())
    assert cohen_d(np.ones(3), np.zeros(3)) == math.inf
    assert cohen_d(np.ones(3), np.ones(3)) == 0.0
    assert [name_size(one) for one in (0.1, -0.3, 0.6, 2.0, math.nan)] == [
        "negligible", "small", "medium", "large", "",
    ]  # fmt: skip


def test_pairs_are_found_by_key_and_repeats_are_averaged() -> None:
    first = Sample(label="a", values=make_numbers([1, 2, 3, 5]), pairs=("0", "1", "1", "9"))
    second = Sample(label="b", values=make_numbers([10, 20, 30]), pairs=("1", "0", "7"))
    found = pair_samples(first, second)
    assert found.first.tolist() == [1.0, 2.5]
    assert found.second.tolist() == [20.0, 10.0]
    assert found.left_out == 2
    assert make_numbers([1, math.nan, math.inf, 2]).tolist() == [1, 2]
