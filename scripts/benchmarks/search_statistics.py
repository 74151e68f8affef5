"""How one engine's regrets stand to another's: by function, and in total."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Regrets = Mapping[str, Mapping[int, float]]
"""By function and seed."""

DRAWS = 4000
"""Of the bootstrap; the second digit of the interval no longer moves."""

FLOOR = 1e-12
"""Regrets below are rounding; their logarithm would say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One function.

    Parameters
    ----------
    ours, theirs : float
        Median regrets over the seeds that both have searched.
    seeds : int
        How many those are.
    wins : float
        Seeds in which ours is lower; a tie counts half.
    p_value : float
        Of Wilcoxon's signed-rank test of the logarithms, two-sided; NaN without seeds.
    """

    ours: float
    theirs: float
    seeds: int
    wins: float
    p_value: float

    @property
    def ratio(self) -> float:
        """How many times lower our median is."""
        return max(self.theirs, FLOOR) / max(self.ours, FLOOR)


def compare(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Comparison:
    """Compare the regrets of one function over the seeds that both have."""
    seeds = sorted(ours.keys() & theirs.keys())
    mine, yours = [ours[one] for one in seeds], [theirs[one] for one in seeds]
    return Comparison(
        ours=statistics.median(mine) if seeds else math.nan,
        theirs=statistics.median(yours) if seeds else math.nan,
        seeds=len(seeds),
        wins=sum(_score(a, b) for a, b in zip(mine, yours, strict=True)),
        p_value=_wilcoxon(mine, yours),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """All functions, each with the same weight.

    Parameters
    ----------
    improvement : float
        Probability that ours is lower at a function and seed drawn at random; a tie counts half.
    low, high : float
        95 % interval of it: bootstrap over the seeds within each function.
    speedup : float
        Geometric mean over the functions of their median divided by ours.
    """

    improvement: float
    low: float
    high: float
    speedup: float


def sum_up(ours: Regrets, theirs: Regrets, *, seed: int = 1) -> Total:
    """Compare over all functions that both have searched."""
    scores = {
        name: [
            _score(ours[name][one], theirs[name][one])
            for one in sorted(ours[name].keys() & theirs[name].keys())
        ]
        for name in ours
        if name in theirs
    }
    groups = [one for one in scores.values() if one]
    if not groups:
        return Total(improvement=math.nan, low=math.nan, high=math.nan, speedup=math.nan)
    generator = random.Random(seed)  # noqa: S311 - no secret
    draws = sorted(
        statistics.fmean(statistics.fmean(generator.choices(one, k=len(one))) for one in groups)
        for _ in range(DRAWS)
    )
    ratios = [compare(ours[name], theirs[name]).ratio for name, one in scores.items() if one]
    return Total(
        improvement=statistics.fmean(statistics.fmean(one) for one in groups),
        low=draws[int(DRAWS * 0.025)],
        high=draws[int(DRAWS * 0.975) - 1],
        speedup=statistics.geometric_mean(ratios),
    )


def mean_ranks(regrets: Mapping[str, Regrets]) -> dict[str, float]:
    """Return each engine's mean rank, 1 the best, where all engines have searched; ties share."""
    ranks: dict[str, list[float]] = {engine: [] for engine in regrets}
    functions = set.intersection(*(set(one) for one in regrets.values())) if regrets else set()
    for function in functions:
        seeds = set.intersection(*(set(one[function]) for one in regrets.values()))
        for seed in seeds:
            values = {engine: one[function][seed] for engine, one in regrets.items()}
            for engine, value in values.items():
                below = sum(other < value for other in values.values())
                alike = sum(other == value for other in values.values())
                ranks[engine].append(below + (alike + 1) / 2)
    return {engine: statistics.fmean(one) if one else math.nan for engine, one in ranks.items()}


def _score(ours: float, theirs: float) -> float:
    return 0.5 if ours == theirs else float(ours < theirs)


def _wilcoxon(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the p-value; of logarithms, because a regret of 100 would drown one of 0.001."""
    from scipy.stats import wilcoxon  # noqa: PLC0415 - a second, for whoever asks for help only

    differences = [
        math.log(max(a, FLOOR)) - math.log(max(b, FLOOR)) for a, b in zip(ours, theirs, strict=True)
    ]
    if not any(differences):
        return 1.0 if differences else math.nan
    return float(wilcoxon(differences).pvalue)
