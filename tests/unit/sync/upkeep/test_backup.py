"""`hpctrack server backup`: copies of a store that is in use."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from hpctrack.errors import BusyError, NotFoundError, StoreFormatError, UsageError
from hpctrack.store.seal import seal_run
from hpctrack.store.store import Store
from hpctrack.store.verify import verify_run
from hpctrack.sync.upkeep.audit import AuditEvent, AuditLog, iter_events
from hpctrack.sync.upkeep.backup import back_up, find_backup, list_backups
from hpctrack.sync.upkeep.copying import copy_file, copy_node_file, copy_whole_lines
from hpctrack.sync.upkeep.manifest import MANIFEST_NAME, check_backup, read_manifest
from hpctrack.sync.upkeep.quotas import set_quota
from tests.stores import FakeClock, NodeWriter
from tests.unit.sync.made_stores import hash_files, list_below

ANNOTATIONS_LOCK = "digits/.annotations/.lock"
START_S = 1_795_865_145.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START_S)


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_a_backup_is_the_same_store(store: Path, destination: Path, clock: FakeClock) -> None:
    set_quota(store, "digits", 5)
    made = back_up(store, destination, clock=clock.clock())
    assert made.path == destination / "2026-11-28T112545Z"
    assert names(destination) == {"latest", made.path.name}
    assert (destination / "latest").resolve() == made.path.resolve()
    expected = list_below(store) - {".hashes.json", ".server/.lock", ANNOTATIONS_LOCK}
    assert list_below(made.path) == expected | {MANIFEST_NAME}
    copied = hash_files(made.path)
    del copied[MANIFEST_NAME]
    assert copied == {
        name: digest for name, digest in hash_files(store).items() if name != ANNOTATIONS_LOCK
    }
    assert list(check_backup(made.path)) == []
    assert (made.copied_files, made.linked_files, made.problems) == (len(copied) + 2, 0, [])
    runs = {run.id: run.state for run in Store(made.path).runs()}
    assert set(runs) == {"one", "two", "live"}
    assert len(list(iter_events(made.path))) == 2
    one = made.path / "digits" / "one" / "run.h5"
    assert one.stat().st_mtime_ns == (store / "digits" / "one" / "run.h5").stat().st_mtime_ns


def test_the_next_one_shares_what_has_not_changed(
    store: Path, destination: Path, clock: FakeClock
) -> None:
    first = back_up(store, destination, clock=clock.clock())
    clock.now_s += 86400
    path = store / "digits" / "two" / "run.h5"
    scratch = path.with_name("new")
    shutil.copy2(path, scratch)
    scratch.replace(path)  # as a sync does it: another inode, though the size is the same
    shutil.rmtree(store / "digits" / ".annotations")
    second = back_up(store, destination, clock=clock.clock())
    assert list_backups(destination) == ["2026-11-28T112545Z", "2026-11-29T112545Z"]
    assert find_backup(destination) == second.path
    one, two, node = (
        {made.path / name for made in (first, second)}
        for name in ("digits/one/run.h5", "digits/two/run.h5", next_node(store))
    )
    assert len({path.stat().st_ino for path in one}) == 1
    assert len({path.stat().st_ino for path in two}) == 2
    # A node file grows in place: a program that goes on with one backup must not change another.
    assert len({path.stat().st_ino for path in node}) == 2
    assert not (second.path / "digits" / ".annotations").exists()
    assert (first.path / "digits" / ".annotations" / "one.json").exists()
    assert list(check_backup(first.path)) == list(check_backup(second.path)) == []
    assert second.linked_files == 4
    clock.now_s += 86400
    assert back_up(store, destination, incremental=False, clock=clock.clock()).linked_files == 0


def next_node(store: Path) -> str:
    (node,) = (store / "other" / "live").glob("node-*.h5")
    return str(node.relative_to(store))


def test_a_backup_that_was_changed_is_found(store: Path, destination: Path) -> None:
    path = back_up(store, destination).path
    one, two, node = (path / "digits/one/run.h5", path / "digits/two/run.h5", path / "extra")
    one.write_bytes(one.read_bytes()[:-1])
    data = bytearray(two.read_bytes())
    data[-1] ^= 1
    two.write_bytes(data)
    node.write_text("more")
    (path / next_node(store)).unlink()
    found = dict(check_backup(path))
    assert set(found) == {"digits/one/run.h5", "digits/two/run.h5", "extra", next_node(store)}
    assert found["extra"] == "it is not in the manifest"
    assert "bytes, not" in found["digits/one/run.h5"]
    assert "have changed" in found["digits/two/run.h5"]


@pytest.mark.parametrize(
    "line",
    ["", "{", "null", '{"kind": "x", "format": 1}', '{"kind": "hpctrack-backup", "format": 2}'],
)
def test_a_damaged_manifest_is_an_error(store: Path, destination: Path, line: str) -> None:
    path = back_up(store, destination).path
    manifest = path / MANIFEST_NAME
    whole = manifest.read_text().splitlines(keepends=True)
    manifest.write_text(f"{line}\n" + "".join(whole[1:]))
    with pytest.raises(StoreFormatError, match="damaged"):
        read_manifest(path)
    manifest.write_text(whole[0] + '{"path": "../x", "bytes": 1, "sha256": "", "mtime_ns": 1}\n')
    with pytest.raises(StoreFormatError, match="damaged"):
        read_manifest(path)
    manifest.unlink()
    with pytest.raises(NotFoundError, match="no backup"):
        find_backup(destination)


def test_nobody_sees_half_a_backup(store: Path, destination: Path) -> None:
    back_up(store, destination)
    before = list_below(destination)

    def stop(_size_bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(store, destination, on_bytes=stop)
    assert list_below(destination) == before
    (destination / ".building-77" / "digits").mkdir(parents=True)  # of one that was killed
    back_up(store, destination)
    assert not (destination / ".building-77").exists()


def test_old_ones_are_removed_when_asked(store: Path, destination: Path, clock: FakeClock) -> None:
    for _day in range(3):
        back_up(store, destination, keep=2, clock=clock.clock())
        clock.now_s += 86400
    made = back_up(store, destination, keep=2, clock=clock.clock())
    assert list_backups(destination) == ["2026-11-30T112545Z", "2026-12-01T112545Z"]
    assert made.removed == ["2026-11-29T112545Z"]
    assert names(destination) == {"latest", *list_backups(destination)}
    assert list(check_backup(made.path)) == []


def test_two_at_once_and_places_that_make_no_sense(store: Path, destination: Path) -> None:
    with pytest.raises(UsageError, match="in the store"):
        back_up(store, store / "digits")
    with pytest.raises(NotFoundError, match="no folder"):
        back_up(store, destination / "none" / "there")
    with pytest.raises(NotFoundError, match="no store"):
        back_up(store / "none", destination)

    def again(_size_bytes: int) -> None:
        with pytest.raises(BusyError):
            back_up(store, destination)

    back_up(store, destination, on_bytes=again)


def test_links_and_pipes_are_named_and_not_followed(
    store: Path, destination: Path, tmp_path: Path
) -> None:
    (store / "digits" / "three").symlink_to(tmp_path)
    os.mkfifo(store / "digits" / "one" / "pipe")
    made = back_up(store, destination)
    assert sorted(one.split()[0] for one in made.problems) == ["digits/one/pipe", "digits/three"]
    assert not (made.path / "digits" / "three").exists()


def test_half_a_line_of_the_log_is_left_out(store: Path, destination: Path) -> None:
    log = store / ".server" / "audit.jsonl"
    whole = log.read_bytes()
    with log.open("ab") as file:
        file.write(b'{"wall_s": 1, "us')
    made = back_up(store, destination)
    assert (made.path / ".server" / "audit.jsonl").read_bytes() == whole
    for name, data in {"none": b"", "torn": b"abc", "long": b"x\n" + b"y" * (3 << 20)}.items():
        path = store.parent / name
        path.write_bytes(data)
        with path.open("rb") as file:
            copy_whole_lines(file.fileno(), store.parent / f"{name}.copy")
        assert (store.parent / f"{name}.copy").read_bytes() == data[: data.rfind(b"\n") + 1]


def test_a_run_that_is_sealed_meanwhile_is_not_lost(store: Path, destination: Path) -> None:
    folder = store / "other" / "live"

    def seal(_size_bytes: int) -> None:
        if not (folder / "run.h5").exists():
            seal_run(folder)

    made = back_up(store, destination, on_bytes=seal)
    assert made.problems == []
    assert len(Store(made.path).run("live").history()) == 10


class Growing:
    """A live node file that somebody writes to, all the time."""

    def __init__(self, store: Path) -> None:
        self.writer = NodeWriter(store, project="other", run="growing", wall_s=START_S)
        self.writer.start(0)
        self.writer.points("loss", 0, range(20_000), [0.5] * 20_000)
        self.writer.flush()
        self.path = self.writer.file.path
        self.step = 20_000

    def grow(self, steps: int = 2000) -> None:
        self.writer.points("loss", 0, range(self.step, self.step + steps), [0.5] * steps)
        self.writer.flush()
        self.step += steps


def test_live_node_files_that_grow_can_be_read_in_the_backup(
    store: Path, destination: Path
) -> None:
    growing, is_over = Growing(store), threading.Event()

    def grow() -> None:
        while not is_over.wait(0.002):
            growing.grow()

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        made = [back_up(store, destination).path for _ in range(4)]
    finally:
        is_over.set()
        thread.join()
    counts = []
    for path in made:
        assert verify_run(path / "other" / "growing").is_intact
        steps = Store(path).run("growing").history()["_step"].tolist()
        assert steps == list(range(len(steps)))
        counts.append(len(steps))
        assert list(check_backup(path)) == []
    assert counts[0] >= 20_000
    assert counts == sorted(counts)
    growing.writer.close()


def test_rows_are_copied_where_bytes_never_rest(store: Path, tmp_path: Path) -> None:
    growing = Growing(store)
    target = tmp_path / "store-2" / "other" / "growing" / growing.path.name
    target.parent.mkdir(parents=True)
    (scratch := tmp_path / "scratch").mkdir()

    def copy_torn(source_fd: int, path: Path) -> tuple[str, int]:
        """Copy while somebody writes, and lose what he has written to the middle."""
        found = copy_file(source_fd, path)
        growing.grow()
        with path.open("r+b") as file:
            file.truncate(found[1] // 2)
        return found

    clock = FakeClock().clock()
    digest, size_bytes = copy_node_file(growing.path, target, scratch, clock, copy_torn)
    assert size_bytes == target.stat().st_size
    assert verify_run(target.parent).is_intact
    steps = Store(tmp_path / "store-2").run("growing").history()["_step"].tolist()
    assert steps == list(range(growing.step))
    assert names(scratch) == set()
    assert len(digest) == 64
    growing.writer.close()


def test_what_a_backup_says_of_itself(store: Path, destination: Path, clock: FakeClock) -> None:
    AuditLog(store).append([AuditEvent("removed", "a", "run", "b")])  # type: ignore[arg-type]
    made = back_up(store, destination, clock=clock.clock())
    manifest = read_manifest(made.path)
    assert (manifest.store, manifest.began_wall_s) == (str(store), START_S)
    head, *lines = (made.path / MANIFEST_NAME).read_text().splitlines()
    assert json.loads(head)["kind"] == "hpctrack-backup"
    assert [json.loads(one)["path"] for one in lines] == sorted(manifest.entries)
