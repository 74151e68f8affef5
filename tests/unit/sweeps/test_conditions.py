"""Parameters that are there only sometimes, and points that constraints forbid."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.errors import SweepError, SweepFileError
from hpctrack.sweeps.schema import grid, space
from hpctrack.sweeps.schema.expression import parse_constraint
from hpctrack.sweeps.schema.space import (
    Choice,
    Condition,
    Dimension,
    Distribution,
    IntUniform,
    QUniform,
    Space,
    Uniform,
)
from hpctrack.sweeps.schema.sweep_file import parse_sweep_file

OPTIMIZER = Dimension(("optimizer",), Choice(("adam", "sgd")))
MOMENTUM = Dimension(("momentum",), Uniform(0, 1), (Condition("optimizer", ("sgd",)),))


def by_hand(searched: Space) -> list[dict[str, Any]]:
    """Return the grid's points by listing all combinations, each once."""
    points: dict[str, dict[str, Any]] = {}
    levels = [
        [one.distribution.level(at) for at in range(one.distribution.size() or 0)]
        for one in searched.dimensions
    ]
    for combination in itertools.product(*levels):
        values: dict[str, Any] = {}
        for one, value in zip(searched.dimensions, combination, strict=True):
            if one.is_active(values):
                values[one.name] = value
        point = searched.nest(values)
        if searched.holds(values):
            points.setdefault(repr(point), point)  # repr, because true and 1 are equal
    return list(points.values())


def all_points(searched: Space) -> list[dict[str, Any]]:
    return [searched.grid_point(at) for at in range(searched.grid_size() or 0)]


def test_a_condition_that_fails_leaves_the_parameter_out() -> None:
    searched = Space((OPTIMIZER, MOMENTUM))
    points = [searched.random_point(1, at) for at in range(100)]
    assert {("momentum" in one) == (one["optimizer"] == "sgd") for one in points} == {True}
    assert {one["optimizer"] for one in points} == {"adam", "sgd"}


def test_a_condition_does_not_change_the_values_of_others() -> None:
    free = Space((OPTIMIZER, Dimension(("momentum",), Uniform(0, 1))))
    bound = Space((OPTIMIZER, MOMENTUM))
    for at in range(50):
        one, other = free.random_point(1, at), bound.random_point(1, at)
        assert other["optimizer"] == one["optimizer"]
        assert other.get("momentum", one["momentum"]) == one["momentum"]


def test_a_grid_has_each_point_once() -> None:
    searched = Space(
        (
            OPTIMIZER,
            Dimension(("momentum",), Choice((0.0, 0.9)), (Condition("optimizer", ("sgd",)),)),
            Dimension(("nesterov",), Choice((True, False)), (Condition("momentum", (0.9,)),)),
            Dimension(("seed",), IntUniform(0, 1)),
        )
    )
    assert all_points(searched) == by_hand(searched)
    assert searched.grid_size() == 8
    assert searched.grid_point(7) == {
        "optimizer": "sgd", "momentum": 0.9, "nesterov": False, "seed": 1,
    }  # fmt: skip


