"""The index of listings: never in the way, never wrong, never needed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import hpctrack
from hpctrack.core.layout import SEALED_NAME, scan_runs
from hpctrack.errors import UsageError
from hpctrack.store.index import Index, cache_folder, is_worth_saving
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from tests.programs import ROOT
from tests.stores import NodeWriter, write_run

Facts = dict[str, tuple[object, ...]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs of two projects: two sealed, one not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "the store"
    seal_run(write_run(path, run="one", project="a"))
    seal_run(write_run(path, run="two", project="b", ranks=3))
    write_run(path, run="open", project="b")
    return path


def facts(path: Path, *, index: bool = True) -> Facts:
    return {
        run.id: (run.project, run.name, run.state, run.config, run.summary, run.is_sealed)
        for run in hpctrack.Store(path, index=index).runs()
    }


def known(path: Path) -> set[str]:
    return {run for _project, run in Index(path).load()}


def test_a_listing_says_the_same_with_and_without_the_index(store: Path) -> None:
    without = facts(store, index=False)
    assert not cache_folder().exists()
    assert facts(store) == without
    assert known(store) == {"one", "two"}
    assert facts(store) == without


def test_paths_that_are_no_utf_8_are_listed_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / os.fsdecode(b"caf\xe9")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    store = home / "store"
    seal_run(write_run(store, run="one"))
    without = facts(store, index=False)
    for _time in range(2):
        assert facts(store) == without
    assert known(store) == {"one"}
    assert known(home / "another") == set()


def test_a_listed_run_answers_every_question_in_full(store: Path) -> None:
    hpctrack.Store(store).runs()
    found = {run.id: run for run in hpctrack.Store(store).runs()}
    assert found["two"].is_listed
    assert found["two"].brief.ranks == ()
    assert len(found["two"].ranks()) == 3
    assert found["two"].metric("loss").rank_numbers() == [0, 1, 2]
    assert not found["open"].is_listed


def test_a_listing_that_the_index_answers_does_not_load_h5py(store: Path) -> None:
    shutil.rmtree(store / "b" / "open")
    code = (
        "import sys, hpctrack;"
        "runs = hpctrack.Store(sys.argv[1]).runs();"
        "assert len(runs) == 2 and runs[0].config and runs[0].summary;"
        "print('h5py' in sys.modules)"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", code, str(store)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        ).stdout.strip()
        for _time in range(2)
    ]
    assert answers == ["True", "False"]


def test_filters_and_orders_work_on_listed_runs(store: Path) -> None:
    hpctrack.Store(store).runs()
    opened = hpctrack.Store(store)
    assert [run.id for run in opened.runs({"user": "alice", "config.lr": 0.1}, "id")] == [
        "one",
        "open",
        "two",
    ]
    assert [run.id for run in opened.runs(project="b", order="-size")] == ["two", "open"]
    assert opened.projects() == ["a", "b"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"config.lr": {"$not": {"$gt": 1}}}, 3),
        ({"config.lr": {"$not": {"$lt": 1}}}, 0),
        ({"$nor": [{"id": "one"}, {"id": "two"}]}, 1),
        ({"created_at": {"$gt": "1970-01-02"}}, 3),
        ({"createdAt": {"$gt": "1970-02-02T12:00"}}, 0),
        ({"displayName": {"$regex": "^o"}, "jobType": ""}, 2),
        ({"id": {"$in": ("one", "two")}}, 2),
    ],
)
def test_filters_are_those_of_the_tracker_that_people_know(
    store: Path, wanted: dict[str, object], found: int
) -> None:
    for run in ("one", "open"):
        writer = NodeWriter(store, project="a" if run == "one" else "b", run=run, node=9)
        writer.start(0)
        writer.event(EventKind.META, {"name": run})
        writer.close()
    assert len(hpctrack.Store(store).runs(wanted)) == found


@pytest.mark.parametrize(
    "wanted",
    [{"id": {"$in": "one"}}, {"id": {"$regex": "("}}, {"created": {"$gt": "soon"}}, "a"],
)
def test_a_filter_that_makes_no_sense_is_an_error_with_a_hint(store: Path, wanted: Any) -> None:
    with pytest.raises(UsageError) as caught:
        hpctrack.Store(store).runs(wanted)
    assert caught.value.hint


def test_without_a_folder_the_store_is_the_one_that_is_set(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCTRACK_DIR", str(store))
    assert hpctrack.Store().path == store


def test_a_run_that_was_sealed_again_is_read_again(store: Path) -> None:
    facts(store)
    folder = store / "a" / "one"
    again = NodeWriter(store, project="a", run="one", attempt=2)
    session = again.start(0)
    again.points("loss", 0, [3], [30.0])
    again.flush()
    assert not hpctrack.Store(store).run("a/one").is_listed
    assert hpctrack.Store(store).runs({"id": "one"})[0].record.attempts == 2
    again.end(0, session)
    again.close()
    seal_run(folder)
    assert hpctrack.Store(store).runs({"id": "one"})[0].summary["loss"] == 30.0
    assert facts(store) == facts(store, index=False)


def test_runs_that_have_gone_are_not_listed(store: Path) -> None:
    facts(store)
    shutil.rmtree(store / "a")
    assert set(facts(store)) == {"two", "open"}
    assert known(store) == {"two"}


def test_listing_one_project_keeps_what_is_known_of_the_others(store: Path) -> None:
    facts(store)
    seal_run(store / "b" / "open")
    assert len(hpctrack.Store(store).runs(project="b")) == 2
    assert known(store) == {"one", "two", "open"}


@pytest.mark.parametrize("damage", ["garbage", "cut", "other version", "flipped", "folder"])
def test_a_damaged_index_is_not_used(store: Path, damage: str) -> None:
    before = facts(store)
    path = Index(store).path
    data = path.read_bytes()
    if damage == "garbage":
        path.write_bytes(b"nothing like a database" * 100)
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "other version":
        with sqlite3.connect(path) as database:
            database.execute("update meta set made_by = 'hpctrack 99'")
        database.close()
    elif damage == "flipped":
        assert b"calm-lake" in data
        path.write_bytes(data.replace(b"calm-lake", b"clam-lake"))
    else:
        path.unlink()
        path.mkdir()
    assert Index(store).load() == {}
    assert facts(store) == before


@pytest.mark.parametrize("odd", [None, 7, b"bytes"])
def test_a_record_in_the_index_that_is_no_text_is_not_used(store: Path, odd: object) -> None:
    # SQLite has no checksums: a changed bit in a row's head changes the types of its columns.
    before = facts(store)
    path = Index(store).path
    with sqlite3.connect(path) as database:
        database.execute("update runs set record = ? where id = 'one'", (odd,))
    database.close()
    assert known(store) == {"two"}
    assert facts(store) == before


def test_a_cache_folder_that_cannot_be_made_is_done_without(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert facts(store) == facts(store, index=False)
    assert not Index(store).save({})


def test_many_listings_at_once_leave_a_whole_index(store: Path) -> None:
    expected = facts(store, index=False)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _time: facts(store), range(16))) == [expected] * 16
    assert known(store) == {"one", "two"}
    assert [path.name for path in cache_folder().iterdir()] == [Index(store).path.name]


def test_what_is_odd_in_a_store_does_not_break_its_listing(store: Path, tmp_path: Path) -> None:
    (store / "a" / "empty").mkdir()
    (store / "a" / "a file").touch()
    (store / "a" / "dangling").symlink_to(tmp_path / "nowhere")
    (store / "a" / ".hidden").mkdir()
    (store / "a" / "linked").symlink_to(store / "b" / "two")
    odd = store / "a" / "odd"
    odd.mkdir()
    (odd / SEALED_NAME).symlink_to(tmp_path / "nowhere")
    runs, broken = hpctrack.Store(store).listing(order="id")
    assert [run.id for run in runs] == ["linked", "one", "open", "two"]
    assert [run.id for run, _error in broken] == ["odd"]
    assert [found.id for found in scan_runs(store, "nothing")] == []


def test_the_index_is_written_when_that_pays() -> None:
    assert is_worth_saving(new=1, gone=0, total=0)
    assert is_worth_saving(new=1, gone=0, total=99)
    assert not is_worth_saving(new=20, gone=20, total=10_000)
    assert is_worth_saving(new=200, gone=0, total=10_000)
    assert is_worth_saving(new=0, gone=6000, total=10_000)
