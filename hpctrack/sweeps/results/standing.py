"""How good each configuration is: the mean over its repeats. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.schema.command import iter_flat
from hpctrack.sweeps.worker.result import TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One configuration and what its repeats have reached.

    Parameters
    ----------
    configuration : int
        Which.
    trials : tuple of TrialStatus
        All of its repeats that have begun or wait, by number.
    finished : tuple of TrialStatus
        Those that finished with a value of each metric; it is judged by them.
    values : dict of str to float
        Mean of each metric over the finished ones, also of those that constraints need; empty if
        there are none.
    spreads : dict of str to float
        Standard deviation of a sample; empty below two.
    """

    configuration: int
    trials: tuple[TrialStatus, ...]
    finished: tuple[TrialStatus, ...]
    values: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """What all repeats have in common, by dotted name: all but the seed."""
        first, *others = (dict(iter_flat(one.parameters)) for one in self.trials)
        return {
            name: value
            for name, value in first.items()
            if all(name in one and one[name] == value for one in others)
        }

    def best_trial(self, metric: str, goal: str) -> TrialStatus:
        """Return the finished repeat with the best value; there must be one."""
        sign = 1.0 if goal == "minimize" else -1.0
        return min(self.finished, key=lambda one: (sign * one.values[metric], one.number))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "configuration": self.configuration,
            "parameters": self.parameters,
            "metrics": self.values,
            "spreads": self.spreads,
            "finished": [one.number for one in self.finished],
            "trials": [one.number for one in self.trials],
        }


def judge_configurations(
    status: SweepStatus, *, state: TrialState = TrialState.FINISHED
) -> list[Standing]:
    """Return how good each configuration is, by number.

    Parameters
    ----------
    status : SweepStatus
        Of which sweep.
    state : TrialState, optional
        By trials that ended so.
    """
    names = [one.name for one in status.sweep.file.metrics]
    groups: dict[int, list[TrialStatus]] = {}
    for one in status.trials:
        groups.setdefault(one.configuration, []).append(one)
    return [_judge(number, groups[number], names, state) for number in sorted(groups)]


def pick_comparable(standings: Iterable[Standing]) -> list[Standing]:
    """Return the configurations that can be compared: those with the most finished repeats.

    A mean of five is not beaten by one lucky repeat of a configuration that still runs.
    """
    found = [one for one in standings if one.finished]
    most = max((len(one.finished) for one in found), default=0)
    return [one for one in found if len(one.finished) == most]


def _judge(
    number: int, trials: Sequence[TrialStatus], names: Sequence[str], state: TrialState
) -> Standing:
    finished = tuple(
        one
        for one in trials
        if one.state == state
        and all(math.isfinite(one.values.get(name, math.nan)) for name in names)
    )
    known = list(dict.fromkeys(name for one in finished for name in one.values))
    columns = {
        name: [one.values[name] for one in finished]
        for name in known
        if all(name in one.values for one in finished)
    }
    return Standing(
        configuration=number,
        trials=tuple(trials),
        finished=finished,
        values={name: fmean(column) for name, column in columns.items()},
        spreads={name: stdev(column) for name, column in columns.items() if len(column) > 1},
    )
