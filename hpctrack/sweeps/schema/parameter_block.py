"""The ``parameters`` of a sweep file: W&B's forms, turned into a space."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hpctrack.sweeps.schema.document import Node, describe, nearest
from hpctrack.sweeps.schema.space import (
    Choice,
    Dimension,
    Distribution,
    IntUniform,
    LogUniformValues,
    QUniform,
    Space,
    Uniform,
)

KEYS_OF = {
    "constant": ("value",),
    "categorical": ("values",),
    "int_uniform": ("min", "max"),
    "uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
}
"""Each distribution that works, and the keys that it takes."""

NOT_YET = {
    "categorical_w_probabilities": "repeat the likelier values under `values`",
    "log_uniform": "use log_uniform_values, with the bounds themselves in place of logarithms",
    "q_log_uniform": "use log_uniform_values",
    "q_log_uniform_values": "use log_uniform_values",
    "inv_log_uniform": "use log_uniform_values",
    "inv_log_uniform_values": "use log_uniform_values",
    "normal": "use uniform over mu - 2 sigma to mu + 2 sigma",
    "q_normal": "use q_uniform",
    "log_normal": "use log_uniform_values",
    "q_log_normal": "use log_uniform_values",
    "beta": "use uniform",
    "q_beta": "use q_uniform",
}
"""W&B's other distributions, and what to use for now."""

KEYS = frozenset({"value", "values", "min", "max", "q", "distribution", "parameters"})
KEYS_NOT_YET = {
    "probabilities": "repeat the likelier values under `values`",
    "mu": "normal distributions are not supported; use uniform",
    "sigma": "normal distributions are not supported; use uniform",
}

_NAME = re.compile(r"[^\s=\x00-\x1f]+\Z")
NAME_MAX_CHARS = 200


def parse_parameters(node: Node) -> Space:
    """Read the block.

    Raises
    ------
    SweepFileError
        It cannot be understood; the message has the line.
    """
    dimensions = tuple(_iter_dimensions(node, ()))
    if not dimensions:
        node.fail("a sweep needs at least one parameter")
    seen: set[str] = set()
    for dimension in dimensions:
        if dimension.name in seen:
            node.fail(f"two parameters are called {dimension.name!r} on the command line")
        seen.add(dimension.name)
    return Space(dimensions)


def _iter_dimensions(node: Node, above: tuple[str, ...]) -> Iterator[Dimension]:
    for name, inner in node.mapping("`parameters`").items():
        if not _NAME.match(name) or len(name) > NAME_MAX_CHARS:
            inner.fail(f"{name[:40]!r} cannot be a parameter's name", hint="no spaces, no '='")
        path = (*above, name)
        if not isinstance(inner.value, dict):
            wrong = (
                "values: [...]"
                if isinstance(inner.value, list)
                else f"value: {describe(inner.value)}"
            )
            inner.fail(f"parameter {name!r} has no mapping below it", hint=f"write `{wrong}`")
        keys = _check_keys(name, inner)
        if "parameters" in keys:
            if len(keys) > 1:
                inner.fail(f"parameter {name!r} has `parameters` and values at once")
            yield from _iter_dimensions(keys["parameters"], path)
        else:
            yield Dimension(path, _parse_distribution(name, inner, keys))


def _check_keys(name: str, node: Node) -> dict[str, Node]:
    keys = node.mapping(f"parameter {name!r}")
    for key, inner in keys.items():
        if key in KEYS_NOT_YET:
            inner.fail(
                f"`{key}` of parameter {name!r} is not supported yet", hint=KEYS_NOT_YET[key]
            )
        if key not in KEYS:
            inner.fail(f"unknown key {key!r} of parameter {name!r}", hint=nearest(key, KEYS))
    return keys


def _parse_distribution(name: str, node: Node, keys: dict[str, Node]) -> Distribution:
    kind = _find_kind(name, node, keys)
    allowed = KEYS_OF[kind]
    for key, inner in keys.items():
        if key != "distribution" and key not in allowed:
            inner.fail(f"`{key}` does not belong to distribution {kind} of parameter {name!r}")
    for key in allowed:
        if key not in keys and key != "q":
            node.fail(f"parameter {name!r} with distribution {kind} needs `{key}`")
    if kind == "constant":
        return Choice((keys["value"].plain(),))
    if kind == "categorical":
        values = keys["values"].items(f"`values` of parameter {name!r}")
        if not values:
            keys["values"].fail(f"parameter {name!r} has no values")
        return Choice(tuple(one.plain() for one in values))
    return _parse_range(kind, name, node, keys)


def _find_kind(name: str, node: Node, keys: dict[str, Node]) -> str:
    """Return the distribution that is named, or that W&B would take the keys for."""
    if "distribution" in keys:
        kind = keys["distribution"].text(f"`distribution` of parameter {name!r}")
        if kind in NOT_YET:
            keys["distribution"].fail(
                f"distribution {kind!r} of parameter {name!r} is not supported yet",
                hint=NOT_YET[kind],
            )
        if kind not in KEYS_OF:
            keys["distribution"].fail(
                f"unknown distribution {kind!r} of parameter {name!r}",
                hint=nearest(kind, {*KEYS_OF, *NOT_YET}),
            )
        return kind
    if "values" in keys:
        return "categorical"
    if "value" in keys:
        return "constant"
    if "min" in keys and "max" in keys:
        if "q" in keys:
            return "q_uniform"
        whole = all(_is_whole(keys[key].value) for key in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    return node.fail(f"parameter {name!r} needs `value`, `values`, or `min` and `max`")


def _parse_range(kind: str, name: str, node: Node, keys: dict[str, Node]) -> Distribution:
    low = keys["min"].number(f"`min` of parameter {name!r}")
    high = keys["max"].number(f"`max` of parameter {name!r}")
    if low > high:
        node.fail(f"`min` of parameter {name!r} is above its `max`")
    if kind == "int_uniform":
        for key in ("min", "max"):
            if not _is_whole(keys[key].value):
                keys[key].fail(f"`{key}` of parameter {name!r} is not a whole number")
        if max(abs(low), abs(high)) >= 1 << 53:
            node.fail(f"the bounds of parameter {name!r} do not fit in 53 bits")
        return IntUniform(int(low), int(high))
    if kind == "uniform":
        return Uniform(float(low), float(high))
    if kind == "log_uniform_values":
        if low <= 0:
            keys["min"].fail(f"`min` of parameter {name!r} has no logarithm", hint="above 0")
        return LogUniformValues(float(low), float(high))
    return _parse_steps(name, node, (low, high), keys.get("q"))


def _parse_steps(
    name: str, node: Node, bounds: Sequence[int | float], given: Node | None
) -> QUniform:
    step: Any = given.number(f"`q` of parameter {name!r}") if given else 1
    if step <= 0:
        node.fail(f"`q` of parameter {name!r} is not above 0")
    if max(abs(bounds[0]), abs(bounds[1])) / step >= 1 << 53:
        node.fail(f"`q` of parameter {name!r} is too small for its bounds")
    found = QUniform(bounds[0], bounds[1], step)
    if not found.counts():
        node.fail(f"no multiple of {step} lies between the bounds of parameter {name!r}")
    return found


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
