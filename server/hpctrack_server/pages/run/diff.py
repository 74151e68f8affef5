"""``/p/<project>/diff?runs=a,b``: runs side by side, and what differs between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpctrack_server.components.run.differ import Section, make_sections
from hpctrack_server.components.run.patch import parse_patch
from hpctrack_server.data.index.query import RunQuery, Scope, SortKey
from hpctrack_server.data.run.sides import RUNS_MAX, ComparedRun, compare_runs, read_compared
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.run.config import list_others

PATCH_LINES_MAX = 400
"""Of one text's differences; the runs' own pages have all."""


class Comparing(Guarded):
    """Reads the runs that an address names."""

    async def read_runs(self, project: str) -> tuple[tuple[ComparedRun, ...], int]:
        """Return the runs, and how many more were asked for."""
        ids = await self._find_ids(project)
        provider = self.services.provider
        found = [await self.read(read_compared, provider, project, one) for one in ids[:RUNS_MAX]]
        return tuple(found), max(0, len(ids) - RUNS_MAX)

    async def _find_ids(self, project: str) -> list[str]:
        named = [one for one in self.query("runs").split(",") if one]
        if named or not (self.query("filter") or self.query("search")):
            return list(dict.fromkeys(named))
        limit = self.count("limit")
        query = RunQuery(
            filter=self.query("filter"),
            search=self.query("search"),
            sort=SortKey.parse(self.query("sort")),
            scope=Scope.ACTIVE,
        )
        ids = await self.read(self.services.index.ids, project, query)
        return ids if limit is None else ids[:limit]


class DiffPage(Comparing):
    """Runs side by side."""

    async def get(self, project: str) -> None:
        """Answer with the page."""
        runs, left_out = await self.read_runs(project)
        is_complete = self.query("all") == "1"
        sections: tuple[Section, ...] = ()
        if len(runs) > 1:
            sections = await self.calculate(make_differ, runs, is_complete=is_complete)
        known = {one.id for one in runs}
        others = await self.read(list_others, self.services.index, project, "")
        self.show(
            "run/diff.html",
            project=project,
            current="runs",
            runs=runs,
            sections=sections,
            left_out=left_out,
            is_complete=is_complete,
            others=[one for one in others if one[0] not in known],
            runs_max=RUNS_MAX,
        )


class DiffApi(Comparing):
    """``/api/v1/projects/<project>/diff``: the same as JSON, for the panel and for programs."""

    async def get(self, project: str) -> None:
        """Answer with the rows; texts as unified diffs against the first run's."""
        await self.read(self.services.provider.pulse, project, None)  # is there such a project?
        runs, left_out = await self.read_runs(project)
        is_complete = self.query("all") == "1"
        sections = await self.calculate(make_differ, runs, is_complete=is_complete) if runs else ()
        self.answer({
            "runs": [{"id": one.id, "name": one.name, "problem": one.problem} for one in runs],
            "left_out": left_out,
            "sections": [describe_section(one) for one in sections],
        })  # fmt: skip


def make_differ(runs: tuple[ComparedRun, ...], *, is_complete: bool) -> tuple[Section, ...]:
    """Compare the runs and lay the result out. Pure."""
    rows, patches = compare_runs(runs, is_complete=is_complete)
    parsed = {
        key: [(place, parse_patch(text, lines_max=PATCH_LINES_MAX)) for place, text in found]
        for key, found in patches.items()
    }
    return make_sections(rows, parsed)


def describe_section(section: Section) -> dict[str, Any]:
    """Return a section as JSON."""
    return {
        "name": section.name,
        "title": section.title,
        "differing": section.differing,
        "rows": [
            {"key": row.key, "same": row.is_same, "text": row.is_text, "cells": _cells(row.cells)}
            for row in section.rows
        ],
    }


def _cells(cells: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "text": one.text,
            "title": one.title,
            "delta": one.delta,
            "changed": one.is_changed,
            "absent": one.is_absent,
            "number": one.is_number,
        }
        for one in cells
    ]
