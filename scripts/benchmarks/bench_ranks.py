"""How fast the rank heat map is drawn and zoomed, in Chromium, by Playwright.

``PYTHONPATH=.:server python -m scripts.benchmarks.bench_ranks --store /tmp/ranks`` measures the run
of ``scripts.benchmarks.made_ranks``, which it makes if it is not there. *First draw* is from the
start of the navigation (files in the browser's cache) until the heat map has been painted.
*Zoom* is from letting go of the mouse until the new numbers have been painted; *blurred* while all
points are still being read, *sharp* after that. *Hover* is from the pointer's stop until the exact
value is in the page, 40 ms of it deliberate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hpctrack.core.layout import run_folder
from scripts.benchmarks.dashboard_lab import CHROMIUM, FLAGS, wait_for
from scripts.benchmarks.made_ranks import RankShape, write_ranks
from scripts.benchmarks.made_runs import PROJECT
from scripts.benchmarks.rows import Row, Target

SERVE = "from hpctrack_server.main import server; server()"
RUN = "many-ranks"
FIRST_MS, ZOOM_MS = 400.0, 100.0

WATCH_FIRST = """
{
  const paintedWhen = (name) => new Promise((resolve) => {
    const look = () => {
      if (document.getElementById("matrix")?.dataset[name]) {
        requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())));
      } else requestAnimationFrame(look);
    };
    look();
  });
  const both = Promise.all([paintedWhen("previewed"), paintedWhen("ready")]);
  window.drawn = both.then(([picture, axes]) => ({ picture, axes }));
}
"""
"""The picture is painted first, all its pixels in their place; then the figure, with its axes."""
WATCH_ZOOM = """
() => {
  const card = document.getElementById("matrix");
  const before = card.dataset.window;
  window.zoomed = new Promise((resolve) => {
    let begun = 0;
    addEventListener("pointerup", () => (begun = performance.now()), { capture: true, once: true });
    const look = () => {
      if (begun && card.dataset.window !== before) {
        const done = () => resolve(performance.now() - begun);
        requestAnimationFrame(() => requestAnimationFrame(done));
      } else setTimeout(look, 1);
    };
    look();
  });
}
"""
WATCH_HOVER = """
() => {
  const tip = document.getElementById("tip");
  const before = tip.textContent;
  const begun = performance.now();
  window.told = new Promise((resolve) => {
    const look = () => {
      if (tip.textContent !== before && !tip.hidden) resolve(performance.now() - begun);
      else setTimeout(look, 1);
    };
    look();
  });
}
"""


@contextmanager
def serving(store: Path) -> Iterator[str]:
    """Serve a store; yield the address that is printed."""
    command = [sys.executable, "-c", SERVE, "--store", str(store), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the server has no output")
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def measure_ranks(store: Path, *, repeats: int) -> list[Row]:
    """Measure the heat map of the run in a store; it is made if it is not there."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - for tests and this only

    if not run_folder(store, PROJECT, RUN).is_dir():
        write_ranks(store, RUN, RankShape())
    with serving(store) as url, sync_playwright() as driver:
        # With a profile, as a reader's browser has it: it keeps compiled scripts.
        browser = driver.chromium.launch_persistent_context(
            "", executable_path=CHROMIUM, headless=True, args=[*FLAGS],
            viewport={"width": 1280, "height": 1000},
        )  # fmt: skip
        page = browser.new_page()
        page.add_init_script(WATCH_FIRST)
        page.goto(url)
        rows = measure_page(page, url, repeats=repeats)
        browser.close()
    return rows


def measure_page(page: Any, url: str, *, repeats: int) -> list[Row]:
    """Measure the heat map of the run on a page that is signed in and has `WATCH_FIRST`.

    Parameters
    ----------
    page : playwright.sync_api.Page
    url : str
        Any address of the dashboard.
    repeats : int
    """
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc}/p/{PROJECT}/runs/{RUN}/ranks"
    firsts = [_measure_first(page, address) for _ in range(repeats)]
    pictures = [one["picture"] for one in firsts]
    blurred = [_measure_zoom(page, number) for number in range(2)]
    page.locator("#matrix[data-share='1']").wait_for(timeout=120_000)
    sharp = [_measure_zoom(page, number) for number in range(repeats)]
    hovers = [_measure_hover(page, number) for number in range(repeats)]
    return [
        _row("rank x step, first draw after the server's start", pictures[:1], None),
        _row("rank x step, first draw", pictures[1:], FIRST_MS),
        _row(
            "rank x step, first draw: its axes too", [one["axes"] for one in firsts[1:]], FIRST_MS
        ),
        _row("rank x step, zoom to paint, blurred", blurred, ZOOM_MS),
        _row("rank x step, zoom to paint, sharp", sharp, ZOOM_MS),
        _row("rank x step, hover to the exact value", hovers, None),
    ]


def _row(what: str, found_ms: list[float], limit_ms: float | None) -> Row:
    spread = ", ".join(f"{one:.0f}" for one in found_ms)
    target = None if limit_ms is None else Target("<=", limit_ms)
    return Row(what=what, value=statistics.median(found_ms), unit="ms", target=target, note=spread)


def _measure_first(page: Any, address: str) -> dict[str, float]:
    page.goto("about:blank")
    page.goto(address)
    found: dict[str, float] = wait_for(page, "drawn")
    return found


def _measure_zoom(page: Any, number: int) -> float:
    box = page.locator(".picture").bounding_box()
    page.mouse.dblclick(box["x"] + 300, box["y"] + 200)
    page.wait_for_timeout(1000)
    left, top = box["x"] + 180 + 35 * (number % 8), box["y"] + 60 + 9 * number
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(left + 60 + 20 * (number % 4), top + 120, steps=3)
    page.evaluate(WATCH_ZOOM)
    page.mouse.up()
    return float(wait_for(page, "zoomed"))


def _measure_hover(page: Any, number: int) -> float:
    box = page.locator(".picture").bounding_box()
    page.evaluate(WATCH_HOVER)
    page.mouse.move(box["x"] + 200 + 31 * number, box["y"] + 50 + 23 * number)
    took_ms = float(wait_for(page, "told"))
    page.wait_for_timeout(200)
    return took_ms


def main() -> None:
    """Read the command line, measure, and print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    for row in measure_ranks(options.store, repeats=options.repeats):
        goal = f" (target {row.target})" if row.target else ""
        sys.stdout.write(f"{row.what}: {row.value:.0f} {row.unit}{goal}; each: {row.note}\n")


if __name__ == "__main__":
    main()
