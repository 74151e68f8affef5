"""Charts of many runs over HTTP: what is asked is what comes, and a broken run hinders nobody."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.server.chart_client import ask_chart, post
from tests.unit.server.conftest import HOSTILE, HOSTILE_METRICS, Live


def test_a_chart_of_several_runs_names_who_lacks_the_metric_and_who_is_broken(
    dashboard: Live,
) -> None:
    runs = ["sealed", "broken", "live", "gone"]
    head, lines = ask_chart(dashboard, y="loss", runs=runs)
    assert [one.said["run"] for one in lines] == ["sealed", "live"]
    assert [one["run"] for one in head["errors"]] == ["broken", "gone"]
    assert head["missing"] == []
    assert head["total"] == head["drawn"] == 60
    assert lines[1].said["label"] == "still going"
    np.testing.assert_array_equal(lines[0].x, np.arange(50))
    np.testing.assert_allclose(lines[1].y, 1 / (np.arange(10) + 1), rtol=1e-6)
    head, lines = ask_chart(dashboard, y="val/loss", runs=["sealed"])
    assert (head["missing"], lines) == (["sealed"], [])


def test_runs_are_found_by_a_query_newest_first(dashboard: Live) -> None:
    head, lines = ask_chart(dashboard, y="loss", query={"limit": 2})
    assert len(lines) + len(head["errors"]) == 2
    assert lines[0].said["run"] == "live"


@pytest.mark.parametrize("x", ["step", "time", "relative", "loss"])
def test_x_can_be_time_or_any_metric(dashboard: Live, x: str) -> None:
    head, lines = ask_chart(dashboard, y="loss", runs=["sealed"], x=x, ranks=2)
    assert head["x"] == x
    assert lines[0].said["rank"] == 2
    assert (np.diff(lines[0].x) >= 0).all()
    low, high = head["x_range"]
    assert lines[0].x[0] == pytest.approx(low)
    assert lines[0].x[-1] == pytest.approx(high)
    if x == "relative":
        assert 0 <= low <= high < 1e5


@pytest.mark.parametrize("ranks", ["mean", "all", 0])
def test_a_run_without_the_metric_that_is_x_is_named_and_hinders_no_other(
    dashboard: Live, ranks: str | int
) -> None:
    runs = ["sealed", "live"]
    head, lines = ask_chart(dashboard, y="loss", runs=runs, x="nowhere <b>", ranks=ranks)
    assert lines == []
    assert [one["run"] for one in head["errors"]] == runs
    assert "no metric 'nowhere <b>' to be x" in head["errors"][0]["message"]


def test_a_window_has_its_neighbours_outside(dashboard: Live) -> None:
    head, lines = ask_chart(dashboard, y="loss", runs=["sealed"], x0=10, x1=20)
    np.testing.assert_array_equal(lines[0].x, np.arange(9, 22))
    assert head["total"] == 11


def test_every_rank_is_a_line(dashboard: Live) -> None:
    _head, lines = ask_chart(dashboard, y="loss", runs=["sealed"], ranks="all")
    assert [one.said["rank"] for one in lines] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "'y' is missing"),
        ({"y": "loss", "x0": "a"}, "'x0' is not a number"),
        ({"y": "loss", "ranks": "worst"}, "'ranks' is 'worst'"),
        ({"y": "loss", "smooth": {"kind": "ema", "amount": 1}}, "'smooth.amount' is 1"),
        ({"y": "loss", "group": {"by": "lr"}}, "'group.by' is no list of texts"),
        ({"y": "loss", "runs": []}, "'runs' is empty"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(
    dashboard: Live, body: dict[str, object], said: str
) -> None:
    answer = post(dashboard, "/api/v1/projects/p/series", body)
    assert answer.status == 400
    assert said in answer.json()["message"]


def test_hostile_names_and_numbers_are_drawn(dashboard: Live) -> None:
    for metric in HOSTILE_METRICS:
        head, lines = ask_chart(
            dashboard, "hostile", y=metric, runs=[f"hostile-{n}" for n in range(len(HOSTILE))]
        )
        assert not head["errors"]
        assert [one.said["label"] for one in lines][:5] == [*HOSTILE[:5]]
        assert lines[0].said["gaps"] == 2, "NaN and infinity"
        assert lines[0].y[[0, 3]].tolist() == [1.0, -1e300]


def test_metrics_of_many_runs_are_counted(dashboard: Live) -> None:
    answer = dashboard.get("/api/v1/projects/p/metrics?runs=sealed,live,broken").json()
    assert answer["metrics"] == [{"name": "loss", "points": 210, "runs": 2, "kind": "number"}]
    assert dashboard.get("/api/v1/projects/nowhere/metrics").status == 404
