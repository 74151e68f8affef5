"""The dashboard as its command starts it, and windows of a real browser on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.driving import FLAGS, PATIENCE_MS, SERVE, Watch, slow_down
from tests.capabilities import find_program


@pytest.fixture
def chromium(program: Callable[[str], str]) -> str:
    """Return Chromium's path."""
    return program("chromium")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Serve the test's store, as a user would, and return the address that is printed."""
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium once for each file; every window is a profile of its own.

    Not once for all: while its driver runs, nothing else of this process can run an event loop.
    """
    with sync_playwright() as driver:
        chromium = find_program("chromium")
        started = driver.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, url: str) -> Iterator[Callable[..., Any]]:
    """Return a function that opens the dashboard in a new window, with the token."""
    watches: list[Watch] = []
    contexts: list[Any] = []

    def make(
        *,
        width: int = 1280,
        height: int = 860,
        theme: Literal["light", "dark"] = "light",
        zone: str | None = None,
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            reduced_motion="reduce",
            timezone_id=zone,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page = context.new_page()
        slow_down(page)
        watches.append(Watch(urlsplit(url).netloc))
        watches[-1].attach(page)
        page.goto(url)
        expect(page.get_by_role("heading", name="Projects")).to_be_visible()
        assert "token" not in page.url
        return page

    yield make
    for context in contexts:
        context.close()
    assert [one for watch in watches for one in watch.foreign] == [], "asked another host"
    assert [one for watch in watches for one in watch.errors] == []


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Any, str], None]:
    """Return a function that keeps a picture beside the test, to look at when it fails."""

    def take(page: Any, name: str) -> None:
        page.mouse.move(0, 0)
        page.screenshot(path=tmp_path / f"{name}.png", animations="disabled")

    return take
