"""Room for points while they are put in order: in memory if they are few, else in a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from hpctrack.store.schema import POINT, IntArray, PointArray

_OPAQUE = np.dtype(("V", POINT.itemsize))
"""numpy moves opaque rows five times faster than rows with fields."""


class Scratch:
    """A table of points that is filled at any place and then read from front to back.

    Parameters
    ----------
    folder : Path
        Where a file is made; it has no name there, so nothing is left if the process is killed.
    rows : int
        Its length.
    memory_rows : int
        Up to so many rows are held in memory.

    Notes
    -----
    The file is written with pwrite and never mapped: mapped pages count as the process's memory,
    pages of the cache do not.
    """

    def __init__(self, folder: Path, rows: int, *, memory_rows: int) -> None:
        self.rows = rows
        self._table: np.ndarray[Any, Any] | None = None
        self._file: Any = None
        if rows <= memory_rows:
            self._table = np.empty(rows, _OPAQUE)
        else:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`

    def __enter__(self) -> Self:
        """Return the scratch."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the room back."""
        self.close()

    def close(self) -> None:
        """Give the room back."""
        self._table = None
        if self._file is not None:
            self._file.close()

    def put(self, starts: IntArray, counts: IntArray, rows: PointArray) -> None:
        """Put pieces of ``rows``, one after the other, at their places."""
        if self._table is not None:
            if len(starts) == 1:
                first = int(starts[0])
                self._table[first : first + len(rows)] = rows.view(_OPAQUE)
            elif len(starts):
                shift = starts - (np.cumsum(counts) - counts)
                self._table[np.arange(len(rows)) + np.repeat(shift, counts)] = rows.view(_OPAQUE)
            return
        data, size, first = rows.view(np.uint8).data, POINT.itemsize, 0
        handle = self._file.fileno()
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
            _write_all(handle, data[first * size : (first + count) * size], start * size)
            first += count

    def read(self, start: int, stop: int) -> PointArray:
        """Return rows; not to be changed."""
        if self._table is not None:
            return self._table[start:stop].view(POINT)
        rows = np.empty(stop - start, POINT)
        target, done = rows.view(np.uint8).data, 0
        while done < len(target):
            got = os.preadv(self._file.fileno(), [target[done:]], start * POINT.itemsize + done)
            if not got:
                raise OSError("the temporary file ends early")
            done += got
        return rows


def take_rows(rows: PointArray, order: IntArray) -> PointArray:
    """Return rows in another order."""
    return rows.view(_OPAQUE)[order].view(POINT)


def _write_all(handle: int, data: memoryview, offset: int) -> None:
    while len(data):
        done = os.pwrite(handle, data, offset)
        data, offset = data[done:], offset + done
