"""The table of runs: its address, its columns, its cells, its differences from a baseline."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hpctrack_server.components.activity import DAY_S, DAYS, count_by_day, make_bars
from hpctrack_server.components.runs.columns import Column, choose_columns, list_default_keys
from hpctrack_server.components.runs.deltas import make_delta
from hpctrack_server.components.runs.place import TablePlace
from hpctrack_server.components.runs.table import make_group, make_rows, make_spread
from hpctrack_server.language.keys import join_keys, split_keys
from hpctrack_server.pages.runs.load import compose_filter
from tests.unit.server.conftest import HOSTILE


@dataclass(frozen=True)
class Facts:
    """A column as the index knows it."""

    key: str
    kind: str = "number"
    count: int = 10
    distinct: int = 5


KNOWN = [
    Facts("id", "text"), Facts("name", "text"), Facts("state", "text"), Facts("ranks"),
    Facts("nodes", distinct=1), Facts("attempts", distinct=2),
    Facts("slurm.partition", "text"), Facts("config.seed", distinct=1), Facts("config.lr"),
    Facts("config.rare", count=1), Facts("config.opt", "text"), Facts("summary.val/loss"),
    *(Facts(f"config.more{number}", count=2) for number in range(9)),
]  # fmt: skip


def test_an_address_and_its_place_are_the_same() -> None:
    given = {
        "filter": "config.lr > 1e-3", "search": "^run-0[12]$", "state": "running,failed",
        "scope": "archived", "sort": "-summary.val/acc,name", "group": "config.a%2Cb,state",
        "cols": "name,!state,~val/loss", "rows": "200", "page": "3", "base": "r1", "view": "v",
        "open": "0a,1b",
    }  # fmt: skip
    place = TablePlace.parse(given)
    assert place.parameters() == given
    assert place.group == ("config.a,b", "state")
    assert TablePlace.parse({}).parameters() == {}
    assert TablePlace.parse({}).link() == "?"


def test_nonsense_in_an_address_is_left_out() -> None:
    nonsense = {"page": "\u0663", "rows": "7", "state": "<b>,x", "scope": "all", "open": ",,"}
    assert TablePlace.parse(nonsense) == TablePlace()
    assert TablePlace.parse({"page": "9" * 30}).page == 1
    assert TablePlace.parse({"page": "-4", "sort": ",-,+"}).sort_keys() == ()


@pytest.mark.parametrize("keys", [("a,b", "%2C", "100%", "%25"), tuple(HOSTILE[:5]), ()])
def test_keys_survive_an_address(keys: tuple[str, ...]) -> None:
    assert split_keys(join_keys(keys)) == keys


def test_links_keep_what_is_asked_and_begin_at_the_first_page() -> None:
    place = TablePlace(filter="a&b", states=("failed",), page=3)
    assert place.link() == "?filter=a%26b&state=failed"
    assert place.link(page=4) == "?filter=a%26b&state=failed&page=4"
    assert place.state_link("running") == "?filter=a%26b&state=running%2Cfailed"
    assert place.state_link("failed") == "?filter=a%26b"
    assert TablePlace(opened=("a",), group=("x",)).open_link("b") == "?group=x&open=a%2Cb"
    assert TablePlace(opened=("a",), group=("x",)).open_link("a") == "?group=x"


def test_an_emptied_filter_is_not_the_view_as_it_was_saved() -> None:
    assert TablePlace(view="v").link() == "?filter=&view=v"
    assert TablePlace(view="none").link() == "?view=none"


def test_a_heading_sorts_the_better_way_first_and_then_the_other() -> None:
    place = TablePlace()
    assert place.sort_link("created", is_largest_first=True) == "?sort=created"
    assert TablePlace(sort="created").sort_link("created", is_largest_first=True) == "?"
    assert place.sort_link("summary.loss", is_largest_first=False) == "?sort=summary.loss"
    assert TablePlace(sort="a,b").sort_link("a", is_largest_first=False) == "?sort=-a"
    loss = Column(key="summary.l", title="l", kind="number", area="summary", goal="minimize")
    assert not loss.is_largest_first


def test_most_common_columns_come_first_and_constant_ones_last() -> None:
    keys = list_default_keys(KNOWN)
    config = [one for one in keys if one.startswith("config.")]
    assert config == ["config.lr", "config.opt", "config.seed", "config.more0", "config.more1"]
    assert keys[0] == "name"
    assert keys[-1] == "tags"
    assert "attempts" in keys
    assert "nodes" not in keys, "it says the same in every row"
    assert list_default_keys([]) == ["name", "state", "user", "created", "duration", "tags"]


def test_results_are_shown_before_gradients_timings_and_what_the_system_says() -> None:
    names = ["grad_norm", "step_time_s", "system/gpu_util", "train/loss", "val/acc", "val/loss"]
    known = [Facts(f"summary.{one}") for one in names]
    keys = [one for one in list_default_keys(known) if one.startswith("summary.")]
    assert keys == [
        "summary.val/acc", "summary.val/loss", "summary.train/loss",
        "summary.grad_norm", "summary.step_time_s",
    ]  # fmt: skip


def test_columns_that_were_asked_for_come_in_their_order_with_pinned_ones_first() -> None:
    wanted = ["state", "!config.lr", "~val/loss", "config.not there", "name"]
    columns = choose_columns(KNOWN, wanted)
    assert [one.spec for one in columns] == [
        "name", "!config.lr", "state", "~val/loss", "config.not there",
    ]  # fmt: skip
    assert [one.kind for one in columns] == ["name", "number", "state", "spark", "text"]
    assert columns[3].title == "val/loss"
    assert columns[3].metric == "val/loss"
    (_, loss) = choose_columns(KNOWN, ["summary.val/loss"])
    assert (loss.metric, loss.title, loss.is_compared) == ("val/loss", "val/loss", True)
    (_, rate) = choose_columns(KNOWN, ["config.lr"])
    assert not rate.is_compared, "a setting is no result"


@pytest.mark.parametrize(
    ("value", "base", "goal", "shown", "verdict"),
    [
        (0.9, 0.8, "maximize", "+12.5%", "better"),
        (0.9, 0.8, "minimize", "+12.5%", "worse"),
        (0.8, 0.9, "minimize", "\u221211.1%", "better"),
        (-2.0, -1.0, "maximize", "\u2212100%", "worse"),
        (-1.0, -2.0, "maximize", "+50.0%", "better"),
        (3.0, 0.0, "maximize", "+3", "better"),
        (1.0, 1.0, "maximize", "=", "same"),
        (1.0000001, 1.0, "", "+<0.1%", ""),
        (5e9, 1.0, "", "+5e11%", ""),
        (True, 1, "", None, None),
        (float("nan"), 1.0, "", None, None),
        (1.0, float("inf"), "", None, None),
        (1e308, -1e308, "", None, None),
        (10**400, 1.0, "", None, None),
        (1.0, None, "", None, None),
        ("1", 1.0, "", None, None),
    ],
)
def test_differences_have_a_sign_and_a_verdict(
    value: Any, base: Any, goal: str, shown: str | None, verdict: str | None
) -> None:
    delta = make_delta(value, base, goal)
    if shown is None:
        assert delta is None
        return
    assert delta
    assert (delta.text, delta.verdict) == (shown, verdict)
    assert not verdict or verdict in delta.title


def test_rows_are_compared_with_the_baseline_but_not_it_with_itself() -> None:
    chosen = choose_columns(KNOWN, ["config.lr", "summary.val/loss"])
    columns = [replace(one, goal="minimize") for one in chosen]
    base: dict[str, Any] = {"id": "a", "name": "A", "config.lr": 1.0, "summary.val/loss": 2.0}
    rows: list[dict[str, Any]] = [
        base,
        {"id": "b", "config.lr": 2.0, "summary.val/loss": 1.0},
        {"id": "c"},
    ]
    first, second, third = make_rows(rows, columns, base)
    assert first.is_baseline
    assert first.cells[2].delta
    assert first.cells[2].delta.text == ""
    assert second.cells[2].delta
    assert second.cells[2].delta.verdict == "better"
    assert second.cells[1].delta is None
    assert second.name == "b", "a run without a name is called by its id"
    assert third.cells[1].text == "\u2013"


@pytest.mark.parametrize("value", [*HOSTILE, float("nan"), [1, ["x"]], {"a": 1}, 10**400, None, ()])
def test_any_value_fits_in_any_column(value: Any) -> None:
    kinds = ("name", "state", "time", "duration", "tags", "notes", "number", "text", "spark", "id")
    columns = [Column(key="x", title="x", kind=kind) for kind in kinds]
    (row,) = make_rows([{"id": "r", "x": value, "tags": None}], columns)
    assert all(len(cell.text) <= 301 for cell in row.cells)
    assert row.tags == ()


@dataclass(frozen=True)
class OneGroup:
    """A group as the index returns it."""

    ids: tuple[str, ...] = ("a", "b")
    values: dict[str, dict[str, float]] = field(default_factory=dict)


def test_a_group_shows_its_keys_its_size_and_how_far_its_numbers_are_apart() -> None:
    columns = choose_columns(KNOWN, ["config.opt", "summary.val/loss", "tags"])
    spread = {"mean": 0.5, "min": 0.25, "max": 0.75, "std": 0.125, "n": 2.0}
    group = make_group(
        ("adam", None), ("config.opt", "@config-but-seed"), columns,
        OneGroup(values={"summary.val/loss": spread}),
    )  # fmt: skip
    assert group.label == (("opt", "adam"), ("", "\u2013"))
    assert group.title == "opt=adam, \u2013"
    assert [one.text for one in group.cells] == ["", "adam", "0.5", ""]
    assert group.cells[2].spread == "\u00b10.125"
    assert "min 0.25, max 0.75, of 2 runs" in group.cells[2].title
    other = make_group(("sgd", None), ("config.opt", "x"), columns, OneGroup())
    assert other.mark != group.mark
    assert make_spread({"n": 0}).text == "\u2013"
    alike = {**spread, "min": 0.1, "max": 0.1, "std": 1.4e-17}
    assert make_spread(alike).spread == "", "what is the same has no spread, rounding or not"


def test_states_are_part_of_the_filter() -> None:
    assert compose_filter("", ()) == ""
    assert compose_filter("", ("failed",)) == 'state == "failed"'
    assert (
        compose_filter("a > 1 or b", ("failed", "crashed"))
        == '(a > 1 or b) and (state == "failed" or state == "crashed")'
    )


def test_runs_are_counted_by_day_and_drawn() -> None:
    now_wall_s = 100 * DAY_S + 10.0
    times = [now_wall_s, now_wall_s - 20, now_wall_s - DAY_S, now_wall_s - DAYS * DAY_S]
    counts = count_by_day([*times, None, now_wall_s + DAY_S, float("nan"), 1e300], now_wall_s)
    assert counts == (*(0,) * (DAYS - 2), 2, 1)
    bars = make_bars(counts)
    assert [one.height for one in bars[-2:]] == [28, 14]
    assert bars[0].height == 1
    assert all(one.y + one.height == 28 for one in bars)
    assert make_bars((0, 1000, 1))[2].height == 3, "one run can be seen beside a thousand"
