"""A browser that looks at the dashboard, and what it does beside what it was asked to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Error

from tests.programs import rank_environment, start_python

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    "--font-render-hinting=none",
    "--disable-lcd-text",
]
PATIENCE_MS = 60_000
SLOWNESS = float(os.environ.get("HPCTRACK_TEST_SLOWNESS", "1"))
"""How many times slower than this machine the pages run: shows tests that do not wait."""
SERVE = "from hpctrack_server.main import server; server()"

TRAIN = """
import math, os, random, sys, time
import hpctrack

rank, steps, pause_s = int(os.environ.get("RANK", "0")), int(sys.argv[1]), float(sys.argv[2])
dice = random.Random(rank)
config = {"lr": 0.003, "batch_size": 256, "optimizer": "adamw", "model": {"layers": 12}}
with hpctrack.init("vision", name=sys.argv[3], config=config, tags=["baseline"]) as run:
    for step in range(steps):
        fall = math.exp(-step / 300)
        values = {"train/loss": 0.3 + 2.2 * fall + dice.gauss(0, 0.05) + 0.02 * rank,
                  "grad_norm": 0.2 + fall * dice.lognormvariate(0, 0.4),
                  "step_time_s": 0.2 + 0.08 * (rank == 2) + abs(dice.gauss(0, 0.01)),
                  "throughput": 1250 - 300 * (rank == 2) + dice.gauss(0, 25)}
        if rank == 0 and step % 50 == 0:
            values["val/acc"] = 0.92 - 0.7 * fall + dice.gauss(0, 0.01)
        run.log(values, step=step)
        if pause_s:
            time.sleep(pause_s)
        if pause_s and os.path.exists(sys.argv[4]):
            break
"""


def eventually(read: Callable[[], Any], wanted: Any = True, *, said: object = "") -> None:
    """Look until `read()` equals what is wanted, or fail with what was seen last.

    A page follows what was done to it a moment later: nothing of it is judged by one look. What
    a look raises (there is no such chart yet) is a look in vain.
    """
    deadline_s = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline_s:
        with suppress(Error):
            if read() == wanted:
                return
        time.sleep(0.05)
    assert read() == wanted, said


def hear(page: Any, is_true: Callable[[], bool]) -> None:
    """Wait until what a page's events were counted for is there: they come while it is asked."""

    def look() -> bool:
        page.evaluate("0")
        return is_true()

    eventually(look)


def assert_fits(page: Any, *, said: object = "") -> None:
    """Wait until nothing makes the page wider than its window, or fail."""
    width = "document.documentElement.scrollWidth <= innerWidth"
    eventually(lambda: page.evaluate(width), said=said)


def slow_down(page: Any) -> None:
    """Make the page as slow as on a busy machine, where HPCTRACK_TEST_SLOWNESS says so."""
    if SLOWNESS <= 1:
        return
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWNESS})
    session.send("Network.enable")
    conditions = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", {**conditions, "latency": 50 * SLOWNESS})


@dataclass
class Watch:
    """What the browser did beside what it was asked to."""

    host: str
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def attach(self, page: Any) -> None:
        page.on("request", self._on_request)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._on_console)

    def _on_request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != self.host:
            self.foreign.append(request.url)

    def _on_console(self, message: Any) -> None:
        # What a driver says of being asked for a picture of its pixels is about the test.
        is_driver = message.text.startswith("[.WebGL-") and "GPU stall" in message.text
        if message.type in {"error", "warning"} and not is_driver:
            self.errors.append(f"{message.text} at {message.location.get('url')}")


def log_run(name: str, *, ranks: int, steps: int) -> None:
    """Run a program that logs, once per rank, and wait for it."""
    processes = [
        start_python(
            TRAIN, str(steps), "0", name, "", env=rank_environment(rank, ranks, run=f"job-{name}")
        )
        for rank in range(ranks)
    ]
    for process in processes:
        _output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
