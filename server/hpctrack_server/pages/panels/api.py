"""``/api/v1/projects/<project>/panels/<kind>``: what panels draw."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np

from hpctrack.errors import NotFoundError, UsageError
from hpctrack_server.components.panels.column import Column, make_column
from hpctrack_server.components.panels.kinds import KINDS
from hpctrack_server.components.panels.table import PanelError, Table
from hpctrack_server.components.text import plain_json, printable
from hpctrack_server.data.index.query import RunQuery, SortKey
from hpctrack_server.pages.guarded import Guarded

KEYS_MAX = 100
ALIGNMENT = 8
TIMES = frozenset({"created"})


class ColumnsApi(Guarded):
    """``.../panels/columns``: some columns of some runs, as bytes for typed arrays.

    The body is ``{"keys": [...], "ids": [...]}`` or ``{"keys", "query": {filter, search, sort,
    limit}}``; the header of the answer has ``ids``, ``names``, ``matches``, and ``columns``, a
    list of ``{key, kind, labels, infinite}``, and the arrays follow in that order.
    """

    writes: ClassVar[frozenset[str]] = frozenset()

    async def get(self, project: str) -> None:
        """Answer with what columns there are, as JSON."""
        columns = await self.read(self.services.index.columns, project)
        self.answer({"columns": [asdict(one) for one in columns]})

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
                    return json.dumps(_as_json(KINDS[kind].make(work(), settings)))
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
    ids, query = body.get("ids"), body.get("query") or {}
    if ids is not None:
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise UsageError('"ids" is no list of run ids')
        # No id is empty, so this finds nothing, where an empty list would find everything.
        return RunQuery(ids=tuple(ids) or ("",)), 0
    if not isinstance(query, dict):
        raise UsageError('"query" is no JSON object')
    texts = {name: query.get(name) or "" for name in ("filter", "search", "sort")}
    wrong = [name for name, value in texts.items() if not isinstance(value, str)]
    limit = query.get("limit") or 0
    if wrong or not isinstance(limit, int) or limit < 0:
        raise UsageError(f"{(wrong or ['limit'])[0]!r} of the query has the wrong type")
    return RunQuery(
        filter=texts["filter"], search=texts["search"], sort=SortKey.parse(texts["sort"])
    ), limit


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
        wanted = list(dict.fromkeys(["name", *keys]))
        ids, values = index.values(project, wanted, query)
        part = slice(0, limit or None)
        return Table(
            ids=tuple(ids[part]),
            names=tuple(printable(one or "") for one in values["name"][part]),
            columns={
                key: make_column(key, values[key][part], is_time=key in TIMES) for key in keys
            },
        )

    return read


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
