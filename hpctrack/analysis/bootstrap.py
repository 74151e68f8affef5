"""Confidence intervals by drawing again from what was measured. Pure; the same seed, the same ends.

B. Efron, R. Tibshirani: An introduction to the bootstrap. Chapman & Hall 1993, chapters 13 and 14.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from hpctrack.analysis.samples import Numbers

RESAMPLES = 2_000
"""The ends of a 95 % interval then move by about 2 % of its width from seed to seed."""

Statistic = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
"""Takes shape (..., n) and returns shape (...): one number for each row."""

JACKKNIFE_MAX = 1_000
"""Values that are left out one by one for BCa, which corrects what large samples do not have."""

RESAMPLES_LEAST = 500
"""Of a sample so large that all resamples would be more than `BLOCK_NUMBERS`."""

BLOCK_NUMBERS = 4_000_000
"""Numbers drawn at a time: 32 MB, whatever the size of the sample."""


class Interval(StrEnum):
    """How the ends of an interval are chosen."""

    PERCENTILE = "percentile"
    """The quantiles of what was drawn."""
    BCA = "bca"
    """The same, corrected for bias and skew: better for few runs, but three is too few for it."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and where it may lie.

    Parameters
    ----------
    value : float
    low, high : float
        The ends of the interval; NaN if nothing can be said, as of one run.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")


def bootstrap(
    values: Numbers,
    statistic: Statistic,
    *,
    confidence: float = 0.95,
    interval: Interval = Interval.BCA,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return a statistic of a sample and its confidence interval.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    statistic : callable
        Of the last axis.
    confidence : float, optional
        Between 0 and 1.
    interval : Interval, optional
        BCA falls back to the percentiles where it is not defined, as all values drawn are alike,
        and above `JACKKNIFE_MAX` values.
    resamples : int, optional
        Fewer, down to `RESAMPLES_LEAST`, of a sample of more than 2,000 values.
    seed : int, optional

    Notes
    -----
    The draws are those of ``scipy.stats.bootstrap`` with ``rng=default_rng(seed)``, so the two
    agree to rounding. BCa is equation 14.9 and 14.10 of Efron and Tibshirani, its acceleration the
    jackknife's, 14.15.
    """
    if not len(values):
        return Estimate(float("nan"))
    value = float(statistic(values))
    if len(values) < 2:  # noqa: PLR2004 - one value has no spread
        return Estimate(value)
    resamples = min(resamples, max(RESAMPLES_LEAST, BLOCK_NUMBERS // len(values)))
    drawn = _draw(values, statistic, resamples, np.random.default_rng(seed))
    levels = (0.5 - confidence / 2, 0.5 + confidence / 2)
    if interval == Interval.BCA and len(values) <= JACKKNIFE_MAX:
        levels = _correct(levels, drawn, value, _jackknife(values, statistic))
    low, high = np.quantile(drawn, levels)
    return Estimate(value, float(low), float(high))


def _draw(
    values: Numbers, statistic: Statistic, resamples: int, rng: np.random.Generator
) -> Numbers:
    rows = max(1, BLOCK_NUMBERS // len(values))
    parts = []
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        parts.append(statistic(values[rng.integers(0, len(values), (count, len(values)))]))
    return np.concatenate(parts).astype(np.float64)


def _jackknife(values: Numbers, statistic: Statistic) -> Numbers:
    """Return the statistic without each of the values in turn."""
    size = len(values)
    places = np.nonzero(~np.eye(size, dtype=bool))[1].reshape(size, size - 1)
    return np.asarray(statistic(values[places]), dtype=np.float64)


def _correct(
    levels: tuple[float, float], drawn: Numbers, value: float, jackknife: Numbers
) -> tuple[float, float]:
    from scipy.special import ndtr, ndtri  # noqa: PLC0415 - pages that ask for nothing load nothing

    share = ((drawn < value).sum() + (drawn <= value).sum()) / (2 * len(drawn))
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers near 1e300
        leaning = jackknife.mean() - jackknife
        spread = (leaning**2).sum() ** 1.5
    if not 0 < spread < np.inf or not 0 < share < 1:
        return levels
    bias, acceleration = ndtri(share), (leaning**3).sum() / (6 * spread)

    def move(level: float) -> float:
        z = bias + ndtri(level)
        return float(ndtr(bias + z / (1 - acceleration * z)))

    low, high = move(levels[0]), move(levels[1])
    return (low, high) if np.isfinite(low) and np.isfinite(high) else levels
