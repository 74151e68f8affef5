"""What HTTP asks of every address: HEAD, honest statuses, a page for whatever is not there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from hpctrack_server.pages.page import PROJECT
from hpctrack_server.pages.registry import API, PAGES
from tests.unit.server.chart_client import post
from tests.unit.server.conftest import HOST_NAME, TOKEN, Live


def list_addresses() -> list[str]:
    """Return an address for each page and for each answer that needs no parameters."""
    values = {"sweep": ("p", "swept"), "sweep_importance": ("p", "swept"), "diff": ("p",)}
    found = []
    for name, page in {**PAGES, **API}.items():
        parts = values.get(name, ("p", "sealed"))[: page.route.count(PROJECT)]
        if page.route.count(PROJECT) <= len(parts) and name not in {"saved-list", "panels"}:
            path = "/" + "/".join(quote(one, safe="") for one in page.parts(*parts))
            found.append(path.replace("\\", ""))
    return found


def is_without_end(path: str) -> bool:
    return path.endswith(("/events", "/points", "/socket"))


@pytest.mark.parametrize("path", list_addresses())
def test_head_has_the_headers_of_get_and_no_body(dashboard: Live, path: str) -> None:
    head = dashboard.get(path, method="HEAD")
    assert head.body == b""
    if is_without_end(path):
        assert (head.status, head.headers["Allow"]) == (405, "GET")
        return
    get = dashboard.get(path)
    assert head.status == get.status
    for name in head.headers.keys() - {"Date", "Content-Length", "Etag"}:
        assert head.headers[name] == get.headers.get(name), name


def test_head_leaves_the_connection_as_it_was(dashboard: Live) -> None:
    """Whatever is sent behind the headers would be taken for the next answer."""
    paths = ["/", "/p/p/runs", "/api/v1/runs/p/sealed/console.txt", "/api/v1/projects", "/healthz"]
    with socket.create_connection(("127.0.0.1", dashboard.port), timeout=180) as line:
        for path in paths:
            line.sendall(
                f"HEAD {path} HTTP/1.1\r\nHost: {HOST_NAME}:{dashboard.port}\r\n"
                f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
            )
            got = b""
            while b"\r\n\r\n" not in got:
                got += line.recv(65536)
            assert got.startswith(b"HTTP/1.1 200 "), got
            assert got.endswith(b"\r\n\r\n"), path
            assert got.count(b"\r\n\r\n") == 1, path


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("/live/", "/live"),
        ("//live", "/live"),
        ("/LIVE?span=60", "/live?span=60"),
        ("/P/p//Runs/", "/p/p/runs"),
        ("/p/p/runs/sealed/Console/?rank=0", "/p/p/runs/sealed/console?rank=0"),
        ("/p/My%2Fproject/RUNS", "/p/My%2Fproject/runs"),
        ("/p", "/"),
        ("/p/", "/"),
        ("///", "/"),
    ],
)
def test_addresses_that_are_nearly_right_lead_to_the_page(
    dashboard: Live, given: str, meant: str
) -> None:
    answer = dashboard.get(given)
    assert (answer.status, answer.headers["Location"]) == (308, meant)


def test_a_project_alone_leads_to_its_runs(dashboard: Live) -> None:
    for path in ("/p/p", "/p/p/"):
        answer = dashboard.get(path)
        assert (answer.status, answer.headers["Location"]) == (302, "/p/p/runs")


def test_nearly_right_addresses_work_under_a_prefix(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    dashboard = start_dashboard(tmp_path, prefix="/track")
    assert dashboard.get("/track//LIVE/").headers["Location"] == "/track/live"
    assert dashboard.get("/track//").headers["Location"] == "/track/"
    assert dashboard.get("/live").status == 404
    icon = dashboard.get("/track/favicon.ico").headers["Location"]
    assert dashboard.get(icon).headers["Content-Type"] == "image/svg+xml"


@pytest.mark.parametrize("path", ["//evil.example/", "//evil.example/live", "/\\evil.example/live"])
def test_no_address_leads_to_another_site(dashboard: Live, path: str) -> None:
    answer = dashboard.get(path)
    assert answer.status == 404
    assert 'href="/"' in answer.text, "the way home"


def test_pages_say_what_is_wrong_and_lead_home(dashboard: Live) -> None:
    for path, method, status in (
        ("/nowhere", "GET", 404),
        ("/p/p/runs/none", "GET", 404),
        ("/live", "POST", 405),
        ("/live", "BREW", 405),
        ("/live?x=" + "y" * 65_000, "GET", 414),
    ):
        answer = dashboard.get(path, method=method, X_Hpctrack="1")
        assert answer.status == status, path
        assert 'href="/"' in answer.text, path
        assert "<h1>" in answer.text, path
    assert dashboard.get("/live", method="PUT", X_Hpctrack="1").headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/api/v1/projects/p/table", "/live"])
def test_what_is_too_large_is_refused_in_words(dashboard: Live, path: str) -> None:
    answer = post(dashboard, path, b"x" * (3 << 20))
    assert answer.status == 413
    assert "3 MiB were sent, and at most 1 MiB are read" in answer.text


def test_what_is_too_large_tells_strangers_nothing(dashboard: Live) -> None:
    with socket.create_connection(("127.0.0.1", dashboard.port), timeout=180) as line:
        line.sendall(
            f"POST /api/v1/projects HTTP/1.1\r\nHost: {HOST_NAME}:{dashboard.port}\r\n"
            f"Content-Length: {10**18 - 1}\r\n\r\n".encode()
        )
        assert line.recv(65536).startswith(b"HTTP/1.1 403 ")
