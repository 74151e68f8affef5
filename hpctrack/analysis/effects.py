"""How large a difference is, in standard deviations or in overlap. Pure."""

from __future__ import annotations

import math

import numpy as np

from hpctrack.analysis.bootstrap import Estimate
from hpctrack.analysis.improvement import measure_improvement
from hpctrack.analysis.samples import Numbers

_SIZES = ((0.2, "negligible"), (0.5, "small"), (0.8, "medium"))
"""J. Cohen: Statistical power analysis for the behavioral sciences, 2nd edition 1988, chapter 2."""


def cohen_d(first: Numbers, second: Numbers) -> float:
    """Return the difference of the means in pooled standard deviations; NaN below two runs each.

    Infinite if neither group has any spread and they differ. J. Cohen 1988, equation 2.5.2.
    """
    n, m = len(first), len(second)
    if n < 2 or m < 2:  # noqa: PLR2004 - no spread
        return math.nan
    pooled = ((n - 1) * first.var(ddof=1) + (m - 1) * second.var(ddof=1)) / (n + m - 2)
    return _divide(float(first.mean() - second.mean()), math.sqrt(pooled))


def hedges_g(first: Numbers, second: Numbers, *, confidence: float = 0.95) -> Estimate:
    """Return Cohen's d without its bias in small groups.

    Notes
    -----
    The exact factor of L. V. Hedges: Distribution theory for Glass's estimator of effect size.
    Journal of Educational Statistics 6 (1981) 107-128. Interval: the large-sample variance of
    L. V. Hedges, I. Olkin: Statistical methods for meta-analysis, 1985, chapter 5, equation 15; of
    few runs it is rough.
    """
    value, n, m = cohen_d(first, second), len(first), len(second)
    if not math.isfinite(value):
        return Estimate(value)
    g = value * _unbias(n + m - 2)
    half = _z(confidence) * math.sqrt((n + m) / (n * m) + g * g / (2 * (n + m)))
    return Estimate(g, g - half, g + half)


def paired_d(differences: Numbers) -> float:
    """Return the mean difference in standard deviations of the differences; Cohen's d_z, 1988."""
    if len(differences) < 2:  # noqa: PLR2004 - no spread
        return math.nan
    return _divide(float(differences.mean()), float(differences.std(ddof=1)))


def cliffs_delta(first: Numbers, second: Numbers, *, confidence: float = 0.95) -> Estimate:
    """Return P(first > second) - P(first < second), from -1 to 1.

    N. Cliff: Dominance statistics. Psychological Bulletin 114 (1993) 494-509. It is twice the
    probability of improvement less one, and so is its interval.
    """
    found = measure_improvement(first, second, confidence=confidence)
    return Estimate(2 * found.value - 1, 2 * found.low - 1, 2 * found.high - 1)


def difference_of_means(first: Numbers, second: Numbers, *, confidence: float = 0.95) -> Estimate:
    """Return the difference of the means with Welch's interval, for groups of unequal spread.

    B. L. Welch: The generalization of Student's problem. Biometrika 34 (1947) 28-35.
    """
    if not len(first) or not len(second):
        return Estimate(math.nan)
    value = float(first.mean() - second.mean())
    n, m = len(first), len(second)
    if n < 2 or m < 2:  # noqa: PLR2004 - no spread
        return Estimate(value)
    a, b = first.var(ddof=1) / n, second.var(ddof=1) / m
    if a + b == 0:
        return Estimate(value, value, value)
    freedom = (a + b) ** 2 / (a * a / (n - 1) + b * b / (m - 1))
    half = _t(confidence, freedom) * math.sqrt(a + b)
    return Estimate(value, value - half, value + half)


def mean_of_differences(differences: Numbers, *, confidence: float = 0.95) -> Estimate:
    """Return the mean of paired differences with Student's interval."""
    size = len(differences)
    if not size:
        return Estimate(math.nan)
    value = float(differences.mean())
    if size < 2:  # noqa: PLR2004 - no spread
        return Estimate(value)
    half = _t(confidence, size - 1) * float(differences.std(ddof=1)) / math.sqrt(size)
    return Estimate(value, value - half, value + half)


def name_size(effect: float) -> str:
    """Return Cohen's word for a standardised difference."""
    if math.isnan(effect):
        return ""
    return next((word for limit, word in _SIZES if abs(effect) < limit), "large")


def _unbias(freedom: int) -> float:
    gamma = math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2) if freedom > 1 else -math.inf
    return math.exp(gamma - 0.5 * math.log(freedom / 2))


def _divide(difference: float, spread: float) -> float:
    if spread > 0:
        return difference / spread
    return 0.0 if difference == 0 else math.copysign(math.inf, difference)


def _z(confidence: float) -> float:
    from scipy.special import ndtri  # noqa: PLC0415 - pages that ask for nothing load nothing

    return float(ndtri(0.5 + confidence / 2))


def _t(confidence: float, freedom: float) -> float:
    from scipy.special import stdtrit  # noqa: PLC0415 - as above

    return float(np.asarray(stdtrit(freedom, 0.5 + confidence / 2)))
