"""Handing new points of live runs to those who watch: read once, encoded once, sent to all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hpctrack_server.data.event import Event, make_event
from hpctrack_server.data.reader import Reader
from hpctrack_server.data.series.live_feed import LiveFeeds, Source, Tick
from hpctrack_server.data.series.query import RankChoice

BACKLOG_MAX_BYTES = 1 << 20
"""Of a viewer that reads too slowly no more is kept: it is told to fetch its charts again."""

STALE_REST_S = 5.0
"""Between two tellings of a page that its charts have to be fetched again."""

RECENT_S = 30.0
"""What came so lately is sent again to a page that begins to watch."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """What a page watches; pages that watch the same get the same bytes.

    Parameters
    ----------
    project : str
    runs : tuple of str
    metrics : frozenset of str
        Empty means all.
    ranks : RankChoice or int
    """

    project: str
    runs: tuple[str, ...]
    metrics: frozenset[str]
    ranks: RankChoice | int = RankChoice.MEAN


@dataclass(slots=True, eq=False)
class Viewer:
    """One page that watches."""

    watched: Watched
    live: frozenset[str] = frozenset()
    _pending: list[Event] = field(default_factory=list)
    _size_bytes: int = 0
    _stale: Event | None = None
    _next_stale_mono_s: float = 0.0
    _is_due: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def has_more(self) -> bool:
        """Whether something is, or may still be, to be told."""
        return bool(self.live or self._pending)

    def wake(self) -> None:
        """Let whoever waits look up, although there is nothing to tell."""
        self._is_due.set()

    def tell(self, events: Sequence[Event], now_mono_s: float) -> None:
        """Offer events; that charts are stale is told now and then, lest they never rest."""
        for event in events:
            if event.name == "stale":
                self._stale = event
            else:
                self.offer(event)
        if self._stale and now_mono_s >= self._next_stale_mono_s:
            self.offer(self._stale)
            self._stale = None
            self._next_stale_mono_s = now_mono_s + STALE_REST_S

    def offer(self, event: Event) -> None:
        """Add an event; of a page that does not take them, the points are given up."""
        self._pending.append(event)
        self._size_bytes += len(event.body)
        if self._size_bytes > BACKLOG_MAX_BYTES:
            kept = [one for one in self._pending if one.name not in {"points", "stale"}]
            self._pending = [*kept, make_event("stale", {"runs": list(self.watched.runs)})]
            self._size_bytes = sum(len(one.body) for one in self._pending)
        self._is_due.set()

    async def next(self, timeout_s: float) -> list[Event]:
        """Wait for events; none after the time is up."""
        try:
            async with asyncio.timeout(timeout_s):  # `wait_for` would make a task for each wait
                await self._is_due.wait()
        except TimeoutError:
            return []
        self._is_due.clear()
        pending, self._pending, self._size_bytes = self._pending, [], 0
        return pending


class PointWatcher:
    """Looks at what is watched once per interval, as long as somebody watches.

    Parameters
    ----------
    feeds : LiveFeeds
        For the reading thread alone.
    reader : Reader
    interval_s : float, optional
        Time between two looks.
    """

    def __init__(self, feeds: LiveFeeds, reader: Reader, *, interval_s: float = 1.0) -> None:
        self._feeds = feeds
        self._reader = reader
        self._interval_s = interval_s
        self._viewers: set[Viewer] = set()
        self._known: dict[Source, frozenset[str]] = {}
        self._recent: dict[Source, deque[Tick]] = {}
        self._lock = asyncio.Lock()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.is_closed = False
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watch(self, watched: Watched) -> Iterator[Viewer]:
        """Let a page watch, until it leaves."""
        viewer = Viewer(watched, frozenset(watched.runs))
        self._viewers.add(viewer)
        self._is_empty.clear()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._is_empty.set()

    async def close(self, timeout_s: float) -> None:
        """Ask those who watch to leave, and wait for them."""
        self.is_closed = True
        for one in self._viewers:
            one.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()
        if self._task is not None:
            self._task.cancel()

    async def begin(self, viewer: Viewer) -> None:
        """Offer a page what has come lately: a chart that it fetches may be a little older.

        Whatever comes after this it will be told.
        """
        sources = [(viewer.watched.project, run) for run in viewer.watched.runs]
        recent = [
            piece
            for source in sources
            for tick in self._recent.get(source, ())
            for piece in choose_pieces(viewer.watched, tick)
        ]
        if recent:
            viewer.offer(make_points(recent))
        # Since then, further ranks may have changed means that were sent before.
        stale = [
            source[1]
            for source in sources
            if any(tick.is_stale for tick in self._recent.get(source, ()))
        ]
        if stale:
            viewer.offer(make_event("stale", {"runs": stale}))
        if any(one not in self._known for one in sources):
            await self.look()

    async def _run(self) -> None:
        try:
            while self._viewers:
                try:
                    await self.look()
                except Exception:
                    log.exception("cannot look for new points")
                await asyncio.sleep(self._interval_s)
        finally:
            self._task = None
            self._known, self._recent = {}, {}
            if not self.is_closed:
                await self._reader.call(self._feeds.look, {})

    async def look(self) -> None:
        """Look once, and tell everybody."""
        async with self._lock:
            await self._look()

    async def _look(self) -> None:
        wanted: dict[Source, set[RankChoice | int]] = {}
        for watched, live in self._group():
            for run in live:
                wanted.setdefault((watched.project, run), set()).add(watched.ranks)
        frozen = {source: frozenset(choices) for source, choices in wanted.items()}
        ticks = await self._reader.call(self._feeds.look, frozen)
        new_names = {
            source: tick.names - self._known[source]
            for source, tick in ticks.items()
            if source in self._known
        }
        self._known = {source: tick.names for source, tick in ticks.items()}
        kept = max(1, round(RECENT_S / self._interval_s))
        before, self._recent = self._recent, {}
        for source, tick in ticks.items():
            self._recent[source] = before.get(source) or deque(maxlen=kept)
            self._recent[source].append(tick)
        now_s = asyncio.get_running_loop().time()
        for (watched, live), viewers in self._group().items():
            events = make_events(watched, live, ticks, new_names)
            over = [source[1] for source, tick in ticks.items()
                    if tick.is_over and source[0] == watched.project]  # fmt: skip
            for one in viewers:
                one.tell(events, now_s)
                one.live = live.difference(over) if over else live

    def _group(self) -> dict[tuple[Watched, frozenset[str]], list[Viewer]]:
        """Return those who are told the same: what they watch, and what of it goes on."""
        groups: dict[tuple[Watched, frozenset[str]], list[Viewer]] = {}
        for one in self._viewers:
            groups.setdefault((one.watched, one.live), []).append(one)
        return groups


def make_events(
    watched: Watched,
    live: Collection[str],
    ticks: Mapping[Source, Tick],
    new_names: Mapping[Source, frozenset[str]],
) -> list[Event]:
    """Return what pages that watch the same are told. Pure.

    ``points`` is a list of pieces, see `encode_piece`; ``metrics`` names new ones; ``stale`` and
    ``over`` name runs.
    """
    seen = {run: ticks[watched.project, run] for run in watched.runs
            if run in live and (watched.project, run) in ticks}  # fmt: skip
    pieces = [piece for tick in seen.values() for piece in choose_pieces(watched, tick)]
    is_all = watched.ranks == RankChoice.ALL
    said: dict[str, object] = {
        "metrics": {
            run: sorted(names) for run in seen if (names := new_names.get((watched.project, run)))
        },
        "stale": [run for run, tick in seen.items() if tick.is_stale or (is_all and tick.pieces)],
        "over": [run for run, tick in seen.items() if tick.is_over],
    }
    events = [make_points(pieces)] if pieces else []
    return events + [make_event(name, {"runs": runs}) for name, runs in said.items() if runs]


def choose_pieces(watched: Watched, tick: Tick) -> list[bytes]:
    """Return those pieces that a page watches. Pure."""
    return [
        piece
        for (metric, how), piece in tick.pieces.items()
        if how == watched.ranks and (not watched.metrics or metric in watched.metrics)
    ]


def make_points(pieces: Sequence[bytes]) -> Event:
    """Return the event that has them. Pure."""
    return Event("points", b"[" + b",".join(pieces) + b"]")
