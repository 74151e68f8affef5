"""How ranks end at the same place without a collective operation: rank 0 promises, and keeps it.

All ranks pass the same *positions*, whole numbers that grow: how often they have asked, or the step
that they begin to log. Rank 0 says ahead of time up to which position there will be no stop. Up to
there the others go on without waiting; behind it they wait for news. When rank 0 wants to stop, it
stops behind the end of what it has promised, which nobody has passed. So every rank stops at the
first position behind that end, however far apart the ranks are.

A promise reaches about as many positions ahead as pass while news spread, but always to the
next one: then ranks that work in step never wait, even if rank 0 is held up before it asks.
The first position is free on every rank, as there is nothing promised yet.

Pure: no time is asked for, and nothing is sent.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

AHEAD_MAX = 200
"""Positions; should their pace slow down, twice as many slow ones may pass before the stop."""

LOCAL_SPREAD_S = 0.1
"""What news need at most between ranks of a node, on a busy one."""

LOOK_S = 0.1
"""How often the agents of a launch on several nodes look for news in the run's folder."""

LOOKERS_MAX = 64
"""With more nodes they look less often: all of them ask the same file server."""


def choose_look_s(size: int, local_size: int) -> float:
    """Return how often an agent looks for news of another node, seconds.

    Parameters
    ----------
    size, local_size : int
        Ranks of the launch, and of one node.
    """
    nodes = size / max(local_size, 1)
    return LOOK_S * max(1.0, nodes / LOOKERS_MAX)


def choose_spread_s(size: int, local_size: int) -> float:
    """Return what news need at most from rank 0 to the others, seconds.

    Parameters
    ----------
    size, local_size : int
        Ranks of the launch, and of one node.
    """
    if size <= local_size:
        return LOCAL_SPREAD_S
    return 3 * LOCAL_SPREAD_S + 2 * choose_look_s(size, local_size)


class Giver:
    """Rank 0's side.

    Parameters
    ----------
    spread_s : float
        What news need to reach the others.

    Attributes
    ----------
    until : int or None
        Up to here no rank stops; None before the first position.
    after : int or None
        Behind this all stop; None while nobody does.
    """

    def __init__(self, spread_s: float) -> None:
        self._spread_s = spread_s
        self._last: tuple[int, float] | None = None
        self._pace_s = 0.0
        self._stride = 1
        self._seen = 0
        self.until: int | None = None
        self.after: int | None = None

    def ask(self, position: int, now_s: float, *, wants_stop: bool) -> tuple[bool, dict[str, Any]]:
        """Decide about a position.

        Parameters
        ----------
        position : int
            Higher than the one before.
        now_s : float
            Monotonic time.
        wants_stop : bool
            Whether there is a reason to stop.

        Returns
        -------
        bool
            Whether to stop here.
        dict
            News for the others, to be sent before anything else is done: ``until`` or ``after``;
            often empty.
        """
        if self.after is not None:
            return position > self.after, {}
        if self.until is None:
            self.until = position
        self._measure(position, now_s)
        if wants_stop:
            self.after = self.until
            return position > self.after, {"after": self.after}
        ahead = self._choose_ahead()
        if self.until - position >= ahead:
            return False, {}
        # Twice as far as it is needed: then it is needed again after half of that.
        self.until = position + (ahead if ahead == self._stride else 2 * ahead)
        return False, {"until": self.until}

    def _measure(self, position: int, now_s: float) -> None:
        if self._last is not None and position > self._last[0]:
            self._stride = position - self._last[0]
            pace_s = max(0.0, now_s - self._last[1]) / self._stride
            # A slow one counts at once, and is forgotten after a few quick ones.
            self._pace_s = max(pace_s, self._pace_s / 2)
        self._last = (position, now_s)
        self._seen += 1

    def _choose_ahead(self) -> int:
        """Return how many positions pass while news spread; one at least."""
        if self._pace_s <= 0:
            return self._stride
        # The first ones may be quicker than all others: no promise is longer than the past.
        most = min(self._seen, AHEAD_MAX) * self._stride
        return max(self._stride, int(min(self._spread_s / self._pace_s, float(most))))


class Taker:
    """The side of every other rank.

    Attributes
    ----------
    until, after : int or None
        As of `Giver`, as far as it is known here.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self.until: int | None = None
        self.after: int | None = None

    def take(self, news: object) -> None:
        """Take news, new or old, in any order; what is none is passed over."""
        if not isinstance(news, dict):
            return
        until, after = news.get("until"), news.get("after")
        if type(until) is int and (self.until is None or until > self.until):
            self.until = until
        if type(after) is int and self.after is None:
            self.after = after

    def ask(self, position: int) -> bool | None:
        """Return whether to stop at a position; None if only news can tell."""
        if self._first is None:
            self._first = position
        if self.after is not None:
            return position > self.after
        if position <= self._first or (self.until is not None and position <= self.until):
            return False
        return None
