"""The table of a project, kept in the user's cache folder for the next start.

An Arrow file that is mapped into memory: a million runs are there at once, and what nobody asks
for takes no memory. It is never changed, only replaced as a whole, and holds nothing that could not
be read again from the store; what is wrong with it in any way is passed over. Behind the Arrow file
stand a checksum of it and a mark, because Arrow itself trusts whatever it reads.

::

    bytes  the Arrow file; its schema's metadata say for which store, project and version
    u32    CRC-32 of that, little-endian
    8 B    the mark
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import struct
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from hpctrack.core import __version__
from hpctrack.store.index import cache_folder
from hpctrack_server.data.index.segment import Segment

TABLE_VERSION = 1
MARK = b"hptable1"
LEFT_AFTER_S = 3600.0
PIECE_BYTES = 1 << 22
_TAIL = struct.Struct("<I8s")
_META = b"hpctrack"


class SavedTable:
    """The saved table of one project. Nothing here raises: what cannot be had is not there.

    Parameters
    ----------
    store : Path
        The store's folder.
    project : str
    folder : Path, optional
        Where it lies; for tests.
    """

    def __init__(self, store: Path, project: str, *, folder: Path | None = None) -> None:
        place = os.fsencode(os.path.realpath(store))
        self._meta = {
            "version": TABLE_VERSION,
            "made_by": __version__,
            "store": place.hex(),
            "project": project,
        }
        token = hashlib.sha256(place + b"\0" + project.encode()).hexdigest()[:24]
        self.path = (folder or cache_folder()) / f"table-{token}.arrow"

    def load(self) -> Segment | None:
        """Return the table, mapped into memory, or None if there is none that can be used.

        Notes
        -----
        The checksum costs 0.5 s for the 500 MB of 1,000,000 runs with 60 columns.
        """
        try:
            size = self.path.stat().st_size
            if size < _TAIL.size or not self._is_whole(size):
                return None
            mapped = pa.memory_map(os.fsdecode(self.path))
            body = mapped.read_buffer(size - _TAIL.size)
            reader = pa.ipc.open_file(pa.BufferReader(body))
            if json.loads((reader.schema.metadata or {}).get(_META, b"null")) != self._meta:
                return None
            return Segment.from_arrow(reader.read_all())
        except (OSError, pa.ArrowException, ValueError, KeyError, UnicodeError):
            return None

    def save(self, segment: Segment) -> bool:
        """Replace the table; return whether that worked."""
        scratch = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            table = segment.to_arrow().replace_schema_metadata({_META: json.dumps(self._meta)})
            handle = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as file:
                writer = _Summing(file)
                sink = pa.PythonFile(writer, "w")
                with pa.ipc.new_file(sink, table.schema) as ipc:
                    ipc.write_table(table)
                file.write(_TAIL.pack(writer.sum, MARK))
            scratch.replace(self.path)
            self._remove_leftovers()
        except (OSError, pa.ArrowException, ValueError):
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            return False
        return True

    def _remove_leftovers(self) -> None:
        """Remove halves of processes that were killed while they saved."""
        now_s = self.path.stat().st_mtime
        for one in self.path.parent.glob(f".{self.path.name}.*.tmp"):
            with contextlib.suppress(OSError):
                if now_s - one.stat().st_mtime > LEFT_AFTER_S:
                    one.unlink()

    def _is_whole(self, size: int) -> bool:
        """Read it once, without keeping it, and compare its checksum."""
        found, left = 0, size - _TAIL.size
        with self.path.open("rb", buffering=0) as file:
            while left:
                piece = file.read(min(left, PIECE_BYTES))
                if not piece:
                    return False
                found = zlib.crc32(piece, found)
                left -= len(piece)
            tail = file.read(_TAIL.size)
        return len(tail) == _TAIL.size and _TAIL.unpack(tail) == (found, MARK)


class _Summing:
    """A file that sums what is written."""

    closed = False

    def __init__(self, file: Any) -> None:
        self._file = file
        self.sum = 0

    def write(self, data: Any) -> int:
        self.sum = zlib.crc32(data, self.sum)
        return int(self._file.write(data))

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        """Leave it open: the tail is still to come."""
