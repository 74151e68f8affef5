"""Reading what ranks printed: pieces of two streams become lines, live or sealed."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hpctrack.core.wire import read_gap
from hpctrack.errors import StoreFormatError, UsageError
from hpctrack.store.console_line import collapse_line
from hpctrack.store.events import Event, NodeEvents
from hpctrack.store.payloads import ByteSource
from hpctrack.store.vocabulary import EventKind, Place

Sources = Sequence[tuple[NodeEvents, ByteSource]]

STREAM_KINDS = {"stdout": EventKind.STDOUT, "stderr": EventKind.STDERR}

BATCH_BYTES = 4 * 1024 * 1024
"""Text that is read at a time."""

SPAN_GAP_BYTES = 4096
"""Pieces of other ranks that are read over, rather than asking the file once more."""


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """One line that a rank printed.

    Parameters
    ----------
    wall_s : float
        When its first byte reached the agent, UTC seconds.
    stream : str
        ``stdout`` or ``stderr``. A rank whose two streams went to one place has only ``stdout``.
    text : str
        Without the end of line; with carriage returns and escape sequences as they were.
    missing_bytes : int
        Above 0: no line, but so many bytes that are not recorded.
    is_damaged : bool
        The missing bytes were recorded; the file that holds them is damaged.
    """

    wall_s: float
    rank: int
    stream: str
    text: str
    missing_bytes: int = 0
    is_damaged: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {name: getattr(self, name) for name in self.__slots__}


class ConsoleText:
    """What one rank, or all of them, printed; iterating reads the lines.

    Lines of one rank come in the order in which they ended; each attempt's after the one before.

    Parameters
    ----------
    find_sources : callable
        Returns what the run's files say, and who reads their bytes.
    rank : int or None
        None for all.
    stream : {"stdout", "stderr"}, optional
        Default both.

    Raises
    ------
    UsageError
        There is no such stream.
    """

    def __init__(
        self, find_sources: Callable[[], Sources], *, rank: int | None, stream: str | None = None
    ) -> None:
        if stream is not None and stream not in STREAM_KINDS:
            raise UsageError(f"there is no stream {stream!r}", hint="use stdout or stderr")
        self._find_sources = find_sources
        self._rank = rank
        self._stream = stream

    def __iter__(self) -> Iterator[ConsoleLine]:
        """Read all lines, the unfinished last ones too."""
        follower = self.follow()
        yield from follower.iter_new()
        yield from follower.end()

    def lines(self, *, collapse: bool = False, last: int | None = None) -> list[ConsoleLine]:
        """Return lines.

        Parameters
        ----------
        collapse : bool
            Show of a line that was written over (a progress bar) what was seen at its end.
        last : int, optional
            Only so many, from the end.
        """
        found = deque(self, maxlen=last)
        return [collapsed(one) for one in found] if collapse else list(found)

    def text(self, *, collapse: bool = False) -> str:
        """Return all as one text; what is missing is said in its place."""
        return "".join(f"{show_line(one)}\n" for one in self.lines(collapse=collapse))

    def follow(self) -> ConsoleFollower:
        """Return a reader that begins at the start and can be asked again for what is new."""
        kinds = [STREAM_KINDS[self._stream]] if self._stream else [*STREAM_KINDS.values()]
        return ConsoleFollower(self._find_sources, self._rank, frozenset(kinds))


class ConsoleFollower:
    """Reads what is new each time; it goes on through sealing. See `ConsoleText.follow`."""

    def __init__(
        self, find_sources: Callable[[], Sources], rank: int | None, kinds: frozenset[EventKind]
    ) -> None:
        self._find_sources = find_sources
        self._rank = rank
        self._kinds = kinds
        self._seen: dict[Any, int] = {}
        self._torn: dict[Any, Event] = {}
        self._makers: dict[Any, _LineMaker] = {}

    def iter_new(self) -> Iterator[ConsoleLine]:
        """Yield the lines that have ended since the last time; `StoredRun.refresh` comes first."""
        for number, (source, reader) in enumerate(self._find_sources()):
            # A sealed file keeps what each of its node files was, and the order of its events.
            key = source.facts.get("uuid", number)
            events = [one for one in source.events if self._wants(one)]
            self._torn.pop(key, None)
            for event, data in _iter_pieces(events[self._seen.get(key, 0) :], reader):
                if data is None and not source.is_closed:
                    self._torn[key] = event  # the rest may be on its way
                    break
                self._seen[key] = self._seen.get(key, 0) + 1
                yield from self._take(key, event, data)

    def end(self) -> Iterator[ConsoleLine]:
        """Yield what has not ended: lines without an end, and bytes that never came."""
        for maker in self._makers.values():
            yield from maker.end()
        for event in self._torn.values():
            stream = EventKind(event.kind).name.lower()
            yield ConsoleLine(event.wall_s, event.rank, stream, "", event.size, is_damaged=True)
        self._makers.clear()
        self._torn.clear()

    def unfinished(self) -> Iterator[ConsoleLine]:
        """Yield the lines that have begun and not ended, as far as they are there; none is taken.

        Of a run that goes on they are what a terminal shows last: a progress bar, a prompt.
        """
        for maker in self._makers.values():
            yield from maker.peek()

    def _wants(self, event: Event) -> bool:
        return event.kind in self._kinds and self._rank in {None, event.rank}

    def _take(self, source: Any, event: Event, data: bytes | None) -> Iterator[ConsoleLine]:
        key = (source, event.session, event.rank, event.kind)
        maker = self._makers.get(key)
        if maker is None:
            maker = self._makers[key] = _LineMaker(event.rank, EventKind(event.kind).name.lower())
        missing_bytes = event.size if data is None else read_gap(data)
        if missing_bytes:
            yield from maker.end()
            gone = data is None
            yield ConsoleLine(event.wall_s, event.rank, maker.stream, "", missing_bytes, gone)
        elif data:
            yield from maker.add(data, event.wall_s)


@dataclass(slots=True)
class _LineMaker:
    """One stream of one process: from pieces, cut anywhere, to lines."""

    rank: int
    stream: str
    start_wall_s: float = 0.0
    rest: list[str] = field(default_factory=list)
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def add(self, data: bytes, wall_s: float) -> Iterator[ConsoleLine]:
        """Yield the lines that a piece ends."""
        first, *others = self.decoder.decode(data).split("\n")
        self.start_wall_s = self.start_wall_s if self.rest else wall_s
        if first:
            self.rest.append(first)
        for text in others:
            yield self._make()
            self.start_wall_s = wall_s
            self.rest = [text] if text else []

    def peek(self) -> Iterator[ConsoleLine]:
        """Yield the line that has no end yet, and keep it; of a torn letter nothing."""
        if self.rest:
            yield self._make()

    def end(self) -> Iterator[ConsoleLine]:
        """Yield the line that has no end."""
        left = self.decoder.decode(b"", final=True)
        if left:
            self.rest.append(left)
        if self.rest:
            yield self._make()
        self.rest = []
        self.decoder.reset()

    def _make(self) -> ConsoleLine:
        return ConsoleLine(self.start_wall_s, self.rank, self.stream, "".join(self.rest))


def collapsed(line: ConsoleLine) -> ConsoleLine:
    """Return a line as it looked at its end."""
    return replace(line, text=collapse_line(line.text))


def show_line(line: ConsoleLine) -> str:
    """Return a line's text, or what is to be read in place of one that is missing."""
    if line.missing_bytes:
        what = "cannot be read" if line.is_damaged else "were not recorded"
        return f"[... {line.missing_bytes:,} bytes {what} ...]"
    return line.text


