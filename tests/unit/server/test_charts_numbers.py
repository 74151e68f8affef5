"""Charts over HTTP are those of all points: pyramids, zoom, smoothing, groups, expressions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.series.curves import CurveReader
from hpctrack_server.data.series.open_runs import OpenRuns
from hpctrack_server.data.series.query import RankChoice, Smoothing, SmoothKind
from hpctrack_server.data.series.smooth import smooth
from tests.stores import START_S, NodeWriter, write_run
from tests.unit.server.chart_client import Line, ask_chart, post
from tests.unit.server.conftest import Live, serve

POINTS = 2000
SPIKE = 1234
RUNS = ("a-0", "a-1", "b-0")


def values_of(run: str, metric: str) -> np.ndarray:
    draw = np.random.default_rng([RUNS.index(run), len(metric)])
    values = draw.normal(size=POINTS).astype(np.float32).astype(float)
    if metric == "loss":
        values[SPIKE] = 50.0 + RUNS.index(run)
    return values


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Serve two groups of sealed runs with pyramids, and one that is going on."""
    store = tmp_path_factory.mktemp("charts")
    for run in RUNS:
        folder = write(store, run).close().parent
        seal_run(folder, limits=SealLimits(series_min=64, bucket=8))
    live = NodeWriter(store, run="live", wall_s=START_S)
    live.start(0)
    live.points("loss", 0, range(5), [1.0, 2.0, float("inf"), float("nan"), 3.0])
    live.flush()
    served = serve(store, stale_after_s=1e12)
    yield served
    served.stop()
    live.close()


def write(store: Path, run: str) -> NodeWriter:
    writer = NodeWriter(store, run=run, wall_s=START_S)
    writer.start(0, name=run)
    writer.event(EventKind.CONFIG, {"lr": run[0], "seed": int(run[-1])})
    for metric in ("loss", "train/acc", "slash/", "epoch"):
        values = np.arange(POINTS) // 100 if metric == "epoch" else values_of(run, metric)
        writer.table(metric, [0], values[np.newaxis], START_S + np.arange(POINTS) * 0.25)
    return writer


def ask(live: Live, **body: Any) -> tuple[dict[str, Any], list[Line]]:
    asked: dict[str, Any] = {"runs": list(RUNS), "y": "loss", "width": 100, **body}
    head, lines = ask_chart(live, **asked)
    assert head["errors"] == []
    return head, lines


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"x0": 1000, "x1": 1500},
        {"log_x": True},
        {"x": "relative"},
        {"x": "time"},
        {"x": "epoch"},
        {"ranks": 0},
        {"ranks": "all"},
        {"x": "relative", "x0": 200.0, "x1": 400.0},
    ],
)
def test_the_spike_and_only_true_points_are_drawn(charts: Live, more: dict[str, object]) -> None:
    head, lines = ask(charts, **more)
    assert head["exact"]
    for line in lines:
        whole = values_of(line.said["run"], "loss")
        assert line.y.max() == whole[SPIKE]
        assert np.isin(line.y, whole.astype(np.float32)).all()
        assert line.said["drawn"] <= 2 * 100 + 4
        assert line.said["last"][1] == whole[-1]
        assert (np.diff(line.x) >= 0).all()
    low, high = head["y_range"]
    assert -10 < low < high < 10, "without the spike"


def test_a_zoom_counts_its_points_and_knows_the_whole(charts: Live) -> None:
    head, lines = ask(charts, x0=1000, x1=1500)
    assert head["total"] == 3 * 501
    assert head["x_range"] == [0.0, POINTS - 1]
    assert lines[0].x[0] == 999
    assert lines[0].x[-1] == 1501
    _head, lines = ask(charts, x0=1230, x1=1236)
    np.testing.assert_array_equal(lines[1].x, np.arange(1229, 1238))


def test_x_that_lines_share_is_sent_once(charts: Live) -> None:
    head, lines = ask(charts, width=4000)
    entries = [one for one in head["arrays"] if one["name"] == "x"]
    assert [one.get("same") for one in entries] == [None, 0, 0]
    assert entries[0]["type"] == "u1"
    np.testing.assert_array_equal(lines[2].x, np.arange(POINTS))


