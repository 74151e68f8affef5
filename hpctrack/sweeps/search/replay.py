"""A sweep's rule for ending trials early, asked about trials that are long over."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from hpctrack.sweeps.schema.sweep_file import EarlyStop
from hpctrack.sweeps.search.rules import BEST_KEY, make_rule
from hpctrack.sweeps.search.study import translated


class AskedRule:
    """The rule, and a study in memory that it looks at.

    Parameters
    ----------
    early : EarlyStop
        The rule.
    count : int
        How many trials there are; they are counted from 0.
    goal : {"minimize", "maximize"}
        Which way is better.

    Raises
    ------
    SweepError
        The rule's numbers make no sense.
    """

    def __init__(self, early: EarlyStop, count: int, *, goal: str = "minimize") -> None:
        with translated():
            self._rule = make_rule(early)
        self._study = _make_study(goal)
        self._trials = [self._study.ask() for _ in range(count)]
        self._best: dict[int, float] = {}
        self._choose = min if goal == "minimize" else max

    def decide(self, at: int, iteration: int, value: float) -> bool:
        """Hear of a value, and tell whether the trial ends."""
        self._best[at] = self._choose(self._best.get(at, value), value)
        if not self._rule.wants(iteration):
            return False
        self._trials[at].report(value, iteration)
        trial = self._study.get_trials(deepcopy=False)[at]
        trial.user_attrs[BEST_KEY] = self._best[at]
        with translated():
            return bool(self._rule.pruner.prune(self._study, trial))

    def end(self, at: int, final: float | None) -> None:
        """Hear how a trial ended: with its final value, or stopped."""
        if final is None:
            self._study.tell(self._trials[at], state=TrialState.PRUNED)
        else:
            self._study.tell(self._trials[at], final)


def _make_study(goal: str) -> optuna.Study:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction=goal)
    finally:
        optuna.logging.set_verbosity(before)
