"""Which trial, or which configuration, was the best; of several metrics, which are."""

from __future__ import annotations

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.sweeps.results.pareto import find_front
from hpctrack.sweeps.results.standing import Standing, judge_configurations, pick_comparable
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.worker.result import TrialState


def find_best(status: SweepStatus) -> TrialStatus:
    """Return the finished trial with the best metric; with ``seeds``, of the best configuration.

    If none has finished, the best of those that were stopped early.

    Raises
    ------
    UsageError
        The sweep's file names no metric.
    NotFoundError
        No finished trial has it.
    """
    metric = status.sweep.file.metrics[0] if status.sweep.file.metrics else None
    winner = find_winners(status)[0]
    return winner.best_trial(metric.name, metric.goal) if metric else winner.finished[0]


def find_winners(status: SweepStatus) -> list[Standing]:
    """Return the best configuration, or with several metrics all on their Pareto front.

    A configuration is judged by the mean over its repeats, and only beside others of which as
    many have finished; those that violate a constraint on results do not count. The front is in
    the order of the first metric, the best first.

    Raises
    ------
    UsageError
        The sweep's file names no metric.
    NotFoundError
        No finished trial has it, or none fulfils the constraints.
    """
    metrics = status.sweep.file.metrics
    if not metrics:
        raise UsageError(
            f"sweep {status.sweep.id} has no metric", hint="give `metric: {name, goal}` in the file"
        )
    standings = pick_comparable(judge_configurations(status))
    if not standings:
        # Where a rule ends all trials, such as one that waits for them to stand still, the best is
        # among those.
        standings = pick_comparable(judge_configurations(status, state=TrialState.PRUNED))
    if not standings:
        names = " and ".join(repr(one.name) for one in metrics)
        raise NotFoundError(
            f"no finished trial of sweep {status.sweep.id} has logged {names}",
            hint=f"`hpctrack sweep status {status.sweep.id}` shows how they stand",
        )
    standings = [one for one in standings if _is_feasible(status, one)]
    if not standings:
        raise NotFoundError(
            f"no finished trial of sweep {status.sweep.id} fulfils its constraints",
            hint=f"`hpctrack sweep export {status.sweep.id}` has their results",
        )
    sign = 1.0 if metrics[0].goal == "minimize" else -1.0
    ordered = sorted(
        standings, key=lambda one: (sign * one.values[metrics[0].name], one.configuration)
    )
    if len(metrics) == 1:
        return ordered[:1]
    rows = [[one.values[metric.name] for metric in metrics] for one in ordered]
    return [ordered[at] for at in find_front(rows, [one.goal for one in metrics])]


def _is_feasible(status: SweepStatus, one: Standing) -> bool:
    violations = status.sweep.file.result_violations(one.finished[0].parameters, one.values)
    return all(violation <= 0 for violation in violations)
