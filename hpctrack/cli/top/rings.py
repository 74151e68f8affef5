"""The newest part of a series, in fixed memory: one value for each of so many stretches of time."""

from __future__ import annotations

import math
from array import array

COLUMNS = 60

_EMPTY = array("d", [math.nan]) * COLUMNS


class Ring:
    """The last value in each of the newest `COLUMNS` stretches of time; NaN where there is none.

    Attributes
    ----------
    newest : int
        The number of the newest stretch with a value; -1 if there is none.
    """

    __slots__ = ("_values", "newest")

    def __init__(self) -> None:
        self._values = _EMPTY[:]
        self.newest = -1

    def put(self, stretch: int, value: float) -> None:
        """Set the value of a stretch; one that is too old is passed over."""
        if stretch > self.newest:
            for one in range(max(self.newest + 1, stretch - COLUMNS + 1), stretch):
                self._values[one % COLUMNS] = math.nan
            self.newest = stretch
        elif stretch <= self.newest - COLUMNS:
            return
        self._values[stretch % COLUMNS] = value

    def get(self, stretch: int) -> float:
        """Return the value of a stretch."""
        if not self.newest - COLUMNS < stretch <= self.newest:
            return math.nan
        return self._values[stretch % COLUMNS]

    def row(self, last: int, width: int, *, hold: int = 0) -> list[float]:
        """Return the values of the ``width`` stretches up to ``last``, gaps filled.

        Parameters
        ----------
        last, width : int
        hold : int, optional
            For how many stretches the newest value goes on to count.
        """
        found: list[float] = []
        held = math.nan
        first = last - width + 1
        for stretch in range(first - COLUMNS, last + 1):
            value = self.get(stretch)
            if not math.isnan(value):
                held = value
            elif stretch > self.newest + hold:
                held = math.nan
            if stretch >= first:
                found.append(held)
        return found

    def halve(self) -> None:
        """Make each stretch twice as long: of two values the later one stays."""
        values = [(one, self.get(one)) for one in range(self.newest - COLUMNS + 1, self.newest + 1)]
        self._values = _EMPTY[:]
        self.newest = -1
        for stretch, value in values:
            if stretch >= 0 and not math.isnan(value):
                self.put(stretch // 2, value)


class MeanRing:
    """The mean of all values in each stretch."""

    __slots__ = ("_counts", "_sums")

    def __init__(self) -> None:
        self._sums = Ring()
        self._counts = Ring()

    @property
    def newest(self) -> int:
        """As of `Ring`."""
        return self._sums.newest

    def add(self, stretch: int, value: float) -> None:
        """Take in a value."""
        count = self._counts.get(stretch)
        if count != count:  # noqa: PLR0124 - NaN; this is called for each point
            self._counts.put(stretch, 1.0)
            self._sums.put(stretch, value)
        else:
            self._counts.put(stretch, count + 1.0)
            self._sums.put(stretch, self._sums.get(stretch) + value)

    def row(self, last: int, width: int) -> list[float]:
        """Return the means of stretches, gaps filled."""
        sums = self._sums.row(last, width)
        counts = self._counts.row(last, width)
        return [total / count for total, count in zip(sums, counts, strict=True)]

    def halve(self) -> None:
        """As of `Ring`."""
        self._sums.halve()
        self._counts.halve()
