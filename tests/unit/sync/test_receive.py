"""Single items, honest and not: what is published, what is refused, and that the rest goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from hpctrack import Store
from hpctrack.store import accounting_file
from hpctrack.sync.wire.messages import (
    Begin,
    Data,
    End,
    File,
    ItemKind,
    Key,
    Offer,
    Outcome,
    Result,
    Wish,
)
from hpctrack.sync.wire.protocol import HEADER
from tests.unit.sync.conftest import Connect, Peer
from tests.unit.sync.made_stores import (
    Item,
    hash_files,
    list_below,
    list_news,
    log_runs,
    make_blob,
    make_item,
    make_sweep,
)

Give = Callable[[Peer, Item], Result]

both_ways = pytest.mark.parametrize("give", [Peer.give, Peer.give_in_pieces], ids=["file", "data"])


@both_ways
def test_a_run_is_published_and_readable(
    connect: Connect, template: Path, target: Path, give: Give
) -> None:
    peer = connect().greet()
    item = make_item(template / "digits/one/run.h5")
    assert give(peer, item).outcome == Outcome.PUBLISHED
    peer.finish()
    (run,) = Store(target).runs()
    assert run.metric("loss").values.tolist() == [1 / (step + 1) for step in range(20)]
    assert list_news(target) == {"digits", "digits/one", "digits/one/run.h5"}


def test_what_is_there_is_not_wanted_and_what_is_not_is(connect: Connect, template: Path) -> None:
    mine = make_item(template / "digits/one/run.h5")
    missing = replace(mine, key=replace(mine.key, id="absent"))
    peer = connect().greet()
    assert peer.offer(mine, missing).wishes == bytes([Wish.WANTED, Wish.WANTED])
    peer.send(File(0, mine.digest, mine.data))
    assert peer.expect_result(0).outcome == Outcome.PUBLISHED
    answer = peer.offer(missing, mine)
    assert answer.wishes == bytes([Wish.WANTED, Wish.PRESENT])
    assert not answer.details
    peer.finish()


def test_a_file_that_the_sender_has_not_read_is_compared_by_the_receivers_hash(
    connect: Connect, template: Path
) -> None:
    item, other = (make_item(template / f"digits/{name}/run.h5") for name in ("one", "two"))
    peer = connect().greet()
    peer.give(item)
    answer = peer.offer(item, other, is_hashed=False)
    assert answer.wishes == bytes([Wish.CONTINUED, Wish.WANTED])
    assert answer.details == {0: {"sha256": item.digest.hex()}}
    peer.finish()


def test_asking_alone_makes_no_store(connect: Connect, template: Path, target: Path) -> None:
    peer = connect().greet()
    assert peer.offer(make_item(template / "digits/one/run.h5")).wishes == bytes([Wish.WANTED])
    peer.finish()
    assert not target.exists()


BAD_NAMES = [
    ("../escape", "one"),
    ("digits", "../../escape"),
    ("digits", ".."),
    ("/etc", "one"),
    ("digits", "/tmp/escape"),
    (".incoming", "one"),
    ("digits", ".sweeps"),
    ("digits", "a\x00b"),
    ("", "one"),
    ("digits", ""),
    ("digits", "r" * 65),
    ("digits", "\u202eeno"),
]


@pytest.mark.parametrize("kind", [one for one in ItemKind if one != ItemKind.UNKNOWN])
def test_a_name_that_leads_elsewhere_is_refused(
    connect: Connect, tmp_path: Path, kind: ItemKind
) -> None:
    before = list_below(tmp_path)
    node = "node-0000.a1-00000000.h5" if kind == ItemKind.LIVE else ""
    items = [Item(Key(kind, *names, part=node), b"x") for names in BAD_NAMES]
    items.append(Item(Key(kind, "digits", "one", part="../run.h5"), b"x"))
    peer = connect().greet()
    answer = peer.offer(*items)
    assert set(answer.wishes) == {Wish.REFUSED}
    assert {one["code"] for one in answer.details.values()} == {"bad-name"}
    peer.finish()
    assert list_below(tmp_path) == before


@pytest.mark.parametrize("part", ["run.h5", "node-0000.a1-0.h5", "node-0000.a1-0000000G.h5", ""])
def test_rows_are_only_for_what_is_named_like_a_node_file(connect: Connect, part: str) -> None:
    peer = connect().greet()
    answer = peer.offer(Item(Key(ItemKind.LIVE, "digits", "one", part), b""))
    assert answer.details[0]["code"] == "bad-name"
    peer.finish()


@pytest.mark.parametrize("name", ["0" * 63, "0" * 65, "G" * 64, "A" * 64, "../" + "0" * 61])
def test_a_blob_is_named_by_a_hash(connect: Connect, name: str) -> None:
    peer = connect().greet()
    answer = peer.offer(Item(Key(ItemKind.BLOB, "digits", name), b""))
    assert answer.details[0]["code"] == "bad-name"
    peer.finish()


def test_a_thing_that_only_a_newer_sender_has_is_refused_and_the_others_are_not(
    connect: Connect,
) -> None:
    peer = connect().greet()
    strange = Item(Key(ItemKind.UNKNOWN, "digits", "one"), b"")
    answer = peer.offer(strange, make_sweep())
    assert answer.wishes == bytes([Wish.REFUSED, Wish.WANTED])
    assert answer.details[0]["code"] == "unknown-kind"
    peer.finish()


def test_a_blob_is_published_once_under_its_hash(connect: Connect, target: Path) -> None:
    blob = make_blob(b"weights")
    peer = connect().greet()
    assert peer.give(blob).outcome == Outcome.PUBLISHED
    assert peer.offer(blob).wishes == bytes([Wish.PRESENT])
    peer.finish()
    name = blob.key.id
    assert (target / "digits/.blobs" / name[:2] / name).read_bytes() == b"weights"
    assert Store(target).projects() == []


@both_ways
def test_a_sweeps_description_is_published(connect: Connect, target: Path, give: Give) -> None:
    peer = connect().greet()
    assert give(peer, make_sweep()).outcome == Outcome.PUBLISHED
    assert peer.offer(make_sweep()).wishes == bytes([Wish.PRESENT])
    assert give(peer, make_sweep(data=b'{"id": "abc", "n": 2}')).outcome == Outcome.REPLACED
    peer.finish()
    assert (target / "digits/.sweeps/abc/sweep.json").read_bytes() == b'{"id": "abc", "n": 2}'


# -- one item is bad, the next one is good --------------------------------------------------------


def lie_about_hash(peer: Peer, item: Item) -> Result:
    return peer.give(item, sha256=bytes(32))


def lie_about_hash_in_pieces(peer: Peer, item: Item) -> Result:
    number = peer.ask_for(item)
    peer.begin(number, item)
    peer.send(End(number, bytes(32)))
    return peer.expect_result(number)


def send_too_little(peer: Peer, item: Item) -> Result:
    number = peer.ask_for(item)
    peer.begin(number, item, end=len(item.data) - 1)
    peer.send(End(number, item.digest))
    return peer.expect_result(number)


def send_too_much(peer: Peer, item: Item) -> Result:
    number = peer.ask_for(item)
    peer.begin(number, item)
    peer.send(Data(b"x"), Data(b"more"), End(number, item.digest))
    return peer.expect_result(number)


def announce_too_much(peer: Peer, item: Item) -> Result:
    number = peer.ask_for(item)
    peer.send(Begin(number, 1 << 41), Data(item.data), End(number, item.digest))
    return peer.expect_result(number)


def announce_more_than_there_is_room_for(peer: Peer, item: Item) -> Result:
    number = peer.ask_for(item)
    peer.send(Begin(number, 1 << 40), Data(item.data), End(number, item.digest))
    return peer.expect_result(number)


def claim(peer: Peer, item: Item, **more: str) -> Result:
    return peer.give(replace(item, key=replace(item.key, **more)))  # type: ignore[arg-type]


def claim_another_run(peer: Peer, item: Item) -> Result:
    return claim(peer, item, id="three")


def claim_another_project(peer: Peer, item: Item) -> Result:
    return claim(peer, item, project="stolen")


def claim_a_sweep(peer: Peer, item: Item) -> Result:
    return claim(peer, item, kind=ItemKind.SWEEP)


def claim_annotations(peer: Peer, item: Item) -> Result:
    return claim(peer, replace(item, data=item.data[:1000]), kind=ItemKind.ANNOTATIONS)


def claim_a_blob(peer: Peer, item: Item) -> Result:
    return claim(peer, item, kind=ItemKind.BLOB, id="0" * 64)


def send_long_annotations(peer: Peer, item: Item) -> Result:
    return peer.give(Item(replace(item.key, kind=ItemKind.ANNOTATIONS), b"{}" + bytes(1 << 18)))


def send_a_long_accounting(peer: Peer, item: Item) -> Result:
    data = b"{}" + b" " * accounting_file.MAX_BYTES
    number = peer.ask_for(Item(replace(item.key, kind=ItemKind.ACCOUNTING), data))
    peer.send(Begin(number, len(data)), End(number, bytes(32)))
    return peer.expect_result(number)


@pytest.mark.parametrize(
    ("distort", "code"),
    [
        (lie_about_hash, "hash-mismatch"),
        (lie_about_hash_in_pieces, "hash-mismatch"),
        (send_too_little, "size-mismatch"),
        (send_too_much, "size-mismatch"),
        (announce_too_much, "too-large"),
        (announce_more_than_there_is_room_for, "no-space"),
        (claim_another_run, "other-run"),
        (claim_another_project, "other-run"),
        (claim_a_sweep, "not-a-sweep"),
        (claim_annotations, "not-annotations"),
        (claim_a_blob, "not-a-blob"),
        (send_long_annotations, "too-large"),
        (send_a_long_accounting, "too-large"),
    ],
)
def test_one_item_that_is_not_what_it_says_is_refused_and_the_next_one_taken(
    connect: Connect,
    template: Path,
    target: Path,
    distort: Callable[[Peer, Item], Result],
    code: str,
) -> None:
    peer = connect().greet()
    answer = distort(peer, make_item(template / "digits/one/run.h5"))
    assert (answer.outcome, answer.code) == (Outcome.REFUSED, code)
    assert str(target) not in str(answer)
    good = make_item(template / "digits/two/run.h5")
    assert peer.give(good).outcome == Outcome.PUBLISHED
    peer.finish()
    assert hash_files(target) == {"digits/two/run.h5": good.digest.hex()}
    assert not list((target / ".incoming").glob("*/*"))


def make_foreign_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1


def make_hollow(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["kind"], file.attrs["format"] = "hpctrack-sealed", 1
        file["record"] = b'{"id": [], "ranks": 3}'


def make_text(path: Path) -> None:
    path.write_text("#!/bin/sh\nrm -rf /\n")


def make_empty(path: Path) -> None:
    path.touch()


@both_ways
@pytest.mark.parametrize("make", [make_foreign_hdf5, make_hollow, make_text, make_empty])
def test_a_file_that_is_no_sealed_run_is_refused(
    connect: Connect, target: Path, tmp_path: Path, make: Callable[[Path], None], give: Give
) -> None:
    path = tmp_path / "digits" / "one" / "run.h5"
    path.parent.mkdir(parents=True)
    make(path)
    peer = connect().greet()
    answer = give(peer, make_item(path))
    assert (answer.outcome, answer.code) == (Outcome.REFUSED, "not-a-run")
    peer.finish()
    assert list_news(target) == set()


# -- what is in the store already -----------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("linked", ["digits", "digits/one", "digits/one/run.h5"])
def test_a_link_in_the_store_is_not_followed(
    connect: Connect, target: Path, outside: Path, linked: str, give: Give
) -> None:
    (target / linked).parent.mkdir(parents=True)
    (target / linked).symlink_to(outside / linked)
    before = hash_files(outside)
    name = "two" if linked == "digits" else "one"
    peer = connect().greet()
    assert give(peer, make_item(outside / "digits" / name / "run.h5")).code == "link"
    peer.finish()
    assert hash_files(outside) == before
    assert (target / linked).is_symlink()


@pytest.mark.parametrize("linked", [".sweeps", ".sweeps/abc", ".sweeps/abc/sweep.json"])
def test_a_link_beside_the_runs_is_not_followed(
    connect: Connect, target: Path, outside: Path, linked: str
) -> None:
    (target / "digits" / linked).parent.mkdir(parents=True)
    folder = outside if "." not in Path(linked).suffix else outside / "digits/one/run.h5"
    (target / "digits" / linked).symlink_to(folder)
    before = hash_files(outside)
    peer = connect().greet()
    assert peer.give(make_sweep()).code == "link"
    peer.finish()
    assert hash_files(outside) == before


def test_a_run_that_has_grown_replaces_the_older_one_and_never_the_reverse(
    connect: Connect, template: Path, target: Path, tmp_path: Path
) -> None:
    log_runs(tmp_path / "grown", "digits/one", points=30)
    small = make_item(template / "digits/one/run.h5")
    large = make_item(tmp_path / "grown/digits/one/run.h5")
    peer = connect().greet()
    assert peer.give(small).outcome == Outcome.PUBLISHED
    assert peer.give(large).outcome == Outcome.REPLACED
    answer = peer.give(small)
    assert (answer.outcome, answer.code) == (Outcome.REFUSED, "fewer-points")
    assert (answer.facts["points"], answer.facts["points_there"]) == (40, 60)
    peer.finish()
    assert (target / "digits/one/run.h5").read_bytes() == large.data


def test_a_broken_file_in_the_store_is_healed(
    connect: Connect, template: Path, target: Path
) -> None:
    item = make_item(template / "digits/one/run.h5")
    (target / "digits/one").mkdir(parents=True)
    (target / "digits/one/run.h5").write_bytes(item.data[:1000])
    peer = connect().greet()
    assert peer.give(item).outcome == Outcome.PUBLISHED
    peer.finish()
    assert (target / "digits/one/run.h5").read_bytes() == item.data


def test_a_run_that_is_being_recorded_there_is_left_alone(
    connect: Connect, template: Path, target: Path
) -> None:
    log_runs(target, "digits/one", points=3, seal=False)
    before = hash_files(target)
    peer = connect().greet()
    assert peer.give(make_item(template / "digits/one/run.h5")).code == "live"
    peer.finish()
    assert hash_files(target) == before


def test_a_kind_of_frame_that_a_newer_sender_knows_is_passed_over(
    connect: Connect, template: Path
) -> None:
    peer = connect().greet()
    peer.stream.write(HEADER.pack(5, 99, 0, 0) + b"hello")
    assert peer.give(make_item(template / "digits/one/run.h5")).outcome == Outcome.PUBLISHED
    peer.finish()


def test_the_same_thing_offered_and_sent_twice_is_published_once(connect: Connect) -> None:
    peer, sweep = connect().greet(), make_sweep()
    peer.send(Offer((sweep.offered(), sweep.offered())))
    assert peer.talk.receive().wishes == bytes(2)  # type: ignore[union-attr]
    digest = hashlib.sha256(sweep.data).digest()
    peer.send(File(0, digest, sweep.data), File(1, digest, sweep.data))
    outcomes = [one.outcome for one in peer.expect_results(2)]
    assert outcomes == [Outcome.PUBLISHED, Outcome.PRESENT]
    peer.finish()
