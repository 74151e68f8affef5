"""What values a parameter takes, and how likely each is: from a number in [0, 1] to a value.

Every distribution has the same five methods, so that a grid, a random point and a search need to
know none of them by name:

``pick(fraction)``
    The quantile function: the value at a fraction of the probability, from 0 to 1. For a uniform
    fraction the values are spread as the distribution says.
``fraction(value)``
    A fraction that gives this value, or None if it never comes up: the way back, for points that
    another sweep tried.
``size()``, ``level(at)``, ``find(value)``
    How many values a grid goes through (None for a continuum), one of them, and its place (None
    if it is not one of them).

The attributes are plain numbers in the units of the values, never logarithms, except for ``mu`` and
``sigma`` of the log-normal ones, which are those of the logarithm, as everywhere.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist
from typing import Any

from hpctrack.errors import MissingPackageError

_DIGITS = 12
"""Steps such as 0.1 are counted in decimal: 3 x 0.1 is to be 0.3 on a command line."""

_LEAST = 2.0**-54
_MOST = 1 - 2.0**-53
"""Fractions closer to 0 or 1 are taken for these: a normal distribution has no end there."""


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same to a program: true is not 1, but 1 is 1.0."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _key(value: Any) -> Hashable:
    if isinstance(value, (list, tuple, dict)):
        return (type(value).__name__, repr(value))
    return (isinstance(value, bool), value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _inside(fraction: float) -> float:
    return min(max(fraction, _LEAST), _MOST)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values; a constant is a choice of one.

    Parameters
    ----------
    values : tuple
        Of any plain type, numbers, texts, lists and mappings mixed. One that is there twice is
        twice as likely, and is one level of a grid.
    probabilities : tuple of float
        One for each value, with the sum 1. Empty: each is as likely.
    """

    values: tuple[Any, ...]
    probabilities: tuple[float, ...] = ()

    def levels(self) -> tuple[Any, ...]:
        """Return the values that differ."""
        first: dict[Hashable, Any] = {}
        for one in self.values:
            first.setdefault(_key(one), one)
        return tuple(first.values())

    def size(self) -> int:
        """Return how many values a grid goes through."""
        return len(self.levels())

    def level(self, at: int) -> Any:
        """Return one of them."""
        return self.levels()[at]

    def find(self, value: Any) -> int | None:
        """Return the place of a value, or None."""
        return next((at for at, one in enumerate(self.levels()) if is_same(one, value)), None)

    def pick(self, fraction: float) -> Any:
        """Return the value at a fraction."""
        if not self.probabilities:
            return self.values[min(int(fraction * len(self.values)), len(self.values) - 1)]
        for edge, value, share in zip(
            accumulate(self.probabilities), self.values, self.probabilities, strict=True
        ):
            if fraction < edge and share > 0:
                return value
        # The sum may miss 1 by a rounding error, and 1 itself is a fraction.
        return next(
            value
            for value, share in zip(
                reversed(self.values), reversed(self.probabilities), strict=True
            )
            if share > 0
        )

    def fraction(self, value: Any) -> float | None:
        """Return a fraction that gives this value, or None if none does."""
        shares = self.probabilities or (1 / len(self.values),) * len(self.values)
        edges = accumulate(shares, initial=0.0)
        for edge, share, one in zip(edges, shares, self.values, strict=False):
            if share > 0 and is_same(one, value):
                return edge + share / 2
        return None


@dataclass(frozen=True, slots=True)
class IntUniform:
    """A whole number from ``low`` to ``high``, both included, each as likely."""

    low: int
    high: int

    def size(self) -> int:
        """Return how many values a grid goes through."""
        return self.high - self.low + 1

    def level(self, at: int) -> int:
        """Return one of them."""
        return self.low + at

    def find(self, value: Any) -> int | None:
        """Return the place of a value, or None."""
        if not _is_number(value) or not self.low <= value <= self.high or value != int(value):
            return None
        return int(value) - self.low

    def pick(self, fraction: float) -> int:
        """Return the value at a fraction."""
        return min(self.low + int(fraction * (self.high - self.low + 1)), self.high)

    def fraction(self, value: Any) -> float | None:
        """Return a fraction that gives this value, or None if none does."""
        at = self.find(value)
        return None if at is None else (at + 0.5) / self.size()


