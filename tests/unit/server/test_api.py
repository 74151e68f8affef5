"""The API: JSON without NaN, binary series, live events."""

from __future__ import annotations

import http.client
import json
import logging
import shutil
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from tests.programs import wait_for
from tests.stores import NodeWriter
from tests.unit.server.conftest import HOST_NAME, HOSTILE, TOKEN, Live, Zoo
from tests.unit.server.test_encode import decode


def series(dashboard: Live, run: str, **query: object) -> tuple[dict[str, Any], list[Any]]:
    answer = dashboard.get(f"/api/v1/runs/p/{run}/series?{urlencode({'metric': 'loss', **query})}")
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/octet-stream"
    return decode(answer.body)


def test_projects_and_runs_as_json(dashboard: Live) -> None:
    projects = dashboard.get("/api/v1/projects").json()["projects"]
    assert [one["name"] for one in projects] == ["p", "hostile", "empty"]
    assert projects[-1]["runs"] == 0, "listed all the same"
    assert projects[0]["running"] == 1
    assert projects[0]["broken"] == 1
    answer = dashboard.get("/api/v1/projects/p/runs").json()
    states = {one["id"]: one["state"] for one in answer["runs"]}
    assert states == {"live": "running", "sealed": "finished", "unsealed": "finished"}
    assert [one["id"] for one in answer["broken"]] == ["broken"]


def test_json_never_holds_nan(dashboard: Live) -> None:
    for number in range(len(HOSTILE)):
        run = dashboard.get(f"/api/v1/runs/hostile/hostile-{number}").json()
        assert run["config"]["nan"] is None
        assert run["summary"]["x"] is None
    dashboard.get("/api/v1/projects/hostile/runs").json()


def test_run_and_its_metrics(dashboard: Live) -> None:
    run = dashboard.get("/api/v1/runs/p/sealed").json()
    assert run["size"] == 4
    assert [one["rank"] for one in run["ranks"]] == [0, 1, 2, 3]
    assert run["config"] == {"lr": 0.1, "net": {"layers": 3}}
    assert dashboard.get("/api/v1/runs/p/sealed/metrics").json() == {"metrics": ["loss"]}


def test_broken_run_is_an_error_with_a_message(dashboard: Live, zoo: Zoo) -> None:
    for path in ("", "/metrics", "/series?metric=loss", "/events"):
        answer = dashboard.get(f"/api/v1/runs/p/broken{path}")
        assert answer.status == 409
        assert "cannot be read" in answer.json()["message"]
        assert str(zoo.path) not in answer.text


def test_one_rank(dashboard: Live) -> None:
    head, (x, y) = series(dashboard, "sealed", view="rank", rank=2)
    assert head["arrays"][0]["rank"] == 2
    assert list(x) == list(range(50))
    assert y == pytest.approx([2 + step / 100 for step in range(50)])


def test_all_ranks(dashboard: Live) -> None:
    head, arrays = series(dashboard, "sealed", view="all")
    assert [one["rank"] for one in head["arrays"]] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert head["total"] == head["drawn"] == 200
    assert len(arrays) == 8


def test_band_is_mean_between_extremes(dashboard: Live) -> None:
    head, (_x, mean, low, high) = series(dashboard, "sealed", view="band")
    assert head["ranks"] == 4
    assert mean[10] == pytest.approx(1.6)
    assert (low[10], high[10]) == (pytest.approx(0.1), pytest.approx(3.1))


def test_zoom_sends_the_window_and_its_neighbours(dashboard: Live) -> None:
    _head, (x, _y) = series(dashboard, "sealed", view="rank", x0=20, x1=22)
    assert list(x) == [19, 20, 21, 22, 23]


def test_rank_that_has_not_logged_gives_an_empty_line(dashboard: Live) -> None:
    head, arrays = series(dashboard, "sealed", view="rank", rank=77)
    assert arrays == []
    assert head["ranks"] == 4


