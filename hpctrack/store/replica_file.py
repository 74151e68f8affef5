"""Opening a replica's file for rows that are new, also after somebody was killed over that."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.errors import StoreError, StoreFormatError
from hpctrack.store.growing_file import GrowingFile, begin_file
from hpctrack.store.hdf5 import plain
from hpctrack.store.live_file import LiveFile, open_live
from hpctrack.store.node_image import REPLICA_MARK, make_image
from hpctrack.store.node_table import INDEX_BYTES, METADATA_BYTES
from hpctrack.store.schema import PULSE, TABLES
from hpctrack.store.space import Reservation, explain, sync_folder
from hpctrack.store.table_reader import TableReader
from hpctrack.store.tails import NodeState, Piece
from hpctrack.store.texts import read_text

COPY_BYTES = 8 * 1024 * 1024

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FLAGS_AT = 11
"""Where a superblock of version 3 says whether somebody has the file open for writing."""


class ReplicaFile(GrowingFile):
    """A replica that is open for writing.

    Parameters
    ----------
    path : Path
        For messages.
    handle : int
        A descriptor of the file; it belongs to this object from now on.
    pieces : iterable of Piece
        What will be written: room is taken for it before HDF5 has the file.

    Raises
    ------
    StoreFullError
        There is no room.
    OSError, RuntimeError, ValueError, StoreError
        It cannot be opened for writing.
    """

    def __init__(self, path: Path, handle: int, pieces: Iterable[Piece] = ()) -> None:
        room = Reservation(handle, path)
        try:
            room.resume()
            room.cover(room.end_bytes + _measure(pieces), is_exact=True)
        except BaseException as error:
            with contextlib.suppress(OSError):
                room.close(is_durable=False)
            if isinstance(error, OSError):
                raise explain(error, path) from None
            raise
        # Whatever others put at its name meanwhile: this is the file that we have looked at.
        super().__init__(path, room, _path_of(handle))

    def read_uuid(self) -> str:
        """Return which file it is a replica of."""
        with self._guard():
            return read_text(self._file, "uuid")

    def put(self, pieces: Iterable[Piece], known_rows: Mapping[str, int]) -> None:
        """Write rows; those that are known are passed over, what is behind them is replaced.

        Readers see the pieces in their order: the end of a session comes after its points.
        """
        order = list(TABLES)
        last = 0
        with self._guard():
            for piece in pieces:
                dtype, _chunk_rows = TABLES[piece.table]
                if order.index(piece.table) < last:
                    self._flush_tables()
                last = order.index(piece.table)
                start = max(piece.start, known_rows.get(piece.table, 0))
                rows = np.frombuffer(piece.data, dtype)[start - piece.start :]
                if len(rows):
                    self._tables[piece.table].put(start, rows)

    def copy(self, source: LiveFile) -> None:
        """Take over all rows of another file that can be read; those read so far if one cannot."""
        with contextlib.suppress(StoreFormatError):
            for name, (dtype, _chunk_rows) in TABLES.items():
                table = TableReader(source, name, self.path)
                step = COPY_BYTES // dtype.itemsize
                for start in range(0, table.rows, step):
                    rows = np.ascontiguousarray(table.read(start, start + step), dtype)
                    self._append({name: rows})


def begin_replica(scratch: Path, facts: Mapping[str, Any]) -> int:
    """Make a replica without rows, and return a descriptor of it.

    Raises
    ------
    StoreError, StoreFullError
        It cannot be made.
    """
    try:
        scratch.unlink(missing_ok=True)
        image = make_image(facts, float(facts["created_wall_s"]), is_replica=True)
        begin_file(scratch, image).close(is_durable=False)
        return os.open(scratch, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise explain(error, scratch) from None


def open_replica(path: Path) -> int | None:
    """Return a descriptor of a file, or None if there is none.

    Raises
    ------
    StoreError
        There is a link, or something else that is no file; or it cannot be opened.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain(error, path) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise StoreError(f"{path} is no file")
    return handle


def read_mark(path: Path) -> str:
    """Return the uuid of a file that is a replica by its own mark; empty of any other one."""
    with contextlib.suppress(StoreError, OSError, RuntimeError, KeyError, ValueError, TypeError):
        handle = open_replica(path)
        if handle is not None:
            try:
                with _open_again(handle) as file:
                    if REPLICA_MARK in file.table(PULSE).attrs:
                        return str(plain(file.attrs["uuid"]))
            finally:
                os.close(handle)
    return ""


def check_is_replica(path: Path, handle: int, uuid: str) -> None:
    """Make sure that a file of which nothing is known is a replica of another one.

    Raises
    ------
    StoreError
        It is the file of a run that is, or was, recorded here; or it cannot be read.
    """
    with _open_again(handle) as file:
        try:
            is_replica = REPLICA_MARK in file.table(PULSE).attrs
            found = str(plain(file.attrs["uuid"]))
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise StoreFormatError(f"{path} cannot be read: {error}") from None
    if not is_replica or found != uuid:
        raise StoreError(f"{path} is a file of this machine's own, or another one")


def is_left_open(handle: int) -> bool:
    """Tell whether somebody was killed while he wrote a file: HDF5 would not open it for writing.

    It could be made to, but does not know any more where the file's end is.
    """
    head = os.pread(handle, _FLAGS_AT + 1, 0)
    return not head.startswith(_SIGNATURE) or len(head) <= _FLAGS_AT or head[_FLAGS_AT] != 0


def rebuild(path: Path, handle: int, facts: Mapping[str, Any], state: NodeState | None) -> None:
    """Put a new file with all rows that can be read in the place of a replica.

    Parameters
    ----------
    path : Path
    handle : int
        A descriptor of the file.
    facts : mapping
        The attributes of its root.
    state : NodeState or None
        What is known of it.

    Raises
    ------
    StoreError, StoreFullError
        It cannot be made; the old one is kept.
    """
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        file = ReplicaFile(scratch, begin_replica(scratch, facts))
        try:
            with contextlib.suppress(StoreFormatError), _open_again(handle) as source:
                file.copy(source)
            told = state or NodeState(uuid="")
            file.write_through(told.pulse_wall_s, told.closed_wall_s)
        finally:
            if not file.is_abandoned:
                file.close_file(is_durable=True)
        scratch.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise explain(error, path) from None
        raise


@contextlib.contextmanager
def _open_again(handle: int) -> Iterator[LiveFile]:
    file = open_live(_path_of(handle))
    try:
        yield file
    finally:
        file.close()


def _path_of(handle: int) -> Path:
    return Path(f"/proc/self/fd/{handle}")


def _measure(pieces: Iterable[Piece]) -> int:
    """Return how much of a file some rows will take, at most."""
    added: dict[str, int] = {}
    for piece in pieces:
        added[piece.table] = added.get(piece.table, 0) + len(piece.data)
    size_bytes = METADATA_BYTES
    for name, count in added.items():
        dtype, chunk_rows = TABLES[name]
        chunk_bytes = chunk_rows * dtype.itemsize
        size_bytes += (-(-count // chunk_bytes) + 1) * (chunk_bytes + INDEX_BYTES)
    return size_bytes