class _Continuum(ABC):
    """Any number of a range; no grid goes through it."""

    __slots__ = ()

    def size(self) -> int | None:
        """Return None: a grid cannot go through a continuum."""
        return None

    def level(self, at: int) -> float:
        """Raise: there is none.

        Raises
        ------
        IndexError
            Always.
        """
        raise IndexError(at)

    def find(self, value: Any) -> int | None:  # noqa: ARG002 - as the others have it
        """Return None."""
        return None

    @abstractmethod
    def share_below(self, value: float) -> float:
        """Return the probability of a smaller value."""

    @abstractmethod
    def is_possible(self, value: float) -> bool:
        """Tell whether the value lies in the range."""

    def fraction(self, value: Any) -> float | None:
        """Return the fraction that gives this value, or None if none does."""
        if not _is_number(value) or not math.isfinite(value) or not self.is_possible(value):
            return None
        return self.share_below(value)


@dataclass(frozen=True, slots=True)
class Uniform(_Continuum):
    """A number between ``low`` and ``high``."""

    low: float
    high: float

    def pick(self, fraction: float) -> float:
        """Return the value at a fraction."""
        return self.low + fraction * (self.high - self.low)

    def is_possible(self, value: float) -> bool:
        """Tell whether the value lies in the range."""
        return self.low <= value <= self.high

    def share_below(self, value: float) -> float:
        """Return the probability of a smaller value."""
        return _ratio(value - self.low, self.high - self.low)


@dataclass(frozen=True, slots=True)
class LogUniformValues(_Continuum):
    """A number between ``low`` and ``high`` whose logarithm is uniform; both above 0.

    W&B's ``log_uniform``, ``log_uniform_values``, ``inv_log_uniform`` and
    ``inv_log_uniform_values`` all are this: if the logarithm of a number is uniform, that of its
    inverse is too.
    """

    low: float
    high: float

    def pick(self, fraction: float) -> float:
        """Return the value at a fraction."""
        low, high = math.log(self.low), math.log(self.high)
        return min(max(math.exp(low + fraction * (high - low)), self.low), self.high)

    def is_possible(self, value: float) -> bool:
        """Tell whether the value lies in the range."""
        return self.low <= value <= self.high

    def share_below(self, value: float) -> float:
        """Return the probability of a smaller value."""
        if value <= self.low:
            return 0.0
        low = math.log(self.low)
        return _ratio(math.log(value) - low, math.log(self.high) - low)


@dataclass(frozen=True, slots=True)
class Normal(_Continuum):
    """A number around ``mu`` with the standard deviation ``sigma``."""

    mu: float
    sigma: float

    def pick(self, fraction: float) -> float:
        """Return the value at a fraction."""
        return NormalDist(self.mu, self.sigma).inv_cdf(_inside(fraction))

    def is_possible(self, value: float) -> bool:  # noqa: ARG002 - as the others have it
        """Return True: any number may come up."""
        return True

    def share_below(self, value: float) -> float:
        """Return the probability of a smaller value."""
        return NormalDist(self.mu, self.sigma).cdf(value)


@dataclass(frozen=True, slots=True)
class LogNormal(_Continuum):
    """A number whose natural logarithm is normal with ``mu`` and ``sigma``."""

    mu: float
    sigma: float

    def pick(self, fraction: float) -> float:
        """Return the value at a fraction."""
        return math.exp(NormalDist(self.mu, self.sigma).inv_cdf(_inside(fraction)))

    def is_possible(self, value: float) -> bool:
        """Tell whether the value is above 0."""
        return value > 0

    def share_below(self, value: float) -> float:
        """Return the probability of a smaller value."""
        return NormalDist(self.mu, self.sigma).cdf(math.log(value)) if value > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Beta(_Continuum):
    """A number between 0 and 1, of the beta distribution with the shapes ``a`` and ``b``."""

    a: float
    b: float

    def pick(self, fraction: float) -> float:
        """Return the value at a fraction."""
        return float(_import_special().betaincinv(self.a, self.b, _inside(fraction)))

    def is_possible(self, value: float) -> bool:
        """Tell whether the value lies between 0 and 1."""
        return 0 <= value <= 1

    def share_below(self, value: float) -> float:
        """Return the probability of a smaller value."""
        return float(_import_special().betainc(self.a, self.b, min(max(value, 0.0), 1.0)))


