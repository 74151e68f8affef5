"""Replicas: the same rows as in the original, whatever comes, and whoever is killed."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpctrack.errors import BusyError, StoreError, StoreFormatError
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.replica import (
    ReplicaGapError,
    Replicas,
    append_tail,
    drop_replicas,
    read_replicas,
)
from hpctrack.store.replica_states import hold_replicas
from hpctrack.store.tails import NodeState, Piece, Tail
from hpctrack.store.vocabulary import TABLE_ROW_BYTES
from hpctrack.sync.sending.tails import TailReader
from tests.replicas import (
    Appender,
    assert_prefix,
    make_tail,
    read_facts,
    read_rows,
    write_some,
)
from tests.stores import START_S, NodeWriter


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node file with rows in every table."""
    writer = NodeWriter(tmp_path_factory.mktemp("there"))
    session = writer.start(0)
    for number in range(5):
        write_some(writer, number)
    writer.end(0, session)
    return writer.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "here" / "p" / "r"
    found.mkdir(parents=True)
    return found


def whole_tail(source: Path, as_of_wall_s: float = START_S + 100) -> Tail:
    with TailReader(source) as reader:
        (tail,) = reader.iter_tails({}, as_of_wall_s)
    return tail


def test_a_replica_has_the_rows_the_name_and_the_attributes_of_its_original(
    source: Path, folder: Path
) -> None:
    tail = whole_tail(source)
    state = append_tail(folder, source.name, tail)
    assert state == replace(tail.state, rows=dict(tail.state.rows))
    assert read_replicas(folder) == {source.name: state}
    assert read_rows(folder / source.name) == read_rows(source)
    assert read_facts(folder / source.name) == read_facts(source)
    with NodeReader(folder / source.name) as reader:
        assert reader.read_events().as_of_wall_s == START_S + 100
        assert reader.read_events().is_closed
    assert sorted(one.name for one in folder.iterdir()) == [
        ".replica.json", ".replica.json.old", ".replica.lock", source.name,
    ]  # fmt: skip


