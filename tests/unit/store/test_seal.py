"""How a run is sealed: what the file holds, and what becomes of whoever disturbs it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.errors import BusyError, NotFoundError, StoreError, StoreFormatError, StoreFullError
from hpctrack.store.events import NodeEvents
from hpctrack.store.placement import count_keys, make_keys, make_plan, sort_groups
from hpctrack.store.schema import POINT, EventKind, Place
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_lock import SealLock, hold_lock
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.seal_sources import NodeSource
from hpctrack.store.seal_steps import check_space
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.sealed_layout import CHUNK_ROWS
from hpctrack.store.stored_run import StoredRun
from tests.programs import wait_for
from tests.stores import START_S, NodeWriter, write_run

SMALL = SealLimits(memory_rows=10, piece_rows=7, series_min=8, bucket=4)
DEAD_PID = 2**22 + 1  # above the kernel's highest


def write_payload(writer: NodeWriter, body: bytes, place: Place = Place.BLOBS) -> str:
    """Write bytes and their description, as the agent does."""
    digest = hashlib.sha256(body).hexdigest()
    offset = writer.file.add_bytes(body, place)
    told = {"digest": digest, "place": int(place), "offset": offset, "size": len(body)}
    writer.event(EventKind.PAYLOAD, told)
    return digest


def read_payloads(folder: Path) -> list[tuple[str, bytes]]:
    """Return digest and bytes of each payload of a sealed run."""
    reader = SealedReader(folder / "run.h5")
    found = []
    for source in reader.read_sources():
        for event in source.events:
            if event.kind == EventKind.PAYLOAD:
                told = event.json()
                body = reader.read_bytes(Place(told["place"]), told["offset"], told["size"])
                found.append((told["digest"], body))
    return found


def columns_of(folder: Path) -> dict[str, list[list[float]]]:
    run = StoredRun(folder)
    found = {
        name: [getattr(columns, key).tolist() for key in columns.__slots__]
        for name, columns in run.columns().items()
    }
    run.close()
    return found


# -- what is in it -------------------------------------------------------------------------------


def test_ranks_that_share_their_steps_become_a_matrix(tmp_path: Path) -> None:
    folder = write_run(tmp_path, ranks=4, steps=9)
    before = columns_of(folder)
    seal_run(folder, limits=SMALL)
    assert columns_of(folder) == before
    with h5py.File(folder / "run.h5") as file:
        group = file["metrics/0"]
        assert dict(group.attrs) == {"name": b"loss", "points": 36}
        assert group["value"].shape == group["wall_s"].shape == (4, 9)
        assert group["step"][:].tolist() == list(range(9))
        assert group["rank"][:].tolist() == [0, 1, 2, 3]


def test_a_long_matrix_is_cut_into_chunks_of_one_row(tmp_path: Path) -> None:
    steps = CHUNK_ROWS + 10
    writer = NodeWriter(tmp_path)
    for rank in range(2):
        writer.points("a", rank, range(steps), (np.arange(steps) * (rank + 1.0)).tolist())
    folder = writer.close().parent
    seal_run(folder)
    matrix = StoredRun(folder).metric("a").matrix()
    assert matrix.shape == (2, steps)
    assert (matrix.values[1] == 2 * matrix.values[0]).all()
    assert matrix.values[1, -1] == 2 * (steps - 1)


def test_metrics_that_are_logged_together_share_steps_and_times(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    for step in range(40):
        writer.wall_s = START_S + step
        for name in ("a", "b", "c"):
            writer.points(name, 0, [step], [ord(name) + step])
    writer.wall_s += 1
    writer.points("other", 0, range(40), range(40))
    folder = writer.close().parent
    before = columns_of(folder)
    seal_run(folder, limits=SMALL)
    assert columns_of(folder) == before
    with h5py.File(folder / "run.h5") as file:
        metrics = file["metrics"]
        for key in ("runs", "step", "wall_s"):
            assert metrics["0"][key] == metrics["1"][key] == metrics["2"][key]
        assert metrics["3"]["step"] == metrics["0"]["step"]
        assert metrics["3"]["wall_s"] != metrics["0"]["wall_s"]


def test_a_few_points_take_little_room(tmp_path: Path) -> None:
    folder = write_run(tmp_path, ranks=1, steps=50)
    seal_run(folder)
    assert (folder / "run.h5").stat().st_size < 16_000


def test_the_same_bytes_from_several_nodes_are_kept_once(tmp_path: Path) -> None:
    digests = []
    folder = Path()
    for node in range(2):
        writer = NodeWriter(tmp_path, node=node)
        session = writer.start(node, size=2)
        digests.append(write_payload(writer, b"shared" * 1000))
        digests.append(write_payload(writer, f"own {node}".encode(), Place.TEXT))
        writer.event(EventKind.MEDIA, {"key": "image", "digest": digests[0]})
        writer.end(node, session)
        folder = writer.close().parent
    seal_run(folder)
    found = read_payloads(folder)
    assert sorted(one for one, _body in found) == sorted(set(digests))
    assert all(hashlib.sha256(body).hexdigest() == digest for digest, body in found)
    with h5py.File(folder / "run.h5") as file:
        assert file["blobs"].shape == (6000,)
        assert file["text"].shape == (10,)


def test_a_damaged_copy_of_bytes_does_not_displace_a_good_one(tmp_path: Path) -> None:
    good = b"good" * 100
    digest = hashlib.sha256(good).hexdigest()
    folder = Path()
    for node, body in enumerate((b"evil" * 100, good)):
        writer = NodeWriter(tmp_path, node=node)
        offset = writer.file.add_bytes(body, Place.BLOBS)
        told = {"digest": digest, "place": 2, "offset": offset, "size": len(body)}
        writer.event(EventKind.PAYLOAD, told)
        folder = writer.close().parent
    seal_run(folder)
    assert (digest, good) in read_payloads(folder)


def test_a_payload_that_is_torn_is_left_out(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    whole = write_payload(writer, b"whole")
    writer.event(EventKind.PAYLOAD, {"digest": "00" * 32, "place": 2, "offset": 3, "size": 999})
    writer.event(EventKind.PAYLOAD, {"digest": 7})
    folder = writer.close().parent
    seal_run(folder)
    assert read_payloads(folder) == [(whole, b"whole")]


def console_of(sources: list[NodeEvents], read: Callable[[Place, int, int], bytes]) -> list[bytes]:
    kinds = {EventKind.STDOUT, EventKind.STDERR}
    return [
        read(Place(event.place), event.offset, event.size)
        for source in sources
        for event in source.events
        if event.kind in kinds
    ]


def test_console_text_is_carried_over(tmp_path: Path) -> None:
    folder = Path()
    for node in range(2):
        writer = NodeWriter(tmp_path, node=node)
        for line in range(3):
            writer.file.add_event(
                EventKind.STDOUT if line else EventKind.STDERR,
                f"node {node} line {line}\n".encode(),
                wall_s=START_S,
                rank=node,
                session=0,
                place=Place.TEXT,
            )
        folder = writer.close().parent
    seal_run(folder)
    reader = SealedReader(folder / "run.h5")
    lines = console_of(reader.read_sources(), reader.read_bytes)
    assert lines == [f"node {node} line {n}\n".encode() for node in (0, 1) for n in range(3)]


def test_a_requeue_after_sealing_keeps_bytes_and_points(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    writer.points("loss", 0, range(30), range(30))
    first = write_payload(writer, b"x" * 300)
    writer.end(0, session)
    folder = writer.close().parent
    seal_run(folder, limits=SMALL)
    again = NodeWriter(tmp_path, attempt=2)
    session = again.start(0)
    again.points("loss", 0, range(20, 50), range(20, 50))
    again.points("new", 0, [1], [1.5])
    write_payload(again, b"x" * 300)
    second = write_payload(again, b"y" * 10)
    again.end(0, session)
    again.close()
    before = columns_of(folder)
    result = seal_run(folder, limits=SMALL)
    assert (result.points, result.node_files) == (61, 1)
    assert columns_of(folder) == before
    assert [digest for digest, _body in read_payloads(folder)] == [first, second]
    assert [path.name for path in folder.iterdir()] == ["run.h5"]


@pytest.mark.hdf5
def test_what_the_layouts_hold_opens_with_the_clusters_old_tools(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    writer = NodeWriter(tmp_path)
    for rank in range(2):
        writer.points("grid", rank, range(12), range(12))
    writer.points("late", 0, [*range(20), 3, 20], np.arange(22.0).tolist())
    write_payload(writer, b"bytes")
    folder = writer.close().parent
    seal_run(folder, limits=SMALL)
    done = subprocess.run(
        [program("h5dump"), str(folder / "run.h5")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("runs", "levels", "late", "wall_s", "blobs", "index"):
        assert f'"{name}"' in done.stdout


# -- sorting -------------------------------------------------------------------------------------


def test_groups_are_counted_and_sorted_whatever_their_numbers() -> None:
    rng = np.random.default_rng(3)
    for metrics, ranks in ((3, 5), (400, 300), (2**32 - 1, 2**32 - 1)):
        points = np.zeros(5000, POINT)
        points["metric"] = rng.integers(0, metrics, len(points))
        points["rank"] = rng.integers(0, ranks, len(points))
        keys, counts = count_keys(points)
        own, found = np.unique(make_keys(points["metric"], points["rank"]), return_counts=True)
        assert np.array_equal(keys, own)
        assert np.array_equal(counts, found)
    group = rng.integers(0, 200_000, 5000)
    order, groups, counts = sort_groups(group)
    assert order is not None
    assert np.array_equal(order, np.argsort(group, kind="stable"))
    assert np.array_equal(np.repeat(groups, counts), np.sort(group))
    assert sort_groups(np.array([1, 1, 4]))[0] is None


def test_a_plan_of_nothing_has_no_points() -> None:
    assert make_plan([]).points == 0


# -- who disturbs it -----------------------------------------------------------------------------


def test_progress_is_told_up_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = write_run(tmp_path, ranks=2, steps=20)
    seal_run(folder, on_progress=lambda done, total: told.append((done, total)), limits=SMALL)
    assert told[-1] == (120, 120)
    assert [done for done, _total in told] == sorted(done for done, _total in told)


def test_a_lock_of_a_process_that_is_gone_does_not_count(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    with hold_lock(folder, SYSTEM_CLOCK), pytest.raises(BusyError):
        seal_run(folder)
    lock = folder / ".seal.lock"
    assert not lock.exists()
    place = Path("/proc/self/ns/pid").readlink()
    lock.write_text(f"{os.uname().nodename}/{place} {DEAD_PID} 00\n")
    assert seal_run(folder).node_files == 1


def test_a_lock_that_does_not_fit_on_the_disk_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path)

    def fail(*_args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(StoreFullError):
            seal_run(folder)
    assert seal_run(folder).node_files == 1


def test_the_lock_is_touched_while_media_are_copied_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = NodeWriter(tmp_path)
    write_payload(writer, bytes(range(256)) * 1000)
    folder = writer.close().parent
    touched: list[int] = []
    monkeypatch.setattr(SealLock, "touch", lambda _lock: touched.append(1))
    monkeypatch.setattr("hpctrack.store.seal_events.COPY_BYTES", 1000)
    seal_run(folder)
    assert len(touched) >= 256 + 256_000 // CHUNK_ROWS


def test_a_sealer_that_was_taken_for_dead_publishes_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path)

    def steal(_done: int, _total: int) -> None:
        (folder / ".seal.lock").write_text("somebody else\n")

    with pytest.raises(BusyError, match="somebody is sealing"):
        seal_run(folder, on_progress=steal)
    assert not (folder / "run.h5").exists()
    assert (folder / ".seal.lock").read_text() == "somebody else\n"


def test_a_run_that_goes_on_while_it_is_sealed_is_left_alone(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.points("a", 0, [0], [1.0])
    writer.flush()
    folder = writer.file.path.parent

    def log_more(_done: int, _total: int) -> None:
        writer.points("a", 0, [1], [2.0])
        writer.flush()

    with pytest.raises(BusyError, match="is being written"):
        seal_run(folder, force=True, on_progress=log_more)
    assert [path.suffix for path in folder.iterdir()] == [".h5"]
    writer.close()
    assert seal_run(folder, force=True).points > 1


def test_a_sealed_file_that_does_not_hold_the_points_is_not_published(tmp_path: Path) -> None:
    folder = write_run(tmp_path, ranks=1, steps=2000)
    (node_file,) = folder.iterdir()

    def damage(done: int, total: int) -> None:
        """Once all is written and before it is read back."""
        if done < 2 * total // 3:
            return
        (path,) = folder.glob("run.h5.*.tmp")
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])

    with pytest.raises(StoreError):
        seal_run(folder, on_progress=damage)
    assert list(folder.iterdir()) == [node_file]


def test_a_cut_node_file_is_not_sealed(tmp_path: Path) -> None:
    folder = write_run(tmp_path, ranks=1, steps=20000)
    (node_file,) = folder.iterdir()
    node_file.write_bytes(node_file.read_bytes()[:-200_000])
    with pytest.raises(StoreFormatError):
        seal_run(folder)
    assert list(folder.iterdir()) == [node_file]


def test_points_without_a_name_are_not_sealed_away(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.file.add_points(np.zeros(3, POINT).tobytes())
    folder = writer.close().parent
    with pytest.raises(StoreFormatError, match="without a name"):
        seal_run(folder)


def test_nothing_is_begun_that_may_not_fit(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (node_file,) = folder.iterdir()
    source = NodeSource(node_file, {"attempt": 1}, stays_open=False)
    with pytest.raises(StoreFullError, match="the disk has less"):
        check_space(folder, [source], 10**15, SealLimits())


def test_a_folder_without_files_cannot_be_sealed(tmp_path: Path) -> None:
    (tmp_path / "p" / "r").mkdir(parents=True)
    for name in ("r", "s"):
        with pytest.raises(NotFoundError):
            seal_run(tmp_path / "p" / name)


SEALER = """
import sys
from pathlib import Path
from hpctrack.errors import HpctrackError
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_metrics import SealLimits
try:
    seal_run(Path(sys.argv[1]), limits=SealLimits(memory_rows=100, piece_rows=500),
             on_progress=lambda done, total: print(done, flush=True))
