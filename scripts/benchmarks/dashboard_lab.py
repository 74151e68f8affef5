"""A dashboard and a Chromium for measurements: served, asked over HTTP, and looked at."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import statistics
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from scripts.benchmarks.lab import Lab, Place, end_process
from scripts.benchmarks.processes import find_processes, list_tree, read_command, read_cpu_s
from scripts.benchmarks.rows import Row, Samples, Target, find_error, median

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--force-color-profile=srgb", "--force-device-scale-factor=1",
)  # fmt: skip
SIZE: Any = {"width": 1280, "height": 900}
PATIENCE_S = 120.0
START_TIMEOUT_S = 60.0
FIRST_TIMEOUT_MS = 2000
"""The browser tells of its first paint a little after it."""

WATCH_PAINT = """
window.afterPaint = () => new Promise((resolve) => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => resolve(performance.now());
  channel.port2.postMessage(0);
}));
window.paintedWhen = (isThere) => new Promise((resolve) => {
  const look = () => (isThere() ? afterPaint().then(resolve) : setTimeout(look, 1));
  look();
});
"""
"""A message posted in a frame's callback is delivered after that frame has been painted."""


@dataclass(slots=True)
class Served:
    """A dashboard that answers.

    Parameters
    ----------
    url : str
        With the token.
    pid : int
    """

    url: str
    pid: int
    _connection: http.client.HTTPConnection | None = None

    @property
    def origin(self) -> str:
        """The address without path and token."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def headers(self) -> dict[str, str]:
        """What a request has to carry."""
        parts = urlsplit(self.url)
        token = parse_qs(parts.query)["token"][0]
        return {"Host": parts.netloc, "Authorization": f"Bearer {token}"}

    def close(self) -> None:
        """Close the connection that is kept."""
        if self._connection is not None:
            self._connection.close()

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection."""
        port = urlsplit(self.url).port
        return http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """Get a path, or post JSON to it, over a connection that is kept.

        Raises
        ------
        OSError
            The answer is no success.
        """
        if self._connection is None:
            self._connection = self.connect()
        one = self._connection
        if body is None:
            one.request("GET", path, headers=self.headers)
        else:
            headers = {**self.headers, "Content-Type": "application/json"}
            one.request("POST", path, body=json.dumps(body).encode(), headers=headers)
        answer = one.getresponse()
        said = answer.read()
        if answer.status != http.client.OK:
            raise OSError(f"{path[:100]} answered {answer.status}: {said[:200]!r}")
        return said

    def time(
        self, path: str, body: Mapping[str, Any] | None = None, *, repeats: int = 5
    ) -> dict[str, float]:
        """Ask several times; return the median of the answers' ms, and the server's CPU of one."""
        took_ms = []
        before_s = read_cpu_s(self.pid)
        for _ in range(repeats):
            begun_s = time.perf_counter()
            self.ask(path, body)
            took_ms.append((time.perf_counter() - begun_s) * 1e3)
        cpu_ms = (read_cpu_s(self.pid) - before_s) * 1e3 / repeats
        return {"wall_ms": statistics.median(took_ms), "cpu_ms": cpu_ms}


@contextmanager
def serve(lab: Lab, place: Place, store: Path, *, is_saved: bool = False) -> Iterator[Served]:
    """Serve a store; with `is_saved` as its saved table says, without looking at the runs."""
    program = "scripts.benchmarks.programs.serve_dashboard"
    command = [lab.python(), "-P", "-m", program, str(store), "saved" if is_saved else "store"]
    log = place.folder / "server.log"
    log.unlink(missing_ok=True)
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'server'}"}
    process = lab.start(place, command, environ=environ, log_name=log.name)
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (found := [one for one in log.read_text().splitlines() if one[:1] == "{"]):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise OSError(f"the dashboard does not start: {log.read_text()[-300:]}")
            time.sleep(0.02)
        with contextlib.closing(Served(json.loads(found[0])["url"], process.pid)) as served:
            yield served
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            end_process(process)


@dataclass(slots=True)
class Visitor:
    """A Chromium with one profile.

    Parameters
    ----------
    context : playwright.sync_api.BrowserContext
    token : str
        Of the place.
    """

    context: Any
    token: str
    complaints: list[str] = field(default_factory=list)

    def open(
        self, served: Served | None = None, script: str = "", *, is_apart: bool = False
    ) -> Any:
        """Return a page that is signed in and runs a script before each document.

        Parameters
        ----------
        served : Served, optional
            Where to sign in.
        script : str, optional
        is_apart : bool
            In a session of its own: cookies, cache and connections.
        """
        context = self.context
        if is_apart:
            context = context.browser.new_context(viewport=SIZE, reduced_motion="reduce")
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1e3)
        page.add_init_script(WATCH_PAINT + script)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        if served is not None:
            page.goto(served.url)
        return page

    def read_cpu_s(self) -> float:
        """Return what all processes of the browser have used, seconds."""
        return sum(read_cpu_s(pid) for pid in self.find_processes())

    def find_processes(self) -> list[int]:
        """Return the browser's processes."""
        mine = find_processes(self.token, but=(os.getpid(),))
        roots = [pid for pid in mine if "chrom" in read_command(pid).partition(" ")[0]]
        # Those that show pages write their title over their environment.
        return sorted({pid for root in roots for pid in list_tree(root)})


