"""Who may say what when, strangers, many items at once, and what is left when somebody goes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from hpctrack.errors import ProtocolError, RefusedError
from hpctrack.store.annotation_file import edit_annotations, read_annotation_bytes
from hpctrack.sync.files.incoming_folder import ABANDONED_AFTER_S
from hpctrack.sync.receiving import receive
from hpctrack.sync.receiving.quarantine import PARTIAL_KEPT_S
from hpctrack.sync.wire.messages import (
    Answer,
    Begin,
    Data,
    Done,
    End,
    Error,
    File,
    Hello,
    ItemKind,
    Key,
    Message,
    Offer,
    Offered,
    Outcome,
    Results,
    Rows,
    Wish,
)
from hpctrack.sync.wire.packing import pack
from hpctrack.sync.wire.protocol import HEADER, MAGIC, encode
from hpctrack.sync.wire.tails import NodeState, Tail
from tests.unit.sync.conftest import ANSWER_TIMEOUT_S, Connect, Peer
from tests.unit.sync.made_stores import (
    Item,
    hash_files,
    list_below,
    list_news,
    make_blob,
    make_item,
    make_sweep,
    seal_made,
)

ASK = Offer(
    (
        Offered(Key(ItemKind.SWEEP, "digits", "s"), bytes(16)),
        Offered(Key(ItemKind.LIVE, "digits", "one", "node-0000.a1-00000000.h5"), bytes(16)),
    )
)
ROWS = Rows(0, bytes(32), Tail(facts={}, pieces=(), state=NodeState(uuid="u")))


@pytest.mark.parametrize(
    "messages",
    [
        [Data(b"x")],
        [End(0, bytes(32))],
        [Hello()],
        [Answer(b"")],
        [Results(())],
        [File(0, bytes(32), b"")],
        [Begin(0, 4)],
        [ROWS],
        [ASK, File(2, bytes(32), b"")],
        [ASK, End(0, bytes(32))],
        [ASK, Begin(0, 4), Begin(0, 4)],
        [ASK, Begin(0, 4), File(0, bytes(32), b"")],
        [ASK, Begin(0, 4), End(2, bytes(32))],
        [ASK, Begin(0, 4), ASK],
        [ASK, Begin(0, 4), Done()],
        # A sealed file is no node file, and rows are no sealed file.
        [ASK, File(1, bytes(32), b"")],
        [ASK, Begin(1, 4)],
        [ASK, ROWS],
    ],
)
def test_a_message_out_of_turn_ends_the_transfer(
    connect: Connect, target: Path, messages: list[Message]
) -> None:
    peer = connect().greet()
    peer.send(*messages)
    answer = peer.talk.receive()
    while not isinstance(answer, Error):
        assert isinstance(answer, Answer)
        answer = peer.talk.receive()
    assert answer.code == "protocol"
    peer.leave()
    assert isinstance(peer.error, ProtocolError)
    assert hash_files(target) == {}


def test_what_had_come_before_somebody_misbehaved_is_safe(connect: Connect, target: Path) -> None:
    peer, sweep = connect().greet(), make_sweep()
    number = peer.ask_for(sweep)
    peer.send(File(number, sweep.digest, sweep.data), Hello())
    peer.leave()
    assert isinstance(peer.error, ProtocolError)
    assert hash_files(target) == {"digits/.sweeps/abc/sweep.json": sweep.digest.hex()}


@pytest.mark.parametrize("body", [b"", b"GET / HTTP/1.1\r\n\r\n", MAGIC[:5], MAGIC + b"\x01"])
def test_a_stranger_is_told_nothing_but_the_greeting(
    connect: Connect, target: Path, body: bytes
) -> None:
    peer = connect()
    peer.stream.write(body)
    peer.leave()
    assert not target.exists()


BOMB = pack(bytes(1 << 24))


@pytest.mark.parametrize(
    "frame",
    [
        HEADER.pack(1 << 31, Data.kind, 0, 0),
        HEADER.pack(len(BOMB), 24, 0, 0) + BOMB,
        HEADER.pack(4, 24, 0, 0) + b"\xff\xff\xff\xff",
        HEADER.pack(3, Offer.kind, 0, 0) + b"{}\n",
    ],
)
def test_an_oversize_frame_a_bomb_and_nonsense_end_the_transfer(
    connect: Connect, frame: bytes
) -> None:
    peer = connect().greet()
    peer.stream.write(frame)
    answer = peer.talk.receive()
    assert isinstance(answer, Error)
    assert answer.code == "protocol"


def test_more_items_than_anybody_has_in_one_frame_end_the_transfer(connect: Connect) -> None:
    key = Key(ItemKind.SWEEP, "p", "s")
    peer = connect().greet()
    peer.send(Offer((Offered(key, bytes(16)),) * 100_000))
    answer = peer.talk.receive()
    assert isinstance(answer, Error)
    assert "100000 items" in str(answer.facts["what"])


def test_more_items_than_a_store_can_have_end_the_transfer(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "WANTED_MAX_ITEMS", 3)
    peer = connect().greet()
    peer.send(ASK, ASK)
    assert isinstance(peer.talk.receive(), Answer)
    answer = peer.talk.receive()
    assert isinstance(answer, Error)
    assert "more than 3 items" in str(answer.facts["what"])


@pytest.mark.parametrize("theirs", [Hello(90, 99), Hello(1, 2)])
def test_a_sender_of_another_version_is_told_ours(connect: Connect, theirs: Hello) -> None:
    peer = connect()
    peer.talk.greet()
    peer.send(theirs)
    peer.talk.expect_greeting(timeout_s=90)
    assert isinstance(peer.talk.receive(), Hello)
    assert peer.talk.receive() == Error("version", {"oldest": 3, "newest": 3})
    peer.leave()
    assert isinstance(peer.error, ProtocolError)


def test_a_sender_that_is_one_version_ahead_is_understood(connect: Connect) -> None:
    peer = connect()
    peer.talk.greet()
    peer.send(Hello(3, 4, "hpctrack 9"), Offer((make_sweep().offered(),)))
    peer.talk.expect_greeting(timeout_s=90)
    assert isinstance(peer.talk.receive(), Hello)
    assert peer.talk.receive() == Answer(bytes([Wish.WANTED]))
    peer.finish()


# -- many at once ---------------------------------------------------------------------------------


def test_results_come_in_the_order_in_which_things_came(
    connect: Connect, tmp_path: Path, target: Path
) -> None:
    runs = [make_item(seal_made(tmp_path / "made", f"r{number}")) for number in range(3)]
    good = [make_sweep(f"s{number}") for number in range(20)]
    items = [runs[0], *good[:9], runs[1], make_sweep("bad", b"no JSON"), *good[9:], runs[2]]
    peer = connect().greet()
    assert set(peer.offer(*items).wishes) == {Wish.WANTED}
    for number, one in enumerate(items):
        digest = bytes(32) if number == 5 else one.digest
        if number == 7:
            peer.begin(number, one)
            peer.send(End(number, digest))
        else:
            peer.talk.send(File(number, digest, one.data))
    found = peer.expect_results(len(items))
    assert [one.number for one in found] == list(range(len(items)))
    assert {one.number: one.code for one in found if one.code} == {
        5: "hash-mismatch",
        11: "not-a-sweep",
    }
    peer.finish()
    assert len(hash_files(target)) == len(items) - 2


def test_a_sender_that_reads_no_results_gets_them_all_in_the_end(
    connect: Connect, target: Path
) -> None:
    count = 600  # their results are more than a socket takes
    sweep = make_sweep("s", bytes(2000))
    peer = connect().greet()
    assert set(peer.offer(*[sweep] * count).wishes) == {Wish.WANTED}
    for number in range(count):
        peer.talk.send(File(number, bytes(32), sweep.data))
    found = peer.expect_results(count)
    assert [one.number for one in found] == list(range(count))
    assert {one.code for one in found} == {"hash-mismatch"}
    peer.finish()
    assert hash_files(target) == {}


def push_at_once(peers: list[Peer], items: list[Item], outcomes: list[list[Outcome]]) -> None:
    """Give the same items through several connections, step by step together."""
    barrier = threading.Barrier(len(peers))

    def work(peer: Peer) -> None:
        numbers = range(peer.next_number, peer.next_number + len(items))
        peer.offer(*items)
        barrier.wait(ANSWER_TIMEOUT_S)
        for number, item in zip(numbers, items, strict=True):
            peer.send(File(number, item.digest, item.data))
        outcomes.append([one.outcome for one in peer.expect_results(len(items))])

    threads = [threading.Thread(target=work, args=(peer,)) for peer in peers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ANSWER_TIMEOUT_S)


def test_two_pushers_of_the_same_runs_at_once_publish_each_once(
    connect: Connect, tmp_path: Path, target: Path
) -> None:
    items = [make_item(seal_made(tmp_path / "made", f"r{number}")) for number in range(8)]
    peers = [connect().greet() for _peer in range(3)]
    outcomes: list[list[Outcome]] = []
    push_at_once(peers, items, outcomes)
    for peer in peers:
        peer.finish()
    for one in zip(*outcomes, strict=True):
        assert sorted(one) == [Outcome.PRESENT, Outcome.PRESENT, Outcome.PUBLISHED]
    assert len(hash_files(target)) == len(items)


def test_two_pushers_of_two_states_of_a_run_leave_the_larger_one(
    connect: Connect, tmp_path: Path, target: Path
) -> None:
    small = make_item(seal_made(tmp_path / "made", "r"))
    large = make_item(seal_made(tmp_path / "made", "r", attempt=2))
    for number in range(4):
        first, second = connect().greet(), connect().greet()
        numbers = [first.ask_for(small), second.ask_for(large)]
        first.send(File(numbers[0], small.digest, small.data))
        second.send(File(numbers[1], large.digest, large.data))
        outcomes = [first.expect_results(1)[0].outcome, second.expect_results(1)[0].outcome]
        assert Outcome.REFUSED not in outcomes[1:]
        assert (target / "digits/r/run.h5").read_bytes() == large.data, number
        first.finish()
        second.finish()
        (target / "digits/r/run.h5").unlink()


# -- what is left ---------------------------------------------------------------------------------


def test_a_sender_that_leaves_in_mid_transfer_leaves_only_what_can_be_continued(
    connect: Connect, template: Path, target: Path
) -> None:
    peer, item = connect().greet(), make_item(template / "digits/one/run.h5")
    peer.begin(peer.ask_for(item), item, end=100)
    peer.leave()
    token = item.digest[:16].hex()
    assert list_news(target) == {f".incoming/partial/{token}"}
    assert (target / ".incoming/partial" / token).read_bytes() == item.data[:100]


def test_small_files_that_came_whole_are_published_though_their_sender_has_gone(
    connect: Connect, target: Path
) -> None:
    peer, items = connect().greet(), [make_sweep(f"s{number}") for number in range(5)]
    peer.offer(*items)
    for number, one in enumerate(items):
        peer.talk.send(File(number, one.digest, one.data))
    peer.talk.flush()
    peer.stream.write(encode(File(0, bytes(32), b"cut off"))[:-1])
    peer.leave()
    assert len(hash_files(target)) == len(items)
    assert list_below(target / ".incoming") == {"publish.lock"}


def test_uploads_abandoned_for_a_day_are_removed_and_younger_ones_kept(
    connect: Connect, target: Path
) -> None:
    old, young = target / ".incoming" / ("0" * 16), target / ".incoming" / ("1" * 16)
    foreign = target / ".incoming" / "notes"
    for folder in (old, young, foreign):
        folder.mkdir(parents=True)
        (folder / "000001").write_bytes(b"half a run")
    long_ago_s = time.time() - ABANDONED_AFTER_S - 60
    for path in (*old.iterdir(), old, *foreign.iterdir(), foreign):
        os.utime(path, (long_ago_s, long_ago_s))
    peer = connect().greet()
    peer.finish()
    assert not old.exists()
    assert (young / "000001").exists()
    assert (foreign / "000001").exists()


def test_parts_of_large_files_wait_for_a_week(connect: Connect, target: Path) -> None:
    folder = target / ".incoming/partial"
    folder.mkdir(parents=True)
    ages_s = {"0" * 32: PARTIAL_KEPT_S + 60, "1" * 32: PARTIAL_KEPT_S - 60, "notes": 1e9}
    for name, age_s in ages_s.items():
        (folder / name).write_bytes(b"half a run")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    connect().greet().finish()
    assert sorted(one.name for one in folder.iterdir()) == ["1" * 32, "notes"]


def test_a_store_below_a_missing_folder_is_refused_without_its_path(tmp_path: Path) -> None:
    peer = Peer(tmp_path / "absent" / "store").greet()
    assert peer.talk.receive() == Error("no-parent")
    peer.leave()
    assert not (tmp_path / "absent").exists()


def test_a_file_in_place_of_the_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    peer = Peer(tmp_path / "file").greet()
    assert peer.talk.receive() == Error("not-a-folder")
    peer.leave()


@pytest.mark.parametrize("name", [".incoming", ".server"])
def test_a_folder_of_ours_that_is_a_link_ends_the_transfer(
    connect: Connect, target: Path, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target.mkdir()
    (target / name).symlink_to(elsewhere)
    peer, blob = connect().greet(), make_blob(b"x")
    number = peer.ask_for(blob)
    peer.send(File(number, blob.digest, blob.data))
    assert peer.talk.receive() == Error("store-unwritable")
    peer.leave()
    assert isinstance(peer.error, RefusedError)
    assert list_below(elsewhere) == set()


def test_long_annotations_of_many_runs_fit_into_frames_and_all_arrive(
    connect: Connect, tmp_path: Path, target: Path
) -> None:
    # Quotes and line ends take two characters in JSON, and four in JSON in JSON.
    notes = '"\n' * 15_000
    source, count = tmp_path / "made", 24
    for number in range(count):
        (source / "digits" / f"r{number}").mkdir(parents=True)
        edit_annotations(source, "digits", f"r{number}", notes=notes)
    items = []
    for number in range(count):
        data = read_annotation_bytes(source, "digits", f"r{number}")
        assert data is not None
        items.append(Item(Key(ItemKind.ANNOTATIONS, "digits", f"r{number}"), data))
    peer = connect().greet()
    for number, one in enumerate(items):
        (target / one.key.project / one.key.id).mkdir(parents=True, exist_ok=True)
        assert peer.ask_for(one) == number
    for number, one in enumerate(items):
        peer.talk.send(File(number, one.digest, one.data))
    assert {one.outcome for one in peer.expect_results(count)} == {Outcome.MERGED}
    runs = [Item(Key(ItemKind.RUN, "digits", f"r{number}"), b"") for number in range(count)]
    known = 0
    while known < count:
        answer = peer.offer(*items[:known], *runs)
        told = [one for one in answer.details.values() if "annotations" in one]
        assert told
        known += len(told)
    peer.finish()
