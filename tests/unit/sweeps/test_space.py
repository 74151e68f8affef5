"""From numbers to parameters."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.sweeps.schema.space import (
    Choice,
    Dimension,
    IntUniform,
    LogUniformValues,
    QUniform,
    Space,
    Uniform,
)

GRID = Space(
    (
        Dimension(("lr",), Choice((0.1, 0.01))),
        Dimension(("net", "depth"), IntUniform(1, 3)),
        Dimension(("drop",), QUniform(0, 0.3, 0.1)),
    )
)
RANDOM = Space(
    (
        Dimension(("lr",), LogUniformValues(1e-5, 1e-1)),
        Dimension(("momentum",), Uniform(0.0, 0.99)),
        Dimension(("batch",), QUniform(32, 256, 8)),
        Dimension(("kind",), Choice(("a", "b", "c"))),
        Dimension(("seed",), IntUniform(0, 9)),
    )
)


def test_a_grid_goes_through_the_product_and_the_last_parameter_changes_fastest() -> None:
    expected = [
        {"lr": lr, "net": {"depth": depth}, "drop": drop}
        for lr, depth, drop in itertools.product((0.1, 0.01), (1, 2, 3), (0, 0.1, 0.2, 0.3))
    ]
    assert GRID.grid_size() == len(expected)
    assert [GRID.grid_point(number) for number in range(len(expected))] == expected


@pytest.mark.parametrize("number", [-1, 24, 10**30])
def test_a_grid_has_no_other_points(number: int) -> None:
    with pytest.raises(IndexError):
        GRID.grid_point(number)


def test_a_continuum_has_no_grid() -> None:
    assert RANDOM.grid_size() is None


def test_a_grid_larger_than_memory_costs_nothing() -> None:
    huge = Space(
        (
            *(Dimension((f"p{n}",), QUniform(0, 1e9, 1e-3)) for n in range(20)),
            Dimension(("i",), IntUniform(0, 2**52)),
        )
    )
    size = huge.grid_size()
    assert size is not None
    assert size > 10**200
    assert huge.grid_point(size - 1)["p0"] == 1e9


def test_random_points_are_the_same_for_ever() -> None:
    # Written down once: a change here would change sweeps that are half done.
    assert RANDOM.random_point(7, 3) == {
        "lr": pytest.approx(0.0006013265391976022),
        "momentum": pytest.approx(0.9072410000865931),
        "batch": 216,
        "kind": "b",
        "seed": 2,
    }


def test_random_points_need_no_process_and_no_order() -> None:
    here = [RANDOM.random_point(1, number) for number in (5, 0, 3)]
    code = (
        "from tests.unit.sweeps.test_space import RANDOM\n"
        "print([RANDOM.random_point(1, number) for number in (5, 0, 3)])"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "5"},
        timeout=60,
    )
    assert there.stdout.strip() == str(here)


def test_another_parameter_leaves_the_others_alone() -> None:
    more = Space((Dimension(("new",), Uniform(0, 1)), *RANDOM.dimensions))
    point = more.random_point(1, 2)
    del point["new"]
    assert point == RANDOM.random_point(1, 2)


def test_seeds_numbers_and_names_give_different_points() -> None:
    points = [RANDOM.random_point(seed, number)["lr"] for seed in range(5) for number in range(50)]
    assert len(set(points)) == len(points)


def test_random_points_are_spread_as_they_say() -> None:
    points = [RANDOM.random_point(1, number) for number in range(2000)]
    logs = [math.log10(point["lr"]) for point in points]
    assert sum(logs) / len(logs) == pytest.approx(-3, abs=0.1)
    assert sum(point["momentum"] for point in points) / len(points) == pytest.approx(
        0.495, abs=0.03
    )
    for kind in "abc":
        assert sum(point["kind"] == kind for point in points) == pytest.approx(667, abs=80)
    assert {point["seed"] for point in points} == set(range(10))
    assert {point["batch"] for point in points} == set(range(32, 257, 8))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    st.floats(0, 1, exclude_max=True),
    st.floats(1e-3, 9),
)
def test_every_value_lies_between_its_bounds(a: float, b: float, at: float, step: float) -> None:
    low, high = min(a, b), max(a, b)
    assert low <= Uniform(low, high).pick(at) <= high
    assert low <= LogUniformValues(low, high).pick(at) <= high
    assert int(low) <= IntUniform(int(low), int(high)).pick(at) <= int(high)
    stepped = QUniform(low, high, step)
    if stepped.counts():
        slack = 1e-6 * max(high, 1)
        assert low - slack <= stepped.pick(at) <= high + slack


def test_steps_are_decimal() -> None:
    steps = QUniform(0, 1, 0.1)
    assert [steps.level(at) for at in range(steps.size() or 0)] == [
        0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
    ]  # fmt: skip
    assert isinstance(QUniform(32, 64, 8).pick(0.5), int)
