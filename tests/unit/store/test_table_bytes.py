"""Rows that are found by plain calls are those that HDF5 tells of, and nothing else."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpctrack.errors import StoreFormatError
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.schema import TABLES, IntArray
from hpctrack.store.table_bytes import HEADER_BYTES, find_count
from tests.stores import NodeWriter

CHUNK_ROWS = TABLES["points"][1]


def begin(store: Path, steps: int = 10) -> NodeWriter:
    writer = NodeWriter(store)
    writer.start(0)
    add(writer, 0, steps)
    return writer


def add(writer: NodeWriter, start: int, steps: int) -> None:
    writer.points("loss", 0, range(start, start + steps), [1.5 + one for one in range(steps)])
    writer.flush()


def place_of(path: Path, table: str = "points") -> int:
    """Return where the number of rows is in the file."""
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, swmr=True) as file:
        header = int(h5py.h5o.get_info(file[table].id).addr)
    return header + find_count(path.read_bytes()[header : header + HEADER_BYTES])


@pytest.mark.parametrize("step", [1, 7, CHUNK_ROWS - 1])
def test_a_reader_sees_every_row_once_over_the_borders_of_chunks(tmp_path: Path, step: int) -> None:
    writer = begin(tmp_path)
    written = 10
    seen: list[IntArray] = []
    with NodeReader(writer.file.path) as reader:
        for _ in range(12):
            many = CHUNK_ROWS - 30 if len(seen) == 1 else step
            add(writer, written, many)
            before, written = written, written + many
            assert reader.refresh_points() == written
            ((_name, columns),) = reader.read_named_points(before, written)
            seen.append(columns.step)
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(10, written))
    with h5py.File(writer.close()) as file:
        np.testing.assert_array_equal(file["points"]["step"], np.arange(written))


def test_a_count_that_is_half_written_is_not_believed(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    place = place_of(writer.file.path)
    with NodeReader(writer.file.path) as reader, writer.file.path.open("r+b") as file:
        assert reader.refresh_points() == 10
        for torn in (2**16 - 1, 300, 3):
            os.pwrite(file.fileno(), torn.to_bytes(8, "little"), place)
            # HDF5 may see that the sum over the table's description is wrong.
            with contextlib.suppress(StoreFormatError):
                assert reader.refresh_points() == 10
        os.pwrite(file.fileno(), (10).to_bytes(8, "little"), place)
        assert reader.refresh_points() == 10
        add(writer, 10, 5)
        assert reader.refresh_points() == 15


@pytest.mark.parametrize("header", [b"", b"OHDR\x01" + bytes(60), b"OHDR\x02" + bytes(60)])
def test_what_describes_a_table_otherwise_is_left_to_hdf5(header: bytes) -> None:
    assert find_count(header) == 0


def test_a_reader_that_is_closed_reads_no_other_file(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    reader = NodeReader(writer.file.path)
    reader.close()
    with (tmp_path / "other").open("wb+"), pytest.raises(StoreFormatError):
        reader.refresh_points()


def test_only_points_are_new_until_anything_else_comes(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    with NodeReader(writer.file.path) as reader:
        reader.read_events()

        def is_same(silent_s: float = 1.0) -> bool:
            return reader.has_only_points_new(writer.wall_s + silent_s, 60.0)

        assert is_same()
        add(writer, 10, 5)
        assert is_same()
        assert reader.refresh_points() == 15
        assert not is_same(silent_s=61.0), "nobody has shown a sign of life"
        add(writer, 15, 1)
        writer.points("fresh", 0, [0], [1.0])
        writer.flush()
        assert not is_same(), "a metric was named"
        reader.refresh()
        reader.read_events()
        assert is_same()
        other = tmp_path / "other"
        other.write_bytes(writer.file.path.read_bytes())
        kept = writer.file.path.stat()
        os.utime(other, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        other.replace(writer.file.path)
        assert not is_same(), "another file has its name: as long, as old"
