"""Pushing runs that go on: what is new, and nothing of files in which nobody has written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpctrack.core.layout import run_folder
from hpctrack.store.record import State
from hpctrack.store.store import Store
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import PushResult, Status
from hpctrack.sync.wire.messages import ItemKind
from tests.replicas import read_rows, write_some
from tests.stores import FakeClock, NodeWriter


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


def send(there: Path, here: Path, clock: FakeClock) -> PushResult:
    return push(there, str(here), clock=clock.clock())


def statuses(result: PushResult) -> dict[ItemKind, Status]:
    return {one.key.kind: one.status for one in result.items}


def write(writer: NodeWriter, clock: FakeClock, number: int) -> Path:
    write_some(writer, number)
    clock.now_s = writer.wall_s + 1
    return writer.file.path


@pytest.mark.slow
def test_a_run_that_goes_on_grows_there_and_is_sealed_at_its_end(
    there: Path, here: Path, clock: FakeClock
) -> None:
    writer = NodeWriter(there)
    session = writer.start(0)
    folder = run_folder(here, "p", "r")
    for number in range(3):
        path = write(writer, clock, number)
        assert statuses(send(there, here, clock)) == {ItemKind.LIVE: Status.GROWN}
        assert read_rows(folder / path.name) == read_rows(path)
        run = Store(here, clock=FakeClock(9e9).clock(), index=False).run("r")
        assert (run.record.state, run.synced_wall_s) == (State.RUNNING, clock.now_s)
        run.close()
    writer.end(0, session)
    writer.close()
    assert statuses(send(there, here, clock)) == {ItemKind.RUN: Status.SENT}
    assert [one.name for one in folder.iterdir()] == ["run.h5"]
    assert Store(here, index=False).run("r").record.state == State.FINISHED


def test_a_file_in_which_nobody_has_written_is_not_looked_into(
    there: Path, here: Path, clock: FakeClock
) -> None:
    writer = NodeWriter(there)
    session = writer.start(0)
    path = write(writer, clock, 0)
    send(there, here, clock)
    synced_wall_s = clock.now_s
    status, whole = path.stat(), path.read_bytes()
    with path.open("r+b") as file:  # whoever opens it now finds that out
        file.write(bytes(4096))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    clock.now_s += 30
    result = send(there, here, clock)
    assert statuses(result) == {ItemKind.LIVE: Status.PRESENT}
    assert Store(here, index=False).run("r").synced_wall_s == synced_wall_s
    with path.open("r+b") as file:
        file.write(whole[:4096])
    write(writer, clock, 1)
    assert statuses(send(there, here, clock)) == {ItemKind.LIVE: Status.GROWN}
    writer.end(0, session)
    writer.close()


def test_a_run_that_falls_silent_is_looked_into_again(
    there: Path, here: Path, clock: FakeClock
) -> None:
    writer = NodeWriter(there)
    writer.start(0)
    write(writer, clock, 0)
    send(there, here, clock)
    clock.now_s += 30
    assert statuses(send(there, here, clock)) == {ItemKind.LIVE: Status.PRESENT}
    clock.now_s += 60
    assert statuses(send(there, here, clock)) == {ItemKind.RUN: Status.SENT}
    assert Store(here, index=False).run("r").record.state == State.CRASHED


@pytest.mark.slow
def test_a_node_that_is_lost_is_news_though_its_file_is_the_same(
    there: Path, here: Path, clock: FakeClock
) -> None:
    writers = [NodeWriter(there, node=node) for node in range(2)]
    for rank, writer in enumerate(writers):
        writer.start(rank, size=2)
        write(writer, clock, 0)
    send(there, here, clock)
    for number in range(1, 4):
        writers[0].wall_s += 40
        write(writers[0], clock, number)
        send(there, here, clock)
        run = Store(here, clock=FakeClock(9e9).clock(), index=False).run("r")
        states = [one.state for one in run.record.ranks]
        lost = State.LOST if number > 1 else State.RUNNING
        assert states == [State.RUNNING, lost]
        run.close()


def test_another_place_gets_what_it_does_not_have(
    there: Path, here: Path, clock: FakeClock, tmp_path: Path
) -> None:
    writer = NodeWriter(there)
    writer.start(0)
    path = write(writer, clock, 0)
    other = tmp_path / "other"
    for target in (here, other, here):
        send(there, target, clock)
    for target in (here, other):
        assert read_rows(run_folder(target, "p", "r") / path.name) == read_rows(path)
    writer.close()
