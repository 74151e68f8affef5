"""Whether the values of a series come in the order of their steps. Pure."""

from __future__ import annotations

import math
from enum import Enum


class Turn(Enum):
    """How a value stands to those before it."""

    NEXT = "next"
    AGAIN = "again"
    """The same step once more: it takes the place of the last value."""
    LATE = "late"
    """Below the last step: it belongs between others."""
    REWOUND = "rewound"
    """The program has gone back to an earlier step, and on from there."""


class StepOrder:
    """Follows one series.

    Notes
    -----
    A program that goes back to a checkpoint, and one that evaluates late, look alike at the first
    late value. At the second in a row that rises it has gone back.
    """

    __slots__ = ("_late", "last")

    def __init__(self) -> None:
        self.last: float = -math.inf
        self._late: float | None = None

    def take(self, step: int) -> Turn:
        """Return how the next value stands to those before it."""
        if step > self.last:
            self.last, self._late = step, None
            return Turn.NEXT
        if step == self.last:
            return Turn.AGAIN
        if self._late is not None and step > self._late:
            self.last, self._late = step, None
            return Turn.REWOUND
        self._late = step
        return Turn.LATE
