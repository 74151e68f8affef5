"""Constraints: what they say, and that nothing else gets in."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.sweeps.schema.expression import ExpressionError, parse_constraint


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("a * b <= 10", 2.0),
        ("a * b <= 12", 0.0),
        ("a * b < 12", sys.float_info.min),
        ("a >= 5", 2.0),
        ("a > 3", sys.float_info.min),
        ("a == 3", 0.0),
        ("a == 3.5", 0.5),
        ("0.1 + 0.2 * a / 3 == 0.3", 0.0),
        ("1 <= a <= 2", 1.0),
        ("2 < a < b", -1.0),
        ("min(a, b, 1) + max(a, b) <= 5", 0.0),
        ("abs(-a) <= 1", 2.0),
        ("log(exp(a)) <= 1", 2.0),
        ("sqrt(b) <= 1", 1.0),
        ("b // a <= 0", 1.0),
        ("b % a <= 0", 1.0),
        ("a ** 2 <= 8", 1.0),
        ("-a + +b <= 0", 1.0),
        ("net.depth <= 1", 6.0),
        ("`val/loss` <= 1", 1.5),
        ("`val/loss` * `val/loss` <= 6.25", 0.0),
        ("flag + a <= 3", 1.0),
        ("a <= 3 # at most", 0.0),
    ],
)
def test_a_violation_is_a_number(text: str, violation: float) -> None:
    values = {"a": 3, "b": 4, "net.depth": 7, "val/loss": 2.5, "flag": True}
    assert parse_constraint(text).violation(values) == pytest.approx(violation, abs=1e-300)


def test_names_are_listed_once_in_their_order() -> None:
    found = parse_constraint("b * a.c + b <= `x/y z` + max(1, d)")
    assert found.names == ("b", "a.c", "x/y z", "d")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a <= 1", {}),
        ("a <= 1", {"a": "text"}),
        ("a <= 1", {"a": None}),
        ("a <= 1", {"a": math.nan}),
        ("1 / a <= 1", {"a": 0}),
        ("log(a) <= 1", {"a": -1}),
        ("sqrt(a) <= 1", {"a": -1}),
        ("exp(a) <= 1", {"a": 1e9}),
        ("a ** a ** a <= 1", {"a": 1e9}),
        ("a - a <= 1", {"a": math.inf}),
    ],
)
def test_what_cannot_be_computed_is_violated_without_bound(
    text: str, values: dict[str, object]
) -> None:
    assert parse_constraint(text).violation(values) == math.inf


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a +",
        "a <= 'text'",
        "1 <= 2",
        "a != 3",
        "a is b",
        "a in b",
        "not a <= 3",
        "a <= 3 and b <= 4",
        "(a <= 3) + 1 <= 2",
        "a[0] <= 3",
        "a.b().c <= 3",
        "().__class__ <= 3",
        "__import__('os').system('true') <= 3",
        "eval('1') <= a",
        "open(a) <= 3",
        "min(a) <= 3",
        "abs(a, 2) <= 3",
        "max(*a) <= 3",
        "min(a, key=b) <= 3",
        "(lambda: a)() <= 3",
        "[a for a in b] <= 3",
        "(a := 3) <= 3",
        "f'{a}' <= 3",
        "a if b else c <= 3",
        "a @ b <= 3",
        "a << 3 <= 3",
        "~a <= 3",
        "1j * a <= 3",
        "a <= True",
        "a <= ...",
        "a; b <= 3",
        "a <= 3\nb <= 4",
        "`` <= 3",
        "`a <= 3",
        "-" * 400 + "a <= 1",
        "a" * 600 + " <= 1",
        "a <= \0",
    ],
)
def test_nothing_else_is_read(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_constraint(text)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["a", "b.c", "1", "1e400", "<=", "==", "+", "*", "**", "(", ")", "min", ",", "`x`", "-"]
        ),
        max_size=12,
    ).map(" ".join)
    | st.text(max_size=20)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_constraint(text)
    except ExpressionError:
        return
    assert isinstance(found.violation({"a": 2, "b.c": -1, "x": 1e300}), float)
