"""A lost block of zeros costs what was in it; nothing is told that was not logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pytest

from hpctrack.errors import StoreFormatError
from hpctrack.store.hdf5 import plain
from hpctrack.store.holes import SECTOR_BYTES
from hpctrack.store.node_image import make_image
from hpctrack.store.node_table import ALIGN_BYTES as PAGE_BYTES
from hpctrack.store.node_tail import NodeTail
from hpctrack.store.repair import Deed, repair_run
from hpctrack.store.schema import LIBVER, POINT, SAMPLE, TABLES, EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.sensor import Sensor
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.streams import Stream
from hpctrack.store.verify import verify_run
from tests.damage import make_old
from tests.stores import NodeWriter

STEPS = 3000
RANKS = 3
METRICS = ("loss", "acc")


def value(metric: str, rank: int, step: int) -> float:
    """No part of it is zero: a part that is lost is seen."""
    return 1.1 + step / 7 + rank * 1e6 + METRICS.index(metric) * 1e9


def write(store: Path, every: int = 1) -> Path:
    """Write points at some steps, of several ranks and metrics, samples and events."""
    writer = NodeWriter(store)
    sessions = [writer.start(rank, size=RANKS) for rank in range(RANKS)]
    for number in range(80):
        writer.device(f"gpu-{number}")
    writer.samples("gpu/power_w", [100.5 + one for one in range(STEPS)], device="gpu-7", rank=2)
    for start in range(0, STEPS, 50):
        for metric in METRICS:
            for rank in range(RANKS):
                steps = range(start, start + 50, every)
                writer.points(metric, rank, steps, [value(metric, rank, one) for one in steps])
        writer.event(EventKind.NOTE, {"text": f"at {start}", "code": "x"}, rank=2, session=2)
    for rank, session in enumerate(sessions):
        writer.end(rank, session, rank)
    return writer.close()


def unalign(path: Path, run_bytes: int) -> Path:
    """Make it a file as they were before chunks began at pages, with ``run_bytes`` put in front."""
    with h5py.File(path) as old:
        facts = {key: plain(value) for key, value in old.attrs.items()}
        image = make_image({**facts, "host": "n" * run_bytes}, facts["created_wall_s"])
        rows = {name: old[name][:] for name in (*TABLES, "pulse")}
    path.write_bytes(image)
    with h5py.File(path, "r+", libver=LIBVER) as new:
        for name, one in rows.items():
            if name in TABLES:
                new[name].resize((len(one),))
            new[name][:] = one
    make_old(path.parent)
    return path


def find_chunks(path: Path, table: str) -> list[int]:
    with h5py.File(path) as file:
        found = file[table].id
        return [found.get_chunk_info(one).byte_offset for one in range(found.get_num_chunks())]


def blank(path: Path, start: int, size: int) -> None:
    data = bytearray(path.read_bytes())
    data[start : start + size] = bytes(size)
    path.write_bytes(data)
    make_old(path.parent)


def read_points(folder: Path) -> set[tuple[str, int, int, float]]:
    """Return all points; they are told once."""
    run = StoredRun(folder)
    columns = run.columns()
    run.close()
    found = [
        (name, *point)
        for name, one in columns.items()
        for point in zip(one.rank.tolist(), one.step.tolist(), one.value.tolist(), strict=True)
    ]
    assert len(set(found)) == len(found)
    return set(found)


def read_tail(path: Path) -> set[tuple[str, int, int, float]]:
    """Return them as `hpctrack top` sees them."""
    tail = NodeTail(path)
    tail.go_back(1 << 30)
    found = {
        (one.metric, one.rank, one.step, one.value)
        for one in tail.iter_new_points(since_wall_s=0.0, limit=1 << 30)
    }
    tail.close()
    return found


def check_sector(path: Path, start: int, size: int, logged: set[Any]) -> int:
    """Lose a part: nothing is told that was not logged. Return how many points are lost."""
    blank(path, start, size)
    folder = path.parent
    told = read_points(folder)
    assert told <= logged
    assert read_tail(path) == told
    lost = len(logged) - len(told)
    errors = [one.what for one in verify_run(folder).errors()]
    if lost:
        assert f"{lost} points have no time: the disk lost them" in errors
        with pytest.raises(StoreFormatError):
            seal_run(folder)
    (action,) = repair_run(folder).actions
    assert (action.deed, action.lost_points) == (Deed.SALVAGED, lost)
    assert read_points(folder) == told
    seal_run(folder)
    assert read_points(folder) == told
    assert verify_run(folder).is_intact
    run = StoredRun(folder)
    assert run.record.ledger == {"unsalvaged_points": lost}
    run.close()
    return lost


def test_no_point_of_a_new_file_lies_in_two_sectors(tmp_path: Path) -> None:
    path = write(tmp_path)
    for table in ("points", "samples", "events", "heap"):
        assert all(one % PAGE_BYTES == 0 for one in find_chunks(path, table))
    assert PAGE_BYTES % SECTOR_BYTES == SECTOR_BYTES % POINT.itemsize == 0


def test_a_small_run_grows_by_less_than_a_page(tmp_path: Path) -> None:
    path = write(tmp_path)
    aligned = path.stat().st_size
    assert aligned <= unalign(path, 2).stat().st_size + PAGE_BYTES


@pytest.mark.parametrize("shift", [0, 2, 5, 8, 13, 19, 26])
@pytest.mark.parametrize("size", [SECTOR_BYTES, PAGE_BYTES])
def test_a_row_at_the_edge_of_a_hole_is_lost_with_it(tmp_path: Path, shift: int, size: int) -> None:
    path = unalign(write(tmp_path), 2 + shift)
    logged = read_points(path.parent)
    start = -(-find_chunks(path, "points")[1] // size) * size + 3 * size
    lost = check_sector(path, start, size, logged)
    assert size // POINT.itemsize <= lost <= size // POINT.itemsize + 1


def test_a_hole_in_an_aligned_file_costs_the_hole(tmp_path: Path) -> None:
    path = write(tmp_path)
    logged = read_points(path.parent)
    start = find_chunks(path, "points")[1] + PAGE_BYTES
    assert check_sector(path, start, PAGE_BYTES, logged) == PAGE_BYTES // POINT.itemsize


def read_samples(folder: Path) -> set[tuple[float, float, str, int]]:
    """Return time, value, device and rank of all samples."""
    run = StoredRun(folder)
    found = run.sensor("gpu/power_w")
    told = {
        (wall_s, value, stream.device, stream.rank)
        for stream in found.streams
        for wall_s, value in zip(*_columns(found, stream), strict=True)
    }
    run.close()
    return told


def _columns(found: Sensor, stream: Stream) -> tuple[list[float], list[float]]:
    series = found.of(device=stream.device)
    return series.wall_s.tolist(), series.value.tolist()


# The edges of some are within a time, a value, a device or a rank; those of one between two rows.
@pytest.mark.parametrize("at", [512 * one for one in range(1, 9)])
def test_a_sample_at_the_edge_of_a_hole_is_lost_with_it(tmp_path: Path, at: int) -> None:
    path = write(tmp_path, every=10)
    logged = read_samples(path.parent)
    blank(path, find_chunks(path, "samples")[1] + at, SECTOR_BYTES)
    told = read_samples(path.parent)
    assert told < logged
    lost = len(logged) - len(told)
    assert lost <= SECTOR_BYTES // SAMPLE.itemsize + 2
    tail = NodeTail(path)
    new = tail.iter_new_samples(since_wall_s=0.0, limit=1 << 30)
    assert {(one.wall_s, one.value, one.device, one.rank) for one in new} == told
    tail.close()
    errors = [one.what for one in verify_run(path.parent).errors()]
    assert errors == [f"{lost} samples have no time: the disk lost them"]
    with pytest.raises(StoreFormatError, match="samples without a time"):
        seal_run(path.parent)
    repair_run(path.parent)
    seal_run(path.parent)
    assert read_samples(path.parent) == told


def read_told(folder: Path) -> list[Any]:
    """Return what the run says of itself: ranks, notes, devices."""
    run = StoredRun(folder)
    ranks = [(one.rank, one.exit_code) for one in run.record.ranks]
    notes = [(one["rank"], one["text"]) for one in run.record.warnings]
    devices = [(one.key, one.host) for one in run.devices()]
    run.close()
    return [*ranks, *notes, *devices]


@pytest.mark.parametrize("at", [512 * one for one in range(8)])
@pytest.mark.parametrize("table", ["events", "heap"])
def test_an_event_at_the_edge_of_a_hole_is_lost_with_it(
    tmp_path: Path, table: str, at: int
) -> None:
    path = write(tmp_path, every=10)
    folder = path.parent
    logged, points = read_told(folder), read_points(folder)
    blank(path, find_chunks(path, table)[0] + at, SECTOR_BYTES)
    told = read_told(folder)
    # A rank of which nobody saw the end has no exit code: that is no lie.
    assert {one for one in told if one[1] is not None} < set(logged)
    assert read_points(folder) <= points
    assert read_tail(path) == read_points(folder)
    assert any("lost by the disk" in one.what for one in verify_run(folder).errors())
    with pytest.raises(StoreFormatError):
        seal_run(folder)
    repair_run(folder)
    assert read_points(folder) <= points
    seal_run(folder)
    assert set(read_told(folder)) == set(told)


@pytest.mark.parametrize("kept", [1, 4, 5, 6])
def test_a_name_of_which_a_part_was_lost_names_nothing(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path, every=10)
    logged = read_points(path.parent)
    name = (1).to_bytes(4, "little") + b"acc"
    at = path.read_bytes().index(name)
    # The hole ends within the name's number, or begins within the name.
    blank(path, *((at - 500, 500 + kept) if kept < 5 else (at + kept, 500)))
    assert {one for one in logged if one[0] == "loss"} >= read_points(path.parent)
    assert read_tail(path) == read_points(path.parent)
    repair_run(path.parent)
    seal_run(path.parent)
    assert {one for one in logged if one[0] == "loss"} >= read_points(path.parent)
