"""Which points no other beats."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.errors import UsageError
from hpctrack.sweeps.results.pareto import find_front

ROWS = st.lists(
    st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 2.0, np.inf, np.nan])] * 3), max_size=12
)
GOALS = st.lists(st.sampled_from(["minimize", "maximize"]), min_size=3, max_size=3)


@given(rows=ROWS, goals=GOALS)
def test_the_front_is_what_comparing_all_pairs_finds(
    rows: list[tuple[float, ...]], goals: list[str]
) -> None:
    signs = [1 if goal == "minimize" else -1 for goal in goals]
    costs = [[sign * value for sign, value in zip(signs, row, strict=True)] for row in rows]

    def beats(one: list[float], other: list[float]) -> bool:
        pairs = list(zip(one, other, strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    slow = [
        at
        for at, cost in enumerate(costs)
        if not np.isnan(cost).any() and not any(beats(other, cost) for other in costs)
    ]
    assert find_front(rows, goals) == slow


def test_optuna_finds_the_same_front() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 2))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.add_trials([optuna.trial.create_trial(values=row.tolist()) for row in rows])
    theirs = sorted(one.number for one in study.best_trials)
    assert find_front(rows, ["minimize", "maximize"]) == theirs


def test_equal_points_are_all_on_the_front_and_one_column_is_the_minimum() -> None:
    assert find_front([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]], ["minimize"] * 2) == [0, 1]
    assert find_front([[3.0], [1.0], [1.0], [float("nan")]], ["minimize"]) == [1, 2]
    assert find_front([[3.0], [1.0]], ["maximize"]) == [0]


def test_nothing_and_nothing_that_can_be_compared_have_no_front() -> None:
    assert find_front([], ["minimize"]) == []
    assert find_front([[float("nan"), 1.0]], ["minimize"] * 2) == []


def test_a_goal_is_needed_for_each_metric() -> None:
    with pytest.raises(UsageError, match="2 metrics and 1 goals"):
        find_front([[1.0, 2.0]], ["minimize"])
