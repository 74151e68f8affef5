"""Tests of the difference between two groups, and what they cannot find. scipy counts."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hpctrack.analysis.samples import Numbers

PERMUTATIONS = 9_999
"""So the smallest p value is 1e-4. Where there are fewer, all are tried."""

DEALT_NUMBERS = 10_000_000
"""Of all permutations of two groups together; large groups get fewer, down to 999."""

NORMAL_MIN = 8
"""Shapiro and Wilk's test finds next to nothing in fewer."""

NORMAL_ALPHA = 0.05


class Method(StrEnum):
    """How two groups are compared."""

    WELCH = "welch"
    """Welch's t: means, of groups of unequal spread."""
    MANN_WHITNEY = "mann-whitney"
    """Ranks."""
    PERMUTATION = "permutation"
    """Means, over all ways to deal the runs to the two groups."""
    PAIRED_T = "paired-t"
    """Student's t of the differences."""
    WILCOXON = "wilcoxon"
    """Signed ranks of the differences."""
    PAIRED_PERMUTATION = "paired-permutation"
    """Means, over all signs of the differences."""

    @property
    def is_paired(self) -> bool:
        """Whether runs are compared pair by pair."""
        return self in {Method.PAIRED_T, Method.WILCOXON, Method.PAIRED_PERMUTATION}

    @property
    def long_name(self) -> str:
        """What people call it."""
        return _TITLES[self]


_TITLES = {
    Method.WELCH: "Welch's t test",
    Method.MANN_WHITNEY: "Mann-Whitney U test",
    Method.PERMUTATION: "permutation test",
    Method.PAIRED_T: "paired t test",
    Method.WILCOXON: "Wilcoxon signed-rank test",
    Method.PAIRED_PERMUTATION: "paired permutation test",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a test says; two-sided.

    Parameters
    ----------
    kind : Method
    statistic : float
        scipy's.
    p : float
        NaN if the test cannot be made.
    least_p : float
        The smallest p value that the test can give for so many runs, whatever they say.
    note : str
        Why there is no p value; empty if there is one.
    """

    kind: Method
    statistic: float = math.nan
    p: float = math.nan
    least_p: float = 0.0
    note: str = ""


def judge_difference(kind: Method, first: Numbers, second: Numbers, *, seed: int = 0) -> Outcome:
    """Test whether two groups differ.

    Parameters
    ----------
    kind : Method
        With a paired one the two are equally long, and run i of one belongs to run i of the other.
    first, second : ndarray of float64, shapes (n,) and (m,)
    seed : int, optional
        Of the permutations, where there are too many for all of them.
    """
    least_p = find_least_p(kind, len(first), len(second))
    if len(first) < 2 or len(second) < 2:  # noqa: PLR2004 - nothing is known of the spread
        note = (
            f"{kind.long_name}: two {'pairs' if kind.is_paired else 'runs of each group'} at least"
        )
        return Outcome(kind=kind, least_p=least_p, note=note)
    if kind.is_paired and not np.any(first - second):
        return Outcome(kind=kind, statistic=0.0, p=1.0, least_p=least_p)
    if kind in {Method.WELCH, Method.PAIRED_T} and _is_still(kind, first, second):
        note = f"{kind.long_name}: the runs of a group do not differ at all"
        return Outcome(kind=kind, least_p=least_p, note=note)
    statistic, p = _count(kind, first, second, seed)
    return Outcome(kind=kind, statistic=statistic, p=p, least_p=least_p)


def find_least_p(kind: Method, n: int, m: int) -> float:
    """Return the smallest two-sided p value that a test can give for groups of n and m runs.

    Rank and permutation tests count how many of all orders, or signs, are as extreme; with few runs
    there are few. A t test has no such end: it pays with the assumption of a normal distribution.
    """
    if kind in {Method.WILCOXON, Method.PAIRED_PERMUTATION}:
        return min(1.0, 2.0 ** (1 - min(n, m)))
    if kind in {Method.MANN_WHITNEY, Method.PERMUTATION}:
        return min(1.0, 2 / math.comb(n + m, n))
    return 0.0


def find_runs_needed(kind: Method, alpha: float) -> int:
    """Return how many runs of each group a test needs so that p can be below alpha at all."""
    return next((n for n in range(2, 64) if find_least_p(kind, n, n) <= alpha), 64)


def judge_normality(values: Numbers) -> float:
    """Return the p value of Shapiro and Wilk's test; NaN of fewer than eight runs.

    S. S. Shapiro, M. B. Wilk, Biometrika 52 (1965) 591-611.
    """
    if len(values) < NORMAL_MIN or np.ptp(values) == 0:
        return math.nan
    from scipy import stats  # noqa: PLC0415 - half a second

    return float(stats.shapiro(values).pvalue)


def _count_permutations(runs: int) -> int:
    return max(999, min(PERMUTATIONS, DEALT_NUMBERS // runs))


def _is_still(kind: Method, first: Numbers, second: Numbers) -> bool:
    if kind == Method.PAIRED_T:
        return bool(np.ptp(first - second) == 0)
    return bool(np.ptp(first) == 0 and np.ptp(second) == 0)


def _count(kind: Method, first: Numbers, second: Numbers, seed: int) -> tuple[float, float]:
    from scipy import stats  # noqa: PLC0415 - half a second

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # About small samples; ours say so in words, see `hpctrack.analysis.advice`.
        warnings.simplefilter("ignore")
        if kind == Method.WELCH:
            found = stats.ttest_ind(first, second, equal_var=False)
        elif kind == Method.PAIRED_T:
            found = stats.ttest_rel(first, second)
        elif kind == Method.WILCOXON:
            found = stats.wilcoxon(first, second)
        elif kind == Method.MANN_WHITNEY:
            found = stats.mannwhitneyu(first, second)
        else:
            found = stats.permutation_test(
                (first, second),
                lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
                permutation_type="samples" if kind.is_paired else "independent",
                vectorized=True,
                n_resamples=_count_permutations(len(first) + len(second)),
                batch=1_000,
                rng=np.random.default_rng(seed),
            )
    return float(found.statistic), float(found.pvalue)
