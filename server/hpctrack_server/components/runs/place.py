"""What the address of the table asks for, and the addresses of the same table changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from hpctrack_server.language.keys import join_keys, split_keys, split_order

STATES = ("running", "finished", "failed", "preempted", "crashed")
SCOPES = ("active", "archived", "deleted")
ROWS = (50, 100, 200)
NEWEST_FIRST = "-created"
PAGE_DIGITS = 9

NO_VIEW = "none"
"""As the view in an address: the plain table, although the project has a default view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlace:
    """One table: which runs, in which order, with which columns.

    Parameters
    ----------
    filter, search : str
        In the query language, and a regular expression over names.
    states : tuple of str
        Only runs in one of these; empty takes all.
    scope : str
        ``active``, ``archived`` or ``deleted``.
    sort : str
        ``-created,name``; empty is newest first.
    group : tuple of str
        Keys by which runs are put together.
    columns : tuple of str
        Keys in their order; ``!`` in front pins one, ``~`` draws a metric small. Empty takes what
        most runs have.
    rows, page : int
        Rows of a page, and which page, from 1.
    baseline : str
        The run that others are compared with.
    view : str
        The saved view that this began as.
    opened : tuple of str
        Marks of the groups that are open.
    """

    filter: str = ""
    search: str = ""
    states: tuple[str, ...] = ()
    scope: str = SCOPES[0]
    sort: str = ""
    group: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: int = ROWS[0]
    page: int = 1
    baseline: str = ""
    view: str = ""
    opened: tuple[str, ...] = ()

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> TablePlace:
        """Read an address's parameters; what makes no sense is left out."""
        scope, rows = given.get("scope", ""), _parse_count(given.get("rows", ""))
        return cls(
            filter=given.get("filter", ""),
            search=given.get("search", ""),
            states=tuple(one for one in split_keys(given.get("state", "")) if one in STATES),
            scope=scope if scope in SCOPES else SCOPES[0],
            sort=given.get("sort", ""),
            group=split_keys(given.get("group", "")),
            columns=split_keys(given.get("cols", "")),
            rows=rows if rows in ROWS else ROWS[0],
            page=max(1, _parse_count(given.get("page", ""))),
            baseline=given.get("base", ""),
            view=given.get("view", ""),
            opened=split_keys(given.get("open", "")),
        )

    def parameters(self) -> dict[str, str]:
        """Return the address's parameters, without what goes without saying."""
        parts = {
            "filter": self.filter,
            "search": self.search,
            "state": join_keys(self.states),
            "scope": self.scope if self.scope != SCOPES[0] else "",
            "sort": self.sort,
            "group": join_keys(self.group),
            "cols": join_keys(self.columns),
            "rows": str(self.rows) if self.rows != ROWS[0] else "",
            "page": str(self.page) if self.page > 1 else "",
            "base": self.baseline,
            "view": self.view,
            "open": join_keys(self.opened),
        }
        kept = {key: value for key, value in parts.items() if value}
        # An address with a view and nothing else is the view as it was saved.
        return {"filter": "", **kept} if self.view not in {"", NO_VIEW} else kept

    def link(self, **changes: Any) -> str:
        """Return the address of the same table, changed; on its first page unless told."""
        kept = replace(self, **{"page": 1, **changes}).parameters()
        return f"?{urlencode(kept, errors='replace')}" if kept else "?"

    def sort_keys(self) -> tuple[tuple[str, bool], ...]:
        """Return the keys of the order, each with whether it descends."""
        return split_order(self.sort or NEWEST_FIRST)

    def sort_link(self, key: str, *, is_largest_first: bool) -> str:
        """Return the address sorted by a key; the other way round if it is already."""
        first = self.sort_keys()[:1]
        is_descending = not first[0][1] if first and first[0][0] == key else is_largest_first
        wanted = join_keys([f"-{key}" if is_descending else key])
        return self.link(sort="" if wanted == NEWEST_FIRST else wanted)

    def state_link(self, state: str) -> str:
        """Return the address with one more state, or one less."""
        is_there = state in self.states
        states = [one for one in STATES if (one in self.states) != (one == state)]
        return self.link(states=tuple(states) if states or is_there else ())

    def open_link(self, mark: str) -> str:
        """Return the address with a group opened, or closed."""
        kept = tuple(one for one in self.opened if one != mark)
        return self.link(page=self.page, opened=kept if mark in self.opened else (*kept, mark))


def _parse_count(text: str) -> int:
    is_count = text.isascii() and text.isdigit() and len(text) <= PAGE_DIGITS
    return int(text) if is_count else 0


def tell_unknown(given: Mapping[str, str]) -> tuple[str, ...]:
    """Say what of an address's parameters makes no sense and was left out. Pure."""
    told = [
        f"state={one[:60]} is left out: there is no such state, only {', '.join(STATES)}"
        for one in split_keys(given.get("state", ""))
        if one not in STATES
    ]
    scope, rows = given.get("scope", ""), given.get("rows", "")
    if scope and scope not in SCOPES:
        told.append(f"scope={scope[:60]} is left out: it can be {', '.join(SCOPES)}")
    if rows and _parse_count(rows) not in ROWS:
        told.append(f"rows={rows[:20]} is left out: a page has {', '.join(map(str, ROWS))} rows")
    return tuple(told)
