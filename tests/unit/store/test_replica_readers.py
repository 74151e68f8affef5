"""Runs of another machine, as readers here see them: growing, and as of the last look there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpctrack.core.clock import Clock
from hpctrack.core.layout import run_folder
from hpctrack.errors import BusyError
from hpctrack.store.record import State
from hpctrack.store.repair import Deed, repair_run
from hpctrack.store.replica import drop_replicas, read_replicas
from hpctrack.store.replica_states import hold_replicas
from hpctrack.store.run_tail import RunTail
from hpctrack.store.seal import seal_run
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.store import Store
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify import verify_run
from hpctrack.sync.sending.tails import TailReader
from tests.replicas import Appender, read_rows, sync_node_file, write_some
from tests.stores import START_S, FakeClock, NodeWriter

DAY_S = 86_400.0
CLOCKS_S = [-DAY_S, 0.0, DAY_S]
"""How much the clock here is ahead of the one of the machine that the run is on."""


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = run_folder(tmp_path / "here", "p", "r")
    found.mkdir(parents=True)
    return found


@pytest.fixture
def appender(folder: Path) -> Iterator[Appender]:
    with Appender(folder) as found:
        yield found


def clock_ahead(ahead_s: float) -> Clock:
    return FakeClock(START_S + ahead_s).clock()


def read_state(folder: Path, *, ahead_s: float = 0.0) -> State:
    run = StoredRun(folder, clock=clock_ahead(ahead_s))
    state = run.record.state
    run.close()
    tail = RunTail(folder, clock=clock_ahead(ahead_s))
    for _node in tail.visit():
        pass
    assert tail.record.state == state
    tail.close()
    return state


@pytest.mark.parametrize("ahead_s", CLOCKS_S)
def test_a_run_goes_on_until_the_other_side_says_otherwise(
    there: Path, folder: Path, ahead_s: float
) -> None:
    writer = NodeWriter(there)
    session = writer.start(0)
    write_some(writer, 0)
    path, pulse_s = writer.file.path, writer.wall_s
    sync_node_file(path, folder, as_of_wall_s=pulse_s + 5)
    assert read_state(folder, ahead_s=ahead_s) == State.RUNNING
    run = StoredRun(folder, clock=clock_ahead(ahead_s))
    assert run.synced_wall_s == pulse_s + 5
    assert run.lost == ()
    with pytest.raises(BusyError, match="running"):
        seal_run(folder, clock=clock_ahead(ahead_s))
    sync_node_file(path, folder, as_of_wall_s=pulse_s + 100)
    run.refresh()
    assert (run.record.state, run.synced_wall_s) == (State.CRASHED, pulse_s + 100)
    run.close()
    assert read_state(folder, ahead_s=ahead_s) == State.CRASHED
    # It was only stopped for a while.
    write_some(writer, 1)
    sync_node_file(path, folder, as_of_wall_s=writer.wall_s + 1)
    assert read_state(folder, ahead_s=ahead_s) == State.RUNNING
    writer.end(0, session)
    writer.close()
    sync_node_file(path, folder, as_of_wall_s=writer.wall_s + 1)
    assert read_state(folder, ahead_s=ahead_s) == State.FINISHED


def test_readers_that_stay_open_follow_a_replica_through_its_writers(
    there: Path, folder: Path, appender: Appender
) -> None:
    writer = NodeWriter(there)
    session = writer.start(0)
    chance = random.Random(3)
    run: StoredRun | None = None
    path = writer.file.path
    for number in range(12):
        write_some(writer, number)
        if number % 3 == 2:
            _kill_one(appender, path, chance)
        appender.sync(path, as_of_wall_s=writer.wall_s)
        run = run or StoredRun(folder, clock=clock_ahead(DAY_S))
        run.refresh()
        assert run.record.state == State.RUNNING
        assert run.metric("loss").rank(0).step.tolist() == list(range(300 * (number + 1)))
        assert len(run.media()) == number + 1
        text = "".join(f"line {one}\n" * 20 for one in range(number + 1))
        assert [one.text for one in run.console(rank=0)] == text.splitlines()
    assert run is not None
    writer.end(0, session)
    writer.close()
    appender.sync(path, as_of_wall_s=writer.wall_s)
    run.refresh()
    assert run.record.state == State.FINISHED
    run.close()
    assert read_rows(folder / path.name) == read_rows(path)


def _kill_one(appender: Appender, path: Path, chance: random.Random) -> None:
    known = read_replicas(appender.folder)
    since = known[path.name].rows if known else {}
    with TailReader(path) as reader:
        (tail,) = reader.iter_tails(since, START_S)
    appender.append(path.name, tail, kill_at=chance.randrange(230, 400))


def test_watching_goes_on_where_it_was_when_a_replica_is_made_anew(
    there: Path, folder: Path, appender: Appender
) -> None:
    writer = NodeWriter(there)
    writer.start(0)
    chance = random.Random(5)
    tail: RunTail | None = None
    steps: list[int] = []
    inode, made_anew = 0, 0
    for number in range(14):
        write_some(writer, number)
        path = writer.file.path
        if number % 2:
            _kill_one(appender, path, chance)
            if tail is not None:
                steps += _read_loss(tail)
        appender.sync(path, as_of_wall_s=writer.wall_s)
        made_anew += (folder / path.name).stat().st_ino not in {inode, 0}
        inode = (folder / path.name).stat().st_ino
        tail = tail or RunTail(folder, clock=clock_ahead(DAY_S), rows=None)
        steps += _read_loss(tail)
        assert steps == list(range(300 * (number + 1)))
        assert tail.record.state == State.RUNNING
        assert tail.synced_wall_s == writer.wall_s
        assert len(tail.record.ranks) == 1
        assert not tail.has_missed
    assert made_anew > 2
    assert tail is not None
    tail.close()
    writer.close()


def _read_loss(tail: RunTail) -> list[int]:
    return [
        one.step
        for node in tail.visit()
        for one in tail.iter_new_points(node)
        if one.metric == "loss"
    ]


def test_all_files_of_all_nodes_and_attempts_are_one_run(there: Path, folder: Path) -> None:
    """A roll-over, two nodes, and a requeue after the first attempt was sealed."""
    first = NodeWriter(there, wall_s=START_S)
    first.points("loss", 0, range(5), [0.0] * 5)
    first.end(0, first.start(0), 1)
    first.close()
    seal_run(there / "p" / "r", clock=clock_ahead(DAY_S))
    (folder / "run.h5").write_bytes((there / "p" / "r" / "run.h5").read_bytes())
    writers = [
        NodeWriter(there, node=node, attempt=2, wall_s=START_S + 100 + later)
        for node in range(2)
        for later in range(2)
    ]
    for number, writer in enumerate(writers):
        rank = writer.node
        writer.start(rank, size=2)
        steps = range(3 + 2 * (number % 2), 5 + 2 * (number % 2))
        writer.points("loss", rank, steps, [float(number)] * len(steps))
        writer.flush() if number % 2 else writer.close()
        sync_node_file(writer.file.path, folder, as_of_wall_s=START_S + 110)
    run, original = (
        StoredRun(one, clock=clock_ahead(ahead_s))
        for one, ahead_s in ((folder, DAY_S), (there / "p" / "r", 110.0))
    )
    for one in (run, original):
        assert (one.record.state, one.record.attempts, one.record.size) == (State.RUNNING, 2, 2)
        assert one.metric("loss").rank(0).step.tolist() == [0, 1, 2, 3, 4, 5, 6]
        assert one.metric("loss").rank(1).step.tolist() == [3, 4, 5, 6]
    assert run.record.ranks == original.record.ranks
    assert (run.synced_wall_s, original.synced_wall_s) == (START_S + 110, None)
    assert not run.is_sealed
    for one in (run, original):
        one.close()
    names = drop_replicas(folder, {one.uuid for one in read_replicas(folder).values()})
    assert len(names) == 4
    assert sorted(one.name for one in folder.iterdir()) == ["run.h5"]


def test_a_listing_has_runs_of_both_kinds(there: Path, folder: Path) -> None:
    writer = NodeWriter(there)
    writer.start(0)
    write_some(writer, 0)
    sync_node_file(writer.file.path, folder, as_of_wall_s=START_S + 5)
    mine = NodeWriter(folder.parents[1], run="mine")
    mine.end(0, mine.start(0))
    mine.close()
    store = Store(folder.parents[1], clock=clock_ahead(DAY_S), index=False)
    assert {run.id: (run.record.state, run.synced_wall_s) for run in store.runs()} == {
        "r": (State.RUNNING, START_S + 5),
        "mine": (State.FINISHED, None),
    }


def test_a_replica_of_a_run_that_has_ended_can_be_sealed(there: Path, folder: Path) -> None:
    writer = NodeWriter(there)
    session = writer.start(0)
    write_some(writer, 0)
    writer.end(0, session)
    writer.close()
    sync_node_file(writer.file.path, folder, as_of_wall_s=START_S + 5)
    with hold_replicas(folder), pytest.raises(BusyError, match="replicas"):
        seal_run(folder, clock=clock_ahead(-DAY_S))  # somebody adds to it
    seal_run(folder, clock=clock_ahead(-DAY_S))
    seal_run(writer.file.path.parent, clock=clock_ahead(DAY_S))
    here, original = (SealedReader(one / "run.h5") for one in (folder, writer.file.path.parent))
    assert here.node_ids() == original.node_ids()
    steps = [one.read_columns()["loss"].step.tolist() for one in (here, original)]
    assert steps[0] == steps[1] == list(range(300))
    assert [one.name for one in folder.iterdir()] == ["run.h5"]
    assert StoredRun(folder).synced_wall_s is None


def test_a_check_finds_nothing_wrong_and_a_repair_leaves_replicas_alone(
    there: Path, folder: Path
) -> None:
    writer = NodeWriter(there)
    writer.start(0)
    write_some(writer, 0)
    sync_node_file(writer.file.path, folder, as_of_wall_s=START_S + 5)
    (folder / ".owner").write_text("alice\n")
    clock = clock_ahead(DAY_S)
    report = verify_run(folder, clock=clock)
    assert [one.what for one in report.findings] == [
        "a copy of another machine's: is being written"
    ]
    assert repair_run(folder, clock=clock).actions == []
    path = folder / writer.file.path.name
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    (action,) = repair_run(folder, clock=clock).actions
    assert action.deed == Deed.LEFT
    assert "it is a copy" in action.text
    (action,) = repair_run(folder, clock=clock, force=True).actions
    assert action.deed in {Deed.SALVAGED, Deed.SET_ASIDE}
    assert read_replicas(folder) == {}
