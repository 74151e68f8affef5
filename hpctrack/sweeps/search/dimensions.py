"""Between our parameters and the ones that Optuna's samplers see."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpctrack.sweeps.schema.space import (
    Dimension,
    IntUniform,
    LogUniformValues,
    QUniform,
    Uniform,
)

BELOW_ONE = math.nextafter(1.0, 0.0)
"""Our distributions take a number below 1, Optuna's samplers also return 1."""

MAX_EXACT = 1 << 53
"""Optuna carries whole numbers as doubles."""

INVERSE_STEPS = 60
"""Halvings that find the number which a distribution turns into a value, to all its bits."""


@dataclass(frozen=True, slots=True)
class Knob:
    """One parameter as Optuna sees it.

    Parameters
    ----------
    name : str
        Dotted.
    path : tuple of str
        Where the value goes.
    when : tuple of (tuple of str, tuple)
        Paths and the values that they must have for this parameter to exist.
    distribution : BaseDistribution or None
        None for a constant, which no sampler needs to know.
    decode : callable
        From what Optuna suggests to the parameter's value.
    encode : callable
        Back; raises ValueError if the parameter cannot have the value.
    """

    name: str
    path: tuple[str, ...]
    when: tuple[tuple[tuple[str, ...], tuple[Any, ...]], ...]
    distribution: BaseDistribution | None
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any]


def make_knobs(dimensions: Iterable[Dimension]) -> tuple[Knob, ...]:
    """Return all parameters as Optuna sees them, in the order of the space."""
    return tuple(_make_knob(one) for one in dimensions)


def is_active(knob: Knob, parameters: Mapping[str, Any]) -> bool:
    """Tell whether a parameter exists, from those that come before it."""
    return all(
        any(_same(found, one) for one in allowed)
        for path, allowed in knob.when
        for found in [get_value(parameters, path)]
    )


_ABSENT = object()


