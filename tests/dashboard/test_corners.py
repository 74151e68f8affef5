"""What HTTP asks of every address: HEAD, honest statuses, a page for whatever is not there."""

from __future__ import annotations

import socket
from urllib.parse import quote

import pytest

from hpctrack_server.pages.page import PROJECT
from hpctrack_server.pages.registry import API, PAGES
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


def is_streaming(path: str) -> bool:
    return path.endswith(("/events", "/points", "/socket"))


@pytest.mark.parametrize("path", list_addresses())
def test_head_has_the_headers_of_get_and_no_body(dashboard: Live, path: str) -> None:
    head = dashboard.get(path, method="HEAD")
    assert head.body == b""
    if is_streaming(path):
        assert (head.status, head.headers["Allow"]) == (405, "GET")
        return
    get = dashboard.get(path)
    assert head.status == get.status
    for name in head.headers.keys() - {"Date", "Content-Length", "Etag"}:
        assert head.headers[name] == get.headers.get(name), name


def test_head_leaves_the_connection_as_it_was(dashboard: Live) -> None:
    """Whatever is sent behind the headers would be taken for the next answer."""
    paths = ["/", "/p/p/runs", "/api/v1/runs/p/sealed/console.txt", "/api/v1/projects", "/healthz"]
    with socket.create_connection(("127.0.0.1", dashboard.port), timeout=30) as line:
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
