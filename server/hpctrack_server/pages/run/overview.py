"""``/p/<project>/runs/<id>``: what a run is, how it stands, and why."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from hpctrack.store.ledger import UNREADABLE, list_incidents, list_losses
from hpctrack_server.components.rank_strip import make_rank_strip
from hpctrack_server.components.run.efficiency import (
    make_job_meters,
    make_usage_meters,
    pick_advice,
)
from hpctrack_server.components.run.timeline import make_timeline
from hpctrack_server.components.run.verdict import explain_state
from hpctrack_server.components.text import plain_json
from hpctrack_server.data.frames import RunFrame, iter_flat
from hpctrack_server.data.index.query import RunQuery, Scope
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.run.details import CARBON, measure_run, read_details
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.page import Menu
from hpctrack_server.pages.run.facts import list_facts, list_provenance
from hpctrack_server.pages.run.frame import RunTab

CHART_PARAMETERS = ("view", "x", "rank")
"""Once this address was that of the charts: links with these lead there."""

SHOWN_WARNINGS = 50


class OverviewTab(RunTab):
    """What a run is, how it stands, and why."""

    tab = "run"
    template = "run/overview.html"

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the page; an old address of the charts leads to them."""
        if any(self.query(name) for name in CHART_PARAMETERS):
            given = {name: value for name in CHART_PARAMETERS if (value := self.query(name))}
            self.redirect(f"{self.path('p', project, 'runs', run_id, 'charts')}?{urlencode(given)}")
            return
        await super().get(project, run_id)

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return what stands beside the head."""
        record = run.record
        details = await self.read(read_details, self.services.provider, project, record.id)
        strip = make_rank_strip(record.ranks, record.size)
        entries = (details.accounting or {}).get("attempts") or []
        return {
            "details": details,
            "strip": strip,
            "verdict": explain_state(record, strip.sentence),
            "timeline": make_timeline(details.attempts, now_wall_s=run.now_wall_s),
            "job_meters": make_job_meters(entries[-1], attempts=record.attempts) if entries else (),
            "advice": pick_advice(entries),
            "facts": list_facts(run),
            "origin": list_provenance(details.provenance),
            "summary": iter_flat(record.summary),
            "losses": list_losses(record.ledger),
            "incidents": list_incidents(record.ledger),
            "is_damaged": bool(record.ledger.get(UNREADABLE)),
            "alerts": group_notes(record.alerts)[:SHOWN_WARNINGS],
            "warnings": group_notes(one for one in record.warnings if one.get("code") != "alert")[
                :SHOWN_WARNINGS
            ],
            "problems": details.problems,
            "family": await self.read(list_forks, self.services.index, project, record.id),
            "menu_names": {name for name, _page in self.services.menus.get(Menu.PROJECT, ())},
        }


def list_forks(index: RunIndex, project: str, run_id: str) -> list[tuple[str, str]]:
    """Return ids and names of the runs that continue one."""
    ids, found = index.values(project, ("fork", "name"), RunQuery(scope=Scope.ALL))
    rows = zip(ids, found["fork"], found["name"], strict=True)
    return [(one, str(name or one)) for one, fork, name in rows if fork == run_id]


def group_notes(notes: Any) -> list[dict[str, Any]]:
    """Return each text once, with the ranks that have said it and when first."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in notes:
        title, said = str(one.get("title") or ""), str(one.get("text") or "")
        level = str(one.get("level") or "warning")
        found = groups.setdefault(
            (level, title, said),
            {
                "level": level,
                "title": title,
                "text": said,
                "ranks": set(),
                "wall_s": one.get("wall_s") or 0.0,
            },
        )
        if isinstance(one.get("rank"), int) and one["rank"] >= 0:
            found["ranks"].add(one["rank"])
    return list(groups.values())


class UsageApi(Guarded):
    """``/api/v1/runs/<project>/<id>/usage``: what a run has used, as far as it was measured."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with numbers, and with the rows that the overview shows."""
        carbon = self.query("carbon", CARBON)
        usage, energy = await self.calculate(
            measure_run, self.services.provider, project, run_id, carbon=carbon
        )
        found = usage.to_json(energy)
        meters = [one.to_json() for one in make_usage_meters(plain_json(found))]
        self.answer({"usage": found, "meters": meters})
