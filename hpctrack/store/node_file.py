"""Writing a live node file: fixed tables that only grow, readable while they do."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hpctrack.core.layout import NodeFileName
from hpctrack.errors import StoreError
from hpctrack.store.hdf5 import note_left
from hpctrack.store.node_image import make_image
from hpctrack.store.node_table import METADATA_BYTES, NodeTable, open_for_append
from hpctrack.store.schema import (
    EVENT,
    LIBVER,
    PLACE_TABLES,
    POINT,
    PULSE,
    SAMPLE,
    TABLES,
    EventKind,
    Place,
)
from hpctrack.store.space import Reservation, explain, probe, sync_folder

ROLL_OVER_BYTES = 4 * 1024**3
ROLL_OVER_S = 3600.0
"""A lost node loses at most the file that it was writing: one that was closed is synced."""

_ABANDONED: list[object] = []
"""Objects of h5py that must never be collected: HDF5 would write once more."""


NOBODY = 2**31
"""Session number of events that no rank has sent: the agent's own, and those that were salvaged."""


class NewEvent(NamedTuple):
    """An event to be written.

    Parameters
    ----------
    kind : int
        An `EventKind`, or one of a newer writer in a copy.
    body : bytes
        What the kind says.
    wall_s : float
    rank, session : int
    place : Place
        The table that the body goes to.
    """

    kind: int
    body: bytes
    wall_s: float
    rank: int
    session: int
    place: Place = Place.HEAP


