"""Computing expressions of metrics, per rank and step, where all of them have values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from hpctrack_server.data.downsample import FloatArray, IntArray
from hpctrack_server.data.series.curve import Curve
from hpctrack_server.data.series.smooth import average_ema
from hpctrack_server.language.expression import Call, Name, Node, Number

UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
}

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.mod,
    "**": np.power,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "min": np.minimum,
    "max": np.maximum,
}


def evaluate(node: Node, values: Mapping[str, FloatArray], count: int) -> FloatArray:
    """Return an expression's value at each step of one rank.

    Parameters
    ----------
    node : Node
    values : mapping
        The metrics' values, by name, in the order of steps.
    count : int
        How many there are.

    Returns
    -------
    ndarray of float64, shape (count,)
        What has no value, such as ``log(-1)`` or ``1/0``, is NaN or infinite; comparisons are 1
        or 0.
    """
    with np.errstate(all="ignore"):
        found = np.asarray(_evaluate(node, values), np.float64)
    return found if found.shape == (count,) else np.broadcast_to(found, (count,)).copy()


def _evaluate(node: Node, values: Mapping[str, FloatArray]) -> Any:
    if isinstance(node, Number):
        return np.float64(node.value)
    if isinstance(node, Name):
        return values[node.name]
    arguments = [_evaluate(one, values) for one in node.arguments]
    if node.function in UNARY:
        return UNARY[node.function](arguments[0])
    if node.function in BINARY:
        return _join(node, arguments)
    return _run_along(node.function, np.atleast_1d(arguments[0]), arguments[1:])


def _join(node: Call, arguments: Sequence[Any]) -> Any:
    found = reduce(BINARY[node.function], arguments)
    if node.function in {"<", "<=", ">", ">=", "==", "!="}:
        # Who compares with nothing has no answer.
        missing = reduce(np.logical_or, [np.isnan(one) for one in arguments])
        return np.where(missing, np.nan, np.asarray(found, np.float64))
    return found


def _run_along(function: str, line: FloatArray, more: Sequence[Any]) -> FloatArray:
    """Return what depends on the steps before."""
    if function == "diff":
        return np.diff(line, prepend=np.nan)
    if function == "cumsum":
        return np.cumsum(np.where(np.isnan(line), 0.0, line))
    found = line.astype(np.float64)
    there = np.isfinite(line)
    found[there] = average_ema(found[there], float(more[0]))
    return found


def combine(node: Node, curves: Mapping[str, Curve]) -> Curve:
    """Return an expression of lines of one rank, at the steps that all of them have.

    Of several values at a step the last one counts.
    """
    ordered = {name: _by_step(one) for name, one in curves.items()}
    steps = [one.step for one in ordered.values()]
    shared = reduce(_intersect, steps)
    values: dict[str, FloatArray] = {}
    wall_s: FloatArray | None = None
    for name, one in ordered.items():
        at = slice(None) if len(one) == len(shared) else np.searchsorted(one.step, shared)
        values[name] = one.value[at].astype(np.float64)
        if one.wall_s is not None:
            own = one.wall_s[at]
            wall_s = own if wall_s is None else np.maximum(wall_s, own)
    first = next(iter(ordered.values()))
    return Curve(shared, wall_s, evaluate(node, values, len(shared)), first.rank)


def _by_step(curve: Curve) -> Curve:
    """Return a line in the order of steps, of each the last value."""
    step = curve.step
    if len(step) < 2 or (step[1:] > step[:-1]).all():  # noqa: PLR2004 - one is in order
        return curve
    order = np.argsort(step, kind="stable")
    ordered = step[order]
    last = order[np.append(ordered[1:] != ordered[:-1], True)]
    wall_s = None if curve.wall_s is None else curve.wall_s[last]
    return Curve(step[last], wall_s, curve.value[last], curve.rank)


def _intersect(one: IntArray, other: IntArray) -> IntArray:
    if one is other or np.array_equal(one, other):
        return one
    return np.intersect1d(one, other, assume_unique=True)
