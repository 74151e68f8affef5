"""How fast the table of runs is: its server, and Chromium."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from scripts.benchmarks.dashboard_index import PROJECT, save_table, write_store
from scripts.benchmarks.dashboard_lab import (
    Served,
    browse,
    find_medians,
    load,
    make_row,
    serve,
    wait_for,
)
from scripts.benchmarks.lab import Lab, Place
from scripts.benchmarks.rows import Outcome

QUESTIONS: dict[str, Callable[[int], dict[str, str]]] = {
    "the page": lambda _number: {},
    "sort by a metric": lambda number: {"sort": f"-summary.m{number % 20:02d}/loss"},
    "sort by two columns": lambda number: {"sort": f"state,-config.p{number % 20:02d}"},
    "filter of three conditions": lambda number: {"filter": write_filter(number)},
    "search in names": lambda number: {"search": f"lake-{number + 1}.*7$"},
    "group by a key": lambda _number: {"group": "config.p02"},
}
"""By how many were asked before: but for the page and the groups each is a new one, since the
server keeps the answers that it has given."""

FILTERED = ("filter of three conditions", "search in names")
SHOWN = "document.querySelector('tbody tr[data-run]')"
READ_TIMEOUT_S = 600.0

WATCH_CHANGE = """
(kind) => {
  window.changed = new Promise((resolve) => {
    let begun = 0;
    addEventListener(kind, () => (begun ||= performance.now()), { capture: true, once: true });
    document.addEventListener("tablechange", () => {
      afterPaint().then((now) => resolve(now - begun));
    }, { once: true });
  });
}
"""
"""From the click or key until the table that it asks for has been painted."""

SET_FILTER = """
(text) => {
  const field = document.getElementById("filter-text");
  field.value = text;
  field.focus();
}
"""
"""Without an event: else the page has applied it before Enter is pressed."""


def write_filter(number: int) -> str:
    """Return a filter that was not asked for before."""
    low = 1e-3 * (1 + number / 100)
    return f'config.p00 > {low} and summary.m03/loss >= 2.5 and state == "finished"'


def bench_runs(lab: Lab, *, runs: int, repeats: int) -> Outcome:
    """Ask for the page of many sealed runs, then open it in Chromium, sort it and filter it."""
    outcome = Outcome()
    with lab.place() as place:
        lab.say(f"making {runs:,} sealed runs of 60 columns")
        write_store(place.store, runs)
        with serve(lab, place, place.store) as served:
            lab.say(f"read for the first time in {_wait_until_read(served, runs):.1f} s")
            _measure_server(lab, served, outcome, repeats)
            _measure_browser(lab, place, served, outcome, repeats)
    title, found = f"{runs:,} runs", outcome.samples
    outcome.rows.append(
        make_row(f"{title}, the page: server", found, "the page", "wall_ms", limit=60)
    )
    outcome.rows.append(
        make_row(f"{title}: first paint", found, "first paint", "first_ms", limit=800)
    )
    outcome.rows.append(
        make_row(f"{title}: rows painted", found, "first paint", "painted_ms", limit=800)
    )
    for name in list(QUESTIONS)[1:]:
        limit = None if "group" in name else 150
        row = make_row(f"{title}, {name}: server", found, name, "wall_ms", limit=limit)
        outcome.rows.append(row)
    for what in ("sort", "filter"):
        row = make_row(f"{title}, {what}: input to paint", found, what, "changed_ms", limit=150)
        outcome.rows.append(row)
    return outcome


def bench_runs_million(lab: Lab, *, runs: int, repeats: int) -> Outcome:
    """Ask for the page of a saved table of runs that do not exist, and open it in Chromium."""
    outcome = Outcome()
    with lab.place() as place:
        lab.say(f"making a table of {runs:,} runs of 60 columns")
        save_table(place.store, find_cache(place), runs)
        with serve(lab, place, place.store, is_saved=True) as served:
            begun_s = time.perf_counter()
            served.ask(f"/p/{PROJECT}/runs")
            first_s = time.perf_counter() - begun_s
            _measure_server(lab, served, outcome, repeats)
            _measure_browser(lab, place, served, outcome, repeats)
    outcome.samples["first page"] = [{"wall_ms": first_s * 1e3}]
    title, found = f"{runs:,} runs", outcome.samples
    rows = outcome.rows
    row = make_row(f"{title}, the page: server", found, "the page", "wall_ms", limit=300)
    rows.append(row)
    for name in list(QUESTIONS)[1:]:
        limit = 1000 if name in FILTERED else 300 if "sort" in name else None
        rows.append(make_row(f"{title}, {name}: server", found, name, "wall_ms", limit=limit))
    rows.append(make_row(f"{title}: rows painted", found, "first paint", "painted_ms"))
    rows.append(
        make_row(f"{title}, filter: input to paint", found, "filter", "changed_ms", limit=1000)
    )
    rows.append(make_row(f"{title}, sort: input to paint", found, "sort", "changed_ms"))
    rows.append(
        make_row(f"{title}, first page after the server's start", found, "first page", "wall_ms")
    )
    return outcome


def find_cache(place: Place) -> Path:
    """Return where the servers of a place keep their tables."""
    return Path(place.environ["HOME"]) / ".cache" / "hpctrack"


def _wait_until_read(served: Served, runs: int) -> float:
    """Wait until the index knows all runs, and return the seconds that took."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < READ_TIMEOUT_S:
        found = json.loads(
            served.ask(f"/api/v1/projects/{PROJECT}/table", {"keys": ["id"], "count": 1})
        )
        page = served.ask(f"/p/{PROJECT}/runs")
        if found["total"] == runs and b"being read for the first time" not in page:
            return time.monotonic() - begun_s
        time.sleep(0.2)
    raise TimeoutError(f"the runs are not read after {READ_TIMEOUT_S} s")


