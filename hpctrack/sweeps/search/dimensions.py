"""Between our parameters and the ones that Optuna's samplers see.

Points are mappings of dotted names to values here; `Space.nest` gives them their form.
"""

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

from hpctrack.sweeps.schema.distribution import is_same
from hpctrack.sweeps.schema.space import (
    Choice,
    Dimension,
    IntUniform,
    LogUniformValues,
    QUniform,
    Uniform,
)

MAX_EXACT = 1 << 53
"""Optuna carries whole numbers as doubles."""

_PLAIN = (type(None), bool, int, float, str)
"""What Optuna takes for a choice; lists and mappings go by their places."""

RANKED_MIN = 3
"""With two values there is no between."""

NO_VALUE: Any = object()
"""Unlike None no value of a parameter."""

Decode = Callable[[Any], Any]
Encode = Callable[[Any], Any]
_Form = tuple[BaseDistribution, Decode, Encode]


@dataclass(frozen=True, slots=True)
class Knob:
    """One parameter as Optuna sees it.

    Parameters
    ----------
    dimension : Dimension
        Ours.
    distribution : BaseDistribution or None
        None for a constant, which no sampler needs to know.
    decode : callable
        From what Optuna suggests to the parameter's value.
    encode : callable
        Back; `NO_VALUE` if the parameter cannot have the value.
    """

    dimension: Dimension
    distribution: BaseDistribution | None
    decode: Decode
    encode: Encode

    @property
    def name(self) -> str:
        """The parameter's, with dots."""
        return self.dimension.name


def make_knobs(dimensions: Iterable[Dimension]) -> tuple[Knob, ...]:
    """Return all parameters as Optuna sees them, in the order of the space."""
    return tuple(_make_knob(one) for one in dimensions)


def decode_point(knobs: Iterable[Knob], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point from what Optuna has recorded of it."""
    values: dict[str, Any] = {}
    for knob in knobs:
        if not knob.dimension.is_active(values):
            continue
        if knob.distribution is None:
            values[knob.name] = knob.decode(None)
        elif knob.name in params:
            values[knob.name] = knob.decode(params[knob.name])
    return values


def encode_point(
    knobs: Iterable[Knob], values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, BaseDistribution]] | None:
    """Return what Optuna records of a point; None if the point is not of this space."""
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    for knob in knobs:
        if not knob.dimension.is_active(values):
            continue
        encoded = knob.encode(values[knob.name]) if knob.name in values else NO_VALUE
        if encoded is NO_VALUE:
            return None
        if knob.distribution is not None:
            params[knob.name] = encoded
            distributions[knob.name] = knob.distribution
    return params, distributions


def is_complete(knobs: Iterable[Knob], params: Mapping[str, Any]) -> bool:
    """Tell whether a point has all its parameters: who suggested it may have died over it."""
    known = tuple(knobs)
    values = decode_point(known, params)
    return all(one.name in values for one in known if one.dimension.is_active(values))


def _make_knob(dimension: Dimension) -> Knob:
    found = dimension.distribution
    if _is_single(found):
        only = found.pick(0.5)
        return Knob(dimension, None, lambda _: only, _only(only))
    if isinstance(found, Choice):
        form = _of_choice(found)
    elif isinstance(found, IntUniform) and _is_exact(found.low, found.high):
        form = IntDistribution(found.low, found.high), int, _whole(found)
    elif isinstance(found, (Uniform, LogUniformValues)):
        is_log = isinstance(found, LogUniformValues)
        distribution = FloatDistribution(found.low, found.high, log=is_log)
        form = distribution, float, _between(found.low, found.high)
    elif isinstance(found, QUniform):
        form = _of_steps(found)
    else:
        form = FloatDistribution(0.0, 1.0), found.pick, _fraction(found)
    return Knob(dimension, *form)


def _is_single(found: Any) -> bool:
    size = found.size()
    return bool(size == 1 if size is not None else found.pick(0.25) == found.pick(0.75))


def _is_exact(*bounds: float) -> bool:
    return all(abs(one) <= MAX_EXACT for one in bounds)


def _only(only: Any) -> Encode:
    return lambda value: None if is_same(value, only) else NO_VALUE


def _whole(found: IntUniform) -> Encode:
    return lambda value: NO_VALUE if found.find(value) is None else int(value)


def _place(found: Choice | QUniform) -> Encode:
    def encode(value: Any) -> Any:
        at = found.find(value)
        return NO_VALUE if at is None else at

    return encode


def _level(found: Choice | QUniform) -> Encode:
    def encode(value: Any) -> Any:
        at = found.find(value)
        return NO_VALUE if at is None else found.level(at)

    return encode


def _fraction(found: Any) -> Encode:
    def encode(value: Any) -> Any:
        fraction = found.fraction(value)
        return NO_VALUE if fraction is None else fraction

    return encode


def _between(low: float, high: float) -> Encode:
    def encode(value: Any) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if is_number and low <= value <= high else NO_VALUE

    return encode


def _of_choice(found: Choice) -> _Form:
    """Return a choice of the values if Optuna can keep them apart, else of their places.

    Numbers become their ranks: that 64 lies between 32 and 128 helps every sampler, and one that
    is told of a choice would have to find it out.
    """
    levels = found.levels()
    if len(levels) >= RANKED_MIN and _are_numbers(levels):
        ranked = tuple(sorted(levels))
        return IntDistribution(0, len(ranked) - 1), lambda at: ranked[int(at)], _rank(found, ranked)
    is_plain = all(type(one) in _PLAIN and one == one for one in levels)  # noqa: PLR0124 - not NaN
    # To Optuna, and in a set, true is 1.
    if is_plain and len(set(levels)) == len(levels):
        choices = CategoricalDistribution(levels)
        return choices, lambda value: levels[levels.index(value)], _level(found)
    places = CategoricalDistribution(tuple(range(len(levels))))
    return places, lambda at: levels[int(at)], _place(found)


def _are_numbers(levels: tuple[Any, ...]) -> bool:
    return all(type(one) in {int, float} and math.isfinite(one) for one in levels)


def _rank(found: Choice, ranked: tuple[Any, ...]) -> Encode:
    def encode(value: Any) -> Any:
        at = found.find(value)
        return NO_VALUE if at is None else ranked.index(found.level(at))

    return encode


def _of_steps(found: QUniform) -> _Form:
    """Return a lattice: with its own values where they are exact, else of their places."""
    size = len(found.counts())
    first, last, step = found.level(0), found.level(size - 1), found.step

    def decode(value: Any) -> Any:
        return found.level(min(max(round((value - first) / step), 0), size - 1))

    if isinstance(step, int) and isinstance(first, int) and _is_exact(first, last):
        return IntDistribution(first, last, step=step), decode, _level(found)
    is_exact = (Decimal(str(last)) - Decimal(str(first))) % Decimal(str(step)) == 0
    if is_exact and math.isfinite(last):
        return FloatDistribution(first, last, step=step), decode, _level(found)
    return IntDistribution(0, size - 1), lambda at: found.level(int(at)), _place(found)
