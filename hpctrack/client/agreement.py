"""Ranks that stop at the same place: `hpctrack.core.lease`, and how news travel.

Loaded when a rank of several first needs it. Rank 0 tells its agent, which tells the ranks of its
node, and by a file in the run's folder the agents of the other nodes.
"""

from __future__ import annotations

from hpctrack.core import wire
from hpctrack.core.lease import Giver, Taker, choose_spread_s
from hpctrack.core.wire import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hpctrack.client.channel import Channel
    from hpctrack.client.ranks import RankInfo
    from hpctrack.core.clock import Clock

CALL, STEP = "call", "step"
"""What ranks count: how often they have asked, or the step that they log."""

MISSES_MAX = 3
"""A rank that has waited in vain so often waits no more: rank 0 does not take part."""


class Agreement:
    """One rank's part in it.

    Parameters
    ----------
    channel : Channel
        To the agent.
    clock : Clock
        For time-outs, and the pace.
    place : RankInfo
        Which rank this is.
    wait_s : float
        How long to wait for news at most.
    find_wish : callable
        Returns who asks this rank to stop, and why; None if nobody does.
    get_news : callable
        Returns what the agent has said last of the agreement.
    tell : callable
        Takes code and text of a warning.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        clock: Clock,
        place: RankInfo,
        wait_s: float,
        find_wish: Callable[[], dict[str, Any] | None],
        get_news: Callable[[], dict[str, Any]],
        tell: Callable[[str, str], None],
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._place = place
        self._wait_s = wait_s
        self._find_wish = find_wish
        self._get_news = get_news
        self._tell = tell
        self._givers: dict[str, Giver] = {}
        self._takers: dict[str, Taker] = {}
        self._said: dict[str, dict[str, Any]] = {}
        self._calls = self._misses = 0
        self._is_off = False
        self._is_listening = False

    def ask_call(self) -> dict[str, Any] | None:
        """Return who asks all ranks to stop, at the same call on each of them; else None."""
        self._calls += 1
        return self.ask(CALL, self._calls)

    def ask(self, track: str, position: int) -> dict[str, Any] | None:
        """Return who asks all ranks to stop, at the same position on each of them; else None.

        Parameters
        ----------
        track : str
            `CALL` or `STEP`.
        position : int
            Higher than the one before.
        """
        if self._place.rank == 0:
            return self._decide(track, position)
        taker = self._takers.setdefault(track, Taker())
        if not self._is_listening:
            self._is_listening = True
            self._channel.send(wire.pack_json(Kind.LEASE, {"listen": True}), keep="lease listen")
        self._channel.poll()
        answer = self._look(track, taker, position)
        if answer is None and not self._is_off and not self._is_free():
            answer = self._wait(track, taker, position)
        if answer is None:  # rank 0 is gone, or does not take part: each rank for itself
            return self._find_wish()
        if not answer:
            return None
        said = self._said.get(track) or self._find_wish() or {}
        return {key: str(said.get(key, "")) for key in ("who", "why")}

    def _decide(self, track: str, position: int) -> dict[str, Any] | None:
        giver = self._givers.get(track)
        if giver is None:
            spread_s = choose_spread_s(self._place.size, self._place.local_size)
            giver = self._givers[track] = Giver(spread_s)
        wish = self._find_wish()
        is_over, news = giver.ask(position, self._clock.mono_s(), wants_stop=wish is not None)
        if news:
            told = {"track": track, **news, **((wish or {}) if "after" in news else {})}
            self._channel.send(wire.pack_json(Kind.LEASE, told), keep=f"lease {track}")
        return wish if is_over else None

    def _is_free(self) -> bool:
        """Whether the agent says that rank 0 has left without a word."""
        return bool(self._get_news().get("gone"))

    def _look(self, track: str, taker: Taker, position: int) -> bool | None:
        news = self._get_news().get(track)
        taker.take(news)
        if isinstance(news, dict) and "after" in news:
            # The taker remembers the place, we the reason: the successor of a dead agent may know
            # neither by the time that we come there.
            self._said.setdefault(track, news)
        answer = taker.ask(position)
        is_promised = taker.until is not None and position <= taker.until
        if is_promised and self._misses < MISSES_MAX:
            self._is_off = False  # rank 0 has gone by where we went on without a word of it
        return answer

    def _wait(self, track: str, taker: Taker, position: int) -> bool | None:
        """Wait for news, for a bounded time; None if there are none."""
        deadline_s = self._clock.mono_s() + self._wait_s

        def has_come() -> bool:
            return self._look(track, taker, position) is not None or self._is_free()

        self._channel.drain(deadline_s, has_come)
        answer = self._look(track, taker, position)
        if answer is None and not self._is_free():
            self._misses += 1
            self._is_off = True
            if self._misses == 1:
                what = "call of should_stop()" if track == CALL else "step"
                self._tell(
                    "stop-agreement",
                    f"nothing was heard of rank 0 for {self._wait_s:g} s, at {what} {position}: "
                    "this rank goes on, and may stop elsewhere than the others; all ranks have to "
                    "call should_stop() equally often, or to log the same steps",
                )
        return answer
