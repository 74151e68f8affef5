"""Every distribution against the one of scipy.stats, and the way back from a value."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpctrack.sweeps.schema.distribution import Choice, Distribution, IntUniform, is_same
from hpctrack.sweeps.schema.parameter_block import KINDS
from hpctrack.sweeps.schema.sweep_file import parse_sweep_config

LOG2, LOG9 = math.log(2), math.log(9)
L, H = math.exp(-3), math.exp(2)
LOGNORM = stats.lognorm(0.5, scale=math.e)
SMOOTH: list[tuple[dict[str, Any], Any]] = [
    ({"distribution": "uniform", "min": -2, "max": 3}, stats.uniform(-2, 5)),
    ({"distribution": "log_uniform", "min": -3, "max": 2}, stats.loguniform(L, H)),
    ({"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1}, stats.loguniform(1e-5, 0.1)),
    ({"distribution": "inv_log_uniform", "min": LOG2, "max": LOG9}, stats.loguniform(1 / 9, 1 / 2)),
    ({"distribution": "inv_log_uniform_values", "min": 2, "max": 9}, stats.loguniform(2, 9)),
    ({"distribution": "normal", "mu": 3, "sigma": 2}, stats.norm(3, 2)),
    ({"distribution": "log_normal", "mu": 1, "sigma": 0.5}, LOGNORM),
    ({"distribution": "beta", "a": 2, "b": 5}, stats.beta(2, 5)),
]  # fmt: skip
STEPPED: list[tuple[dict[str, Any], Any]] = [
    ({"distribution": "q_uniform", "min": 0, "max": 10, "q": 2}, stats.uniform(0, 10)),
    ({"distribution": "q_log_uniform", "min": LOG2, "max": LOG9, "q": 1}, stats.loguniform(2, 9)),
    ({"distribution": "q_log_uniform_values", "min": 8, "max": 64, "q": 8},
     stats.loguniform(8, 64)),
    ({"distribution": "q_normal", "mu": 3, "sigma": 2, "q": 0.5}, stats.norm(3, 2)),
    ({"distribution": "q_log_normal", "mu": 1, "sigma": 0.5, "q": 1}, LOGNORM),
    ({"distribution": "q_beta", "a": 2, "b": 5, "q": 0.1}, stats.beta(2, 5)),
]  # fmt: skip
DISCRETE: list[dict[str, Any]] = [
    {"value": {"a": 1}},
    {"values": [1, "two", None, True, 3.5, [1, 2]]},
    {"values": ["a", "b", "a"]},
    {"values": ["a", "b", "c"], "probabilities": [0.5, 0.0, 0.5]},
    {"min": -3, "max": 12},
]
NAMES = [one["distribution"] for one, _ in [*SMOOTH, *STEPPED]]
FRACTIONS = [(at + 0.5) / 200 for at in range(200)]


def read(block: dict[str, Any]) -> Distribution:
    config = {"method": "random", "parameters": {"x": block}}
    return parse_sweep_config(config).space.dimensions[0].distribution


def test_all_distributions_are_here() -> None:
    discrete = {"constant", "categorical", "categorical_w_probabilities", "int_uniform"}
    assert {*NAMES, *discrete} == set(KINDS)


@pytest.mark.parametrize(("block", "reference"), SMOOTH, ids=NAMES[: len(SMOOTH)])
def test_values_are_spread_as_scipy_says(block: dict[str, Any], reference: Any) -> None:
    found = read(block)
    assert found.size() is None
    for fraction in FRACTIONS:
        value = found.pick(fraction)
        assert reference.cdf(value) == pytest.approx(fraction, abs=1e-9)
        assert found.fraction(value) == pytest.approx(fraction, abs=1e-9)


@pytest.mark.parametrize(("block", "reference"), STEPPED, ids=NAMES[len(SMOOTH) :])
def test_steps_are_the_rounded_values_of_scipy(block: dict[str, Any], reference: Any) -> None:
    found, step = read(block), block["q"]
    size = found.size()
    ends = (-math.inf, math.inf) if size is None else (found.level(0), found.level(size - 1))
    for fraction in FRACTIONS:
        value = found.pick(fraction)
        wanted = min(max(round(reference.ppf(fraction) / step) * step, ends[0]), ends[1])
        assert value == pytest.approx(wanted, abs=1e-9)
        assert isinstance(value, int) == isinstance(step, int)
        back = found.fraction(value)
        assert back is not None
        assert found.pick(back) == value


@pytest.mark.parametrize("block", DISCRETE, ids=str)
def test_levels_and_fractions_lead_back_to_the_value(block: dict[str, Any]) -> None:
    found = read(block)
    seen = {repr(found.pick(fraction)) for fraction in FRACTIONS}
    for at in range(found.size() or 0):
        value = found.level(at)
        assert found.find(value) == at
        fraction = found.fraction(value)
        if fraction is None:
            assert repr(value) not in seen
        else:
            assert found.pick(fraction) is value or found.pick(fraction) == value


@pytest.mark.parametrize("block", [one for one, _ in [*SMOOTH, *STEPPED]] + DISCRETE, ids=str)
def test_the_ends_of_the_range_are_values_too(block: dict[str, Any]) -> None:
    found = read(block)
    for fraction in (0.0, 1e-300, 1 - 2**-53, 1.0):
        value = found.pick(fraction)
        assert not isinstance(value, float) or math.isfinite(value)
        assert found.fraction(value) is not None


@pytest.mark.parametrize("block", [one for one, _ in [*SMOOTH, *STEPPED]] + DISCRETE, ids=str)
@pytest.mark.parametrize("value", ["no", float("nan"), float("inf"), [3], {}, -1e30])
def test_what_cannot_come_up_has_no_fraction(block: dict[str, Any], value: Any) -> None:
    found = read(block)
    fraction = found.fraction(value)
    if block.get("distribution") in ("normal", "q_normal") and value == -1e30:
        assert fraction == 0
    else:
        assert fraction is None
        assert found.find(value) is None


def test_probabilities_are_kept() -> None:
    found = Choice(("a", "b", "c"), (0.2, 0.0, 0.8))
    picked = [found.pick(fraction) for fraction in FRACTIONS]
    assert (picked.count("a"), picked.count("b"), picked.count("c")) == (40, 0, 160)


def test_true_is_not_one() -> None:
    found = Choice((1, True, 1.0, 0, False))
    assert found.levels() == (1, True, 0, False)
    assert found.find(True) == 1
    assert not is_same(1, True)
    assert is_same(1, 1.0)


@settings(max_examples=200, deadline=None)
@given(st.integers(-1000, 1000), st.integers(0, 1000), st.floats(0, 1))
def test_whole_numbers_lead_back(low: int, width: int, fraction: float) -> None:
    found = IntUniform(low, low + width)
    value = found.pick(fraction)
    back = found.fraction(value)
    assert back is not None
    assert found.pick(back) == value


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["q_uniform", "q_log_uniform_values", "q_normal", "q_log_normal", "q_beta"]),
    st.floats(0.01, 5),
    st.floats(0.01, 5),
    st.sampled_from([1, 0.5, 0.1, 0.07, 3]),
    st.floats(0, 1),
)
def test_steps_lead_back(kind: str, one: float, other: float, step: float, fraction: float) -> None:
    names = (
        ("mu", "sigma") if "normal" in kind else ("a", "b") if "beta" in kind else ("min", "max")
    )
    low, high = (one, one + other + step) if names[0] == "min" else (one, other)
    found = read({"distribution": kind, names[0]: low, names[1]: high, "q": step})
    value = found.pick(fraction)
    back = found.fraction(value)
    assert back is not None
    # A step so unlikely that no double lies in its share comes up by a rounding error only.
    if 1e-9 < back < 1 - 1e-9:
        assert found.pick(back) == value
