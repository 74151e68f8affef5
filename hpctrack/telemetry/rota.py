"""Whose turn it is to be read, where reading is dear."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from hpctrack.core.clock import Clock

Key = TypeVar("Key", bound=Hashable)


class Rota:
    """Turns for many that cannot all be read each time.

    Parameters
    ----------
    period_s : float
        How often each one has its turn, at most.
    share : float
        Of a core, what all turns together may cost. With many keys, or costly ones, turns are
        rarer instead.
    clock : Clock
        Measures what a turn has cost.
    """

    def __init__(self, period_s: float, *, share: float, clock: Clock) -> None:
        self._period_s = period_s
        self._share = share
        self._clock = clock
        self._last: dict[Hashable, float] = {}
        self._asked_s: float | None = None
        self._allowed_s = 0.0

    def turns(self, keys: Iterable[Key], mono_s: float) -> Iterator[Key]:
        """Yield those whose turn it is, the longest waiting first, until the time is used up.

        Parameters
        ----------
        keys : iterable
            All that are there. Those that are not any more are forgotten.
        mono_s : float
            Now.

        Notes
        -----
        What the calling thread works until it asks for the next item is what an item has cost.
        One that costs more than is left goes through, and the others wait until it is paid.
        """
        since = 1.0 if self._asked_s is None else mono_s - self._asked_s
        self._asked_s = mono_s
        self._allowed_s = min(self._allowed_s, 0.0) + self._share * since
        never = float("-inf")
        self._last = {key: self._last.get(key, never) for key in keys}
        due = [key for key, last in self._last.items() if mono_s - last >= self._period_s]
        for key in sorted(due, key=lambda one: self._last[one]):
            if self._allowed_s <= 0:
                return
            started_s = self._clock.cpu_s()
            self._last[key] = mono_s
            yield key  # type: ignore[misc]  # they are the keys that came in
            self._allowed_s -= self._clock.cpu_s() - started_s
