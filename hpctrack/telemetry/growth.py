"""Counters of drivers, which wrap, start again and sometimes lie, as totals that only grow. Pure.

A counter says how much there has been since some moment. What is wanted is how much there was
since we began to look. Between two readings the counter may have

* grown: the difference counts, if it is possible at all;
* wrapped, at 32 or 64 bits: the difference modulo that counts, if it is possible and the counter
  stood close to its end;
* started again from nothing, as the driver was loaded anew or the GPU was reset: what it shows now
  was used since, and counts, if it is possible. What was used between the last reading and the
  reset is lost, so the total is then a lower bound;
* jumped up by more than is possible: that does not count. A driver may fall to almost
  nothing for one reading and come back.
"""

from __future__ import annotations

from typing import Final

WRAPS: Final = (2**32, 2**64)
"""Where counters of drivers end."""

NEAR: Final = 64
"""A wrap is believed in the last 64th of a counter's range. Readings once a second are never
further apart; after a long gap a reset looks like a wrap, and to take one for the other would
invent four megajoules."""


class Growth:
    """A total of how much a counter has grown since its first reading.

    Parameters
    ----------
    wraps : tuple of int
        Where the counter may begin again at zero, in its own unit, the smallest first; empty for
        one that never does.

    Attributes
    ----------
    total : float
        Growth so far, in the counter's unit. Never falls.
    resets : int
        How often something was hidden by a reset or an impossible reading: if ever, the total is a
        lower bound.
    """

    __slots__ = ("_last", "_wraps", "resets", "total")

    def __init__(self, wraps: tuple[int, ...] = WRAPS) -> None:
        self._wraps = wraps
        self._last: float | None = None
        self.total = 0.0
        self.resets = 0

    def add(self, value: float, most: float) -> float | None:
        """Take a reading.

        Parameters
        ----------
        value : float
            What the counter shows; an int is exact at any size.
        most : float
            More than it can have grown by since the last reading, however busy.

        Returns
        -------
        float or None
            How much it has grown, at least; None for the first reading, and where that cannot be
            known.
        """
        last, self._last = self._last, value
        if last is None:
            return None
        step = value - last
        if step < 0:
            step = self._find_wrapped(last, value, most)
        if step > most:
            self.resets += 1
            return None
        self.total += step
        return step

    def _find_wrapped(self, last: float, value: float, most: float) -> float:
        for end in self._wraps:
            if 0 < end - last <= end // NEAR and value + end - last <= most:
                return value + end - last
        self.resets += value <= most
        return value
