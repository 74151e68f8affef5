"""A real dashboard on a thread of the test, and a store with everything that can be in one."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.sweeps.sweep import create_sweep
from hpctrack_server.app import make_dashboard
from hpctrack_server.auth import Gate
from hpctrack_server.data.index import scanner
from hpctrack_server.listen import bind_loopback
from hpctrack_server.settings import ServerSettings
from tests.stores import NodeWriter, write_run
from tests.sweep_stores import CONFIG as SWEEP

TOKEN = "a-token-that-is-long-enough"  # noqa: S105 - a made-up one
HOST_NAME = "hpctrack-test.localhost"

# After these waits a page shows what there is by then; tests want all of it, however slow the
# machine.
scanner.FIRST_WAIT_S = scanner.REFRESH_WAIT_S = 60.0
HOSTILE = (
    "<script>alert(1)</script>",
    "\"quotes\" & 'more' <b>bold</b>",
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd",
    "emoji \U0001f680 and %2F and ../../etc",
    "x" * 10_000,
    "half a pair \ud83d",
)
HOSTILE_METRICS = ("a/b/c", "with spaces ", "why?", "#1", "100%", "%2F", "<img src=x onerror=y>")


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    pytest.fail(f"{name} in JSON")


@dataclass
class Live:
    """A dashboard that runs."""

    port: int
    gate: Gate
    stop: Callable[[], None]
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask with the token, unless told otherwise; header names with _ for -."""
        given = {"Host": f"{HOST_NAME}:{self.port}", "Authorization": f"Bearer {TOKEN}"}
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()


def serve(store: Path, **settings: Any) -> Live:
    """Start a dashboard on a thread."""
    started = threading.Event()
    state: dict[str, Any] = {}

    async def run() -> None:
        sockets = bind_loopback(0)
        port = sockets[0].getsockname()[1]
        gate = Gate(host_name=HOST_NAME, port=port, token=TOKEN, uid=os.getuid())
        end = asyncio.Event()
        state.update(port=port, gate=gate, loop=asyncio.get_running_loop(), end=end)
        chosen = ServerSettings(store=store, poll_interval_s=0.05, **settings)
        async with make_dashboard(chosen, gate, sockets):
            started.set()
            await end.wait()

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            state["error"] = error
            raise
        finally:
            started.set()

    thread = threading.Thread(target=work, name="dashboard")
    thread.start()
    assert started.wait(180)
    assert "error" not in state, state["error"]

    def stop() -> None:
        if not thread.is_alive():
            return
        state["loop"].call_soon_threadsafe(state["end"].set)
        thread.join(180)
        assert not thread.is_alive()

    return Live(state["port"], state["gate"], stop)


@pytest.fixture
def start_dashboard() -> Iterator[Callable[..., Live]]:
    """Return a function that serves a store; what it started is stopped."""
    started: list[Live] = []

    def start(store: Path, **settings: Any) -> Live:
        started.append(serve(store, **settings))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@dataclass
class Zoo:
    """A store with one of each."""

    path: Path
    writer: NodeWriter

    def grow(self, steps: range) -> None:
        """Let the live run log more."""
        self.writer.points("loss", 0, steps, [1 / (step + 1) for step in steps])
        self.writer.flush()


def make_zoo(store: Path) -> Zoo:
    """Make a store with live, sealed, broken and hostile runs, and an empty project."""
    seal_run(write_run(store, run="sealed", ranks=4, steps=50))
    write_run(store, run="unsealed")
    broken = write_run(store, run="broken", steps=500)
    seal_run(broken)
    whole = (broken / "run.h5").read_bytes()
    (broken / "run.h5").write_bytes(whole[: len(whole) // 3])
    for number, name in enumerate(HOSTILE):
        write_hostile(store, f"hostile-{number}", name)
    (store / "empty").mkdir()
    create_sweep(store, SWEEP, project="p", sweep_id="swept")
    (store / "<b>no project").mkdir()
    made = Zoo(store, NodeWriter(store, run="live", wall_s=time.time()))
    made.writer.start(0, name="still going")
    made.grow(range(10))
    return made


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """Make a store that tests only read."""
    made = make_zoo(tmp_path_factory.mktemp("zoo"))
    yield made
    made.writer.close()


@pytest.fixture(scope="session")
def shared_dashboard(zoo: Zoo) -> Iterator[Live]:
    """Serve it, however long the tests take."""
    live = serve(zoo.path, stale_after_s=1e6)
    yield live
    live.stop()


@pytest.fixture
def dashboard(shared_dashboard: Live, caplog: pytest.LogCaptureFixture) -> Iterator[Live]:
    """Serve the zoo; no test may leave an error in the log."""
    caplog.set_level(logging.WARNING)
    yield shared_dashboard
    assert not [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Zoo]:
    """Make a store with one live run that a test may write to."""
    store = tmp_path / "growing"
    made = Zoo(store, NodeWriter(store, run="live", wall_s=time.time()))
    made.writer.start(0, name="still going")
    made.grow(range(10))
    yield made
    made.writer.close()


def write_hostile(store: Path, run: str, text: str) -> None:
    """Write a run that has a text wherever a user can put one."""
    writer = NodeWriter(store, project="hostile", run=run)
    session = writer.start(0, name=text, user=text, group=text, job={"cwd": text})
    writer.event(EventKind.CONFIG, {text: text, "nan": float("nan"), "deep": {"<i>": [text]}})
    writer.event(EventKind.SUMMARY, {text: float("inf"), "x": float("nan")})
    writer.event(EventKind.META, {"name": text, "tags": [text, "<u>"], "notes": text})
    writer.event(EventKind.NOTE, {"level": "warning", "code": "c", "text": text})
    writer.event(EventKind.LEDGER, {"dropped_points": 3, "refused": {text: 2}})
    for metric in HOSTILE_METRICS:
        writer.points(metric, 0, range(4), [1.0, float("nan"), float("inf"), -1e300])
    writer.end(0, session, exit_code=137)
    writer.close()
