"""One growing table of a live node file, appended to with few calls of HDF5."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

METADATA_BYTES = 256 * 1024
"""What a file has besides its rows, at most: 10 kB at creation, and blocks of the chunks' index,
of which HDF5 makes some at a time (8 kB were seen in a table of 3,000 chunks)."""

INDEX_BYTES = 64
"""Metadata for each chunk, at most; 16 bytes were seen over 3,000 chunks."""


ALIGN_BYTES = 4096
ALIGN_FROM_BYTES = 16384
"""Chunks, which are all as large as this, begin at a multiple of a page: what a disk loses are
sectors, blocks or pages, and a row of 32 bytes that lies in two of them would be told half lost. A
file grows by 4 kB at most for each block of metadata between chunks (13 kB in 131 MB were seen)."""


BOUNDS = {"v110": h5py.h5f.LIBVER_V110}
"""What HDF5 calls the versions of `schema.LIBVER`."""


class NodeTable:
    """A one-dimensional table of a file that is open for SWMR writing.

    Parameters
    ----------
    file : h5py.h5f.FileID
        The file.
    name : str
        The table.
    dtype : dtype
        Its rows' type, as in the file: nothing is converted.
    """

    def __init__(self, file: Any, name: str, dtype: np.dtype[Any]) -> None:
        self._id = h5py.h5d.open(file, name.encode())
        self._type = _memory_type(dtype)
        layout = self._id.get_create_plist()
        is_chunked = layout.get_layout() == h5py.h5d.CHUNKED
        self._chunk_rows = layout.get_chunk()[0] if is_chunked else 0
        self._row_bytes = dtype.itemsize
        self._is_dirty = False
        self.rows = int(self._id.shape[0])

    @property
    def size_bytes(self) -> int:
        """How much of the file it needs, at most."""
        return self.size_after_bytes(0)

    def size_after_bytes(self, added_rows: int) -> int:
        """Return how much of the file it needs, at most, when rows have been added."""
        if not self._chunk_rows:
            return 0
        chunks = -(-(self.rows + added_rows) // self._chunk_rows)
        return chunks * (self._chunk_rows * self._row_bytes + INDEX_BYTES)

    def append(self, rows: np.ndarray[Any, Any]) -> None:
        """Add rows at the end; the caller has taken the room for them."""
        self.put(self.rows, rows)

    def put(self, start: int, rows: np.ndarray[Any, Any]) -> None:
        """Write rows at a place that is not behind the end; likewise."""
        count = len(rows)
        stop = max(self.rows, start + count)
        self._is_dirty = True
        if stop > self.rows:
            self._id.set_extent((stop,))
        target = h5py.h5s.create_simple((stop,))
        target.select_hyperslab((start,), (count,))
        source = h5py.h5s.create_simple((count,))
        self._id.write(source, target, rows, self._type)
        self.rows = stop

    def overwrite(self, rows: np.ndarray[Any, Any]) -> None:
        """Write all rows again."""
        self._is_dirty = True
        self._id.write(h5py.h5s.ALL, h5py.h5s.ALL, rows, self._type)

    def flush(self) -> None:
        """Write to the page cache what HDF5 holds, if it may hold anything."""
        if self._is_dirty:
            self._id.flush()
            self._is_dirty = False

    def close(self) -> None:
        """Let go of the table; the file cannot be closed before."""
        h5py.h5i.dec_ref(self._id)


@cache
def _memory_type(dtype: np.dtype[Any]) -> Any:
    return h5py.h5t.py_create(dtype)


def open_for_append(path: Path, libver: tuple[str, str]) -> Any:
    """Open a file for SWMR writing, without locks, and return its low-level handle."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_file_locking(False, True)  # noqa: FBT003 - h5py's signature
    access.set_libver_bounds(*(BOUNDS[one] for one in libver))
    access.set_alignment(ALIGN_FROM_BYTES, ALIGN_BYTES)
    flags = h5py.h5f.ACC_RDWR | h5py.h5f.ACC_SWMR_WRITE
    return h5py.h5f.open(bytes(path), flags, access)
