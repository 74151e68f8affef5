"""``/p/<project>/runs``: the table of a project's runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from hpctrack.errors import HpctrackError
from hpctrack_server.components.runs.place import (
    NO_VIEW,
    ROWS,
    SCOPES,
    STATES,
    TablePlace,
    tell_unknown,
)
from hpctrack_server.data.state.saved import Saved
from hpctrack_server.language.errors import QueryError
from hpctrack_server.language.keys import join_keys
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.runs.load import LoadedTable, compose_filter, load_table

PLACE = (
    "filter", "search", "state", "scope", "sort", "group", "cols", "rows", "page", "base", "view",
    "open",
)  # fmt: skip


class RunsPage(Guarded):
    """Runs, filtered, sorted, grouped and paged by the address."""

    async def get(self, project: str) -> None:
        """Answer with the page."""
        services = self.services
        views, trouble = await self._list_views(project)
        place, view, told = self._find_place(views)
        table = await self.read(load_table, services.index, services.provider, project, place)
        place = replace(place, page=table.page)
        self.show(
            "runs/table.html",
            project=project,
            current="runs",
            place=place,
            place_json=json.dumps(place.parameters()),
            table=table,
            pages=table.pages,
            states=STATES,
            scopes=SCOPES,
            row_counts=ROWS,
            views=views,
            view=view,
            view_trouble=trouble,
            told=(*told, *table.told),
            is_changed=view is not None and _as_saved(place) != _as_saved(_open_view(view)),
            problem_parts=_part_problem(place, table),
            exports=self._list_exports(project, place, table),
            compare=self._find_compare(project, place),
        )

    async def _list_views(self, project: str) -> tuple[tuple[Saved, ...], str]:
        """Return the saved views; a database that fails makes no page fail."""
        try:
            return await self.keep(self.services.state.views.list, project), ""
        except HpctrackError as error:
            return (), error.message

    def _find_place(
        self, views: tuple[Saved, ...]
    ) -> tuple[TablePlace, Saved | None, tuple[str, ...]]:
        """Return what is asked for, the saved view that it began as, and what makes no sense."""
        given = {name: self.query(name) for name in PLACE if name in self.request.query_arguments}
        wanted = given.get("view", "")
        by_id = {one.id: one for one in views}
        view = by_id.get(wanted)
        told = tell_unknown(given)
        if wanted and view is None and wanted != NO_VIEW:
            told += (f"there is no saved view {wanted[:60]}: somebody may have deleted it",)
        if not given:
            view = next((one for one in views if one.is_default), None)
        if view is not None and not given.keys() - {"view"}:
            return _open_view(view), view, told
        kept = wanted if view or wanted == NO_VIEW else ""
        return TablePlace.parse({**given, "view": kept}), view, told

    def _list_exports(
        self, project: str, place: TablePlace, table: LoadedTable
    ) -> list[tuple[str, str]]:
        """Return the addresses of the same runs as files."""
        path = self.path("api", "v1", "projects", project, "export")
        asked = {
            "filter": compose_filter(place.filter, place.states), "search": place.search,
            "sort": place.sort, "scope": place.scope,
            "keys": join_keys(one.key for one in table.columns if one.kind != "spark"),
        }  # fmt: skip
        kept = {key: value for key, value in asked.items() if value}
        return [
            (kind, f"{path}?{urlencode({'format': kind, **kept}, errors='replace')}")
            for kind in ("csv", "json", "parquet")
        ]

    def _find_compare(self, project: str, place: TablePlace) -> str:
        """Return the address where the runs that match are compared."""
        asked = {
            "filter": compose_filter(place.filter, place.states), "search": place.search,
            "sort": place.sort,
        }  # fmt: skip
        kept = {key: value for key, value in asked.items() if value}
        path = self.path("p", project, "compare")
        return f"{path}?{urlencode(kept, errors='replace')}" if kept else path


def _part_problem(place: TablePlace, table: LoadedTable) -> tuple[str, str, str] | None:
    """Return the filter before, at and behind what is wrong in it."""
    if not isinstance(table.problem, QueryError):
        return None
    at, end = table.problem.at, table.problem.end
    return place.filter[:at], place.filter[at:end], place.filter[end:]


def _open_view(view: Saved) -> TablePlace:
    saved: Any = view.body.get("place")
    kept = saved if isinstance(saved, dict) else {}
    given = {name: str(kept[name]) for name in PLACE if name in kept}
    return TablePlace.parse({**given, "view": view.id})


def _as_saved(place: TablePlace) -> dict[str, str]:
    """Return what makes a view: not where in it somebody is."""
    return {
        key: value
        for key, value in place.parameters().items()
        if value and key not in {"page", "view", "open"}
    }
