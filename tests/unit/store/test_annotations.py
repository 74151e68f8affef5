"""A run's name, notes and tags, edited afterwards: as values, and as files."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from hpctrack.core.clock import Clock
from hpctrack.core.layout import SERVER_FOLDER
from hpctrack.errors import (
    BusyError,
    HpctrackError,
    InvalidNameError,
    NotFoundError,
    StoreError,
    StoreFormatError,
    UsageError,
)
from hpctrack.store.annotation_edit import TAGS_MAX, edit, make_changes
from hpctrack.store.annotation_entry import NOTES_MAX_BYTES, VERSION_MAX, Entry
from hpctrack.store.annotation_file import (
    edit_annotations,
    fold_annotations,
    iter_annotated,
    merge_annotations,
    read_annotation_bytes,
    read_annotations,
)
from hpctrack.store.annotations import (
    MAX_BYTES,
    MERGED_MAX_BYTES,
    NOTHING,
    Annotations,
    fold,
    merge,
)
from hpctrack.store.folder_lock import HELD_NAME, hold_folder
from tests.programs import ROOT
from tests.stores import FakeClock


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with the folders of two runs, and nothing in them."""
    path = tmp_path / "store"
    for run in ("one", "two"):
        (path / "p" / run).mkdir(parents=True)
    return path


def path_of(store: Path, run: str = "one") -> Path:
    return store / "p" / ".annotations" / f"{run}.json"


def say(store: Path, run: str = "one", **more: Any) -> Annotations:
    return edit_annotations(store, "p", run, by="ann", clock=FakeClock().clock(), **more)


# -- files -----------------------------------------------------------------------------------------


def test_an_edit_is_one_file_that_says_who_and_when(store: Path) -> None:
    say(store, name="best", notes="a\nb", add_tags=["x", "y"], remove_tags=["z"])
    assert sorted(path_of(store).parent.iterdir()) == [
        path_of(store).with_name(".lock"),
        path_of(store),
    ]
    assert json.loads(path_of(store).read_text()) == {
        "kind": "hpctrack-annotations",
        "format": 1,
        "entries": {
            "name": entry("best", 1_000_000.0),
            "notes": entry("a\nb", 1_000_000.000001),
            "tag:x": entry(True, 1_000_000.000002),
            "tag:y": entry(True, 1_000_000.000003),
            "tag:z": entry(False, 1_000_000.000004),
        },
    }
    found = read_annotations(store, "p", "one")
    assert (found.name, found.notes) == ("best", "a\nb")
    assert found.lay_over_tags(["z", "y", "job"]) == ("y", "job", "x")


def entry(value: object, wall_s: float) -> dict[str, Any]:
    return {
        "value": value,
        "version": 1,
        "base": 0,
        "wall_s": pytest.approx(wall_s, abs=1e-7),
        "by": "ann",
    }


def test_in_a_servers_store_every_edit_counts_and_nothing_is_pending(store: Path) -> None:
    (store / SERVER_FOLDER).mkdir()
    say(store, name="a")
    found = say(store, name="b").entries["name"]
    assert (found.version, found.base, found.is_server) == (2, 2, True)


def test_an_edit_that_changes_nothing_writes_nothing(store: Path) -> None:
    say(store, name="a", add_tags=["x"])
    before = path_of(store).stat()
    say(store, name="a", add_tags=["x"])
    say(store)
    assert path_of(store).stat() == before
    say(store, "two")
    assert not path_of(store, "two").exists()


def test_both_sides_have_equal_bytes_after_a_sync(store: Path, tmp_path: Path) -> None:
    server = tmp_path / "server"
    (server / SERVER_FOLDER).mkdir(parents=True)
    say(store, name="client", add_tags=["x"])
    sent = read_annotation_bytes(store, "p", "one")
    assert sent is not None
    there = fold_annotations(server, "p", "one", sent)  # makes the folders
    assert there == read_annotation_bytes(server, "p", "one")
    assert fold_annotations(store, "p", "one", there) == there
    assert read_annotation_bytes(store, "p", "one") == there
    assert b"base" not in there


