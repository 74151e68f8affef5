"""Telling pages what has changed, while somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack_server.data.frames import Pulse
from hpctrack_server.data.reader import Reader

Topic = tuple[str, str | None]
"""Project and run id; None as the run means the project's list."""

STORE: Topic = ("", None)
"""Which projects there are, and which runs go on."""

GONE: dict[str, Any] = {"version": 0, "state": None, "live": False, "changed": [], "gone": True}
"""What a page is told of a run that has left the store."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Subscription:
    """One page's view of a topic: what it has not been told yet, merged.

    A page that is slow to read gets one event with everything, never a queue of old ones.
    """

    topic: Topic
    _pending: dict[str, Any] = field(default_factory=dict)
    _is_due: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, change: dict[str, Any]) -> None:
        """Add a change to what is to be told."""
        changed = {*self._pending.get("changed", ()), *change.get("changed", ())}
        self._pending = {**change, "changed": sorted(changed)}
        self._is_due.set()

    def wake(self) -> None:
        """Let whoever waits look up, although there is nothing to tell."""
        self._is_due.set()

    async def next(self, timeout_s: float) -> dict[str, Any] | None:
        """Wait for something to tell; None after the time is up."""
        try:
            async with asyncio.timeout(timeout_s):  # `wait_for` would make a task for each wait
                await self._is_due.wait()
        except TimeoutError:
            return None
        self._is_due.clear()
        pending, self._pending = self._pending, {}
        return pending or None


class Watcher:
    """Looks at what is watched, on the reading thread, and tells those who watch it.

    Parameters
    ----------
    pulse : callable
        `DataProvider.pulse`.
    reader : Reader
        Where it runs.
    interval_s : float
        Time between two looks.
    rest_s : float, optional
        Time between two looks at a run that is over: it can still be deleted or edited.
    """

    def __init__(
        self,
        pulse: Callable[[str, str | None], Pulse],
        reader: Reader,
        *,
        interval_s: float,
        rest_s: float = 0.0,
    ) -> None:
        self._pulse = pulse
        self._reader = reader
        self._interval_s = interval_s
        self._rest_s = rest_s
        self._next_mono_s: dict[Topic, float] = {}
        self._subscriptions: set[Subscription] = set()
        self._last: dict[Topic, Pulse] = {}
        self._gone: set[Topic] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.is_closed = False

    @contextlib.contextmanager
    def subscribe(self, topic: Topic) -> Iterator[Subscription]:
        """Watch a topic; the first thing told is how it stands."""
        subscription = Subscription(topic)
        self._subscriptions.add(subscription)
        self._is_empty.clear()
        if topic in self._last:
            subscription.offer(describe_change(None, self._last[topic]))
        elif topic in self._gone:
            subscription.offer(GONE)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions:
                self._is_empty.set()

    async def close(self, timeout_s: float) -> None:
        """Ask those who watch to leave, and wait for them."""
        self.is_closed = True
        for one in self._subscriptions:
            one.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """Look once at everything that is watched."""
        topics = {one.topic for one in self._subscriptions}
        self._last = {topic: pulse for topic, pulse in self._last.items() if topic in topics}
        self._gone &= topics
        self._next_mono_s = {one: due for one, due in self._next_mono_s.items() if one in topics}
        due = [one for one in topics if self._is_due(one)]
        if not due:
            return
        for topic, pulse in (await self._reader.call(self._read, due)).items():
            if isinstance(pulse, NotFoundError):
                self._last.pop(topic, None)
                if topic not in self._gone:
                    self._gone.add(topic)
                    self._tell(topic, GONE)
                continue
            if isinstance(pulse, HpctrackError):
                log.debug("cannot watch %s: %s", topic, pulse.message)
                continue
            before = self._last.get(topic)
            self._last[topic] = pulse
            self._gone.discard(topic)
            if before is None or before.version != pulse.version or before.is_live != pulse.is_live:
                self._tell(topic, describe_change(before, pulse))

    def _read(self, topics: Sequence[Topic]) -> dict[Topic, Pulse | HpctrackError]:
        """Look at all topics, on the reading thread: one way there and back."""
        found: dict[Topic, Pulse | HpctrackError] = {}
        for topic in topics:
            try:
                found[topic] = self._pulse(*topic)
            except HpctrackError as error:
                found[topic] = error
        return found

    def _is_due(self, topic: Topic) -> bool:
        last, now_s = self._last.get(topic), asyncio.get_running_loop().time()
        if last is None or last.is_live:
            self._next_mono_s.pop(topic, None)
            return True
        if now_s < self._next_mono_s.setdefault(topic, now_s + self._rest_s):
            return False
        self._next_mono_s[topic] = now_s + self._rest_s
        return True

    def _tell(self, topic: Topic, change: dict[str, Any]) -> None:
        for one in self._subscriptions:
            if one.topic == topic:
                one.offer(change)


def describe_change(before: Pulse | None, now: Pulse) -> dict[str, Any]:
    """Return what a page is told. Pure.

    Returns
    -------
    dict
        ``version``, ``state``, ``live`` and ``changed``, the metrics that have grown since
        ``before``; of a project ``turns``.
    """
    known = before.sizes if before else now.sizes
    changed = [name for name, size in now.sizes.items() if known.get(name) != size]
    state = str(now.state) if now.state else None
    said = {"version": now.version, "state": state, "live": now.is_live, "changed": changed}
    return {**said, "turns": now.turns} if now.turns else said
