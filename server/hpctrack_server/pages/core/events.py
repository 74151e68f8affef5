"""Server-sent events: one connection for each topic that a page listens to."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import ClassVar

from tornado.iostream import StreamClosedError

from hpctrack_server.pages.core.topics import (
    Events,
    Topic,
    follow_points,
    follow_project,
    follow_run,
    follow_store,
)
from hpctrack_server.pages.guarded import Guarded

RETRY_MS = 2000


class EventStream(Guarded):
    """Tells a page about a topic until it leaves."""

    streams = True
    topic: ClassVar[Topic]

    _sending: asyncio.Task[None] | None = None

    def on_connection_close(self) -> None:
        """Stop: nobody listens any more."""
        super().on_connection_close()
        if self._sending is not None:
            self._sending.cancel()

    async def stream(self, *parts: str) -> None:
        """Send the events of the topic with these parts of its path."""
        names = self.request.query_arguments
        query = {name: self.get_query_arguments(name, strip=False) for name in names}
        events = await type(self).topic(self.services, query, *parts)
        if self.is_gone:
            return
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        self._sending = asyncio.create_task(self._send(events))
        try:
            await self._sending
        except asyncio.CancelledError:
            if not self.is_gone:
                raise
        except StreamClosedError:
            return

    async def _send(self, events: Events) -> None:
        async with aclosing(events):
            self.write(f"retry: {RETRY_MS}\n\n")
            await self.flush()
            async for due in events:
                for name, body in due:
                    self.write(f"event: {name}\ndata: ".encode() + body + b"\n\n")
                if not due:
                    self.write(":\n\n")
                await self.flush()


class RunEvents(EventStream):
    """``/api/v1/runs/<project>/<id>/events``."""

    topic = staticmethod(follow_run)

    async def get(self, project: str, run_id: str) -> None:
        """Send ``change`` events: version, state, whether it is live, metrics that have grown."""
        await self.stream(project, run_id)


class ProjectEvents(EventStream):
    """``/api/v1/projects/<project>/events``."""

    topic = staticmethod(follow_project)

    async def get(self, project: str) -> None:
        """Send ``change`` events whenever the list of runs looks different."""
        await self.stream(project)


class StoreEvents(EventStream):
    """``/api/v1/events``."""

    topic = staticmethod(follow_store)

    async def get(self) -> None:
        """Send ``change`` events: a project or run has come or gone, or a run begun or ended."""
        await self.stream()


class PointEvents(EventStream):
    """``/api/v1/projects/<project>/points``: what live runs log, as it comes."""

    topic = staticmethod(follow_points)

    async def get(self, project: str) -> None:
        """Send what runs log: ``begin``, then ``points``, ``metrics``, ``stale`` and ``over``."""
        await self.stream(project)
