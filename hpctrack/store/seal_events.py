"""Copying events, and the bytes that they point to, into a sealed file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.core.wire import make_plain
from hpctrack.errors import StoreError
from hpctrack.store.hdf5 import open_file
from hpctrack.store.schema import EVENT, PLACE_TABLES, SEALED_KIND, EventKind, Place
from hpctrack.store.seal_sources import EventBlock, Source, Table
from hpctrack.store.sealed_layout import BYTES_CHUNK, EVENT_CHUNK_ROWS
from hpctrack.store.sealed_writer import TableWriter, check_table

COPY_BYTES = 4 * 1024 * 1024
"""Long bodies are copied in pieces of this size."""


NUMBERS = frozenset({EventKind.NAME, EventKind.SENSOR})
"""They say what numbers of the node file stand for; the sealed file has an index."""


class EventWriter:
    """Writes ``/events``, ``/heap``, ``/text`` and ``/blobs``.

    Bytes with the same digest are kept once, from whatever node they came; a copy that does not
    have the digest that it should have does not count.

    Parameters
    ----------
    file : h5py.File
        The sealed file.
    blob_bytes : int
        How many bytes there may be in ``/blobs``, at most.
    on_piece : callable
        Called every few MiB: the sealer is alive.
    """

    def __init__(self, file: Any, *, blob_bytes: int, on_piece: Callable[[], None]) -> None:
        self._on_piece = on_piece
        byte = np.dtype(np.uint8)
        self._places = {
            Place.HEAP: TableWriter(file, "heap", byte, chunk_rows=BYTES_CHUNK),
            Place.TEXT: TableWriter(file, "text", byte, chunk_rows=BYTES_CHUNK),
            # PNG, audio and video are compressed already.
            Place.BLOBS: TableWriter(
                file, "blobs", byte, chunk_rows=min(BYTES_CHUNK, blob_bytes), is_packed=False
            ),
        }
        self._events = TableWriter(file, "events", EVENT, chunk_rows=EVENT_CHUNK_ROWS)
        self._seen: set[bytes] = set()
        self._node = 0

    def add(self, source: Source) -> None:
        """Copy all events of a source."""
        for block in source.iter_event_blocks():
            self._on_piece()
            kept = [self._copy(source, row, block) for row in block.rows.tolist()]
            rows = [row for row in kept if row is not None]
            if rows:
                self._events.append(np.array(rows, EVENT))
        self._node += len(source.nodes)

    def close(self) -> None:
        """Write what was held back."""
        for table in self._places.values():
            table.close()
        self._events.close()

    def check(self, path: Path) -> None:
        """Read everything back, from the file that was closed since.

        Raises
        ------
        StoreError
            It is not what was written.
        """
        tables = {PLACE_TABLES[place]: table for place, table in self._places.items()}
        file = open_file(path, kind=SEALED_KIND, swmr=False)
        try:
            for name, table in {**tables, "events": self._events}.items():
                if not check_table(file, name, table, self._on_piece):
                    raise StoreError(f"the sealed file has other {name}: not sealed")
        except (OSError, RuntimeError, LookupError) as error:
            raise StoreError(
                f"the new sealed file of {path.parent.name} cannot be read back: {error}"
            ) from None
        finally:
            file.close()

    def _copy(
        self, source: Source, row: tuple[Any, ...], block: EventBlock
    ) -> tuple[Any, ...] | None:
        """Copy one event; None for one that is not needed any more, or is torn."""
        wall_s, offset, size, kind, place, rank, session, node = row
        if kind in NUMBERS or place not in self._places:
            return None
        if place == Place.HEAP:
            body = block.heap[offset - block.heap_start : offset - block.heap_start + size]
            if kind == EventKind.PAYLOAD:
                moved = self._move_payload(source, body)
                if moved is None:
                    return None
                body = moved
            offset = self._places[Place.HEAP].append(np.frombuffer(body, np.uint8))
            size = len(body)
        else:
            moved_to = self._move(
                source.table(PLACE_TABLES[Place(place)]), Place(place), offset, size
            )
            if moved_to is None:
                return None
            offset = moved_to
        return wall_s, offset, size, kind, place, rank, session, node + self._node

    def _move_payload(self, source: Source, body: bytes) -> bytes | None:
        """Copy a payload's bytes and return its new description."""
        try:
            told = json.loads(body)
            place, digest = Place(told["place"]), bytes.fromhex(told["digest"])
            offset, size = int(told["offset"]), int(told["size"])
        except (ValueError, KeyError, TypeError):
            return None
        if digest in self._seen or min(offset, size) < 0:
            return None
        found = hashlib.sha256()
        moved_to = self._move(source.table(PLACE_TABLES[place]), place, offset, size, found)
        if moved_to is None:
            return None
        if found.digest() == digest:
            self._seen.add(digest)
        return json.dumps({**told, "offset": moved_to}, default=make_plain).encode()

    def _move(
        self, table: Table, place: Place, offset: int, size: int, digest: Any = None
    ) -> int | None:
        """Copy bytes; None if they are not all there."""
        if offset + size > table.rows:
            return None
        target = self._places[place]
        moved_to = target.rows
        for start in range(offset, offset + size, COPY_BYTES):
            self._on_piece()
            piece: NDArray[np.uint8] = table.read(start, min(start + COPY_BYTES, offset + size))
            target.append(piece)
            if digest is not None:
                digest.update(piece.data)
        return moved_to
