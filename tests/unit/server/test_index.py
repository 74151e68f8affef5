"""The index of runs: filters against plain Python, order, groups, changes, the saved table."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.store.accounting_file import write_accounting
from hpctrack.store.annotation_file import edit_annotations
from hpctrack.store.seal import seal_run
from hpctrack_server.data.index.groups import BUT_SEED
from hpctrack_server.data.index.query import ColumnKind, RunQuery, Scope, SortKey
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.index.saved import SavedTable
from hpctrack_server.data.index.segment import MAX_COLUMNS, make_segment
from hpctrack_server.data.index.snapshot import Snapshot
from hpctrack_server.data.index.tiers import FreshRun, Tiers
from hpctrack_server.language.errors import QueryError
from hpctrack_server.settings import ServerSettings
from tests.stores import START_S, FakeClock, NodeWriter, write_run

NOW_S = 1_800_000_000.0
Row = Mapping[str, Any]


def snapshot_of(rows: Sequence[Row], cut: int | None = None) -> Snapshot:
    """Return rows as one table, or as an old one and a new one."""
    parts = [rows] if cut is None else [rows[:cut], rows[cut:]]
    segments = tuple(make_segment([dict(row) for row in part]) for part in parts)
    return Snapshot(segments, np.ones(len(rows), bool), version="1")


def find(snapshot: Snapshot, text: str = "", **more: Any) -> list[str]:
    query = RunQuery(filter=text, scope=Scope.ALL, **more)
    rows = snapshot.find(query, now_wall_s=NOW_S)
    ordered = snapshot.order(query, rows, len(rows))
    return snapshot.take(["id"], ordered)["id"]


def rows_of(**columns: Sequence[Any]) -> list[Row]:
    length = len(next(iter(columns.values())))
    return [
        {"id": f"r{number}", **{k.replace("__", "."): v[number] for k, v in columns.items()}}
        for number in range(length)
    ]


# -- filters, against an evaluation that is as plain as can be --------------------------------

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(-3, 3, width=16), st.just(math.nan),
    st.sampled_from(["adam", "sgd", "Adam W", "", "1"]),
    st.lists(st.sampled_from(["adam", "x"]), max_size=2),
)  # fmt: skip
LITERALS = st.sampled_from(["1", "-2", "0.5", '"adam"', '"sgd"', "true", "false"])
PYTHON = {
    "1": 1, "-2": -2, "0.5": 0.5, '"adam"': "adam", '"sgd"': "sgd", "true": True, "false": False,
}  # fmt: skip
Test = tuple[str, Callable[[Any], bool]]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equals(value: Any, wanted: Any) -> bool:
    if isinstance(value, list):
        return wanted in value if isinstance(wanted, str) else False
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted
    return type(value) in {int, float, str} and bool(value == wanted)


COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
PLAIN: Mapping[str, Callable[[Any], bool]] = {
    "a exists": lambda one: one is not None and one != [],
    "a is nan": lambda one: isinstance(one, float) and math.isnan(one),
    "a": lambda one: one is True,
    'a ~ "^ad"': lambda one: any(
        isinstance(text, str) and text.startswith("ad")
        for text in (one if isinstance(one, list) else [one])
    ),
}


@st.composite
def single_tests(draw: st.DrawFn) -> Test:
    kind = draw(st.sampled_from(["==", "!=", "in", *COMPARE, *PLAIN]))
    if kind in PLAIN:
        return kind, PLAIN[kind]
    if kind in COMPARE:
        bound = draw(st.sampled_from([-1, 0, 0.5, 2]))
        return f"a {kind} {bound}", lambda one: _is_number(one) and COMPARE[kind](one, bound)
    first, second = draw(LITERALS), draw(LITERALS)
    if kind == "in":
        return f"a in [{first}, {second}]", lambda one: any(
            _equals(one, PYTHON[literal]) for literal in (first, second)
        )
    return f"a {kind} {first}", lambda one: _equals(one, PYTHON[first]) == (kind == "==")


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> Test:
    kind = draw(st.sampled_from(["test", "and", "or", "not"])) if depth else "test"
    if kind == "test":
        return draw(single_tests())
    text, test = draw(conditions(depth=depth - 1))
    if kind == "not":
        return f"not ({text})", lambda one: not test(one)
    other, other_test = draw(conditions(depth=depth - 1))
    if kind == "and":
        return f"({text}) and ({other})", lambda one: test(one) and other_test(one)
    return f"({text}) or ({other})", lambda one: test(one) or other_test(one)


@given(st.lists(VALUES, min_size=1, max_size=12), conditions(), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_a_filter_finds_what_plain_python_finds(
    values: list[Any], condition: Test, cut: int
) -> None:
    text, test = condition
    rows = [{"id": f"r{number}", "a": value} for number, value in enumerate(values)]
    rows.append({"id": "number", "a": 7})  # a column that has nothing compares with nothing
    snapshot = snapshot_of(rows, min(cut, len(rows)) or None)
    expected = {str(row["id"]) for row in rows if test(row["a"])}
    is_refused = False
    try:
        found = set(find(snapshot, text))
    except QueryError as error:
        found, is_refused = set(), "compared" in error.message
    assert is_refused or found == expected


def test_dates_and_durations_are_compared_with_times() -> None:
    rows = rows_of(
        created=[NOW_S - 3600, NOW_S - 3 * 86400, 1_777_600_000.0], duration=[5, 8000, 60]
    )
    found = snapshot_of(rows)
    assert find(found, "created > -1d") == ["r0"]
    assert find(found, 'created < "2026-05-02"') == ["r2"]
    assert find(found, "created == 2026-05-01") == ["r2"]
    assert find(found, "duration > 2h") == ["r1"]
    with pytest.raises(QueryError, match="is a time"):
        find(found, 'created > "soon"')


def test_columns_are_compared_with_each_other() -> None:
    rows = rows_of(a=[1, 2.5, None, "x"], b=[0, 2.5, 1, "x"])
    assert find(snapshot_of(rows), "a > b") == ["r0"]
    assert find(snapshot_of(rows), "a == b") == ["r1", "r3"]


def test_numbers_find_ids_of_slurm_and_no_other_text_that_looks_like_them() -> None:
    rows = [{"id": "a", "slurm.job_id": "4711"}, {"id": "b", "slurm.job_id": "4712"}]
    assert find(snapshot_of(rows), "slurm.job_id == 4711") == ["a"]
    mixed = snapshot_of(rows_of(a=[32, "32"]))
    assert (find(mixed, "a == 32"), find(mixed, 'a == "32"')) == (["r0"], ["r1"])


def test_a_search_is_an_expression_in_any_case_over_name_id_user_and_tags() -> None:
    rows = rows_of(name=["Calm-Lake", "x", "y", "z"], user=["u", "calm", "u", "u"],
                   tags=[None, None, ["calm"], None])  # fmt: skip
    assert find(snapshot_of(rows), search="CALM") == ["r0", "r1", "r2"]
    assert find(snapshot_of(rows), search="^calm-l.ke$") == ["r0"]
    with pytest.raises(QueryError):
        find(snapshot_of(rows), search="(")


# -- order ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [None, 4])
def test_what_has_no_value_is_last_either_way(cut: int | None) -> None:
    rows = rows_of(a=[2, None, math.nan, 1, math.inf, "text", True, ["l"]])
    snapshot = snapshot_of(rows, cut)
    up = find(snapshot, sort=SortKey.parse("a"))
    assert up == ["r3", "r0", "r4", "r6", "r5", "r7", "r1", "r2"]
    down = find(snapshot, sort=SortKey.parse("-a"))
    assert down == ["r7", "r5", "r6", "r4", "r0", "r3", "r1", "r2"]


@given(
    st.lists(st.sampled_from(["b", "B", "a", "\u00e9", "zz", None]), min_size=2, max_size=30),
    st.integers(1, 30),
)
@settings(max_examples=50, deadline=None)
def test_texts_of_two_tables_are_ordered_as_those_of_one(
    values: list[str | None], cut: int
) -> None:
    rows = rows_of(name=values, created=list(range(len(values), 0, -1)))
    whole = find(snapshot_of(rows), sort=SortKey.parse("name"))
    assert find(snapshot_of(rows, min(cut, len(rows))), sort=SortKey.parse("name")) == whole


def test_a_page_is_the_same_part_of_the_whole_order() -> None:
    draw = np.random.default_rng(5)
    rows = rows_of(a=draw.integers(0, 9, 500).tolist(), b=draw.random(500).tolist())
    snapshot = snapshot_of(rows)
    for sort in ("a", "-a", "a,-b", "-b"):
        query = RunQuery(sort=SortKey.parse(sort), scope=Scope.ALL)
        found = snapshot.find(query, now_wall_s=NOW_S)
        whole = snapshot.order(query, found, 500).tolist()
        assert snapshot.order(query, found, 20).tolist() == whole[:20]


# -- columns and groups -----------------------------------------------------------------------


def test_columns_tell_what_they_hold() -> None:
    rows = rows_of(created=[1.0, 2.0], config__lr=[0.1, "auto"], config__on=[True, None],
                   tags=[["a"], None])  # fmt: skip
    found = {one.key: one for one in snapshot_of(rows).facts()}
    assert found["created"].kind == ColumnKind.TIME
    assert found["config.on"].kind == ColumnKind.FLAG
    assert found["tags"].kind == ColumnKind.LIST
    assert (found["config.lr"].count, found["config.lr"].distinct) == (2, 2)
    assert snapshot_of(rows).take(["config.lr"], np.arange(2))["config.lr"] == [0.1, "auto"]


def test_too_many_columns_are_counted_not_kept() -> None:
    rows = [{"id": f"r{n}", f"config.k{n}": n, "config.all": 1} for n in range(MAX_COLUMNS + 10)]
    segment = make_segment(rows)
    assert segment.left_out == 12
    assert "config.all" in segment.columns


def test_groups_but_seed_tell_what_differs_and_their_numbers() -> None:
    rows = rows_of(
        config__lr=[0.1, 0.1, 0.2, 0.1],
        config__seed=[1, 2, 1, 3],
        config__net=["a"] * 4,
        summary__acc=[0.5, 0.7, math.nan, None],
    )
    snapshot = snapshot_of(rows)
    groups = snapshot.group([BUT_SEED], np.arange(4), ["summary.acc"])
    assert [one.key for one in groups] == [("lr=0.1",), ("lr=0.2",)]
    assert groups[0].ids == ("r0", "r1", "r3")
    told = groups[0].values["summary.acc"]
    assert (told["n"], told["min"], told["max"]) == (2, 0.5, 0.7)
    assert told["mean"] == pytest.approx(0.6)
    assert told["std"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert groups[1].values == {}


def test_groups_are_called_first_by_what_tells_most_of_them_apart() -> None:
    rows = rows_of(
        config__amp=[True, True, False],
        config__data=["/scratch/" * 9 + end for end in "abc"],
        config__lr=[0.1, 0.2, 0.3],
    )
    groups = snapshot_of(rows).group([BUT_SEED], np.arange(3), [])
    assert [str(one.key[0]).split(", data=")[0] for one in groups] == [
        "lr=0.1, amp=True", "lr=0.2, amp=True", "lr=0.3, amp=False",
    ]  # fmt: skip


def test_values_are_counted_also_those_that_are_not_there() -> None:
    snapshot = snapshot_of(rows_of(a=["x", None, "y", "x"], b=[1, 1, 1, 1]), 2)
    assert snapshot.count("a", np.arange(4)) == {None: 1, "x": 2, "y": 1}
    assert snapshot.count("a", np.array([], np.int64)) == {}
    assert snapshot.count("nothing", np.arange(4)) == {None: 4}


def test_groups_by_two_keys_keep_runs_without_a_value() -> None:
    rows = rows_of(a=[1, 1, None], b=["x", "x", None])
    rows = [{**row, "tags": ["t", "u"]} for row in rows]
    (tagged,) = snapshot_of(rows).group(["tags"], np.arange(3), [])
    assert tagged.key == (["t", "u"],)
    groups = snapshot_of(rows, 1).group(["a", "b"], np.arange(3), [])
    assert [(one.key, one.ids) for one in groups] == [
        ((1, "x"), ("r0", "r1")),
        ((None, None), ("r2",)),
    ]


# -- rows that change -------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 99)))))
@settings(max_examples=30, deadline=None)
def test_tables_and_rows_together_are_what_was_put_in(
    changes: list[tuple[int, int | None]],
) -> None:
    tiers = Tiers()
    expected: dict[str, int] = {}
    for number, (place, value) in enumerate(changes):
        name = f"r{place}"
        if value is None:
            tiers.remove([name])
            expected.pop(name, None)
        else:
            row = {"id": name, "created": float(place), "config.a": value}
            tiers.put(name, FreshRun(row, stamp=number + 1), is_known=name in expected)
            expected[name] = value
        if number % 4 == 3:
            tiers.merge()
    segments, alive = tiers.segments()
    snapshot = Snapshot(segments, alive, version="1")
    rows = np.flatnonzero(alive)
    found = snapshot.take(["id", "config.a"], rows)
    assert dict(zip(found["id"], found["config.a"], strict=True)) == expected
    assert len(tiers) == len(expected) == len(rows)


# -- a store ----------------------------------------------------------------------------------


def open_index(store: Path, cache: Path, **more: Any) -> RunIndex:
    return RunIndex(ServerSettings(store=store), cache=cache, **more)


def names_of(index: RunIndex, **query: Any) -> list[str]:
    return sorted(row["id"] for row in index.page("p", RunQuery(**query)).rows)


def test_the_saved_table_is_used_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    for run in ("one", "two"):
        seal_run(write_run(store, run=run))
    index = open_index(store, cache)
    assert names_of(index) == ["one", "two"]
    edit_annotations(store, "p", "one", name="renamed", deleted=True)
    index.refresh()
    assert names_of(index) == ["two"]
    assert names_of(index, scope=Scope.DELETED) == ["one"]
    index.close()
    saved = SavedTable(store, "p", folder=cache)
    table = saved.load()
    assert table is not None
    assert table.length == 2
    assert table.parts("name").texts.to_pylist()[0] in {"renamed", "calm-lake-1"}
    data = bytearray(saved.path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    for damaged in (bytes(data), bytes(data[: len(data) // 2]), b"", b"x" * 100):
        saved.path.write_bytes(damaged)
        assert saved.load() is None
    assert names_of(open_index(store, cache)) == ["two"]
    assert SavedTable(tmp_path / "other", "p", folder=cache).load() is None


def test_version_of_the_store_differs_when_runs_turn_and_not_when_they_log(tmp_path: Path) -> None:
    store, clock = tmp_path / "store", FakeClock()
    write_run(store, run="one")
    index = open_index(store, tmp_path / "cache", clock=clock.clock())
    assert names_of(index) == ["one"]
    versions = [(index.store_version(), index.version("p"))]
    turns = [index.pulse("p").turns]

    def look() -> None:
        clock.now_s += 60
        index.refresh()
        versions.append((index.store_version(), index.version("p")))
        turns.append(index.pulse("p").turns)

    writer = NodeWriter(store, run="two", wall_s=clock.now_s)
    session = writer.start(0)
    writer.points("loss", 0, [0], [1.0])
    writer.flush()
    look()
    writer.points("loss", 0, [1], [2.0])
    writer.flush()
    look()
    writer.end(0, session)
    writer.close()
    look()
    whole, tables = zip(*versions, strict=True)
    assert len(set(tables)) == 4, "each look has found something"
    assert whole[1] == whole[2]
    assert len(set(whole)) == 3
    assert turns[1] == turns[2]
    assert len(set(turns)) == 3, "so it is for the project alone"
    index.close()


def test_what_the_scheduler_counted_is_in_columns(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "store", run="one")
    attempts = [
        {"efficiency": {"energy_j": 1800.0, "cpu_frac": 0.1}},
        {"efficiency": {"energy_j": 5400.0, "cpu_frac": 0.5, "gpu_frac": None, "wait_s": 60}},
        {"efficiency": None},
    ]
    write_accounting(folder, {"asked_wall_s": 1.0, "attempts": attempts})
    index = open_index(tmp_path / "store", tmp_path / "cache")
    (row,) = index.page("p", RunQuery(filter="energy_wh > 1 and slurm.cpu_frac >= 50%")).rows
    assert (row["energy_wh"], row["slurm.cpu_frac"], row["slurm.wait_s"]) == (2.0, 0.5, 60)
    assert "slurm.gpu_frac" not in row


def test_a_live_run_grows_ends_and_breaks_nothing(tmp_path: Path) -> None:
    store, clock = tmp_path / "store", FakeClock()
    writer = NodeWriter(store, run="live", wall_s=START_S)
    session = writer.start(0)
    writer.flush()
    (store / "p" / "half").mkdir()
    (store / "p" / "broken").mkdir()
    (store / "p" / "broken" / "run.h5").write_bytes(b"no HDF5")
    index = open_index(store, tmp_path / "cache", clock=clock.clock())
    first = index.page("p", RunQuery())
    assert [one["state"] for one in first.rows] == ["running"]
    (broken,) = index.broken("p")
    assert (broken.id, str(store) in broken.message) == ("broken", False)
    clock.now_s += 5
    index.refresh()
    again = index.page("p", RunQuery())
    assert again.version == first.version, "time alone is no change"
    assert again.rows[0]["duration"] == pytest.approx(5, abs=1)
    began = {"live": again.rows[0]["created"]}
    assert index.live_runs("p", ["live", "half", "broken", "none"]) == began
    writer.end(0, session)
    writer.close()
    clock.now_s += 5
    index.refresh()
    last = index.page("p", RunQuery())
    assert [one["state"] for one in last.rows] == ["finished"]
    assert index.live_runs("p", ["live"]) == {}
    assert last.version != first.version