def test_a_client_that_has_seen_the_servers_edit_wins_over_it(store: Path, tmp_path: Path) -> None:
    server = tmp_path / "server"
    (server / SERVER_FOLDER).mkdir(parents=True)
    (server / "p" / "one").mkdir(parents=True)
    say(server, name="theirs")
    say(store, name="mine")
    say(store, name="mine again, many times")
    sync(store, server)
    assert read_annotations(store, "p", "one").name == "theirs"
    say(store, name="seen it")
    sync(store, server)
    assert read_annotations(server, "p", "one").name == "seen it"


def sync(store: Path, server: Path) -> None:
    sent = read_annotation_bytes(store, "p", "one")
    assert sent is not None
    fold_annotations(store, "p", "one", fold_annotations(server, "p", "one", sent))


def test_the_annotated_runs_of_a_project_are_found_by_one_look(store: Path) -> None:
    assert list(iter_annotated(store, "p")) == []
    say(store, name="a")
    (path_of(store).parent / "folder.json").mkdir()
    (path_of(store).parent / "link.json").symlink_to(path_of(store))
    (path_of(store).parent / "no annotations").touch()
    ((run, stamp),) = iter_annotated(store, "p")
    facts = path_of(store).stat()
    assert (run, tuple(stamp)) == ("one", (facts.st_size, facts.st_mtime_ns, facts.st_ino))
    assert list(iter_annotated(store, "nope")) == list(iter_annotated(store, "../x")) == []


@pytest.mark.parametrize("part", ["p", ".annotations", "one.json"])
def test_no_link_is_followed(part: str, store: Path, tmp_path: Path) -> None:
    say(store, name="a")
    where = {"p": store / "p", ".annotations": path_of(store).parent, "one.json": path_of(store)}
    elsewhere = tmp_path / "elsewhere"
    where[part].rename(elsewhere)
    where[part].symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*")) if elsewhere.is_dir() else elsewhere.read_bytes()
    assert read_annotations(store, "p", "one") == NOTHING
    with pytest.raises(StoreError) as caught:
        merge_annotations(store, "p", "one", Annotations({"name": Entry("b", 9)}))
    assert "link" in (caught.value.hint or "")
    after = sorted(elsewhere.rglob("*")) if elsewhere.is_dir() else elsewhere.read_bytes()
    assert after == before


def test_a_damaged_file_is_set_aside_and_one_of_a_newer_format_is_kept(store: Path) -> None:
    say(store, name="a")
    path_of(store).write_bytes(b"\0" * 100)
    assert read_annotations(store, "p", "one") == NOTHING
    say(store, notes="n")
    assert path_of(store).with_name("one.json.damaged").read_bytes() == b"\0" * 100
    newer = b'{"kind": "hpctrack-annotations", "format": 2, "entries": {}}'
    path_of(store).write_bytes(newer)
    with pytest.raises(StoreFormatError, match="newer hpctrack"):
        say(store, notes="m")
    assert path_of(store).read_bytes() == newer
    with pytest.raises(StoreFormatError) as caught:
        fold_annotations(store, "p", "two", newer)
    assert "update hpctrack" in str(caught.value)


def test_names_are_checked_and_a_run_must_be_there_to_be_edited(store: Path) -> None:
    with pytest.raises(NotFoundError):
        say(store, "three", name="a")
    for run in ("../one", ".annotations", "a/b"):
        with pytest.raises(InvalidNameError):
            say(store, run, name="a")
        with pytest.raises(InvalidNameError):
            merge_annotations(store, "p", run, NOTHING)
        assert read_annotations(store, "p", run) == NOTHING
    assert not (store / "p" / ".annotations").exists()


def test_a_store_that_cannot_be_written_is_told(store: Path) -> None:
    (store / "p" / ".annotations").write_text("a file")
    with pytest.raises(StoreError, match="Not a directory"):
        say(store, name="a")


def test_two_sides_that_are_too_long_together_are_refused_and_nothing_is_lost(store: Path) -> None:
    say(store, name="a")
    before = path_of(store).read_bytes()
    long = {f"x{number}": Entry("y" * 60_000, 1) for number in range(6)}
    with pytest.raises(StoreError, match="have become"):
        merge_annotations(store, "p", "one", Annotations(long))
    assert path_of(store).read_bytes() == before


ADDER = """
import sys
from pathlib import Path
from hpctrack.store.annotation_file import edit_annotations
for number in range(20):
    edit_annotations(Path(sys.argv[1]), "p", "one", add_tags=[f"{sys.argv[2]}-{number}"])
"""


