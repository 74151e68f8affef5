"""How fast charts of many runs are drawn, zoomed and brushed, in Chromium."""

from __future__ import annotations

from typing import Any

from scripts.benchmarks import dashboard_index, made_compared
from scripts.benchmarks.bench_dashboard_runs import find_cache
from scripts.benchmarks.bench_ranks import RUN, WATCH_FIRST, measure_page
from scripts.benchmarks.dashboard_lab import (
    Served,
    browse,
    find_medians,
    load,
    make_row,
    serve,
    wait_for,
)
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.made_ranks import RankShape, write_ranks
from scripts.benchmarks.processes import read_cpu_s
from scripts.benchmarks.rows import Outcome, Row

COMPARE_SIZE = {"width": 1480, "height": 2600}
"""So high that all charts are on the screen: those that are not are not drawn."""

DRAWN = """(() => {
  const all = [...document.querySelectorAll(".panel")];
  return all.length >= CHARTS && all.every((one) => one.dataset.ready && !one.dataset.loading);
})()"""

WATCH_ZOOM = """
() => {
  const charts = [...Bokeh.index.roots].filter((one) => one.model.select_one?.("multi-line"));
  const moved = new Set();
  const painted = new Set();
  window.zoomed = new Promise((resolve) => {
    addEventListener("pointerup", () => {
      const begun = performance.now();
      const found = {};
      const add = (name, now) => {
        found[name] ??= now - begun;
        if (Object.keys(found).length === 3) resolve(found);
      };
      const tell = (name) => {
        const channel = new MessageChannel();
        channel.port1.onmessage = () => add(name, performance.now());
        channel.port2.postMessage(0);
        requestAnimationFrame(() => add(name, performance.now()));
      };
      const areDone = () => !document.querySelector(".panel[data-loading]");
      for (const chart of charts) {
        chart.model.x_range.change.connect(() => moved.add(chart));
        chart.repainted.connect(() => {
          if (!moved.has(chart) || painted.has(chart)) return;
          painted.add(chart);
          if (painted.size === 1) tell("one_ms");
          if (painted.size < charts.length) return;
          tell("moved_ms");
          paintedWhen(areDone).then((now) => add("done_ms", now));
        });
      }
    }, { capture: true, once: true });
  });
}
"""
"""A chart counts as painted when Bokeh has painted it with its new range, and that frame is over: a
message has come back, or the next frame has begun. Nobody looks meanwhile: that would take some of
the time that is measured."""

WATCH_BRUSH = """
() => {
  const panel = document.getElementById("parallel-panel");
  window.steps = [];
  let begun = 0;
  addEventListener("pointermove", () => (begun ||= performance.now()), { capture: true });
  panel.addEventListener("choose", (event) => {
    if (!event.detail.isDragging || !begun) return;
    const mine = begun;
    begun = 0;
    afterPaint().then((now) => window.steps.push(now - mine));
  });
}
"""
PARALLEL_AXES = (
    "config.p00", "config.p01", "config.p02", "config.p04", "config.p05", "config.p06",
    "summary.m00/loss", "summary.m01/loss",
)  # fmt: skip
BRUSH_STEPS = 30


def bench_compare(lab: Lab, *, runs: int, points: int, charts: int, repeats: int) -> Outcome:
    """Open the compare page with all charts on the screen, and zoom them."""
    outcome = Outcome()
    shape = made_compared.Shape(runs=runs, points=points, metrics=charts)
    with lab.place() as place:
        lab.say(f"making {runs} runs x {charts} metrics x {points:,} points")
        made_compared.write_compared(place.store, shape)
        with serve(lab, place, place.store) as served:
            address = f"{served.origin}/p/{made_compared.PROJECT}/compare"
            drawn = DRAWN.replace("CHARTS", str(charts))
            with browse(place, is_kept=True, **COMPARE_SIZE) as visitor:
                page = visitor.open()
                sent = _count_bytes(page)
                page.goto(served.url)
                first = _open(page, served, sent, address, drawn)
                outcome.samples["cold"] = [{**first, "sent_mb": sent[0] / 1e6}]

                def measure(name: str) -> dict[str, Any]:
                    many = [_open(page, served, sent, address, drawn) for _ in range(repeats)]
                    if name == "open":
                        return find_medians(many)
                    return find_medians([_zoom(page, at) for at in range(repeats)])

                outcome.samples.update(lab.interleave(("open", "zoom"), measure))
    _add_compare_rows(outcome, f"{runs} runs x {charts} charts x {points:,} points")
    return outcome


