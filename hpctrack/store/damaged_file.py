"""Reading a node file that is damaged: every chunk for itself, whatever the others are like."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.layout import NodeFileName
from hpctrack.core.wire import NAME_HEAD
from hpctrack.errors import StoreFormatError
from hpctrack.store.events import Event
from hpctrack.store.hdf5 import open_file, plain
from hpctrack.store.holes import Chunks, is_body_whole
from hpctrack.store.node_image import make_image
from hpctrack.store.schema import (
    EVENT,
    LIVE_KIND,
    PLACE_TABLES,
    POINT,
    PULSE,
    ROOT_ATTRIBUTES,
    SAMPLE,
    EventKind,
    Place,
    PointArray,
)
from hpctrack.store.streams import FileSensors

SUPERBLOCK_BYTES = 48
"""The first bytes of a node file, the same in all of them but for the file's length, which is
not looked at while a file is read as a live one."""

_READING = (OSError, RuntimeError, KeyError, ValueError, TypeError)


class DamagedTable:
    """A table of a damaged file.

    Parameters
    ----------
    file : h5py.File
        The file.
    name : str
        The table; one that is gone altogether has no rows.
    dtype : dtype
        What its rows should be.
    """

    def __init__(self, file: Any, name: str, dtype: np.dtype[Any]) -> None:
        self._file = file
        self._set: Any = None
        self.rows = 0
        with contextlib.suppress(*_READING):
            found = file[name]
            if found.dtype == dtype and found.ndim == 1:
                self.rows = int(found.shape[0])
                self._set = found
                self._chunks = Chunks(self._chunk_rows, dtype.itemsize)

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Return rows.

        Raises
        ------
        StoreFormatError
            Not all of them are there.
        """
        if not 0 <= start <= stop <= self.rows:
            raise StoreFormatError("these rows are not there")
        if start == stop:
            return np.zeros(0, np.uint8)
        for chunk in self._iter_chunks(start, stop):
            if chunk[1] < min(chunk[0] + self._chunk_rows, stop):
                raise StoreFormatError("these rows are not there")
        try:
            found: np.ndarray[Any, Any] = self._set[start:stop]
        except _READING as error:
            raise StoreFormatError(f"these rows cannot be read: {error}") from None
        return found

    def iter_pieces(self) -> Iterator[np.ndarray[Any, Any]]:
        """Yield what can be read, chunk by chunk."""
        if self._set is None:
            return
        for start, stop in self._iter_chunks(0, self.rows):
            if stop > start:
                with contextlib.suppress(*_READING):
                    rows = self._set[start:stop]
                    torn = self._chunks.find_torn(rows.view(np.uint8).data, start, self._read_row)
                    rows[torn] = np.zeros((), rows.dtype)
                    yield rows

    def _read_row(self, row: int) -> bytes:
        try:
            return self._set[row : row + 1].tobytes() if 0 <= row < self.rows else b""
        except _READING:
            return b""

    @property
    def _chunk_rows(self) -> int:
        return int(self._set.chunks[0]) if self._set.chunks else self.rows

    def _iter_chunks(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield where each chunk begins, and up to where its bytes are in the file."""
        end = os.fstat(self._file.id.get_vfd_handle()).st_size
        size = self._set.dtype.itemsize
        for first in range(start // self._chunk_rows * self._chunk_rows, stop, self._chunk_rows):
            last = min(first + self._chunk_rows, self.rows)
            try:
                offset = self._set.id.get_chunk_info_by_coord((first,)).byte_offset
            except _READING:
                offset = None
            if offset is not None:
                self._chunks.place(first, int(offset))
            there = 0 if offset is None else max(0, (end - offset) // size)
            yield first, min(last, first + there)


class DamagedFile:
    """A node file of which not everything can be read.

    Parameters
    ----------
    path : Path
        The file.
    scratch : Path
        A folder for a copy with a mended head, if the file's own is broken.

    Raises
    ------
    StoreFormatError
        Nothing of it can be read.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        self.path = path
        try:
            self._file = open_file(path, kind=LIVE_KIND, swmr=True)
        except StoreFormatError:
            mended = _mend_head(path, scratch)
            try:
                self._file = open_file(mended, kind=LIVE_KIND, swmr=True)
            except StoreFormatError as error:
                text = error.message.replace(str(mended), str(path))
                raise StoreFormatError(text) from None
        self.facts = self._read_facts()
        self._named: set[int] = set()
        self._sensors = FileSensors(self.facts)
        byte = np.dtype(np.uint8)
        self.points = DamagedTable(self._file, "points", POINT)
        self.samples = DamagedTable(self._file, "samples", SAMPLE)
        self.rows = DamagedTable(self._file, "events", EVENT)
        self._bytes = {
            place: DamagedTable(self._file, name, byte) for place, name in PLACE_TABLES.items()
        }
        self.pulse_wall_s, self.is_closed = self._read_pulse()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read_bytes(self, place: Place, offset: int, size: int) -> bytes:
        """Return bytes that an event points to.

        Raises
        ------
        StoreFormatError
            They are not all there.
        """
        return bytes(self._bytes[place].read(offset, offset + size))

    def iter_events(self) -> Iterator[Event]:
        """Yield the events whose bytes are all there."""
        for piece in self.rows.iter_pieces():
            for wall_s, offset, size, kind, place, rank, session, _node in piece.tolist():
                if place not in PLACE_TABLES or not wall_s > 0:
                    continue
                try:
                    body = self.read_bytes(Place(place), offset, size)
                except StoreFormatError:
                    continue
                if place == Place.HEAP and not is_body_whole(kind, body, self._read_before(offset)):
                    continue
                if kind == EventKind.NAME and size > NAME_HEAD.size:
                    self._named.add(NAME_HEAD.unpack_from(body)[0])
                event = Event(kind, wall_s, rank, session, body, place, offset, size)
                self._sensors.learn([event])
                yield event

    def _read_before(self, offset: int) -> int:
        try:
            return self.read_bytes(Place.HEAP, offset - 1, 1)[0]
        except StoreFormatError:
            return int(offset == 0)

    def iter_points(self) -> Iterator[PointArray]:
        """Yield the points whose names `iter_events` has come across.

        A disk that lost a block answers with zeros there: a point has a time.
        """
        named = sorted(self._named)
        for piece in self.points.iter_pieces():
            yield piece[np.isin(piece["metric"], named) & (piece["wall_s"] > 0)]

    def iter_samples(self) -> Iterator[np.ndarray[Any, Any]]:
        """Yield the samples whose sensor has a name; the events must have been read before."""
        named = sorted(self._sensors.names)
        for piece in self.samples.iter_pieces():
            yield piece[np.isin(piece["metric"], named) & (piece["wall_s"] > 0)]

    def _read_facts(self) -> dict[str, Any]:
        """Return the root's attributes; what is missing follows from the file's place."""
        name = NodeFileName.parse(self.path.name)
        facts: dict[str, Any] = {
            "run": self.path.parent.name,
            "project": self.path.parent.parent.name,
            "node": name.node if name else 0,
            "attempt": name.attempt if name else 1,
            "host": "",
            "created_wall_s": self.path.stat().st_mtime,
        }
        for key in ROOT_ATTRIBUTES:
            with contextlib.suppress(*_READING):
                value = plain(self._file.attrs[key])
                if key not in facts or isinstance(value, type(facts[key])):
                    facts[key] = value
        return facts

    def _read_pulse(self) -> tuple[float, bool]:
        try:
            wall_s, farewell = self._file[PULSE][:].tolist()
        except _READING:
            return float(self.path.stat().st_mtime), False
        return float(wall_s), bool(farewell)


def _mend_head(path: Path, scratch: Path) -> Path:
    """Copy a file and give it the superblock that all node files are made with."""
    copy = scratch / "mended.h5"
    try:
        shutil.copyfile(path, copy)
        facts = {"run": "", "project": "", "node": 0, "attempt": 1, "host": ""}
        with copy.open("r+b") as file:
            file.write(make_image(facts, 0.0)[:SUPERBLOCK_BYTES])
    except OSError as error:
        raise StoreFormatError(f"{path} cannot be copied: {error.strerror or error}") from None
    return copy