def test_long_series_is_shrunk_with_exact_extremes(
    growing: Zoo, start_dashboard: Callable[..., Live]
) -> None:
    dashboard = start_dashboard(growing.path)
    rng = np.random.default_rng(3)
    values = rng.normal(size=40_000)
    values[31_234] = 99.0
    growing.writer.points("long", 0, range(40_000), list(values))
    growing.writer.flush()

    def is_there() -> bool:
        return "long" in dashboard.get("/api/v1/runs/p/live/metrics").json()["metrics"]

    wait_for(is_there)
    head, (_x, y) = series(dashboard, "live", metric="long", view="rank", width=500)
    assert head["total"] == 40_000
    assert head["drawn"] <= 1001
    assert y.max() == 99.0
    assert y.min() == pytest.approx(values.min())
    assert y[-1] == pytest.approx(values[-1])
    head, (x, y) = series(
        dashboard, "live", metric="long", view="rank", width=500, x0=31_200, x1=31_300
    )
    assert head["drawn"] == 103, "zoomed in, every point is there"
    assert y[list(x).index(31_234)] == 99.0


def test_time_axis_counts_from_the_beginning_of_the_run(dashboard: Live) -> None:
    _head, (x, _y) = series(dashboard, "sealed", view="rank", x="time")
    assert x[0] == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("metric=none", 404),
        ("metric=loss&view=pie", 400),
        ("metric=loss&x=frames", 400),
        ("metric=loss&width=many", 400),
        ("metric=loss&x0=nan", 400),
        ("metric=loss&x1=inf", 400),
        ("metric=loss&rank=a", 400),
        ("metric=loss&width=1e9", 200),
        ("metric=loss&width=-5", 200),
        ("metric=loss&rank=-1&view=rank", 200),
        ("metric=%ff", 400),
    ],
)
def test_odd_questions_get_clear_answers(dashboard: Live, query: str, status: int) -> None:
    answer = dashboard.get(f"/api/v1/runs/p/sealed/series?{query}")
    assert answer.status == status
    if status != 200:
        assert answer.json()["message"]


def listen(dashboard: Live, path: str) -> tuple[http.client.HTTPConnection, Callable[[], Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=180)
    host = f"{HOST_NAME}:{dashboard.port}"
    connection.request("GET", path, headers={"Host": host, "Authorization": f"Bearer {TOKEN}"})
    stream = connection.getresponse()
    assert stream.headers["Content-Type"] == "text/event-stream"

    def next_event() -> Any:
        while True:
            line = stream.readline().decode()
            assert line, "the stream ended"
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))

    return connection, next_event


def test_events_tell_what_has_grown_and_how_it_ended(
    growing: Zoo, start_dashboard: Callable[..., Live]
) -> None:
    dashboard = start_dashboard(growing.path)
    connection, next_event = listen(dashboard, "/api/v1/runs/p/live/events")
    first = next_event()
    assert first["state"] == "running"
    assert first["changed"] == []
    growing.grow(range(10, 20))
    event = next_event()
    while not event["changed"]:
        event = next_event()
    assert event["changed"] == ["loss"]
    assert event["version"] > first["version"]
    head, _arrays = series(dashboard, "live", view="rank")
    assert head["total"] == 20
    growing.writer.end(0, 0)
    growing.writer.flush()
    while event["state"] != "finished":
        event = next_event()
    assert event["live"] is False
    connection.close()


def test_events_tell_that_a_run_has_left_the_store(
    growing: Zoo, start_dashboard: Callable[..., Live]
) -> None:
    writer = NodeWriter(growing.path, run="leaves", wall_s=time.time())
    writer.start(0)
    writer.flush()
    dashboard = start_dashboard(growing.path)
    connection, next_event = listen(dashboard, "/api/v1/runs/p/leaves/events")
    assert "gone" not in next_event()
    writer.file.abandon()
    shutil.rmtree(growing.path / "p" / "leaves")
    event = next_event()
    while "gone" not in event:
        event = next_event()
    assert (event["gone"], event["live"]) == (True, False)
    connection.close()


def test_open_streams_end_with_the_server(
    growing: Zoo, start_dashboard: Callable[..., Live], caplog: pytest.LogCaptureFixture
) -> None:
    dashboard = start_dashboard(growing.path)
    connection, next_event = listen(dashboard, "/api/v1/runs/p/live/events")
    next_event()
    dashboard.stop()
    connection.close()
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_project_events_tell_when_the_list_changes(
    growing: Zoo, start_dashboard: Callable[..., Live]
) -> None:
    dashboard = start_dashboard(growing.path)
    connection, next_event = listen(dashboard, "/api/v1/projects/p/events")
    first = next_event()
    growing.writer.end(0, 0, exit_code=1)
    growing.writer.flush()
    assert next_event()["version"] != first["version"]
    connection.close()
    runs = dashboard.get("/api/v1/projects/p/runs").json()["runs"]
    assert {one["id"]: one["state"] for one in runs}["live"] == "failed"
