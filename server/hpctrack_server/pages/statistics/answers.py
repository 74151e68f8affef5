"""``/api/v1/projects/<project>/statistics``: groups of runs compared, for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hpctrack.errors import UsageError
from hpctrack_server.components import statistics_export, tasks_export
from hpctrack_server.components.text import plain_json, printable
from hpctrack_server.data.statistics.query import StatisticsQuery
from hpctrack_server.data.statistics.report import compare_in_steps, find_choices, find_runs
from hpctrack_server.pages.guarded import Guarded

LISTS = frozenset({"by"})
"""Parameters that may come several times in an address."""


class Compared(Guarded):
    """A handler that compares groups."""

    writes = frozenset()

    async def compare(self, project: str, query: StatisticsQuery) -> dict[str, Any]:
        """Return what is said of the groups: the index on one thread, numbers on another."""
        services = self.services
        found = await self.read(find_runs, services.index, project, query)
        return await self.calculate_in_turns(compare_in_steps(found, services.ends, project, query))

    async def parse_address(self, project: str) -> StatisticsQuery:
        """Return what the address asks for."""
        choices = await self.read(find_choices, self.services.index, project)
        given: dict[str, Any] = {}
        for name in self.request.query_arguments:
            values = self.get_query_arguments(name, strip=False)
            # One alone may be several with commas between them, unless it is a column itself.
            is_list = len(values) > 1 or values[-1] in choices.keys
            given[name] = values if name in LISTS and is_list else values[-1]
        return StatisticsQuery.parse(given, default_metric=choices.default_metric)


class StatisticsApi(Compared):
    """Takes the page's parameters as JSON: ``metric``, ``by`` (a list), ``test``, ..."""

    async def post(self, project: str) -> None:
        """Answer with groups, comparisons, matrix, verdict, assumptions, notes and tasks."""
        body = self.body()
        choices = await self.read(find_choices, self.services.index, project)
        query = StatisticsQuery.parse(body, default_metric=choices.default_metric)
        self.answer(await self.compare(project, query))


class StatisticsExport(Compared):
    """Takes the page's parameters in the address, and ``format``: latex, csv or json."""

    async def get(self, project: str) -> None:
        """Answer with a file."""
        name = self.query("format", "csv")
        writers: dict[str, tuple[str, Callable[[dict[str, Any], StatisticsQuery], str]]] = {
            "csv": ("text/csv", lambda report, _query: _choose_export(report).write_csv(report)),
            "json": ("application/json", _write_json),
            "latex": ("application/x-tex", _write_latex),
        }
        if name not in writers:
            raise UsageError(f"format is {name[:40]!r}", hint=f"use one of {', '.join(writers)}")
        query = await self.parse_address(project)
        report = await self.compare(project, query)
        kind, write = writers[name]
        suffix = "tex" if name == "latex" else name
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="statistics.{suffix}"')
        self.finish(write(report, query))


def _write_json(report: dict[str, Any], _query: StatisticsQuery) -> str:
    return json.dumps(plain_json(report), allow_nan=False, indent=1)


def _write_latex(report: dict[str, Any], query: StatisticsQuery) -> str:
    about = "" if report["tasks"] else f", {query.method.long_name}"
    caption = f"{printable(query.metric)}{about}"
    export = _choose_export(report)
    text: str = export.write_latex(report, caption=caption, confidence=query.confidence)
    return text


def _choose_export(report: dict[str, Any]) -> Any:
    return tasks_export if report["tasks"] else statistics_export
