"""What a page of the table needs, read in one go on the reading thread."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Any

from hpctrack.errors import HpctrackError, UsageError
from hpctrack.store.definitions import find_definition
from hpctrack_server.components.runs.columns import Column, choose_columns
from hpctrack_server.components.runs.place import STATES, TablePlace
from hpctrack_server.components.runs.table import TableGroup, TableRow, make_group, make_rows
from hpctrack_server.data.frames import BrokenFrame, RunFrame
from hpctrack_server.data.index.groups import BUT_SEED
from hpctrack_server.data.index.query import Group, RunPage, RunQuery, Scope, SortKey
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.provider import DataProvider
from hpctrack_server.language.errors import QueryError
from hpctrack_server.language.parser import parse_filter

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
    page, pages : int
        Which of them, from 1: the last one if a later one was asked for.
    states : dict of str to int
        How many runs there are of each state, whatever states are asked for.
    problem : UsageError or None
        Why the filter, the search or the order cannot be understood.
    pending : int
        Runs that have not been read yet.
    told : tuple of str
        What the address names that is not there, a sentence each.
    """

    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...] = ()
    groups: tuple[TableGroup, ...] = ()
    baseline: TableRow | None = None
    matches: int = 0
    total: int = 0
    things: int = 0
    page: int = 1
    pages: int = 1
    version: str = ""
    states: dict[str, int]
    broken: tuple[BrokenFrame, ...] = ()
    problem: UsageError | None = None
    pending: int = 0
    told: tuple[str, ...] = ()


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
    broken = index.broken(project)
    columns = choose_columns(index.columns(project), place.columns)
    keys = _list_keys(columns)
    try:
        found = _find_page(index, project, place, keys)
        groups = _load_groups(index, project, place, columns) if place.group else []
        states = _count_states(index, project, place)
    except UsageError as problem:
        total = index.page(project, RunQuery(scope=Scope(place.scope), count=0)).total
        return LoadedTable(columns=columns, problem=problem, states={}, broken=broken, total=total)
    base = _find_row(index, project, place.baseline, keys)
    goals = _find_goals(provider, project, base or (found.rows[0] if found.rows else None))
    columns = tuple(replace(one, goal=goals(one.metric)) if one.metric else one for one in columns)
    things = len(groups) if place.group else found.matches
    pages = max(1, -(-things // place.rows))
    if place.page > pages:  # runs have gone since somebody kept this address
        return load_table(index, provider, project, replace(place, page=pages))
    start = (place.page - 1) * place.rows
    shown = [
        _fill_group(index, project, place, columns, one, base=base)
        for one in groups[start : start + place.rows]
    ]
    rows = () if place.group else make_rows(found.rows, columns, base)
    return LoadedTable(
        columns=columns, rows=rows, groups=tuple(shown), matches=found.matches, total=found.total,
        page=place.page, pages=pages, things=things, version=found.version,
        baseline=make_rows([base], columns, base)[0] if base else None, states=states,
        broken=broken, pending=found.pending,
        told=tell_missing(place, index.kinds(project), has_baseline=base is not None),
    )  # fmt: skip


def tell_missing(
    place: TablePlace, known: Container[str], *, has_baseline: bool
) -> tuple[str, ...]:
    """Say which columns and runs a place names that are not there. Pure."""
    told = [
        f"the order is not by {key[:60]}: no run has such a column; click a heading to sort"
        for key, _is_descending in place.sort_keys()
        if key not in known
    ]
    told += [
        f"no run has a column {key[:60]} to group by: choose another in Group"
        for key in place.group
        if key not in known and key != BUT_SEED
    ]
    if place.baseline and not has_baseline:
        told.append(f"the baseline {place.baseline[:60]} is not there: nothing is compared with it")
    return tuple(told)


def _list_keys(columns: tuple[Column, ...]) -> list[str]:
    """Return what a row needs: its columns, and what is done with it."""
    return ["name", "tags", *(one.key for one in columns if one.kind != "spark")]


def _find_page(index: RunIndex, project: str, place: TablePlace, keys: list[str]) -> RunPage:
    """Return the page; what is wrong in the filter is told of the text that was typed.

    Raises
    ------
    UsageError
        The filter, the search or the order cannot be understood.
    """
    # Alone first: with the states around it, a parenthesis too many would find a partner.
    parse_filter(place.filter, now_wall_s=0.0)
    query = make_query(place, count=0) if place.group else make_query(place)
    try:
        return index.page(project, query, keys)
    except QueryError as error:
        shift = max(query.filter.find(place.filter), 0)
        at, end = max(error.at - shift, 0), max(error.end - shift, 0)
        raise QueryError(error.message, at=at, end=end, hint=error.hint) from None


def _count_states(index: RunIndex, project: str, place: TablePlace) -> dict[str, int]:
    query = make_query(replace(place, states=(), sort=""))
    return {str(key): count for key, count in index.counts(project, "state", query).items()}


def _find_row(index: RunIndex, project: str, run_id: str, keys: list[str]) -> dict[str, Any] | None:
    if not run_id:
        return None
    rows = index.page(project, RunQuery(ids=(run_id,), scope=Scope.ALL, count=1), keys).rows
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


def _load_groups(
    index: RunIndex, project: str, place: TablePlace, columns: tuple[Column, ...]
) -> list[Group]:
    numbers = [one.key for one in columns if one.is_number]
    groups = index.groups(project, list(place.group), make_query(place), numbers)
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
    index: RunIndex,
    project: str,
    place: TablePlace,
    columns: tuple[Column, ...],
    group: Group,
    *,
    base: dict[str, Any] | None,
) -> TableGroup:
    made = make_group(group.key, place.group, columns, group)
    if made.mark not in place.opened:
        return made
    query = make_query(place, filter="", search="", ids=group.ids, start=0, scope=Scope.ALL)
    rows = make_rows(index.page(project, query, _list_keys(columns)).rows, columns, base)
    return replace(made, is_open=True, rows=rows)
