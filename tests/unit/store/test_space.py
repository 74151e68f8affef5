"""Room is taken before it is needed, and a file that failed is never touched again."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from hpctrack.errors import StoreError, StoreFullError
from hpctrack.store.node_file import NewEvent, NodeFile
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.schema import POINT, EventKind, Place
from hpctrack.store.space import MARGIN_BYTES, STEP_MIN_BYTES, Reservation, explain, probe
from tests.programs import ROOT, run_python
from tests.stores import START_S, NodeWriter

FACTS = {"run": "r", "project": "p", "node": 0, "attempt": 1, "host": "n1"}


@pytest.fixture
def file_size_limit() -> Iterator[int]:
    """Let this process write files of 2 MiB only."""
    limit = 2 * 1024 * 1024
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EFBIG, StoreFullError),
        (errno.EROFS, StoreError),
        (errno.EIO, StoreError),
        (errno.EACCES, StoreError),
    ],
)
def test_the_systems_refusals_become_ours(number: int, kind: type[StoreError]) -> None:
    found = explain(OSError(number, os.strerror(number)), Path("/store/p/r"))
    assert type(found) is kind
    assert "/store/p/r" in found.message
    assert os.strerror(number) in found.message


def test_room_is_taken_in_steps_without_changing_the_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    handle = os.open(path, os.O_CREAT | os.O_RDWR)
    room = Reservation(handle, path)
    room.cover(1000)
    assert room.end_bytes >= STEP_MIN_BYTES
    if not room.writes_zeros:
        assert path.stat().st_size == 0
        assert path.stat().st_blocks * 512 >= STEP_MIN_BYTES
    before = room.end_bytes
    room.cover(before)
    assert room.end_bytes == before
    room.cover(100 * 1024 * 1024)
    assert room.end_bytes >= 125 * 1024 * 1024
    room.close(is_durable=False)


def test_a_files_unused_room_is_given_back_at_its_end(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.points("loss", 0, range(10), [1.0] * 10)
    writer.flush()
    (path,) = (tmp_path / "p" / "r").iterdir()
    during = path.stat().st_blocks * 512
    assert during > MARGIN_BYTES
    writer.close()
    assert path.stat().st_blocks * 512 < during / 2
    with h5py.File(path, "r") as file:
        assert file.id.get_filesize() == path.stat().st_size


def test_a_limit_of_the_process_is_met_before_hdf5_meets_it(
    tmp_path: Path, file_size_limit: int
) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    written = 0

    def write_for_ever() -> None:
        nonlocal written
        while True:
            writer.points("loss", 0, range(written, written + 1000), [1.0] * 1000)
            written += 1000

    with pytest.raises(StoreFullError, match="too large"):
        write_for_ever()
    path = writer.close()
    assert path.stat().st_size < file_size_limit
    with NodeReader(path) as reader:
        assert len(reader.read_columns()["loss"]) == written
    assert written * POINT.itemsize > file_size_limit / 2


def test_a_folder_is_probed_and_left_clean(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    probe(folder)
    assert list(folder.iterdir()) == []
    with pytest.raises(StoreError, match="cannot be written"):
        probe(tmp_path / "nowhere")


def test_an_abandoned_file_keeps_what_was_flushed_and_takes_nothing_more(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from hpctrack.errors import StoreError
        from hpctrack.store import growing_file
        from tests.stores import NodeWriter

        writer = NodeWriter(Path(sys.argv[1]))
        writer.start(0)
        writer.points("loss", 0, range(5000), [1.0] * 5000)
        writer.flush()
        writer.points("loss", 0, range(5000, 9000), [2.0] * 4000)
        before = writer.file.path.read_bytes()
        writer.file.abandon()
        writer.file.abandon()
        for call in (writer.flush, writer.close, lambda: writer.points("loss", 0, [1], [1.0])):
            try:
                call()
            except StoreError as error:
                print("has been left" in error.message)
        print(writer.file.is_abandoned, growing_file.has_abandoned_files())
        print(writer.file.path.read_bytes() == before)
        """
    done = run_python(code, str(tmp_path), env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"] * 6
    assert done.stderr == ""
    (path,) = (tmp_path / "p" / "r").iterdir()
    with NodeReader(path) as reader:
        assert len(reader.read_columns()["loss"]) == 5000


def test_a_file_that_was_removed_under_its_writer_takes_nothing_more(tmp_path: Path) -> None:
    # As by a sealer that took an agent for dead which had only been stopped.
    writer = NodeWriter(tmp_path)
    writer.points("loss", 0, [0], [1.0])
    writer.flush()
    writer.file.path.unlink()
    writer.points("loss", 0, [1], [2.0])
    with pytest.raises(StoreError, match="removed"):
        writer.flush()
    assert writer.file.is_abandoned


def test_a_file_that_was_removed_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    # The next file may get the inode of the removed one, and HDF5 takes inodes for files.
    code = """
        import sys
        from pathlib import Path
        from hpctrack.errors import StoreError
        from tests.stores import NodeWriter

        first = NodeWriter(Path(sys.argv[1]))
        first.points("loss", 0, range(10), [1.0] * 10)
        first.flush()
        first.file.path.unlink()
        try:
            first.flush()
        except StoreError as error:
            print("removed" in error.message)
        second = NodeWriter(Path(sys.argv[1]))
        second.points("loss", 0, range(20), [2.0] * 20)
        second.flush()
        print(second.close())
        """
    done = run_python(code, str(tmp_path), env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True")
    (path,) = (tmp_path / "p" / "r").iterdir()
    with NodeReader(path) as reader:
        assert reader.read_columns()["loss"].value.tolist() == [2.0] * 20


def test_a_process_reads_what_the_disk_has_of_a_file_that_it_has_left(tmp_path: Path) -> None:
    # In a process of its own: HDF5 that reads in circles lets no time-out of pytest's interrupt it.
    code = """
        import sys
        from pathlib import Path
        from hpctrack.store.node_reader import NodeReader
        from tests.stores import NodeWriter

        writer = NodeWriter(Path(sys.argv[1]))
        writer.points("loss", 0, range(1000), [1.0] * 1000)
        writer.flush()
        writer.file.abandon()
        for _time in range(2):
            with NodeReader(writer.file.path) as reader:
                print(len(reader.read_columns()["loss"].value), reader.read_events().is_closed)
        """
    done = run_python(code, str(tmp_path), env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1000 False\n" * 2


def test_many_events_at_once_are_the_same_as_one_by_one(tmp_path: Path) -> None:
    events = [
        NewEvent(EventKind.NOTE, b'{"text": "a"}', START_S, 0, 1),
        NewEvent(EventKind.STDOUT, b"hello\n", START_S + 1, 1, 2, Place.TEXT),
        NewEvent(EventKind.NOTE, b'{"text": "bc"}', START_S + 2, 2, 3),
        NewEvent(EventKind.STDERR, b"", START_S + 3, 3, 4, Place.TEXT),
    ]
    together = NodeFile(tmp_path / "a", FACTS, wall_s=START_S)
    together.add_events(events)
    together.add_events([])
    one_by_one = NodeFile(tmp_path / "b", FACTS, wall_s=START_S)
    for kind, body, wall_s, rank, session, place in events:
        one_by_one.add_event(
            EventKind(kind), body, wall_s=wall_s, rank=rank, session=session, place=place
        )
    found = []
    for file in (together, one_by_one):
        file.close(wall_s=START_S + 9)
        with NodeReader(file.path) as reader:
            source = reader.read_events()
            found.append(source.events)
            assert source.is_closed
            (said,) = (one for one in source.events if one.kind == EventKind.STDOUT)
            assert reader.read_bytes(Place.TEXT, said.offset, said.size) == b"hello\n"
    assert found[0] == found[1]
    assert [one.kind for one in found[0]] == [one.kind for one in events]


def test_a_file_is_rolled_over_by_size_and_age_but_not_while_it_is_empty(tmp_path: Path) -> None:
    by_size = NodeFile(tmp_path, FACTS, wall_s=START_S, roll_over_bytes=500_000, roll_over_s=0)
    assert not by_size.should_roll(START_S + 1e6)
    by_size.add_points(bytes(POINT.itemsize * 1000))
    assert not by_size.should_roll(START_S + 1e6)
    by_size.add_points(bytes(POINT.itemsize * 16000))
    assert by_size.should_roll(START_S)
    by_size.close(wall_s=START_S)
    by_age = NodeFile(tmp_path, FACTS, wall_s=START_S, roll_over_bytes=0, roll_over_s=60)
    assert not by_age.should_roll(START_S + 100)
    by_age.add_points(bytes(POINT.itemsize))
    assert not by_age.should_roll(START_S + 59)
    assert by_age.should_roll(START_S + 60)
    assert not by_age.should_roll(START_S - 1e6), "the clock was put back"
    by_age.close(wall_s=START_S)


def test_a_reader_reads_only_what_is_new(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.points("loss", 0, range(3), [0.0, 1.0, 2.0])
    writer.flush()
    (path,) = (tmp_path / "p" / "r").iterdir()
    with NodeReader(path) as reader:
        first = reader.read_events().events
        assert reader.read_columns()["loss"].value.tolist() == [0, 1, 2]
        for step in range(3, 9000, 500):
            writer.points("loss", 0, range(step, step + 500), range(step, step + 500))
            writer.points("acc", 1, [step], [0.5])
            writer.event(EventKind.NOTE, {"text": str(step)})
            writer.flush()
            reader.refresh()
            assert reader.read_columns()["loss"].value.tolist() == list(range(step + 500))
        assert len(reader.read_columns()["acc"]) == 18
        later = reader.read_events().events
        assert [one.body for one in later[:1]] == [one.body for one in first]
        assert [one.json().get("text") for one in later[1:]] == [
            str(step) for step in range(3, 9000, 500)
        ]
    writer.close()


@pytest.mark.parametrize("locking", ["TRUE", "FALSE"])
def test_locks_do_not_matter(tmp_path: Path, locking: str) -> None:
    code = """
        import subprocess, sys
        from pathlib import Path
        from hpctrack import Store
        from hpctrack.store.seal import seal_run
        from hpctrack.store.verify import verify_run
        from tests.stores import NodeWriter

        writer = NodeWriter(Path(sys.argv[1]))
        session = writer.start(0)
        writer.points("loss", 0, range(10), [1.0] * 10)
        writer.flush()
        read = (
            "import sys, hpctrack;"
            "print(len(hpctrack.Store(sys.argv[1]).run('r').metric('loss')))"
        )
        subprocess.run([sys.executable, "-c", read, sys.argv[1]], check=True)
        writer.end(0, session)
        folder = writer.close().parent
        print(seal_run(folder).points, verify_run(folder).is_intact)
        """
    env = {"PYTHONPATH": str(ROOT), "HDF5_USE_FILE_LOCKING": locking}
    done = run_python(code, str(tmp_path), env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["10", "10", "True"]
