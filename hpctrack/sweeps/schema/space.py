"""From a trial's number to its parameters: pure, so that any node can work it out alone.

Nothing is stored and nothing is asked: a grid is counted through, and a random point is a digest of
the sweep's seed, the trial's number and the parameter's name. NumPy's distributions may change
between releases (NEP 19), a digest does not; and a parameter keeps its values when another one is
added to the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpctrack.errors import SweepError
from hpctrack.sweeps.schema.distribution import (
    Beta,
    Choice,
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
    Uniform,
    is_same,
)
from hpctrack.sweeps.schema.expression import Constraint
from hpctrack.sweeps.schema.grid import Grid

__all__ = [
    "Beta",
    "Choice",
    "Condition",
    "Dimension",
    "Distribution",
    "IntUniform",
    "LogNormal",
    "LogUniformValues",
    "Normal",
    "QBeta",
    "QLogNormal",
    "QLogUniformValues",
    "QNormal",
    "QUniform",
    "Space",
    "Uniform",
]

MAX_DRAWS = 500
"""Random points that are drawn in place of one that violates the constraints."""

MAX_CHECKED = 200_000
"""Points of a grid with constraints: each must be looked at to know how many there are."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for a parameter to be there.

    Parameters
    ----------
    name : str
        Another parameter, with dots, that comes before it.
    values : tuple
        It must have one of them. If it is not there itself, the condition fails.
    """

    name: str
    values: tuple[Any, ...]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Tell whether it does, for values by dotted name."""
        return self.name in values and any(is_same(values[self.name], one) for one in self.values)


@dataclass(frozen=True, slots=True)
class Dimension:
    """One parameter.

    Parameters
    ----------
    path : tuple of str
        Its name, below the names of the mappings that it lies in.
    distribution : Distribution
        Its values.
    when : tuple of Condition
        All must hold; else points lack this parameter.
    """

    path: tuple[str, ...]
    distribution: Distribution
    when: tuple[Condition, ...] = ()

    @property
    def name(self) -> str:
        """The name with dots, as on a command line."""
        return ".".join(self.path)

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Tell whether a point with these values, by dotted name, has this parameter."""
        return all(one.holds(values) for one in self.when)


@dataclass(frozen=True, slots=True)
class Space:
    """All parameters of a sweep, in the order of the file.

    Parameters
    ----------
    dimensions : tuple of Dimension
        The conditions of each name dimensions before it.
    constraints : tuple of Constraint
        Those whose names are all parameters: points that violate one are not tried.
    """

    dimensions: tuple[Dimension, ...]
    constraints: tuple[Constraint, ...] = ()
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be pickled without what can be worked out again."""
        return Space, (self.dimensions, self.constraints)

    def grid_size(self) -> int | None:
        """Return the number of points of the grid; None if there is a continuum.

        Raises
        ------
        SweepError
            There are too many to check the constraints, or too many conditions.
        """
        if any(one.distribution.size() is None for one in self.dimensions):
            return None
        return len(self._allowed()) if self.constraints else self._grid().size

    def grid_point(self, number: int) -> dict[str, Any]:
        """Return a point of the grid; the last parameter changes fastest.

        A parameter whose condition fails is absent, and does not multiply the points; a point
        that violates a constraint is left out.

        Parameters
        ----------
        number : int
            0-based, below `grid_size`.

        Raises
        ------
        IndexError
            There is no such point.
        SweepError
            There are too many to check the constraints, or too many conditions.
        """
        size = self.grid_size()
        if size is None or not 0 <= number < size:
            raise IndexError(number)
        at = self._allowed()[number] if self.constraints else number
        return self.nest(self._grid().point(at))

    def has_grid_point(self) -> bool:
        """Tell whether the constraints leave a point of the grid at all."""
        return next(self._iter_allowed(), None) is not None

    def random_point(self, seed: int, number: int) -> dict[str, Any]:
        """Return the random point with a number, the same one wherever it is asked for.

        Parameters
        ----------
        seed : int
            The sweep's.
        number : int
            0-based.

        Raises
        ------
        SweepError
            No point was found that fulfils the constraints.
        """
        for draw in range(MAX_DRAWS):
            # The first draw has the digest that it had before there were constraints.
            label = f"{number}" if draw == 0 else f"{number}+{draw}"
            values: dict[str, Any] = {}
            for one in self.dimensions:
                if one.is_active(values):
                    values[one.name] = one.distribution.pick(_fraction(seed, label, one.name))
            if self.holds(values):
                return self.nest(values)
        raise SweepError(
            f"none of {MAX_DRAWS} random points fulfils the constraints",
            hint="loosen them, or choose bounds that leave less to draw in vain",
        )

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Tell whether values by dotted name violate no constraint.

        One that names a parameter which is absent holds.
        """
        return all(excess <= 0 for excess in self.violations(values))

    def violations(self, values: Mapping[str, Any]) -> tuple[float, ...]:
        """Return by how much values by dotted name violate each constraint; 0 or below: not."""
        return tuple(
            one.violation(values) if all(name in values for name in one.names) else 0.0
            for one in self.constraints
        )

    def nest(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point: values by dotted name, put into the mappings that they lie in."""
        nested: dict[str, Any] = {}
        for one in self.dimensions:
            if one.name in values:
                inner = nested
                for part in one.path[:-1]:
                    inner = inner.setdefault(part, {})
                inner[one.path[-1]] = values[one.name]
        return nested

    def flatten(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a point by dotted name: what `nest` undoes.

        What is in the point and not a parameter, such as the seed of a repeat, is left out.
        """
        values: dict[str, Any] = {}
        for one in self.dimensions:
            inner: Any = point
            for part in one.path:
                inner = inner.get(part, _ABSENT) if isinstance(inner, Mapping) else _ABSENT
            if inner is not _ABSENT:
                values[one.name] = inner
        return values

    def _grid(self) -> Grid:
        if "grid" not in self._cache:
            self._cache["grid"] = Grid(self.dimensions)
        return self._cache["grid"]  # type: ignore[no-any-return]

    def _allowed(self) -> list[int]:
        """Return the numbers of the points of the whole grid that the constraints leave."""
        if "allowed" not in self._cache:
            self._cache["allowed"] = list(self._iter_allowed())
        return self._cache["allowed"]  # type: ignore[no-any-return]

    def _iter_allowed(self) -> Iterator[int]:
        grid = self._grid()
        if self.constraints and grid.size > MAX_CHECKED:
            raise SweepError(
                f"the grid has more than {MAX_CHECKED} points to check the constraints for",
                hint="use method: random",
            )
        return (at for at in range(grid.size) if self.holds(grid.point(at)))


_ABSENT = object()


def _fraction(seed: int, label: str, name: str) -> float:
    """Return a number in [0, 1), with all 53 bits that a double has."""
    digest = hashlib.blake2b(f"{seed}/{label}/{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / (1 << 53)
