"""`hpctrack server gc`: what goes, what stays."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpctrack.store.annotation_file import edit_annotations, read_annotations
from hpctrack.store.replica_states import read_replicas, write_replicas
from hpctrack.store.seal import seal_run
from hpctrack.store.store import Store
from hpctrack.store.tails import NodeState
from hpctrack.sync.upkeep.audit import iter_events
from hpctrack.sync.upkeep.collection import DAY_S, Collection, Leftover, collect
from hpctrack.sync.upkeep.quotas import list_usage
from tests.stores import FakeClock, write_run
from tests.unit.sync.made_stores import hash_files

TOKEN = "0123456789abcdef"  # noqa: S105 - the name of a quarantine


def make_old(path: Path, age_days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 100)
    then_s = time.time() - age_days * DAY_S
    for one in (path, path.parent):
        os.utime(one, (then_s, then_s))
    return path


def paths(found: Collection, kind: Leftover) -> list[str]:
    return [one.path for one in found.freed if one.kind == kind]


def test_nothing_of_value_is_touched(store: Path) -> None:
    before = hash_files(store)
    found = collect(store)
    assert (found.freed, found.problems) == ([], [])
    assert hash_files(store) == before
    assert set(list_usage(store)) == {"digits", "other"}


def test_uploads_that_were_given_up_go(store: Path) -> None:
    incoming = store / ".incoming"
    old = make_old(incoming / TOKEN / "000001", 2)
    fresh = make_old(incoming / TOKEN[::-1] / "000001", 0.5)
    growing = make_old(incoming / f"{TOKEN[:8]}00000000" / "000001", 2)
    growing.write_bytes(b"more")
    foreign = make_old(incoming / "somebody" / "file", 99)
    partial = make_old(incoming / "partial" / ("ab" * 32), 15)
    recent = make_old(incoming / "partial" / ("cd" * 32), 13)
    found = collect(store)
    assert paths(found, Leftover.UPLOAD) == [f".incoming/{TOKEN}/000001"]
    assert paths(found, Leftover.PARTIAL) == [f".incoming/partial/{'ab' * 32}"]
    assert found.size_bytes == 200
    assert not old.parent.exists()
    assert not partial.exists()
    assert all(one.exists() for one in (fresh, growing, foreign, recent))
    assert paths(collect(store, keep_days=1), Leftover.PARTIAL) == [
        f".incoming/partial/{'cd' * 32}"
    ]


@pytest.fixture
def hold() -> Iterator[object]:
    """A function that locks a file or folder as a receiver would, in another open file."""
    held: list[int] = []

    def lock(path: Path) -> None:
        held.append(os.open(path, os.O_RDONLY))
        fcntl.flock(held[-1], fcntl.LOCK_EX)

    yield lock
    for fd in held:
        os.close(fd)


def test_what_a_receiver_holds_stays_however_old(store: Path, hold: object) -> None:
    upload = make_old(store / ".incoming" / TOKEN / "000001", 50)
    partial = make_old(store / ".incoming" / "partial" / ("ab" * 32), 50)
    for one in (upload.parent, partial):
        hold(one)  # type: ignore[operator]
    assert collect(store).freed == []
    assert upload.exists()
    assert partial.exists()


def test_versions_that_append_only_kept_go_after_a_while(store: Path) -> None:
    kept = store / ".server" / "replaced" / ("ab" * 32)
    kept.parent.mkdir()
    # Their bytes are as old as the run; what counts is when they got this name.
    os.link(make_old(store.parent / "version", 400), kept)
    (store.parent / "version").unlink()
    assert collect(store).freed == []
    later = FakeClock(time.time() + 15 * DAY_S).clock()
    found = collect(store, clock=later)
    assert paths(found, Leftover.REPLACED) == [f".server/replaced/{'ab' * 32}"]
    (event,) = iter_events(store, since_wall_s=later.wall_s() - 1)
    assert (event["action"], event["id"], event["bytes"]) == ("removed", "ab" * 32, 100)


@pytest.fixture
def doubled(store: Path) -> Path:
    """The live run, sealed, with its node file still there; one of another attempt beside it."""
    folder = store / "other" / "live"
    (node,) = folder.glob("node-*.h5")
    kept = shutil.copy(node, store.parent / node.name)
    seal_run(folder)
    shutil.copy(kept, node)
    (extra,) = write_run(store.parent / "extra", project="other", run="live").glob("node-*.h5")
    shutil.copy(extra, folder / extra.name)
    states = {name: NodeState(uuid=name, as_of_wall_s=5.0) for name in (node.name, extra.name)}
    write_replicas(folder, states, is_durable=False)
    return node


def test_node_files_that_are_in_the_sealed_file_go(store: Path, doubled: Path) -> None:
    before = Store(store).run("live").history()["loss"].tolist()
    found = collect(store)
    assert paths(found, Leftover.REPLICA) == [f"other/live/{doubled.name}"]
    assert not doubled.exists()
    (left,) = doubled.parent.glob("node-*.h5")
    assert set(read_replicas(doubled.parent)) == {left.name}
    assert left.name in (doubled.parent / ".replica.json").read_text()
    assert doubled.name not in (doubled.parent / ".replica.json").read_text()
    assert Store(store).run("live").history()["loss"].tolist() == before
    (event,) = [one for one in iter_events(store) if one["action"] == "removed"]
    assert (event["kind"], event["id"]) == ("live", f"live/{doubled.name}")
    left.unlink()


def test_node_files_beside_a_broken_sealed_file_stay(store: Path, doubled: Path) -> None:
    sealed = doubled.parent / "run.h5"
    sealed.write_bytes(sealed.read_bytes()[:1000])
    found = collect(store)
    assert found.freed == []
    assert len(found.problems) == 1
    assert doubled.exists()


def test_node_files_that_somebody_seals_stay(store: Path, doubled: Path) -> None:
    (doubled.parent / ".seal.lock").write_text("host 1 x\n")
    assert collect(store).freed == []


def test_scratch_files_go_but_not_those_of_now_nor_blobs(store: Path) -> None:
    gone = [
        make_old(store / ".hashes.json.77.tmp", 2),
        make_old(store / ".server" / ".usage.json.aa.tmp", 2),
        make_old(store / "digits" / "one" / "accounting.json.aa.tmp", 2),
        make_old(store / "digits" / ".annotations" / "x.tmp", 2),
    ]
    stays = [
        make_old(store / "digits" / "two" / "accounting.json.bb.tmp", 0.5),
        make_old(store / "digits" / ".blobs" / "ab" / "c.tmp", 50),
        make_old(store / "digits" / "two" / ".repair-77" / "x.tmp", 50),
        make_old(store / "digits" / "two" / "run.h5.damaged", 50),
    ]
    found = collect(store)
    assert len(paths(found, Leftover.SCRATCH)) == 4
    assert not any(one.exists() for one in gone)
    assert all(one.exists() for one in stays)


def test_a_dry_run_removes_nothing(store: Path, doubled: Path) -> None:
    make_old(store / ".incoming" / TOKEN / "000001", 2)
    make_old(store / ".hashes.json.77.tmp", 2)
    before = set(store.rglob("*"))
    found = collect(store, dry_run=True)
    assert {one.kind for one in found.freed} == {"upload", "scratch", "replica"}
    assert set(store.rglob("*")) == before
    assert collect(store).freed == found.freed


def test_links_lead_nowhere(store: Path, tmp_path: Path) -> None:
    outside = make_old(tmp_path / "outside" / "000001", 50)
    (store / ".incoming").mkdir()
    (store / ".incoming" / TOKEN).symlink_to(outside.parent)
    (store / ".server" / "replaced").symlink_to(outside.parent)
    (store / "digits" / "three").symlink_to(outside.parent)
    (store / "digits" / "x.tmp").symlink_to(outside)
    found = collect(store)
    assert found.freed == []
    assert outside.exists()


def test_deleted_runs_go_only_when_that_is_asked_for_and_long_after(store: Path) -> None:
    kept, gone = (write_run(store, run=run) for run in ("kept", "gone"))
    (gone / ".rules").mkdir()
    (gone / ".rules" / "nan").write_text("{}")
    edit_annotations(store, "p", "gone", deleted=True, by="ann")
    edit_annotations(store, "p", "kept", archived=True)
    later = FakeClock(time.time() + 40 * DAY_S).clock()
    collect(store, clock=later)
    collect(store, clock=later, deleted_days=60)
    collect(store, deleted_days=0)
    assert gone.is_dir(), "nobody has asked, not long enough, or written to just now"
    said = collect(store, clock=later, deleted_days=30, dry_run=True)
    assert gone.is_dir()
    found = collect(store, clock=later, deleted_days=30)
    assert [one.path for one in found.freed] == [one.path for one in said.freed]
    assert {one.kind for one in found.freed} == {Leftover.DELETED}
    assert not gone.exists()
    assert kept.is_dir()
    assert read_annotations(store, "p", "gone").is_deleted, "a push does not bring it back"
