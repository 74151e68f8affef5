"""Writing a sealed file piece by piece, whatever its size."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpctrack.core import __version__
from hpctrack.core.wire import make_plain
from hpctrack.store.chunk_codec import encode_chunk
from hpctrack.store.schema import FORMAT_VERSION, LIBVER, SEALED_KIND
from hpctrack.store.sealed_layout import CHUNK_ROWS, METRICS_GROUP, SYSTEM_GROUP
from hpctrack.store.space import divert
from hpctrack.store.texts import write_attribute


@contextmanager
def create_sealed(path: Path, facts: Mapping[str, Any]) -> Iterator[Any]:
    """Create the file, and close it in the end.

    Parameters
    ----------
    path : Path
        Not there yet.
    facts : mapping
        ``run``, ``project`` and ``sealed_wall_s``.

    Raises
    ------
    OSError
        It cannot be written.

    Notes
    -----
    HDF5 dies, at the latest when the process ends, of a file that it cannot write when it closes
    it (tried). So after any error its descriptor is made to lead to memory, where it can.
    """
    file = h5py.File(path, "x", libver=LIBVER, locking=False)
    try:
        root = {"kind": SEALED_KIND, "format": FORMAT_VERSION, "made_by": f"hpctrack {__version__}"}
        for key, value in {**root, **facts}.items():
            write_attribute(file.id, key, value)
        yield file
        file.flush()
    except BaseException as error:
        descriptor = file.id.get_vfd_handle()
        divert(descriptor, os.fstat(descriptor).st_size)
        number = _ERRNO.search(str(error)) if isinstance(error, (OSError, RuntimeError)) else None
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
    finally:
        file.close()


_ERRNO = re.compile(r"errno = (\d+)")
"""What the system said, in what h5py says; not all of its errors are ``OSError``."""


def write_json(file: Any, name: str, value: object) -> None:
    """Write a value as one string."""
    text = json.dumps(value, default=make_plain, separators=(",", ":")).encode()
    file.create_dataset(
        name, data=np.array([text]), chunks=(1,), compression="gzip", fletcher32=True
    )


def join_parts(file: Any, parts: Sequence[Path]) -> None:
    """Copy metrics and sensors of several files into one, compressed chunks as they are.

    Each file is copied at once: what its metrics share, they share in the copy too.
    """
    places = [file.create_group(name) for name in (METRICS_GROUP, SYSTEM_GROUP)]
    for path in parts:
        whole = file.create_group("part")
        with h5py.File(path, "r", locking=False) as part:
            for place in places:
                part.copy(part[place.name], whole)
        for place in places:
            for name in list(whole[place.name[1:]]):
                file.move(f"part{place.name}/{name}", f"{place.name}/{name}")
        del file["part"]


class ColumnWriter:
    """A column, or a matrix row by row, of a length known before; written chunk by chunk.

    Parameters
    ----------
    group : h5py.Group
        Where it goes.
    name : str
        Its name there.
    dtype : dtype
        Of the values, and in the file.
    shape : tuple of int
        One or two dimensions.
    chunk_rows : int, optional
        Values of a chunk, about.
    """

    def __init__(
        self,
        group: Any,
        name: str,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        *,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self._dtype = dtype
        self._chunk = choose_chunk(shape, chunk_rows)
        self._set = _create(group, name, dtype, shape, self._chunk)
        self._chunks = _iter_chunks(shape, self._chunk)
        self._offset, self._wanted = next(self._chunks, ((0,), 0))
        self._held = 0
        self._buffer = np.zeros(int(np.prod(self._chunk)), dtype)

    def append(self, values: NDArray[Any]) -> None:
        """Add values, in the order of rows."""
        done = 0
        while done < len(values):
            count = min(len(values) - done, self._wanted - self._held)
            self._buffer[self._held : self._held + count] = values[done : done + count]
            self._held += count
            done += count
            if self._held == self._wanted:
                self._write()

    def _write(self) -> None:
        # What is behind the end of the column still has to be in the chunk.
        self._buffer[self._held :] = np.zeros(1, self._dtype)[0]
        self._set.write_direct_chunk(self._offset, encode_chunk(self._buffer))
        self._offset, self._wanted = next(self._chunks, ((0,), 0))
        self._held = 0


def choose_chunk(shape: tuple[int, ...], rows: int = CHUNK_ROWS) -> tuple[int, ...]:
    """Return a chunk of about so many values; of a matrix whole rows, or pieces of one."""
    width = min(max(shape[-1], 1), rows)
    if len(shape) == 1:
        return (width,)
    return min(max(shape[0], 1), max(1, rows // width)), width


def _iter_chunks(
    shape: tuple[int, ...], chunk: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield where each chunk begins and how many values of it there are, in the order of rows."""
    width = shape[-1]
    if len(shape) == 1:
        for first in range(0, width, chunk[0]):
            yield (first,), min(chunk[0], width - first)
        return
    for row in range(0, shape[0], chunk[0]):
        rows = min(chunk[0], shape[0] - row)
        for first in range(0, width, chunk[1]):
            yield (row, first), rows * min(chunk[1], width - first)


