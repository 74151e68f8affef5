"""What a page of the table needs, read in one go on the reading thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hpctrack.errors import HpctrackError, UsageError
from hpctrack.store.definitions import find_definition
from hpctrack_server.components.runs.columns import Column, choose_columns
from hpctrack_server.components.runs.place import STATES, TablePlace
from hpctrack_server.components.runs.table import TableGroup, TableRow, make_group, make_rows
from hpctrack_server.data.frames import BrokenFrame, RunFrame
from hpctrack_server.data.index.query import Group, RunQuery, Scope, SortKey
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.provider import DataProvider

COUNTED_RUNS_MAX = 100_000
"""Up to here each state says how many runs it has; beyond, that takes longer than the table."""

GROUPS_MAX = 10_000
"""Beyond, each run is a group of its own, and no page is the place for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedTable:
    """A page of the table.

    Parameters
    ----------
    matches, total : int
        Runs that fit, and runs of the scope.
    things : int
        What is paged: runs, or groups.
    states : dict of str to int
        How many runs there are of each state, whatever states are asked for.
    problem : UsageError or None
        Why the filter, the search or the order cannot be understood.
    """

    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...] = ()
    groups: tuple[TableGroup, ...] = ()
    baseline: TableRow | None = None
    matches: int = 0
    total: int = 0
    things: int = 0
    version: str = ""
    states: dict[str, int]
    broken: tuple[BrokenFrame, ...] = ()
    problem: UsageError | None = None


def make_query(place: TablePlace, **changes: Any) -> RunQuery:
    """Return what the index is asked; all of the page unless ``changes`` says otherwise."""
    query = RunQuery(
        filter=compose_filter(place.filter, place.states),
        search=place.search,
        sort=tuple(
            SortKey(key=key, is_descending=is_descending)
            for key, is_descending in place.sort_keys()
        ),
        scope=Scope(place.scope),
        start=(place.page - 1) * place.rows,
        count=place.rows,
    )
    return replace(query, **changes)


def compose_filter(text: str, states: tuple[str, ...]) -> str:
    """Return a filter that also asks for one of some states."""
    if not states or set(states) == set(STATES):
        return text
    wanted = " or ".join(f'state == "{one}"' for one in states)
    return f"({text}) and ({wanted})" if text.strip() else wanted


def load_table(
    index: RunIndex, provider: DataProvider, project: str, place: TablePlace
) -> LoadedTable:
    """Read what the page shows.

    Raises
    ------
    NotFoundError
        There is no such project.
    """
    known = index.columns(project)
    broken = list_broken(provider, project)
    try:
        found = index.page(project, make_query(place))
        base = _find_row(index, project, place.baseline)
        goals = _find_goals(provider, project, base or (found.rows[0] if found.rows else None))
        columns = choose_columns(known, place.columns, goals)
        groups = _load_groups(index, project, place) if place.group else []
        states = _count_states(index, project, place, found.total)
    except UsageError as problem:
        return LoadedTable(
            columns=choose_columns(known, place.columns), problem=problem, states={},
            broken=broken, total=_count_all(index, project, place),
        )  # fmt: skip
    start = (place.page - 1) * place.rows
    shown = [
        _fill_group(index, project, place, columns, one)
        for one in groups[start : start + place.rows]
    ]
    rows = () if place.group else make_rows(found.rows, columns, base)
    return LoadedTable(
        columns=columns, rows=rows, groups=tuple(shown), matches=found.matches, total=found.total,
        things=len(groups) if place.group else found.matches, version=found.version,
        baseline=make_rows([base], columns, base)[0] if base else None, states=states, broken=broken,
    )  # fmt: skip


def list_broken(provider: DataProvider, project: str) -> tuple[BrokenFrame, ...]:
    """Return the runs that cannot be read."""
    return provider.runs(project).broken


def _count_all(index: RunIndex, project: str, place: TablePlace) -> int:
    return index.page(project, RunQuery(scope=Scope(place.scope), count=0)).total


def _count_states(index: RunIndex, project: str, place: TablePlace, total: int) -> dict[str, int]:
    if total > COUNTED_RUNS_MAX:
        return {}
    found = index.groups(project, ["state"], make_query(replace(place, states=(), sort="")))
    return {str(one.key[0]): len(one.ids) for one in found}


def _find_row(index: RunIndex, project: str, run_id: str) -> dict[str, Any] | None:
    if not run_id:
        return None
    rows = index.page(project, RunQuery(ids=(run_id,), scope=Scope.ALL, count=1)).rows
    return rows[0] if rows else None


def _find_goals(
    provider: DataProvider, project: str, row: dict[str, Any] | None
) -> Callable[[str], str]:
    """Return what tells which way a metric is better, as the program of one run has said."""
    try:
        run = provider.run(project, row["id"]) if row else None
    except HpctrackError:
        run = None
    definitions = run.record.definitions if isinstance(run, RunFrame) else ()

    def find(metric: str) -> str:
        definition = find_definition(definitions, metric)
        if definition.goal:
            return definition.goal
        kinds = set(definition.summary) & {"min", "max"}
        return {"min": "minimize", "max": "maximize"}[kinds.pop()] if len(kinds) == 1 else ""

    return find


def _load_groups(index: RunIndex, project: str, place: TablePlace) -> list[Group]:
    groups = index.groups(project, list(place.group), make_query(place))
    if len(groups) > GROUPS_MAX:
        raise UsageError(
            f"there are {len(groups):,} groups", hint="group by a key with fewer different values"
        )
    key, is_descending = place.sort_keys()[0]
    with_mean = [one for one in groups if one.values.get(key, {}).get("n")]
    if not place.sort or not with_mean:
        return groups
    with_mean.sort(key=lambda one: one.values[key]["mean"], reverse=is_descending)
    return with_mean + [one for one in groups if not one.values.get(key, {}).get("n")]


def _fill_group(
    index: RunIndex, project: str, place: TablePlace, columns: tuple[Column, ...], group: Group
) -> TableGroup:
    made = make_group(group.key, place.group, columns, group)
    if made.mark not in place.opened:
        return made
    query = make_query(place, filter="", search="", ids=group.ids, start=0, scope=Scope.ALL)
    rows = make_rows(index.page(project, query).rows, columns)
    return replace(made, is_open=True, rows=rows)
