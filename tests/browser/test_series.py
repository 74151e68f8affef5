"""Numbers of charts in a real browser: they are what was logged, and live points arrive."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpctrack.store.seal import seal_run
from tests.browser.driving import eventually
from tests.programs import wait_for
from tests.stores import START_S, NodeWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

IMPORT = """
const place = (name) => document.querySelector('script[type="module"]').src
  .replace(/\\/assets\\/([^/]+)\\/.*/, `/assets/$1/${name}`);
const { fetchChart, chooseWidth } =
  await import(place("charts/series.js"));
const { listenPoints, LiveLine, xOfPiece } = await import(place("charts/live_points.js"));
const { chooseExtremes, nearest, Extent } = await import(place("charts/numbers.js"));
"""


@pytest.fixture
def runs() -> Iterator[NodeWriter]:
    """Put a sealed run and a live one into the test's store; return who writes the live one."""
    store = Path(os.environ["HPCTRACK_DIR"])
    store.mkdir(exist_ok=True)
    done = NodeWriter(store, run="done", wall_s=START_S)
    done.start(0, name="<b>done</b>")
    done.table("val/loss", [0], np.sin(np.arange(5000.0))[np.newaxis], START_S + np.arange(5000.0))
    seal_run(done.close().parent)
    live = NodeWriter(store, run="live", wall_s=time.time())
    live.start(0)
    live.points("loss", 0, range(10), [float(one) for one in range(10)])
    live.flush()
    yield live
    live.close()


def evaluate(page: Any, work: str, given: Any = None) -> Any:
    """Run the body of an async function that has the modules."""
    return page.evaluate(f"async (given) => {{ {IMPORT} {work} }}", given)


def test_a_chart_is_decoded_to_what_was_logged(
    runs: NodeWriter,
    open_page: Callable[..., Any],
) -> None:
    runs.flush()
    page = open_page()
    chart = evaluate(page, """
      const chart = await fetchChart("p", { y: "val/loss", runs: ["done", "gone"], width: 4000 });
      const [line] = chart.lines;
      return { x: [...line.x], y: [...line.y], label: line.label, errors: chart.errors,
               width: chooseWidth(450) };
    """)  # fmt: skip
    assert chart["x"] == list(range(5000))
    np.testing.assert_allclose(chart["y"], np.sin(np.arange(5000)), atol=1e-4)
    assert chart["label"] == "<b>done</b>"
    assert [one["run"] for one in chart["errors"]] == ["gone"]
    assert chart["width"] == 360


def test_live_points_arrive_while_a_page_looks(
    runs: NodeWriter,
    open_page: Callable[..., Any],
) -> None:
    page = open_page()
    evaluate(page, """
      window.seen = []; window.begun = null; window.fresh = null;
      window.grown = new LiveLine([], [], 100);
      window.stop = listenPoints("p", { runs: ["live", "done"], metrics: ["loss"] }, {
        onBegin: (begun) => { window.begun = begun; },
        onPoints: (pieces) => {
          for (const piece of pieces) window.grown.add(piece, xOfPiece("step", 0));
        },
        onMetrics: (names) => { window.fresh = names; },
      });
    """)  # fmt: skip
    wait_for(lambda: page.evaluate("window.begun && window.grown.x.length") == 10)
    eventually(lambda: list(page.evaluate("window.begun")), ["live"])
    runs.points("loss", 0, [10, 11], [5.0, float("nan")])
    runs.points("other", 0, [0], [1.0])
    runs.flush()
    wait_for(lambda: page.evaluate("window.fresh && window.grown.x.length") == 12)
    eventually(lambda: page.evaluate("window.fresh"), {"live": ["other"]})
    eventually(lambda: page.evaluate("[...window.grown.y].slice(8, 11)"), [8, 9, 5])
    eventually(lambda: page.evaluate("Number.isNaN(window.grown.y[11])"))
    page.evaluate("window.stop()")


def test_a_line_that_grows_keeps_its_extremes_and_obeys_a_requeue(
    open_page: Callable[..., Any],
) -> None:
    page = open_page()
    found = evaluate(page, """
      const by = xOfPiece("step", 0);
      const line = new LiveLine([0, 1, 2], [5, 6, 7], 50);
      const piece = (step, value, more = {}) => ({ step, wall: step, value, ...more });
      for (let i = 3; i < 20000; i++) line.add(piece([i], [i === 777 ? 1e6 : Math.sin(i)]), by);
      const long = { length: line.x.length, high: Math.max(...line.y), last: line.x.at(-1) };
      line.add(piece([100], [1], { cut: 100 }), by);
      const again = new LiveLine([0, 2], [1, 2], 50);
      const changed = [again.add(piece([2], [2]), by), again.add(piece([2], [3]), by),
                       again.add(piece([1], [9]), by)];
      const extent = new Extent();
      extent.take([1, NaN, 5, 9], [0, 1, 2, 3], [1, 2]);
      return { long, cut: line.x.at(-1), changed, x: [...again.x], y: [...again.y],
               extent: [extent.low, extent.high], none: new Extent().padded(0.1),
               nearest: [nearest([1, 2, 4], 3.1), nearest([], 1), nearest([1, 2], 99)],
               kept: chooseExtremes([0, 1], [1, 2], 1) };
    """)  # fmt: skip
    assert found["long"]["high"] == 1e6
    assert found["long"]["length"] <= 300
    assert (found["long"]["last"], found["cut"]) == (19999, 100)
    assert found["changed"] == [False, True, True]
    assert (found["x"], found["y"]) == ([0, 1, 2], [1, 9, 3])
    assert (found["extent"], found["none"]) == ([5, 5], [0, 1])
    assert found["nearest"] == [2, -1, 1]
    assert found["kept"] == [0, 1]


def test_points_that_a_requeue_replaces_are_not_counted_any_more(
    runs: NodeWriter,
    open_page: Callable[..., Any],
) -> None:
    runs.flush()
    page = open_page()
    found = evaluate(page, """
      const { addPieces } = await import(place("panels/line_live.js"));
      const steps = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
      const piece = (from, to, more) => ({ run: "a", metric: "m", ranks: "mean",
        step: steps(from, to),
        wall: steps(from, to), value: steps(from, to), ...more });
      const count = (drawn, total, x, ...pieces) => {
        const how = { y: "m", x, ranks: "mean", smooth: { kind: "none" } };
        const curve = { run: "a", total, drawn, x: steps(0, drawn), y: steps(0, drawn) };
        const isChanged = addPieces([curve], pieces, how, {}, 100);
        return [isChanged, curve.drawn, curve.total];
      };
      const again = piece(0, 7, { cut: 0 });
      return [count(40, 40, "step", piece(40, 42)), count(40, 40, "step", piece(40, 42), again),
              count(40, 40, "time", again), count(40, 90, "step", again)];
    """)  # fmt: skip
    assert found[:2] == [[True, 42, 42], [True, 7, 7]]
    assert [one[0] for one in found[2:]] == [None, None], "these have to be fetched again"
