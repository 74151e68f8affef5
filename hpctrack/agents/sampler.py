"""Asks the sources of telemetry, each on a thread of its own, at moments that do not drift."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hpctrack.core.clock import Clock
from hpctrack.telemetry.reading import Happening, Reading, Source, Watch, WatchedRank

FIRST_OFFSETS_S = (0.0, 1.0, 2.0, 4.0)
"""The first readings come quicker than the interval says: a run of ten seconds has some too, and a
rate needs two."""

HUNG_AFTER_S = 30.0
"""A source that has not answered for so long, and for three intervals, is told to hang."""

UNANSWERED_S = 2.0
"""A source that has been asked for so long when a run ends is told: the run has nothing of it."""

HELD_MAX = 64
"""Readings that wait to be collected; an agent that is busy for longer has older ones dropped."""


class Taken(NamedTuple):
    """A reading, and when it was made.

    Parameters
    ----------
    source : str
    wall_s : float
    reading : Reading
    """

    source: str
    wall_s: float
    reading: Reading


class Sampler:
    """Asks all sources again and again until it is closed.

    Parameters
    ----------
    sources : sequence of Source
    interval_s : float
        Between two readings of a source.
    clock : Clock
    watch : callable
        Returns the ranks to look after, from any thread.

    Attributes
    ----------
    bell : socket
        Can be read when there is something to collect.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        interval_s: float,
        clock: Clock,
        watch: Callable[[], tuple[WatchedRank, ...]],
    ) -> None:
        self.bell, self._rope = socket.socketpair()
        for one in (self.bell, self._rope):
            one.setblocking(False)  # noqa: FBT003 - socket's signature
        self._clock = clock
        self._taken: deque[Taken] = deque(maxlen=HELD_MAX)
        self._is_over = threading.Event()
        self._has_answered = threading.Condition()
        start_s = clock.mono_s()
        self._askers = [
            _Asker(source, start_s, max(interval_s, 0.05), self._is_over, clock)
            for source in sources
        ]
        for asker in self._askers:
            threading.Thread(
                target=asker.run,
                args=(watch, self._put),
                name=f"hpctrack-{asker.source.name}",
                daemon=True,
            ).start()

    def collect(self) -> list[Taken]:
        """Return what has been read since the last time; never waits."""
        with contextlib.suppress(BlockingIOError):
            while self.bell.recv(4096):
                pass
        found = []
        with contextlib.suppress(IndexError):
            while True:
                found.append(self._taken.popleft())
        now_s, wall_s = self._clock.mono_s(), self._clock.wall_s()
        for asker in self._askers:
            happening = asker.look(now_s)
            if happening:
                found.append(Taken(asker.source.name, wall_s, Reading(happenings=[happening])))
        return found

    def find_unanswered(self) -> Happening | None:
        """Return which sources are waited for now, for a run that ends before they hang."""
        now_s = self._clock.mono_s()
        waits = [(one.source.name, one.wait_s(now_s)) for one in self._askers]
        told = [f"{name} for {wait_s:.0f} s" for name, wait_s in waits if wait_s >= UNANSWERED_S]
        if not told:
            return None
        text = f"no answer at the end of the run: {', '.join(told)}; its samples are missing"
        return Happening("warning", "telemetry-unanswered", text)

    def hurry(self, limit_s: float) -> None:
        """Ask all sources at once, out of turn, and wait for what they answer within a limit.

        A source that has owed an answer for longer than that is neither asked nor waited for.

        Parameters
        ----------
        limit_s : float
        """
        now_s = self._clock.mono_s()
        owing = {one: one.answers for one in self._askers if one.wake(now_s, limit_s)}
        with self._has_answered:
            self._has_answered.wait_for(
                lambda: all(one.answers > count for one, count in owing.items()), limit_s
            )

    def close(self) -> None:
        """Ask nobody any more. A source that hangs keeps its thread until the process ends."""
        self._is_over.set()
        for asker in self._askers:
            asker.wake_up.set()
        self.bell.close()
        self._rope.close()

    def _put(self, taken: Taken) -> None:
        self._taken.append(taken)
        with self._has_answered:
            self._has_answered.notify_all()
        with contextlib.suppress(OSError):
            self._rope.send(b"!")


class _Asker:
    """One source's thread."""

    def __init__(
        self,
        source: Source,
        start_s: float,
        interval_s: float,
        is_over: threading.Event,
        clock: Clock,
    ) -> None:
        self.source = source
        self._start_s, self._interval_s = start_s, interval_s
        self._is_over = is_over
        self._clock = clock
        self.wake_up = threading.Event()
        self.answers = 0
        self._asked_s: float | None = None
        self._is_hung = False
        self._problems: set[str] = set()

    def run(
        self, watch: Callable[[], tuple[WatchedRank, ...]], put: Callable[[Taken], None]
    ) -> None:
        """Ask at fixed moments; one that was missed because the source was slow is left out."""
        pid = os.getpid()
        number = 0
        while os.getpid() == pid:
            number = self._wait(number)
            if self._is_over.is_set():
                break
            self._asked_s = self._clock.mono_s()
            wall_s = self._clock.wall_s()
            reading = self._ask(Watch(wall_s, self._asked_s, watch()))
            self._asked_s = None
            self.answers += 1
            put(Taken(self.source.name, wall_s, reading))
        with contextlib.suppress(Exception):
            self.source.close()

    def wake(self, now_s: float, limit_s: float) -> bool:
        """Ask now, if no answer is owed; return whether one can be hoped for within a limit."""
        asked_s = self._asked_s
        if asked_s is None:
            self.wake_up.set()
        return asked_s is None or now_s - asked_s < limit_s

    def look(self, now_s: float) -> Happening | None:
        """Return what is new about whether the source answers."""
        asked_s = self._asked_s
        limit_s = max(HUNG_AFTER_S, 3 * self._interval_s)
        is_hung = asked_s is not None and now_s - asked_s > limit_s
        if is_hung == self._is_hung:
            return None
        self._is_hung = is_hung
        name = self.source.name
        if is_hung:
            text = f"{name}: no answer for {limit_s:.0f} s; its samples are missing from here on"
            return Happening("warning", f"{name}-hung", text)
        return Happening("info", f"{name}-back", f"{name}: answers again")

    def wait_s(self, now_s: float) -> float:
        """Return for how long the source has been asked in vain; 0 if that has been told."""
        asked_s = self._asked_s
        return 0.0 if asked_s is None or self._is_hung else now_s - asked_s

    def moment_s(self, number: int) -> float:
        """Return when the reading of a number is due."""
        early = [one for one in FIRST_OFFSETS_S if one < self._interval_s] or [0.0]
        if number < len(early):
            return self._start_s + early[number]
        return self._start_s + (number - len(early) + 1) * self._interval_s

    def _wait(self, number: int) -> int:
        """Wait for the next moment that is not over yet, or to be woken.

        Returns
        -------
        int
            The number of the moment to wait for next.
        """
        now_s = self._clock.mono_s()
        while self.moment_s(number + 1) <= now_s:
            number += 1
        is_woken = self.wake_up.wait(max(0.0, self.moment_s(number) - now_s))
        self.wake_up.clear()
        return number if is_woken else number + 1

    def _ask(self, watch: Watch) -> Reading:
        try:
            return self.source.read(watch)
        except Exception as error:  # noqa: BLE001 - drivers raise anything, and metrics must go on
            said = f"{type(error).__name__}: {error}"
            if said in self._problems:
                return Reading()
            self._problems.add(said)
            name = self.source.name
            return Reading(happenings=[Happening("warning", f"{name}-failed", f"{name}: {said}")])
