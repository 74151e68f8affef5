"""A grid is counted through, not listed: point 10**30 costs as much as point 0.

Without conditions a point's number is written in a number system with a base for each parameter.
With them, a parameter that is absent has one digit less, so the points below a value are counted
first; values that no condition asks for are counted once, together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hpctrack.errors import SweepError

MAX_COUNTS = 100_000
"""More different outcomes of conditions than this cannot be what somebody meant."""

_OTHER = object()
"""Stands for all values that no condition asks for."""


class _Condition(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def values(self) -> tuple[Any, ...]: ...


class _Levels(Protocol):
    def size(self) -> int | None: ...

    def level(self, at: int) -> Any: ...

    def find(self, value: Any) -> int | None: ...


class _Dimension(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def distribution(self) -> _Levels: ...

    @property
    def when(self) -> Sequence[_Condition]: ...

    def is_active(self, values: Mapping[str, Any]) -> bool: ...


class Grid:
    """The points of a space whose distributions all have levels.

    Parameters
    ----------
    dimensions : sequence of Dimension
        The last one changes fastest.

    Raises
    ------
    SweepError
        The conditions depend on each other in too many ways.
    """

    def __init__(self, dimensions: Sequence[_Dimension]) -> None:
        self._dimensions = dimensions
        self._sizes = [one.distribution.size() or 0 for one in dimensions]
        asked: dict[str, list[Any]] = {}
        for one in dimensions:
            for condition in one.when:
                asked.setdefault(condition.name, []).extend(condition.values)
        self._segments = [_find_segments(one, asked.get(one.name, ())) for one in dimensions]
        self._watched = self._find_watched()
        self._counts: dict[tuple[Any, ...], int] = {}
        self._below = [1] * (len(dimensions) + 1)
        for at in reversed(range(len(dimensions))):
            self._below[at] = self._below[at + 1] * self._sizes[at]
        try:
            self.size = self._count(0, {})
        except RecursionError:
            raise SweepError("a grid with conditions cannot have so many parameters") from None

    def point(self, number: int) -> dict[str, Any]:
        """Return the values of a point by dotted name.

        Parameters
        ----------
        number : int
            From 0 to below `size`.
        """
        values: dict[str, Any] = {}
        seen: dict[str, Any] = {}
        for at, one in enumerate(self._dimensions):
            if not one.is_active(seen):
                continue
            for start, length, stand_in in self._segments[at]:
                below = self._count(at + 1, {**seen, one.name: stand_in})
                if number < length * below:
                    steps, number = divmod(number, below)
                    values[one.name] = one.distribution.level(start + steps)
                    seen[one.name] = stand_in
                    break
                number -= length * below
        return values

    def _find_watched(self) -> list[frozenset[str]]:
        """Return, for each parameter, the names that it or a later one asks for."""
        watched = [frozenset[str]()]
        for one in reversed(self._dimensions):
            watched.append(watched[-1] | {condition.name for condition in one.when})
        return watched[::-1]

    def _count(self, at: int, seen: Mapping[str, Any]) -> int:
        """Return how many points the parameters from `at` on make, after what was seen."""
        if not self._watched[at]:
            return self._below[at]
        watched = {name: value for name, value in seen.items() if name in self._watched[at]}
        key = (at, *((name, _mark(value)) for name, value in watched.items()))
        if key not in self._counts:
            if len(self._counts) >= MAX_COUNTS:
                raise SweepError(
                    "the conditions of this grid have too many outcomes", hint="use method: random"
                )
            self._counts[key] = self._count_anew(at, watched)
        return self._counts[key]

    def _count_anew(self, at: int, seen: Mapping[str, Any]) -> int:
        one = self._dimensions[at]
        if not one.is_active(seen):
            return self._count(at + 1, seen)
        return sum(
            length * self._count(at + 1, {**seen, one.name: stand_in})
            for _, length, stand_in in self._segments[at]
        )


def _find_segments(own: _Dimension, asked: Sequence[Any]) -> list[tuple[int, int, Any]]:
    """Return runs of levels that mean the same to all conditions: start, length, stand-in."""
    found = ((own.distribution.find(one), one) for one in asked)
    places = {place: value for place, value in found if place is not None}
    segments: list[tuple[int, int, Any]] = []
    start = 0
    for place in sorted(places):
        if place > start:
            segments.append((start, place - start, _OTHER))
        segments.append((place, 1, places[place]))
        start = place + 1
    size = own.distribution.size() or 0
    if start < size:
        segments.append((start, size - start, _OTHER))
    return segments


def _mark(value: Any) -> object:
    return (type(value).__name__, repr(value)) if value is not _OTHER else None
