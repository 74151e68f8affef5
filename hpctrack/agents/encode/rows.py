"""From captured rows to a table's JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from hpctrack.agents.encode.request import Request, make_request
from hpctrack.client.media.table import COLUMNS_MAX, MEDIA_CELLS_MAX, ROWS_MAX
from hpctrack.errors import ProtocolError

MEDIA_KEY = "_media"
"""The key by which a cell with media is told from a user's mapping."""

NUMBER_KEY = "_number"
"""The key by which NaN and infinities among other things are told from texts."""

_ODD = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""JSON has no form for these; browsers refuse Python's."""

Cells = dict[tuple[int, int], dict[str, Any]]


def encode_table(
    request: Request, encode_cell: Callable[[Request], dict[str, Any]]
) -> tuple[bytes, str, dict[str, Any]]:
    """Make ``{"columns", "types", "data"}``; return it, its format, and what to add to ``meta``.

    Types are ``number``, ``text``, ``boolean``, ``media``, ``json``, ``mixed`` and ``empty``. In a
    column of numbers NaN and infinities are the texts ``NaN``, ``Infinity`` and ``-Infinity``,
    elsewhere an object that has such a text as its ``_number``. A cell with media is an object
    whose ``_media`` is the type, with ``digest``, ``format``, ``size`` and ``meta``.
    """
    head = json.loads(bytes(request.body))
    columns, rows, cells = _check(head)
    payload = request.parts[1:]
    used = 0
    for at, column, facts in cells:
        count = len(facts.get("parts", ()))
        parts = payload[used : used + count]
        used += count
        joined = make_request(facts, memoryview(b"".join(parts)))
        rows[at][column] = {MEDIA_KEY: facts.get("type"), **encode_cell(joined)}
    if used != len(payload):
        raise ProtocolError(f"a table's cells take {used} of {len(payload)} parts")
    media = {(at, column) for at, column, _facts in cells}
    types = [_type_of(rows, n, media) for n in range(len(columns))]
    for n, kind in enumerate(types):
        if kind == "number":
            for row in rows:
                row[n] = row[n] if row[n] is None else _ODD.get(repr(row[n]), row[n])
        elif kind in {"mixed", "json"}:
            for row in rows:
                row[n] = _plain(row[n])
        elif kind == "text":
            for row in rows:
                row[n] = row[n] if isinstance(row[n], str) else None  # pandas' NaN among text
    body = {"columns": columns, "types": types, "data": rows}
    text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    return text.encode(), "json", {"columns": len(columns), "rows": len(rows)}


def _check(head: Any) -> tuple[list[str], list[list[Any]], list[tuple[int, int, dict[str, Any]]]]:
    columns, rows, cells = head["columns"], head["rows"], head["cells"]
    if not isinstance(columns, list) or not all(isinstance(one, str) for one in columns):
        raise ProtocolError("a table's columns are not a list of names")
    if not isinstance(rows, list) or not isinstance(cells, list):
        raise ProtocolError("a table has no rows")
    if len(columns) > COLUMNS_MAX or len(rows) > ROWS_MAX or len(cells) > MEDIA_CELLS_MAX:
        raise ProtocolError(f"a table has {len(columns)} columns and {len(rows)} rows")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise ProtocolError("a table's row does not have a cell per column")
    found = []
    for row, column, facts in cells:
        if not (0 <= row < len(rows) and 0 <= column < len(columns) and isinstance(facts, dict)):
            raise ProtocolError("a table's cell with media is not in the table")
        found.append((row, column, facts))
    return columns, rows, found


def _type_of(rows: list[list[Any]], column: int, media: set[tuple[int, int]]) -> str:
    kinds = {
        "media" if (n, column) in media else type(row[column]).__name__
        for n, row in enumerate(rows)
    } - {"NoneType"}
    if not kinds:
        return "empty"
    if kinds <= {"int", "float"}:
        return "number"
    if kinds == {"str", "float"} and _floats_are_nan(rows, column):
        return "text"
    if kinds <= {"dict", "list"}:
        return "json"
    named = {"str": "text", "bool": "boolean", "media": "media"}
    return named.get(kinds.pop(), "mixed") if len(kinds) == 1 else "mixed"


def _floats_are_nan(rows: list[list[Any]], column: int) -> bool:
    return all(math.isnan(row[column]) for row in rows if isinstance(row[column], float))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else {NUMBER_KEY: _ODD[repr(value)]}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