def get_value(parameters: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return a nested value; an object that equals nothing else if there is none."""
    found: Any = parameters
    for part in path:
        if not isinstance(found, Mapping) or part not in found:
            return _ABSENT
        found = found[part]
    return found


def has_value(parameters: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Tell whether there is a nested value."""
    return get_value(parameters, path) is not _ABSENT


def set_value(parameters: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Put a nested value."""
    inner = parameters
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = value


def decode_point(knobs: Iterable[Knob], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested parameters from what Optuna has recorded."""
    parameters: dict[str, Any] = {}
    for knob in knobs:
        if knob.distribution is None:
            if is_active(knob, parameters):
                set_value(parameters, knob.path, knob.decode(None))
        elif knob.name in params:
            set_value(parameters, knob.path, knob.decode(params[knob.name]))
    return parameters


def encode_point(
    knobs: Iterable[Knob], parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Return what Optuna records of nested parameters, and the distributions.

    Raises
    ------
    ValueError
        The parameters are not of this space.
    """
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    for knob in knobs:
        if not is_active(knob, parameters):
            continue
        value = get_value(parameters, knob.path)
        if value is _ABSENT:
            raise ValueError(f"{knob.name} is missing")
        encoded = knob.encode(value)
        if knob.distribution is not None:
            params[knob.name] = encoded
            distributions[knob.name] = knob.distribution
    return params, distributions


def _make_knob(dimension: Dimension) -> Knob:
    found = dimension.distribution
    when = getattr(dimension, "when", ())
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any]
    distribution: BaseDistribution | None
    if getattr(found, "values", None) is not None:
        distribution, decode, encode = _of_values(found.values)  # type: ignore[union-attr]
    elif isinstance(found, IntUniform) and _is_exact(found.low, found.high):
        distribution = IntDistribution(found.low, found.high)
        decode, encode = int, _checked(int, found.low, found.high)
    elif isinstance(found, (Uniform, LogUniformValues)):
        is_log = isinstance(found, LogUniformValues)
        distribution = FloatDistribution(found.low, found.high, log=is_log)
        decode, encode = float, _checked(float, found.low, found.high)
    elif isinstance(found, QUniform):
        distribution, decode, encode = _of_steps(found)
    else:
        distribution = FloatDistribution(0.0, 1.0)
        decode, encode = _decode_fraction(found), _encode_fraction(found)
    if distribution is not None and distribution.single():
        only = next(iter(_levels(found)))
        distribution, decode, encode = _of_values((only,))
    return Knob(dimension.name, dimension.path, when, distribution, decode, encode)


def _levels(found: Any) -> Iterable[Any]:
    size = found.size()
    return (found.level(0),) if size else (found.pick(0.0),)


def _is_exact(*bounds: float) -> bool:
    return all(abs(one) <= MAX_EXACT for one in bounds)


def _checked(kind: Callable[[Any], Any], low: float, high: float) -> Callable[[Any], Any]:
    def encode(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is no number")  # noqa: TRY004 - the caller's one error
        if not low <= value <= high or kind(value) != value:
            raise ValueError(f"{value!r} is not between {low} and {high}")
        return kind(value)

    return encode


def _of_values(
    values: tuple[Any, ...],
) -> tuple[BaseDistribution | None, Callable[[Any], Any], Callable[[Any], Any]]:
    """Return a choice: of the values if Optuna can keep them apart, else of their positions."""

    def encode(value: Any) -> int:
        for at, one in enumerate(values):
            if _same(one, value):
                return at
        raise ValueError(f"{value!r} is not among the values")

    if len(values) == 1:
        return None, lambda _: values[0], encode
    kinds = (type(None), bool, int, float, str)
    try:
        is_plain = len(set(values)) == len(values) and all(type(one) in kinds for one in values)
    except TypeError:
        is_plain = False
    if is_plain and not any(isinstance(one, float) and one != one for one in values):  # noqa: PLR0124
        return (
            CategoricalDistribution(values),
            lambda found: values[values.index(found)],
            lambda value: values[encode(value)],
        )
    return CategoricalDistribution(tuple(range(len(values)))), lambda at: values[int(at)], encode


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same; 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def _of_steps(
    found: QUniform,
) -> tuple[BaseDistribution, Callable[[Any], Any], Callable[[Any], Any]]:
    """Return a lattice: with its own values where they are exact, else of its positions."""
    size = found.size()
    first, last, step = found.level(0), found.level(size - 1), found.step

    def position(value: Any) -> int:
        at: int = round((value - first) / step)
        if not 0 <= at < size or not math.isclose(found.level(at), value, rel_tol=1e-9):
            raise ValueError(f"{value!r} is no step between {first} and {last}")
        return at

    def decode(value: Any) -> Any:
        return found.level(min(max(round((value - first) / step), 0), size - 1))

    if isinstance(step, int) and isinstance(first, int) and _is_exact(first, last):
        return (
            IntDistribution(first, last, step=step),
            decode,
            lambda one: int(found.level(position(one))),
        )
    if (Decimal(str(last)) - Decimal(str(first))) % Decimal(str(step)) == 0:
        return (
            FloatDistribution(first, last, step=step),
            decode,
            lambda one: float(found.level(position(one))),
        )
    return IntDistribution(0, size - 1), lambda at: found.level(int(at)), position


def _decode_fraction(found: Any) -> Callable[[Any], Any]:
    return lambda fraction: found.pick(min(max(float(fraction), 0.0), BELOW_ONE))


def _encode_fraction(found: Any) -> Callable[[Any], Any]:
    """Return the inverse of a distribution's `pick`, which only ever rises, or only falls."""
    sign = 1 if found.pick(BELOW_ONE) >= found.pick(0.0) else -1

    def encode(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is no number")  # noqa: TRY004 - the caller's one error
        low, high = 0.0, BELOW_ONE
        if not sign * found.pick(low) <= sign * value <= sign * found.pick(high):
            raise ValueError(f"{value!r} is out of range")
        for _ in range(INVERSE_STEPS):
            middle = (low + high) / 2
            if sign * found.pick(middle) < sign * value:
                low = middle
            else:
                high = middle
        return high

    return encode
