"""``/live``: everything that is running now, over all projects."""

from __future__ import annotations

from typing import Any

from hpctrack.errors import UsageError
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.encode import Packed, pack_arrays
from hpctrack_server.data.live.running import Queue, list_queue
from hpctrack_server.data.live.strip import Strip, read_strip
from hpctrack_server.pages.guarded import Guarded

SPAN_S = 1800.0
SPANS = {900.0: "15 minutes", 1800.0: "30 minutes", 7200.0: "2 hours", 86400.0: "day"}
"""How far back the strips can reach, seconds."""

COLUMNS_MAX = 480


class QueuePage(Guarded):
    """Running runs with a strip of how busy their devices are, and what has just ended."""

    async def get(self) -> None:
        """Answer with the page."""
        user, project = self.query("user"), self.query("project")
        index = self.services.index
        version = index.store_version()
        queue: Queue = await self.read(list_queue, index, user=user, project=project)
        self.show(
            "live/queue.html",
            current="live",
            queue=queue,
            user=user,
            only=project,
            version=version,
            spans=SPANS,
            span_s=self.read_span(),
        )

    def read_span(self) -> float:
        """Return for how long back the strips reach."""
        text = self.query("span")
        return float(text) if text in {f"{one:g}" for one in SPANS} else SPAN_S


class StripApi(Guarded):
    """``/api/v1/runs/<project>/<id>/strip``: use of a run's devices, as a small picture."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with bytes; ``?span=`` in seconds, ``?width=`` in columns."""
        span_s = self._number("span", SPAN_S, 86400.0)
        columns = self._number("width", 120, COLUMNS_MAX)
        end = self.services.clock.wall_s()

        def work() -> bytes:
            run: StoredRun = self.services.provider.own_run(project, run_id)
            try:
                until = run.synced_wall_s or end
                lasted_s = max(until - run.plain_brief.created_wall_s, 1.0)
                span = min(span_s, lasted_s)
                strip = read_strip(run, end_wall_s=until, span_s=span, columns=int(columns))
                return encode_strip(strip)
            finally:
                run.close()

        body = await self.calculate(work)
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(body)

    def _number(self, name: str, default: float, most: float) -> float:
        text = self.query(name, f"{default:g}")
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 1 <= number <= most:
            raise UsageError(f"the parameter {name!r} is {text[:40]!r}", hint=f"1 to {most:g}")
        return number


def encode_strip(strip: Strip) -> bytes:
    """Return a strip as `static/base/api.js` reads arrays."""
    header: dict[str, Any] = {
        "what": strip.what,
        "labels": list(strip.labels),
        "devices": strip.devices,
        "start": strip.start_wall_s,
        "end": strip.end_wall_s,
        "columns": strip.cells.shape[1],
    }
    return pack_arrays(header, [({"name": "cells"}, Packed(strip.cells.ravel()))])
