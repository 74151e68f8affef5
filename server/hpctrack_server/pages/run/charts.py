"""``/p/<project>/runs/<id>/charts``: one run, with a chart for each metric."""

from __future__ import annotations

from typing import Any

from hpctrack.store.definitions import leave_out_hidden
from hpctrack_server.data.frames import RunFrame
from hpctrack_server.pages.run.frame import RunTab

SELECT_MAX_RANKS = 128
"""More ranks than this are chosen by typing a number."""

METRICS_MAX = 300
"""Charts on one page; the empty cards of more would already be slow to lay out."""


class ChartsTab(RunTab):
    """One run, with a chart for each metric."""

    tab = "charts"
    template = "run/charts.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return the metrics, and what stands beside them."""
        record = run.record
        every = await self.read(self.services.provider.metrics, project, record.id)
        metrics = leave_out_hidden(record.definitions, every)[:METRICS_MAX]
        return {
            "metrics": metrics,
            "hidden_metrics": len(every) - len(metrics),
            "select_max_ranks": SELECT_MAX_RANKS,
        }