def test_it_is_appended_to_through_a_descriptor_of_its_folder(source: Path, folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        below = Path(f"/proc/self/fd/{handle}")
        with pytest.raises(StoreFormatError, match="of another run"):
            append_tail(below, source.name, whole_tail(source), of=("p", "other"))
        append_tail(below, source.name, whole_tail(source), of=("p", "r"))
        assert read_replicas(below).keys() == {source.name}
    finally:
        os.close(handle)
    assert read_rows(folder / source.name) == read_rows(source)


counts = st.integers(min_value=0, max_value=100)


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.tuples(*[st.tuples(counts, counts)] * len(TABLE_ROW_BYTES)), max_size=6))
def test_any_cuts_with_any_overlaps_make_the_same_replica(
    source: Path, tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[tuple[int, int], ...]]
) -> None:
    folder = tmp_path_factory.mktemp("here") / "p" / "r"
    folder.mkdir(parents=True)
    rows = read_rows(source)
    total = {name: len(rows[name]) // size for name, size in TABLE_ROW_BYTES.items()}
    uuid = str(read_facts(source)["uuid"])
    there = dict.fromkeys(TABLE_ROW_BYTES, 0)
    with Replicas(folder) as replicas:
        for cut in cuts:
            since, until = {}, {}
            for name, (one, other) in zip(TABLE_ROW_BYTES, cut, strict=True):
                first, last = sorted((one, other))
                until[name] = total[name] * last // 100
                since[name] = min(there[name], until[name], total[name] * first // 100)
            state = NodeState(uuid=uuid, rows=until, pulse_wall_s=START_S)
            replicas.append(source.name, make_tail(source, rows, since, until, state))
            if sum(map(sum, cut)) % 2:
                replicas.commit(is_synced=True)
            there = {name: max(there[name], until[name]) for name in there}
            assert replicas.states[source.name].rows == there
            found = read_rows(folder / source.name)
            assert {n: len(found[n]) // TABLE_ROW_BYTES[n] for n in there} == there
    for _twice in range(2):
        append_tail(folder, source.name, whole_tail(source))
        assert read_rows(folder / source.name) == rows


def test_a_gap_is_an_error_and_changes_nothing(source: Path, folder: Path) -> None:
    rows = read_rows(source)
    tail = whole_tail(source)
    nothing = dict.fromkeys(TABLE_ROW_BYTES, 0)
    some = {name: len(rows[name]) // size // 2 for name, size in TABLE_ROW_BYTES.items()}
    later = make_tail(source, rows, some, dict(tail.state.rows), tail.state)
    with pytest.raises(ReplicaGapError, match="gap"):
        append_tail(folder, source.name, later)
    assert not (folder / source.name).exists()
    first = replace(tail.state, rows=some, closed_wall_s=0.0)
    append_tail(folder, source.name, make_tail(source, rows, nothing, some, first))
    before = read_rows(folder / source.name)
    behind = {**some, "points": some["points"] + 1}
    with pytest.raises(ReplicaGapError, match="of points"):
        append_tail(
            folder, source.name, make_tail(source, rows, behind, dict(tail.state.rows), tail.state)
        )
    with pytest.raises(ReplicaGapError):
        append_tail(folder, source.name, replace(tail, pieces=()))
    assert read_rows(folder / source.name) == before
    append_tail(folder, source.name, later)
    assert read_rows(folder / source.name) == rows


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"facts": {"run": "other"}}, "another run"),
        ({"facts": {"attempt": 2}}, "another node or attempt"),
        ({"facts": {"attempt": True}}, "a number is none"),
        ({"facts": {"format": 99}}, "format 99"),
        ({"facts": {"kind": "hpctrack-sealed"}}, "no live file"),
        ({"facts": {"host": "h" * 5000}}, "too long"),
        ({"facts": {"host": 7}}, "no text"),
        ({"facts": {"more": 7}}, "others"),
        ({"facts": {"uuid": "../../../etc"}}, "uuid"),
        ({"facts": {"created_wall_s": float("nan")}}, "no time"),
        ({"state": {"uuid": "0123456789"}}, "two files"),
        ({"state": {"pulse_wall_s": float("inf")}}, "no time"),
        ({"state": {"rows": {"points": -1}}}, "wrongly"),
        ({"pieces": (Piece("nothing", 0, b"x"),)}, "unknown"),
        ({"pieces": (Piece("points", 0, b"x"),)}, "not whole"),
        ({"pieces": (Piece("blobs", -1, b"x"),)}, "wrongly"),
    ],
)
def test_what_cannot_be_a_tail_is_refused(
    source: Path, folder: Path, change: dict[str, Any], match: str
) -> None:
    tail = whole_tail(source)
    ((part, value),) = change.items()
    if part == "facts":
        value = {**tail.facts, **value}
    elif part == "state":
        value = replace(tail.state, **value)
    with pytest.raises(StoreFormatError, match=match):
        append_tail(folder, source.name, replace(tail, **{part: value}))
    with pytest.raises(StoreFormatError, match="name"):
        append_tail(folder, "../run.h5", tail)
    assert not (folder / source.name).exists()


def test_links_and_files_of_its_own_are_left_alone(
    source: Path, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.h5"
    elsewhere.write_bytes(b"")
    (folder / source.name).symlink_to(elsewhere)
    with pytest.raises(StoreError, match="cannot be written"):
        append_tail(folder, source.name, whole_tail(source))
    assert elsewhere.read_bytes() == b""
    (folder / source.name).unlink()
    (folder / source.name).mkdir()
    with pytest.raises(StoreError):
        append_tail(folder, source.name, whole_tail(source))
    (folder / source.name).rmdir()
    # A job of this very machine: the same name, and nobody said that it is a replica.
    (folder / source.name).write_bytes(source.read_bytes())
    before = source.read_bytes()
    with pytest.raises(StoreError, match="own"):
        append_tail(folder, source.name, whole_tail(source))
    assert (folder / source.name).read_bytes() == before


def test_another_file_of_the_same_name_is_refused(source: Path, folder: Path) -> None:
    append_tail(folder, source.name, whole_tail(source))
    tail = whole_tail(source)
    other = "f" * 32
    state = replace(tail.state, uuid=other)
    other_tail = replace(tail, facts={**tail.facts, "uuid": other}, state=state)
    with pytest.raises(StoreError, match="another file"):
        append_tail(folder, source.name, other_tail)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"x": 1}', "null", '{"node-0000.a1-7f3c09be.h5": {"rows": 3}}']
)
def test_what_is_known_may_be_damaged(source: Path, folder: Path, text: str) -> None:
    append_tail(folder, source.name, whole_tail(source))
    (folder / ".replica.json").write_text(text)
    assert read_replicas(folder) == {}
    state = append_tail(folder, source.name, whole_tail(source))
    assert read_replicas(folder) == {source.name: state}
    assert read_rows(folder / source.name) == read_rows(source)


