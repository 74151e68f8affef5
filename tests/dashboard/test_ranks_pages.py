"""The Ranks and System tabs and their API over a store with everything in it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest

from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.programs import wait_for
from tests.stores import START_S, NodeWriter
from tests.unit.server.conftest import HOSTILE, HOSTILE_METRICS, Answer, Live, Zoo, serve

RANKS, STEPS = 12, 240
SPIKE = (7, 123, 50.0)
SLOW = (4, 5)


def write_ranks(store: Path, *, run: str, is_sealed: bool = True) -> np.ndarray:
    """Write three nodes of four ranks, of which one is slow, with telemetry; return the values."""
    values = np.random.default_rng(3).lognormal(0, 0.03, (RANKS, STEPS)) * 0.2
    values[list(SLOW), 100:] *= 1.5
    values[6:8, 100:] *= 1.5
    values[SPIKE[0], SPIKE[1]] = SPIKE[2]
    folder = store / "p" / run
    for node in range(3):
        writer = NodeWriter(store, run=run, node=node, host=f"rack1-n{node + 9}")
        for local in range(4):
            rank = 4 * node + local
            session = writer.start(
                rank, size=RANKS, local_rank=local, local_size=4, gpu=str(local), wall_s=START_S
            )
            writer.points("step_time", rank, range(STEPS), values[rank].tolist())
            writer.device(f"GPU-{node}-{local}", name="H100", ranks=[rank])
            watts = [300.0 + 10 * local] * 20
            writer.samples("gpu/power_w", watts, device=f"GPU-{node}-{local}", every_s=10.0)
            writer.samples("gpu/power_limit_w", [700.0], device=f"GPU-{node}-{local}")
            if is_sealed:
                writer.end(rank, session)
        writer.event(
            EventKind.NOTE,
            {"level": "warning", "code": "gpu-throttled", "text": "it is slowed down: heat"},
        )
        writer.close()
    if is_sealed:
        seal_run(folder, force=True)
    return values


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, np.ndarray, Path]]:
    store = tmp_path_factory.mktemp("ranked")
    values = write_ranks(store, run="many")
    write_ranks(store, run="open", is_sealed=False)
    live = serve(store, stale_after_s=1e9)
    yield live, values, store
    live.stop()


def decode(answer: Answer) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    assert answer.status == 200, answer.text
    (size,) = struct.unpack_from("<I", answer.body)
    head = json.loads(answer.body[4 : 4 + size])
    at, arrays = 4 + size, {}
    for entry in head["arrays"]:
        kind = np.dtype(f"<{entry['type']}")
        arrays[entry["name"]] = np.frombuffer(answer.body, kind, entry["length"], at)
        at += -(-entry["length"] * kind.itemsize // 8) * 8
    assert at == len(answer.body)
    return head, arrays


def ask(live: Live, run: str, what: str, **query: Any) -> Answer:
    return live.get(f"/api/v1/runs/p/{run}/{what}?{urlencode(query)}")


@pytest.mark.parametrize("run", ["many", "open"])
def test_a_picture_shows_what_was_logged(ranked: tuple[Live, np.ndarray, Path], run: str) -> None:
    live, values, _store = ranked
    whole = ask(live, run, "matrix", metric="step_time", width=1000, height=500, low=0, high=0.5)
    head, arrays = decode(whole)
    assert (head["rows"], head["columns"]) == (RANKS, STEPS)
    assert (head["x0"], head["x1"], head["share"]) == (0, STEPS, 1)
    codes = arrays["codes"].reshape(RANKS, STEPS)
    assert np.abs(codes - np.clip(np.rint(values / 0.5 * 253), 0, 253)).max() <= 1
    assert head["hosts"] == [["rack1-n9", 0, 4], ["rack1-n10", 4, 4], ["rack1-n11", 8, 4]]
    small = ask(
        live, run, "matrix", metric="step_time", width=10, height=3, x0=96, x1=192, how="max"
    )
    head, arrays = decode(small)
    assert head["highest"] == SPIKE[2]
    assert arrays["starts"].tolist() == [0, 4, 8, 12]


def test_ranks_are_ordered_as_one_asks(ranked: tuple[Live, np.ndarray, Path]) -> None:
    live, values, _store = ranked
    for sort, order in {
        "rank": np.arange(RANKS), "host": np.arange(RANKS),
        "mean": np.argsort(-values.mean(axis=1)), "peak": np.argsort(-values.max(axis=1)),
    }.items():  # fmt: skip
        _head, arrays = decode(ask(live, "many", "matrix", metric="step_time", sort=sort))
        assert arrays["ranks"].tolist() == order.tolist(), sort
    head, arrays = decode(ask(live, "many", "matrix", metric="step_time", sort="peak", r0=0, r1=2))
    assert arrays["ranks"][0] == SPIKE[0]
    assert (head["first"], head["last"]) == (0, 2)


@pytest.mark.parametrize("run", ["many", "open"])
def test_a_cell_is_exact_and_knows_where_it_is(
    ranked: tuple[Live, np.ndarray, Path], run: str
) -> None:
    live, values, _store = ranked
    found = ask(live, run, "cell", metric="step_time", ranks="7,6", x0=100, x1=140).json()
    assert (found["rank"], found["step"], found["value"]) == SPIKE
    assert (found["host"], found["local_rank"], found["gpu"]) == ("rack1-n10", 3, "3")
    assert found["points"] == 80
    assert found["p50"] == pytest.approx(np.percentile(values[:, 123], 50), rel=1e-6)
    assert found["p99"] == pytest.approx(np.percentile(values[:, 123], 99), rel=1e-6)
    one = ask(live, run, "cell", metric="step_time", ranks="2", x0=5).json()
    assert (one["step"], one["value"]) == (5, values[2, 5])
    none = ask(live, run, "cell", metric="step_time", ranks="2", x0=STEPS + 7).json()
    assert none["points"] == 0


def test_spread_has_exact_extremes(ranked: tuple[Live, np.ndarray, Path]) -> None:
    live, values, _store = ranked
    _head, arrays = decode(ask(live, "many", "spread", metric="step_time", width=24))
    assert arrays["high"].max() == SPIKE[2]
    assert arrays["low"].min() == pytest.approx(values.min(), rel=1e-6)
    assert len(arrays["x"]) == 24


def test_the_verdict_is_the_store_s(ranked: tuple[Live, np.ndarray, Path]) -> None:
    live, _values, store = ranked
    found = ask(live, "many", "stragglers", metric="step_time").json()
    (slow,) = found["stragglers"]
    assert (slow["kind"], slow["host"], slow["ranks"]) == ("node", "rack1-n10", [4, 5, 6, 7])
    wanted = StoredRun(store / "p" / "many").stragglers("step_time")
    assert slow["lost_s"] == pytest.approx(wanted[0].lost_s)
    assert found["each"] == 1
    nodes = ask(live, "many", "nodes", metric="step_time").json()["nodes"]
    assert [one["host"] for one in nodes] == ["rack1-n9", "rack1-n10", "rack1-n11"]
    assert nodes[0]["ranks"][3][:4] == [3, 3, "3", "finished"]


def test_system_has_groups_limits_marks_and_energy(ranked: tuple[Live, np.ndarray, Path]) -> None:
    live, _values, _store = ranked
    about = ask(live, "many", "system").json()
    assert [one["key"] for one in about["groups"]] == ["power"]
    assert len(about["devices"]) == RANKS
    assert {one["kind"] for one in about["marks"]} == {"warn"}
    head, arrays = decode(ask(live, "many", "system/sensor", name="gpu/power_w"))
    assert (head["view"], head["total_streams"]) == ("lines", RANKS)
    assert head["limits"] == [{"name": "gpu/power_limit_w", "value": 700}]
    assert arrays["y"].tolist()[0] == 330.0
    head, _arrays = decode(
        ask(live, "many", "system/sensor", name="gpu/power_w", host="rack1-n9", device="GPU-0-2")
    )
    assert head["total_streams"] == 1
    energy = ask(live, "many", "system/energy").json()
    assert energy["known"]
    assert sum(joules for _host, joules in energy["by_host"]) == pytest.approx(
        3 * 190 * (300 + 310 + 320 + 330)
    )


@pytest.mark.parametrize(
    ("what", "query", "status"),
    [
        ("matrix", {}, 400),
        ("matrix", {"metric": "nothing"}, 404),
        ("matrix", {"metric": "step_time", "how": "best"}, 400),
        ("matrix", {"metric": "step_time", "x0": "nan"}, 400),
        ("matrix", {"metric": "step_time", "x0": 5, "x1": 5, "r0": 99, "width": 10**9}, 200),
        ("matrix", {"metric": "step_time", "x0": 9e18, "x1": -9e18}, 200),
        ("matrix", {"metric": "step_time", "x0": 1e300, "r0": -1e300, "r1": 1e300}, 200),
        ("matrix", {"metric": "step_time", "low": 3, "high": 1}, 200),
        ("cell", {"metric": "step_time", "ranks": "x", "x0": 1}, 400),
        ("cell", {"metric": "step_time", "ranks": "1"}, 400),
        ("cell", {"metric": "step_time", "ranks": "99999999999999", "x0": 1e300}, 200),
        ("spread", {"metric": "nothing"}, 404),
        ("stragglers", {"metric": "nothing"}, 404),
        ("nodes", {"metric": "nothing"}, 404),
        ("system/sensor", {"name": "nothing"}, 404),
        ("system/sensor", {"name": "gpu/power_w", "host": "nowhere"}, 404),
        ("system/sensor", {"name": "gpu/power_w", "x0": 1e300, "x1": -1e300}, 200),
    ],
)
def test_strange_questions_get_an_answer_or_an_error(
    ranked: tuple[Live, np.ndarray, Path], what: str, query: dict[str, Any], status: int
) -> None:
    answer = ask(ranked[0], "many", what, **query)
    assert answer.status == status, answer.text
    if status != 200:
        assert answer.json()["message"]


def test_both_tabs_open_for_every_run(dashboard: Live) -> None:
    runs = [("p", run) for run in ("live", "sealed", "unsealed", "broken")]
    runs += [("hostile", f"hostile-{number}") for number in range(len(HOSTILE))]
    for project, run in runs:
        for tab in ("ranks", "system"):
            page = dashboard.get(f"/p/{project}/runs/{run}/{tab}")
            assert page.status == 200, (run, tab)
            assert "<script>alert" not in page.text
        if run != "broken":
            about = dashboard.get(f"/api/v1/runs/{project}/{run}/system")
            assert about.status == 200, about.text
            assert dashboard.get(f"/api/v1/runs/{project}/{run}/nodes").status == 200
    assert dashboard.get("/api/v1/runs/p/broken/matrix?metric=loss").status == 409
    assert dashboard.get("/p/p/runs/none/ranks").status == 404


def test_hostile_metrics_have_pictures(dashboard: Live) -> None:
    for metric in HOSTILE_METRICS:
        query = f"metric={quote(metric, safe='')}"
        for what in ("matrix", "spread", "stragglers", "nodes"):
            answer = dashboard.get(f"/api/v1/runs/hostile/hostile-0/{what}?{query}")
            assert answer.status == 200, (metric, what, answer.text)
        cell = dashboard.get(f"/api/v1/runs/hostile/hostile-0/cell?{query}&ranks=0&x0=0&x1=4")
        assert cell.json()["points"] == 3, "NaN is no point"


def test_a_live_run_s_picture_grows(growing: Zoo, start_dashboard: Callable[..., Live]) -> None:
    live = start_dashboard(growing.path)
    head, _arrays = decode(ask(live, "live", "matrix", metric="loss"))
    assert head["x1"] == 10
    growing.grow(range(10, 25))
    wait_for(lambda: decode(ask(live, "live", "matrix", metric="loss"))[0]["x1"] == 25)
