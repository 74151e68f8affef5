"""What people say of a run, on either side, is the same on both after a push."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.layout import SERVER_FOLDER
from hpctrack.store.annotation_file import (
    edit_annotations,
    read_annotation_bytes,
    read_annotations,
)
from hpctrack.store.seal import seal_run
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.files.place import open_folder
from hpctrack.sync.receiving.answers import Answerer
from hpctrack.sync.receiving.landing import split_results
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.sending.push import push
from hpctrack.sync.wire.messages import (
    TOKEN_BYTES,
    ItemKind,
    Key,
    Offer,
    Offered,
    Outcome,
    Result,
    Results,
)
from hpctrack.sync.wire.protocol import MAX_BODY_BYTES, encode
from tests.stores import NodeWriter, write_run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A store with a sealed run, and one that goes on."""
    path = tmp_path / "source"
    seal_run(write_run(path, run="one"))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def say(store: Path, run: str = "one", **more: Any) -> None:
    edit_annotations(store, "p", run, **more)


def test_a_push_confirms_what_both_sides_have_then(source: Path, target: Path) -> None:
    say(source, name="mine")
    (target / "p" / "one").mkdir(parents=True)
    (target / SERVER_FOLDER).mkdir()
    say(target, add_tags=["theirs"])
    result = push(source, str(target))
    (found,) = [one for one in result.items if one.key.kind == ItemKind.ANNOTATIONS]
    data = read_annotation_bytes(source, "p", "one")
    assert data is not None
    assert found.sha256 == hashlib.sha256(data).hexdigest()


def check_equal(source: Path, target: Path, run: str = "one") -> str:
    """Return the name that both sides have."""
    here, there = (read_annotation_bytes(store, "p", run) for store in (source, target))
    assert here is not None
    assert here == there
    return Store(target).run(f"p/{run}").name


def test_an_edit_travels_with_its_run_and_then_alone(source: Path, target: Path) -> None:
    say(source, name="mine", add_tags=["x"])
    push(source, str(target))
    assert check_equal(source, target) == "mine"
    assert Store(target).run("mine").tags == ["x"]
    say(source, name="mine again")
    result = push(source, str(target))
    assert check_equal(source, target) == "mine again"
    assert result.size_bytes < 1000
    assert push(source, str(target)).size_bytes == 0


def test_an_edit_on_the_server_comes_back_with_the_next_push(source: Path, target: Path) -> None:
    push(source, str(target))
    assert (target / SERVER_FOLDER).is_dir()
    say(target, name="theirs", add_tags=["good"])
    push(source, str(target))
    assert check_equal(source, target) == "theirs"
    say(target, notes="more")
    push(source, str(target))
    check_equal(source, target)
    assert Store(source).run("theirs").notes == "more"


def test_the_servers_edit_wins_over_one_that_knew_nothing_of_it(source: Path, target: Path) -> None:
    push(source, str(target))
    say(target, name="theirs", add_tags=["theirs"])
    for name in ("a", "b", "c"):
        say(source, name=name, add_tags=[name])
    push(source, str(target))
    assert check_equal(source, target) == "theirs"
    assert Store(source).run("one").tags == ["theirs", "a", "b", "c"]
    say(source, name="seen it", remove_tags=["theirs"])
    push(source, str(target))
    assert check_equal(source, target) == "seen it"
    assert Store(target).run("one").tags == ["a", "b", "c"]


def test_two_clients_and_a_server_end_alike(source: Path, target: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    seal_run(write_run(other, run="two"))
    push(source, str(target))
    # The second client has the run by a copy of the first one's store.
    (other / "p" / "one").mkdir(parents=True)
    (other / "p" / "one" / "run.h5").write_bytes((source / "p/one/run.h5").read_bytes())
    say(source, add_tags=["a"])
    say(other, add_tags=["b"], notes="from other")
    say(target, name="server's")
    for store in (source, other, source):
        push(store, str(target))
    assert check_equal(source, target) == check_equal(other, target) == "server's"
    assert set(Store(other).run("one").tags) == {"a", "b"}


def test_a_run_that_goes_on_takes_its_edits_along(source: Path, target: Path) -> None:
    writer = NodeWriter(source, run="live", wall_s=SYSTEM_CLOCK.wall_s())
    writer.start(0)
    writer.points("loss", 0, range(3), [1.0, 2.0, 3.0])
    writer.flush()
    say(source, "live", name="going on")
    push(source, str(target))
    assert check_equal(source, target, "live") == "going on"
    say(target, "live", notes="theirs")
    push(source, str(target))
    assert Store(source).run("live").notes == "theirs"
    writer.close()


LONG: dict[str, Any] = {
    "notes": "\N{LATIN SMALL LETTER E WITH ACUTE}\n" * 10_000,
    "add_tags": ['"' * 199] * 9,
}


def test_what_was_said_of_many_runs_fits_into_a_frame_or_waits(source: Path) -> None:
    for number in range(90):
        (source / "p" / f"run-{number}").mkdir()
        say(source, f"run-{number}", **LONG)
    with open_store(source) as store_fd:
        answerer = Answerer(store_fd, HashCache(source), Policy())
        keys = [Key(ItemKind.RUN, "p", f"run-{number}") for number in range(90)]
        answer = answerer.answer(Offer(tuple(Offered(key, bytes(TOKEN_BYTES)) for key in keys)))
    assert len(encode(answer)) < MAX_BODY_BYTES
    assert 0 < sum("annotations" in one for one in answer.details.values()) < 90


def test_results_with_what_counts_now_are_told_in_as_many_frames_as_they_need() -> None:
    results = [
        Result(number, Outcome.MERGED, "", {"annotations": LONG["notes"] * 4})
        for number in range(90)
    ]
    parts = list(split_results(results))
    assert [one for part in parts for one in part] == results
    assert 1 < len(parts) < 90
    assert all(len(encode(Results(part))) < MAX_BODY_BYTES for part in parts)
    assert list(split_results(results[:1])) == [(results[0],)]
    assert list(split_results([])) == []


def open_store(store: Path) -> Any:
    return open_folder(os.open(store, os.O_RDONLY), ())


def test_a_dry_run_changes_nothing(source: Path, target: Path) -> None:
    push(source, str(target))
    say(target, name="theirs")
    say(source, notes="mine")
    before = read_annotation_bytes(source, "p", "one")
    result = push(source, str(target), dry_run=True)
    assert result.size_bytes == 0
    assert read_annotation_bytes(source, "p", "one") == before
    assert read_annotations(target, "p", "one").notes is None
