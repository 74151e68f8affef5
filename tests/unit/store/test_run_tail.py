"""What is new of a run that is going on: once, in order, through requeues and sealing."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.core.clock import Clock
from hpctrack.errors import NotFoundError
from hpctrack.store.node_tail import NOTES_MAX, Point
from hpctrack.store.record import State
from hpctrack.store.run_tail import OPEN_MAX, RunTail
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from tests.programs import start_python, wait_for
from tests.stores import START_S, FakeClock, NodeWriter


def open_tail(store: Path, *, now_s: float = START_S, rows: int | None = None) -> RunTail:
    clock: Clock = FakeClock(now_s).clock()
    return RunTail(store / "p" / "r", clock=clock, rows=rows)


def state_of(tail: RunTail) -> State:
    return tail.record.state


def read(tail: RunTail) -> list[Point]:
    return [point for node in tail.visit() for point in tail.iter_new_points(node)]


def test_what_is_new_is_read_once(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    writer.points("loss", 0, [0, 1], [3.0, 2.0])
    writer.flush()
    tail = open_tail(tmp_path)
    assert [one.value for one in read(tail)] == [3.0, 2.0]
    assert state_of(tail) == State.RUNNING
    assert read(tail) == []
    writer.points("acc", 0, [2], [0.5])
    writer.flush()
    assert read(tail) == [Point("acc", 0, 2, START_S, 0.5)]
    writer.end(0, session)
    writer.close()
    assert read(tail) == []
    assert state_of(tail) == State.FINISHED
    tail.close()


def test_growth_in_another_process_is_seen(tmp_path: Path) -> None:
    child = start_python(
        """
        import sys, time
        from pathlib import Path
        from tests.stores import NodeWriter
        writer = NodeWriter(Path(sys.argv[1]))
        writer.start(0)
        for step in range(100_000):
            writer.points("loss", 0, range(step * 100, step * 100 + 100), [1.0] * 100)
            writer.flush()
            time.sleep(0.01)
        """,
        str(tmp_path),
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    try:
        tail = open_tail(tmp_path)
        steps: list[int] = []

        def has_grown() -> bool:
            steps.extend(one.step for one in read(tail))
            return len(steps) > 10_000

        wait_for(has_grown)
        assert steps == list(range(len(steps)))
        tail.close()
    finally:
        child.kill()
        child.communicate()


def test_a_run_that_is_sealed_under_our_hands_is_read_to_its_end(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    writer.points("loss", 0, [0], [3.0])
    writer.flush()
    tail = open_tail(tmp_path)
    assert len(read(tail)) == 1
    writer.points("loss", 0, [1, 2], [2.0, 1.0])
    writer.end(0, session)
    folder = writer.close().parent
    seal_run(folder)
    assert [path.name for path in folder.iterdir()] == ["run.h5"]
    assert [one.step for one in read(tail)] == [1, 2]
    assert read(tail) == []
    assert tail.is_sealed
    assert not tail.has_missed
    assert state_of(tail) == State.FINISHED
    tail.close()


def test_a_sealed_run_has_nothing_to_follow(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.end(0, writer.start(0))
    seal_run(writer.close().parent)
    tail = open_tail(tmp_path)
    assert read(tail) == []
    with pytest.raises(NotFoundError, match="no live files"):
        _ = tail.record


def test_files_of_many_nodes_are_opened_in_turn(tmp_path: Path) -> None:
    nodes = OPEN_MAX + 4
    writers = [NodeWriter(tmp_path, node=node) for node in range(nodes)]
    for node, writer in enumerate(writers):
        writer.start(node, size=nodes)
        writer.points("loss", node, [0], [float(node)])
        writer.flush()
    tail = open_tail(tmp_path)
    assert sorted(one.rank for one in read(tail)) == list(range(nodes))
    for node, writer in enumerate(writers):
        writer.points("loss", node, [1], [0.0])
        writer.flush()
    assert sorted(one.rank for one in read(tail)) == list(range(nodes))
    assert (tail.record.size, tail.record.nodes) == (nodes, nodes)
    tail.close()


def test_one_broken_file_hides_no_other(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.points("loss", 0, [0], [1.0])
    writer.flush()
    folder = tmp_path / "p" / "r"
    (folder / "node-0001.a1-00000000.h5").write_bytes(b"x" * 4000)
    tail = open_tail(tmp_path)
    assert len(read(tail)) == 1
    assert [path.name for path in tail.broken] == ["node-0001.a1-00000000.h5"]
    tail.close()


def test_of_more_points_than_asked_for_a_part_is_read_and_the_rest_counted(
    tmp_path: Path,
) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.points("loss", 0, range(20_000), [1.0] * 20_000)
    writer.flush()
    tail = open_tail(tmp_path, rows=4096)
    steps = [one.step for one in read(tail)]
    assert len(steps) == 4096
    assert steps[-1] == 19_999
    assert tail.skipped_points == 20_000 - 4096
    tail.close()


def test_what_is_older_than_asked_for_is_passed_over(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    for moment in range(50):
        writer.wall_s = START_S + moment
        writer.points("loss", 0, [moment], [0.0])
    writer.samples("host/load", [1.0])
    writer.flush()
    tail = RunTail(tmp_path / "p" / "r", since_wall_s=START_S + 40)
    assert [one.step for one in read(tail)] == list(range(40, 50))
    for node in tail.visit():
        samples = list(tail.iter_new_samples(node))
        assert [(one.sensor, one.host, one.value) for one in samples] == [("host/load", "n1", 1.0)]
    tail.close()


def test_a_silent_agent_is_noticed_without_a_new_event(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.flush()
    clock = FakeClock(START_S)
    tail = RunTail(tmp_path / "p" / "r", clock=clock.clock())
    read(tail)
    assert state_of(tail) == State.RUNNING
    clock.now_s += 100
    read(tail)
    assert state_of(tail) == State.CRASHED
    assert tail.last_sign_wall_s() == START_S
    tail.close()


def test_of_ledgers_the_latest_and_of_warnings_the_newest_are_kept(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    for number in range(NOTES_MAX + 10):
        note = {"level": "info", "code": "x", "text": f"note {number}"}
        writer.event(EventKind.NOTE, note, session=session)
        writer.event(EventKind.LEDGER, {"points": number}, session=session)
    writer.flush()
    tail = open_tail(tmp_path)
    read(tail)
    texts = [one["text"] for one in tail.record.warnings]
    assert len(texts) == NOTES_MAX
    assert texts[-1] == f"note {NOTES_MAX + 9}"
    assert tail.record.ledger["points"] == NOTES_MAX + 9
    tail.close()


def test_the_last_lines_that_a_rank_printed_are_read_from_the_end(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    for rank in range(2):
        writer.start(rank, size=2)
    for number in range(3000):
        for rank in range(2):
            text = f"rank {rank} line {number}\n".encode()
            writer.file.add_event(
                EventKind.STDOUT, text, wall_s=START_S, rank=rank, session=rank, place=Place.TEXT
            )
    writer.flush()
    tail = open_tail(tmp_path)
    read(tail)
    lines = [one.text for one in tail.console_tail(1, 5)]
    assert lines == [f"rank 1 line {number}" for number in range(2995, 3000)]
    assert tail.console_tail(7, 5) == []
    tail.close()