@cache
def _file_type(dtype: np.dtype[Any]) -> Any:
    return h5py.h5t.py_create(dtype, logical=True)


def _create(
    group: Any, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], chunk: tuple[int, ...]
) -> Any:
    # The low level: five times faster, and a run may have thousands of metrics.
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if all(shape):
        properties.set_chunk(chunk)
        properties.set_shuffle()
        properties.set_deflate(1)
        properties.set_fletcher32()
    space = h5py.h5s.create_simple(shape)
    return h5py.h5d.create(group.id, name.encode(), _file_type(dtype), space, properties)


def share_column(owner: Any, group: Any, name: str) -> None:
    """Let a group have another group's column too: a hard link."""
    group.id.links.create_hard(name.encode(), owner.id, name.encode())


def write_column(group: Any, name: str, values: NDArray[Any]) -> None:
    """Write a whole column."""
    ColumnWriter(group, name, values.dtype, values.shape).append(values)


class TableWriter:
    """A table of a length that is not known before.

    Parameters
    ----------
    group : h5py.Group
        Where it goes.
    name : str
        Its name there.
    dtype : dtype
        Of its rows.
    chunk_rows : int
        Rows per chunk, and rows that are held back.
    is_packed : bool
        Compress it; else only a checksum is added.
    """

    def __init__(
        self,
        group: Any,
        name: str,
        dtype: np.dtype[Any],
        *,
        chunk_rows: int,
        is_packed: bool = True,
    ) -> None:
        filters: dict[str, Any] = {"fletcher32": True}
        if is_packed:
            filters |= {"shuffle": dtype.itemsize > 1, "compression": "gzip", "compression_opts": 1}
        self._set = group.create_dataset(
            name, (0,), dtype, chunks=(max(chunk_rows, 1),), maxshape=(None,), **filters
        )
        self._chunk_rows = max(chunk_rows, 1)
        self._dtype = dtype
        self._held: list[NDArray[Any]] = []
        self._held_rows = 0
        self._written = 0
        self.checksum = 0

    @property
    def rows(self) -> int:
        """Rows added so far."""
        return self._written + self._held_rows

    def append(self, rows: NDArray[Any]) -> int:
        """Add rows and return where they begin."""
        start = self.rows
        if len(rows):
            self._held.append(rows)
            self._held_rows += len(rows)
        if self._held_rows >= self._chunk_rows:
            self._write(self._held_rows // self._chunk_rows * self._chunk_rows)
        return start

    def close(self) -> None:
        """Write what was held back."""
        self._write(self._held_rows)

    def _write(self, count: int) -> None:
        if not count:
            return
        rows = np.concatenate(self._held)
        now, later = np.ascontiguousarray(rows[:count]), rows[count:].copy()
        self._held, self._held_rows = [later] if len(later) else [], len(later)
        self.checksum = zlib.crc32(now.view(np.uint8).data, self.checksum)
        self._set.resize((self._written + count,))
        self._set[self._written :] = now
        self._written += count


def check_table(file: Any, name: str, written: TableWriter, on_piece: Callable[[], None]) -> bool:
    """Read a table back and tell whether it is what was written."""
    found, table = 0, file[name]
    step = max(table.chunks[0], CHUNK_ROWS)
    for start in range(0, len(table), step):
        on_piece()
        found = zlib.crc32(
            np.ascontiguousarray(table[start : start + step]).view(np.uint8).data, found
        )
    return len(table) == written.rows and found == written.checksum
