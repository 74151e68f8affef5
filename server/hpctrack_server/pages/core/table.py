"""``/api/v1/projects/<project>/table`` and what goes with it: the runs of a project by column."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from hpctrack.errors import UsageError
from hpctrack_server.components.text import plain_json
from hpctrack_server.data.index.export import MEDIA_TYPES, Format, write_table
from hpctrack_server.data.index.query import PAGE_ROWS, RunQuery, Scope, SortKey
from hpctrack_server.language.errors import QueryError
from hpctrack_server.language.keys import join_keys, split_keys
from hpctrack_server.pages.guarded import Guarded

VALUES_MAX = 2_000_000
"""Of one answer in JSON: 20 MB."""

EXPORT_MAX_RUNS = 1_000_000
GROUPS_MAX = 1000


def parse_query(given: Mapping[str, Any]) -> RunQuery:
    """Read which runs are asked for.

    Raises
    ------
    UsageError
        It is not what it should be.
    """
    scope = given.get("scope") or Scope.ACTIVE
    if scope not in set(Scope):
        raise UsageError(f"the scope is {str(scope)[:40]!r}", hint=f"one of {', '.join(Scope)}")
    sort = given.get("sort") or ""
    if isinstance(sort, list):
        sort = join_keys(map(str, sort))
    return RunQuery(
        filter=_text(given, "filter"),
        search=_text(given, "search"),
        ids=tuple(_texts(given, "ids")),
        sort=SortKey.parse(str(sort)),
        scope=Scope(scope),
        start=_count(given, "start", 0),
        count=_count(given, "count", PAGE_ROWS),
    )


class TableApi(Guarded):
    """``POST .../table``: some columns of some runs, in JSON or as an Arrow stream."""

    writes: ClassVar[frozenset[str]] = frozenset()

    async def post(self, project: str) -> None:
        """Answer with ``ids``, ``columns``, ``kinds``, ``matches``, ``total`` and ``version``."""
        body = self.body()
        query, keys = parse_query(body), _texts(body, "keys")
        if query.count * max(len(keys), 1) > VALUES_MAX:
            raise UsageError(
                f"{query.count:,} runs x {len(keys)} columns are too many at once",
                hint="ask for fewer, or export them",
            )
        is_arrow = MEDIA_TYPES[Format.ARROW] in self.request.headers.get("Accept", "")
        self.set_header("Vary", "Accept")
        self.set_header("Content-Type", MEDIA_TYPES[Format.ARROW if is_arrow else Format.JSON])
        work = self._write_arrow if is_arrow else self._write_json
        self.finish(await self.read(work, project, query, keys))

    def _write_json(self, project: str, query: RunQuery, keys: list[str]) -> bytes:
        index = self.services.index
        table, page = index.table(project, keys, query)
        kinds = index.kinds(project)
        columns = table.to_lists(["id", *keys])
        told = {
            "ids": columns["id"],
            "columns": {key: columns[key] for key in keys},
            "kinds": {key: kinds[key] for key in keys if key in kinds},
            "matches": page.matches,
            "total": page.total,
            "version": page.version,
            "pending": page.pending,
        }
        return json.dumps(plain_json(told), allow_nan=False, separators=(",", ":")).encode()

    def _write_arrow(self, project: str, query: RunQuery, keys: list[str]) -> bytes:
        return write_table(self.services.index.table(project, keys, query)[0], Format.ARROW)


class ColumnsApi(Guarded):
    """``GET .../columns``: what a project's table could show."""

    async def get(self, project: str) -> None:
        """Answer with key, kind, number of values and of different ones; facts first."""
        index = self.services.index
        columns = await self.read(index.columns, project)
        self.answer({
            "columns": [dataclasses.asdict(one) for one in columns],
            "left_out": index.columns_left_out(project),
            "version": index.version(project),
        })  # fmt: skip


