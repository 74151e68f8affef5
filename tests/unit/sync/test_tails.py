"""Reading what is new in a live node file: all of it, once, and only what is really there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpctrack.core.layout import run_folder
from hpctrack.errors import NotFoundError, StoreFormatError
from hpctrack.store.record import State
from hpctrack.store.replica import append_tail
from hpctrack.store.schema import TABLES, Place
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify import verify_run
from hpctrack.store.vocabulary import TABLE_ROW_BYTES
from hpctrack.sync.sending.tails import TailReader
from hpctrack.sync.wire.tails import NodeState, Piece, Tail
from tests.programs import run_python
from tests.replicas import read_facts, read_rows, save, say, sync_node_file, write_some
from tests.stores import START_S, FakeClock, NodeWriter

NOW_S = START_S + 10
LATER_S = START_S + 1000


@pytest.fixture
def writer(tmp_path: Path) -> NodeWriter:
    return NodeWriter(tmp_path / "there")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return run_folder(tmp_path / "here", "p", "r")


def read_tails(path: Path, since: dict[str, int] | None = None, now_s: float = NOW_S) -> list[Tail]:
    with TailReader(path) as reader:
        return list(reader.iter_tails(since or {}, now_s))


def join(tails: list[Tail]) -> dict[str, bytes]:
    found = dict.fromkeys(TABLE_ROW_BYTES, b"")
    for tail in tails:
        for piece in tail.pieces:
            found[piece.table] += piece.data
    return found


def test_tables_and_rows_are_as_the_schema_says() -> None:
    assert {name: dtype.itemsize for name, (dtype, _rows) in TABLES.items()} == TABLE_ROW_BYTES
    assert list(TABLE_ROW_BYTES) == list(TABLES)


def test_a_file_is_read_whole_and_then_what_is_new(writer: NodeWriter) -> None:
    writer.start(0)
    write_some(writer, 0)
    path = writer.file.path
    (first,) = read_tails(path)
    assert first.facts == read_facts(path)
    assert [one.table for one in first.pieces] == list(TABLE_ROW_BYTES)
    assert join([first]) == read_rows(path)
    assert first.state.pulse_wall_s == writer.wall_s
    assert (first.state.closed_wall_s, first.state.as_of_wall_s) == (0.0, NOW_S)
    rows = dict(first.state.rows)
    assert rows == {name: len(one) // TABLE_ROW_BYTES[name] for name, one in join([first]).items()}
    write_some(writer, 1)
    (second,) = read_tails(path, rows)
    assert {one.table: one.start for one in second.pieces} == rows
    assert join([first, second]) == read_rows(path)
    (nothing,) = read_tails(path, dict(second.state.rows))
    assert nothing.pieces == ()
    assert nothing.state == second.state
    writer.close()
    (last,) = read_tails(path, dict(second.state.rows))
    assert last.state.closed_wall_s == writer.wall_s


def test_a_reader_that_stays_open_sees_the_file_grow(writer: NodeWriter) -> None:
    write_some(writer, 0)
    with TailReader(writer.file.path) as reader:
        before = reader.state(NOW_S)
        assert reader.state(NOW_S) == before
        write_some(writer, 1)
        (tail,) = reader.iter_tails(before.rows, NOW_S)
        assert join([tail])["points"] == read_rows(writer.file.path)["points"][-len(
            join([tail])["points"]
        ):]  # fmt: skip
        assert reader.state(NOW_S).rows == tail.state.rows
        assert reader.state(NOW_S).digest == tail.state.digest != before.digest


def test_rows_that_were_there_before_are_not_looked_for_again(writer: NodeWriter) -> None:
    for number in range(3):
        write_some(writer, number, points=6000)
    path = writer.file.path
    with TailReader(path) as reader:
        known = reader.state(NOW_S)
    write_some(writer, 3, points=6000)
    with TailReader(path, known_rows=known.rows) as reader:
        (tail,) = reader.iter_tails(known.rows, NOW_S)
    (expected,) = read_tails(path, dict(known.rows))
    assert tail == expected


def iter_cut(path: Path, limit_bytes: int) -> Iterator[Tail]:
    with TailReader(path) as reader:
        yield from reader.iter_tails({}, LATER_S, limit_bytes=limit_bytes)


def test_after_each_tail_the_replica_is_whole_and_goes_on_until_the_last(
    writer: NodeWriter, folder: Path
) -> None:
    session = writer.start(0)
    for number in range(4):
        write_some(writer, number)
    writer.end(0, session)
    path = writer.close()
    folder.mkdir(parents=True)
    tails = list(iter_cut(path, 5000))
    assert all(sum(len(one.data) for one in tail.pieces) <= 5000 for tail in tails)
    assert len(tails) > 8
    clock = FakeClock(now_s=LATER_S + 86_400).clock()
    for number, tail in enumerate(tails):
        append_tail(folder, path.name, tail)
        assert verify_run(folder, clock=clock).errors() == [], number
        run = StoredRun(folder, clock=clock)
        is_last = number == len(tails) - 1
        assert run.record.state == (State.FINISHED if is_last else State.RUNNING)
        run.close()
    assert read_rows(folder / path.name) == read_rows(path)


def damage(path: Path, table: str, start: int, size: int) -> bytes:
    """Let a file system not deliver some bytes yet; return the file as it will be."""
    whole = path.read_bytes()
    data = bytearray(whole)
    rows = read_rows(path)[table]
    at = data.index(rows[start : start + 64])
    data[at : at + size] = bytes(size)
    path.write_bytes(data)
    return whole


@pytest.mark.parametrize("table", ["points", "samples", "events"])
def test_rows_of_a_live_file_that_are_not_there_yet_are_waited_for(
    writer: NodeWriter, folder: Path, table: str
) -> None:
    session = writer.start(0)
    for number in range(4):
        write_some(writer, number)
    writer.end(0, session)
    path = writer.close()  # and nothing is in HDF5's memory any more
    rows = read_rows(path)
    size = TABLE_ROW_BYTES[table]
    first = len(rows[table]) // size // 2
    whole = damage(path, table, first * size, 3 * size)
    state = sync_node_file(path, folder, as_of_wall_s=NOW_S)
    assert state.rows[table] == first
    assert state.closed_wall_s == 0.0
    found = read_rows(folder / path.name)
    assert all(rows[name].startswith(data) for name, data in found.items())
    assert verify_run(folder).errors() == []
    path.write_bytes(whole)
    state = sync_node_file(path, folder, as_of_wall_s=NOW_S + 1)
    assert state.closed_wall_s == writer.wall_s
    assert read_rows(folder / path.name) == rows


def test_of_a_file_that_nobody_writes_holes_are_sent_as_they_are(
    writer: NodeWriter, folder: Path
) -> None:
    for number in range(4):
        write_some(writer, number)
    path = writer.close()
    damage(path, "points", 32 * 500, 32 * 3)
    state = sync_node_file(path, folder, as_of_wall_s=LATER_S)
    assert state.closed_wall_s > 0
    assert read_rows(folder / path.name) == read_rows(path)


def test_events_wait_for_their_bytes_and_points_for_their_names(
    writer: NodeWriter, folder: Path
) -> None:
    writer.start(0)
    write_some(writer, 0)
    rows = read_rows(writer.file.path)
    start = len(rows["heap"])
    write_some(writer, 1)
    path = writer.close()
    whole = damage(path, "heap", start, 8)
    state = sync_node_file(path, folder, as_of_wall_s=NOW_S)
    there = {name: len(one) // TABLE_ROW_BYTES[name] for name, one in rows.items()}
    assert {name: state.rows[name] for name in ("heap", "events", "text", "blobs")} == {
        name: there[name] for name in ("heap", "events", "text", "blobs")
    }
    run = StoredRun(folder)
    assert run.metric_sizes() == {"loss": 600, "only/0": 1}  # only/1 has no name yet
    run.close()
    path.write_bytes(whole)
    sync_node_file(path, folder, as_of_wall_s=NOW_S)
    assert read_rows(folder / path.name) == read_rows(path)


def test_payloads_wait_for_their_bytes_unless_these_are_zeros(
    writer: NodeWriter, folder: Path
) -> None:
    save(writer, bytes(4096), 0)
    save(writer, hashlib.sha256(b"x").digest() * 100, 1)
    save(writer, b"picture" * 100, 2)
    path = writer.close()
    whole = damage(path, "blobs", 4096, 1024)
    state = sync_node_file(path, folder, as_of_wall_s=NOW_S)
    assert state.rows["blobs"] == 4096
    assert state.rows["events"] == 2
    path.write_bytes(whole)
    sync_node_file(path, folder, as_of_wall_s=NOW_S)
    assert read_rows(folder / path.name) == read_rows(path)


def test_bytes_that_no_event_tells_of_yet_wait_for_theirs(writer: NodeWriter) -> None:
    say(writer, b"hello\n")
    writer.file.add_bytes(b"picture", Place.BLOBS)
    writer.file.add_bytes(b"text", Place.TEXT)
    writer.flush()
    (tail,) = read_tails(writer.file.path)
    assert (tail.state.rows["blobs"], tail.state.rows["text"]) == (0, 6)
    (tail,) = read_tails(writer.close(), {})
    assert (tail.state.rows["blobs"], tail.state.rows["text"]) == (7, 10)


def test_a_replica_can_be_sent_on(writer: NodeWriter, folder: Path, tmp_path: Path) -> None:
    write_some(writer, 0)
    path = writer.file.path
    sync_node_file(path, folder, as_of_wall_s=NOW_S)
    further = run_folder(tmp_path / "further", "p", "r")
    state = sync_node_file(folder / path.name, further, as_of_wall_s=LATER_S)
    assert state.as_of_wall_s == NOW_S
    assert read_rows(further / path.name) == read_rows(path)


def test_a_replica_that_has_more_gets_nothing(writer: NodeWriter) -> None:
    write_some(writer, 0)
    many = dict.fromkeys(TABLE_ROW_BYTES, 10**9)
    (tail,) = read_tails(writer.file.path, many)
    assert tail.pieces == ()


def test_what_the_other_side_says_may_be_nonsense(writer: NodeWriter) -> None:
    write_some(writer, 0)
    path = writer.close()
    told: Any = {"points": "many", "heap": -5, "blobs": None, "events": 1.5, "more": 3}
    with TailReader(path, known_rows=told) as reader:
        assert list(reader.iter_tails(told, NOW_S)) == read_tails(path)
    far = dict.fromkeys(TABLE_ROW_BYTES, 2**80)
    with TailReader(path, known_rows=far) as reader:
        assert [one.pieces for one in reader.iter_tails(far, NOW_S)] == [()]


def test_what_is_no_live_file_is_said_to_be_none(tmp_path: Path, writer: NodeWriter) -> None:
    with pytest.raises(NotFoundError):
        TailReader(tmp_path / "node-0000.a1-00000000.h5")
    text = tmp_path / "node-0000.a1-00000001.h5"
    text.write_text("hello")
    with pytest.raises(StoreFormatError):
        TailReader(text)
    write_some(writer, 0)
    path = writer.close()
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(StoreFormatError):
        TailReader(path).state(NOW_S)


def test_reading_tails_loads_neither_numpy_nor_h5py(writer: NodeWriter) -> None:
    write_some(writer, 0)
    done = run_python(
        """
        import sys
        from pathlib import Path
        from hpctrack.store.replica_states import read_replicas
        from hpctrack.sync.sending.tails import TailReader
        with TailReader(Path(sys.argv[1])) as reader:
            (tail,) = reader.iter_tails({}, 1e6)
        read_replicas(Path(sys.argv[1]).parent)
        print(len(tail.pieces), [one for one in ("numpy", "h5py") if one in sys.modules])
        """,
        str(writer.close()),
    )
    assert done.stdout == "6 []\n", done.stderr


def test_a_state_is_news_as_long_as_the_run_goes_on() -> None:
    state = NodeState(uuid="u", rows={"points": 1, "heap": 2}, pulse_wall_s=1.0, as_of_wall_s=2.0)
    later = NodeState(uuid="u", rows={"heap": 2, "points": 1}, pulse_wall_s=1.0, as_of_wall_s=3.0)
    assert state.digest != later.digest
    ended = [
        NodeState(uuid="u", pulse_wall_s=1.0, closed_wall_s=1.0, as_of_wall_s=one) for one in (2, 3)
    ]
    assert ended[0].digest == ended[1].digest
    assert len(state.digest) == 16
    assert Piece("heap", 0, b"x") == Piece("heap", 0, b"x")
