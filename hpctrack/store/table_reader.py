"""One table of a live node file, as far as its bytes are really there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.errors import StoreFormatError
from hpctrack.store.holes import Chunks
from hpctrack.store.live_file import LiveFile
from hpctrack.store.table_bytes import TableBytes
from hpctrack.store.thin_hdf5 import LOOKUPS_MAX


class TableReader:
    """A growing, one-dimensional table of a file that is open for reading.

    Parameters
    ----------
    file : LiveFile
        The file.
    name : str
        The table.
    path : Path
        The file's, for messages.

    Raises
    ------
    StoreFormatError
        The table is not there, or cannot be read.

    Notes
    -----
    HDF5 answers with zeros for bytes behind the end of a file, and for chunks that it has no
    address of. Both happen to files that were cut, and over NFS to a reader whose client does
    not know yet how long the file is; so what is served ends before the first such chunk. A row
    of which a part was lost is served as zeros altogether, see `hpctrack.store.holes`.

    A look that finds nothing new, or some more rows in a chunk that is known, and the reading of
    rows of one chunk, do without HDF5: 10 us instead of 0.3 ms.
    """

    def __init__(self, file: LiveFile, name: str, path: Path) -> None:
        self._name = name
        self._path = path
        self._file = file
        with _checked(path, name):
            self._set = file.table(name)
            self._chunk_rows = int(self._set.chunks[0]) if self._set.chunks else 0
            self._row_bytes = int(self._set.dtype.itemsize)
            self._bytes = TableBytes(self._set)
            # What is read by plain calls is what is in the file, not what a writer in this very
            # process still holds.
            self._written = self._bytes.count_rows(file.handle) or 0
            self._told = int(self._set.shape[0])
        self._whole_rows = 0
        self._rows = -1
        self._chunks = Chunks(self._chunk_rows, self._row_bytes)

    @property
    def told_rows(self) -> int:
        """How many rows the file says that there are, since the last `refresh`."""
        return self._told

    @property
    def rows(self) -> int:
        """How many rows can be read, since the last `refresh`."""
        if self._rows < 0:
            self._rows = self._count_rows()
        return self._rows

    def refresh(self) -> None:
        """See what has been written since; a table without chunks has all its rows."""
        if not self._chunk_rows and self._rows >= 0:
            return
        with _checked(self._path, self._name):
            told = self._bytes.count_rows(self._file.handle)
            if told is None or not self._is_known(told):
                self._set.refresh()  # and its cached shape, which `id.refresh` leaves
                self._rows, self._told = -1, int(self._set.shape[0])
            elif told != self._told or self._rows != told:
                # The last row can be read, and lies in the chunk that all rows reached into.
                self._rows = told if self._rows == self._told else -1
                self._told = told
            self._written = told or 0

    def read(self, start: int, stop: int) -> Any:
        """Return rows as an array; fewer if they are not there."""
        stop = max(start, min(stop, self.rows))
        with _checked(self._path, self._name):
            rows = self._read(start, stop)
            if self._row_bytes > 1 and self._chunk_rows:
                torn = self._chunks.find_torn(rows.view(np.uint8).data, start, self._read_row)
                if torn:
                    rows[torn] = np.zeros((), rows.dtype)
        return rows

    def _read(self, start: int, stop: int) -> Any:
        address = self._find_place(start, stop) if start < stop <= self._written else None
        if address is not None:
            rows = self._bytes.read(self._file.handle, address, stop - start)
            if rows is not None:
                return rows
        if self._set.shape[0] < stop or not self._chunk_rows:
            self._set.refresh()
        return self._set[start:stop]

    def _find_place(self, start: int, stop: int) -> int | None:
        """Return where rows are in the file, if they lie in one piece that is known."""
        if not self._chunk_rows:
            base = self._bytes.offset
        elif start // self._chunk_rows == (stop - 1) // self._chunk_rows:
            base = self._chunks.find(start)
            start %= self._chunk_rows
        else:
            return None
        return None if base is None else int(base) + start * self._row_bytes

    def _is_known(self, told: int) -> bool:
        """Tell whether there is nothing new, or only rows that can be read without HDF5."""
        if told <= self._told or self._row_bytes == 1:
            return told == self._told
        place = self._find_place(told - 1, told)
        return place is not None and self._bytes.has_row(self._file.handle, place)

    def _read_row(self, row: int) -> bytes:
        return self._read(row, row + 1).tobytes() if 0 <= row < self.rows else b""

    def _count_rows(self) -> int:
        """Count the rows up to the first chunk that is not there; full ones are asked for once."""
        total = self._told
        if not self._chunk_rows:
            return total
        with _checked(self._path, self._name):
            end = os.fstat(self._file.handle).st_size
            addresses = self._find_chunks(total)
            while self._whole_rows < total:
                start = self._whole_rows
                address = self._chunks.find(start)
                if address is None:
                    address = addresses.get(start) if addresses else self._find_chunk(start)
                if address is None:
                    return start
                self._chunks.place(start, address)
                count = min(self._chunk_rows, total - start)
                there = min(count, max(0, (end - address) // self._row_bytes))
                if there < self._chunk_rows:
                    return start + there
                self._whole_rows = start + self._chunk_rows
        return total

    def _find_chunk(self, start: int) -> int | None:
        try:
            found = self._set.id.get_chunk_info_by_coord((start,)).byte_offset
        except (OSError, RuntimeError):
            return None  # the list of chunks was cut, too
        return None if found is None else int(found)

    def _find_chunks(self, total: int) -> dict[int, int]:
        """Return the addresses of all chunks if many are to be looked at; see `ThinTable`."""
        found: dict[int, int] = {}
        wanted = (total - self._whole_rows) // self._chunk_rows
        if wanted > LOOKUPS_MAX and hasattr(self._set.id, "chunk_iter"):

            def see(chunk: Any) -> None:
                found[int(chunk.chunk_offset[0])] = int(chunk.byte_offset)

            with contextlib.suppress(OSError, RuntimeError):
                self._set.id.chunk_iter(see)
        return found


class _checked:  # noqa: N801 - used as a statement
    """Turn what h5py raises on a broken file into our error."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate."""
        if isinstance(error, (OSError, RuntimeError, KeyError, ValueError, TypeError)):
            text = str(error).partition("\n")[0]
            raise StoreFormatError(f"{self._path}: {self._name} cannot be read: {text}") from None
