"""Writing a file whose tables only grow, readable while they do, and never hurting the process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.errors import StoreError
from hpctrack.store.hdf5 import note_left
from hpctrack.store.node_table import METADATA_BYTES, NodeTable, open_for_append
from hpctrack.store.schema import LIBVER, PULSE, TABLES
from hpctrack.store.space import Reservation, explain, sync_folder

_ABANDONED: list[object] = []
"""Objects of h5py that must never be collected: HDF5 would write once more."""


class GrowingFile:
    """The tables of a live node file, open for writing. Not safe for several threads.

    Parameters
    ----------
    path : Path
        The file.
    room : Reservation
        Of the file.
    opened : Path
        What HDF5 opens: the same file by a name that nobody else uses.

    Raises
    ------
    OSError, RuntimeError, ValueError
        As h5py does: it is no HDF5 file, or was left open by somebody.
    StoreError
        It is no node file.

    Attributes
    ----------
    was_removed : bool
        Somebody has taken the file's name away, which says nothing of the folder.

    Notes
    -----
    Room is taken before HDF5 is asked to write, see `hpctrack.store.space`: a `StoreFullError`
    leaves the file as it was, and it can still be closed. Any other `StoreError` of a method means
    that HDF5 has met an error: the file is *abandoned* then, HDF5 cannot reach it any more, and
    every later call raises. What is in the file up to its last flush is readable in any case; rows
    are safe when the flush after them has returned.
    """

    def __init__(self, path: Path, room: Reservation, opened: Path) -> None:
        self.path = path
        self.was_removed = False
        self._room = room
        self._is_gone = False
        self._flushed_points = 0
        self._is_durable = False
        self._other_bytes = METADATA_BYTES
        try:
            self._file = open_for_append(opened, LIBVER)
        except BaseException:
            with contextlib.suppress(OSError):
                room.close(is_durable=False)
            raise
        self._descriptor: int = self._file.get_vfd_handle()
        self._tables: dict[str, NodeTable] = {}
        with self._guard():
            for table, (dtype, _rows) in TABLES.items():
                self._tables[table] = NodeTable(self._file, table, dtype)
            self._pulse = NodeTable(self._file, PULSE, np.dtype("<f8"))

    @property
    def sizes(self) -> dict[str, int]:
        """Rows written to each table so far."""
        return {name: table.rows for name, table in self._tables.items()}

    @property
    def is_abandoned(self) -> bool:
        """Whether HDF5 has met an error and the file has been left."""
        return self._is_gone

    def write_through(self, pulse_wall_s: float, closed_wall_s: float) -> None:
        """Write everything through to the page cache, in an order that readers can rely on.

        Parameters
        ----------
        pulse_wall_s : float
            The agent's sign of life.
        closed_wall_s : float
            Its farewell, or 0.

        Raises
        ------
        StoreError
            Nobody will read it: the file was abandoned, or it was removed, as by a sealer that
            took this process for dead; what was added since the last flush belongs elsewhere.
        """
        with self._guard():
            self._check_name()
            self._flush_tables()
            self._pulse.overwrite(np.array([pulse_wall_s, closed_wall_s]))
            self._pulse.flush()
            # Once more: a sealer looks for new rows when it has taken the name away.
            self._check_name()
        self._flushed_points = self._tables["points"].rows

    def close_file(self, *, is_durable: bool, keeps_room: bool = False) -> None:
        """Close it; a plain HDF5 tool can open it then.

        Parameters
        ----------
        is_durable : bool
            Wait until the disk has it (fsync of file and folder).
        keeps_room : bool, optional
            See `Reservation.close`.

        Raises
        ------
        StoreError
            The file was abandoned, or the disk may not have it.
        """
        with self._guard():
            for table in (*self._tables.values(), self._pulse):
                table.close()
            self._file.close()
        self._is_gone = True
        try:
            self._room.close(is_durable=is_durable, keeps_room=keeps_room)
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

    def _flush_tables(self) -> None:
        for table in self._tables.values():
            table.flush()

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
            self._other_bytes
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


def begin_file(scratch: Path, image: bytes) -> Reservation:
    """Make a file and write the empty tables with plain calls; only then HDF5 may have it.

    Raises
    ------
    OSError
        It cannot be made, or there is no room.
    """
    handle = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        room = Reservation(handle, scratch)
        room.begin(image, METADATA_BYTES)
    except BaseException:
        os.close(handle)
        raise
    return room


def has_abandoned_files() -> bool:
    """Tell whether this process has left a file: it should end with ``os._exit`` then.

    HDF5's farewell at a normal exit writes to memory only, but nobody has promised that it
    survives what it cannot read back.
    """
    return bool(_ABANDONED)
