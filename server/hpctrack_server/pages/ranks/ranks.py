"""``/p/<project>/runs/<id>/ranks``: all ranks of a run beside each other."""

from __future__ import annotations

from typing import Any

from hpctrack.store.definitions import leave_out_hidden
from hpctrack_server.components.rank_strip import make_rank_strip
from hpctrack_server.data.frames import RunFrame
from hpctrack_server.data.matrix.verdict import choose_pace_metric, is_rate
from hpctrack_server.pages.run.frame import RunTab

METRICS_MAX = 2000
"""Names in the list; one of more can be opened by its address."""


class RanksTab(RunTab):
    """Heat map, spread, stragglers and nodes of a run."""

    tab = "ranks"
    template = "ranks/ranks.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return the metrics to choose from, and how the ranks stand."""
        record = run.record
        every = await self.read(self.services.provider.metrics, project, record.id)
        metrics = leave_out_hidden(record.definitions, every)
        pace = choose_pace_metric(metrics)
        asked = self.get_query_argument("metric", "", strip=False)
        chosen = asked or pace or (metrics[0] if metrics else "")
        slow = self.get_query_argument("slow", "", strip=False) or pace
        better = self.query("better") or ("higher" if is_rate(slow) else "lower")
        shown = metrics[:METRICS_MAX]
        return {
            "metrics": shown if chosen in shown or not chosen else [chosen, *shown],
            "hidden_metrics": len(metrics) - len(shown),
            "chosen": chosen,
            "slow": slow,
            "better": better,
            "strip": make_rank_strip(record.ranks, record.size),
        }
