"""The table of runs: which columns, which rows, in which order. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from hpctrack_server.components.text import is_number

Row = Mapping[str, Any]
"""Facts by name, and ``config.X`` and ``summary.X``."""

PAGE_ROWS = 50
CONFIG_COLUMNS = 5
SUMMARY_COLUMNS = 5
STATES = ("running", "finished", "failed", "preempted", "crashed")
SEARCHED = ("name", "id", "user", "group", "sweep")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its key in a row, its heading, and whether it holds numbers."""

    key: str
    title: str
    is_number: bool = False
    kind: str = "fact"


LOST = Column("lost", "Lost")
"""Shown only if something of a run is missing."""

FACTS = (
    Column("state", "State"),
    Column("name", "Name"),
    LOST,
    Column("user", "User"),
    Column("created", "Created"),
    Column("duration", "Duration", is_number=True),
    Column("ranks", "Ranks", is_number=True),
    Column("nodes", "Nodes", is_number=True),
    Column("attempts", "Attempts", is_number=True),
    Column("tags", "Tags"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableQuery:
    """What the address of the page asks for."""

    text: str = ""
    state: str = ""
    sort: str = "created"
    is_descending: bool = True
    page: int = 1

    @classmethod
    def parse(cls, arguments: Mapping[str, str]) -> TableQuery:
        """Read an address's parameters; what makes no sense is left out."""
        page = arguments.get("page", "")
        return cls(
            text=arguments.get("q", ""),
            state=state if (state := arguments.get("state", "")) in STATES else "",
            sort=arguments.get("sort", "") or "created",
            is_descending=arguments.get("dir", "desc") != "asc",
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 9 else 1,  # noqa: PLR2004
        )

    def link(self, **changes: Any) -> str:
        """Return the address of the same table, changed; on its first page unless told."""
        other = replace(self, **{"page": 1, **changes})
        parts = {
            "q": other.text,
            "state": other.state,
            "sort": other.sort if other.sort != "created" or not other.is_descending else "",
            "dir": "" if other.is_descending else "asc",
            "page": str(other.page) if other.page > 1 else "",
        }
        kept = {key: value for key, value in parts.items() if value}
        return f"?{urlencode(kept, errors='replace')}" if kept else "?"

    def sort_link(self, column: Column) -> str:
        """Return the address with this column sorted; the other way round if it is already."""
        if column.key == self.sort:
            return self.link(is_descending=not self.is_descending)
        return self.link(sort=column.key, is_descending=column.is_number or column.key == "created")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """What a page of the table shows.

    Parameters
    ----------
    columns : tuple of Column
    rows : tuple of mapping
        Of this page only.
    matches : int
        How many rows fit the search.
    total : int
        How many rows there are.
    page, pages : int
        1-based.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    matches: int
    total: int
    page: int
    pages: int


def make_run_table(rows: Sequence[Row], query: TableQuery) -> RunTable:
    """Choose columns and rows.

    Parameters
    ----------
    rows : sequence of mapping
        All runs, in their natural order.
    query : TableQuery
        Search, filter, order and page.
    """
    found = [row for row in rows if _matches(row, query)]
    ordered = _sort(found, query.sort, is_descending=query.is_descending)
    pages = max(1, -(-len(ordered) // PAGE_ROWS))
    page = min(query.page, pages)
    start = (page - 1) * PAGE_ROWS
    return RunTable(
        columns=choose_columns(rows),
        rows=tuple(ordered[start : start + PAGE_ROWS]),
        matches=len(found),
        total=len(rows),
        page=page,
        pages=pages,
    )


def choose_columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the fixed columns and the configuration and summary keys that most runs have.

    Of keys that are equally common, those that differ between the runs come first: a column
    that says the same in every row helps nobody.
    """
    config = _choose(rows, "config.", CONFIG_COLUMNS)
    summary = _choose(rows, "summary.", SUMMARY_COLUMNS)
    facts = [one for one in FACTS if one != LOST or any(row.get(LOST.key) for row in rows)]
    return (*facts, *config, *summary)


def _choose(rows: Sequence[Row], prefix: str, limit: int) -> list[Column]:
    counts: Counter[str] = Counter()
    values: dict[str, set[str]] = {}
    numbers: Counter[str] = Counter()
    for row in rows:
        for key, value in row.items():
            if key.startswith(prefix):
                counts[key] += 1
                values.setdefault(key, set()).add(repr(value)[:64])
                numbers[key] += is_number(value)
    first_seen = {key: order for order, key in enumerate(counts)}
    best = sorted(counts, key=lambda key: (-counts[key], len(values[key]) == 1, first_seen[key]))
    return [
        Column(key, key.removeprefix(prefix), numbers[key] * 2 > counts[key], prefix.rstrip("."))
        for key in best[:limit]
    ]


def _matches(row: Row, query: TableQuery) -> bool:
    if query.state and row.get("state") != query.state:
        return False
    text = " ".join([*(str(row.get(key, "")) for key in SEARCHED), *row.get("tags", ())]).casefold()
    return all(word in text for word in query.text.casefold().split())


def _sort(rows: list[Row], key: str, *, is_descending: bool) -> list[Row]:
    """Sort by a key; rows without a value that can be compared come last either way."""

    def rank(row: Row) -> tuple[int, float, str]:
        value = row[key]
        if is_number(value) or isinstance(value, bool):
            return (0, value, "")
        return (1, 0.0, " ".join(value) if isinstance(value, tuple) else str(value).casefold())

    def is_comparable(value: Any) -> bool:
        return value not in (None, "", ()) and value == value  # noqa: PLR0124 - NaN

    there = [row for row in rows if is_comparable(row.get(key))]
    absent = [row for row in rows if not is_comparable(row.get(key))]
    return sorted(there, key=rank, reverse=is_descending) + absent
