"""Counting the steps at which a trial has logged its metric: what stopping rules go by. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Iterable


class IterationCounter:
    """Numbers distinct steps from 1, in their order.

    A program that continues from a checkpoint logs some steps again: they keep their numbers.

    Parameters
    ----------
    steps : iterable of int, optional
        What earlier attempts have logged.
    """

    def __init__(self, steps: Iterable[int] = ()) -> None:
        self._steps = sorted(set(steps))

    def __len__(self) -> int:
        """How many steps there are."""
        return len(self._steps)

    def count(self, step: int) -> int:
        """Return the number of a step, which is noted."""
        if not self._steps or step > self._steps[-1]:
            self._steps.append(step)
            return len(self._steps)
        at = bisect.bisect_left(self._steps, step)
        if self._steps[at] != step:
            self._steps.insert(at, step)
        return at + 1
