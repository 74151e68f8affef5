"""More live pages than a browser has connections; proxies that let no socket pass; a restart."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import PATIENCE_MS, SERVE, hear
from tests.browser.test_live_tabs import write_live
from tests.services.nginx import UPGRADE, running_nginx

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOKEN = "a-token-that-is-long-enough"  # noqa: S105 - a made-up one
PILL = "[data-part=head] .pill.large"
KINDS = ("runs/many", "runs/many/charts", "compare", "runs/many/console")

TOPICS_OF_CHARTS = 2
"""The run's changes, and its points."""

HAS_STEP_12 = """() => Bokeh.documents.some((one) => {
  const lines = one.get_model_by_name("lines");
  return lines && [...lines.data.xs].some((xs) => xs[xs.length - 1] === 12);
})"""


def watch_streams(page: Any) -> dict[str, int]:
    """Count what a page listens over, and what it hears over sockets."""
    found = {"sockets": 0, "messages": 0, "streams": 0}

    def add(kind: str) -> None:
        found[kind] += 1

    def watch(one: Any) -> None:
        add("sockets")
        one.on("framereceived", lambda _frame: add("messages"))

    page.on("websocket", watch)
    page.on("request", lambda one: add("streams") if one.resource_type == "eventsource" else None)
    return found


def test_more_live_pages_than_connections_all_open_and_go_on(
    open_page: Callable[..., Any],
) -> None:
    writer, session = write_live("many")
    first = open_page()
    pages = [first.context.new_page() for _ in range(9)]
    complaints: list[str] = []
    found = [watch_streams(page) for page in pages]
    for number, page in enumerate(pages):
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.extend([said.text] * (said.type == "error")))
        page.goto(first.url + f"p/live/{KINDS[number % len(KINDS)]}")
        assert page.evaluate("document.visibilityState") == "visible"
    charts = pages[1].locator(".panel[data-ready]").first
    expect(charts).to_be_visible()
    for step in range(10, 13):
        writer.points("loss", 0, [step], [1.0])
        writer.flush()
    for page in (pages[1], pages[5]):
        page.wait_for_function(HAS_STEP_12)
    writer.end(0, session, exit_code=1)
    writer.close()
    for number, page in enumerate(pages):
        if KINDS[number % len(KINDS)] != "compare":
            expect(page.locator(PILL)).to_have_text("failed")
    assert all(one["messages"] for one in found)
    assert complaints == []


@contextmanager
def serving(*arguments: str, **env: str) -> Iterator[str]:
    """Serve the test's store; yield the address."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, "--store", os.environ["HPCTRACK_DIR"], "--json", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.communicate(timeout=60)


@contextmanager
def mute_proxy(upstream: int) -> Iterator[int]:
    """Pass everything on, but never answer who wants to become a socket."""
    listening = socket.create_server(("127.0.0.1", 0))
    peers: list[socket.socket] = [listening]

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                if b"upgrade: websocket" in data.lower():
                    continue
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def accept() -> None:
        while True:
            try:
                client = listening.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", upstream))
            peers.extend((client, server))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        for one in peers:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def window(browser: Any) -> Iterator[Any]:
    """Open a window that may complain: browsers do, of a socket that they do not get."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


@pytest.mark.nginx
@pytest.mark.parametrize("proxy", ["passes", "strips", "mute"])
def test_a_page_behind_a_proxy_goes_on_whether_sockets_pass_or_not(
    browser: Any, program: Callable[[str], str], proxy: str
) -> None:
    writer, session = write_live("many")
    with ExitStack() as stack:
        arguments = ["--port", "0", "--host", "localhost"]
        prefix = "" if proxy == "mute" else "/track"
        url = stack.enter_context(serving(*arguments, "--prefix", prefix))
        upstream = int(url.split("/")[2].rpartition(":")[2])
        if proxy == "mute":
            port = stack.enter_context(mute_proxy(upstream))
        else:
            lines = UPGRADE if proxy == "passes" else ""
            port = stack.enter_context(running_nginx(program("nginx"), upstream, more=lines))
        page = stack.enter_context(window(browser))
        found = watch_streams(page)
        there = f"http://localhost:{port}{prefix}"
        page.goto(f"{there}/?{url.partition('?')[2]}")
        page.goto(f"{there}/p/live/runs/many/charts")
        expect(page.locator(PILL)).to_have_text("running")
        if proxy == "passes":
            hear(page, lambda: found["messages"] > 0)
        else:
            hear(page, lambda: found["streams"] >= TOPICS_OF_CHARTS)
        writer.end(0, session, exit_code=1)
        writer.close()
        expect(page.locator(PILL)).to_have_text("failed")
        assert (found["messages"] > 0) == (proxy == "passes")


def test_a_page_goes_on_when_its_server_comes_back(browser: Any) -> None:
    writer, session = write_live("many")
    with ExitStack() as stack:
        page = stack.enter_context(window(browser))
        found = watch_streams(page)
        with serving("--port", "0", HPCTRACK_TOKEN=TOKEN) as url:
            port = url.split("/")[2].rpartition(":")[2]
            page.goto(f"http://localhost:{port}/?token={TOKEN}")
            page.goto(f"http://localhost:{port}/p/live/runs/many")
            expect(page.locator(PILL)).to_have_text("running")
            hear(page, lambda: found["messages"] > 0)
        before = found["messages"]
        writer.end(0, session, exit_code=1)
        writer.close()
        stack.enter_context(serving("--port", port, HPCTRACK_TOKEN=TOKEN))
        expect(page.locator(PILL)).to_have_text("failed")
        assert found["messages"] > before, "what has worked once is tried again"
