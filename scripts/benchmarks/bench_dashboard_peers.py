"""The same runs in other trackers' pages: first paint, and charts that are complete."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.bench_dashboard_runs import SHOWN
from scripts.benchmarks.dashboard_lab import PATIENCE_S, Visitor, browse, load, make_row, serve
from scripts.benchmarks.lab import OURS, Case, Lab, Place, end_process
from scripts.benchmarks.rows import Outcome, Row, Target, median

QUIET_S = 1.5
"""A page whose picture has not changed for so long is complete."""

FRAME = {"format": "jpeg", "quality": 20, "maxWidth": 400, "maxHeight": 400}
START_TIMEOUT_S = 90.0
PROJECT = "bench"
AHEAD = Target("<=", 1)


@dataclass(frozen=True, slots=True)
class Site:
    """What a tracker shows.

    Parameters
    ----------
    command : callable
        The server's, from Python, the store's folder and a port.
    table, charts : (str, str)
        Path of the page, and JavaScript of what has to be in it; None where no address has it.
    shown : str
        What of the points and runs its charts show, as they open.
    """

    command: Callable[[Path, Place, int], list[str]]
    table: tuple[str, str]
    charts: tuple[str, str] | None
    shown: str


def find_database(place: Place) -> str:
    """Return where MLflow's runs are."""
    return f"sqlite:///{place.folder}/mlflow.db"


def _start_tensorboard(python: Path, place: Place, port: int) -> list[str]:
    module = [str(python), "-P", "-m", "tensorboard.main", "--logdir", str(place.store)]
    return [*module, "--host", "127.0.0.1", "--port", str(port)]


def _start_aim(python: Path, place: Place, port: int) -> list[str]:
    program = [str(python.parent / "aim"), "up", "--yes", "--repo", str(place.store)]
    return [*program, "--host", "127.0.0.1", "--port", str(port)]


def _start_mlflow(python: Path, place: Place, port: int) -> list[str]:
    program = [str(python.parent / "mlflow"), "server", "--workers", "1"]
    where = ["--backend-store-uri", find_database(place)]
    return [*program, *where, "--host", "127.0.0.1", "--port", str(port)]


SITES: dict[str, Site] = {
    "tensorboard": Site(
        _start_tensorboard,
        ("#timeseries", "document.body?.innerText.includes('run-0')"),
        ("#timeseries", "document.querySelectorAll('scalar-card canvas').length >= CHARTS"),
        "at most 1,000 points of a curve, a random sample: spikes are lost",
    ),
    "aim": Site(
        _start_aim,
        ("runs", "document.body?.innerText.includes('run-0')"),
        None,
        "no chart opens by itself: metrics are chosen by hand first",
    ),
    "mlflow-ui": Site(
        _start_mlflow,
        ("#/experiments/1/runs", "document.body?.innerText.includes('run-0')"),
        (
            "#/experiments/1/runs?compareRunsMode=CHART",
            "document.querySelectorAll('.js-plotly-plot .trace').length",
        ),
        "the runs that it does not hide at first, on those charts that are on the screen",
    ),
}  # fmt: skip
OURS_TABLE = ("runs", SHOWN)
OURS_CHARTS = (
    "compare",
    "document.querySelectorAll('.panel[data-ready]:not([data-loading])').length >= CHARTS",
)


