"""A logged table as a page shows it: sorted, filtered, a part at a time. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hpctrack.store.media_decode import StoredTable
from hpctrack.store.media_item import MediaItem
from hpctrack_server.data.entries import make_plain_text
from hpctrack_server.data.media.catalogue import describe_item

ROWS_MAX = 200
CELL_MAX_CHARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePart:
    """What is asked of a table.

    Parameters
    ----------
    sort : int or None
        Number of the column.
    is_descending : bool
    word : str
        Only rows in which a cell has it, in either case.
    start, count : int
    """

    sort: int | None = None
    is_descending: bool = False
    word: str = ""
    start: int = 0
    count: int = 50


def show_table(table: StoredTable, part: TablePart) -> dict[str, Any]:
    """Return a part of a table, for JSON.

    Returns
    -------
    dict
        ``columns, types, rows, matches, total, missing``. A cell with media is an object with
        ``media``.
    """
    rows = [row for row in table.rows if _has_word(row, part.word.casefold())]
    if part.sort is not None and part.sort < len(table.columns):
        rows = sort_rows(rows, part.sort, is_descending=part.is_descending)
    shown = rows[part.start : part.start + min(part.count, ROWS_MAX)]
    return {
        "columns": [make_plain_text(str(one)) for one in table.columns],
        "types": table.types,
        "rows": [[show_cell(cell) for cell in row] for row in shown],
        "matches": len(rows),
        "total": len(table.rows),
        "missing": table.missing_rows,
    }


def sort_rows(rows: Sequence[list[Any]], column: int, *, is_descending: bool) -> list[list[Any]]:
    """Sort by a column: numbers, then texts, and what has no value last either way."""
    there = [row for row in rows if _order(row[column]) is not None]
    absent = [row for row in rows if _order(row[column]) is None]
    there.sort(key=lambda row: _order(row[column]) or (0, 0.0, ""), reverse=is_descending)
    return there + absent


def _order(cell: Any) -> tuple[int, float, str] | None:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, (bool, int, float)):
        return (0, float(cell), "")
    return (1, 0.0, str(cell).casefold()) if isinstance(cell, str) else (2, 0.0, "")


def _has_word(row: Sequence[Any], word: str) -> bool:
    return not word or any(word in str(one).casefold() for one in row if not _is_media(one))


def _is_media(cell: Any) -> bool:
    return isinstance(cell, MediaItem)


def show_cell(cell: Any) -> Any:
    """Return a cell as JSON has it, shortened."""
    if isinstance(cell, MediaItem):
        return {"media": describe_item(cell)}
    if isinstance(cell, str):
        text = make_plain_text(cell)
        return text if len(text) <= CELL_MAX_CHARS else f"{text[:CELL_MAX_CHARS]}…"
    if isinstance(cell, (dict, list)):
        return {"json": make_plain_text(repr(cell))[:CELL_MAX_CHARS]}
    return cell


def iter_cells(table: StoredTable) -> Iterator[list[Any]]:
    """Yield the lines of a table for a file, the names first; media are named by their digest."""
    yield [make_plain_text(str(one)) for one in table.columns]
    for row in table.rows:
        yield [_as_plain(one) for one in row]


def _as_plain(cell: Any) -> Any:
    if isinstance(cell, MediaItem):
        return f"{cell.type}:{cell.digest}"
    if cell is None or isinstance(cell, (bool, int, float)):
        return cell
    return make_plain_text(cell if isinstance(cell, str) else repr(cell))
