"""``/api/v1/projects/<project>/points``: what live runs log, as it comes."""

from __future__ import annotations

import math

from tornado.iostream import StreamClosedError

from hpctrack.errors import HpctrackError, UsageError
from hpctrack_server.data.series.live_watch import Viewer, Watched, make_event
from hpctrack_server.data.series.query import parse_ranks
from hpctrack_server.pages.core.events import KEEP_ALIVE_S, RETRY_MS
from hpctrack_server.pages.guarded import Guarded

RUNS_MAX = 200


class PointEvents(Guarded):
    """Tells a page what its runs log until it leaves, or until they are over."""

    streams = True
    _is_closed = False

    def on_connection_close(self) -> None:
        """Note that nobody listens any more."""
        super().on_connection_close()
        self._is_closed = True

    async def get(self, project: str) -> None:
        """Send events.

        ``begin`` comes first: the runs that are live, and when they began; what was logged before
        it has to be fetched after it. Then ``points``, ``metrics``, ``stale`` and ``over``, see
        `hpctrack_server.data.series.live_watch.make_events`.
        """
        runs = [one for one in self.query("runs").split(",") if one][:RUNS_MAX]
        if not runs:
            raise UsageError("the parameter 'runs' is missing", hint="name runs: runs=a,b")
        metrics = frozenset(self.get_query_arguments("metric", strip=False))
        ranks = parse_ranks(self.query("ranks") or None)
        live = await self.read(self._find_live, project, runs)
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        watched = Watched(project, tuple(live), metrics, ranks)
        with self.services.points.watch(watched) as viewer:
            try:
                await self._send(f"retry: {RETRY_MS}\n\n".encode())
                await self.services.points.begin(viewer)
                await self._send(make_event("begin", {"runs": live}))
                await self._stream(viewer)
            except StreamClosedError:
                return

    async def _stream(self, viewer: Viewer) -> None:
        silent_s = 0.0
        while viewer.has_more and not (self._is_closed or self.services.points.is_closed):
            events = await viewer.next(1.0)
            silent_s = 0.0 if events else silent_s + 1.0
            if events:
                await self._send(b"".join(events))
            elif math.fmod(silent_s, KEEP_ALIVE_S) == 0:
                await self._send(b":\n\n")

    async def _send(self, data: bytes) -> None:
        self.write(data)
        await self.flush()

    def _find_live(self, project: str, runs: list[str]) -> dict[str, float]:
        """Return which of some runs are live, and when each began, UTC seconds."""
        self.services.provider.pulse(project, None)  # is there such a project?
        found: dict[str, float] = {}
        for run in runs:
            try:
                frame = self.services.provider.run(project, run)
            except HpctrackError:
                continue
            if getattr(frame, "is_live", False):
                found[run] = frame.record.created_wall_s  # type: ignore[union-attr]  # it is whole
        return found
