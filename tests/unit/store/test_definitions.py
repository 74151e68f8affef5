"""What define_metric says, checked in the rank and applied by readers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpctrack.client.definitions import Definition, define
from hpctrack.errors import UsageError
from hpctrack.store.columns import Columns
from hpctrack.store.definitions import find_definition, join_definitions, summarize


def columns(steps: list[int], values: list[float], rank: int = 0) -> Columns:
    count = len(steps)
    return Columns(
        np.full(count, rank, np.int64),
        np.ones(count, np.int64),
        np.array(steps, np.int64),
        np.zeros(count),
        np.array(values, float),
    )


def sent(*args: object, **more: object) -> dict[str, object]:
    return define(*args, **more)[1]  # type: ignore[arg-type]


def test_only_what_was_given_is_sent() -> None:
    assert sent("loss") == {"name": "loss"}
    assert sent("val/*", step_metric="epoch", summary="max, min", hidden=False) == {
        "name": "val/*",
        "step_metric": "epoch",
        "summary": ["max", "min"],
        "hidden": False,
    }
    epoch, _said = define("epoch")
    assert sent("a", epoch, summary="copy")["step_metric"] == "epoch"
    assert sent("a", summary="copy")["summary"] == ["last"]
    assert sent("a", summary=["min", "copy"])["summary"] == ["min", "last"]


@pytest.mark.parametrize(
    ("name", "more", "part"),
    [
        ("a*b", {}, "not at its end"),
        ("", {}, "empty"),
        ("a", {"summary": "median"}, "median"),
        ("a", {"goal": "up"}, "the goal is"),
        ("a", {"step_metric": "e*"}, "has a"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, more: dict[str, str], part: str) -> None:
    with pytest.raises(UsageError, match=part):
        define(name, **more)  # type: ignore[arg-type]


def test_later_words_add_to_earlier_ones_unless_they_overwrite() -> None:
    (found,) = join_definitions(
        [
            {"name": "a", "step_metric": "epoch", "summary": ["min"]},
            {"name": "a", "goal": "maximize"},
        ]
    )
    assert found == Definition("a", "epoch", ("min",), "maximize")
    (found,) = join_definitions(
        [{"name": "a", "step_metric": "epoch"}, {"name": "a", "hidden": True, "overwrite": True}]
    )
    assert found == Definition("a", hidden=True)


def test_what_a_newer_writer_says_does_no_harm() -> None:
    (found,) = join_definitions([{}, {"name": "a", "summary": ["p99", "max"], "colour": 1}])
    assert found == Definition("a", summary=("max",))


def test_a_metrics_own_definition_counts_before_the_longest_glob() -> None:
    known = join_definitions(
        [
            {"name": "*", "step_metric": "time"},
            {"name": "val/*", "step_metric": "epoch"},
            {"name": "val/loss", "summary": ["min"]},
        ]
    )
    assert find_definition(known, "loss").step_metric == "time"
    assert find_definition(known, "val/acc").step_metric == "epoch"
    assert find_definition(known, "val/loss") == Definition("val/loss", summary=("min",))
    assert find_definition(known, "time").step_metric == ""


@pytest.mark.parametrize(
    ("summary", "goal", "expected"),
    [
        (None, None, 3.0),
        ("last", None, 3.0),
        ("first", None, 5.0),
        ("min", None, 1.0),
        ("max", None, 9.0),
        ("mean", None, 4.5),
        ("best", None, 1.0),
        ("best", "maximize", 9.0),
        ("min,max", None, {"min": 1.0, "max": 9.0}),
    ],
)
def test_a_summary_is_what_was_asked_for(
    summary: str | None, goal: str | None, expected: object
) -> None:
    metrics = {"a": columns([1, 9, 2, 9, 3], [5, 1, math.nan, 3, 9])}
    known = join_definitions([define("a", summary=summary, goal=goal)[1]])
    assert summarize(metrics, known)["a"] == expected


def test_none_leaves_a_metric_out_and_the_lowest_rank_speaks() -> None:
    first, second = columns([1], [2.0], rank=3), columns([7], [8.0], rank=5)
    metrics = {"a": Columns.join([first, second]), "b": first, "c": Columns.empty()}
    known = join_definitions([{"name": "b", "summary": ["none"]}])
    assert summarize(metrics, known) == {"a": 2.0}


def test_a_metric_that_was_never_a_number_has_no_minimum() -> None:
    known = join_definitions([{"name": "a", "summary": ["min"]}])
    assert math.isnan(summarize({"a": columns([1], [math.nan])}, known)["a"])
