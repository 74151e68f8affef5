"""Rows and bodies of a live file that lie partly in a block that the disk has lost.

A file system answers zeros for a block that it has lost. A row that is all zeros has no time and
is no row; one of which only a part is lost would be told with zeros in it. Whoever reads rows asks
here which ones those are. Standard library only: `hpctrack top` does without numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hpctrack.core.wire import NAME_HEAD
from hpctrack.store.vocabulary import EventKind

SECTOR_BYTES = 512
"""What is lost begins and ends at a multiple of this in the file, as blocks and pages do."""

ReadRow = Callable[[int], bytes]
"""Returns the bytes of one row; none if there is no such row."""


class Chunks:
    """Where the rows of a table lie in its file.

    Parameters
    ----------
    rows : int
        Of a chunk; 0 if the table has none.
    row_bytes : int
        Of a row.
    """

    def __init__(self, rows: int, row_bytes: int) -> None:
        self._rows = rows
        self._row_bytes = row_bytes
        self._addresses: dict[int, int] = {}

    def place(self, row: int, address: int) -> None:
        """Take in where the chunk that begins with a row is."""
        self._addresses[row // self._rows] = address

    def find(self, row: int) -> int | None:
        """Return where the chunk of a row is; None if that is not known."""
        return self._addresses.get(row // self._rows)

    def find_torn(self, data: bytes | memoryview, start: int, read_row: ReadRow) -> list[int]:
        """Return which rows lie partly in a lost block.

        Parameters
        ----------
        data : bytes or memoryview
            Rows, one after the other.
        start : int
            The first one's number in the table.
        read_row : callable
            Reads any row of the table.

        Returns
        -------
        list of int
            Counted from ``start``: rows of which the part beyond the edge of a sector is zero, as
            is all of the neighbour there. The zeros may be true: rather a point too few than a
            wrong one.

        Notes
        -----
        Cost: a comparison for every 512 bytes; nothing where no row reaches over an edge.
        """
        if self._row_bytes <= 1 or not self._rows:
            return []
        found: list[int] = []
        rows = len(data) // self._row_bytes
        for number in range(start // self._rows, -(-(start + rows) // self._rows)):
            address = self._addresses.get(number, 0)
            if SECTOR_BYTES % self._row_bytes or address % self._row_bytes:
                first = max(start, number * self._rows)
                stop = min(start + rows, (number + 1) * self._rows)
                address += (first - number * self._rows) * self._row_bytes
                found += self._find(data, start, range(first, stop), address, read_row)
        return found

    def _find(
        self,
        data: bytes | memoryview,
        start: int,
        rows: range,
        address: int,
        read_row: ReadRow,
    ) -> Iterator[int]:
        size, zeros = self._row_bytes, bytes(self._row_bytes)
        begin, end = (rows.start - start) * size, (rows.stop - start) * size
        for cut in range(begin + -address % SECTOR_BYTES, end, SECTOR_BYTES):
            row, kept = divmod(cut, size)
            first, last = row * size, (row + 1) * size
            if not kept:
                continue
            is_torn = data[cut:last] == zeros[kept:] and read_row(start + row + 1) == zeros
            if is_torn or (data[first:cut] == zeros[:kept] and read_row(start + row - 1) == zeros):
                yield row


def is_body_whole(kind: int, body: bytes, before: int) -> bool:
    """Tell whether nothing of an event's body in the heap was lost.

    Parameters
    ----------
    kind : int
        An `EventKind`.
    body : bytes
        Its bytes.
    before : int
        The byte before it in the heap; 1 if there is none.

    Notes
    -----
    Neither JSON nor a name has a byte that is zero. The number before a name may be zero; it was
    lost if the byte before it, the last of another body, is zero too.
    """
    if kind == EventKind.NAME:
        name = body[NAME_HEAD.size :]
        is_cut = not before and not body[:1].strip(b"\0")
        return bool(name) and 0 not in name and not is_cut
    return kind in {EventKind.STDOUT, EventKind.STDERR} or 0 not in body
