"""From a trial's number to its parameters: pure, so that any node can work it out alone.

Nothing is stored and nothing is asked: a grid is counted through, and a random point is a digest of
the sweep's seed, the trial's number and the parameter's name. NumPy's distributions may change
between releases (NEP 19), a digest does not; and a parameter keeps its values when another one is
added to the file.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

_DIGITS = 12
"""Steps such as 0.1 are counted in decimal: 3 x 0.1 is to be 0.3 on a command line."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values, each as likely; a constant is a choice of one."""

    values: tuple[Any, ...]

    def size(self) -> int:
        """Return how many values a grid goes through."""
        return len(self.values)

    def level(self, at: int) -> Any:
        """Return one of them."""
        return self.values[at]

    def pick(self, fraction: float) -> Any:
        """Return the value for a number in [0, 1)."""
        return self.values[int(fraction * len(self.values))]


@dataclass(frozen=True, slots=True)
class IntUniform:
    """A whole number from ``low`` to ``high``, both included."""

    low: int
    high: int

    def size(self) -> int:
        """Return how many values a grid goes through."""
        return self.high - self.low + 1

    def level(self, at: int) -> int:
        """Return one of them."""
        return self.low + at

    def pick(self, fraction: float) -> int:
        """Return the value for a number in [0, 1)."""
        return min(self.low + int(fraction * (self.high - self.low + 1)), self.high)


@dataclass(frozen=True, slots=True)
class _Continuum:
    """Any number between two."""

    low: float
    high: float

    def size(self) -> None:
        """Return None: a grid cannot go through a continuum."""

    def level(self, at: int) -> float:
        """Raise: there is none.

        Raises
        ------
        IndexError
            Always.
        """
        raise IndexError(at)


@dataclass(frozen=True, slots=True)
class Uniform(_Continuum):
    """A number between ``low`` and ``high``."""

    def pick(self, fraction: float) -> float:
        """Return the value for a number in [0, 1)."""
        return self.low + fraction * (self.high - self.low)


@dataclass(frozen=True, slots=True)
class LogUniformValues(_Continuum):
    """A number between ``low`` and ``high`` whose logarithm is uniform; both above 0."""

    def pick(self, fraction: float) -> float:
        """Return the value for a number in [0, 1)."""
        low, high = math.log(self.low), math.log(self.high)
        return min(max(math.exp(low + fraction * (high - low)), self.low), self.high)


@dataclass(frozen=True, slots=True)
class QUniform:
    """A multiple of ``step`` between ``low`` and ``high``, by rounding a uniform number."""

    low: float
    high: float
    step: float

    def size(self) -> int:
        """Return how many values a grid goes through."""
        return len(self.counts())

    def level(self, at: int) -> float:
        """Return one of them."""
        return self._value(self.counts()[at])

    def counts(self) -> range:
        """Return which multiples lie between the bounds."""
        slack = 1e-9
        first = math.ceil(self.low / self.step - slack)
        last = math.floor(self.high / self.step + slack)
        return range(first, last + 1)

    def pick(self, fraction: float) -> float:
        """Return the value for a number in [0, 1)."""
        counts = self.counts()
        near = round((self.low + fraction * (self.high - self.low)) / self.step)
        return self._value(min(max(near, counts[0]), counts[-1]))

    def _value(self, count: int) -> float:
        value = count * self.step
        return value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}")


Distribution = Choice | IntUniform | Uniform | LogUniformValues | QUniform


@dataclass(frozen=True, slots=True)
class Dimension:
    """One parameter.

    Parameters
    ----------
    path : tuple of str
        Its name, below the names of the mappings that it lies in.
    distribution : Distribution
        Its values.
    """

    path: tuple[str, ...]
    distribution: Distribution

    @property
    def name(self) -> str:
        """The name with dots, as on a command line."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Space:
    """All parameters of a sweep, in the order of the file."""

    dimensions: tuple[Dimension, ...]

    def grid_size(self) -> int | None:
        """Return the number of points of the grid; None if there is a continuum."""
        size = 1
        for dimension in self.dimensions:
            levels = dimension.distribution.size()
            if levels is None:
                return None
            size *= levels
        return size

    def grid_point(self, number: int) -> dict[str, Any]:
        """Return a point of the grid; the last parameter changes fastest.

        Parameters
        ----------
        number : int
            0-based, below `grid_size`.

        Raises
        ------
        IndexError
            There is no such point.
        """
        values: dict[tuple[str, ...], Any] = {}
        rest = number
        for dimension in reversed(self.dimensions):
            levels = dimension.distribution.size()
            if levels is None or number < 0:
                raise IndexError(number)
            rest, at = divmod(rest, levels)
            values[dimension.path] = dimension.distribution.level(at)
        if rest:
            raise IndexError(number)
        return self._nest(values)

    def random_point(self, seed: int, number: int) -> dict[str, Any]:
        """Return the random point with a number, the same one wherever it is asked for.

        Parameters
        ----------
        seed : int
            The sweep's.
        number : int
            0-based.
        """
        return self._nest(
            {
                dimension.path: dimension.distribution.pick(_fraction(seed, number, dimension.name))
                for dimension in self.dimensions
            }
        )

    def _nest(self, values: dict[tuple[str, ...], Any]) -> dict[str, Any]:
        nested: dict[str, Any] = {}
        for dimension in self.dimensions:
            inner = nested
            for part in dimension.path[:-1]:
                inner = inner.setdefault(part, {})
            inner[dimension.path[-1]] = values[dimension.path]
        return nested


def _fraction(seed: int, number: int, name: str) -> float:
    """Return a number in [0, 1), with all 53 bits that a double has."""
    digest = hashlib.blake2b(f"{seed}/{number}/{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / (1 << 53)
