"""Groups over several tasks and seeds: aggregates, profiles, improvement. Pure.

R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare: Deep reinforcement learning
at the edge of the statistical precipice. NeurIPS 2021, arXiv:2108.13264. Intervals are those of
its stratified bootstrap (section 4.1): runs are drawn again within each task, and the ends are
percentiles. Numbers of runs may differ from task to task, which the paper does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from hpctrack.analysis.averages import interquartile_mean
from hpctrack.analysis.bootstrap import BLOCK_NUMBERS, RESAMPLES, RESAMPLES_LEAST, Estimate
from hpctrack.analysis.samples import Numbers

Tasks = Sequence[np.ndarray[Any, Any]]
"""The scores of one group: an array for each task, whose last axis are its runs."""

TaskStatistic = Callable[[Tasks], np.ndarray[Any, Any]]

TARGET = 1.0
"""The score from which on more is not rewarded, gamma of the optimality gap."""


class Aggregate(StrEnum):
    """Which number stands for all tasks of a group."""

    IQM = "iqm"
    MEDIAN = "median"
    MEAN = "mean"
    GAP = "gap"


class Scaling(StrEnum):
    """How scores of several tasks become comparable."""

    RANGE = "range"
    """0 is the worst run of a task, 1 the best, of all groups."""
    NONE = "none"
    """They are already."""


def scale_scores(
    groups: Sequence[Sequence[Numbers]], scaling: Scaling, *, is_higher_better: bool = True
) -> list[list[Numbers]]:
    """Return scores of which more is better, comparable from task to task.

    Parameters
    ----------
    groups : sequence of sequence of ndarray of float64, shape (n,)
        For each group its tasks, in the same order.
    scaling : Scaling
        A task in which all runs are alike is scaled to 1.
    is_higher_better : bool, optional
        If not, the ends of the range change places, or signs are changed.
    """
    sign = 1.0 if is_higher_better else -1.0
    signed = [[sign * one for one in tasks] for tasks in groups]
    if scaling == Scaling.NONE:
        return signed
    ends = []
    for task in zip(*signed, strict=True):
        together = np.concatenate(task)
        ends.append((together.min(), together.max()))
    return [
        [
            (one - low) / (high - low) if high > low else np.ones_like(one)
            for one, (low, high) in zip(tasks, ends, strict=True)
        ]
        for tasks in signed
    ]


def task_iqm(tasks: Tasks) -> np.ndarray[Any, Any]:
    """Return the mean of the middle half of all runs of all tasks (section 4.3)."""
    return interquartile_mean(np.concatenate(list(tasks), axis=-1))


def task_mean(tasks: Tasks) -> np.ndarray[Any, Any]:
    """Return the mean over the tasks of their means."""
    return np.asarray(_means(tasks).mean(axis=-1))


def task_median(tasks: Tasks) -> np.ndarray[Any, Any]:
    """Return the median over the tasks of their means."""
    return np.asarray(np.median(_means(tasks), axis=-1))


def optimality_gap(tasks: Tasks) -> np.ndarray[Any, Any]:
    """Return by how much runs miss `TARGET` on average over the tasks (section 4.3); 0 is best."""
    return TARGET - task_mean([np.minimum(one, TARGET) for one in tasks])


AGGREGATES: dict[Aggregate, TaskStatistic] = {
    Aggregate.IQM: task_iqm,
    Aggregate.MEDIAN: task_median,
    Aggregate.MEAN: task_mean,
    Aggregate.GAP: optimality_gap,
}


def bootstrap_strata(
    tasks: Sequence[Numbers],
    statistic: TaskStatistic,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return a statistic of several tasks together, and its interval.

    Parameters
    ----------
    tasks : sequence of ndarray of float64, shape (n,)
        The runs of each task, scaled so that tasks can be put together.
    statistic : callable
        Of the tasks; along the last axis.
    confidence, resamples, seed : optional

    Notes
    -----
    The draws are those of ``scipy.stats.bootstrap`` with several samples that are not paired and
    ``rng=default_rng(seed)``.
    """
    known = [one for one in tasks if len(one)]
    if not known:
        return Estimate(float("nan"))
    value = float(statistic(known))
    if all(len(one) < 2 for one in known):  # noqa: PLR2004 - nothing to draw from
        return Estimate(value)
    rng = np.random.default_rng(seed)
    rows = _count_resamples(resamples, known)
    drawn = statistic([one[rng.integers(0, len(one), (rows, len(one)))] for one in known])
    return Estimate(value, *_find_ends(drawn, confidence))


