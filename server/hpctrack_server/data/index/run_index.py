"""The runs of a store by column: filtered, sorted, grouped and paged."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from hpctrack.errors import UsageError
from hpctrack_server.data.index.query import (
    ColumnFacts,
    ColumnKind,
    Group,
    RunPage,
    RunQuery,
    Scope,
)
from hpctrack_server.data.provider import DataProvider


class RunIndex:
    """Answers from memory; what has changed in the store is found by the watcher, not by a page.

    Parameters
    ----------
    provider : DataProvider
    """

    def __init__(self, provider: DataProvider) -> None:
        self._provider = provider

    def page(self, project: str, query: RunQuery) -> RunPage:
        """Return a part of the runs that match.

        Raises
        ------
        NotFoundError
            There is no such project.
        QueryError
            The filter cannot be understood; it says where.
        """
        frame = self._provider.runs(project)
        rows = self._find(project, query)
        part = rows[query.start : query.start + query.count]
        return RunPage(
            rows=tuple(part), matches=len(rows), total=len(frame.runs), version=frame.version
        )

    def ids(self, project: str, query: RunQuery) -> list[str]:
        """Return the ids of all runs that match, whatever ``start`` and ``count``."""
        return [row["id"] for row in self._find(project, query)]

    def columns(self, project: str) -> list[ColumnFacts]:
        """Return all columns that the runs of a project have, facts first."""
        rows = [one.row() for one in self._provider.runs(project).runs]
        found: dict[str, list[Any]] = {}
        for row in rows:
            for key, value in row.items():
                if value is not None:
                    found.setdefault(key, []).append(value)
        return [
            ColumnFacts(
                key=key, kind=_kind_of(key, values), count=len(values),
                distinct=len({repr(one) for one in values}),
            )
            for key, values in found.items()
        ]  # fmt: skip

    def values(
        self, project: str, keys: Sequence[str], query: RunQuery
    ) -> tuple[list[str], dict[str, list[Any]]]:
        """Return some columns of all runs that match: ids, and by key one value per run.

        A run without a value has None.
        """
        rows = self._find(project, query)
        return [row["id"] for row in rows], {key: [row.get(key) for row in rows] for key in keys}

    def groups(self, project: str, keys: Sequence[str], query: RunQuery) -> list[Group]:
        """Return the runs that match by their values of some keys, the largest group first."""
        rows = self._find(project, query)
        found: dict[tuple[Any, ...], list[str]] = {}
        for row in rows:
            found.setdefault(tuple(row.get(key) for key in keys), []).append(row["id"])
        ordered = sorted(found.items(), key=lambda one: -len(one[1]))
        return [Group(key=key, ids=tuple(ids)) for key, ids in ordered]

    def _find(self, project: str, query: RunQuery) -> list[dict[str, Any]]:
        if query.filter:
            raise UsageError("filters are not understood yet")
        rows = [one.row() for one in self._provider.runs(project).runs]
        if query.scope not in {Scope.ACTIVE, Scope.ALL}:
            return []
        if query.ids:
            known = {row["id"]: row for row in rows}
            rows = [known[one] for one in query.ids if one in known]
        if query.search:
            word = query.search.casefold()
            rows = [row for row in rows if word in f"{row['name']} {row['id']}".casefold()]
        for key in reversed(query.sort):
            there = [row for row in rows if isinstance(row.get(key.key), (int, float))]
            rest = [row for row in rows if not isinstance(row.get(key.key), (int, float))]
            there.sort(key=itemgetter(key.key), reverse=key.is_descending)
            rows = there + rest
        return rows


def _kind_of(key: str, values: Sequence[Any]) -> ColumnKind:
    if key == "created":
        return ColumnKind.TIME
    first = values[0]
    if isinstance(first, bool):
        return ColumnKind.FLAG
    if isinstance(first, (int, float)):
        return ColumnKind.NUMBER
    return ColumnKind.LIST if isinstance(first, (list, tuple)) else ColumnKind.TEXT
