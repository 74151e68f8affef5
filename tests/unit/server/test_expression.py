"""Expressions of metrics: names with any signs, errors that point at a place, values by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack_server.data.series.curve import Curve
from hpctrack_server.data.series.formula import combine, evaluate
from hpctrack_server.language.errors import QueryError
from hpctrack_server.language.expression import Name, Node, iter_names, parse_expression

KNOWN = ["loss", "train/loss", "train", "val/acc", "a", "b", "with spaces ", "max", "loss-x", "2x"]


def value(text: str, **values: float) -> float:
    arrays = {name: np.array([one]) for name, one in values.items()}
    return float(evaluate(parse_expression(text, [*KNOWN, *values]), arrays, 1)[0])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a + b * 2", 7.0),
        ("(a + b) * 2", 8.0),
        ("a - b - 1", -3.0),
        ("-a ** 2", -1.0),
        ("2 ** 3 ** 2", 512.0),
        ("b ^ -1", 1 / 3),
        ("7 % b", 1.0),
        ("a < b", 1.0),
        ("a >= b", 0.0),
        ("abs(-b)", 3.0),
        ("log(exp(a))", 1.0),
        ("log10(1e3)", 3.0),
        ("max(a, b, 2)", 3.0),
        ("min(a, b)", 1.0),
        ("sqrt(9) + .5", 3.5),
        ("a/b", 1 / 3),
        ("--a", 1.0),
    ],
)
def test_arithmetic_is_that_of_mathematics(text: str, wanted: float) -> None:
    assert value(text, a=1.0, b=3.0) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("train/loss", ["train/loss"]),
        ("train / loss", ["train", "loss"]),
        ("train/loss/val/acc", ["train/loss", "val/acc"]),
        ("log(train/loss)", ["train/loss"]),
        ("`with spaces `*2", ["with spaces "]),
        ("max(a, max)", ["a", "max"]),
        ("loss-x - loss", ["loss-x", "loss"]),
        ("2x + 2", ["2x"]),
        ("a*a/a", ["a"]),
    ],
)
def test_the_longest_known_name_is_meant(text: str, names: list[str]) -> None:
    assert list(iter_names(parse_expression(text, KNOWN))) == names


def test_a_text_that_is_a_name_is_that_name() -> None:
    for name in ("a/b", "log(x)", "", "1 +", "\u202ex", "`"):
        assert parse_expression(name, [name]) == Name(name)


@pytest.mark.parametrize(
    ("text", "part", "said"),
    [
        ("log(los)", "los", "did you mean loss"),
        ("loss + ", "", "something is missing at the end"),
        ("(loss", "(", "a bracket is not closed"),
        ("loss )", ")", "')' is not expected here"),
        ("lgo(loss)", "lgo", "did you mean log"),
        ("log(loss, 2)", "log(loss, 2)", "log takes 1 arguments, not 2"),
        ("ema(loss, a)", "ema(loss, a)", "ema takes a weight"),
        ("`gone`", "`gone`", "no run has a metric 'gone'"),
        ("`open", "`", "this name has no end"),
        ("loss ? 2", "?", "'?' is not expected here"),
        ("loss * vall/acc", "vall/acc", "did you mean val/acc?"),
    ],
)
def test_an_error_points_at_its_place(text: str, part: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_expression(text, KNOWN)
    assert text[caught.value.at : caught.value.end] == part
    assert said in str(caught.value)


def test_deep_nesting_is_refused_and_long_chains_are_not() -> None:
    for text in ("(" * 500 + "a" + ")" * 500, "2**" * 400 + "a", "abs(" * 300):
        with pytest.raises(QueryError):
            parse_expression(text, KNOWN)
    for text in ("+".join(["a"] * 500), "-" * 999 + "a"):
        assert list(iter_names(parse_expression(text, KNOWN))) == ["a"]


@settings(max_examples=80, deadline=None)
@given(st.text("ab()+-*/%^<>=!,.`019e log", max_size=25))
def test_any_text_is_understood_or_refused_with_a_place(text: str) -> None:
    node: Node | None = None
    refused: QueryError | None = None
    try:
        node = parse_expression(text, KNOWN)
    except QueryError as error:
        refused = error
    if node is not None:
        ones = {name: np.ones(3) for name in iter_names(node)}
        assert evaluate(node, ones, 3).shape == (3,)
    else:
        assert refused is not None
        assert 0 <= refused.at <= refused.end <= len(text)


def curve(steps: list[int], values: list[float]) -> Curve:
    return Curve(np.array(steps), np.array(steps, float) + 100, np.array(values), 0)


def test_metrics_meet_at_the_steps_that_both_have_the_last_value_counts() -> None:
    node = parse_expression("a - b", KNOWN)
    found = combine(node, {
        "a": curve([0, 1, 2, 2, 5], [1.0, 2.0, 3.0, 4.0, 5.0]),
        "b": curve([5, 2, 3], [50.0, 20.0, 30.0]),
    })  # fmt: skip
    assert found.step.tolist() == [2, 5]
    assert found.value.tolist() == [4.0 - 20.0, 5.0 - 50.0]
    assert found.wall_s is not None
    assert found.wall_s.tolist() == [102.0, 105.0]


def test_along_the_steps_of_a_rank() -> None:
    line = {"a": curve([0, 1, 2, 3], [1.0, 3.0, np.nan, 7.0])}
    got = {
        text: combine(parse_expression(text, KNOWN), line).value
        for text in ("diff(a)", "cumsum(a)", "ema(a, 0)", "a == 3")
    }
    np.testing.assert_array_equal(got["diff(a)"], [np.nan, 2.0, np.nan, np.nan])
    np.testing.assert_array_equal(got["cumsum(a)"], [1.0, 4.0, 4.0, 11.0])
    np.testing.assert_array_equal(got["ema(a, 0)"], [1.0, 3.0, np.nan, 7.0])
    np.testing.assert_array_equal(got["a == 3"], [0.0, 1.0, np.nan, 0.0])
