"""The newest part of a live node file, read again and again in little memory, without numpy."""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hpctrack.errors import HpctrackError, StoreFormatError
from hpctrack.store.events import Event, NodeEvents
from hpctrack.store.holes import is_body_whole
from hpctrack.store.ledger import name_rows
from hpctrack.store.replica_states import ReplicaStates
from hpctrack.store.spread import find_first, spread_blocks
from hpctrack.store.thin_hdf5 import ThinFile, ThinTable, ask_length
from hpctrack.store.vocabulary import (
    FORMAT_VERSION,
    LIVE_KIND,
    PLACE_TABLES,
    PULSE,
    ROOT_ATTRIBUTES,
    EventKind,
    Place,
)

POINT_ROW = struct.Struct("<qddII")
SAMPLE_ROW = struct.Struct("<ddIii")
EVENT_ROW = struct.Struct("<dQQHHiII")
PULSE_ROW = struct.Struct("<2d")
"""The rows of `hpctrack.store.schema`, which a test compares."""

EVENT_BLOCK = 4096
HEAP_EVENTS = 64
HEAP_BYTES = 1 << 20
"""The bytes of so many events are read in one go, unless that is more than this."""

NOTES_MAX = 500
"""Warnings that are kept of one file: the newest."""

CONSOLE_BLOCKS = 64
"""Blocks of events that are looked through for a rank's last words."""

_CONSOLE = frozenset({EventKind.STDOUT, EventKind.STDERR})
_SAID = frozenset(
    {
        EventKind.NAME,
        EventKind.START,
        EventKind.END,
        EventKind.LOST,
        EventKind.META,
        EventKind.NOTE,
        EventKind.LEDGER,
        EventKind.SENSOR,
        EventKind.DEVICE,
    }
)
"""The kinds whose bytes are looked at."""

_SHARED_KEYS = ("size", "node", "attempt", "host")
"""What a rank other than the first is remembered by, beside its number, process and time."""


class Point(NamedTuple):
    """One number of one metric of one rank."""

    metric: str
    rank: int
    step: int
    wall_s: float
    value: float


class Reading(NamedTuple):
    """One sample: of a device or a rank (-1: of none), else of the node."""

    sensor: str
    host: str
    device: str
    rank: int
    wall_s: float
    value: float


@dataclass(frozen=True, slots=True)
class Hello(Event):
    """The beginning of a session of a rank other than the first: what is needed of it.

    As text, and as a dictionary with words of its own, 10,000 of them take 15 MB more.
    """

    pid: Any = None
    said_wall_s: Any = None
    shared: tuple[Any, ...] = (None,) * len(_SHARED_KEYS)

    def json(self) -> dict[str, Any]:
        """Return what was said."""
        found = dict(zip(_SHARED_KEYS, self.shared, strict=True))
        found |= {"rank": self.rank, "pid": self.pid, "wall_s": self.said_wall_s}
        return {key: value for key, value in found.items() if value is not None}


