"""Samples of sensors: written live, sealed, sealed again, verified, salvaged, and read alike."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hpctrack import Store, StoredRun
from hpctrack.errors import NotFoundError, StoreFormatError
from hpctrack.store.repair import repair_run
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.streams import Stream
from hpctrack.store.verify import verify_run
from tests.stores import START_S, NodeWriter

BUSY = [0.0, 0.5, 1.0]


def write(store: Path) -> Path:
    """Two nodes with two devices each, one rank a node."""
    for node in range(2):
        writer = NodeWriter(store, node=node)
        session = writer.start(node, size=2)
        writer.points("loss", node, range(3), [3.0, 2.0, 1.0])
        for gpu in range(2):
            key = f"GPU-{node}{gpu}"
            writer.device(key, name="H100", facts={"memory": 80}, ranks=[node])
            writer.samples("gpu/util_frac", [one + gpu for one in BUSY], device=key)
        writer.samples("host/memory_bytes", [1e9 + node] * 4)
        writer.samples("process/rss_bytes", [5.0, 6.0], rank=node)
        writer.end(node, session)
        writer.close()
    return store / "p" / "r"


def check(run: StoredRun) -> None:
    assert run.sensors() == ["gpu/util_frac", "host/memory_bytes", "process/rss_bytes"]
    assert run.metrics() == ["loss"]
    busy = run.sensor("gpu/util_frac")
    assert busy.streams == tuple(
        Stream(f"n{node + 1}", node, f"GPU-{node}{gpu}", -1) for node in (0, 1) for gpu in (0, 1)
    )
    series = busy.of(device="GPU-11")
    assert series.value.tolist() == [1.0, 1.5, 2.0]
    assert series.wall_s.tolist() == [START_S, START_S + 1, START_S + 2]
    assert busy.mean().tolist() == [0.25, 1.25, 0.25, 1.25]
    assert busy.max().tolist() == [1.0, 2.0, 1.0, 2.0]
    assert busy.last().tolist() == [1.0, 2.0, 1.0, 2.0]
    assert busy.reduce("max").value.tolist() == [1.0, 1.5, 2.0]
    assert run.sensor("process/rss_bytes").of(rank=1).value.tolist() == [5.0, 6.0]
    assert run.sensor("host/memory_bytes").of(host="n2").value.tolist() == [1e9 + 1] * 4
    devices = run.devices("gpu")
    assert [one.key for one in devices] == ["GPU-00", "GPU-01", "GPU-10", "GPU-11"]
    assert (devices[3].name, devices[3].ranks, devices[3].host) == ("H100", (1,), "n2")


def test_samples_are_read_alike_live_and_sealed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    with_live = StoredRun(folder)
    check(with_live)
    with_live.close()
    assert seal_run(folder).points == 6
    check(StoredRun(folder))
    assert verify_run(folder).is_intact


def test_the_pieces_in_which_samples_are_sealed_do_not_matter(tmp_path: Path) -> None:
    folder = write(tmp_path)
    seal_run(folder, limits=SealLimits(memory_rows=1, piece_rows=2, series_min=1, bucket=2))
    check(StoredRun(folder))


def test_a_requeue_adds_its_samples_to_those_that_are_sealed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    seal_run(folder)
    writer = NodeWriter(tmp_path, attempt=2, wall_s=START_S + 100)
    session = writer.start(0, size=1)
    writer.device("GPU-01")  # another number than the first time
    writer.samples("gpu/util_frac", [7.0], device="GPU-01")
    writer.samples("gpu/power_w", [300.0], device="GPU-01")
    writer.end(0, session)
    writer.close()
    live = StoredRun(folder).sensor("gpu/util_frac").of(device="GPU-01")
    seal_run(folder)
    run = StoredRun(folder)
    again = run.sensor("gpu/util_frac").of(device="GPU-01")
    assert again.value.tolist() == live.value.tolist() == [1.0, 1.5, 2.0, 7.0]
    assert run.sensor("gpu/power_w").of(device="GPU-01").value.tolist() == [300.0]
    assert verify_run(folder).is_intact


def test_what_is_not_sampled_is_named_with_its_neighbours(tmp_path: Path) -> None:
    run = StoredRun(write(tmp_path))
    with pytest.raises(NotFoundError, match="gpu/util_frac"):
        run.sensor("gpu/util")
    with pytest.raises(NotFoundError, match="4 such streams"):
        run.sensor("gpu/util_frac").of()


def test_a_file_without_samples_has_no_sensors(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.points("loss", 0, [0], [1.0])
    writer.close()
    (run,) = Store(tmp_path).runs()
    assert run.sensors() == []
    seal_run(run.folder, force=True)
    (run,) = Store(tmp_path).runs()
    assert run.sensors() == []


def test_samples_without_a_name_or_a_time_are_not_sealed_but_salvaged(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    writer.samples("host/load", [1.0, 2.0])
    writer.sensors["unnamed"] = 7
    writer.samples("unnamed", [3.0])
    writer.end(0, session)
    folder = writer.close().parent
    told = [one.what for one in verify_run(folder).errors()]
    assert "1 samples have no sensor's name" in told
    with pytest.raises(StoreFormatError, match="unknown sensor"):
        seal_run(folder)
    repair_run(folder)
    seal_run(folder)
    assert StoredRun(folder).sensor("host/load").of().value.tolist() == [1.0, 2.0]


def test_a_damaged_sealed_file_gives_its_samples_back(tmp_path: Path) -> None:
    folder = write(tmp_path)
    seal_run(folder)
    with h5py.File(folder / "run.h5") as file:
        chunk = next(iter(file["metrics"].values()))["value"].id.get_chunk_info(0)
    data = bytearray((folder / "run.h5").read_bytes())
    data[chunk.byte_offset + 8 : chunk.byte_offset + 16] = bytes(8)
    (folder / "run.h5").write_bytes(data)
    assert not verify_run(folder).is_intact
    assert repair_run(folder, force=True).is_intact
    run = StoredRun(folder)
    busy = run.sensor("gpu/util_frac")
    assert np.array_equal(busy.of(device="GPU-10").value, BUSY)
    assert run.sensor("process/rss_bytes").of(rank=1).value.tolist() == [5.0, 6.0]
    seal_run(folder)
    assert StoredRun(folder).sensor("gpu/util_frac").max().tolist() == [1.0, 2.0, 1.0, 2.0]
