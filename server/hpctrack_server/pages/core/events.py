"""Server-sent events: a page that is open learns what has changed."""

from __future__ import annotations

import json
import math

from tornado.iostream import StreamClosedError

from hpctrack_server.components.text import plain_json
from hpctrack_server.pages.guarded import Guarded

KEEP_ALIVE_S = 15.0
"""Proxies and tunnels close what is silent for long; a comment line keeps the stream open."""

RETRY_MS = 2000


class EventStream(Guarded):
    """Tells a page about its run or project until it leaves."""

    streams = True
    _is_closed = False

    def on_connection_close(self) -> None:
        """Note that nobody listens any more."""
        super().on_connection_close()
        self._is_closed = True

    async def _stream(self, project: str, run_id: str | None) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        with self.services.watcher.subscribe((project, run_id)) as subscription:
            try:
                self.write(f"retry: {RETRY_MS}\n\n")
                await self.flush()
                silent_s = 0.0
                while not self._is_closed and not self.services.watcher.is_closed:
                    change = await subscription.next(1.0)
                    silent_s = 0.0 if change else silent_s + 1.0
                    if change:
                        body = json.dumps(plain_json(change), allow_nan=False)
                        self.write(f"event: change\ndata: {body}\n\n")
                        await self.flush()
                    elif math.fmod(silent_s, KEEP_ALIVE_S) == 0:
                        self.write(":\n\n")
                        await self.flush()
            except StreamClosedError:
                return


class RunEvents(EventStream):
    """``/api/v1/runs/<project>/<id>/events``."""

    async def get(self, project: str, run_id: str) -> None:
        """Send ``change`` events: version, state, whether it is live, metrics that have grown."""
        await self.read(self.services.provider.whole_run, project, run_id)
        await self._stream(project, run_id)


class ProjectEvents(EventStream):
    """``/api/v1/projects/<project>/events``."""

    async def get(self, project: str) -> None:
        """Send ``change`` events whenever the list of runs looks different."""
        await self.read(self.services.provider.pulse, project, None)
        await self._stream(project, None)
