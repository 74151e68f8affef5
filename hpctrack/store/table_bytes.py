"""The rows of a growing table by plain calls: HDF5 takes 0.1 ms to look for more of them."""

from __future__ import annotations

import os
import struct
from typing import Any

HEADER_BYTES = 64
"""Of a table's description: its number of rows is among the first of them."""

_SIGNATURE = b"OHDR\x02"
_HAS_TIMES, _HAS_LIMITS, _HAS_ORDER, _WIDTH = 0x20, 0x10, 0x04, 0x03
_EXTENT = 1
_ONE_DIMENSION = b"\x02\x01"
_COUNT = struct.Struct("<Q")


class TableBytes:
    """Where a table's number of rows lies in its file, and reading what lies at a place.

    Parameters
    ----------
    table : h5py.Dataset
        Of a file that only grows: what describes it keeps its place.

    Notes
    -----
    HDF5 checks a sum over the description, which this does not: a count that is read while it is
    written may be wrong. So a count is believed only if the last row that it tells of is there, see
    `hpctrack.store.table_reader.TableReader.refresh`.

    References
    ----------
    HDF5 File Format Specification 3.0, IV.A.1.b (object header) and IV.A.2.b (dataspace).
    """

    def __init__(self, table: Any) -> None:
        import h5py  # noqa: PLC0415 - see `hpctrack.store.hdf5.open_file`

        self._header = int(h5py.h5o.get_info(table.id).addr)
        self._count_at = 0
        is_plain = table.id.get_create_plist().get_nfilters() == 0
        self._dtype = table.dtype if is_plain else None
        self.offset = None if table.chunks else table.id.get_offset()
        """Where all rows are, of a table without chunks."""

    def count_rows(self, handle: int) -> int | None:
        """Return how many rows there are by what the file says; None if it cannot be told."""
        if not self._count_at:
            self._count_at = self._header + find_count(os.pread(handle, HEADER_BYTES, self._header))
        if self._count_at <= self._header:
            return None
        data = os.pread(handle, _COUNT.size, self._count_at)
        return _COUNT.unpack(data)[0] if len(data) == _COUNT.size else None

    def has_row(self, handle: int, address: int) -> bool:
        """Tell whether there is a row: none is all zeros."""
        if self._dtype is None:
            return False
        data = os.pread(handle, self._dtype.itemsize, address)
        return len(data) == self._dtype.itemsize and any(data)

    def read(self, handle: int, address: int, count: int) -> Any:
        """Return some rows as an array that may be changed; None if they are not all there."""
        import numpy as np  # noqa: PLC0415 - as above

        if self._dtype is None:
            return None
        size = count * self._dtype.itemsize
        data = os.pread(handle, size, address)
        return np.frombuffer(bytearray(data), self._dtype) if len(data) == size else None


def find_count(header: bytes) -> int:
    """Return where the number of rows is in a table's description; 0 if it is not understood.

    Pure. It is in the first message of what we write; a file in which it is not is read by HDF5.
    """
    if not header.startswith(_SIGNATURE):
        return 0
    flags = header[len(_SIGNATURE)]
    at = len(_SIGNATURE) + 1 + (1 << (flags & _WIDTH))
    at += 16 * bool(flags & _HAS_TIMES) + 4 * bool(flags & _HAS_LIMITS)
    body = at + 4 + 2 * bool(flags & _HAS_ORDER)
    is_known = header[at : at + 1] == bytes([_EXTENT])
    return body + 4 if is_known and header[body : body + 2] == _ONE_DIMENSION else 0
