"""The ``parameters`` of a sweep file: W&B's forms, turned into a space."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hpctrack.sweeps.schema.document import Node, describe, nearest
from hpctrack.sweeps.schema.space import (
    Beta,
    Choice,
    Condition,
    Dimension,
    Distribution,
    IntUniform,
    LogNormal,
    LogUniformValues,
    Normal,
    QBeta,
    QLogNormal,
    QLogUniformValues,
    QNormal,
    QUniform,
    Space,
    Uniform,
)

_BOUNDS = ("min", "max")
_SHAPE: dict[str, float] = {"mu": 0, "sigma": 1}
_BETA: dict[str, float] = {"a": 1, "b": 1}
_STEP: dict[str, float] = {"q": 1}

KINDS: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "constant": (("value",), {}),
    "categorical": (("values",), {}),
    "categorical_w_probabilities": (("values", "probabilities"), {}),
    "int_uniform": (_BOUNDS, {}),
    "uniform": (_BOUNDS, {}),
    "q_uniform": (_BOUNDS, _STEP),
    "log_uniform": (_BOUNDS, {}),
    "log_uniform_values": (_BOUNDS, {}),
    "q_log_uniform": (_BOUNDS, _STEP),
    "q_log_uniform_values": (_BOUNDS, _STEP),
    "inv_log_uniform": (_BOUNDS, {}),
    "inv_log_uniform_values": (_BOUNDS, {}),
    "normal": ((), _SHAPE),
    "q_normal": ((), {**_SHAPE, **_STEP}),
    "log_normal": ((), _SHAPE),
    "q_log_normal": ((), {**_SHAPE, **_STEP}),
    "beta": ((), _BETA),
    "q_beta": ((), {**_BETA, **_STEP}),
}
"""Each distribution, the keys that it needs, and those that it may have with their defaults."""

GROUP_KEYS = ("parameters", "when")
KEYS = frozenset({
    "distribution", *GROUP_KEYS, *(key for kind in KINDS.values() for key in (*kind[0], *kind[1])),
})  # fmt: skip

MAX_SHAPE = 1e6
"""Beyond it a beta distribution is a constant to all that can be computed."""

_LOG_MAX = 700.0
"""The exponential of more is no number any more."""
_TAIL_SIGMAS = 9.0
"""Farther from the mean than any fraction that a double can hold."""

_NAME = re.compile(r"[^\s=\x00-\x1f]+\Z")
NAME_MAX_CHARS = 200
NAME_HINT = "no spaces, no '='"


def parse_parameters(node: Node, notes: list[str] | None = None) -> Space:
    """Read the block.

    Parameters
    ----------
    node : Node
        The block.
    notes : list of str, optional
        What the user should know is added to it.

    Raises
    ------
    SweepFileError
        It cannot be understood; the message has the line.
    """
    known: dict[str, Dimension] = {}
    for dimension in _iter_dimensions(node, (), (), known, [] if notes is None else notes):
        if dimension.name in known:
            node.fail(f"two parameters are called {dimension.name!r} on the command line")
        known[dimension.name] = dimension
    if not known:
        node.fail("a sweep needs at least one parameter")
    return Space(tuple(known.values()))


def name_problem(name: str) -> bool:
    """Tell whether this can be no parameter's name."""
    return not _NAME.match(name) or len(name) > NAME_MAX_CHARS


