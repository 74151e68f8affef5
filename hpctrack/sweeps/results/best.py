"""Which trial was the best."""

from __future__ import annotations

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.worker.result import TrialState


def find_best(status: SweepStatus) -> TrialStatus:
    """Return the finished trial with the best metric.

    Raises
    ------
    UsageError
        The sweep's file names no metric.
    NotFoundError
        No finished trial has it.
    """
    metric = status.sweep.file.metric
    if metric is None:
        raise UsageError(
            f"sweep {status.sweep.id} has no metric", hint="give `metric: {name, goal}` in the file"
        )
    scored = [
        (one.metric, one)
        for one in status.trials
        if one.state == TrialState.FINISHED and one.metric is not None
    ]
    if not scored:
        raise NotFoundError(
            f"no finished trial of sweep {status.sweep.id} has logged {metric.name!r}",
            hint=f"`hpctrack sweep status {status.sweep.id}` shows how they stand",
        )
    sign = 1.0 if metric.goal == "minimize" else -1.0
    return min(scored, key=lambda pair: (sign * pair[0], pair[1].number))[1]
