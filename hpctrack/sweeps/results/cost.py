"""What a sweep has used, what early stopping has saved, and how long the rest will take. Pure.

Savings are estimates: nobody knows how long a trial would have run that was stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from hpctrack.sweeps.worker.result import TrialState

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What one trial took.

    Parameters
    ----------
    state : TrialState
        How it stands.
    duration_s : float or None
        How long its last attempt ran, or has been running; None if nobody knows.
    earlier_s : float
        What earlier attempts took.
    iterations : int
        How often it reported the sweep's metric.
    pace_s : float or None
        Time from one report to the next; None if nobody knows.
    cpus, gpus : float or None
        What it had; None if nobody knows.
    """

    state: TrialState
    duration_s: float | None = None
    earlier_s: float = 0.0
    iterations: int = 0
    pace_s: float | None = None
    cpus: float | None = None
    gpus: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a sweep has used and saved.

    Parameters
    ----------
    used_s : float
        Time of all attempts of all trials together, running ones so far.
    cpu_hours, gpu_hours : float or None
        The same times the CPUs and GPUs of each; None if no trial knows how many it had.
    saved_s : float
        About how much longer the pruned trials would have run.
    saved_cpu_hours, saved_gpu_hours : float or None
        The same times their CPUs and GPUs.
    iterations : int
        How often all trials together reported the metric.
    saved_iterations : float
        About how much more often the pruned ones would have.
    pruned : int
        How many trials were pruned.
    estimated : int
        For how many of them something could be estimated: nothing can before a trial has
        finished.
    """

    used_s: float
    cpu_hours: float | None
    gpu_hours: float | None
    saved_s: float
    saved_cpu_hours: float | None
    saved_gpu_hours: float | None
    iterations: int
    saved_iterations: float
    pruned: int
    estimated: int

    @property
    def saved_share(self) -> float:
        """Which part of the time would have been needed more without early stopping, 0 to 1."""
        whole_s = self.used_s + self.saved_s
        return self.saved_s / whole_s if whole_s > 0 else 0.0

    @property
    def saved_iterations_share(self) -> float:
        """Which part of the iterations would have been needed more, 0 to 1."""
        whole = self.iterations + self.saved_iterations
        return self.saved_iterations / whole if whole > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            **asdict(self),
            "saved_share": self.saved_share,
            "saved_iterations_share": self.saved_iterations_share,
        }


def measure_cost(efforts: Sequence[Effort]) -> Cost:
    """Return what trials have used, and about what early stopping has saved.

    A pruned trial is taken to have gone on at its own pace, or at the median pace of the others if
    it was stopped before it had one, to the median number of iterations of the finished ones. Where
    nobody has a pace, how long a trial takes is taken to be a start and then the same for each
    iteration, both by all trials that ended well, and the pruned one as fast or slow beside others
    as it was so far. So a program that takes long to start is not counted as one that had much to
    go. Where iterations were not counted, the median duration of the finished trials is the
    measure.
    """
    finished = [one for one in efforts if one.state == TrialState.FINISHED]
    pruned = [one for one in efforts if one.state == TrialState.PRUNED]
    full = _Full(
        iterations=_find_median([one.iterations for one in finished if one.iterations]),
        duration_s=_find_median([one.duration_s for one in finished if one.duration_s is not None]),
        pace_s=_find_median([one.pace_s for one in (*finished, *pruned) if one.pace_s is not None]),
        course=_fit_course([*finished, *pruned]),
    )
    guessed = [(one, full.estimate_left_s(one)) for one in pruned]
    saved = [(one, left_s) for one, left_s in guessed if left_s is not None]
    used = [
        (one, one.earlier_s + (one.duration_s or 0.0))
        for one in efforts
        if one.duration_s is not None or one.earlier_s
    ]
    return Cost(
        used_s=math.fsum(duration_s for _, duration_s in used),
        cpu_hours=_sum_hours(used, lambda one: one.cpus),
        gpu_hours=_sum_hours(used, lambda one: one.gpus),
        saved_s=math.fsum(left_s for _, left_s in saved),
        saved_cpu_hours=_sum_hours(saved, lambda one: one.cpus),
        saved_gpu_hours=_sum_hours(saved, lambda one: one.gpus),
        iterations=sum(one.iterations for one in efforts),
        saved_iterations=math.fsum(
            max((full.iterations or 0.0) - one.iterations, 0.0) for one in pruned if one.iterations
        ),
        pruned=len(pruned),
        estimated=len(saved),
    )


def estimate_eta_s(efforts: Sequence[Effort], *, open_count: int, workers: int) -> float | None:
    """Return about how long the rest of a sweep takes, seconds; None if nothing can be said.

    The mean of what ended well is used, pruned trials included, and not the median: where most
    trials are pruned, the median is a pruned trial, and the few long ones make up the time.

    Parameters
    ----------
    efforts : sequence of Effort
        Of all trials that are known.
    open_count : int
        How many trials nobody was given yet.
    workers : int
        How many trials run at a time.
    """
    ended = [
        one.duration_s
        for one in efforts
        if one.state in {TrialState.FINISHED, TrialState.PRUNED} and one.duration_s is not None
    ]
    if not ended or workers < 1:
        return None
    mean_s = fmean(ended)
    waiting = sum(one.state == TrialState.WAITING for one in efforts)
    left_s = [
        max(mean_s - (one.duration_s or 0.0), 0.0)
        for one in efforts
        if one.state == TrialState.RUNNING
    ]
    spread_s = ((open_count + waiting) * mean_s + math.fsum(left_s)) / workers
    return max(spread_s, max(left_s, default=0.0))


@dataclass(frozen=True, slots=True)
class _Course:
    """How long a trial takes: a start, and so much for each iteration."""

    start_s: float
    pace_s: float

    def at(self, iterations: float) -> float:
        """Return how long it takes to get that far."""
        return self.start_s + self.pace_s * iterations


@dataclass(frozen=True, slots=True)
class _Full:
    """What a trial takes that runs to its end; None if none has."""

    iterations: float | None
    duration_s: float | None
    pace_s: float | None
    course: _Course | None

    def estimate_left_s(self, one: Effort) -> float | None:
        """Return how much longer a pruned trial would have run."""
        pace_s = self.pace_s if one.pace_s is None else one.pace_s
        if self.iterations is not None and pace_s is not None and one.iterations:
            return pace_s * max(self.iterations - one.iterations, 0.0)
        if one.duration_s is None:
            return None
        if self.iterations is not None and self.course is not None and one.iterations:
            so_far_s = self.course.at(one.iterations)
            whole_s = self.course.at(max(self.iterations, one.iterations))
            return one.duration_s * (whole_s / so_far_s - 1.0) if so_far_s > 0 else 0.0
        return None if self.duration_s is None else max(self.duration_s - one.duration_s, 0.0)


def _fit_course(efforts: Sequence[Effort]) -> _Course | None:
    """Return start and pace by least squares over the median duration at each end.

    Medians, because one trial on a slow node says nothing of the others. Neither is below 0.
    """
    groups: dict[int, list[float]] = {}
    for one in efforts:
        if one.iterations and one.duration_s is not None:
            groups.setdefault(one.iterations, []).append(one.duration_s)
    if not groups:
        return None
    points = [(count, median(spans), len(spans)) for count, spans in groups.items()]
    weight = sum(many for _, _, many in points)
    mean_count = sum(count * many for count, _, many in points) / weight
    mean_s = sum(span_s * many for _, span_s, many in points) / weight
    spread = sum(many * (count - mean_count) ** 2 for count, _, many in points)
    if spread > 0:
        shared = sum(
            many * (count - mean_count) * (span_s - mean_s) for count, span_s, many in points
        )
        pace_s = max(shared / spread, 0.0)
        start_s = mean_s - pace_s * mean_count
        if start_s >= 0:
            return _Course(start_s, pace_s)
    return _Course(0.0, mean_s / mean_count)


def _find_median(values: Sequence[float]) -> float | None:
    return float(median(values)) if values else None


def _sum_hours(
    pairs: Sequence[tuple[Effort, float]], count_of: Callable[[Effort], float | None]
) -> float | None:
    known = [(count, span_s) for one, span_s in pairs if (count := count_of(one)) is not None]
    return math.fsum(count * span_s for count, span_s in known) / HOUR_S if known else None
