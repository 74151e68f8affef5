"""The sockets of pages that are open."""

from __future__ import annotations

import asyncio
import contextlib

from tornado.websocket import WebSocketHandler

GOING_AWAY = 1001


class OpenSockets:
    """Those that the server's end has to close: Tornado does not know them any more."""

    def __init__(self) -> None:
        self._open: set[WebSocketHandler] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.is_closed = False

    def add(self, one: WebSocketHandler) -> None:
        """Note that it is open."""
        self._open.add(one)
        self._is_empty.clear()
        if self.is_closed:
            one.close(GOING_AWAY)

    def discard(self, one: WebSocketHandler) -> None:
        """Note that it is not open any more."""
        self._open.discard(one)
        if not self._open:
            self._is_empty.set()

    async def close(self, timeout_s: float) -> None:
        """Close them all, and wait until the pages have said that they know."""
        self.is_closed = True
        for one in list(self._open):
            one.close(GOING_AWAY)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()