@contextmanager
def browse(place: Place, *, is_kept: bool = False, **size: int) -> Iterator[Visitor]:
    """Start a Chromium; it carries the token of the place, and so do all its processes.

    Parameters
    ----------
    place : Place
    is_kept : bool, optional
        With a profile on disk, as a reader's browser has it: a private window keeps no compiled
        scripts from one visit to the next. Such a browser has no sessions apart.
    **size : int
        ``width`` and ``height``, where they are not those of `SIZE`.
    """
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - for tests and this only

    viewport: Any = {**SIZE, **size}
    launched: Any
    look: dict[str, Any] = {"viewport": viewport, "reduced_motion": "reduce"}
    how: dict[str, Any] = {
        "executable_path": CHROMIUM, "headless": True, "args": [*FLAGS],
        "env": dict(place.environ),
    }  # fmt: skip
    with sync_playwright() as driver:
        if is_kept:
            profile = place.folder / "profile"
            launched = context = driver.chromium.launch_persistent_context(profile, **how, **look)
        else:
            launched = driver.chromium.launch(**how)
            context = launched.new_context(**look)
        try:
            yield Visitor(context, place.token)
        finally:
            launched.close()


def load(page: Any, address: str, painted: str) -> dict[str, float]:
    """Go to an address from an empty page.

    Parameters
    ----------
    page : playwright.sync_api.Page
    address, painted : str
        The second a JavaScript expression of what has to be there.

    Returns
    -------
    dict
        ``painted_ms`` from the start of the navigation until it has been painted, and
        ``first_ms``, the browser's own first contentful paint.
    """
    page.goto("about:blank")
    page.goto(address, wait_until="commit")
    found = page.evaluate(f"""async () => {{
      setTimeout(() => (window.isLate = true), {PATIENCE_S * 1e3});
      const painted_ms = await paintedWhen(() => window.isLate || {painted});
      if (window.isLate) throw new Error("it is not painted in {PATIENCE_S} s");
      const first = await new Promise((resolve) => {{
        setTimeout(() => resolve(null), {FIRST_TIMEOUT_MS});
        new PerformanceObserver((list) => {{
          const one = list.getEntriesByName("first-contentful-paint")[0];
          if (one) resolve(one.startTime);
        }}).observe({{ type: "paint", buffered: true }});
      }});
      return {{painted_ms, first_ms: first}};
    }}""")
    times = {key: float(value) for key, value in found.items() if value is not None}
    # The frame is shown a little after the page has painted it: no row is there before the first.
    return {**times, "painted_ms": max(times.values())}


def wait_for(page: Any, name: str, *, timeout_s: float = 30.0) -> Any:
    """Return what a promise of a page's window gives; `evaluate` alone would wait for ever.

    Raises
    ------
    playwright.sync_api.Error
        It has given nothing in time.
    """
    return page.evaluate(
        """([name, limit]) => Promise.race([window[name], new Promise((_, fail) => {
          setTimeout(() => fail(new Error(`${name}: nothing in ${limit} s`)), limit * 1000);
        })])""",
        [name, timeout_s],
    )


def read_share_mb(pids: Sequence[int]) -> float:
    """Return the memory of processes, MB; what several share is counted once among them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total / 1e6


def decode(body: bytes) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]]:
    """Return header and arrays of a chart, see `hpctrack_server.data.encode`."""
    (size,) = struct.unpack_from("<I", body)
    head = json.loads(body[4 : 4 + size])
    offset = 4 + size
    arrays: list[np.ndarray[Any, Any]] = []
    for entry in head["arrays"]:
        if "same" in entry:
            arrays.append(arrays[entry["same"]])
            continue
        values = np.frombuffer(body, np.dtype(f"<{entry['type']}"), entry["length"], offset)
        offset += -(-values.nbytes // 8) * 8
        if entry.get("is_delta"):
            values = entry["start"] + np.cumsum(values.astype(np.int64))
        elif "start" in entry:
            values = entry["start"] + values.astype(np.float64)
        arrays.append(values)
    return head, arrays


def make_row(
    what: str,
    samples: Samples,
    name: str,
    key: str,
    *,
    limit: float | None = None,
    unit: str = "ms",
    note: str = "",
) -> Row:
    """Return a row of a figure's median over the rounds; its spread stands beside it."""
    found = samples.get(name, [])
    values = [float(one[key]) for one in found if one.get(key) is not None]
    parts = [f"{min(values):.3g} to {max(values):.3g}"] if len(values) > 1 else []
    cpu_ms = median(found, "cpu_ms")
    parts += [f"server's CPU {cpu_ms:.3g} ms"] if cpu_ms is not None else []
    parts += [note] if note else []
    return Row(
        what=what,
        value=statistics.median(values) if values else None,
        unit=unit,
        target=None if limit is None else Target("<=", limit),
        note=find_error(found) or "; ".join(parts),
    )


def find_medians(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of every figure of several repetitions."""
    keys = dict.fromkeys(key for one in found for key in one)
    return {key: statistics.median(one[key] for one in found if key in one) for key in keys}
