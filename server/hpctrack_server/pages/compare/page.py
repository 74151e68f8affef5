"""``/p/<project>/compare``: panels over the chosen runs; and the same facts for its scripts."""

from __future__ import annotations

import json
from typing import Any

from hpctrack_server.components.text import plain_json
from hpctrack_server.data.index.query import RunPage
from hpctrack_server.pages.compare.facts import RunsWanted, choose_value_key, describe_run
from hpctrack_server.pages.guarded import Guarded

ARGUMENTS = ("runs", "filter", "search", "sort", "limit", "value")

METRICS_FROM_RUNS = 50
"""Runs whose metrics are asked for; runs of one project hardly differ in them."""


class CompareFacts(Guarded):
    """What both the page and its scripts ask for: the runs, and the metrics that they have."""

    async def collect(self, project: str) -> dict[str, Any]:
        """Return the runs, the metrics, and what the rail shows of a run."""
        wanted = RunsWanted.parse({name: self.query(name) for name in ARGUMENTS})
        page = await self.read(self.services.index.page, project, wanted.query)
        ids = [row["id"] for row in page.rows]
        found = await self.calculate(self.services.charts.metrics, project, ids[:METRICS_FROM_RUNS])
        metrics = [str(one["name"]) for one in found]
        value_key = wanted.value_key or choose_value_key(metrics, _keys_of(page))
        missing = [one for one in wanted.query.ids if one not in set(ids)]
        return {
            "runs": [describe_run(row, value_key) for row in page.rows],
            "matches": page.matches,
            "total": page.total,
            "version": page.version,
            "missing": missing,
            "metrics": metrics,
            "value": value_key,
        }


class ComparePage(CompareFacts):
    """The page; its panels are put together in the browser."""

    async def get(self, project: str) -> None:
        """Answer with the page, and with the runs in it: nothing to wait for before drawing."""
        facts = await self.collect(project)
        self.show(
            "compare/compare.html",
            project=project,
            current="compare",
            facts=json.dumps(plain_json(facts), allow_nan=False),
            total=facts["total"],
        )


class CompareApi(CompareFacts):
    """``/api/v1/projects/<project>/compare``: what the rail needs after a change of the query."""

    async def get(self, project: str) -> None:
        """Answer with the facts."""
        self.answer(await self.collect(project))


def _keys_of(page: RunPage) -> set[str]:
    return {key for row in page.rows for key, value in row.items() if value is not None}