class NodeFile:
    """One agent's file of one run. Not safe for several threads.

    Parameters
    ----------
    folder : Path
        The run's folder; made if needed.
    facts : mapping
        ``run, project, node, attempt, host``; ``uuid`` for the salvaged part of another file.
    wall_s : float
        Now.
    is_suspect : bool
        Somebody died writing here: try the folder with a small file first.
    roll_over_bytes, roll_over_s : float
        When `should_roll` says so; 0 means never.

    Raises
    ------
    StoreError, StoreFullError
        The folder or the file cannot be made.

    Attributes
    ----------
    was_removed : bool
        Somebody has taken the file's name away, which says nothing of the folder.

    Notes
    -----
    Room is taken before HDF5 is asked to write, see `hpctrack.store.space`: a `StoreFullError`
    leaves the file as it was, and `close` still works. Any other `StoreError` of a method means
    that HDF5 has met an error: the file is *abandoned* then, HDF5 cannot reach it any more, and
    every later call raises. What is in the file up to its last `flush` is readable in any case;
    rows are safe when the `flush` after them has returned.
    """

    def __init__(
        self,
        folder: Path,
        facts: Mapping[str, Any],
        *,
        wall_s: float,
        is_suspect: bool = False,
        roll_over_bytes: float = ROLL_OVER_BYTES,
        roll_over_s: float = ROLL_OVER_S,
    ) -> None:
        name = NodeFileName(int(facts["node"]), int(facts["attempt"]), secrets.token_hex(4))
        self.path = folder / str(name)
        self._created_wall_s = wall_s
        self._roll_over_bytes, self._roll_over_s = roll_over_bytes, roll_over_s
        self._is_gone = False
        self.was_removed = False
        self._flushed_points = 0
        self._is_durable = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if is_suspect:
                probe(folder)
            # It appears under its name when it can be read: half a file would look broken.
            scratch = folder / f".{name}.tmp"
            try:
                self._open(scratch, make_image(facts, wall_s))
                scratch.rename(self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    scratch.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise explain(error, folder) from None

    def _open(self, scratch: Path, image: bytes) -> None:
        """Write the empty tables with plain calls, and only then let HDF5 have the file."""
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        handle = os.open(scratch, flags, 0o644)
        self._room = Reservation(handle, scratch)
        try:
            self._room.begin(image, METADATA_BYTES)
            self._file = open_for_append(scratch, LIBVER)
        except BaseException:
            os.close(handle)
            raise
        self._descriptor: int = self._file.get_vfd_handle()
        self._tables: dict[str, NodeTable] = {}
        with self._guard():
            for table, (dtype, _rows) in TABLES.items():
                self._tables[table] = NodeTable(self._file, table, dtype)
            self._pulse = NodeTable(self._file, PULSE, np.dtype("<f8"))

    # -- what there is ---------------------------------------------------------------------------

    @property
    def sizes(self) -> dict[str, int]:
        """Rows written to each table so far."""
        return {name: table.rows for name, table in self._tables.items()}

    @property
    def is_abandoned(self) -> bool:
        """Whether HDF5 has met an error and the file has been left."""
        return self._is_gone

    def should_roll(self, wall_s: float) -> bool:
        """Tell whether the file should be closed and followed by another one.

        Parameters
        ----------
        wall_s : float
            Now.
        """
        if not any(table.rows for table in self._tables.values()):
            return False
        size = sum(table.size_bytes for table in self._tables.values())
        age_s = wall_s - self._created_wall_s
        return bool(
            (self._roll_over_bytes and size >= self._roll_over_bytes)
            or (self._roll_over_s and age_s >= self._roll_over_s)
        )

    # -- writing ---------------------------------------------------------------------------------

    def add_points(self, rows: bytes | bytearray | memoryview) -> None:
        """Append packed `POINT` rows."""
        self._append({"points": np.frombuffer(rows, POINT)})

    def add_samples(self, rows: bytes | bytearray | memoryview) -> None:
        """Append packed `SAMPLE` rows."""
        self._append({"samples": np.frombuffer(rows, SAMPLE)})

    def add_event(
        self,
        kind: EventKind,
        body: bytes,
        *,
        wall_s: float,
        rank: int,
        session: int,
        place: Place = Place.HEAP,
    ) -> None:
        """Append an event and its bytes; many at once are cheaper with `add_events`."""
        self.add_events([NewEvent(kind, body, wall_s, rank, session, place)])

    def add_events(self, events: Sequence[NewEvent]) -> None:
        """Append events and their bytes, all or, with a `StoreFullError`, none."""
        rows = []
        bodies: dict[str, list[bytes]] = {}
        ends = {place: self._tables[name].rows for place, name in PLACE_TABLES.items()}
        for kind, body, wall_s, rank, session, place in events:
            offset, size = ends[place], len(body)
            rows.append((wall_s, offset, size, kind, place, rank, session, 0))
            ends[place] = offset + size
            bodies.setdefault(PLACE_TABLES[place], []).append(body)
        joined = {name: np.frombuffer(b"".join(parts), np.uint8) for name, parts in bodies.items()}
        self._append({**joined, "events": np.array(rows, EVENT)})

    def add_bytes(self, body: bytes, place: Place) -> int:
        """Append bytes that an event, or a payload's description, will point to.

        Returns
        -------
        int
            Where they begin.
        """
        table = PLACE_TABLES[place]
        offset = self._tables[table].rows
        self._append({table: np.frombuffer(body, np.uint8)})
        return offset

    def flush(self, *, wall_s: float, is_last: bool = False) -> None:
        """Write everything through to the page cache, in an order that readers can rely on.

        Parameters
        ----------
        wall_s : float
            Now: the file's sign of life.
        is_last : bool
            The agent leaves the file for good.

        Raises
        ------
        StoreError
            Nobody will read it: the file was abandoned, or it was removed, as by a sealer that
            took this process for dead; what was added since the last flush belongs elsewhere.
        """
        with self._guard():
            self._check_name()
            for table in self._tables.values():
                table.flush()
            self._pulse.overwrite(np.array([wall_s, wall_s if is_last else 0.0]))
            self._pulse.flush()
            # Once more: a sealer looks for new rows when it has taken the name away.
            self._check_name()
        self._flushed_points = self._tables["points"].rows

    def close(self, *, wall_s: float, is_durable: bool = True) -> None:
        """Flush, say farewell and close; a plain HDF5 tool can open the file then.

        Parameters
        ----------
        wall_s : float
            Now.
        is_durable : bool
            Wait until the disk has it (fsync of file and folder).

        Raises
        ------
        StoreError
            The file was abandoned, or the disk may not have it.
        """
        self.flush(wall_s=wall_s, is_last=True)
        with self._guard():
            for table in (*self._tables.values(), self._pulse):
                table.close()
            self._file.close()
        self._is_gone = True
        try:
            self._room.close(is_durable=is_durable)
            if is_durable:
                sync_folder(self.path.parent)
                self._is_durable = True
        except OSError as error:
            raise explain(error, self.path) from None

    def abandon(self) -> None:
        """Leave the file as it is on the disk, for ever; never raises, may be repeated.

        HDF5 flushes what it holds when its objects are collected and when the process exits, and
        dies if it cannot. So its descriptor is made to lead to memory, where all writes succeed,
        and its objects are kept until the process ends.
        """
        if self._is_gone:
            return
        self._is_gone = True
        _ABANDONED.extend((self._file, self._tables, vars(self).get("_pulse")))
        with contextlib.suppress(OSError):
            note_left(self._descriptor)
            self._room.divert(self._descriptor)

    def count_unsafe_points(self) -> int:
        """Return how many points of a file that was left the disk may lose, though it took them.

        The page cache takes everything. A disk that fails can lose what it had not written out
        by then, and `flush` cannot know.
        """
        if self.was_removed or self._is_durable or self._room.sync():
            return 0
        return self._flushed_points

    def _check_name(self) -> None:
        if self._room.is_removed:
            self.was_removed = True
            raise StoreError("it was removed, sealed or deleted")

    def _append(self, rows: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take the room for all rows, then let HDF5 write them."""
        if self._is_gone:
            raise StoreError(f"{self.path} has been left")
        added = {name: len(one) for name, one in rows.items() if len(one)}
        self._room.cover(
            METADATA_BYTES
            + sum(
                table.size_after_bytes(added.get(name, 0)) for name, table in self._tables.items()
            )
        )
        with self._guard():
            for name in added:
                self._tables[name].append(rows[name])

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Abandon the file when HDF5 fails."""
        if self._is_gone:
            raise StoreError(f"{self.path} has been left")
        try:
            yield
        except Exception as error:  # noqa: BLE001 - HDF5 raises many kinds
            self.abandon()
            text = str(error).partition("\n")[0]
            raise StoreError(f"{self.path} cannot be written any more: {text}") from None


def has_abandoned_files() -> bool:
    """Tell whether this process has left a file: it should end with ``os._exit`` then.

    HDF5's farewell at a normal exit writes to memory only, but nobody has promised that it
    survives what it cannot read back.
    """
    return bool(_ABANDONED)