def bench_peers(lab: Lab, *, runs: int, points: int, metrics: int, repeats: int) -> Outcome:
    """Write the same runs through every tracker's own writer, serve all, and open all in turn.

    *Complete* is the last change of the picture, as Chromium's screencast tells it, before nothing
    changes for 1.5 s after the charts are in the page: the same eye for all.
    """
    outcome = Outcome()
    names = [OURS, *(name for name in SITES if name in lab.peers)]
    with ExitStack() as stack:
        visitor = stack.enter_context(browse(stack.enter_context(lab.place()), height=1000))
        pages: dict[str, dict[str, tuple[Any, str, str]]] = {}
        for name in names:
            place = stack.enter_context(lab.place())
            lab.say(f"{name}: writing {runs} runs x {metrics} metrics x {points:,} points")
            told = {"runs": runs, "points": points, "metrics": metrics}
            said = lab.run(
                Case(name, "fill_peer", {**told, "address": find_database(place)}), place=place
            )
            if "error" in said:
                outcome.samples[f"{name}: table"] = outcome.samples[f"{name}: charts"] = [said]
                continue
            pages[name] = stack.enter_context(_showing(lab, place, name, visitor, metrics))

        def measure(contestant: str) -> dict[str, Any]:
            name, _, what = contestant.partition(": ")
            found = [_look(*pages[name][what]) for _ in range(repeats)]
            return {key: sorted(one[key] for one in found)[len(found) // 2] for key in found[0]}

        contestants = tuple(f"{name}: {what}" for name in pages for what in pages[name])
        for one in contestants:
            measure(one)
        outcome.samples.update(lab.interleave(contestants, measure))
    title = f"{runs} runs x {metrics} metrics x {points:,} points"
    outcome.rows += [row for name in names for row in _list_rows(outcome, name, title)]
    return outcome


def _list_rows(outcome: Outcome, name: str, title: str) -> list[Row]:
    rows = []
    site = SITES.get(name)
    shown = site.shown if site else "every point of every run is in the envelope that is drawn"
    keys = (
        ("table", "first_ms", "runs: first paint", ""),
        ("table", "painted_ms", "runs: the table", ""),
        ("charts", "complete_ms", "charts complete", shown),
    )
    for what, key, words, note in keys:
        samples = outcome.samples
        row = make_row(f"{title}, {words}: {name}", samples, f"{name}: {what}", key, note=note)
        rows.append(row)
        ours = median(samples.get(f"{OURS}: {what}", []), key)
        if name != OURS and row.value and ours is not None:
            rows.append(
                Row(what=f"{title}, {words}: ours / {name}", value=ours / row.value, unit="x",
                    target=AHEAD)
            )  # fmt: skip
    return rows


@contextmanager
def _showing(
    lab: Lab, place: Place, name: str, visitor: Visitor, charts: int
) -> Iterator[dict[str, tuple[Any, str, str]]]:
    """Serve a tracker's store; yield a page, an address and what has to be there, for each page."""
    if name == OURS:
        with serve(lab, place, place.store) as served:
            page = visitor.open(served, is_apart=True)
            parts = {"table": OURS_TABLE, "charts": OURS_CHARTS}
            yield _address(page, f"{served.origin}/p/{PROJECT}/", parts, charts)
        return
    site, port = SITES[name], _find_port()
    python = Path(lab.python(name))
    environ = {"PATH": f"{python.parent}:{place.environ['PATH']}", "PYTHONPATH": ""}
    process = lab.start(
        place, site.command(python, place, port), environ=environ, log_name="server.log"
    )
    try:
        _wait_until_up(port)
        page = visitor.open(is_apart=True)
        parts = {"table": site.table, **({"charts": site.charts} if site.charts else {})}
        yield _address(page, f"http://127.0.0.1:{port}/", parts, charts)
    finally:
        end_process(process)


def _address(
    page: Any, origin: str, parts: dict[str, tuple[str, str]], charts: int
) -> dict[str, tuple[Any, str, str]]:
    return {
        what: (page, origin + path, painted.replace("CHARTS", str(charts)))
        for what, (path, painted) in parts.items()
    }


def _find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def _wait_until_up(port: int) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on {port} after {START_TIMEOUT_S} s")


def _look(page: Any, address: str, painted: str) -> dict[str, float]:
    """Open a page; return when it was painted, and when its picture changed for the last time."""
    frames: list[float] = []
    session = page.context.new_cdp_session(page)

    def keep(event: dict[str, Any]) -> None:
        frames.append(float(event["metadata"]["timestamp"]))
        session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    session.on("Page.screencastFrame", keep)
    page.goto("about:blank")
    session.send("Page.startScreencast", FRAME)
    found = load(page, address, painted)
    deadline_s = time.monotonic() + PATIENCE_S
    while time.time() - max(frames, default=time.time()) < QUIET_S:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{address} does not come to rest")
        page.wait_for_timeout(100)
    begun_s = float(page.evaluate("performance.timeOrigin")) / 1e3
    session.send("Page.stopScreencast")
    session.detach()
    return {**found, "complete_ms": (max(frames) - begun_s) * 1e3}
