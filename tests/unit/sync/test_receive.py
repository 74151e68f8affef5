from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from hpctrack import Store
from hpctrack.errors import ProtocolError, RefusedError
from hpctrack.sync.receiving.quarantine import ABANDONED_AFTER_S
from hpctrack.sync.wire.messages import (
    Begin,
    Data,
    Done,
    End,
    Error,
    Hello,
    Inventory,
    Item,
    ItemKind,
    Key,
    Outcome,
)
from hpctrack.sync.wire.protocol import HEADER, MAGIC
from tests.unit.sync.conftest import Peer
from tests.unit.sync.made_stores import hash_files, list_below, log_runs, make_item

Connect = Callable[[], Peer]

QUIET = {".incoming", ".incoming/publish.lock", ".hashes.json"}
"""What a receiver may leave in a store besides what it published."""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def test_a_run_is_published_and_readable(connect: Connect, template: Path, target: Path) -> None:
    path = template / "digits/one/run.h5"
    peer = connect().greet()
    assert peer.offer(make_item(path), path.read_bytes()).outcome == Outcome.PUBLISHED
    peer.finish()
    (run,) = Store(target).runs()
    assert run.metric("loss").values.tolist() == [1 / (step + 1) for step in range(20)]
    assert list_below(target) - QUIET == {"digits", "digits/one", "digits/one/run.h5"}


def test_the_inventory_names_what_is_there_and_no_more(
    connect: Connect, template: Path, target: Path
) -> None:
    path = template / "digits/one/run.h5"
    mine = make_item(path)
    missing = replace(mine, key=replace(mine.key, id="absent"))
    peer = connect().greet()
    peer.offer(mine, path.read_bytes())
    peer.send(Inventory((mine,), is_last=False), Inventory((missing,), is_last=True))
    assert peer.talk.receive() == Inventory((mine,), is_last=True)
    peer.finish()


def test_asking_alone_makes_no_store(connect: Connect, template: Path, target: Path) -> None:
    peer = connect().greet()
    peer.send(Inventory((make_item(template / "digits/one/run.h5"),), is_last=True))
    assert peer.talk.receive() == Inventory((), is_last=True)
    peer.finish()
    assert not target.exists()


@pytest.mark.parametrize(
    "names",
    [
        ("../escape", "one"),
        ("digits", "../../escape"),
        ("digits", ".."),
        ("/etc", "one"),
        ("digits", "/tmp/escape"),
        (".incoming", "one"),
        ("digits", ".sweeps"),
        ("digits", "a/b"),
        ("digits", "a\x00b"),
        ("", "one"),
        ("digits", "r" * 65),
    ],
)
@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_a_name_that_leads_elsewhere_is_refused(
    connect: Connect, template: Path, tmp_path: Path, names: tuple[str, str], kind: str
) -> None:
    before = list_below(tmp_path)
    data = (template / "digits/one/run.h5").read_bytes()
    item = replace(make_item(template / "digits/one/run.h5"), key=Key(ItemKind(kind), *names))
    peer = connect().greet()
    answer = peer.offer(item, data)
    assert (answer.outcome, answer.code) == (Outcome.REFUSED, "bad-name")
    peer.send(Inventory((item,), is_last=True))
    assert peer.talk.receive() == Inventory((), is_last=True)
    peer.finish()
    assert list_below(tmp_path) - before - {f"target/{name}" for name in QUIET} == {"target"}


def lie_about_hash(item: Item, data: bytes) -> tuple[Item, bytes]:
    return replace(item, sha256="0" * 64), data


def send_too_little(item: Item, data: bytes) -> tuple[Item, bytes]:
    return item, data[:-1]


def send_too_much(item: Item, data: bytes) -> tuple[Item, bytes]:
    return item, data + b"x"


def announce_too_much(item: Item, data: bytes) -> tuple[Item, bytes]:
    return replace(item, size_bytes=1 << 41), data


def claim_another_run(item: Item, data: bytes) -> tuple[Item, bytes]:
    return replace(item, key=replace(item.key, id="three")), data


def claim_another_project(item: Item, data: bytes) -> tuple[Item, bytes]:
    return replace(item, key=replace(item.key, project="stolen")), data


def claim_a_sweep(item: Item, data: bytes) -> tuple[Item, bytes]:
    return replace(item, key=replace(item.key, kind=ItemKind.SWEEP)), data


