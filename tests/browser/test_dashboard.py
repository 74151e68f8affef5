"""The dashboard in a real browser, with programs that really log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.programs import rank_environment, start_python
from tests.unit.server.conftest import HOSTILE, HOSTILE_METRICS, write_hostile

pytestmark = [pytest.mark.browser, pytest.mark.slow]

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
ARE_PICTURES_KEPT = os.environ.get("HPCTRACK_SCREENSHOTS") == "1"
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
            self.errors.append(message.text)


@pytest.fixture
def chromium(program: Callable[[str], str]) -> str:
    """Return Chromium's path."""
    return program("chromium")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the test's store, as a user would, and return the address that is printed."""
    monkeypatch.delenv("HPCTRACK_SCREENSHOTS", raising=False)  # it is no setting of hpctrack
    store = Path(os.environ["HPCTRACK_DIR"])
    store.mkdir(exist_ok=True)
    log = tmp_path / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "--store", str(store), "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0, log.read_text()
    assert log.read_text() == "", "a page that works logs nothing"


@pytest.fixture
def open_page(chromium: str, url: str) -> Iterator[Callable[..., Any]]:
    """Return a function that opens the dashboard in a new window, with the token."""
    watches: list[Watch] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)

        def make(
            *, width: int = 1280, height: int = 860, theme: Literal["light", "dark"] = "light"
        ) -> Any:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,
                reduced_motion="reduce",
            )
            context.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            page = context.new_page()
            watches.append(Watch(urlsplit(url).netloc))
            watches[-1].attach(page)
            page.goto(url)
            expect(page.get_by_role("heading", name="Projects")).to_be_visible()
            assert "token" not in page.url
            return page

        yield make
        browser.close()
    assert [one for watch in watches for one in watch.foreign] == [], "asked another host"
    assert [one for watch in watches for one in watch.errors] == []


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Any, str], None]:
    """Return a function that keeps a picture: in the docs when asked, else beside the test."""
    folder = ROOT / "docs" / "images" if ARE_PICTURES_KEPT else tmp_path

    def take(page: Any, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        page.mouse.move(0, 0)
        page.screenshot(path=folder / f"{name}.png", animations="disabled")

    return take


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


def test_runs_are_sorted_and_searched_and_the_back_button_works(
    open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    options = [
        "--runs",
        "9",
        "--ranks",
        "2",
        "--steps",
        "150",
        "--pause-ms",
        "4",
        "--project",
        "vision",
    ]
    script = str(ROOT / "scripts" / "make_demo_store")
    subprocess.run(
        [sys.executable, script, *options, "--out", os.environ["HPCTRACK_DIR"]],
        check=True,
        timeout=400,
        stdout=subprocess.DEVNULL,
    )
    page = open_page()
    page.get_by_role("link", name="vision").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(9)
    picture(page, "runs_light")

    header = page.get_by_role("columnheader", name="lr")
    header.get_by_role("link").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    header.get_by_role("link").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    sorted_url = page.url
    first = rows.first.get_by_role("link").inner_text()

    page.keyboard.press("/")
    page.keyboard.type(first)
    expect(rows).to_have_count(1)
    assert "q=" in page.url
    page.get_by_role("link", name=first).click()
    expect(page.get_by_role("heading", name=first)).to_be_visible()
    page.go_back()
    expect(rows).to_have_count(1)
    page.go_back()
    expect(rows).to_have_count(9)
    assert page.url == sorted_url

    page.get_by_label("State").select_option("running")
    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_hostile_names_are_shown_as_they_are(open_page: Callable[..., Any]) -> None:
    write_hostile(Path(os.environ["HPCTRACK_DIR"]), "hostile", HOSTILE[0])
    page = open_page()
    page.get_by_role("link", name="hostile").click()
    page.locator("tbody").get_by_role("link", name=HOSTILE[0]).click()
    expect(page.get_by_role("heading", name=HOSTILE[0])).to_be_visible()
    page.get_by_role("link", name="Charts", exact=True).click()
    for metric in HOSTILE_METRICS:
        card = page.get_by_role("article", name=metric.strip(), exact=True)
        card.scroll_into_view_if_needed()
        expect(card.locator(".caption")).to_contain_text("points drawn")


def test_visitor_without_the_link_is_told_where_it_is(
    chromium: str, url: str, open_page: Callable[..., Any]
) -> None:
    open_page()
    answer = subprocess.run(
        [chromium, "--headless", *FLAGS, "--dump-dom", url.partition("?")[0]],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "hpctrack server" in answer.stdout
    assert "vision" not in answer.stdout
