"""Large files: sent in pieces, continued at the byte, by several senders at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpctrack.sync.receiving.quarantine import Partial
from hpctrack.sync.wire.messages import Begin, Data, End, File, Offer, Outcome, Wish
from tests.unit.sync.conftest import Connect, Peer
from tests.unit.sync.made_stores import hash_files, make_blob, make_item

BLOB = make_blob(bytes(range(256)) * 4000)
TOKEN = BLOB.digest[:16].hex()


@pytest.fixture
def part(target: Path) -> Path:
    """Where the part of the blob lies."""
    return target / ".incoming/partial" / TOKEN


def send_beginning(peer: Peer, end: int) -> None:
    """Send the first bytes of the blob and vanish."""
    peer.greet().begin(peer.ask_for(BLOB), BLOB, end=end)
    peer.leave()


def test_it_goes_on_at_the_byte_where_it_was_cut(
    connect: Connect, target: Path, part: Path
) -> None:
    send_beginning(connect(), 100_001)
    assert part.stat().st_size == 100_001
    peer = connect().greet()
    answer = peer.offer(BLOB)
    assert answer.wishes == bytes([Wish.CONTINUED])
    assert answer.details == {0: {"offset_bytes": 100_001}}
    peer.begin(0, BLOB, offset_bytes=100_001)
    peer.send(End(0, BLOB.digest))
    assert peer.expect_result(0).outcome == Outcome.PUBLISHED
    peer.finish()
    assert list(hash_files(target).values()) == [BLOB.key.id]
    assert not part.exists()


def test_it_may_begin_before_the_cut_and_what_was_behind_is_gone(
    connect: Connect, part: Path
) -> None:
    send_beginning(connect(), 100_001)
    with part.open("r+b") as file:
        file.seek(50_000)
        file.write(b"damaged by a power cut")
    peer = connect().greet()
    assert peer.give_in_pieces(BLOB, offset_bytes=50_000).outcome == Outcome.PUBLISHED
    peer.finish()


def test_a_part_that_was_damaged_is_thrown_away_and_the_next_push_sends_all(
    connect: Connect, part: Path
) -> None:
    send_beginning(connect(), 100_001)
    with part.open("r+b") as file:
        file.write(b"damaged")
    peer = connect().greet()
    assert peer.give_in_pieces(BLOB, offset_bytes=100_001).code == "hash-mismatch"
    assert not part.exists()
    assert peer.offer(BLOB).wishes == bytes([Wish.WANTED])
    peer.begin(1, BLOB)
    peer.send(End(1, BLOB.digest))
    assert peer.expect_result(1).outcome == Outcome.PUBLISHED
    peer.finish()


@pytest.mark.parametrize("offset_bytes", [1, 100_002, len(BLOB.data)])
def test_an_offset_behind_what_is_there_is_refused(
    connect: Connect, part: Path, offset_bytes: int
) -> None:
    end = 100_001 if offset_bytes > 1 else 0
    send_beginning(connect(), end)
    peer = connect().greet()
    assert peer.give_in_pieces(BLOB, offset_bytes=offset_bytes).code == "part-lost"
    assert part.stat().st_size == end
    assert peer.give_in_pieces(BLOB).outcome == Outcome.PUBLISHED
    peer.finish()


def test_another_file_than_the_one_that_was_begun_is_noticed(connect: Connect, part: Path) -> None:
    send_beginning(connect(), 100_001)
    other = make_blob(bytes(reversed(BLOB.data)))
    peer = connect().greet()
    number = peer.ask_for(BLOB)
    peer.send(Begin(number, len(other.data), 100_001), Data(other.data[100_001:]))
    peer.send(End(number, other.digest))
    assert peer.expect_result(number).code == "hash-mismatch"
    assert not part.exists()
    peer.finish()


def test_a_part_of_a_file_that_came_small_after_all_is_left_for_the_sweeper(
    connect: Connect, part: Path
) -> None:
    send_beginning(connect(), 100_001)
    peer = connect().greet()
    number = peer.ask_for(BLOB)
    peer.send(File(number, BLOB.digest, BLOB.data))
    assert peer.expect_result(number).outcome == Outcome.PUBLISHED
    peer.finish()
    assert part.exists()


def test_two_pushers_of_the_same_large_file_do_not_meet(
    connect: Connect, target: Path, part: Path
) -> None:
    first, second = connect().greet(), connect().greet()
    first.begin(first.ask_for(BLOB), BLOB, end=100_000)
    while not (part.exists() and part.stat().st_size == 100_000):
        continue
    # The part is being written: nobody is told to continue it.
    answer = second.offer(BLOB)
    assert answer.wishes == bytes([Wish.WANTED])
    second.begin(0, BLOB)
    second.send(End(0, BLOB.digest))
    assert second.expect_result(0).outcome == Outcome.PUBLISHED
    first.send(Data(BLOB.data[100_000:]), End(0, BLOB.digest))
    assert first.expect_result(0).outcome == Outcome.PRESENT
    for peer in (first, second):
        peer.finish()
    assert list(hash_files(target).values()) == [BLOB.key.id]
    assert not list((target / ".incoming/partial").iterdir())


def test_who_wants_to_continue_what_another_one_is_sending_comes_later(
    connect: Connect, target: Path, part: Path
) -> None:
    send_beginning(connect(), 100_000)
    first, second = connect().greet(), connect().greet()
    assert first.ask_for(BLOB) == second.ask_for(BLOB) == 0
    first.begin(0, BLOB, offset_bytes=100_000, end=200_000)
    while part.stat().st_size < 200_000:
        continue
    second.begin(0, BLOB, offset_bytes=100_000)
    second.send(End(0, BLOB.digest))
    assert second.expect_result(0).code == "busy"
    first.send(Data(BLOB.data[200_000:]), End(0, BLOB.digest))
    assert first.expect_result(0).outcome == Outcome.PUBLISHED
    for peer in (first, second):
        peer.finish()
    assert list(hash_files(target).values()) == [BLOB.key.id]


def test_a_file_that_was_published_between_opening_and_locking_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    folder, place = tmp_path / "partial", tmp_path / "published"
    folder.mkdir()
    (folder / TOKEN).write_bytes(BLOB.data)
    real = fcntl.flock
    calls: list[int] = []

    def publish_first(fd: int, how: int) -> None:
        """Do what the one who had the lock does just before this one gets it."""
        if not calls:
            (folder / TOKEN).rename(place)
        calls.append(fd)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", publish_first)
    folder_fd = os.open(folder, os.O_RDONLY)
    partial = Partial(folder_fd, folder, TOKEN, 0)
    partial.write(b"mine")
    assert place.read_bytes() == BLOB.data
    assert (folder / TOKEN).read_bytes() == b"mine"
    partial.close()
    os.close(folder_fd)
    assert len(calls) == 2


def test_the_same_large_bytes_for_several_places_at_once(connect: Connect, target: Path) -> None:
    copies = [make_blob(BLOB.data, project) for project in ("digits", "more", "most")]
    peer = connect().greet()
    peer.send(Offer(tuple(one.offered() for one in copies)))
    assert peer.talk.receive().wishes == bytes(3)  # type: ignore[union-attr]
    for number, one in enumerate(copies):
        peer.begin(number, one)
        peer.send(End(number, one.digest))
    assert [one.outcome for one in peer.expect_results(3)] == [Outcome.PUBLISHED] * 3
    peer.finish()
    assert set(hash_files(target).values()) == {BLOB.key.id}
    assert len(hash_files(target)) == 3


def test_a_part_that_is_a_link_is_not_written_through(
    connect: Connect, part: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    part.parent.mkdir(parents=True)
    part.symlink_to(victim)
    peer = connect().greet()
    assert peer.offer(BLOB).wishes == bytes([Wish.WANTED])
    assert peer.give_in_pieces(BLOB).code == "unwritable"
    peer.finish()
    assert victim.read_text() == "precious"


def test_a_sealed_run_in_pieces_is_checked_like_any_other(
    connect: Connect, template: Path, target: Path
) -> None:
    item = make_item(template / "digits/one/run.h5")
    peer = connect().greet()
    peer.begin(peer.ask_for(item), item, end=1000)
    peer.leave()
    peer = connect().greet()
    assert peer.give_in_pieces(item, offset_bytes=1000).outcome == Outcome.PUBLISHED
    peer.finish()
    assert hash_files(target) == {"digits/one/run.h5": item.digest.hex()}
