"""Which new rows of a file that is being written are really there.

Over NFS the last bytes of a file may arrive before the first, and what is missing is read as zeros;
a row that was sent is never sent again. So nothing is taken for there that may be such a zero.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hpctrack.store.holes import SECTOR_BYTES, is_body_whole
from hpctrack.store.node_tail import EVENT_BLOCK, EVENT_ROW
from hpctrack.store.thin_hdf5 import ThinTable
from hpctrack.store.vocabulary import PLACE_TABLES, TABLE_ROW_BYTES, EventKind, Place

WINDOW_BYTES = 1 << 20
PIECE_BYTES = 4 << 20

_KIND_AT = 24
_FAREWELLS = (EventKind.END, EventKind.LOST)
"""Where the kind is in an event: all are below 256."""

_TIME_AT = {"points": 8, "samples": 0}
"""Where the time is in the rows that have one; those of events are looked at more closely."""


def cut_timeless(table: str, data: bytes) -> bytes:
    """Return rows up to the first that has no time.

    Notes
    -----
    One byte of each row is looked at, the highest of its time, which is 0 in no time since 1970:
    15 us for a MiB of points.
    """
    if table not in _TIME_AT:
        return data
    size = TABLE_ROW_BYTES[table]
    first = data[_TIME_AT[table] + 7 :: size].find(0)
    return data if first < 0 else data[: first * size]


def find_farewell(table: ThinTable, start: int, stop: int) -> int:
    """Return the first event in a part of the table by which a session ends; ``stop`` if none is.

    Notes
    -----
    Two bytes of each row are looked at.
    """
    size = TABLE_ROW_BYTES["events"]
    for first in range(start, stop, EVENT_BLOCK):
        data = table.read(first, min(first + EVENT_BLOCK, stop))
        kinds = data[_KIND_AT::size]
        found = [at for at in (kinds.find(kind) for kind in _FAREWELLS) if at >= 0]
        if found:
            return first + min(found)
    return stop


def find_whole(
    tables: Mapping[str, ThinTable],
    rows: Mapping[str, int],
    since: Mapping[str, int],
    *,
    is_closed: bool,
) -> dict[str, int]:
    """Return up to which row each table is there, by what its events point to.

    Parameters
    ----------
    tables : mapping
        By name.
    rows : mapping
        How many rows of each there are, by what HDF5 says.
    since : mapping
        The first ones that are new.
    is_closed : bool
        Whether all events have been written. Else bytes that no event points to yet wait for
        theirs, which tells whether they are whole.
    """
    stops = dict(rows)
    checker = _Checker(tables, rows, since)
    start = min(since.get("events", 0), rows["events"])
    stops["events"] = checker.find_stop(start)
    if stops["events"] < rows["events"] or not is_closed:
        stops |= {name: min(end, rows[name]) for name, end in checker.ends.items()}
    return stops


class _Checker:
    """Looks at events one after the other.

    Attributes
    ----------
    ends : dict
        How far the bytes of those that are whole reach, by table.
    """

    def __init__(
        self, tables: Mapping[str, ThinTable], rows: Mapping[str, int], since: Mapping[str, int]
    ) -> None:
        self._tables = tables
        self._rows = rows
        self.ends = {name: since.get(name, 0) for name in PLACE_TABLES.values()}
        self._window = (0, b"")

    def find_stop(self, start: int) -> int:
        """Return the first event from a row on that is not whole, or how many there are."""
        stop = self._rows["events"]
        for first in range(start, stop, EVENT_BLOCK):
            data = self._tables["events"].read(first, min(first + EVENT_BLOCK, stop))
            for number, row in enumerate(EVENT_ROW.iter_unpack(data), first):
                if not self._is_whole(row):
                    return number
        return stop

    def _is_whole(self, row: tuple[Any, ...]) -> bool:
        wall_s, offset, size, kind, place, _rank, _session, _node = row
        if not wall_s > 0:
            return False
        name = PLACE_TABLES.get(place)
        if name is None:
            return True  # of a newer writer
        end = offset + size
        if end > self._rows[name]:
            return False
        if place == Place.HEAP:
            before, body = self._read_body(offset, size)
            if not is_body_whole(kind, body, before):
                return False
            if kind == EventKind.PAYLOAD and not self._is_payload_whole(body):
                return False
        self.ends[name] = max(self.ends[name], end)
        return True

    def _read_body(self, offset: int, size: int) -> tuple[int, bytes]:
        """Return bytes of the heap, and the byte before them; many are read in one go."""
        first = max(0, offset - 1)
        base, data = self._window
        if not (base <= first and offset + size <= base + len(data)):
            base, data = first, self._tables["heap"].read(first, offset + max(size, WINDOW_BYTES))
            self._window = base, data
        begin = offset - base
        return data[begin - 1] if begin else 1, data[begin : begin + size]

    def _is_payload_whole(self, body: bytes) -> bool:
        """Tell whether the bytes that a description leads to are there, by their digest if need be.

        Hashing costs 0.7 ms or more for a MiB; what a file system has not delivered are sectors.
        """
        try:
            told = json.loads(body)
            name = PLACE_TABLES[Place(int(told["place"]))]
            offset, end = int(told["offset"]), int(told["offset"]) + int(told["size"])
            digest = str(told["digest"])
        except (ValueError, TypeError, LookupError):
            return True  # nobody will find them
        if not 0 <= offset <= end <= self._rows[name]:
            return False
        if any(bytes(SECTOR_BYTES) in one for one in self._iter_bytes(name, offset, end)):
            found = hashlib.sha256()
            for piece in self._iter_bytes(name, offset, end):
                found.update(piece)
            if found.hexdigest() != digest:
                return False
        self.ends[name] = max(self.ends[name], end)
        return True

    def _iter_bytes(self, name: str, offset: int, end: int) -> Iterator[bytes]:
        for start in range(offset, end, PIECE_BYTES):
            yield self._tables[name].read(start, min(start + PIECE_BYTES, end))
