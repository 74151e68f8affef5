"""What counters of the machine say: rates, shares, and totals that never go back."""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class Rates:
    """Rates of counters, from one reading to the next.

    Notes
    -----
    A counter that went back has been reset: it has no rate until the next reading. So has one
    that is seen for the first time. A rate is never negative.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[float, float]] = {}

    def rate(self, key: Hashable, value: float, mono_s: float) -> float | None:
        """Return the growth per second since this counter's last reading.

        Parameters
        ----------
        key : hashable
            Which counter.
        value : float
            What it says now.
        mono_s : float
            When that is.
        """
        last = self._last.get(key)
        self._last[key] = (value, mono_s)
        if last is None or value < last[0] or mono_s <= last[1]:
            return None
        return (value - last[0]) / (mono_s - last[1])

    def growth(self, key: Hashable, value: float) -> float | None:
        """Return the growth since this counter's last reading, whenever that was."""
        last = self._last.get(key)
        self._last[key] = (value, 0.0)
        return None if last is None or value < last[0] else value - last[0]

    def forget(self, kept: Iterable[Hashable]) -> None:
        """Drop all counters but these."""
        kept = set(kept)
        self._last = {key: last for key, last in self._last.items() if key in kept}


class Odometer:
    """A total that goes on growing when the counter that it reads wraps or is reset.

    Parameters
    ----------
    modulus : float or None
        Where the counter starts at zero again; None if it never does.

    Notes
    -----
    The total begins with zero at the first reading. A step back is a wrap if the growth that this
    means is believable, else a reset: then nothing is added for that step, as nobody knows.
    """

    def __init__(self, modulus: float | None = None) -> None:
        self._modulus = modulus
        self._last: float | None = None
        self.total = 0.0

    def add(self, value: float, *, at_most: float) -> float | None:
        """Take a reading; return by how much the total has grown, or None if it is not known.

        Parameters
        ----------
        value : float
            What the counter says now.
        at_most : float
            The largest growth since the last reading that can be believed.
        """
        last, self._last = self._last, value
        if last is None:
            return None
        growth = value - last
        if growth < 0:
            if self._modulus is None:
                return None
            growth += self._modulus
        if not 0 <= growth <= at_most:
            return None
        self.total += growth
        return growth
