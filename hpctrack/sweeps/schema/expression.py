"""Comparisons that a point has to fulfil: ``hidden * layers <= 2048``. Pure, and safe to read.

A constraint is a small part of Python: numbers, names, ``+ - * / // % **``, ``min``, ``max``,
``abs``, ``log``, ``exp`` and ``sqrt``, and one comparison (or a chain of them). It is taken apart
and worked out here, in floating-point numbers, and never given to Python to run: a sweep file is
read on login nodes, and comes from anywhere.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_CHARS = 500
MAX_DEPTH = 40

Values = Mapping[str, Any]
_Term = Callable[[Values], float]

FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "log": math.log,
    "exp": math.exp,
    "sqrt": math.sqrt,
}
_SEVERAL = frozenset({"min", "max"})

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
}
QUOTED = re.compile(r"`([^`]*)`")
"""A name with any characters."""

_STAND_IN = "quoted_name_{}_"
_CLOSE = 1e-9
"""Numbers that differ by less, in relation to their size, are equal."""


class ExpressionError(ValueError):
    """A constraint cannot be understood; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A comparison.

    Parameters
    ----------
    text : str
        As in the file.
    names : tuple of str
        The parameters and metrics in it, each once, in their order.
    """

    text: str
    names: tuple[str, ...]
    _excess: _Term = field(repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be pickled: by its text, because functions made here cannot be."""
        return parse_constraint, (self.text,)

    def violation(self, values: Values) -> float:
        """Return by how much the comparison fails; 0 or below if it holds.

        Parameters
        ----------
        values : mapping
            A number for each name. Infinity is returned if one is missing or is no number, and
            if there is no result: a division by 0, the logarithm of a negative number.
        """
        try:
            found = self._excess(values)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return math.inf
        return math.inf if math.isnan(found) else found


def parse_constraint(text: str) -> Constraint:
    """Read a constraint.

    Parameters
    ----------
    text : str
        Such as ``hidden * layers <= 2048``. A name with dots stands as it is; one with other
        characters stands in backticks.

    Raises
    ------
    ExpressionError
        It is not one.

    Examples
    --------
    >>> one = parse_constraint("net.hidden * 2 <= 100")
    >>> one.names, one.violation({"net.hidden": 60}), one.violation({"net.hidden": 50})
    (('net.hidden',), 20.0, 0.0)
    """
    if len(text) > MAX_CHARS:
        raise ExpressionError(f"it has more than {MAX_CHARS} characters")
    quoted: list[str] = []

    def stand_in(found: re.Match[str]) -> str:
        quoted.append(found[1])
        return _STAND_IN.format(len(quoted) - 1)

    try:
        tree = ast.parse(QUOTED.sub(stand_in, text).strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ExpressionError("it is not a comparison") from None
    if not isinstance(tree, ast.Compare):
        raise ExpressionError("it compares nothing")
    reader = _Reader({_STAND_IN.format(at): name for at, name in enumerate(quoted)})
    excess = reader.comparison(tree)
    if not reader.names:
        raise ExpressionError("it names no parameter and no metric")
    return Constraint(text, tuple(reader.names), excess)


class _Reader:
    """Turns Python's syntax tree into functions, one kind of node after the other."""

    def __init__(self, quoted: Mapping[str, str]) -> None:
        self.names: dict[str, None] = {}
        self._quoted = quoted

    def comparison(self, tree: ast.Compare) -> _Term:
        sides = [self.term(one, 1) for one in (tree.left, *tree.comparators)]
        parts = [_compare(sign, sides[at], sides[at + 1]) for at, sign in enumerate(tree.ops)]
        return parts[0] if len(parts) == 1 else lambda values: max(one(values) for one in parts)

    def term(self, tree: ast.expr, depth: int) -> _Term:
        if depth > MAX_DEPTH:
            raise ExpressionError("it is nested too deeply")
        if isinstance(tree, ast.Constant):
            return _constant(tree.value)
        if isinstance(tree, (ast.Name, ast.Attribute)):
            return self._name(tree)
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, (ast.USub, ast.UAdd)):
            inner = self.term(tree.operand, depth + 1)
            return (lambda values: -inner(values)) if isinstance(tree.op, ast.USub) else inner
        if isinstance(tree, ast.BinOp) and type(tree.op) in _BINARY:
            apply = _BINARY[type(tree.op)]
            left, right = self.term(tree.left, depth + 1), self.term(tree.right, depth + 1)
            return lambda values: apply(left(values), right(values))
        if isinstance(tree, ast.Call):
            return self._call(tree, depth)
        if isinstance(tree, ast.Compare):
            raise ExpressionError("a comparison cannot be a part of another one")
        raise ExpressionError(f"it cannot have {_kind(tree)}")

    def _name(self, tree: ast.Name | ast.Attribute) -> _Term:
        parts: list[str] = []
        inner: ast.expr = tree
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            raise ExpressionError("a dot stands only between names")
        name = ".".join([self._quoted.get(inner.id, inner.id), *reversed(parts)])
        if not name:
            raise ExpressionError("a name is empty")
        self.names[name] = None
        return lambda values: _as_number(values[name])

    def _call(self, tree: ast.Call, depth: int) -> _Term:
        name = tree.func.id if isinstance(tree.func, ast.Name) else ""
        if name not in FUNCTIONS:
            raise ExpressionError(f"its functions can be {', '.join(FUNCTIONS)}")
        if tree.keywords or any(isinstance(one, ast.Starred) for one in tree.args):
            raise ExpressionError(f"{name} takes numbers only")
        if not tree.args or (len(tree.args) > 1) != (name in _SEVERAL):
            wanted = "two numbers or more" if name in _SEVERAL else "one number"
            raise ExpressionError(f"{name} takes {wanted}")
        call = FUNCTIONS[name]
        terms = [self.term(one, depth + 1) for one in tree.args]
        return lambda values: call(*(one(values) for one in terms))


def _compare(sign: ast.cmpop, left: _Term, right: _Term) -> _Term:
    if isinstance(sign, (ast.LtE, ast.Lt)):
        is_strict = isinstance(sign, ast.Lt)
        return lambda values: _excess(left(values), right(values), is_strict=is_strict)
    if isinstance(sign, (ast.GtE, ast.Gt)):
        is_strict = isinstance(sign, ast.Gt)
        return lambda values: _excess(right(values), left(values), is_strict=is_strict)
    if isinstance(sign, ast.Eq):
        return lambda values: _distance(left(values), right(values))
    raise ExpressionError("its comparisons can be <=, <, >=, > and ==")


def _excess(left: float, right: float, *, is_strict: bool) -> float:
    """Return by how much `left` is above `right`; infinities of one kind are equal."""
    excess = 0.0 if left == right else left - right
    # 0 means that it holds, so `a < b` needs the smallest number above it when a is b.
    return sys.float_info.min if is_strict and excess == 0 else excess


def _distance(left: float, right: float) -> float:
    return 0.0 if math.isclose(left, right, rel_tol=_CLOSE) else abs(left - right)


def _constant(value: object) -> _Term:
    if isinstance(value, str):
        raise ExpressionError("it cannot have texts; names with other characters go into backticks")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ExpressionError(f"it cannot have {value!r:.40}")
    number = _as_number(value)
    return lambda _: number


def _as_number(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError
    return float(value)


def _kind(tree: ast.expr) -> str:
    return {
        "BoolOp": "`and` or `or`: write two constraints",
        "IfExp": "`if`",
        "Subscript": "brackets",
        "List": "a list",
        "Tuple": "a comma",
    }.get(type(tree).__name__, f"{type(tree).__name__} in it")
