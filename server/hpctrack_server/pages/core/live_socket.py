"""One WebSocket for all that a page listens to: a browser has six connections to a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

from tornado.websocket import WebSocketClosedError, WebSocketHandler

from hpctrack.errors import HpctrackError, NotFoundError, UsageError
from hpctrack_server.auth import Right, Verdict
from hpctrack_server.data.event import Event, make_event
from hpctrack_server.pages.core.events import EventStream
from hpctrack_server.pages.core.topics import Events, Query, Topic
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.page import Page

PING_S = 20.0
"""Proxies close what is silent for a minute; who does not answer until the next one is gone."""

MESSAGE_MAX_BYTES = 1 << 16
"""As long as the head of a request may be: the same addresses stand in both."""

TOPICS_MAX = 16
"""A page listens to three things at most."""

NUMBER_MAX = 1 << 31

POLICY_VIOLATION = 1008

log = logging.getLogger(__name__)


class LiveSocket(Guarded, WebSocketHandler):
    """``/api/v1/socket``.

    A page says ``{"listen": address, "id": number}``, with the address of an event stream, and
    ``{"end": number}``. It is told ``{"event": "open"}`` at first and then
    ``{"id", "event", "data"}``, as the stream would tell it; ``error`` if that cannot be had.

    Each topic waits until what it has said is on its way: a page that does not read makes its
    topics merge what they have to say, and nothing pile up here.
    """

    streams = True
    reads: ClassVar[Right] = Right.LISTEN
    ping_interval = PING_S
    ping_timeout = PING_S
    max_message_size = MESSAGE_MAX_BYTES

    _topics: dict[int, asyncio.Task[None]]

    async def get(self) -> None:
        """Open a WebSocket, over which a page listens to all its event streams at once."""
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise UsageError("this address is a WebSocket", hint="events can be had by GET as well")
        self._topics = {}
        await super().get()

    async def open(self) -> None:
        """Tell the page that messages pass, which not every proxy lets them."""
        self.services.sockets.add(self)
        with contextlib.suppress(WebSocketClosedError):
            await self.write_message(b'{"event": "open"}')

    def on_message(self, message: str | bytes) -> None:
        """Begin or end to tell something; who says what no page says is shown out."""
        try:
            number, address = parse_message(message)
        except UsageError as error:
            self.close(POLICY_VIOLATION, error.message)
            return
        task = self._topics.pop(number, None)
        if task is not None:
            task.cancel()
        if address is None:
            return
        if len(self._topics) >= TOPICS_MAX:
            self.close(POLICY_VIOLATION, f"at most {TOPICS_MAX} topics")
            return
        self._topics[number] = asyncio.create_task(self._tell(number, address))

    def on_close(self) -> None:
        """Stop all: the page has left."""
        self.services.sockets.discard(self)
        for task in self._topics.values():
            task.cancel()
        self._topics.clear()

    async def _tell(self, number: int, address: str) -> None:
        with contextlib.suppress(WebSocketClosedError):
            try:
                async with contextlib.aclosing(await self._follow(address)) as events:
                    async for due in events:
                        for one in due:
                            await self._send(number, one)
            except WebSocketClosedError:
                raise
            except Exception as error:
                if not isinstance(error, HpctrackError):
                    log.exception("error in %s", address.partition("?")[0])
                await self._send(number, make_event("error", self.describe_error(error)))
        if self._topics.get(number) is asyncio.current_task():
            del self._topics[number]

    async def _follow(self, address: str) -> Events:
        topic, query, parts = find_topic(self.services.api, self.services.prefix, address)
        # Who may open a socket may read; once rights differ by project, this is where they do.
        if self.services.gate.judge(self.visit, Right.READ) != Verdict.ALLOWED:
            raise NotFoundError("There is no such page.")
        return await topic(self.services, query, *parts)

    async def _send(self, number: int, event: Event) -> None:
        head = f'{{"id": {number}, "event": "{event.name}", "data": '
        await self.write_message(head.encode() + event.body + b"}")


def parse_message(message: str | bytes) -> tuple[int, str | None]:
    """Return the number of a topic, and its address; None as address ends it. Pure.

    Raises
    ------
    UsageError
        It is neither.

    Examples
    --------
    >>> parse_message('{"listen": "/api/v1/projects/p/events", "id": 3}')
    (3, '/api/v1/projects/p/events')
    >>> parse_message('{"end": 3}')
    (3, None)
    """
    try:
        said = json.loads(message)
    except (ValueError, RecursionError):
        raise UsageError("a message is no JSON") from None
    address: str | None = None
    match said:
        case {"listen": str(asked), "id": int(number)}:
            address = asked
        case {"end": int(number)}:
            pass
        case _:
            raise UsageError('a message is {"listen": address, "id": number} or {"end": number}')
    if isinstance(number, bool) or not 0 <= number < NUMBER_MAX:
        raise UsageError("an id is a number from 0 to 2^31")
    return number, address


def find_topic(
    api: Mapping[str, Page], prefix: str, address: str
) -> tuple[Topic, Query, list[str]]:
    """Return the topic of an event stream's address, its query, and the parts of its path. Pure.

    Raises
    ------
    NotFoundError
        No event stream has this address.
    UsageError
        It is not percent-encoded UTF-8.
    """
    path, _, query = address.partition("?")
    handlers: dict[str, Any] = {
        page.route: page.handler for page in api.values() if issubclass(page.handler, EventStream)
    }
    for route, handler in handlers.items():
        found = re.fullmatch(re.escape(prefix) + route, path)
        if found is None:
            continue
        try:
            parts = [unquote(one, errors="strict") for one in found.groups()]
            asked = parse_qs(query, keep_blank_values=True, errors="strict")
        except ValueError:
            raise UsageError("the address is not percent-encoded UTF-8") from None
        if not address.isascii():
            raise UsageError("the address is not percent-encoded UTF-8")
        return handler.topic, asked, parts
    raise NotFoundError("There is no such event stream.")
