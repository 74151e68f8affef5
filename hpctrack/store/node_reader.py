"""Reading a live node file, while its agent writes it, or after the agent was killed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import StoreFormatError
from hpctrack.store.columns import Columns
from hpctrack.store.events import Event, NodeEvents
from hpctrack.store.hdf5 import plain
from hpctrack.store.holes import is_body_whole
from hpctrack.store.ledger import name_rows
from hpctrack.store.live_file import open_live
from hpctrack.store.replica_states import ReplicaStates
from hpctrack.store.schema import (
    PLACE_TABLES,
    PULSE,
    ROOT_ATTRIBUTES,
    EventKind,
    Place,
    PointArray,
)
from hpctrack.store.streams import FileSensors, SensorColumns, group_samples
from hpctrack.store.table_reader import TableReader
from hpctrack.store.thin_hdf5 import ask_length

PIECE_ROWS = 1_000_000
"""Points read in one go, 32 MB: all rows and the columns made of them are never there at once."""


class NodeReader:
    """A live node file, open for reading.

    Cheap to keep: after `refresh` only what is new is read. Not safe for several threads.

    Parameters
    ----------
    path : Path
        The file.
    replicas : ReplicaStates, optional
        What is known of replicas in its folder, if who reads many files keeps that up himself.

    Attributes
    ----------
    as_of_wall_s : float or None
        Of a replica, when its original was looked at; as of the last `refresh`.

    Raises
    ------
    NotFoundError, StoreFormatError
        As `open_live`.
    """

    def __init__(self, path: Path, *, replicas: ReplicaStates | None = None) -> None:
        self.path = path
        self._file = open_live(path)
        self._looks_up = replicas is None
        self._replicas = ReplicaStates(path.parent) if replicas is None else replicas
        self.as_of_wall_s = self._replicas.as_of_wall_s(path.name)
        self._is_closed = False
        try:
            self.facts = self._read_facts()
            # In the opposite order of writing, see `read_events`.
            self._tables = {
                name: TableReader(self._file, name, path)
                for name in (PULSE, "samples", "points", "events", "heap", "text", "blobs")
            }
        except BaseException:
            self._file.close()
            raise
        self.attempt = int(self.facts["attempt"])
        self.age_key = (
            self.attempt,
            int(self.facts["node"]),
            float(self.facts["created_wall_s"]),
        )
        self._events: list[Event] = []
        self._names: dict[int, str] = {}
        self._torn: list[tuple[Any, ...]] = []
        self._events_read = 0
        self._lost = self._lost_points = 0
        self._points_read = 0
        self._parts: dict[int, list[Columns]] = {}
        self._sizes: dict[int, int] = {}
        self._sized_rows = 0
        self._sensors: dict[str, SensorColumns] = {}
        self._sensors_known = (0, 0)

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        if not self._is_closed:
            self._is_closed = True
            self._file.close()

    def is_in_place(self) -> bool:
        """Tell whether the file still has its name: it may have been sealed, or repaired."""
        try:
            there = self.path.stat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._file.handle))

    def refresh(self) -> None:
        """See what has been written since the file was opened or refreshed."""
        if self._looks_up:
            self._replicas.refresh()
        # Before the sign of life is read, which is never older then.
        self.as_of_wall_s = self._replicas.as_of_wall_s(self.path.name)
        for table in self._tables.values():
            table.refresh()

    def read_events(self) -> NodeEvents:
        """Return everything but the numbers.

        Raises
        ------
        StoreFormatError
            They cannot be read.
        """
        # The farewell first: a file that is closed has all its events, one that closes while
        # we read them must not look as if its ranks had vanished.
        pulse = self._tables[PULSE].read(0, 2)
        self._update_events()
        facts = {**self.facts, "points": self._tables["points"].told_rows}
        events = list(self._events)
        return NodeEvents(facts, float(pulse[0]), bool(pulse[1]), events, self.as_of_wall_s)

    def read_bytes(self, place: Place, offset: int, size: int) -> bytes:
        """Return bytes that an event or a payload's description points to.

        Raises
        ------
        StoreFormatError
            They are not all there, or cannot be read.
        """
        name = PLACE_TABLES[place]
        if self._tables[name].rows < offset + size:
            self._tables[name].refresh()
        found = bytes(self._tables[name].read(offset, offset + size))
        if len(found) != size:
            raise StoreFormatError(f"{self.path}: {name} ends before byte {offset + size}")
        return found

    def read_columns(self) -> dict[str, Columns]:
        """Return the points by metric; a point whose name is not there yet is left for later.

        Raises
        ------
        StoreFormatError
            They cannot be read.
        """
        table = self._tables["points"]
        while self._points_read < table.rows:
            rows = table.read(self._points_read, self._points_read + PIECE_ROWS)
            self._points_read += len(rows)
            whole = _drop_timeless(rows)
            self._lost_points += len(rows) - len(whole)
            for number, part in self._split(whole):
                self._parts.setdefault(number, []).append(part)
        self._update_events()
        found = {}
        for number, parts in self._parts.items():
            if len(parts) > 1:
                parts[:] = [_put_together(parts)]
            if number in self._names:
                found[self._names[number]] = parts[0]
        return found

    def read_sensors(self) -> dict[str, SensorColumns]:
        """Return the samples by sensor; those whose sensor has no name yet are left for later.

        Raises
        ------
        StoreFormatError
            They cannot be read.
        """
        table = self._tables["samples"]
        rows = table.rows
        self._update_events()
        known = (rows, self._events_read)
        if known != self._sensors_known:
            # A summary asks for a dozen sensors, one after the other.
            sensors = FileSensors(self.facts)
            sensors.learn(self._events)
            self._sensors = group_samples(table.read(0, rows), sensors)
            self._sensors_known = known
        return self._sensors

    def missing_rows(self) -> dict[str, int]:
        """Return, by table, how many rows the file tells of that are not there.

        Empty for a file that is whole. Cost: one look at each chunk that was not looked at.
        """
        missing = {name: one.told_rows - one.rows for name, one in self._tables.items()}
        return {name: count for name, count in missing.items() if count}

    def find_lost(self, now_wall_s: float, stale_after_s: float) -> dict[str, int]:
        """Return what cannot be read, as a ledger has it; empty while somebody writes the file.

        Points that a disk has lost in the middle are among it once `read_columns` has met them.
        Over NFS a reader may see what a file tells before it sees how long it is: whoever writes
        it is believed, and else the file is looked at anew.
        """
        if self.read_events().is_live(now_wall_s, stale_after_s):
            return {}
        if self.missing_rows() or self._torn:
            ask_length(self.path)
            self.refresh()
            self._update_events()
        events = len(self._torn) + self._lost
        return name_rows(self.missing_rows(), events=events, points=self._lost_points)

    def told_rows(self, table: str) -> int:
        """Return how many rows a table has by what the file says."""
        return self._tables[table].told_rows

    def torn_events(self) -> int:
        """Return how many events have no bytes, as of the last reading."""
        return len(self._torn)

    def lost_events(self) -> int:
        """Return how many events, or their bytes, a disk has lost, as of the last reading."""
        return self._lost

    def metric_numbers(self) -> list[int]:
        """Return the numbers of the metrics that have a name, as of the last reading."""
        return sorted(self._names)

    @property
    def point_rows(self) -> int:
        """How many rows of points can be read, as of the last `refresh`."""
        return self._tables["points"].rows

    def iter_points(self, start: int = 0) -> Iterator[PointArray]:
        """Yield all points from a row on as they are in the file, `PIECE_ROWS` at a time."""
        return self._iter_rows("points", start)

    def iter_samples(self) -> Iterator[NDArray[np.void]]:
        """Yield all samples likewise."""
        return self._iter_rows("samples")

    def has_only_points_new(self, now_wall_s: float, stale_after_s: float) -> bool:
        """Tell whether nothing but points has come since the last `refresh`.

        Then the file is the same one, its agent is there, and there are no new events. Three
        calls of the system tell that. A replica is always taken for changed.
        """
        if self.as_of_wall_s is not None or self._torn or not os.fstat(self._file.handle).st_nlink:
            return False
        pulse_wall_s, farewell_s = self._tables[PULSE].read(0, 2)
        self._tables["events"].refresh()
        if self._tables["events"].told_rows != self._events_read:
            return False
        return not farewell_s and now_wall_s - pulse_wall_s < stale_after_s

    def refresh_points(self) -> int:
        """See what points have been written, and nothing else; return how many rows there are."""
        table = self._tables["points"]
        table.refresh()
        return table.rows

    def read_named_points(self, start: int, stop: int) -> Iterator[tuple[str, Columns]]:
        """Yield some rows of points by metric; those whose name has not come yet are left out."""
        rows = _drop_timeless(self._tables["points"].read(start, stop))
        parts = list(self._split(rows)) if len(rows) else []
        if any(number not in self._names for number, _part in parts):
            self._tables["events"].refresh()
            self._update_events()
        for number, part in parts:
            if number in self._names:
                yield self._names[number], part

    def _iter_rows(self, name: str, first: int = 0) -> Iterator[Any]:
        table = self._tables[name]
        for start in range(first, table.rows, PIECE_ROWS):
            yield table.read(start, start + PIECE_ROWS)

    def metric_sizes(self) -> dict[str, int]:
        """Return the number of points of each metric that has a name; none are kept.

        Only rows that are new since it was called last are read.

        Raises
        ------
        StoreFormatError
            They cannot be read.
        """
        table = self._tables["points"]
        while self._sized_rows < table.rows:
            rows = table.read(self._sized_rows, self._sized_rows + PIECE_ROWS)
            if not len(rows):
                break
            self._sized_rows += len(rows)
            numbers, counts = np.unique(_drop_timeless(rows)["metric"], return_counts=True)
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
                self._sizes[number] = self._sizes.get(number, 0) + count
        self._update_events()
        return {self._names[one]: size for one, size in self._sizes.items() if one in self._names}

    def iter_columns(self, start: int = 0) -> Iterator[tuple[str, Columns]]:
        """Yield what `read_columns` returns in pieces, in the order of the file; none are kept.

        Parameters
        ----------
        start : int, optional
            The first row.

        Raises
        ------
        StoreFormatError
            They cannot be read.
        """
        lost = 0
        for rows in self.iter_points(start):
            self._update_events()
            whole = _drop_timeless(rows)
            lost += len(rows) - len(whole)
            for number, part in self._split(whole):
                if number in self._names:
                    yield self._names[number], part
        self._lost_points = max(self._lost_points, lost)

    def _split(self, points: PointArray) -> Iterator[tuple[int, Columns]]:
        """Yield the number of each metric and its points."""
        metric = points["metric"]
        if len(points) == 1 or (len(points) and (metric == metric[0]).all()):
            yield int(metric[0]), Columns.from_points(points, self.attempt)
            return
        points = points[np.argsort(metric, kind="stable")]
        numbers, starts = np.unique(points["metric"], return_index=True)
        ends = [*starts[1:].tolist(), len(points)][: len(starts)]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            yield number, Columns.from_points(points[start:end], self.attempt)

    def _update_events(self) -> None:
        """Take in the events that are new, and older ones whose bytes have come."""
        table = self._tables["events"]
        stop = table.rows
        if stop == self._events_read and not self._torn:
            return
        rows = self._torn + table.read(self._events_read, stop).tolist()
        self._events_read = stop
        there = [row for row in rows if row[0] > 0]
        self._lost += len(rows) - len(there)
        # The heap is read after the rows that point into it: what they mean is there by then.
        self._tables["heap"].refresh()
        self._torn = []
        for event in self._iter_events(there):
            if event.kind != EventKind.NAME:
                self._events.append(event)
            elif event.body:
                number, name = event.metric_name()
                self._names[number] = name

    def _iter_events(self, rows: list[tuple[Any, ...]]) -> Any:
        """Yield the events whose bytes are there; the others are kept for later."""
        heap = self._tables["heap"]
        inside = [
            (offset, offset + size)
            for _wall_s, offset, size, _kind, place, *_rest in rows
            if place == Place.HEAP and offset + size <= heap.rows
        ]
        base = max(0, min((start for start, _end in inside), default=0) - 1)
        data = heap.read(base, max((end for _start, end in inside), default=0)).tobytes()
        for row in rows:
            wall_s, offset, size, kind, place, rank, session, _node = row
            if place != Place.HEAP:
                yield Event(kind, wall_s, rank, session, b"", place, offset, size)
            elif offset + size <= heap.rows:
                begin = offset - base
                body = data[begin : begin + size]
                if is_body_whole(kind, body, data[begin - 1] if begin else 1):
                    yield Event(kind, wall_s, rank, session, body, place, offset, size)
                else:
                    self._lost += 1
            else:
                self._torn.append(row)

    def _read_facts(self) -> dict[str, Any]:
        try:
            attributes = self._file.attrs
            facts: dict[str, Any] = {
                key: plain(attributes[key]) for key in ROOT_ATTRIBUTES if key in attributes
            }
            facts["attempt"] = int(facts.get("attempt", 1))
            facts["node"] = int(facts.get("node", 0))
            facts["created_wall_s"] = float(facts.get("created_wall_s", 0.0))
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise StoreFormatError(f"{self.path}: what it is cannot be read: {error}") from None
        return facts


def _put_together(parts: Sequence[Columns]) -> Columns:
    """Join parts in the order of the file; `Columns.join` would sort them."""
    columns = ("rank", "attempt", "step", "wall_s", "value")
    return Columns(*(np.concatenate([getattr(part, one) for part in parts]) for one in columns))


def _drop_timeless(points: PointArray) -> PointArray:
    """Leave out what a disk that lost a block answers with, zeros: a point has a time."""
    has_time = points["wall_s"] > 0
    return points if has_time.all() else points[has_time]