KINDS: list[Distribution] = [
    Choice((1, 2, 2)),
    Choice((0, True, False)),
    IntUniform(0, 3),
    QUniform(0, 1, 0.5),
    Choice((5,)),
]


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Return a small space with conditions, and perhaps a constraint."""
    dimensions: list[Dimension] = []
    for at in range(draw(st.integers(1, 5))):
        distribution = draw(st.sampled_from(KINDS))
        conditions = []
        for other in dimensions:
            if draw(st.integers(0, 3)) == 0:
                levels = range(other.distribution.size() or 0)
                chosen = draw(st.lists(st.sampled_from(levels), min_size=1, max_size=2))
                values = tuple(other.distribution.level(one) for one in chosen)
                conditions.append(Condition(other.name, values))
        dimensions.append(Dimension((f"p{at}",), distribution, tuple(conditions)))
    limit = draw(st.none() | st.integers(0, 6))
    total = " + ".join(one.name for one in dimensions)
    constraints = () if limit is None else (parse_constraint(f"{total} <= {limit}"),)
    return Space(tuple(dimensions), constraints)


@settings(max_examples=150, deadline=None)
@given(spaces())
def test_a_grid_is_what_listing_all_combinations_gives(searched: Space) -> None:
    assert all_points(searched) == by_hand(searched)
    assert searched.has_grid_point() == bool(searched.grid_size())
    with pytest.raises(IndexError):
        searched.grid_point(searched.grid_size() or 0)


def test_a_huge_grid_with_conditions_is_counted_not_listed() -> None:
    searched = Space(
        (
            Dimension(("n",), IntUniform(0, 2**40)),
            Dimension(("m",), QUniform(0, 1e9, 0.5), (Condition("n", (7, 2**39)),)),
            *(Dimension((f"x{at}",), IntUniform(1, 1000)) for at in range(10)),
        )
    )
    levels = 2_000_000_001
    assert searched.grid_size() == (2**40 + 1 - 2 + 2 * levels) * 1000**10
    assert "m" not in searched.grid_point(0)
    assert searched.grid_point(7 * 1000**10)["n"] == 7
    assert searched.grid_point(7 * 1000**10)["m"] == 0
    assert searched.grid_point((7 + levels) * 1000**10)["n"] == 8
    assert searched.grid_point((searched.grid_size() or 0) - 1)["n"] == 2**40


def test_conditions_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "MAX_COUNTS", 100)
    parents = [Dimension((f"p{at}",), Choice((0, 1))) for at in range(10)]
    child = Dimension(("c",), Choice((0, 1)), tuple(Condition(one.name, (1,)) for one in parents))
    with pytest.raises(SweepError, match="too many outcomes"):
        Space((*parents, child)).grid_size()


def test_random_points_are_drawn_anew_until_the_constraints_hold() -> None:
    free = Space((Dimension(("a",), Uniform(0, 1)), Dimension(("b",), Uniform(0, 1))))
    bound = Space(free.dimensions, (parse_constraint("a + b <= 0.5"),))
    points = [bound.random_point(1, at) for at in range(200)]
    assert all(one["a"] + one["b"] <= 0.5 for one in points)
    assert len({one["a"] for one in points}) == 200
    same = [at for at in range(200) if free.random_point(1, at) == points[at]]
    assert same == [at for at in range(200) if bound.holds(bound.flatten(free.random_point(1, at)))]


def test_constraints_that_nothing_fulfils_are_told() -> None:
    searched = Space((Dimension(("a",), Uniform(0, 1)),), (parse_constraint("a > 1"),))
    with pytest.raises(SweepError, match="500 random points"):
        searched.random_point(1, 0)


def test_a_grid_too_large_to_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "MAX_CHECKED", 10)
    text = "method: grid\nprogram: x\nparameters: {a: {min: 1, max: 99}}\nconstraints: [a < 50]\n"
    with pytest.raises(SweepFileError, match="line 4: the grid has more than 10 points"):
        parse_sweep_file(text)


def test_trials_are_the_grid_times_the_seeds_up_to_the_cap() -> None:
    text = (
        "method: grid\nprogram: x\nseeds: 3\nparameters:\n  a: {values: [1, 2, 3]}\n"
        "  b: {values: [0, 1], when: {a: 2}}\nconstraints: [a <= 2]\n"
    )
    file = parse_sweep_file(text)
    assert file.configuration_count() == 3
    assert file.trial_count() == 9
    assert parse_sweep_file(text + "run_cap: 5\n").trial_count() == 5
    assert parse_sweep_file(text + "run_cap: 50\n").trial_count() == 9


def test_a_group_of_parameters_has_one_condition() -> None:
    file = parse_sweep_file(
        "method: random\nprogram: x\nparameters:\n  kind: {values: [mlp, tree]}\n"
        "  mlp:\n    when: {kind: mlp}\n    parameters:\n"
        "      width: {min: 1, max: 9}\n"
        "      bias: {values: [true, false]}\n"
        "      init: {min: 0.0, max: 1.0, when: {mlp.bias: true}}\n"
    )
    for at in range(50):
        point = file.space.random_point(1, at)
        assert ("mlp" in point) == (point["kind"] == "mlp")
        if "mlp" in point:
            assert ("init" in point["mlp"]) == point["mlp"]["bias"]


def test_points_need_no_order() -> None:
    searched = Space((OPTIMIZER, MOMENTUM), (parse_constraint("momentum <= 0.5"),))
    numbers = list(range(60))
    random.shuffle(numbers)
    shuffled = {at: searched.random_point(9, at) for at in numbers}
    assert [shuffled[at] for at in range(60)] == [searched.random_point(9, at) for at in range(60)]