class _Steps(ABC):
    """Multiples of ``step``, by rounding a number of a continuum; those beyond its ends are cut."""

    __slots__ = ()
    step: float

    @abstractmethod
    def smooth(self) -> Uniform | LogUniformValues | Normal | LogNormal | Beta:
        """Return the continuum."""

    @abstractmethod
    def counts(self) -> range | None:
        """Return which multiples there are, None if they have no end."""

    def size(self) -> int | None:
        """Return how many values a grid goes through."""
        counts = self.counts()
        return None if counts is None else max(counts.stop - counts.start, 0)

    def level(self, at: int) -> float:
        """Return one of them."""
        counts = self.counts()
        if counts is None:
            raise IndexError(at)
        return self._value(counts[at])

    def find(self, value: Any) -> int | None:
        """Return the place of a value, or None."""
        counts, count = self.counts(), self._count(value)
        return None if counts is None or count is None else count - counts.start

    def pick(self, fraction: float) -> float:
        """Return the value at a fraction."""
        near = round(self.smooth().pick(fraction) / self.step)
        counts = self.counts()
        return self._value(near if counts is None else min(max(near, counts[0]), counts[-1]))

    def fraction(self, value: Any) -> float | None:
        """Return a fraction that gives this value, or None if none does."""
        count = self._count(value)
        if count is None:
            return None
        counts, smooth = self.counts(), self.smooth()
        is_first = counts is not None and count == counts[0]
        is_last = counts is not None and count == counts[-1]
        low = 0.0 if is_first else smooth.share_below((count - 0.5) * self.step)
        high = 1.0 if is_last else smooth.share_below((count + 0.5) * self.step)
        return (low + high) / 2

    def _count(self, value: Any) -> int | None:
        if not _is_number(value) or not math.isfinite(value):
            return None
        count = round(value / self.step)
        counts = self.counts()
        if counts is not None and count not in counts:
            return None
        return count if math.isclose(self._value(count), value, abs_tol=1e-9 * self.step) else None

    def _value(self, count: int) -> float:
        value = count * self.step
        return value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}")


@dataclass(frozen=True, slots=True)
class QUniform(_Steps):
    """A multiple of ``step`` between ``low`` and ``high``, by rounding a uniform number.

    Whole if ``step`` is an ``int``. The first multiple need not be ``low``: ``level(0)`` is it.
    """

    low: float
    high: float
    step: float

    def smooth(self) -> Uniform:
        """Return the continuum."""
        return Uniform(self.low, self.high)

    def counts(self) -> range:
        """Return which multiples lie between the bounds."""
        return _counts(self.low, self.high, self.step)


@dataclass(frozen=True, slots=True)
class QLogUniformValues(_Steps):
    """A multiple of ``step`` between ``low`` and ``high``, by rounding a log-uniform number."""

    low: float
    high: float
    step: float

    def smooth(self) -> LogUniformValues:
        """Return the continuum."""
        return LogUniformValues(self.low, self.high)

    def counts(self) -> range:
        """Return which multiples lie between the bounds."""
        return _counts(self.low, self.high, self.step)


@dataclass(frozen=True, slots=True)
class QNormal(_Steps):
    """A multiple of ``step``, by rounding a normal number."""

    mu: float
    sigma: float
    step: float

    def smooth(self) -> Normal:
        """Return the continuum."""
        return Normal(self.mu, self.sigma)

    def counts(self) -> None:
        """Return None: there is no end."""


@dataclass(frozen=True, slots=True)
class QLogNormal(_Steps):
    """A multiple of ``step``, 0 or above, by rounding a log-normal number."""

    mu: float
    sigma: float
    step: float

    def smooth(self) -> LogNormal:
        """Return the continuum."""
        return LogNormal(self.mu, self.sigma)

    def counts(self) -> None:
        """Return None: there is no end."""

    def _count(self, value: Any) -> int | None:
        # No super(): a dataclass with slots is another class than the one that this is written in.
        count = _Steps._count(self, value)  # noqa: SLF001 - of the class above
        return None if count is None or count < 0 else count


@dataclass(frozen=True, slots=True)
class QBeta(_Steps):
    """A multiple of ``step`` between 0 and 1, by rounding a number of the beta distribution."""

    a: float
    b: float
    step: float

    def smooth(self) -> Beta:
        """Return the continuum."""
        return Beta(self.a, self.b)

    def counts(self) -> range:
        """Return which multiples lie between 0 and 1."""
        return _counts(0, 1, self.step)


Distribution = (
    Choice
    | IntUniform
    | Uniform
    | LogUniformValues
    | QUniform
    | QLogUniformValues
    | Normal
    | QNormal
    | LogNormal
    | QLogNormal
    | Beta
    | QBeta
)


def _counts(low: float, high: float, step: float) -> range:
    slack = 1e-9
    return range(math.ceil(low / step - slack), math.floor(high / step + slack) + 1)


def _ratio(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 0.5


def _import_special() -> Any:
    try:
        # Half a second cheaper than scipy.stats, whose beta distribution calls the same functions.
        from scipy import special  # noqa: PLC0415 - only files with a beta distribution pay for it
    except ImportError:
        raise MissingPackageError("scipy", extra="sweep") from None
    return special
