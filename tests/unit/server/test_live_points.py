"""Live points: read once, encoded once, the same bytes for all; means wait for further ranks."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack_server.data.event import Event, make_event
from hpctrack_server.data.series.live_feed import LiveFeeds, Tick
from hpctrack_server.data.series.live_watch import Viewer, Watched, make_events
from hpctrack_server.data.series.query import RankChoice
from tests.stores import NodeWriter
from tests.unit.server.conftest import HOST_NAME, TOKEN, Live, Zoo

MEAN: frozenset[RankChoice | int] = frozenset({RankChoice.MEAN})


def feeds_of(store: Path) -> LiveFeeds:
    return LiveFeeds(store, clock=SYSTEM_CLOCK, stale_after_s=1e6)


def pieces_of(tick: Tick, metric: str = "loss", how: RankChoice | int = RankChoice.MEAN) -> Any:
    return json.loads(b"[" + tick.pieces.get((metric, how), b"") + b"]")


@contextmanager
def listen(live: Live, path: str) -> Iterator[Callable[[], tuple[str, Any]]]:
    """Read a stream's events."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=180)
    connection.request(
        "GET",
        path,
        headers={"Host": f"{HOST_NAME}:{live.port}", "Authorization": f"Bearer {TOKEN}"},
    )
    response = connection.getresponse()
    assert response.status == 200, response.read()

    def read_event() -> tuple[str, Any]:
        name = ""
        while True:
            line = response.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))

    try:
        yield read_event
    finally:
        connection.close()


def test_a_page_is_told_what_comes_and_what_came_just_before(
    growing: Zoo, start_dashboard: Callable[..., Live]
) -> None:
    live = start_dashboard(growing.path, stale_after_s=1e6)
    asked = urlencode({"runs": "live,gone", "metric": "loss"})
    with listen(live, f"/api/v1/projects/p/points?{asked}") as read_event:
        name, said = read_event()
        assert (name, list(said["runs"])) == ("begin", ["live"])
        name, pieces = read_event()
        assert (name, pieces[-1]["step"]) == ("points", list(range(10)))
        growing.grow(range(10, 13))
        while pieces[0]["step"][-1] < 12:
            name, pieces = read_event()
        assert (name, pieces[0]["step"]) == ("points", [10, 11, 12])
        np.testing.assert_allclose(pieces[0]["value"], 1 / (np.arange(10, 13) + 1))
        growing.writer.points("fresh", 0, [0], [float("inf")])
        growing.writer.flush()
        assert read_event() == ("metrics", {"runs": {"live": ["fresh"]}})


def test_a_page_whose_runs_are_over_is_let_go(dashboard: Live) -> None:
    answer = dashboard.get("/api/v1/projects/p/points?runs=sealed,broken")
    assert answer.text.endswith('event: begin\ndata: {"runs": {}}\n\n')
    assert dashboard.get("/api/v1/projects/p/points").status == 400


def test_a_mean_is_sent_again_when_further_ranks_have_come(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path, wall_s=time.time())
    for rank in range(3):
        writer.start(rank)
    writer.points("loss", 0, range(5), [0.0] * 5)
    writer.points("loss", 1, range(5), [1.0] * 5)
    writer.flush()
    feeds, source = feeds_of(tmp_path), ("p", "r")
    feeds.look({source: MEAN})
    writer.points("loss", 2, [4], [5.0])
    writer.points("loss", 0, [5], [float("nan")])
    writer.flush()
    both: frozenset[RankChoice | int] = frozenset({RankChoice.MEAN, RankChoice.MAX, 2})
    tick = feeds.look({source: both})[source]
    (mean,) = pieces_of(tick)
    assert mean["step"] == [4, 5]
    assert mean["value"] == [2.0, None], "what was there before counts too"
    assert pieces_of(tick, how=RankChoice.MAX)[0]["value"] == [5.0, None]
    assert pieces_of(tick, how=2)[0]["step"] == [4]
    assert not feeds.look({source: both})[source].pieces
    feeds.close()


def test_a_requeue_cuts_what_it_computes_again(tmp_path: Path) -> None:
    first = NodeWriter(tmp_path, wall_s=time.time())
    first.start(0)
    first.points("loss", 0, range(10), [1.0] * 10)
    first.flush()
    feeds, source = feeds_of(tmp_path), ("p", "r")
    feeds.look({source: MEAN})
    first.close()
    second = NodeWriter(tmp_path, attempt=2, wall_s=time.time())
    second.start(0)
    second.points("loss", 0, range(6, 8), [2.0] * 2)
    second.flush()
    found = [feeds.look({source: MEAN})[source] for _ in range(6)]
    assert [tick.is_stale for tick in found].count(True) == 1, "charts along time are fetched again"
    (piece,) = [one for tick in found for one in pieces_of(tick)]
    assert (piece["cut"], piece["step"], piece["value"]) == (6, [6, 7], [2.0, 2.0])
    feeds.close()
    second.close()


def test_pages_that_watch_the_same_get_the_same_bytes() -> None:
    watched = Watched("p", ("a", "b"), frozenset({"loss"}))
    tick = Tick({("loss", RankChoice.MEAN): b'{"x":1}', ("acc", RankChoice.MEAN): b'{"x":2}'})
    ticks = {("p", "a"): tick, ("p", "b"): Tick(is_over=True, is_stale=True)}
    events = make_events(watched, {"a", "b"}, ticks, {("p", "a"): frozenset({"new"})})
    assert events == [
        ("points", b'[{"x":1}]'),
        ("metrics", b'{"runs": {"a": ["new"]}}'),
        ("stale", b'{"runs": ["b"]}'),
        ("over", b'{"runs": ["b"]}'),
    ]
    assert make_events(watched, {"b"}, {("p", "a"): tick}, {}) == []


def test_a_viewer_that_reads_too_slowly_is_told_to_fetch_again() -> None:
    viewer = Viewer(Watched("p", ("a", "b"), frozenset()))
    viewer.offer(make_event("over", {"runs": ["b"]}))
    for _ in range(30):
        viewer.offer(Event("points", b"x" * 100_000))
    waiting = asyncio.run(viewer.next(1))
    assert sum(len(one.body) for one in waiting) < 2e6
    names = [one.name for one in waiting]
    assert names[:2] == ["over", "stale"], "what is told only once is not given up"
    assert set(names[2:]) == {"points"}


def test_charts_are_told_to_be_stale_now_and_then_but_never_forgotten() -> None:
    viewer = Viewer(Watched("p", ("a",), frozenset(), RankChoice.ALL))
    stale, points = Event("stale", b"{}"), Event("points", b"[]")
    for now_s, events in ((0, [stale, points]), (1, [stale]), (2, [points]), (4.9, []), (6, [])):
        viewer.tell(events, now_s)
    assert asyncio.run(viewer.next(1)) == [points, stale, points, stale]
