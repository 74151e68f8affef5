"""Groups of runs side by side, and what is said about them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpctrack.analysis.advice import conclude, format_p, list_assumptions
from hpctrack.analysis.averages import Center
from hpctrack.analysis.comparison import Plan, compare_groups
from hpctrack.analysis.corrections import Correction
from hpctrack.analysis.samples import Sample
from hpctrack.analysis.significance import Method


def make(label: str, values: list[float]) -> Sample:
    seeds = tuple(str(at) for at in range(len(values)))
    return Sample(label=label, values=np.asarray(values, dtype=np.float64), pairs=seeds)


BASE = make("base", [0.90, 0.91, 0.92, 0.90, 0.91, 0.92, 0.93, 0.89])
BETTER = make("better", [0.95, 0.96, 0.97, 0.95, 0.96, 0.98, 0.97, 0.95])
SAME = make("same", [0.91, 0.90, 0.92, 0.91, 0.90, 0.93, 0.92, 0.89])
FEW = make("few", [0.95, 0.97, 0.99])


def test_a_report_has_each_group_and_compares_all_but_the_baseline() -> None:
    report = compare_groups([BASE, BETTER, SAME], Plan(), baseline=0)
    assert [one.label for one in report.groups] == ["base", "better", "same"]
    assert [one.label for one in report.comparisons] == ["better", "same"]
    iqm = report.groups[1].averages[Center.IQM]
    assert iqm.low < iqm.value < iqm.high
    assert report.comparisons[0].improvement.value == 1.0
    assert report.matrix[1][0] == 1.0
    assert report.matrix[0][1] == 0.0
    assert math.isnan(report.matrix[0][0])
    assert report.comparisons[0].p == pytest.approx(2 * report.comparisons[0].outcome.p)


def test_the_verdict_names_what_is_better_and_what_cannot_be_told() -> None:
    better, same = conclude(compare_groups([BASE, BETTER, SAME], Plan()))
    assert "is better than the baseline: p < 0.0001, large effect" in better
    assert "cannot be told from the baseline" in same
    assert "no proof that they are equal" in same
    turned = conclude(compare_groups([BASE, BETTER], Plan(is_higher_better=False)))
    assert "is worse than the baseline" in turned[0]


def test_three_seeds_cannot_be_significant_with_ranks_and_that_is_said() -> None:
    report = compare_groups([BASE, FEW], Plan(method=Method.WILCOXON))
    (verdict,) = conclude(report)
    assert "no Wilcoxon signed-rank test can be significant at 0.05" in verdict
    assert "least p is 0.25" in verdict
    notes = " ".join(list_assumptions(report))
    assert "n = 3" in notes
    assert "needs 6 pairs" in notes
    assert "5 runs have no partner" in notes


def test_what_is_assumed_is_said() -> None:
    plain = list_assumptions(compare_groups([BASE, BETTER, SAME], Plan()))
    assert any("independent" in one for one in plain)
    assert any("corrected for 2 comparisons (Holm)" in one for one in plain)
    bare = list_assumptions(compare_groups([BASE, BETTER, SAME], Plan(correction=Correction.NONE)))
    assert any("not corrected" in one for one in bare)
    skewed = make("skewed", [0.0] * 11 + [50.0])
    assert any("Shapiro" in one for one in list_assumptions(compare_groups([BASE, skewed], Plan())))


def test_empty_single_and_hollow_groups_are_told_of() -> None:
    assert "nothing to compare" in conclude(compare_groups([], Plan()))[0]
    assert "one group only" in conclude(compare_groups([BASE], Plan()))[0]
    hollow = compare_groups([BASE, make("hollow", []), make("one", [1.0])], Plan())
    sentences = conclude(hollow)
    assert "has no number" in sentences[0]
    assert "no test can be made" in sentences[1]
    assert hollow.groups[1].n == 0
    assert math.isnan(hollow.groups[2].std)


def test_groups_that_cannot_be_tested_share_a_sentence_behind_the_others() -> None:
    single = [make(f"only {'x' * 70} {number}", [1.0]) for number in range(5)]
    *tested, last = conclude(compare_groups([BASE, *single, BETTER], Plan()))
    assert len(tested) == 1
    assert "is better than the baseline" in tested[0]
    assert last.endswith(
        "and 2 more: no test can be made (Welch's t test: two runs of each group at least)."
    )
    assert "x…" in last


def test_p_values_are_written_as_in_papers() -> None:
    assert [format_p(one) for one in (0.0312, 1e-9, math.nan, 1.0)] == [
        "p = 0.031", "p < 0.0001", "p unknown", "p = 1",
    ]  # fmt: skip