@pytest.mark.parametrize(
    ("distort", "code"),
    [
        (lie_about_hash, "hash-mismatch"),
        (send_too_little, "size-mismatch"),
        (send_too_much, "size-mismatch"),
        (announce_too_much, "too-large"),
        (claim_another_run, "other-run"),
        (claim_another_project, "other-run"),
        (claim_a_sweep, "not-a-sweep"),
    ],
)
def test_one_item_that_is_not_what_it_says_is_refused_and_the_next_one_taken(
    connect: Connect,
    template: Path,
    target: Path,
    distort: Callable[[Item, bytes], tuple[Item, bytes]],
    code: str,
) -> None:
    path = template / "digits/one/run.h5"
    peer = connect().greet()
    answer = peer.offer(*distort(make_item(path), path.read_bytes()))
    assert (answer.outcome, answer.code) == (Outcome.REFUSED, code)
    assert str(target) not in str(answer)
    good = template / "digits/two/run.h5"
    assert peer.offer(make_item(good), good.read_bytes(), 1).outcome == Outcome.PUBLISHED
    peer.finish()
    assert list_below(target) - QUIET == {"digits", "digits/two", "digits/two/run.h5"}


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


@pytest.mark.parametrize("make", [make_foreign_hdf5, make_hollow, make_text, make_empty])
def test_a_file_that_is_no_sealed_run_is_refused(
    connect: Connect, target: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "digits" / "one" / "run.h5"
    path.parent.mkdir(parents=True)
    make(path)
    peer = connect().greet()
    answer = peer.offer(make_item(path), path.read_bytes())
    assert (answer.outcome, answer.code) == (Outcome.REFUSED, "not-a-run")
    peer.finish()
    assert list_below(target) - QUIET == set()


@pytest.mark.parametrize("linked", ["digits", "digits/one", "digits/one/run.h5"])
def test_a_link_in_the_store_is_not_followed(
    connect: Connect, template: Path, target: Path, tmp_path: Path, linked: str
) -> None:
    outside = Path(shutil.copytree(template, tmp_path / "outside"))
    (target / linked).parent.mkdir(parents=True)
    (target / linked).symlink_to(outside / linked)
    before = hash_files(outside)
    path = template / "digits/two/run.h5" if linked == "digits" else template / "digits/one/run.h5"
    item = make_item(path)
    peer = connect().greet()
    peer.send(Inventory((item,), is_last=True))
    assert peer.talk.receive() == Inventory((), is_last=True)
    assert peer.offer(item, path.read_bytes()).code == "link"
    peer.finish()
    assert hash_files(outside) == before
    assert (target / linked).is_symlink()


def test_a_quarantine_that_is_a_link_ends_the_transfer(
    connect: Connect, template: Path, target: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target.mkdir()
    (target / ".incoming").symlink_to(outside)
    peer = connect().greet()
    peer.send(Begin(0, make_item(template / "digits/one/run.h5")))
    assert peer.talk.receive() == Error("store-unwritable")
    peer.leave()
    assert isinstance(peer.error, RefusedError)
    assert list_below(outside) == set()


def test_a_run_that_has_grown_replaces_the_older_one_and_never_the_reverse(
    connect: Connect, template: Path, target: Path, tmp_path: Path
) -> None:
    log_runs(tmp_path / "grown", "digits/one", points=30)
    small, large = template / "digits/one/run.h5", tmp_path / "grown/digits/one/run.h5"
    peer = connect().greet()
    assert peer.offer(make_item(small), small.read_bytes(), 0).outcome == Outcome.PUBLISHED
    assert peer.offer(make_item(large), large.read_bytes(), 1).outcome == Outcome.REPLACED
    answer = peer.offer(make_item(small), small.read_bytes(), 2)
    assert (answer.outcome, answer.code) == (Outcome.REFUSED, "fewer-points")
    assert (answer.facts["points"], answer.facts["points_there"]) == (40, 60)
    assert peer.offer(make_item(large), large.read_bytes(), 3).outcome == Outcome.PRESENT
    peer.finish()
    assert (target / "digits/one/run.h5").read_bytes() == large.read_bytes()


def test_a_broken_file_in_the_store_is_healed(
    connect: Connect, template: Path, target: Path
) -> None:
    path = template / "digits/one/run.h5"
    (target / "digits/one").mkdir(parents=True)
    (target / "digits/one/run.h5").write_bytes(path.read_bytes()[:1000])
    peer = connect().greet()
    assert peer.offer(make_item(path), path.read_bytes()).outcome == Outcome.PUBLISHED
    peer.finish()
    assert (target / "digits/one/run.h5").read_bytes() == path.read_bytes()


def test_a_run_that_is_being_recorded_there_is_left_alone(
    connect: Connect, template: Path, target: Path
) -> None:
    log_runs(target, "digits/one", points=3, seal=False)
    before = hash_files(target)
    path = template / "digits/one/run.h5"
    peer = connect().greet()
    assert peer.offer(make_item(path), path.read_bytes()).code == "live"
    peer.finish()
    assert hash_files(target) == before


def test_a_kind_of_frame_that_a_newer_sender_knows_is_passed_over(
    connect: Connect, template: Path
) -> None:
    path = template / "digits/one/run.h5"
    peer = connect().greet()
    peer.stream.write(HEADER.pack(5, 99, 0, 0) + b"hello")
    assert peer.offer(make_item(path), path.read_bytes()).outcome == Outcome.PUBLISHED
    peer.finish()


ITEM = Item(Key(ItemKind.RUN, "digits", "one"), "0" * 64, 4)


@pytest.mark.parametrize(
    "messages",
    [
        [Data(b"x")],
        [End(0)],
        [Hello()],
        [Begin(0, ITEM), Begin(1, ITEM)],
        [Begin(0, ITEM), End(1)],
        [Begin(0, ITEM), Done()],
        [Begin(0, ITEM), Inventory((), is_last=True)],
    ],
)
def test_a_message_out_of_turn_ends_the_transfer(
    connect: Connect, target: Path, messages: list[object]
) -> None:
    peer = connect().greet()
    peer.send(*messages)  # type: ignore[arg-type]
    answer = peer.talk.receive()
    assert isinstance(answer, Error)
    assert answer.code == "protocol"
    peer.leave()
    assert isinstance(peer.error, ProtocolError)
    assert list_below(target) - QUIET == set()


@pytest.mark.parametrize("body", [b"", b"GET / HTTP/1.1\r\n\r\n", MAGIC[:5], MAGIC + b"\x01"])
def test_a_stranger_is_told_nothing_but_the_greeting(
    connect: Connect, target: Path, body: bytes
) -> None:
    peer = connect()
    peer.stream.write(body)
    peer.leave()
    assert not target.exists()


def test_an_oversize_frame_ends_the_transfer(connect: Connect) -> None:
    peer = connect().greet()
    peer.stream.write(HEADER.pack(1 << 31, Data.kind, 0, 0))
    answer = peer.talk.receive()
    assert isinstance(answer, Error)
    assert answer.code == "protocol"


def test_a_sender_of_another_version_is_told_ours(connect: Connect) -> None:
    peer = connect()
    peer.talk.greet()
    peer.send(Hello(90, 99))
    peer.talk.expect_greeting(timeout_s=10)
    assert isinstance(peer.talk.receive(), Hello)
    assert peer.talk.receive() == Error("version", {"oldest": 1, "newest": 2})
    peer.leave()
    assert isinstance(peer.error, ProtocolError)


def test_a_sender_that_leaves_in_mid_transfer_leaves_nothing_behind(
    connect: Connect, template: Path, target: Path
) -> None:
    path = template / "digits/one/run.h5"
    peer = connect().greet()
    peer.send(Begin(0, make_item(path)), Data(path.read_bytes()[:100]))
    peer.leave()
    assert list_below(target) - QUIET == set()


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


def test_a_sweep_description_is_published(connect: Connect, target: Path) -> None:
    data = b'{"id": "abc"}'
    source = target.parent / "src" / "sweep.json"
    source.parent.mkdir()
    source.write_bytes(data)
    item = make_item(source, kind="sweep", project="digits", id="abc")
    peer = connect().greet()
    assert peer.offer(item, data).outcome == Outcome.PUBLISHED
    peer.send(Inventory((item,), is_last=True))
    assert peer.talk.receive() == Inventory((item,), is_last=True)
    peer.finish()
    assert (target / "digits/.sweeps/abc/sweep.json").read_bytes() == data
    assert Store(target).projects() == []
