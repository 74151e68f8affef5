"""What every request goes through."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, Finish

from hpctrack_server.data.reader import Reader
from hpctrack_server.pages.guarded import Guarded
from tests.unit.server.conftest import Live


@pytest.mark.parametrize("is_gone", [False, True])
def test_what_nobody_waits_for_any_more_is_not_calculated(is_gone: bool) -> None:
    numbers = Reader("test")
    connection: Any = SimpleNamespace(set_close_callback=lambda _callback: None)
    request = HTTPServerRequest(
        start_line=RequestStartLine("GET", "/", "HTTP/1.1"),
        headers=HTTPHeaders({"Host": "here"}),
        connection=connection,
    )
    services: Any = SimpleNamespace(numbers=numbers)
    handler = Guarded(Application(), request, services=services)
    done: list[int] = []
    if is_gone:
        handler.on_connection_close()
        with pytest.raises(Finish):
            asyncio.run(handler.calculate(done.append, 1))
    else:
        asyncio.run(handler.calculate(done.append, 1))
    assert done == ([] if is_gone else [1])
    numbers.close()


@pytest.mark.parametrize("limit", ["\N{SUPERSCRIPT TWO}", "9" * 5000, "-1", "x", "", "1"])
@pytest.mark.parametrize(
    "page", ["/p/p/diff", "/api/v1/projects/p/diff", "/api/v1/projects/p/metrics"]
)
def test_a_limit_that_is_no_count_is_no_fault_of_the_server(
    dashboard: Live, page: str, limit: str
) -> None:
    answer = dashboard.get(f"{page}?filter=state+exists&limit={quote(limit)}")
    assert answer.status == 200