@pytest.mark.parametrize("kind", ["ema", "twema", "gaussian", "mean"])
def test_smoothing_is_of_all_points_also_in_a_zoom(charts: Live, kind: str) -> None:
    amount = 0.9 if "ema" in kind else 30
    _head, lines = ask(charts, smooth={"kind": kind, "amount": amount}, x0=500, x1=560)
    for line in lines:
        whole = values_of(line.said["run"], "loss")
        wanted = smooth(np.arange(POINTS), whole, Smoothing(kind=SmoothKind(kind), amount=amount))
        at = line.sx.astype(int)
        np.testing.assert_allclose(line.sy, wanted[at], rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(line.y, whole[line.x.astype(int)].astype(np.float32))


def test_groups_are_of_all_points_of_all_their_runs(charts: Live) -> None:
    group = {"by": ["config.lr"], "band": "minmax"}
    head, lines = ask(charts, group=group)
    assert [(one.said["group"], one.said["runs"]) for one in lines] == [("lr a", 2), ("lr b", 1)]
    assert head["total"] == 3 * POINTS
    assert lines[0].high.max() == values_of("a-1", "loss")[SPIKE]
    assert lines[0].low.min() == pytest.approx(
        min(values_of(run, "loss").min() for run in ("a-0", "a-1"))
    )
    _head, lines = ask(charts, group={"by": [], "center": "median", "band": "ci"}, x0=10, x1=40)
    table = np.array([values_of(run, "loss") for run in RUNS])
    np.testing.assert_allclose(lines[0].center, np.median(table[:, 10:41], axis=0), rtol=1e-5)
    assert lines[0].said["label"] == "all runs"
    assert (lines[0].low <= lines[0].center).all()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("loss * 2 + train/acc", lambda of: of("loss") * 2 + of("train/acc")),
        ("abs(`slash/`)", lambda of: np.abs(of("slash/"))),
        ("max(loss, train/acc) > 1", lambda of: np.maximum(of("loss"), of("train/acc")) > 1),
        ("cumsum(loss)", lambda of: np.cumsum(of("loss"))),
    ],
)
def test_expressions_are_computed_per_step(charts: Live, text: str, wanted: Any) -> None:
    head, lines = ask(charts, y=text, x0=100, x1=150)
    assert head["exact"]
    for line in lines:
        whole = wanted(lambda metric, line=line: values_of(line.said["run"], metric))
        np.testing.assert_allclose(line.y, whole[line.x.astype(int)], rtol=1e-5, atol=1e-6)


def test_an_expression_that_is_wrong_says_where(charts: Live) -> None:
    body = {"y": "log(los)", "runs": list(RUNS)}
    answer = post(charts, "/api/v1/projects/p/series", body)
    assert answer.status == 400
    assert answer.json()["at"] == 4
    assert "did you mean loss" in answer.json()["hint"]
    head, _lines = ask(charts, y="los")
    assert head["missing"] == list(RUNS)
    assert "did you mean loss" in head["note"]


def test_a_live_run_is_drawn_with_its_gaps(charts: Live) -> None:
    _head, lines = ask_chart(charts, y="loss", runs=["live"])
    assert lines[0].said["gaps"] == 2
    assert lines[0].said["last"] == [4.0, 3.0]
    np.testing.assert_array_equal(lines[0].y, [1.0, 2.0, np.nan, np.nan, 3.0])


def test_a_run_without_the_metric_of_x_is_named(charts: Live) -> None:
    head, lines = ask_chart(charts, y="loss", x="epoch", runs=["a-0", "live"])
    assert [one.said["run"] for one in lines] == ["a-0"]
    assert [one["run"] for one in head["errors"]] == ["live"]
    assert "no metric 'epoch'" in head["errors"][0]["message"]


@pytest.mark.parametrize("how", ["mean", "min", "max"])
def test_ranks_are_reduced_as_the_library_does(tmp_path: Path, how: str) -> None:
    writer = NodeWriter(tmp_path)
    table = np.random.default_rng(2).normal(size=(5, 90))
    table[2, 10:20] = np.nan
    table[:, 30] = np.nan
    writer.table("loss", range(5), table, START_S + np.arange(90.0))
    folder = writer.close().parent
    wanted = StoredRun(folder).metric("loss").reduce(how, by="step")
    seal_run(folder)
    reader = CurveReader(1 << 20)
    opened = OpenRuns(tmp_path, clock=SYSTEM_CLOCK, stale_after_s=1).get("p", "r")
    (found,) = reader.read(opened, "loss", RankChoice(how))
    np.testing.assert_array_equal(found.step, wanted.step)
    np.testing.assert_allclose(found.value, wanted.value, rtol=1e-12)
    assert reader.read(opened, "loss", RankChoice(how))[0].value is found.value, "kept"
    opened.close()


def test_a_run_that_is_opened_again_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    seal_run(write_run(tmp_path, run="sealed"))
    writer = NodeWriter(tmp_path, run="live", wall_s=time.time())
    writer.start(0)
    writer.points("loss", 0, range(3), [1.0, 2.0, 3.0])
    writer.flush()
    runs = OpenRuns(tmp_path, clock=SYSTEM_CLOCK, stale_after_s=60.0, limit=1)
    versions: dict[str, list[int]] = {"sealed": [], "live": []}
    for name in ("sealed", "live", "sealed", "live"):
        versions[name].append(runs.get("p", name).version)
    runs.close()
    writer.close()
    first, again = versions["live"]
    assert first != again, "it may have grown meanwhile"
    assert len(set(versions["sealed"])) == 1, "what is known of it is still right"
