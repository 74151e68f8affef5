"""``/p/<project>/compare``: panels over the chosen runs; and the same facts for its scripts."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from hpctrack.errors import HpctrackError, NotFoundError, UsageError
from hpctrack_server.components.text import plain_json
from hpctrack_server.data.frames import BrokenFrame
from hpctrack_server.data.index.query import RunPage
from hpctrack_server.pages.compare.facts import RunsWanted, choose_value_key, describe_run
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.modules import load_modules

ARGUMENTS = ("runs", "filter", "search", "sort", "limit", "value")

METRICS_FROM_RUNS = 50
"""Runs whose metrics are asked for; runs of one project hardly differ in them."""


ENTRIES = ("compare/main.js", "panels/line.js")
"""The page's script, and the panel that nearly every workspace has."""

AUTOMATIC = "-"
"""In the address: no workspace, though the project may have a default one."""

NOTHING: dict[str, Any] = {
    "runs": [], "matches": 0, "total": 1, "version": "", "missing": [], "broken": [],
    "metrics": [], "value": "",
}  # fmt: skip


class CompareFacts(Guarded):
    """What both the page and its scripts ask for: the runs, and the metrics that they have."""

    async def collect(self, project: str) -> dict[str, Any]:
        """Return the runs, the metrics, and what the rail shows of a run."""
        picked = await self._find_picked(project)
        wanted = RunsWanted.parse({name: self.query(name) for name in ARGUMENTS}, picked)
        services = self.services
        page = await self.read(services.index.page, project, wanted.query)
        ids = [row["id"] for row in page.rows]
        stamps = await self.read(services.index.stamps, project, ids)
        named = ids[:METRICS_FROM_RUNS]
        found = await services.naming.call(services.names.list, project, named)
        metrics = [str(one["name"]) for one in found]
        value_key = wanted.value_key or choose_value_key(metrics, _keys_of(page))
        broken = await self.read(self._find_broken, project, wanted)
        there = {*ids, *(one.id for one in broken)}
        missing = [one for one in wanted.query.ids if one not in there]
        return {
            "runs": [
                describe_run(row, value_key, stamp)
                for row, stamp in zip(page.rows, stamps, strict=True)
            ],
            "matches": page.matches,
            "total": page.total,
            "version": page.version,
            "missing": missing,
            "broken": [{"id": one.id, "message": one.message} for one in broken],
            "metrics": metrics,
            "value": value_key,
        }

    def _find_broken(self, project: str, wanted: RunsWanted) -> tuple[BrokenFrame, ...]:
        """Return the runs that are wanted and cannot be read.

        What they hold is not known: to a search for it any of them could belong.
        """
        broken = self.services.index.broken(project)
        named = set(wanted.query.ids)
        return tuple(one for one in broken if not named or one.id in named)

    async def _find_picked(self, project: str) -> list[str]:
        """Return the runs of the selection that the address names; none if it names none.

        Raises
        ------
        UsageError
            It is not kept any more.
        """
        wanted = self.query("selection")
        if not wanted:
            return []
        try:
            kept = await self.keep(self.services.state.selections.get, project, wanted)
        except NotFoundError:
            raise UsageError(
                "this selection of runs is not kept any more", hint="pick the runs again"
            ) from None
        runs = kept.body.get("runs")
        return [one for one in runs if isinstance(one, str)] if isinstance(runs, list) else []


class ComparePage(CompareFacts):
    """The page; its panels are put together in the browser."""

    async def get(self, project: str) -> None:
        """Answer with the page, and with the runs in it: nothing to wait for before drawing."""
        try:
            facts = await self.collect(project)
        except NotFoundError:
            raise
        except HpctrackError as error:
            # A filter that cannot be understood is told beside it, where it can be changed.
            facts = {**NOTHING, "problem": ": ".join(filter(None, (error.message, error.hint)))}
        saved, trouble = await self._find_workspace(project)
        self.show(
            "compare/compare.html",
            project=project,
            current="compare",
            facts=json.dumps(
                plain_json({**facts, "saved": saved, "trouble": trouble}), allow_nan=False
            ),
            is_empty=not facts["total"] and not facts["broken"],
            modules=load_modules(*ENTRIES),
        )

    async def _find_workspace(self, project: str) -> tuple[dict[str, Any] | None, str]:
        """Return the workspace that the address names, else the default; and why it is not there.

        A database that fails makes no page fail.
        """
        wanted = self.query("workspace")
        if wanted == AUTOMATIC:
            return None, ""
        documents = self.services.state.workspaces
        try:
            if wanted:
                return dataclasses.asdict(await self.keep(documents.get, project, wanted)), ""
            found = await self.keep(documents.list, project)
        except HpctrackError as error:
            return None, error.message
        return next((dataclasses.asdict(one) for one in found if one.is_default), None), ""


class CompareApi(CompareFacts):
    """``/api/v1/projects/<project>/compare``: what the rail needs after a change of the query."""

    async def get(self, project: str) -> None:
        """Answer with the facts."""
        self.answer(await self.collect(project))


def _keys_of(page: RunPage) -> set[str]:
    return {key for row in page.rows for key, value in row.items() if value is not None}
