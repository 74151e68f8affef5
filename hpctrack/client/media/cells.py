"""What may stand in a table's cell, made plain at once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hpctrack.client.media.recognition import to_media
from hpctrack.client.media.snapshot import is_array, take_snapshot
from hpctrack.client.media.value import Piece
from hpctrack.client.values import NotANumberError, find_media, to_number
from hpctrack.core.wire import make_plain

CELL_MAX_CHARS = 100_000
"""Longer text does not belong into a table; it is cut, and said so."""

ARRAY_MAX_ELEMENTS = 4096
"""A longer array in a cell is described instead of written out."""

_ABSENT = {"NaTType", "NAType"}
"""How pandas says that nothing is there."""

_PLAIN = {bool, int, float, str, type(None)}

Cell = bool | int | float | str | list[Any] | dict[str, Any] | Piece | None


def make_cell(value: Any) -> tuple[Cell, str | None]:
    """Return a plain copy of a cell's value, and what to warn of.

    Numbers, text, booleans and None stay what they are; media become pieces; small arrays,
    sequences and mappings become JSON; everything else becomes its text.

    Raises
    ------
    UsageError
        It is media that cannot be used.
    """
    kind = type(value)
    if value is None or kind is float or kind is bool or kind is int:
        return value, None
    if isinstance(value, str):
        return _cut(str(value))
    media = to_media(value)
    if media is not None:
        piece = media.piece()
        return piece, piece.warnings[0] if piece.warnings else None
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        inner = find_media(dict(value) if isinstance(value, Mapping) else value)
        if inner is not None:
            name = type(inner).__name__
            return None, f"an {name} within a list or mapping cannot be in a cell, only by itself"
        return _cut_json(value)
    return _make_foreign(value)


def is_plain(rows: Sequence[Sequence[Any]], width: int) -> bool:
    """Tell whether all rows fit and hold only what needs no look, which is quick."""
    if {len(row) for row in rows} - {width} or {type(c) for row in rows for c in row} - _PLAIN:
        return False
    longest = max((len(c) for row in rows for c in row if type(c) is str), default=0)
    return longest <= CELL_MAX_CHARS


def _make_foreign(value: Any) -> tuple[Cell, str | None]:
    """Take a cell of a type that is not Python's own."""
    if type(value).__name__ in _ABSENT:
        return None, None
    if is_array(value) and getattr(value, "shape", ()) != ():
        taken = take_snapshot(value, "an array in a cell")
        if len(taken.data) > ARRAY_MAX_ELEMENTS * int(taken.dtype[2:]):
            return f"<{taken}>", f"{taken} in a cell is only described"
        return _cut_json(value)
    if hasattr(value, "item") or hasattr(value, "__float__"):
        with contextlib.suppress(NotANumberError):
            return _keep_kind(value, to_number(value)), None
    return _cut(str(value))


def _keep_kind(value: Any, number: float) -> float | bool:
    """Return whole numbers and booleans of any library as such."""
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    return plain if isinstance(plain, (bool, int)) else number


def _cut(text: str) -> tuple[str, str | None]:
    if len(text) <= CELL_MAX_CHARS:
        return text, None
    return text[:CELL_MAX_CHARS], f"a cell of {len(text)} characters is cut to {CELL_MAX_CHARS}"


def _cut_json(value: Any) -> tuple[Cell, str | None]:
    text = json.dumps(value, default=make_plain, skipkeys=True)
    if len(text) > CELL_MAX_CHARS:
        return _cut(text)
    found: Cell = json.loads(text)
    return found, None
