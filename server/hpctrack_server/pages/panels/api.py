"""``/api/v1/projects/<project>/panels/<kind>``: what panels draw."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from hpctrack.errors import NotFoundError, UsageError
from hpctrack_server.components.panels.column import Column, make_column
from hpctrack_server.components.panels.kinds import KINDS
from hpctrack_server.components.panels.table import PanelError, Table
from hpctrack_server.components.text import plain_json, printable
from hpctrack_server.data.index.groups import BUT_SEED
from hpctrack_server.data.index.query import RunQuery
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.pages.core.table import parse_query
from hpctrack_server.pages.guarded import Guarded

KEYS_MAX = 100
ALIGNMENT = 8
TIMES = frozenset({"created"})
NOTHING = {"ids": (), "names": (), "runs": 0, "known": 0}
"""The answer about no runs, which is no error of the panel."""


class PanelColumnsApi(Guarded):
    """``.../panels/columns``: some columns of some runs, as bytes for typed arrays.

    The body is ``{"keys": [...], "ids": [...]}`` or ``{"keys", "query": {filter, search, sort,
    limit}}``; the header of the answer has ``ids``, ``names``, ``matches``, and ``columns``, a
    list of ``{key, kind, labels, infinite}``, and the arrays follow in that order.
    """

    writes: ClassVar[frozenset[str]] = frozenset()

    async def post(self, project: str) -> None:
        """Answer with the columns."""
        body = self.body()
        work = _make_reading(self, project, body, _parse_keys(body.get("keys")))
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(await self.calculate(lambda: encode_table(work())))


class PanelsApi(Guarded):
    """``.../panels/<kind>``: what a panel of a kind draws, by its settings."""

    writes: ClassVar[frozenset[str]] = frozenset()

    async def post(self, project: str, kind: str) -> None:
        """Answer with the drawing as JSON."""
        if kind not in KINDS:
            raise NotFoundError(f"there is no kind of panel {kind[:40]!r}")
        body = self.body()
        settings = body.get("settings", {})
        if not isinstance(settings, dict):
            raise UsageError("the settings are no JSON object")
        work = _make_reading(self, project, body, KINDS[kind].keys(settings))

        def draw() -> str:
            try:
                # A run may log 1e300: its square is infinite, which is shown as missing.
                with np.errstate(all="ignore"):
                    table = work()
                    made = KINDS[kind].make(table, settings) if table.ids else NOTHING
                    return json.dumps(_as_json(made))
            except PanelError as error:
                raise UsageError(error.message, hint=error.hint or None) from None

        answer = await self.calculate(draw)
        self.set_header("Content-Type", "application/json")
        self.finish(answer)


def parse_selection(body: Mapping[str, Any]) -> tuple[RunQuery, int]:
    """Return which runs a body asks for, and how many at most; 0 is all.

    Raises
    ------
    UsageError
        It is malformed.
    """
    if body.get("ids") is not None:
        query = parse_query({"ids": body["ids"]})
        # No id is empty, so this finds nothing, where an empty list would find everything.
        return replace(query, ids=query.ids or ("",)), 0
    wanted = body.get("query") or {}
    if not isinstance(wanted, dict):
        raise UsageError('"query" is no JSON object')
    limit = wanted.get("limit") or 0
    if not isinstance(limit, int) or limit < 0:
        raise UsageError("'limit' of the query is no number of runs")
    return parse_query(wanted), limit


def encode_table(table: Table) -> bytes:
    """Return a table as bytes, in the form of `hpctrack_server.data.encode`."""
    arrays = [_narrow(one) for one in table.columns.values()]
    header = {
        "ids": table.ids,
        "names": table.names,
        "columns": [
            {"key": one.key, "kind": one.kind, "labels": one.labels,
             "infinite": one.infinite}
            for one in table.columns.values()
        ],
        "arrays": [{"type": one.dtype.str[1:], "length": len(one)} for one in arrays],
    }  # fmt: skip
    head = json.dumps(header, allow_nan=False).encode()
    head += b" " * (-(len(head) + 4) % ALIGNMENT)
    parts = [one.tobytes() for one in arrays]
    padded = (part + b"\0" * (-len(part) % ALIGNMENT) for part in parts)
    return struct.pack("<I", len(head)) + head + b"".join(padded)


def _narrow(column: Column) -> np.ndarray[Any, Any]:
    """Return the values as float32 if that is exact, which halves what is sent."""
    with np.errstate(over="ignore"):
        narrow = column.numbers.astype("<f4")
    is_exact = np.array_equal(narrow.astype(np.float64), column.numbers, equal_nan=True)
    return narrow if is_exact else column.numbers.astype("<f8")


def _make_reading(
    page: Guarded, project: str, body: Mapping[str, Any], keys: Sequence[str]
) -> Callable[[], Table]:
    """Return a function that reads the table that a body asks for."""
    query, limit = parse_selection(body)
    index = page.services.index

    def read() -> Table:
        wanted = [one for one in dict.fromkeys(["name", *keys]) if one != BUT_SEED]
        ids, values = index.values(project, wanted, query)
        part = slice(0, limit or None)
        if BUT_SEED in keys:
            values[BUT_SEED] = _name_configurations(index, project, query, ids)
        return Table(
            ids=tuple(ids[part]),
            names=tuple(printable(one or "") for one in values["name"][part]),
            columns={
                key: make_column(key, values[key][part], is_time=key in TIMES) for key in keys
            },
        )

    return read


def _name_configurations(
    index: RunIndex, project: str, query: RunQuery, ids: Sequence[str]
) -> list[str | None]:
    """Return for each run the name of the first one that is configured like it, but for seeds."""
    names: dict[str, str] = {}
    for group in index.groups(project, [BUT_SEED], query, columns=()):
        names.update(dict.fromkeys(group.ids, f"like {group.ids[0]}"))
    return [names.get(one) for one in ids]


def _parse_keys(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError('"keys" is no list of columns')
    if len(value) > KEYS_MAX:
        raise UsageError(f"{len(value)} columns are too many", hint=f"ask for {KEYS_MAX} at most")
    return list(dict.fromkeys(value))


def _as_json(value: Any) -> Any:
    """Return arrays as lists; numbers that are not finite become null."""
    if isinstance(value, np.ndarray):
        return plain_json(value.tolist())
    if isinstance(value, np.generic):
        return plain_json(value.item())
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    return plain_json(value)