def _iter_dimensions(
    node: Node,
    above: tuple[str, ...],
    when: tuple[Condition, ...],
    known: dict[str, Dimension],
    notes: list[str],
) -> Iterator[Dimension]:
    """Yield the parameters; `known` has those before, which conditions may name."""
    for name, inner in node.mapping("`parameters`").items():
        if name_problem(name):
            inner.fail(f"{name[:40]!r} cannot be a parameter's name", hint=NAME_HINT)
        path = (*above, name)
        if not isinstance(inner.value, dict):
            wrong = (
                "values: [...]"
                if isinstance(inner.value, list)
                else f"value: {describe(inner.value)}"
            )
            inner.fail(f"parameter {name!r} has no mapping below it", hint=f"write `{wrong}`")
        keys = _check_keys(name, inner)
        own = when
        if "when" in keys:
            own += _parse_when(name, keys.pop("when"), known)
        if "parameters" in keys:
            if len(keys) > 1:
                inner.fail(f"parameter {name!r} has `parameters` and values at once")
            yield from _iter_dimensions(keys["parameters"], path, own, known, notes)
        else:
            yield Dimension(path, _Block(name, inner, keys, notes).parse(), own)


def _check_keys(name: str, node: Node) -> dict[str, Node]:
    keys = node.mapping(f"parameter {name!r}")
    for key, inner in keys.items():
        if key not in KEYS:
            inner.fail(f"unknown key {key!r:.60} of parameter {name!r}", hint=nearest(key, KEYS))
    return dict(keys)


def _parse_when(name: str, node: Node, known: dict[str, Dimension]) -> tuple[Condition, ...]:
    what = f"`when` of parameter {name!r}"
    conditions: list[Condition] = []
    for key, inner in node.mapping(what).items():
        if key not in known:
            hint = nearest(key, known) if known else "it must come before, and nothing does"
            inner.fail(f"{what}: no parameter {key!r:.60} comes before this one", hint=hint)
        asked = known[key].distribution
        if asked.size() is None:
            inner.fail(f"{what}: {key!r} takes any number", hint="ask for one with `values`")
        values = inner.plain() if isinstance(inner.value, list) else [inner.plain()]
        if not values:
            inner.fail(f"{what}: {key!r} is asked for no value")
        for value in values:
            if asked.find(value) is None:
                inner.fail(f"{what}: {key!r} is never {describe(value)}", hint=_show_levels(asked))
        conditions.append(Condition(key, tuple(values)))
    if not conditions:
        node.fail(f"{what} is empty", hint="write `when: {parameter: value}`")
    return tuple(conditions)


def _show_levels(asked: Distribution) -> str:
    size = asked.size() or 0
    shown = [describe(asked.level(at)) for at in range(min(size, 6))]
    return f"it is {', '.join(shown)}{', ...' if size > len(shown) else ''}"