class NodeTail:
    """A live node file of which only the newest part is of interest.

    After `refresh`, each of the ``iter_new`` methods yields what has come since it was called last.

    Parameters
    ----------
    path : Path
    keeps_console : bool, optional
        Whether `read_events` has what was printed.
    replicas : ReplicaStates, optional
        As for `NodeReader`.

    Attributes
    ----------
    facts : dict
        The attributes of the root.
    as_of_wall_s : float or None
        Of a replica, when its original was looked at; as of the last `refresh`.
    pulse_wall_s, is_closed : float, bool
        The last sign of life, UTC seconds, and whether the agent has left for good.
    event_count : int
        Grows whenever there are new events.
    attempt : int
    devices : dict
        What is known of each device, by its number in the file.
    skipped_points : int
        How many were passed over because there were more than one could look at.

    Raises
    ------
    NotFoundError, StoreFormatError
        There is no such file (any more), or it cannot be read.
    """

    def __init__(
        self, path: Path, *, keeps_console: bool = False, replicas: ReplicaStates | None = None
    ) -> None:
        self.path = path
        self._looks_up = replicas is None
        self._replicas = ReplicaStates(path.parent) if replicas is None else replicas
        self.as_of_wall_s = self._replicas.as_of_wall_s(path.name)
        self._file: ThinFile | None = None
        self._tables: dict[str, ThinTable] = {}
        self._stamp: os.stat_result | None = None
        self._keeps_console = keeps_console
        self.devices: dict[int, dict[str, Any]] = {}
        self.skipped_points = 0
        self._names: dict[int, str] = {}
        self._sensors: dict[int, str] = {}
        self._events: list[Event] = []
        self._shared: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._ledgers: dict[int, Event] = {}
        self._notes: deque[Event] = deque(maxlen=NOTES_MAX)
        self._torn: list[tuple[Any, ...]] = []
        self._lost: dict[str, int] = {}
        self._read = dict.fromkeys(("points", "samples"), -1)
        self.event_count = 0
        self.pulse_wall_s, self.is_closed = 0.0, False
        self.facts: dict[str, Any] = {}
        self._open()
        self.attempt = int(self.facts["attempt"])
        self.age_key = (self.attempt, int(self.facts["node"]), float(self.facts["created_wall_s"]))
        self._update()

    def close(self) -> None:
        """Close the file; whatever asks for it opens it again, and goes on where it was."""
        for table in self._tables.values():
            table.close()
        self._tables.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_in_place(self) -> bool:
        """Tell whether the file still has its name: it may have been sealed, or repaired."""
        try:
            return self._stamp is not None and os.path.samestat(self.path.stat(), self._stamp)
        except OSError:
            return False

    def refresh(self) -> None:
        """See what has been written since.

        Raises
        ------
        NotFoundError, StoreFormatError
            The file is gone, or cannot be read any more.
        """
        if self._looks_up:
            self._replicas.refresh()
        # Before the sign of life is read, which is never older then.
        self.as_of_wall_s = self._replicas.as_of_wall_s(self.path.name)
        if self._file is None:
            self._open()
        else:
            for table in self._tables.values():
                table.refresh()
        self._update()

    def is_live(self, now_wall_s: float, stale_after_s: float) -> bool:
        """Tell whether somebody writes the file, see `NodeEvents.is_live`."""
        return self._make_events([]).is_live(now_wall_s, stale_after_s)

    def _make_events(self, events: list[Event]) -> NodeEvents:
        return NodeEvents(self.facts, self.pulse_wall_s, self.is_closed, events, self.as_of_wall_s)

    def read_events(self) -> NodeEvents:
        """Return what `hpctrack.store.record.assemble` asks for: no configuration, no media."""
        events = [*self._events, *self._ledgers.values(), *self._notes]
        return self._make_events(events)

    def go_back(self, rows: int) -> bool:
        """Count the last so many points as new; return whether there are others before them."""
        start = max(0, self._table("points").rows - rows)
        self._read["points"] = start
        return start > 0

    def iter_new_points(self, *, since_wall_s: float, limit: int) -> Iterator[Point]:
        """Yield points that are new.

        Parameters
        ----------
        since_wall_s : float
            The first time, older ones are passed over.
        limit : int
            Of more than so many, some blocks are read, evenly spread; `skipped_points` counts the
            others.
        """
        for rows in self._iter_rows("points", POINT_ROW, since_wall_s, limit):
            for step, wall_s, value, number, rank in rows:
                name = self._names.get(number)
                # A disk that lost a block answers with zeros there: a point has a time.
                if name is not None and wall_s > 0:
                    yield Point(name, rank, step, wall_s, value)

    def iter_new_samples(self, *, since_wall_s: float, limit: int) -> Iterator[Reading]:
        """Yield samples likewise."""
        host = str(self.facts.get("host", ""))
        for rows in self._iter_rows("samples", SAMPLE_ROW, since_wall_s, limit):
            for wall_s, value, number, device, rank in rows:
                name = self._sensors.get(number)
                if name is not None and wall_s > 0:
                    key = str(self.devices.get(device, {}).get("key", "")) if device >= 0 else ""
                    yield Reading(name, host, key, rank, wall_s, value)

    def find_lost(self, now_wall_s: float, stale_after_s: float) -> dict[str, int]:
        """Return what cannot be read, as `NodeReader.find_lost`, but for text and blobs."""
        if not self._lost or self.is_live(now_wall_s, stale_after_s):
            return {}
        ask_length(self.path)
        self.refresh()
        return self._lost

    def has_rank(self, rank: int) -> bool:
        """Tell whether a rank's session is in the file."""
        return any(one.kind == EventKind.START and one.rank == rank for one in self._events)

    def read_bytes(self, place: Place, offset: int, size: int) -> bytes:
        """Return bytes that an event points to.

        Raises
        ------
        StoreFormatError
            They are not all there.
        """
        name = PLACE_TABLES[place]
        table = self._table(name)
        if table.rows < offset + size:
            table.refresh()
        found = table.read(offset, offset + size)
        if len(found) != size:
            raise StoreFormatError(f"{self.path}: {name} ends before byte {offset + size}")
        return found

    def read_console(self, rank: int, pieces: int) -> NodeEvents:
        """Return a rank's last printed pieces as events, looking back from the end."""
        found: list[Event] = []
        table = self._table("events")
        stop = table.rows
        for _block in range(CONSOLE_BLOCKS):
            start = max(0, stop - EVENT_BLOCK)
            mine = [
                _make_event(row, b"")
                for row in EVENT_ROW.iter_unpack(table.read(start, stop))
                if row[3] in _CONSOLE and row[5] == rank and row[0] > 0
            ]
            found = mine + found
            if len(found) >= pieces or not start:
                break
            stop = start
        return self._make_events(found[-pieces:])

    def _iter_rows(
        self, name: str, row: struct.Struct, since_wall_s: float, limit: int
    ) -> Iterator[Iterator[tuple[Any, ...]]]:
        table = self._table(name)
        # A replica that was made anew may end before what it ended with, for a while.
        start, stop = self._read[name], max(table.rows, self._read[name])
        if start < 0:
            place = 1 if name == "points" else 0
            start = find_first(
                0, stop, lambda at: row.unpack(table.read(at, at + 1))[place] >= since_wall_s
            )
        self._read[name] = stop
        blocks = spread_blocks(start, stop, limit)
        if name == "points":
            self.skipped_points += stop - start - sum(end - first for first, end in blocks)
        for first, end in blocks:
            yield row.iter_unpack(table.read(first, end))

    def _open(self) -> None:
        self._file = ThinFile(self.path)
        try:
            if not self.facts:
                self.facts = check_facts(self.path, self._file.attributes(ROOT_ATTRIBUTES))
            self._stamp = os.fstat(self._file.handle())
            # In the opposite order of writing: who sees a point also sees its name.
            for name in (PULSE, "samples", "points", "events", "heap"):
                self._tables[name] = self._file.table(name)
        except OSError as error:
            self.close()
            raise StoreFormatError(f"{self.path} cannot be read: {error}") from None
        except HpctrackError:
            self.close()
            raise

    def _table(self, name: str) -> ThinTable:
        if self._file is None:
            self._open()
        if name not in self._tables and self._file is not None:
            self._tables[name] = self._file.table(name)
        return self._tables[name]

    def _update(self) -> None:
        """Take in the events that are new, and older ones whose bytes have come."""
        data = self._tables[PULSE].read(0, 2)
        if len(data) == PULSE_ROW.size:
            self.pulse_wall_s, farewell_s = PULSE_ROW.unpack(data)
            self.is_closed = bool(farewell_s)
        table = self._tables["events"]
        torn, self._torn = self._torn, []
        self._take(torn)
        while self.event_count < table.rows:
            stop = min(self.event_count + EVENT_BLOCK, table.rows)
            self._take(list(EVENT_ROW.iter_unpack(table.read(self.event_count, stop))))
            self.event_count = stop
        missing = {name: one.told_rows - one.rows for name, one in self._tables.items()}
        self._lost = name_rows(missing, events=len(self._torn))

    def _take(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Keep events, or what they say; those without their bytes are kept for later."""
        rows = [row for row in rows if row[0] > 0]
        if self._keeps_console:
            self._events += [_make_event(row, b"") for row in rows if row[3] in _CONSOLE]
        wanted = [row for row in rows if row[3] in _SAID and row[4] == Place.HEAP]
        heap = self._tables["heap"]
        for start in range(0, len(wanted), HEAP_EVENTS):
            some = wanted[start : start + HEAP_EVENTS]
            base = max(0, min(row[1] for row in some) - 1)
            end = min(max(row[1] + row[2] for row in some), base + HEAP_BYTES)
            data = heap.read(base, end)
            for row in some:
                offset, size = row[1] - base, row[2]
                if offset + size <= len(data):
                    self._keep(row, data[max(0, offset - 1) : offset + size])
                elif row[1] + size <= heap.rows:
                    self._keep(row, heap.read(max(0, row[1] - 1), row[1] + size))
                else:
                    self._torn.append(row)

    def _keep(self, row: tuple[Any, ...], data: bytes) -> None:
        """Keep an event, whose bytes are at the end of ``data``, behind the one before them."""
        before = data[0] if len(data) > row[2] else 1
        event = _make_event(row, data[len(data) - row[2] :])
        if not is_body_whole(event.kind, event.body, before):
            return
        if event.kind == EventKind.NAME:
            number, name = event.metric_name()
            self._names[number] = name
        elif event.kind == EventKind.NOTE:
            self._notes.append(event)
        elif event.kind == EventKind.LEDGER:
            self._ledgers[event.session] = event  # totals: the latest tells all
        elif event.kind in {EventKind.SENSOR, EventKind.DEVICE}:
            said = event.json()
            which = said.get("number")
            if isinstance(which, int) and event.kind == EventKind.SENSOR:
                self._sensors[which] = str(said.get("name", ""))
            elif isinstance(which, int):
                self.devices[which] = said
        elif event.kind == EventKind.START and event.rank > 0:
            self._events.append(self._slim(event))
        else:
            self._events.append(event)

    def _slim(self, event: Event) -> Hello:
        said = event.json()
        # All ranks of a node say the same, in most attempts.
        shared = tuple(_keep_plain(said.get(key)) for key in _SHARED_KEYS)
        return Hello(
            event.kind,
            event.wall_s,
            event.rank,
            event.session,
            b"",
            pid=said.get("pid"),
            said_wall_s=said.get("wall_s"),
            shared=self._shared.setdefault(shared, shared),
        )


def _keep_plain(value: Any) -> Any:
    """Return a text or number; None for what a damaged file may have there."""
    return value if isinstance(value, str | int | float) else None


def _make_event(row: tuple[Any, ...], body: bytes) -> Event:
    wall_s, offset, size, kind, place, rank, session, _node = row
    return Event(kind, wall_s, rank, session, body, place, offset, size)


def check_facts(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a live file's root, completed.

    Raises
    ------
    StoreFormatError
        It is none, or made by a newer program.
    """
    if facts.get("kind") != LIVE_KIND:
        raise StoreFormatError(f"{path} is not a {LIVE_KIND} file")
    version = facts.get("format", 0)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise StoreFormatError(
            f"{path} has format {version}, this hpctrack reads up to {FORMAT_VERSION}",
            hint="pip install --upgrade hpctrack",
        )
    return {"attempt": 1, "node": 0, "created_wall_s": 0.0, **facts}
