"""What a key may do is decided on this side, item by item."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.wire.messages import End, File, ItemKind, Key, Outcome, Wish
from tests.unit.sync.conftest import Connect
from tests.unit.sync.made_stores import (
    Item,
    hash_files,
    make_blob,
    make_item,
    make_sweep,
    seal_made,
)


def test_a_key_for_one_project_gives_nothing_to_another_and_learns_nothing_of_it(
    connect: Connect, tmp_path: Path, target: Path
) -> None:
    mine = make_item(seal_made(tmp_path / "made", "r"))
    theirs = make_item(seal_made(tmp_path / "made", "r", project="secret"))
    first = connect().greet()
    first.give(theirs)
    first.finish()
    before = hash_files(target)
    peer = connect(policy=Policy(projects=("digits", "more"))).greet()
    answer = peer.offer(theirs, replace(theirs, key=replace(theirs.key, id="absent")), mine)
    assert answer.wishes == bytes([Wish.REFUSED, Wish.REFUSED, Wish.WANTED])
    refusal = {"code": "other-project", "facts": {"projects": "digits, more"}}
    assert answer.details == {0: refusal, 1: refusal}
    assert peer.give(mine).outcome == Outcome.PUBLISHED
    peer.finish()
    assert hash_files(target).items() > before.items()


def test_the_bytes_of_another_project_are_not_a_way_around(
    connect: Connect, tmp_path: Path
) -> None:
    theirs = make_item(seal_made(tmp_path / "made", "r", project="secret"))
    peer = connect(policy=Policy(projects=("digits",))).greet()
    answer = peer.give(replace(theirs, key=replace(theirs.key, project="digits")))
    assert answer.code == "other-run"
    peer.finish()


ALICE, BOB = Policy(user="alice"), Policy(user="bob")


def test_the_first_who_sends_a_run_owns_it(connect: Connect, tmp_path: Path, target: Path) -> None:
    small = make_item(seal_made(tmp_path / "made", "r"))
    large = make_item(seal_made(tmp_path / "made", "r", attempt=2))
    alice = connect(policy=ALICE).greet()
    assert alice.give(small).outcome == Outcome.PUBLISHED
    assert (target / "digits/r/.owner").read_text() == "alice\n"
    bob = connect(policy=BOB).greet()
    answer = bob.offer(large, make_sweep(), make_blob(b"x"))
    assert answer.wishes == bytes([Wish.REFUSED, Wish.WANTED, Wish.WANTED])
    assert answer.details == {0: {"code": "other-user", "facts": {"owner": "alice"}}}
    bob.finish()
    assert alice.give(large).outcome == Outcome.REPLACED
    alice.finish()
    assert (target / "digits/r/run.h5").read_bytes() == large.data


def test_who_was_asked_for_a_run_may_still_come_too_late(
    connect: Connect, tmp_path: Path, target: Path
) -> None:
    item = make_item(seal_made(tmp_path / "made", "r"))
    larger = make_item(seal_made(tmp_path / "made", "r", attempt=2))
    alice, bob = connect(policy=ALICE).greet(), connect(policy=BOB).greet()
    assert bob.offer(larger).wishes == bytes([Wish.WANTED])
    alice.give(item)
    bob.send(File(0, larger.digest, larger.data))
    assert bob.expect_result(0).code == "other-user"
    for peer in (alice, bob):
        peer.finish()
    assert hash_files(target)["digits/r/run.h5"] == item.digest.hex()


def test_a_run_that_was_there_before_there_were_owners_is_nobodys(
    connect: Connect, tmp_path: Path
) -> None:
    small = make_item(seal_made(tmp_path / "made", "r"))
    large = make_item(seal_made(tmp_path / "made", "r", attempt=2))
    anybody = connect().greet()
    anybody.give(small)
    anybody.finish()
    bob = connect(policy=BOB).greet()
    assert bob.offer(large).details[0]["code"] == "other-user"
    bob.finish()
    anybody = connect().greet()
    assert anybody.give(large).outcome == Outcome.REPLACED
    anybody.finish()


def test_what_belongs_to_a_run_belongs_to_its_owner(connect: Connect, tmp_path: Path) -> None:
    run = make_item(seal_made(tmp_path / "made", "r"))
    alice = connect(policy=ALICE).greet()
    alice.give(run)
    alice.finish()
    bob = connect(policy=BOB).greet()
    kinds = (ItemKind.ACCOUNTING, ItemKind.ANNOTATIONS)
    answer = bob.offer(*(Item(Key(kind, "digits", "r"), b"{}") for kind in kinds))
    assert set(answer.wishes) == {Wish.REFUSED}
    bob.finish()


def test_a_sweep_belongs_to_who_sent_it_first(connect: Connect, target: Path) -> None:
    old, new = make_sweep(data=b'{"n": 1}'), make_sweep(data=b'{"n": 2}')
    alice = connect(policy=ALICE).greet()
    assert alice.give(old).outcome == Outcome.PUBLISHED
    bob = connect(policy=BOB).greet()
    assert bob.offer(new).details == {0: {"code": "other-user", "facts": {"owner": "alice"}}}
    bob.finish()
    assert alice.give(new).outcome == Outcome.REPLACED
    alice.finish()
    assert new.digest.hex() in hash_files(target).values()
    assert old.digest.hex() not in hash_files(target).values()


def test_who_may_only_add_replaces_a_run_by_more_of_it_and_the_old_file_is_kept(
    connect: Connect, tmp_path: Path, target: Path
) -> None:
    small = make_item(seal_made(tmp_path / "made", "r"))
    large = make_item(seal_made(tmp_path / "made", "r", attempt=2))
    foreign = make_item(seal_made(tmp_path / "other", "r", steps=500))
    peer = connect(policy=Policy(append_only=True)).greet()
    assert peer.give(small).outcome == Outcome.PUBLISHED
    assert peer.give(foreign).code == "append-only"
    assert peer.give(large).outcome == Outcome.REPLACED
    peer.finish()
    kept = target / ".server/replaced" / small.digest.hex()
    assert kept.read_bytes() == small.data
    assert (target / "digits/r/run.h5").read_bytes() == large.data


def test_who_may_only_add_destroys_no_description_either(connect: Connect, target: Path) -> None:
    old, new = make_sweep(data=b'{"n": 1}'), make_sweep(data=b'{"n": 2}')
    peer = connect(policy=Policy(append_only=True)).greet()
    assert peer.give(old).outcome == Outcome.PUBLISHED
    assert peer.give(new).outcome == Outcome.REPLACED
    peer.finish()
    assert (target / ".server/replaced" / old.digest.hex()).read_bytes() == old.data


def test_without_that_a_replaced_file_is_gone(
    connect: Connect, tmp_path: Path, target: Path
) -> None:
    peer = connect().greet()
    peer.give(make_item(seal_made(tmp_path / "made", "r")))
    peer.give(make_item(seal_made(tmp_path / "made", "r", attempt=2)))
    peer.finish()
    assert not (target / ".server/replaced").exists()


def test_what_comes_in_one_group_counts_together(connect: Connect) -> None:
    peer = connect(policy=Policy(quota_bytes=100_000)).greet()
    blobs = [make_blob(bytes([number]) * 30_000) for number in range(10)]
    assert set(peer.offer(*blobs).wishes) == {Wish.WANTED}
    peer.send(*(File(number, one.digest, one.data) for number, one in enumerate(blobs)))
    codes = [one.code for one in peer.expect_results(10)]
    assert codes == ["", "", "", *["quota"] * 7]
    peer.finish()


def test_large_files_on_their_way_together_count_together(connect: Connect) -> None:
    peer = connect(policy=Policy(quota_bytes=100_000)).greet()
    blobs = [make_blob(bytes([number]) * 60_000) for number in range(3)]
    peer.offer(*blobs)
    for number, one in enumerate(blobs):
        peer.begin(number, one)
        peer.talk.send(End(number, one.digest))
    peer.talk.flush()
    assert [one.code for one in peer.expect_results(3)] == ["", "quota", "quota"]
    peer.finish()