@dataclass(frozen=True, slots=True)
class _Block:
    """The keys of one parameter."""

    name: str
    node: Node
    keys: dict[str, Node]
    notes: list[str]

    def parse(self) -> Distribution:
        kind = self._find_kind()
        needed, optional = KINDS[kind]
        for key, inner in self.keys.items():
            if key != "distribution" and key not in needed and key not in optional:
                inner.fail(
                    f"`{key}` does not belong to distribution {kind} of parameter {self.name!r}",
                    hint=f"it takes {', '.join((*needed, *optional))}",
                )
        for key in needed:
            if key not in self.keys:
                self.node.fail(
                    f"parameter {self.name!r} with distribution {kind} needs `{key}`",
                    hint=f"it takes {', '.join((*needed, *optional))}",
                )
        if kind == "constant":
            return Choice((self.keys["value"].plain(),))
        if kind.startswith("categorical"):
            return self._parse_choice()
        return _READERS[kind](self)

    def _find_kind(self) -> str:
        """Return the distribution that is named, or that W&B would take the keys for."""
        if "distribution" in self.keys:
            node = self.keys["distribution"]
            kind = node.text(f"`distribution` of parameter {self.name!r}")
            if kind not in KINDS:
                node.fail(
                    f"unknown distribution {kind!r:.40} of parameter {self.name!r}",
                    hint=nearest(kind, KINDS),
                )
            return kind
        if "values" in self.keys:
            has_weights = "probabilities" in self.keys
            return "categorical_w_probabilities" if has_weights else "categorical"
        if "value" in self.keys:
            return "constant"
        if "min" in self.keys and "max" in self.keys:
            if "q" in self.keys:
                return "q_uniform"
            whole = all(_is_whole(self.keys[key].value) for key in _BOUNDS)
            return "int_uniform" if whole else "uniform"
        if {"mu", "sigma", "a", "b"} & set(self.keys):
            near = "beta" if {"a", "b"} & set(self.keys) else "normal"
            self.node.fail(
                f"parameter {self.name!r} needs `distribution`", hint=f"such as {near}, or q_{near}"
            )
        return self.node.fail(
            f"parameter {self.name!r} needs `value`, `values`, or `min` and `max`"
        )

    def _parse_choice(self) -> Choice:
        values = self.keys["values"].items(self._what("values"))
        if not values:
            self.keys["values"].fail(f"parameter {self.name!r} has no values")
        choices = tuple(one.plain() for one in values)
        if "probabilities" not in self.keys:
            return Choice(choices)
        node = self.keys["probabilities"]
        what = self._what("probabilities")
        shares = [one.number(f"an element of {what}") for one in node.items(what)]
        if len(shares) != len(choices):
            node.fail(f"{what} has {len(shares)} elements for {len(choices)} values")
        if min(shares) < 0:
            node.fail(f"{what} has an element below 0")
        if not math.isclose(sum(shares), 1, rel_tol=1e-5):
            node.fail(f"the sum of {what} is {sum(shares):g}, not 1")
        return Choice(choices, tuple(float(one) for one in shares))

    def number(self, key: str) -> int | float:
        """Return a number, or its default."""
        if key in self.keys:
            return self.keys[key].number(self._what(key))
        kind = self._find_kind()
        return KINDS[kind][1][key]

    def bounds(self) -> tuple[int | float, int | float]:
        """Return `min` and `max`."""
        low, high = self.number("min"), self.number("max")
        if low > high:
            self.node.fail(f"`min` of parameter {self.name!r} is above its `max`")
        return low, high

    def log_bounds(self) -> tuple[float, float]:
        """Return `min` and `max`, which are to have a logarithm."""
        low, high = self.bounds()
        if low <= 0:
            self.keys["min"].fail(
                f"`min` of parameter {self.name!r} has no logarithm",
                hint="above 0; log_uniform takes the logarithms themselves",
            )
        return float(low), float(high)

    def exponents(self) -> tuple[float, float]:
        """Return the exponentials of `min` and `max`."""
        low, high = self.bounds()
        for key, bound in zip(_BOUNDS, (low, high), strict=True):
            if abs(bound) > _LOG_MAX:
                self.keys[key].fail(
                    f"`{key}` of parameter {self.name!r} is an exponent, and too large",
                    hint="use log_uniform_values for the bounds themselves",
                )
        if 0 <= low <= high <= 1:
            self.notes.append(
                f"parameter {self.name!r}: the bounds of log_uniform are exponents of e, so that "
                f"its values go from {math.exp(low):.3g} to {math.exp(high):.3g}; "
                f"log_uniform_values takes the bounds themselves"
            )
        return math.exp(low), math.exp(high)

    def step(self, low: float, high: float) -> int | float:
        """Return `q`, for numbers of this range."""
        step = self.number("q")
        if step <= 0:
            self.keys["q"].fail(f"`q` of parameter {self.name!r} is not above 0")
        if not max(abs(low), abs(high)) / step < 1 << 53:
            self.node.fail(f"`q` of parameter {self.name!r} is too small for its bounds")
        return step

    def normal(self, *, is_log: bool) -> tuple[float, float]:
        """Return `mu` and `sigma`."""
        mu, sigma = float(self.number("mu")), float(self.number("sigma"))
        if sigma <= 0:
            self.keys["sigma"].fail(
                f"`sigma` of parameter {self.name!r} is not above 0", hint="use `value`"
            )
        farthest = abs(mu) + _TAIL_SIGMAS * sigma
        if not farthest < (_LOG_MAX if is_log else 1e300):
            self.node.fail(f"the values of parameter {self.name!r} are too large for a number")
        return mu, sigma

    def shapes(self) -> tuple[float, float]:
        """Return `a` and `b`."""
        found = {key: float(self.number(key)) for key in ("a", "b")}
        for key, shape in found.items():
            if not 1 / MAX_SHAPE <= shape <= MAX_SHAPE:
                self.node.fail(
                    f"`{key}` of parameter {self.name!r} does not lie between "
                    f"{1 / MAX_SHAPE:g} and {MAX_SHAPE:g}"
                )
        return found["a"], found["b"]

    def _what(self, key: str) -> str:
        return f"`{key}` of parameter {self.name!r}"