class GroupsApi(Guarded):
    """``POST .../groups``: runs that agree in some keys, with their numbers."""

    writes: ClassVar[frozenset[str]] = frozenset()

    async def post(self, project: str) -> None:
        """Answer with the groups, the largest first; ``columns`` says whose numbers are told."""
        body = self.body()
        query, keys = parse_query(body), _texts(body, "keys")
        columns = _texts(body, "columns") if "columns" in body else None
        if not keys:
            raise UsageError("'keys' is empty", hint='such as ["config.lr"], or @config-but-seed')
        found = await self.read(self.services.index.groups, project, keys, query, columns)
        self.answer({
            "groups": [dataclasses.asdict(one) for one in found[:GROUPS_MAX]],
            "total": len(found),
        })  # fmt: skip


class CompleteApi(Guarded):
    """``GET .../complete?text=&at=``: what could be typed next, and what is wrong so far."""

    async def get(self, project: str) -> None:
        """Answer with ``start``, ``end`` and ``options``; ``error`` says where the filter fails."""
        text = self.get_query_argument("text", "", strip=False)
        at = self.query("at", str(len(text)))
        place = int(at) if at.isascii() and at.isdigit() and len(at) < 9 else len(text)  # noqa: PLR2004
        index = self.services.index
        found = await self.read(index.complete, project, text, place)
        try:
            await self.read(index.page, project, RunQuery(filter=text, count=0))
            error = None
        except QueryError as caught:
            error = {
                "message": caught.message, "hint": caught.hint or "",
                "at": caught.at, "end": caught.end,
            }  # fmt: skip
        self.answer({**dataclasses.asdict(found), "error": error})


class ExportApi(Guarded):
    """``GET .../export?format=csv``: the runs that match, as a file."""

    async def get(self, project: str) -> None:
        """Answer with a file; without ``keys`` it has all columns."""
        kind = self.query("format", Format.CSV)
        if kind not in set(Format):
            raise UsageError(f"the format is {kind[:40]!r}", hint=f"one of {', '.join(Format)}")
        given = {
            name: self.get_query_argument(name, "", strip=False)
            for name in ("filter", "search", "sort", "scope")
        }
        ids = [one for one in self.query("ids").split(",") if one]
        query = parse_query({**given, "ids": ids, "count": EXPORT_MAX_RUNS})
        keys = [*split_keys(self.query("keys"))]
        body = await self.calculate(self._write, project, query, keys, Format(kind))
        self.set_header("Content-Type", MEDIA_TYPES[Format(kind)])
        self.set_header("Content-Disposition", f'attachment; filename="{project}-runs.{kind}"')
        self.finish(body)

    def _write(self, project: str, query: RunQuery, keys: list[str], kind: Format) -> bytes:
        index = self.services.index
        wanted = keys or list(index.kinds(project))
        return write_table(index.table(project, wanted, query)[0], kind)


class SparklinesApi(Guarded):
    """``POST .../sparklines``: a metric of some runs, small."""

    writes: ClassVar[frozenset[str]] = frozenset()

    async def post(self, project: str) -> None:
        """Answer with ``lines``, values by run id; ``left`` are runs that took too long."""
        body = self.body()
        metric, ids = _text(body, "metric"), _texts(body, "ids")
        width = _count(body, "width", 80)
        found = await self.calculate(self.services.sparks.draw, project, metric, ids, width)
        self.answer(dataclasses.asdict(found))


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key) or ""
    if not isinstance(value, str):
        raise UsageError(f"{key!r} is no text")
    return value


def _texts(given: Mapping[str, Any], key: str) -> list[str]:
    value = given.get(key) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{key!r} is no list of texts", hint=f'{{"{key}": ["...", "..."]}}')
    return value


def _count(given: Mapping[str, Any], key: str, default: int) -> int:
    value = given.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise UsageError(f"{key!r} is {str(value)[:40]!r}, not a number of runs")
    return value
