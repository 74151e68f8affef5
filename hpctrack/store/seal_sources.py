"""What a run is sealed from: its node files; `resealing` has the sealed file of before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpctrack.core.wire import NAME_HEAD
from hpctrack.errors import StoreFormatError
from hpctrack.store.events import NodeEvents, iter_events
from hpctrack.store.holes import is_body_whole
from hpctrack.store.live_file import LiveFile, open_live
from hpctrack.store.placement import (
    KeyIndex,
    SourceGroups,
    count_keys,
    sort_groups,
)
from hpctrack.store.sample_pieces import SampleGroups, count_samples, iter_sample_pieces
from hpctrack.store.schema import (
    POINT,
    PULSE,
    SAMPLE,
    EventKind,
    IntArray,
    Place,
    PointArray,
)
from hpctrack.store.scratch import take_rows
from hpctrack.store.streams import FileSensors
from hpctrack.store.table_reader import TableReader

BLOCK_ROWS = 65536
"""Points read in one go: 2 MB, which stay in the processor's cache while they are sorted."""

GROUP_ROWS = 64
BLOCK_ROWS_MAX = 262144
"""If there are many groups the blocks are longer, so that each group gets about as many rows."""

COUNTED_TABLES = ("points", "events", "samples")
"""Those that tell whether a file has grown."""

EVENT_ROWS = 16384
"""Events read in one go, and the heap's part that they point into."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Points sorted by group.

    Parameters
    ----------
    rows : structured array of `POINT`
    groups, counts : ndarray of int64
        Which of the source's groups they belong to, and how many to each.
    """

    rows: PointArray
    groups: IntArray
    counts: IntArray


@dataclass(frozen=True, slots=True)
class EventBlock:
    """Some events of a source and its heap's part that they point into.

    Parameters
    ----------
    rows : structured array of `EVENT`
        ``node`` counts the source's own nodes.
    heap_start : int
        Where ``heap`` begins in the source's heap.
    heap : bytes
    """

    rows: NDArray[np.void]
    heap_start: int
    heap: bytes


class Table(Protocol):
    """A table of a file that goes into the sealed one."""

    @property
    def rows(self) -> int:
        """How many rows can be read."""
        ...

    def read(self, start: int, stop: int) -> Any:
        """Return rows as an array; fewer if they are not there."""
        ...


