"""What early stopping would have cost a sweep: its finished curves put to the rules."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hpctrack.errors import SweepFileError, UsageError
from hpctrack.sweeps.results.curves import Curve
from hpctrack.sweeps.results.early_stop_cost import (
    FinishedCurve,
    Replay,
    RungCost,
    correlate_rungs,
    list_rungs,
    replay,
)
from hpctrack.sweeps.results.importance import choose_metric
from hpctrack.sweeps.results.trial_status import SweepStatus
from hpctrack.sweeps.schema.document import wrap_plain
from hpctrack.sweeps.schema.early_block import EarlyStop, parse_early
from hpctrack.sweeps.search.packages import demand_packages
from hpctrack.sweeps.worker.result import TrialState

STANDARD_ETAS = (2, 3, 4)
"""What hyperband keeps of a band: a half, a third (W&B's default) or a quarter."""

MAX_REPLAYED = 1_000
"""A rule looks at all earlier trials each time: more take minutes and say nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopReport:
    """What early stopping would have cost.

    Parameters
    ----------
    metric, goal : str
        What trials are judged by.
    curves : int
        How many trials ran to their end and have a curve without a gap.
    pruned : int
        How many were stopped early in truth; nothing can be said about those.
    rungs : tuple of RungCost
        How well early values foretell the end.
    replays : tuple of Replay
        What each rule would have saved and missed.
    """

    metric: str
    goal: str
    curves: int
    pruned: int
    rungs: tuple[RungCost, ...]
    replays: tuple[Replay, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            **asdict(self),
            "rungs": [one.to_json() for one in self.rungs],
            "replays": [one.to_json() for one in self.replays],
        }


def report_early_stop(
    status: SweepStatus,
    curves: Sequence[Curve],
    rules: Sequence[tuple[str, EarlyStop]] = (),
    *,
    workers: int | None = None,
) -> EarlyStopReport:
    """Put the finished curves of a sweep to early-stopping rules.

    Parameters
    ----------
    status : SweepStatus
        How the sweep stands.
    curves : sequence of Curve
        Of its first metric.
    rules : sequence of (str, EarlyStop), optional
        Name and rule. Default: the sweep's own, if it has one, and hyperband with eta 2, 3 and 4.
    workers : int, optional
        How many trials run at a time. Default: as many as different workers ran them.

    Raises
    ------
    UsageError
        The sweep has no metric, or fewer than three trials with a whole curve.
    SweepError
        A rule's numbers make no sense.
    """
    demand_packages()
    from hpctrack.sweeps.search.replay import AskedRule  # noqa: PLC0415 - half a second for Optuna

    metric = choose_metric(status)
    finished = find_finished(status, curves)
    rungs = correlate_rungs(finished, list_rungs(finished), goal=metric.goal)
    played = finished[:MAX_REPLAYED]
    replays = [
        replay(
            played,
            AskedRule(rule, len(played), goal=metric.goal),
            name=name,
            goal=metric.goal,
            workers=workers or count_workers(status),
        )
        for name, rule in rules or list_standard_rules(status)
    ]
    return EarlyStopReport(
        metric=metric.name,
        goal=metric.goal,
        curves=len(finished),
        pruned=sum(one.state == TrialState.PRUNED for one in status.trials),
        rungs=tuple(rungs),
        replays=tuple(replays),
    )


def find_finished(status: SweepStatus, curves: Sequence[Curve]) -> list[FinishedCurve]:
    """Return the curves without a gap of the trials that finished with a value."""
    finals = {one.number: one.metric for one in status.trials if one.state == TrialState.FINISHED}
    found = []
    for curve in curves:
        final = finals.get(curve.number)
        if final is not None and curve.is_complete and math.isfinite(final):
            values = tuple(curve.values.tolist())
            found.append(FinishedCurve(number=curve.number, values=values, final=final))
    return found


def list_standard_rules(status: SweepStatus) -> list[tuple[str, EarlyStop]]:
    """Return the sweep's own rule, if it has one, and hyperband as people use it."""
    early = status.sweep.file.early
    own = [(f"{early.kind} of the sweep", early)] if early and early.kind != "wilcoxon" else []
    return own + [parse_rule(f"hyperband,min_iter=1,eta={eta}") for eta in STANDARD_ETAS]


def parse_rule(text: str) -> tuple[str, EarlyStop]:
    """Read a rule as people type it: ``asha,min_iter=2,eta=3``, by the sweep file's names.

    Raises
    ------
    UsageError
        It is not one.
    """
    kind, *options = (one.strip() for one in text.split(","))
    config: dict[str, Any] = {"type": kind}
    for option in options:
        name, sign, value = option.partition("=")
        if not sign:
            raise UsageError(f"the rule {text!r} has an option without a value: {option!r}")
        try:
            config[name] = json.loads(value)
        except ValueError:
            config[name] = value
    try:
        return text, parse_early(wrap_plain(config, "the rule"), seeds=1)
    except SweepFileError as error:
        raise UsageError(f"the rule {text!r}: {error.message}", hint=error.hint) from None


def count_workers(status: SweepStatus) -> int:
    """Return how many different workers have run trials; at least 1."""
    results = [one.result for one in status.trials if one.result]
    seen = {one.worker or one.job or (one.host, one.pid) for one in results}
    return max(len(seen), 1)