def _iter_pieces(
    events: Sequence[Event], reader: ByteSource
) -> Iterator[tuple[Event, bytes | None]]:
    """Yield events with their bytes, None where those are not there; a few MiB at a time."""
    start = 0
    while start < len(events):
        stop, size = start, 0
        while stop < len(events) and (stop == start or size < BATCH_BYTES):
            size += events[stop].size
            stop += 1
        found = _read_batch(events[start:stop], reader)
        yield from zip(events[start:stop], found, strict=True)
        start = stop


def _read_batch(events: Sequence[Event], reader: ByteSource) -> list[bytes | None]:
    """Read what lies together in one go: a file is asked once per span, not once per piece."""
    order = sorted(range(len(events)), key=lambda one: (events[one].place, events[one].offset))
    spans: list[list[int]] = []
    end = (-1, -1)
    for which in order:
        event = events[which]
        if event.place != end[0] or event.offset > end[1] + SPAN_GAP_BYTES:
            spans.append([])
        spans[-1].append(which)
        end = (event.place, max(end[1] if event.place == end[0] else 0, event.offset + event.size))
    found: list[bytes | None] = [None] * len(events)
    for span in spans:
        for which, data in zip(
            span, _read_span([events[one] for one in span], reader), strict=True
        ):
            found[which] = data
    return found


def _read_span(events: Sequence[Event], reader: ByteSource) -> list[bytes | None]:
    start, place = events[0].offset, Place(events[0].place)
    size = max(one.offset + one.size for one in events) - start
    try:
        data = reader.read_bytes(place, start, size)
    except StoreFormatError:
        if len(events) == 1:
            return [None]
        return [_read_span([one], reader)[0] for one in events]
    return [data[one.offset - start : one.offset - start + one.size] for one in events]
