"""What live curves and many open pages cost the dashboard's one process."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hpctrack.core.layout import run_folder
from hpctrack.store.node_file import NodeFile
from scripts.benchmarks.dashboard_lab import (
    Served,
    Visitor,
    browse,
    load,
    make_row,
    read_share_mb,
    serve,
)
from scripts.benchmarks.lab import Lab, Place
from scripts.benchmarks.made_compared import PROJECT as COMPARED
from scripts.benchmarks.made_compared import Shape as ComparedShape
from scripts.benchmarks.made_compared import write_compared
from scripts.benchmarks.made_runs import PROJECT, Shape, begin_node, iter_rows
from scripts.benchmarks.processes import read_cpu_s, read_memory_mb
from scripts.benchmarks.rows import Outcome
from tests.websocket import WebSocket

HISTORY_STEPS = 1000
SETTLE_S = 5.0


class Growing:
    """Live runs, whose files this process holds open as agents do."""

    def __init__(self, place: Place, runs: int, metrics: int) -> None:
        """Begin them with some history."""
        self.runs = [f"live-{number:03d}" for number in range(runs)]
        self.step = 0
        self._metrics = metrics
        now_s = time.time()
        self._files = [self._begin(place, run, now_s) for run in self.runs]
        self.add(HISTORY_STEPS)

    def _begin(self, place: Place, run: str, now_s: float) -> NodeFile:
        folder = run_folder(place.store, PROJECT, run)
        return begin_node(folder, run, 0, Shape(metrics=self._metrics), wall_s=now_s)

    def add(self, steps: int) -> None:
        """Add steps to every run, at once."""
        now_s = time.time()
        for number, file in enumerate(self._files):
            shape = Shape(steps=steps, metrics=self._metrics, seed=number + self.step)
            for rows in iter_rows(0, shape):
                rows["step"] += self.step
                rows["wall_s"] = now_s
                file.add_points(rows.tobytes())
            file.flush(wall_s=now_s)
        self.step += steps

    def close(self) -> None:
        """Close their files."""
        for file in self._files:
            file.close(wall_s=time.time(), is_durable=False)


def bench_live(lab: Lab, *, curves: int, viewers: int, hz: float, seconds: float) -> Outcome:
    """Let curves grow by a point each per tick while pages watch them: of as many runs, and of one.

    One viewer is Chromium with the compare page and all curves in one chart; the others hold a
    socket with the same topics, as pages do, and read what they are sent.
    """
    outcome = Outcome()
    cases = {f"of {curves} runs": (curves, 1), "of one run": (1, curves)}
    for of, (runs, metrics) in cases.items():
        with lab.place() as place, contextlib.closing(Growing(place, runs, metrics)) as growing:
            seen = _bench_growing(lab, place, growing, outcome, (of, viewers, hz, seconds))
        title, found = f"{curves} curves {of} at {hz:g} Hz, {viewers} viewers", outcome.samples
        outcome.rows += [
            make_row(f"{title}: server's CPU", found, of, "server_percent", limit=1,
                     unit="% of a core"),
            make_row(f"{title}: CPU of one browser", found, of, "browser_percent", limit=5,
                     unit="% of a core", note=f"all its processes; {seen}"),
            make_row(f"{title}: sent to each viewer", found, of, "sent_kb_s", unit="kB/s"),
        ]  # fmt: skip
    return outcome


def _bench_growing(
    lab: Lab, place: Place, growing: Growing, outcome: Outcome, case: tuple[str, int, float, float]
) -> str:
    """Measure one case; return what the browser has drawn by then."""
    of, viewers, hz, seconds = case
    with serve(lab, place, place.store) as served, browse(place) as visitor:
        page = visitor.open(served)
        names = ",".join(growing.runs)
        page.goto(f"{served.origin}/p/{PROJECT}/compare?runs={names}")
        page.locator(".panel[data-ready]").first.wait_for()
        with _watching(served, names, viewers - 1) as got:
            _grow(growing, hz, SETTLE_S)

            def measure(_name: str) -> dict[str, Any]:
                return _measure_live(served, visitor, got, growing, (hz, seconds))

            outcome.samples.update(lab.interleave((of,), measure))
        drawn = page.evaluate(_LAST_STEPS)
    late = growing.step - 1 - min(drawn, default=-1)
    return f"{len(drawn)} curves on the screen, the last point of the slowest {late:g} steps behind"


_LAST_STEPS = """() => {
  const isSeen = ({top, bottom}) => bottom > 0 && top < innerHeight;
  const views = [...Bokeh.index].filter((one) => isSeen(one.el.getBoundingClientRect()));
  const lines = views.map((one) => one.model.document.get_model_by_name("lines")).filter(Boolean);
  return lines.flatMap((one) => [...one.data.xs].map((xs) => Number(xs[xs.length - 1])));
}"""


def _measure_live(
    served: Served,
    visitor: Visitor,
    got: Sequence[int],
    growing: Growing,
    pace: tuple[float, float],
) -> dict[str, float]:
    server_s, browser_s, sent = read_cpu_s(served.pid), visitor.read_cpu_s(), sum(got)
    took_s = _grow(growing, *pace)
    return {
        "server_percent": (read_cpu_s(served.pid) - server_s) / took_s * 100,
        "browser_percent": (visitor.read_cpu_s() - browser_s) / took_s * 100,
        "sent_kb_s": (sum(got) - sent) / took_s / 1e3 / max(1, len(got)),
    }


def _grow(growing: Growing, hz: float, seconds: float) -> float:
    """Add a step per tick, and return the seconds that took."""
    begun_s = time.monotonic()
    for tick in range(max(1, round(hz * seconds))):
        growing.add(1)
        time.sleep(max(0.0, begun_s + (tick + 1) / hz - time.monotonic()))
    return time.monotonic() - begun_s


@contextmanager
def _watching(served: Served, names: str, viewers: int) -> Iterator[list[int]]:
    """Listen to what a compare page listens to; yield how many bytes each has got."""
    got = [0] * viewers
    topics = ("events", f"points?runs={names}")
    readers: list[tuple[threading.Thread, WebSocket]] = []
    try:
        for number in range(viewers):
            connection = served.connect()
            connection.connect()
            page = WebSocket(connection.sock, "/api/v1/socket", served.headers)
            for one, topic in enumerate(topics):
                page.say({"listen": f"/api/v1/projects/{PROJECT}/{topic}", "id": one})
            reader = threading.Thread(target=_read, args=(page, got, number), daemon=True)
            readers.append((reader, page))
            reader.start()
        yield got
    finally:
        for _reader, page in readers:
            # One that waits for a message keeps its file from being closed.
            page.peer.shutdown(socket.SHUT_RDWR)
        for reader, page in readers:
            reader.join()
            page.close()


def _read(page: WebSocket, got: list[int], number: int) -> None:
    # The connection ends under it when the measurement is over.
    with contextlib.suppress(OSError, ValueError):
        while page.hear() is not None:
            got[number] = page.got_bytes


# -- many open pages ----------------------------------------------------------------------------


def bench_sessions(lab: Lab, *, pages: int, runs: int, points: int, repeats: int) -> Outcome:
    """Open many pages, of all sorts, on one process, and open one of each sort beside them.

    Each page is a session of its own, with cookies, a cache and connections that no other shares,
    and stays open with the streams that it listens to.
    """
    outcome = Outcome()
    with lab.place() as place:
        lab.say(f"making {runs} runs x 12 metrics x {points:,} points")
        first, *_ = write_compared(place.store, ComparedShape(runs=runs, points=points))
        kinds = _list_kinds(first)
        with serve(lab, place, place.store) as served, browse(place) as visitor:
            page = visitor.open(served)
            names = tuple(kinds)

            def measure(name: str) -> dict[str, Any]:
                path, painted = kinds[name]
                address = f"{served.origin}/p/{COMPARED}/{path}"
                found = [load(page, address, painted)["painted_ms"] for _ in range(repeats)]
                return {"painted_ms": sorted(found)[len(found) // 2]}

            for name in names:
                measure(name)
            alone = lab.interleave(names, measure)
            empty_mb = read_memory_mb(served.pid)
            lab.say(f"opening {pages} pages")
            opened = [_open_one(visitor, served, kinds, number) for number in range(pages)]
            time.sleep(SETTLE_S if pages > len(kinds) else 0.5)
            beside = lab.interleave(names, measure)
            memory = {
                "server_mb": read_memory_mb(served.pid),
                "peak_mb": read_memory_mb(served.pid, "VmHWM"),
                "empty_mb": empty_mb,
                "browser_mb": read_share_mb(visitor.find_processes()),
            }
            outcome.samples["memory"] = [memory]
            for one in opened:
                one.context.close()
    _add_session_rows(outcome, alone, beside, pages)
    return outcome


def _list_kinds(run: str) -> dict[str, tuple[str, str]]:
    ready = "document.querySelector('.panel[data-ready]')"
    return {
        "runs": ("runs", "document.querySelector('tbody tr[data-run]')"),
        "compare": ("compare", ready),
        "run": (f"runs/{run}", "document.querySelector('main h1')"),
        "charts": (f"runs/{run}/charts", "document.querySelector('main canvas, main .bk-Figure')"),
        "parallel": ("parallel", "document.querySelector('#parallel-panel[data-ready]')"),
    }


def _open_one(
    visitor: Visitor, served: Served, kinds: dict[str, tuple[str, str]], number: int
) -> Any:
    path, painted = list(kinds.values())[number % len(kinds)]
    page = visitor.open(served, is_apart=True)
    load(page, f"{served.origin}/p/{COMPARED}/{path}", painted)
    return page


def _add_session_rows(outcome: Outcome, alone: Any, beside: Any, pages: int) -> None:
    title = f"{pages} open pages"
    for name, found in alone.items():
        for one, other in zip(found, beside[name], strict=True):
            sample = {
                "alone_ms": one["painted_ms"],
                "painted_ms": other["painted_ms"],
                "slower": other["painted_ms"] / one["painted_ms"],
            }
            outcome.samples.setdefault(name, []).append(sample)
    (memory,) = outcome.samples["memory"]
    note = f"{memory['empty_mb']:.0f} MB before they were opened; peak {memory['peak_mb']:.0f} MB"
    outcome.rows.append(
        make_row(f"{title}: server's memory", outcome.samples, "memory", "server_mb", limit=1500,
                 unit="MB", note=note)
    )  # fmt: skip
    outcome.rows.append(
        make_row(f"{title}: browser's memory", outcome.samples, "memory", "browser_mb", unit="MB",
                 note="all its processes; what they share is counted once")
    )  # fmt: skip
    for name in alone:
        found = outcome.samples[name]
        note = f"{found[0]['alone_ms']:.0f} ms alone, {found[0]['painted_ms']:.0f} ms beside them"
        outcome.rows.append(
            make_row(f"{title}, one more of {name}: slower than alone", outcome.samples, name,
                     "slower", limit=2, unit="x", note=note)
        )  # fmt: skip
