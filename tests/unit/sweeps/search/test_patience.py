"""A trial is given time, and not for ever."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from hpctrack.errors import SweepError
from hpctrack.sweeps.schema.sweep_file import EarlyStop
from hpctrack.sweeps.search.replay import AskedRule
from hpctrack.sweeps.search.rules import make_rule


def find_end(values: Sequence[float], *, goal: str = "minimize", **options: float) -> int:
    """Return the iteration at which a trial ends; 0 if it does not."""
    rule = AskedRule(EarlyStop("patient", options), 1, goal=goal)
    for iteration, value in enumerate(values, 1):
        if rule.decide(0, iteration, value):
            return iteration
    return 0


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_a_trial_that_stands_still_ends(goal: str) -> None:
    sign = 1.0 if goal == "minimize" else -1.0
    values = [sign * one for one in (3.0, 2.0, 2.0, 2.0, 2.0)]
    assert find_end(values, goal=goal, patience=2) == 4


def test_a_trial_that_creeps_ends_by_how_much_counts_as_better() -> None:
    creeping = [1.0 - 0.01 * at for at in range(20)]
    assert find_end(creeping, patience=3) == 0
    assert find_end(creeping, patience=3, min_delta=0.02) == 0
    assert find_end(creeping, patience=3, min_delta=0.05) == 4


def test_a_trial_whose_values_are_no_numbers_any_more_ends() -> None:
    assert find_end([1.0, math.nan, math.nan], patience=2) == 3


def test_no_patience_is_refused() -> None:
    with pytest.raises(SweepError, match="at least 1"):
        make_rule(EarlyStop("patient", {"patience": 0}))