class Source(Protocol):
    """A file that goes into the sealed one."""

    @property
    def nodes(self) -> list[NodeEvents]:
        """What the node files in it said; without events."""
        ...

    def count(self) -> SourceGroups:
        """Count its points."""
        ...

    def adopt(self, groups: SourceGroups) -> None:
        """Take over what another process has counted."""
        ...

    def iter_pieces(self, wanted: NDArray[np.bool_]) -> Iterator[Piece]:
        """Yield the points of the groups that are wanted, those of a group in their order."""
        ...

    def iter_event_blocks(self) -> Iterator[EventBlock]:
        """Yield its events."""
        ...

    def table(self, name: str) -> Table:
        """Return heap, text or blobs."""
        ...

    def is_unchanged(self) -> bool:
        """Tell whether nothing was added since it was first read."""
        ...

    def release(self) -> None:
        """Close the file if there are many; it is opened again when it is needed."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class NodeSource:
    """A node file. Of a job of 1,000 nodes one is open at a time, not as many as are allowed.

    Parameters
    ----------
    path : Path
        The file.
    facts : mapping
        The attributes of its root.
    stays_open : bool
        It is one of few.
    as_of_wall_s : float, optional
        Of a replica, when its original was looked at.

    Raises
    ------
    StoreFormatError
        Part of it cannot be read: sealing would lose it.
    """

    def __init__(
        self,
        path: Path,
        facts: Mapping[str, Any],
        *,
        stays_open: bool,
        as_of_wall_s: float | None = None,
    ) -> None:
        self.path = path
        self._stays_open = stays_open
        self._keys: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._file: LiveFile | None = None
        self._tables: dict[str, TableReader] = {}
        # The farewell first, as `NodeReader.read_events`.
        pulse = self.table(PULSE).read(0, 2)
        self._samples = SampleGroups()
        self._size = self._told_rows()
        self._points = self._size[0]
        facts = {**facts, "points": self._points}
        self.nodes = [NodeEvents(facts, float(pulse[0]), bool(pulse[1]), [], as_of_wall_s)]
        self.release()

    def count(self) -> SourceGroups:
        """Count the points by metric and rank."""
        found: dict[int, int] = {}
        timeless = 0
        for rows in self._iter_rows():
            timeless += int(np.count_nonzero(~(rows["wall_s"] > 0)))
            keys, counts = count_keys(rows)
            for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
                found[key] = found.get(key, 0) + count
        self._keys = np.array(sorted(found), np.uint64)
        lost = self._count_lost_events()
        if lost:
            raise StoreFormatError(
                f"{self.path} has {lost} events that the disk lost, or their bytes",
                hint="`hpctrack repair` salvages the others",
            )
        names = self._read_names()
        numbers = (self._keys >> np.uint64(32)).astype(np.int64)
        nameless = sorted({int(one) for one in numbers} - names.keys())
        if nameless:
            raise StoreFormatError(
                f"{self.path} has points of {len(nameless)} metrics without a name",
                hint="`hpctrack repair` salvages what can be read",
            )
        if timeless:
            raise StoreFormatError(
                f"{self.path} has {timeless} points without a time: the disk lost them",
                hint="`hpctrack repair` salvages the others",
            )
        known = sorted(names)
        place = {number: place for place, number in enumerate(known)}
        samples = count_samples(self._iter_samples(), self._read_sensors(), self.path)
        self._samples = samples
        more = len(samples.count)
        attempt = int(self.nodes[0].facts["attempt"])
        return SourceGroups(
            [names[number] for number in known] + samples.names,
            _join([place[one] for one in numbers.tolist()], samples.name + len(known)),
            _join((self._keys & np.uint64(0xFFFFFFFF)).astype(np.int64), samples.stream),
            _join(np.full(len(self._keys), attempt), np.zeros(more)),
            _join([found[one] for one in self._keys.tolist()], samples.count),
            self._keys,
            samples,
            samples.streams,
        )

    def adopt(self, groups: SourceGroups) -> None:
        """Take over what another process has counted."""
        self._keys, self._samples = groups.keys, groups.samples

    def iter_pieces(self, wanted: NDArray[np.bool_]) -> Iterator[Piece]:
        """Yield blocks of the file, sorted."""
        index = KeyIndex(self._keys)
        first = len(self._keys)
        is_whole = bool(wanted[:first].all())
        for block in self._iter_rows():
            rows, group = block, index.find(block)
            if not is_whole:
                which = wanted[group]
                rows, group = take_rows(rows, np.flatnonzero(which)), group[which]
            if len(rows):
                order, groups, counts = sort_groups(group)
                yield Piece(rows if order is None else take_rows(rows, order), groups, counts)
        for rows, groups, counts in iter_sample_pieces(
            self._iter_samples(), self._samples, wanted[first:]
        ):
            yield Piece(rows, groups + first, counts)

    def iter_event_blocks(self) -> Iterator[EventBlock]:
        """Yield the events whose bytes are there; a torn tail is passed over."""
        events, heap = self.table("events"), self.table("heap")
        for start in range(0, events.rows, EVENT_ROWS):
            rows = events.read(start, start + EVENT_ROWS)
            yield cut_block(rows[rows["wall_s"] > 0], heap)

    def table(self, name: str) -> TableReader:
        """Return a table, opening the file if needed."""
        if self._file is None:
            self._file = open_live(self.path)
        if name not in self._tables:
            self._tables[name] = TableReader(self._file, name, self.path)
        return self._tables[name]

    @property
    def sealed_rows(self) -> tuple[int, ...]:
        """Rows of `COUNTED_TABLES` when the file was first read: those that are sealed."""
        return self._size

    def is_unchanged(self) -> bool:
        """Tell whether the file has not grown since it was first read."""
        for name in COUNTED_TABLES:
            self.table(name).refresh()
        is_same = self._told_rows() == self._size
        self.release()
        return is_same

    def release(self) -> None:
        """Close the file if there are many."""
        if not self._stays_open:
            self.close()

    def close(self) -> None:
        """Close the file."""
        self._tables.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _told_rows(self) -> tuple[int, ...]:
        return tuple(self.table(name).told_rows for name in COUNTED_TABLES)

    def _iter_rows(self) -> Iterator[PointArray]:
        table = self.table("points")
        if table.rows < self._points:
            raise StoreFormatError(
                f"{self.path} has {self._points} points, only {table.rows} can be read",
                hint="`hpctrack repair` salvages them",
            )
        rows = min(max(BLOCK_ROWS, GROUP_ROWS * len(self._keys)), BLOCK_ROWS_MAX)
        for start in range(0, self._points, rows):
            stop = min(start + rows, self._points)
            yield np.ascontiguousarray(table.read(start, stop), dtype=POINT)

    def _iter_samples(self) -> Iterator[NDArray[np.void]]:
        table, told = self.table("samples"), self._size[2]
        if table.rows < told:
            raise StoreFormatError(
                f"{self.path} has {told} samples, only {table.rows} can be read",
                hint="`hpctrack repair` salvages them",
            )
        for start in range(0, told, BLOCK_ROWS):
            rows = table.read(start, min(start + BLOCK_ROWS, told))
            yield np.ascontiguousarray(rows, dtype=SAMPLE)

    def _read_sensors(self) -> FileSensors:
        sensors = FileSensors(self.nodes[0].facts)
        for block in self.iter_event_blocks():
            of_sensors = np.isin(block.rows["kind"], (EventKind.SENSOR, EventKind.DEVICE))
            rows = block.rows[of_sensors].copy()
            rows["offset"] -= np.uint64(block.heap_start)
            sensors.learn(iter_events(rows, np.frombuffer(block.heap, np.uint8)))
        return sensors

    def _read_names(self) -> dict[int, str]:
        names: dict[int, str] = {}
        for block in self.iter_event_blocks():
            rows = block.rows[block.rows["kind"] == EventKind.NAME]
            for offset, size in zip(rows["offset"].tolist(), rows["size"].tolist(), strict=True):
                begin = offset - block.heap_start
                body = block.heap[begin : begin + size]
                names[NAME_HEAD.unpack_from(body)[0]] = body[NAME_HEAD.size :].decode(
                    "utf-8", "replace"
                )
        return names

    def _count_lost_events(self) -> int:
        """Count the events that the disk has lost; those that are torn are none."""
        lost = 0
        events, heap = self.table("events"), self.table("heap")
        for start in range(0, events.rows, EVENT_ROWS):
            rows = events.read(start, start + EVENT_ROWS)
            there = rows[rows["wall_s"] > 0]
            lost += len(rows) - len(there)
            block = cut_block(there, heap)
            here = block.rows[block.rows["flags"] == Place.HEAP]
            for offset, size, kind in here[["offset", "size", "kind"]].tolist():
                begin = offset - block.heap_start
                before = block.heap[begin - 1] if begin else 1
                body = block.heap[begin : begin + size]
                lost += not is_body_whole(kind, body, before)
        return lost


def _join(first: Any, second: Any) -> IntArray:
    return np.concatenate([np.asarray(first, np.int64), np.asarray(second, np.int64)])


def cut_block(rows: NDArray[np.void], heap: Table) -> EventBlock:
    """Read the part of the heap that events point into; leave out those that are torn."""
    is_torn = (rows["flags"] == Place.HEAP) & (rows["offset"] + rows["size"] > heap.rows)
    rows = rows[~is_torn]
    inside = rows[rows["flags"] == Place.HEAP]
    if not len(inside):
        return EventBlock(rows, 0, b"")
    # And the byte before: it tells whether the beginning of a body was lost.
    first = max(0, int(inside["offset"].min()) - 1)
    last = int((inside["offset"] + inside["size"]).max())
    return EventBlock(rows, first, heap.read(first, last).tobytes())
