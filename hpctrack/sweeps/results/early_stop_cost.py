"""What early stopping would have cost: how well early values foretell the end. Pure.

Only curves of trials that ran to their end can tell. How a ranking at an iteration agrees with
the final one is said by Spearman's and Kendall's coefficients; what a rule would have saved, and
missed, by playing the sweep again under it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from hpctrack.errors import UsageError

MIN_CURVES = 3
"""A ranking of two says nothing."""


class Rule(Protocol):
    """What is asked whether a trial ends; trials are counted from 0."""

    def decide(self, at: int, iteration: int, value: float) -> bool:
        """Hear of a trial's value at an iteration, and tell whether the trial ends."""

    def end(self, at: int, final: float | None) -> None:
        """Hear how a trial ended: with its final value, or, None, stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCurve:
    """A trial that ran to its end.

    Parameters
    ----------
    number : int
        Of the trial.
    values : tuple of float
        One for each iteration, the first at index 0.
    final : float
        What it is judged by in the end.
    """

    number: int
    values: tuple[float, ...]
    final: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RungCost:
    """How well the ranking at one iteration agrees with the final one.

    Parameters
    ----------
    iteration : int
        Which.
    curves : int
        How many trials reached it.
    spearman, kendall : float
        1: the same order; 0: no relation; -1: the opposite. NaN if all are equal.
    place_of_best : int
        Place at this iteration of the trial that is best in the end, 1 for the best: a rule has
        to keep at least as many.
    """

    iteration: int
    curves: int
    spearman: float
    kendall: float
    place_of_best: int

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a rule would have done with the trials of a sweep.

    Parameters
    ----------
    rule : str
        Which.
    workers : int
        How many trials ran at a time.
    trials, stopped : int
        How many there were, and how many the rule would have stopped.
    iterations, all_iterations : int
        How many would have run, and how many did.
    best, best_trial : float, int
        The best final value, and whose it is.
    best_found, found_trial : float or None, int or None
        The same of the trials that would not have been stopped; None if every trial would have.
    place_found : int or None
        Place of the trial found in the true ranking, 1 for the best.
    """

    rule: str
    workers: int
    trials: int
    stopped: int
    iterations: int
    all_iterations: int
    best: float
    best_trial: int
    best_found: float | None
    found_trial: int | None
    place_found: int | None

    @property
    def saved_share(self) -> float:
        """Which part of the iterations would not have run, 0 to 1."""
        return 1.0 - self.iterations / self.all_iterations

    @property
    def regret(self) -> float | None:
        """How much worse the trial found is than the best, in the metric's unit; 0 or above."""
        return None if self.best_found is None else abs(self.best_found - self.best)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {**asdict(self), "saved_share": self.saved_share, "regret": self.regret}


def list_rungs(curves: Sequence[FinishedCurve], factor: float = 2.0, first: int = 1) -> list[int]:
    """Return iterations that grow by a factor, up to the one before the longest curve's end."""
    longest = max((len(one.values) for one in curves), default=0)
    rungs: list[int] = []
    at = float(first)
    while round(at) < longest:
        if not rungs or round(at) > rungs[-1]:
            rungs.append(round(at))
        at *= factor
    return rungs