def improve_over_tasks(
    first: Sequence[Numbers],
    second: Sequence[Numbers],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return P(a run of the first beats one of the second on the same task), ties counted half.

    Notes
    -----
    The mean over the tasks of Mann and Whitney's U over n m: the average probability of
    improvement of section 4.3; the runs of both groups are drawn again.
    """
    pairs = [(ours, theirs) for ours, theirs in zip(first, second, strict=True)]
    if not pairs or any(not len(one) for pair in pairs for one in pair):
        return Estimate(float("nan"))
    wins = [_compare(ours, theirs) for ours, theirs in pairs]
    value = float(np.mean([one.mean() for one in wins]))
    if all(len(one) < 2 for pair in pairs for one in pair):  # noqa: PLR2004 - as above
        return Estimate(value)
    rng = np.random.default_rng(seed)
    rows = _count_resamples(resamples, [one for pair in pairs for one in pair])
    drawn = np.zeros(rows)
    for one in wins:
        ours, theirs = (_draw_weights(size, rows, rng) for size in one.shape)
        drawn += ((ours @ one) * theirs).sum(axis=1)
    return Estimate(value, *_find_ends(drawn / len(wins), confidence))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """A performance profile: which share of the runs has more than each score.

    Parameters
    ----------
    scores, share, low, high : ndarray of float64, shape (n,)
        ``low`` and ``high`` are the ends of a pointwise interval; NaN of one run per task.
    """

    scores: Numbers
    share: Numbers
    low: Numbers
    high: Numbers


def make_profile(
    tasks: Sequence[Numbers],
    scores: Numbers,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Profile:
    """Return the share of runs above each score, the mean over the tasks.

    Notes
    -----
    The run-score distribution of section 4.2, with its pointwise bands.
    """
    above = [(one[:, None] > scores).astype(np.float64) for one in tasks]
    share = np.mean([one.mean(axis=0) for one in above], axis=0)
    ends = np.full((2, len(scores)), np.nan)
    if any(len(one) > 1 for one in tasks):
        rng = np.random.default_rng(seed)
        rows = _count_resamples(resamples, tasks)
        drawn = np.zeros((rows, len(scores)))
        for one in above:
            drawn += _draw_weights(len(one), rows, rng) @ one
        levels = (0.5 - confidence / 2, 0.5 + confidence / 2)
        ends = np.quantile(drawn / len(above), levels, axis=0)
    return Profile(scores=scores, share=share, low=ends[0], high=ends[1])


def _means(tasks: Tasks) -> np.ndarray[Any, Any]:
    return np.stack([one.mean(axis=-1) for one in tasks], axis=-1)


def _compare(ours: Numbers, theirs: Numbers) -> Numbers:
    """Return 1 where a run beats one of the others, a half where they are equal."""
    beaten, equal = ours[:, None] > theirs, ours[:, None] == theirs
    return np.asarray(beaten + equal / 2.0, dtype=np.float64)


def _draw_weights(size: int, rows: int, rng: np.random.Generator) -> Numbers:
    """Return how large a part of each resample every run is, shape (rows, size)."""
    counts = rng.multinomial(size, np.full(size, 1.0 / size), rows)
    return np.asarray(counts, dtype=np.float64) / size


def _count_resamples(wanted: int, samples: Sequence[Numbers]) -> int:
    return min(wanted, max(RESAMPLES_LEAST, BLOCK_NUMBERS // sum(map(len, samples))))


def _find_ends(drawn: np.ndarray[Any, Any], confidence: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, (0.5 - confidence / 2, 0.5 + confidence / 2))
    return float(low), float(high)
