"""Rows of runs that go on: what becomes a replica, and what is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from hpctrack import Store
from hpctrack.core.layout import NodeFileName
from hpctrack.store.seal import seal_run
from hpctrack.store.tails import Piece, Tail
from hpctrack.sync.sending.tails import TailReader
from hpctrack.sync.wire.messages import ItemKind, Key, Outcome, Result, Rows, Wish
from tests.replicas import read_rows, write_some
from tests.stores import START_S, FakeClock, NodeWriter
from tests.unit.sync.conftest import Connect, Peer
from tests.unit.sync.made_stores import Item, hash_files, make_item, make_sweep

LOOKED_S = START_S + 10


@pytest.fixture
def live(tmp_path: Path) -> NodeWriter:
    writer = NodeWriter(tmp_path / "there", project="digits", run="one")
    writer.start(0)
    write_some(writer, 0, points=20)
    return writer


def make_key(writer: NodeWriter) -> Key:
    return Key(ItemKind.LIVE, writer.project, writer.run, writer.file.path.name)


def read_tail(writer: NodeWriter, since: dict[str, int] | None = None) -> Tail:
    with TailReader(writer.file.path) as reader:
        (tail,) = reader.iter_tails(since or {}, LOOKED_S)
    return tail


def ask(peer: Peer, writer: NodeWriter) -> int:
    return peer.ask_for(Item(make_key(writer), b"a state"))


def give(peer: Peer, number: int, tail: Tail, sha256: bytes | None = None) -> Result:
    digest = hashlib.sha256(b"".join(one.data for one in tail.pieces)).digest()
    peer.send(Rows(number, sha256 or digest, tail))
    return peer.expect_result(number)


def test_rows_become_a_run_that_goes_on_and_grows(
    connect: Connect, live: NodeWriter, target: Path
) -> None:
    peer = connect().greet()
    number, tail = ask(peer, live), read_tail(live)
    assert give(peer, number, tail).outcome == Outcome.APPENDED
    # Rows that are there already are passed over.
    assert give(peer, number, tail).outcome == Outcome.APPENDED
    path = target / "digits/one" / live.file.path.name
    assert read_rows(path) == read_rows(live.file.path)
    answer = peer.offer(Item(make_key(live), b"another state"))
    assert answer.wishes == bytes([Wish.CONTINUED])
    assert answer.details[0] == {"uuid": tail.state.uuid, "rows": dict(tail.state.rows)}
    write_some(live, 1, points=20)
    assert give(peer, 1, read_tail(live, dict(tail.state.rows))).outcome == Outcome.APPENDED
    peer.finish()
    assert read_rows(path) == read_rows(live.file.path)
    (run,) = Store(target, clock=FakeClock(START_S + 1000).clock()).runs()
    assert run.state == "running"
    run.close()


def with_pieces(tail: Tail, *pieces: Piece) -> Tail:
    return replace(tail, pieces=pieces)


def leave_a_gap(tail: Tail) -> Tail:
    return with_pieces(tail, *(replace(one, start=one.start + 1) for one in tail.pieces))


def send_half_a_row(tail: Tail) -> Tail:
    return with_pieces(tail, *(replace(one, data=one.data[:-1]) for one in tail.pieces))


def send_a_table_of_ones_own(tail: Tail) -> Tail:
    return with_pieces(tail, *tail.pieces, Piece("../../escape", 0, b"x"))


def claim_another_run(tail: Tail) -> Tail:
    return replace(tail, facts={**tail.facts, "run": "two"})


def claim_another_project(tail: Tail) -> Tail:
    return replace(tail, facts={**tail.facts, "project": "secret"})


def say_nothing_of_the_file(tail: Tail) -> Tail:
    return replace(tail, facts={"project": "digits", "run": "one"})


def promise_more_rows(tail: Tail) -> Tail:
    state = replace(tail.state, rows={**tail.state.rows, "points": 10**12})
    return replace(tail, state=state)


@pytest.mark.parametrize(
    ("distort", "codes"),
    [
        (leave_a_gap, {"gap"}),
        (send_half_a_row, {"rows"}),
        (send_a_table_of_ones_own, {"rows"}),
        (claim_another_run, {"other-run"}),
        (claim_another_project, {"other-run"}),
        (say_nothing_of_the_file, {"rows"}),
        (promise_more_rows, {"gap", "rows"}),
    ],
)
def test_rows_that_cannot_be_are_refused_and_the_connection_goes_on(
    connect: Connect, live: NodeWriter, target: Path, distort: object, codes: set[str]
) -> None:
    peer = connect().greet()
    number = ask(peer, live)
    answer = give(peer, number, distort(read_tail(live)))  # type: ignore[operator]
    assert answer.outcome == Outcome.REFUSED
    assert answer.code in codes
    assert peer.give(make_sweep()).outcome == Outcome.PUBLISHED
    assert give(peer, number, read_tail(live)).outcome == Outcome.APPENDED
    peer.finish()
    path = target / "digits/one" / live.file.path.name
    assert read_rows(path) == read_rows(live.file.path)


def test_rows_that_were_changed_on_the_way_are_refused(connect: Connect, live: NodeWriter) -> None:
    peer = connect().greet()
    number = ask(peer, live)
    assert give(peer, number, read_tail(live), bytes(32)).code == "hash-mismatch"
    assert give(peer, number, read_tail(live)).outcome == Outcome.APPENDED
    peer.finish()


def test_a_sealed_file_takes_the_place_of_the_replicas_that_went_into_it(
    connect: Connect, live: NodeWriter, target: Path
) -> None:
    peer = connect().greet()
    give(peer, ask(peer, live), read_tail(live))
    live.end(0, 0)
    folder = live.close().parent
    seal_run(folder)
    later = NodeWriter(live.store, project="digits", run="one", attempt=2)
    later.start(0)
    write_some(later, 0, points=5)
    give(peer, ask(peer, later), read_tail(later))
    sealed = make_item(folder / "run.h5")
    assert peer.give(sealed).outcome == Outcome.PUBLISHED
    names = {one.name for one in (target / "digits/one").iterdir()}
    assert {one for one in names if NodeFileName.parse(one)} == {later.file.path.name}
    # Rows that are in a sealed file are not wanted any more.
    answer = peer.offer(Item(make_key(live), b"a state"))
    assert answer.wishes == bytes([Wish.CONTINUED])
    assert read_tail(later).state.uuid not in answer.details[0]["sealed"]
    assert len(answer.details[0]["sealed"]) == 1
    peer.finish()
    assert hash_files(target)["digits/one/run.h5"] == sealed.digest.hex()
    later.close()


def test_a_node_file_of_the_servers_own_is_nobodys_replica(
    connect: Connect, live: NodeWriter, target: Path
) -> None:
    (target / "digits/one").mkdir(parents=True)
    path = target / "digits/one" / live.file.path.name
    path.write_bytes(live.file.path.read_bytes())
    before = path.read_bytes()
    peer = connect().greet()
    answer = peer.offer(Item(make_key(live), b"a state"))
    assert answer.wishes == bytes([Wish.REFUSED])
    assert answer.details[0]["code"] == "live"
    peer.finish()
    assert path.read_bytes() == before


def test_a_replica_of_which_nothing_is_noted_any_more_is_continued(
    connect: Connect, live: NodeWriter, target: Path
) -> None:
    peer = connect().greet()
    give(peer, ask(peer, live), read_tail(live))
    (target / "digits/one/.replica.json").unlink()
    answer = peer.offer(Item(make_key(live), b"a state"))
    assert answer.details[0]["rows"] == {}
    assert give(peer, 1, read_tail(live)).outcome == Outcome.APPENDED
    peer.finish()
    path = target / "digits/one" / live.file.path.name
    assert read_rows(path) == read_rows(live.file.path)


def test_rows_that_come_after_their_sealed_file_do_not_bring_the_run_back_to_life(
    connect: Connect, live: NodeWriter, target: Path
) -> None:
    slow, quick = connect().greet(), connect().greet()
    number, tail = ask(slow, live), read_tail(live)
    live.end(0, 0)
    folder = live.close().parent
    seal_run(folder)
    sealed = make_item(folder / "run.h5")
    assert quick.give(sealed).outcome == Outcome.PUBLISHED
    assert give(slow, number, tail).outcome == Outcome.PRESENT
    for peer in (slow, quick):
        peer.finish()
    assert not list((target / "digits/one").glob("node-*"))
    assert hash_files(target)["digits/one/run.h5"] == sealed.digest.hex()