except HpctrackError as error:
    print(error.code)
"""


@pytest.mark.slow
def test_a_sealer_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path, ranks=3, steps=2000)
    before = columns_of(folder)
    for lines in (1, 9, 16):
        child = subprocess.Popen(
            [sys.executable, "-c", SEALER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout
        with child.stdout as output:
            for _line in range(lines):
                output.readline()
            child.kill()
        child.wait()
        assert columns_of(folder) == before
    assert seal_run(folder).points == 6000
    assert columns_of(folder) == before
    assert [path.name for path in folder.iterdir()] == ["run.h5"]


def test_two_sealers_at_once_make_one_sealed_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path, ranks=2, steps=1000)
    before = columns_of(folder)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", SEALER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        for _child in range(2)
    ]
    said = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert any("busy" not in one for one in said)
    wait_for(lambda: not (folder / ".seal.lock").exists())
    assert [path.name for path in folder.iterdir()] == ["run.h5"]
    assert columns_of(folder) == before


def test_a_damaged_sealed_file_says_so_and_is_not_replaced(tmp_path: Path) -> None:
    folder = write_run(tmp_path, steps=500)
    seal_run(folder)
    path = folder / "run.h5"
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        found = file["metrics/0/value"].id.get_chunk_info(0)
    data[found.byte_offset + 20] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(StoreFormatError, match="damaged"):
        StoredRun(folder).columns()
    NodeWriter(tmp_path, attempt=2).close()
    with pytest.raises(StoreError):
        seal_run(folder)
    assert path.read_bytes() == bytes(data)


@pytest.mark.parametrize("name", ["events", "heap", "index", "metrics/0", "metrics/0/step"])
def test_a_run_is_not_sealed_again_out_of_a_damaged_file(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path, steps=50)
    seal_run(folder)
    path = folder / "run.h5"
    with h5py.File(path) as file:
        at = h5py.h5o.get_info(file[name].id).addr
    data = bytearray(path.read_bytes())
    data[at + 12] ^= 0xFF
    path.write_bytes(data)
    NodeWriter(tmp_path, attempt=2).close()
    with pytest.raises(StoreFormatError, match="damaged"):
        seal_run(folder)
    assert path.read_bytes() == bytes(data)


def test_the_index_names_every_metric(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    for name in ("b/c", "a", "損失"):
        writer.points(name, 0, [1], [2.0])
    folder = writer.close().parent
    seal_run(folder)
    with h5py.File(folder / "run.h5") as file:
        index = json.loads(file["index"][0])
    assert index["metrics"] == [
        ["a", "0", 1, "rows", 1],
        ["b/c", "1", 1, "rows", 1],
        ["損失", "2", 1, "rows", 1],
    ]