def _measure_server(lab: Lab, served: Served, outcome: Outcome, repeats: int) -> None:
    numbers = {name: itertools.count() for name in QUESTIONS}

    def ask(name: str) -> dict[str, Any]:
        found = []
        for _ in range(repeats):
            query = urlencode(QUESTIONS[name](next(numbers[name])))
            found.append(served.time(f"/p/{PROJECT}/runs?{query}", repeats=1))
        return find_medians(found)

    for name in QUESTIONS:
        ask(name)
    outcome.samples.update(lab.interleave(tuple(QUESTIONS), ask))


def _measure_browser(
    lab: Lab, place: Place, served: Served, outcome: Outcome, repeats: int
) -> None:
    address = f"{served.origin}/p/{PROJECT}/runs?view=none"
    with browse(place) as visitor:
        page = visitor.open(served)
        load(page, address, SHOWN)

        def measure(name: str) -> dict[str, Any]:
            if name == "first paint":
                return find_medians([load(page, address, SHOWN) for _ in range(repeats)])
            load(page, address, SHOWN)
            work = _sort if name == "sort" else _filter
            return find_medians([{"changed_ms": work(page, one)} for one in range(repeats)])

        found = lab.interleave(("first paint", "sort", "filter"), measure)
    outcome.samples.update(found)


def _sort(page: Any, number: int) -> float:
    page.wait_for_timeout(250)
    link = page.locator("thead th[data-key] a").nth(1 + number % 3)
    link.scroll_into_view_if_needed()
    page.evaluate(WATCH_CHANGE, "click")
    link.click()
    return float(wait_for(page, "changed"))


def _filter(page: Any, number: int) -> float:
    page.wait_for_timeout(250)
    page.evaluate(SET_FILTER, f"config.p00 > {2e-3 * (1 + number)} and summary.m05/loss >= 2.5")
    page.evaluate(WATCH_CHANGE, "keydown")
    page.keyboard.press("Enter")
    return float(wait_for(page, "changed"))