def test_edits_by_several_processes_at_once_are_all_kept(store: Path) -> None:
    command = [sys.executable, "-c", ADDER, str(store)]
    children = [subprocess.Popen([*command, name], cwd=ROOT) for name in "abc"]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(read_annotations(store, "p", "one").added_tags()) == 60


def test_the_example_of_the_format_page_is_canonical() -> None:
    page = (ROOT / "docs/reference/format.md").read_text()
    (example,) = [one for one in page.splitlines() if one.startswith('{"entries"')]
    found = Annotations.from_bytes(example.encode())
    assert found is not None
    assert found.to_bytes().decode() == f"{example}\n"
    assert (found.name, found.added_tags()) == ("best so far", ["paper"])


# -- the lock --------------------------------------------------------------------------------------


def no_locks(_fd: int, _how: int) -> None:
    raise OSError(errno.EOPNOTSUPP, "no locks here")


@pytest.fixture
def folder_fd(tmp_path: Path) -> Any:
    (tmp_path / "locked").mkdir()
    fd = os.open(tmp_path / "locked", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_where_there_are_no_locks_a_link_keeps_others_out(folder_fd: int, tmp_path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _time in range(20):
            with hold_folder(folder_fd, what="x", flock=no_locks):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                assert (tmp_path / "locked" / HELD_NAME).exists()
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _one in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert most == [1]
    assert os.listdir(folder_fd) == [".lock"]


def test_a_link_that_was_left_by_a_killed_process_is_removed_after_a_while(
    folder_fd: int, tmp_path: Path
) -> None:
    held = tmp_path / "locked" / HELD_NAME
    held.touch()
    ticks = iter(range(10_000))
    clock = Clock(wall_s=lambda: 0.0, mono_s=lambda: float(next(ticks)))
    with hold_folder(folder_fd, what="x", flock=no_locks, clock=clock):
        pass
    assert not held.exists()


@pytest.mark.parametrize("has_locks", [True, False])
def test_who_waits_too_long_is_told(has_locks: bool, folder_fd: int) -> None:
    more: dict[str, Any] = {} if has_locks else {"flock": no_locks}
    with (
        hold_folder(folder_fd, what="x", **more),
        pytest.raises(BusyError, match="somebody else is writing y"),
        hold_folder(folder_fd, what="y", patience_s=0.02, **more),
    ):
        pass


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"name": "x" * 201}, "201 characters"),
        ({"add_tags": ["x" * 201]}, "201 characters"),
        ({"add_tags": ["  "]}, "a tag is empty"),
        ({"notes": "x" * (NOTES_MAX_BYTES + 1)}, "32,769 bytes"),
        ({"add_tags": ["a"], "remove_tags": ["a"]}, "added and removed"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_hint(said: dict[str, Any], part: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_changes(**said)
    assert part in caught.value.message
    assert caught.value.hint


def test_texts_are_cleaned_of_what_commands_a_terminal() -> None:
    changes = make_changes(
        name=" a\x1b[2Jb\n", notes="one\r\n\ttwo\x07\n\n", add_tags=["t\ud800", " x "]
    )
    assert changes == {
        "name": "a\N{REPLACEMENT CHARACTER}[2Jb",
        "notes": "one\n\ttwo\N{REPLACEMENT CHARACTER}",
        "tag:t\N{REPLACEMENT CHARACTER}": True,
        "tag:x": True,
    }


def change(before: Annotations, said: dict[str, Any], wall_s: float = 1.0) -> Annotations:
    return edit(before, said, is_server=False, wall_s=wall_s, by="ann")


def test_annotations_cannot_grow_without_end_but_can_always_shrink() -> None:
    many = {f"tag:{number}": True for number in range(TAGS_MAX + 1)}
    with pytest.raises(UsageError, match="1,001 tags are too many"):
        change(NOTHING, many)
    long = change(NOTHING, {f"tag:{number:0150}": True for number in range(250)})
    with pytest.raises(UsageError, match="would take"):
        change(long, {f"tag:b{number:0150}": True for number in range(100)})
    # What two sides have added is more than one may add, and is kept.
    more = change(NOTHING, {f"tag:c{number:0150}": True for number in range(250)})
    both = merge(long, more)
    assert MAX_BYTES < len(both.to_bytes()) < MERGED_MAX_BYTES
    assert Annotations.from_bytes(both.to_bytes()) == both
    assert len(change(both, dict.fromkeys(long.entries, False)).added_tags()) == 250
    with pytest.raises(UsageError, match="would take"):
        change(both, {"notes": "more"})


def test_a_clock_that_was_set_back_does_not_undo_a_later_edit() -> None:
    first = change(NOTHING, {"name": "first"}, wall_s=500.0)
    second = change(first, {"name": "second"}, wall_s=3.0)
    assert merge(first, second).name == merge(second, first).name == "second"


def test_a_version_as_high_as_can_be_locks_nobody_out() -> None:
    top = Annotations({"name": Entry("x", VERSION_MAX, wall_s=9.0, base=VERSION_MAX)})
    for is_server in (True, False):
        edited = edit(top, {"name": "y"}, is_server=is_server, wall_s=1.0, by="")
        assert merge(top, edited).name == merge(edited, top).name == "y"
        assert Annotations.from_bytes(edited.to_bytes()) == edited


def test_what_a_newer_hpctrack_says_is_kept_and_merged_alike() -> None:
    told = {"value": {"stars": 5}, "version": 2, "wall_s": 3, "why": "because"}
    newer = annotate_raw({"rating": told, "name": {**told, "value": "n"}})
    older = annotate_raw({"rating": {**told, "version": 1, "value": 3}})
    merged = fold(older, newer)
    assert json.loads(merged.to_bytes())["entries"]["rating"] == told
    assert change(merged, {"notes": "mine"}).entries["name"].more == {"why": "because"}


def annotate_raw(entries: dict[str, Any]) -> Annotations:
    data = json.dumps({"kind": "hpctrack-annotations", "format": 1, "entries": entries}).encode()
    found = Annotations.from_bytes(data)
    assert found is not None
    return found


GOOD = {"value": "x", "version": 1, "wall_s": 1.0}


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("name", None),
        ("name", {**GOOD, "value": 5}),
        ("name", {**GOOD, "value": "a\x1b"}),
        ("name", {**GOOD, "value": "\ud800"}),
        ("name", {**GOOD, "version": 0}),
        ("name", {**GOOD, "version": True}),
        ("name", {**GOOD, "version": VERSION_MAX + 1}),
        ("name", {**GOOD, "version": 1.0}),
        ("name", {**GOOD, "base": 2}),
        ("name", {**GOOD, "base": None}),
        ("name", {**GOOD, "wall_s": float("nan")}),
        ("name", {**GOOD, "wall_s": float("inf")}),
        ("name", {**GOOD, "wall_s": -1}),
        ("name", {**GOOD, "wall_s": True}),
        ("name", {**GOOD, "wall_s": 10**400}),
        ("name", {**GOOD, "server": 1}),
        ("name", {**GOOD, "by": "x" * 101}),
        ("name", {"version": 1, "wall_s": 1.0}),
        ("notes", {**GOOD, "value": "x" * (NOTES_MAX_BYTES + 1)}),
        ("notes", {**GOOD, "value": "bell\x07"}),
        ("tag:a", {**GOOD, "value": 1}),
        ("tag:", {**GOOD, "value": True}),
        ("tag:" + "x" * 201, {**GOOD, "value": True}),
        ("tag:a\n", {**GOOD, "value": True}),
        ("", GOOD),
        ("later", {**GOOD, "value": [[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]}),
        ("later", {**GOOD, "why": float("nan")}),
    ],
)
def test_a_malformed_entry_is_left_out_and_costs_no_other(key: str, told: object) -> None:
    found = annotate_raw({key: told, "tag:good": {**GOOD, "value": True}})
    assert list(found.entries) == ["tag:good"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"kind": "other", "format": 1, "entries": {}}',
        b'{"kind": "hpctrack-annotations", "format": 1}',
        b'{"kind": "hpctrack-annotations", "format": "1", "entries": {}}',
        b'{"kind": "hpctrack-annotations", "format": 1, "entries": {}}' + b" " * MERGED_MAX_BYTES,
        b"[" * 100_000,
        b"9" * 100_000,
    ],
)
def test_what_are_no_annotations_are_none(data: bytes, store: Path) -> None:
    assert Annotations.from_bytes(data) is None
    with pytest.raises(HpctrackError, match="are none"):
        fold_annotations(store, "p", "one", data)