def test_what_was_not_noted_is_written_again(source: Path, folder: Path) -> None:
    """A power cut may have left zeros there."""
    rows = read_rows(source)
    tail = whole_tail(source)
    zeros = tuple(replace(one, data=bytes(len(one.data))) for one in tail.pieces)
    with Replicas(folder) as replicas:
        replicas.append(source.name, replace(tail, pieces=zeros))
    assert read_replicas(folder)[source.name].rows == dict.fromkeys(TABLE_ROW_BYTES, 0)
    append_tail(folder, source.name, tail)
    assert read_rows(folder / source.name) == rows


def test_rows_that_a_disk_has_lost_are_asked_for_again(source: Path, folder: Path) -> None:
    rows = read_rows(source)
    tail = whole_tail(source)
    some = {name: len(rows[name]) // size // 2 for name, size in TABLE_ROW_BYTES.items()}
    first = make_tail(source, rows, dict.fromkeys(some, 0), some, replace(tail.state, rows=some))
    append_tail(folder, source.name, first)
    known = json.loads((folder / ".replica.json").read_text())
    known[source.name]["rows"]["points"] += 7
    (folder / ".replica.json").write_text(json.dumps(known))
    with pytest.raises(ReplicaGapError, match="lost rows"):
        append_tail(folder, source.name, make_tail(
            source, rows, {**some, "points": some["points"] + 7}, dict(tail.state.rows), tail.state
        ))  # fmt: skip
    assert read_replicas(folder)[source.name].rows == some


def test_the_later_look_counts_whatever_the_clocks_say(source: Path, folder: Path) -> None:
    tail = whole_tail(source)
    open_ = replace(tail.state, closed_wall_s=0.0, pulse_wall_s=50.0, as_of_wall_s=90.0)
    append_tail(folder, source.name, replace(tail, state=open_))
    older = replace(open_, pulse_wall_s=40.0, as_of_wall_s=1e6)
    assert append_tail(folder, source.name, replace(tail, state=older)).as_of_wall_s == 90.0
    same = replace(open_, as_of_wall_s=80.0)
    assert append_tail(folder, source.name, replace(tail, state=same)).as_of_wall_s == 90.0
    newer = replace(open_, pulse_wall_s=60.0, as_of_wall_s=70.0)
    state = append_tail(folder, source.name, replace(tail, pieces=(), state=newer))
    assert (state.pulse_wall_s, state.as_of_wall_s, state.closed_wall_s) == (60.0, 70.0, 0.0)
    with NodeReader(folder / source.name) as reader:
        assert reader.read_events().pulse_wall_s == 60.0
        assert reader.read_events().is_live(1e12, 60.0)


def test_two_receivers_wait_for_each_other(source: Path, folder: Path) -> None:
    with (
        hold_replicas(folder),
        pytest.raises(BusyError),
        Replicas(folder, wait_s=0.05) as replicas,
    ):
        replicas.append(source.name, whole_tail(source))
    append_tail(folder, source.name, whole_tail(source))


def test_a_sealed_file_takes_the_place_of_its_replicas(source: Path, folder: Path) -> None:
    assert drop_replicas(folder, {"x"}) == []
    append_tail(folder, source.name, whole_tail(source))
    assert drop_replicas(folder, {"x"}) == []
    assert drop_replicas(folder, {str(read_facts(source)["uuid"])}) == [source.name]
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_killed_anywhere_the_replica_is_a_beginning_and_goes_on(source: Path, folder: Path) -> None:
    rows, path = read_rows(source), folder / source.name
    chance = random.Random(7)
    with TailReader(source) as reader:
        tails = list(reader.iter_tails({}, START_S + 100, limit_bytes=4096))
    assert len(tails) > 10
    kills = 0
    with Appender(folder) as appender:
        for tail in tails:
            while chance.random() < 0.8:
                before = read_rows(path) if path.exists() else {}
                kills += appender.append(source.name, tail, kill_at=chance.randrange(1, 600))
                if path.exists():
                    found = read_rows(path)
                    assert_prefix(found, rows)
                    assert_prefix(before, found)
                    noted = read_replicas(folder)[source.name].rows
                    assert all(
                        noted[name] * size <= len(found[name])
                        for name, size in TABLE_ROW_BYTES.items()
                    )
            assert not appender.append(source.name, tail)
    assert kills >= 20
    assert read_rows(path) == rows
    assert [one.name for one in folder.iterdir() if one.name.endswith(".tmp")] == []