def _int_uniform(block: _Block) -> IntUniform:
    low, high = block.bounds()
    for key in _BOUNDS:
        if not _is_whole(block.keys[key].value):
            block.keys[key].fail(f"`{key}` of parameter {block.name!r} is not a whole number")
    if max(abs(low), abs(high)) >= 1 << 53:
        block.node.fail(f"the bounds of parameter {block.name!r} do not fit in 53 bits")
    return IntUniform(int(low), int(high))


def _uniform(block: _Block) -> Uniform:
    low, high = block.bounds()
    if not math.isfinite(float(high) - float(low)):
        block.node.fail(f"the bounds of parameter {block.name!r} are too far apart")
    return Uniform(float(low), float(high))


def _log_uniform(block: _Block) -> LogUniformValues:
    return LogUniformValues(*block.exponents())


def _inverse_log_uniform(block: _Block) -> LogUniformValues:
    low, high = block.exponents()
    return LogUniformValues(1 / high, 1 / low)


def _log_uniform_values(block: _Block) -> LogUniformValues:
    return LogUniformValues(*block.log_bounds())


def _steps(
    kind: Callable[[float, float, float], QUniform | QLogUniformValues],
    bounds: Callable[[_Block], tuple[float, float]],
) -> Callable[[_Block], Distribution]:
    def read(block: _Block) -> Distribution:
        low, high = bounds(block)
        step = block.step(low, high)
        found = kind(low, high, step)
        if not found.counts():
            block.node.fail(
                f"no multiple of {step} lies between the bounds of parameter {block.name!r}",
                hint="give a smaller `q`",
            )
        return found

    return read


def _q_normal(block: _Block) -> QNormal:
    mu, sigma = block.normal(is_log=False)
    return QNormal(mu, sigma, block.step(0, abs(mu) + _TAIL_SIGMAS * sigma))


def _q_log_normal(block: _Block) -> QLogNormal:
    mu, sigma = block.normal(is_log=True)
    # A far tail is no reason to refuse: only what a number can hold.
    step = block.step(0, 0)
    if mu + _TAIL_SIGMAS * sigma - math.log(step) > _LOG_MAX:
        block.node.fail(f"`q` of parameter {block.name!r} is too small for its values")
    return QLogNormal(mu, sigma, step)


_READERS: dict[str, Callable[[_Block], Distribution]] = {
    "int_uniform": _int_uniform,
    "uniform": _uniform,
    "q_uniform": _steps(QUniform, _Block.bounds),
    "log_uniform": _log_uniform,
    "log_uniform_values": _log_uniform_values,
    "q_log_uniform": _steps(QLogUniformValues, _Block.exponents),
    "q_log_uniform_values": _steps(QLogUniformValues, _Block.log_bounds),
    "inv_log_uniform": _inverse_log_uniform,
    "inv_log_uniform_values": _log_uniform_values,
    "normal": lambda block: Normal(*block.normal(is_log=False)),
    "q_normal": _q_normal,
    "log_normal": lambda block: LogNormal(*block.normal(is_log=True)),
    "q_log_normal": _q_log_normal,
    "beta": lambda block: Beta(*block.shapes()),
    "q_beta": lambda block: QBeta(*block.shapes(), block.step(0, 1)),
}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