def _add_compare_rows(outcome: Outcome, title: str) -> None:
    found, rows = outcome.samples, outcome.rows
    note = "files in the browser's cache, as on every visit but the first"
    rows.append(make_row(f"{title}: all drawn", found, "open", "painted_ms", limit=2000, note=note))
    rows.append(make_row(f"{title}: first paint", found, "open", "first_ms"))
    rows.append(
        make_row(f"{title}, zoom: the chart painted", found, "zoom", "one_ms", limit=100,
                 note="with the points that are there, as the others are")
    )  # fmt: skip
    rows.append(
        make_row(f"{title}, zoom: all charts painted", found, "zoom", "moved_ms", limit=100)
    )
    rows.append(make_row(f"{title}, zoom: with all points of the window", found, "zoom", "done_ms"))
    rows.append(make_row(f"{title}: sent", found, "open", "sent_mb", unit="MB", limit=1.5))
    first = "an empty cache: scripts, styles and fonts too"
    rows.append(make_row(f"{title}, first visit: sent", found, "cold", "sent_mb", unit="MB",
                         note=first))  # fmt: skip
    rows.append(make_row(f"{title}, first visit: all drawn", found, "cold", "painted_ms",
                         note=f"{first}; the server's too"))  # fmt: skip


def _count_bytes(page: Any) -> list[float]:
    """Return a list whose only item is how many bytes have come over the network."""
    sent = [0.0]

    def add(event: dict[str, Any]) -> None:
        sent[0] += event["encodedDataLength"]

    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", add)
    return sent


def _open(
    page: Any, served: Served, sent: list[float], address: str, drawn: str
) -> dict[str, float]:
    sent_bytes, cpu_s = sent[0], read_cpu_s(served.pid)
    found = load(page, address, drawn)
    return {
        **found,
        "sent_mb": (sent[0] - sent_bytes) / 1e6,
        "cpu_ms": (read_cpu_s(served.pid) - cpu_s) * 1e3,
    }


def _zoom(page: Any, number: int) -> dict[str, float]:
    """Drag over a part of the first chart; all others follow."""
    box = page.locator(".panel .panel-box").first.bounding_box()
    x = box["x"] + box["width"] * (0.25 + 0.02 * (number % 8))
    y = box["y"] + box["height"] / 2
    page.mouse.dblclick(x, y)
    page.wait_for_timeout(700)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] * 0.3, y + 2, steps=6)
    page.evaluate(WATCH_ZOOM)
    page.mouse.up()
    return dict(wait_for(page, "zoomed"))


def bench_parallel(lab: Lab, *, runs: int, repeats: int) -> Outcome:
    """Draw parallel coordinates of a saved table of runs, and drag a brush over an axis."""
    outcome = Outcome()
    with lab.place() as place:
        dashboard_index.save_table(place.store, find_cache(place), runs)
        with (
            serve(lab, place, place.store, is_saved=True) as served,
            browse(place, is_kept=True) as visitor,
        ):
            page = visitor.open(served)
            axes = ",".join(PARALLEL_AXES).replace("/", "%2F")
            address = f"{served.origin}/p/{dashboard_index.PROJECT}/parallel?axes={axes}"
            drawn = "document.querySelector('#parallel-panel[data-ready]')"
            load(page, address, drawn)

            def measure(name: str) -> dict[str, Any]:
                if name == "draw":
                    return find_medians([load(page, address, drawn) for _ in range(repeats)])
                load(page, address, drawn)
                return _brush(page)

            outcome.samples.update(lab.interleave(("draw", "brush"), measure))
    title, found = f"{runs:,} runs x {len(PARALLEL_AXES)} axes", outcome.samples
    note = "from the pointer's move until it is painted"
    outcome.rows += [
        make_row(f"{title}: first draw", found, "draw", "painted_ms", limit=1500),
        make_row(f"{title}: step of a brush", found, "brush", "step_ms", limit=60, note=note),
        make_row(f"{title}: slowest step of a brush", found, "brush", "worst_ms"),
    ]
    return outcome


def _brush(page: Any) -> dict[str, float]:
    column = page.locator(f'.axis-column[data-key="{PARALLEL_AXES[-1]}"]')
    box = column.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(WATCH_BRUSH)
    for step in range(BRUSH_STEPS):
        page.mouse.move(x, y + box["height"] * 0.5 * (step + 1) / BRUSH_STEPS)
        page.wait_for_timeout(20)
    page.mouse.up()
    page.wait_for_timeout(200)
    steps = [float(one) for one in page.evaluate("window.steps")]
    return {**find_medians([{"step_ms": one} for one in steps]), "worst_ms": max(steps)}


def bench_ranks(lab: Lab, *, nodes: int, ranks: int, steps: int, repeats: int) -> Outcome:
    """Draw the heat map of a run of many ranks, zoom it and read it."""
    rows: list[Row] = []
    with lab.place() as place:
        shape = RankShape(nodes=nodes, ranks=ranks, steps=steps)
        lab.say(f"making {shape.size:,} ranks x {steps:,} steps")
        write_ranks(place.store, RUN, shape)
        with (
            serve(lab, place, place.store) as served,
            browse(place, is_kept=True, height=1000) as visitor,
        ):
            page = visitor.open(served, WATCH_FIRST)
            rows += measure_page(page, served.url, repeats=repeats * lab.rounds + 1)
    return Outcome(rows=rows)
