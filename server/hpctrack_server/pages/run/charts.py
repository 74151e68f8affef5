"""``/p/<project>/runs/<id>/charts``: one run, with a chart for each metric."""

from __future__ import annotations

import json
from typing import Any

from hpctrack.store.definitions import leave_out_hidden
from hpctrack_server.data.frames import RunFrame
from hpctrack_server.pages.run.frame import RunTab


class ChartsTab(RunTab):
    """One run, with a chart for each metric."""

    tab = "charts"
    template = "run/charts.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return the names of the metrics; the page's script lays them out."""
        record = run.record
        every = await self.read(self.services.provider.metrics, project, record.id)
        metrics = leave_out_hidden(record.definitions, every)
        return {
            "metrics": json.dumps(metrics),
            "count": len(metrics),
            "hidden_metrics": len(every) - len(metrics),
        }