def correlate_rungs(
    curves: Sequence[FinishedCurve], rungs: Sequence[int], *, goal: str = "minimize"
) -> list[RungCost]:
    """Return how well the ranking at each iteration foretells the final one.

    Parameters
    ----------
    curves : sequence of FinishedCurve
        At least three.
    rungs : sequence of int
        Iterations, from 1; those that fewer than three trials reached are left out.
    goal : {"minimize", "maximize"}
        Which way is better.

    Raises
    ------
    UsageError
        Too few curves.
    """
    _check(curves)
    from scipy import stats  # noqa: PLC0415 - 0.3 s that only this needs

    sign = -1.0 if goal == "maximize" else 1.0
    found = []
    for rung in rungs:
        there = [one for one in curves if len(one.values) >= rung]
        if len(there) < MIN_CURVES:
            continue
        early = _ranked(np.array([sign * one.values[rung - 1] for one in there]))
        final = np.array([sign * one.final for one in there])
        is_varied = np.ptp(early) > 0 and np.ptp(final) > 0
        best = min(range(len(there)), key=lambda at: (final[at], there[at].number))
        found.append(
            RungCost(
                iteration=rung,
                curves=len(there),
                spearman=float(stats.spearmanr(early, final)[0]) if is_varied else float("nan"),
                kendall=float(stats.kendalltau(early, final)[0]) if is_varied else float("nan"),
                place_of_best=1 + int((early < early[best]).sum()),
            )
        )
    return found


def replay(
    curves: Sequence[FinishedCurve],
    rule: Rule,
    *,
    name: str = "",
    goal: str = "minimize",
    workers: int = 1,
) -> Replay:
    """Play a sweep again under a rule, every iteration taking the same time.

    Parameters
    ----------
    curves : sequence of FinishedCurve
        In the order in which the trials begin; at least three.
    rule : Rule
        What is asked.
    name : str, optional
        Of the rule.
    goal : {"minimize", "maximize"}
        Which way is better.
    workers : int, optional
        How many trials run at a time: a rule knows less where many run side by side.

    Raises
    ------
    UsageError
        Too few curves.
    """
    _check(curves)
    ended = _run_all(curves, rule, max(workers, 1))
    sign = -1.0 if goal == "maximize" else 1.0
    order = sorted(range(len(curves)), key=lambda at: (sign * curves[at].final, curves[at].number))
    kept = [at for at in order if not ended[at][1]]
    found = kept[0] if kept else None
    return Replay(
        rule=name,
        workers=max(workers, 1),
        trials=len(curves),
        stopped=len(curves) - len(kept),
        iterations=sum(count for count, _ in ended.values()),
        all_iterations=sum(len(one.values) for one in curves),
        best=curves[order[0]].final,
        best_trial=curves[order[0]].number,
        best_found=None if found is None else curves[found].final,
        found_trial=None if found is None else curves[found].number,
        place_found=None if found is None else 1 + order.index(found),
    )


def _run_all(
    curves: Sequence[FinishedCurve], rule: Rule, workers: int
) -> dict[int, tuple[int, bool]]:
    """Return for each curve how many iterations ran, and whether it was stopped."""
    ended: dict[int, tuple[int, bool]] = {}
    waiting = iter(range(len(curves)))
    begun = list(itertools.islice(waiting, workers))
    # Time, curve, iteration: of trials that report at the same time the earlier one is first.
    running = [(1, at, 1) for at in begun]
    while running:
        now, at, iteration = heapq.heappop(running)
        values = curves[at].values
        is_last = iteration >= len(values)
        # A rule cannot save anything in the last iteration: the trial has ended by then.
        is_stopped = rule.decide(at, iteration, values[iteration - 1]) and not is_last
        if not is_last and not is_stopped:
            heapq.heappush(running, (now + 1, at, iteration + 1))
            continue
        ended[at] = (iteration, is_stopped)
        rule.end(at, None if is_stopped else curves[at].final)
        following = next(waiting, None)
        if following is not None:
            heapq.heappush(running, (now + 1, following, 1))
    return ended


def _ranked(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, Any]:
    """Return values without NaN: one that is no number is worse than all others."""
    finite = values[np.isfinite(values)]
    worst = finite.max() + 1.0 if len(finite) else 0.0
    return np.where(np.isnan(values), worst, values)


def _check(curves: Sequence[FinishedCurve]) -> None:
    if len(curves) < MIN_CURVES:
        raise UsageError(
            f"{len(curves)} finished trials with a curve are too few to compare rankings",
            hint=f"it takes {MIN_CURVES} that ran to their end: sweep some without early_terminate",
        )
