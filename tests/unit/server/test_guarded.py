"""What every request goes through."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, Finish

from hpctrack_server.data.reader import Reader
from hpctrack_server.pages.guarded import Guarded


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
