"""Groups of runs beside each other: how good each is, and which differences are more than luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hpctrack.analysis.averages import STATISTICS, Center
from hpctrack.analysis.bootstrap import RESAMPLES, Estimate, Interval, bootstrap
from hpctrack.analysis.corrections import Correction, correct_p
from hpctrack.analysis.effects import (
    cliffs_delta,
    difference_of_means,
    hedges_g,
    mean_of_differences,
    paired_d,
)
from hpctrack.analysis.improvement import measure_improvement
from hpctrack.analysis.samples import Sample, pair_samples
from hpctrack.analysis.significance import Method, Outcome, judge_difference, judge_normality


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How groups are compared.

    Parameters
    ----------
    method : Method
        The test.
    correction : Correction
        Of its p values, over all comparisons with the baseline.
    confidence : float
        Of all intervals, between 0 and 1.
    interval : Interval
        Of the averages.
    is_higher_better : bool
    resamples, seed : int
        Of the bootstrap and of permutations.
    """

    method: Method = Method.WELCH
    correction: Correction = Correction.HOLM
    confidence: float = 0.95
    interval: Interval = Interval.BCA
    is_higher_better: bool = True
    resamples: int = RESAMPLES
    seed: int = 0

    @property
    def alpha(self) -> float:
        """What p has to be below."""
        return round(1 - self.confidence, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One group.

    Parameters
    ----------
    label : str
    n : int
        Runs with a number.
    mean, std, least, most : float
        ``std`` is that of a sample: NaN of one run.
    averages : dict of Center to Estimate
        Each with its interval.
    normal_p : float
        Of Shapiro and Wilk's test; NaN of fewer than eight runs.
    """

    label: str
    n: int
    mean: float
    std: float
    least: float
    most: float
    averages: dict[Center, Estimate] = field(default_factory=dict)
    normal_p: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One group against the baseline.

    Parameters
    ----------
    label, baseline : str
    n, pairs, left_out : int
        Runs of the group; pairs that were compared and runs without a partner, if it is paired.
    difference : Estimate
        Of the means, group less baseline.
    effect : Estimate
        In standard deviations: Hedges' g, or of pairs d_z, which has no interval here.
    delta : Estimate
        Cliff's.
    improvement : Estimate
        P(a run of the group is better than one of the baseline).
    outcome : Outcome
        Of the test.
    p : float
        Corrected.
    """

    label: str
    baseline: str
    n: int
    pairs: int
    left_out: int
    difference: Estimate
    effect: Estimate
    delta: Estimate
    improvement: Estimate
    outcome: Outcome
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What can be said of some groups.

    Parameters
    ----------
    plan : Plan
    groups : tuple of Description
    comparisons : tuple of Comparison
        Of every group but the baseline, in the same order; empty without a baseline.
    matrix : tuple of tuple of float
        P(a run of the row is better than one of the column); NaN on the diagonal.
    """

    plan: Plan
    groups: tuple[Description, ...]
    comparisons: tuple[Comparison, ...] = ()
    matrix: tuple[tuple[float, ...], ...] = ()


def describe(sample: Sample, plan: Plan) -> Description:
    """Return what one group has reached."""
    values = sample.values
    if not len(values):
        nan = math.nan
        return Description(label=sample.label, n=0, mean=nan, std=nan, least=nan, most=nan)
    return Description(
        label=sample.label,
        n=len(values),
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        least=float(values.min()),
        most=float(values.max()),
        averages={
            center: bootstrap(
                values, statistic, confidence=plan.confidence, interval=plan.interval,
                resamples=plan.resamples, seed=plan.seed,
            )
            for center, statistic in STATISTICS.items()
        },
        normal_p=judge_normality(values),
    )  # fmt: skip


def compare(sample: Sample, baseline: Sample, plan: Plan) -> Comparison:
    """Return how a group stands to the baseline; its p value is not corrected yet."""
    ours, theirs = sample.values, baseline.values
    paired = pair_samples(sample, baseline) if plan.method.is_paired else None
    if paired is None:
        outcome = judge_difference(plan.method, ours, theirs, seed=plan.seed)
        difference = difference_of_means(ours, theirs, confidence=plan.confidence)
        effect = hedges_g(ours, theirs, confidence=plan.confidence)
    else:
        outcome = judge_difference(plan.method, paired.first, paired.second, seed=plan.seed)
        difference = mean_of_differences(paired.differences, confidence=plan.confidence)
        effect = Estimate(paired_d(paired.differences))
    return Comparison(
        label=sample.label,
        baseline=baseline.label,
        n=len(ours),
        pairs=len(paired.first) if paired else 0,
        left_out=paired.left_out if paired else 0,
        difference=difference,
        effect=effect,
        delta=cliffs_delta(ours, theirs, confidence=plan.confidence),
        improvement=measure_improvement(
            ours, theirs, is_higher_better=plan.is_higher_better, confidence=plan.confidence
        ),
        outcome=outcome,
        p=outcome.p,
    )


def compare_groups(samples: Sequence[Sample], plan: Plan, *, baseline: int | None = 0) -> Report:
    """Return what can be said of some groups.

    Parameters
    ----------
    samples : sequence of Sample
    plan : Plan
    baseline : int or None, optional
        Which of them the others are compared with.

    Notes
    -----
    Time grows with groups x (resamples x runs), and with the square of the groups for the matrix.
    """
    found: list[Comparison] = []
    if baseline is not None and samples:
        others = [one for at, one in enumerate(samples) if at != baseline]
        found = [compare(one, samples[baseline], plan) for one in others]
        corrected = correct_p([one.outcome.p for one in found], plan.correction)
        found = [replace(one, p=p) for one, p in zip(found, corrected, strict=True)]
    return Report(
        plan=plan,
        groups=tuple(describe(one, plan) for one in samples),
        comparisons=tuple(found),
        matrix=make_matrix(samples, is_higher_better=plan.is_higher_better),
    )


def make_matrix(
    samples: Sequence[Sample], *, is_higher_better: bool = True
) -> tuple[tuple[float, ...], ...]:
    """Return P(a run of the row's group is better than one of the column's)."""
    size = len(samples)
    shares = np.full((size, size), math.nan)
    for row in range(size):
        for column in range(row):
            one, other = samples[row].values, samples[column].values
            found = measure_improvement(one, other, is_higher_better=is_higher_better).value
            shares[row, column], shares[column, row] = found, 1 - found
    return tuple(tuple(row) for row in shares.tolist())
