"""Tables."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from hpctrack.client.media.cells import Cell, is_plain, make_cell
from hpctrack.client.media.recognition import is_dataframe
from hpctrack.client.media.value import Media, Piece, check_size, read_choice
from hpctrack.errors import MissingPackageError, UsageError, is_of_a_signal

ROWS_MAX = 200_000
"""More rows than anybody looks at; they belong into an artifact."""

COLUMNS_MAX = 1000

MEDIA_CELLS_MAX = 10_000

_MODES = frozenset({"immutable", "mutable", "incremental"})
_MEANINGLESS = frozenset({"dtype", "optional", "allow_mixed_types"})
_SIZE_HINT = "log fewer rows, use log_mode='INCREMENTAL', or log the file as an artifact"

_AGAIN = (
    "a table that was logged before is recorded whole again; "
    "log_mode='INCREMENTAL' sends only new rows, 'MUTABLE' means this"
)


class Table(Media):
    """Rows and columns to log. Per-rank.

    Cells hold numbers, text, booleans, None, media (`Image`, `Audio`, ...), and small lists,
    mappings and arrays. They are copied when they are added.

    Parameters
    ----------
    columns : sequence of str, optional
        Names. Default: those of the dataframe, else ``0``, ``1``, ... as many as the data have,
        else W&B's ``Input``, ``Output``, ``Expected``.
    data : sequence of rows, 2-D array or dataframe, optional
    rows : sequence of rows, optional
        The same as ``data``.
    dataframe : pandas, polars or pyarrow table, optional
    log_mode : {"IMMUTABLE", "MUTABLE", "INCREMENTAL"}
        What a second log of the same object means. INCREMENTAL: only the rows that are new since
        the last are sent, and readers join them. The others are recorded whole each time; an
        IMMUTABLE table that has changed is recorded too, with a warning.
    **others
        W&B's ``dtype``, ``optional`` and ``allow_mixed_types`` mean nothing here: any column takes
        anything. Other names are told, and left out.

    Notes
    -----
    At most 200,000 rows, 1,000 columns and 64 MiB in one log. Safe from several threads. Never
    raises: what is wrong is told by ``run.log``; a row that does not fit is left out and told.

    Examples
    --------
    >>> import hpctrack
    >>> table = hpctrack.Table(columns=["name", "loss"])
    >>> table.add_data("a", 0.5)
    >>> table
    <hpctrack.Table: 1 rows, 2 columns>
    """

    kind: ClassVar[str] = "table"

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        data: object = None,
        rows: object = None,
        dataframe: object = None,
        *,
        log_mode: str = "IMMUTABLE",
        **others: object,
    ) -> None:
        self.columns: list[str] = []
        self._rows: list[list[Cell]] = []
        self._warnings: dict[str, int] = {}
        self._lock = threading.RLock()
        self._sent_rows: dict[str, int] = {}
        self._logged_state: tuple[int, int] | None = None
        self._edits = 0
        self._mode = "immutable"

        def fill() -> Piece:
            self._mode = read_choice(log_mode, "log_mode", _MODES)
            self._fill(columns, next((v for v in (dataframe, data, rows) if v is not None), None))
            return Piece({"type": "table", "encode": "table", "format": "json"})

        self._keep(fill)
        for name in sorted(others.keys() - _MEANINGLESS):
            self._warn(f"a table knows no {name}; it is left out")

    @property
    def data(self) -> list[list[Any]]:
        """The rows; cells with media are their snapshots."""
        return [list(row) for row in self._rows]

    def add_data(self, *cells: object) -> None:
        """Add a row, one value per column. Per-rank."""
        self._add_row(cells)

    def add_row(self, *cells: object) -> None:
        """Add a row; the same as `add_data`. Per-rank."""
        self._add_row(cells)

    def add_column(self, name: str, data: object) -> None:
        """Add a column with one value per row; in an empty table it makes the rows. Per-rank."""
        with self._lock:
            try:
                self._add_column(str(name), _values_of(data))
            except UsageError as error:
                self._warn(f"column {str(name)[:60]!r} is left out: {error.message}")
            except Exception as error:  # a user's object may raise anything
                if is_of_a_signal(error):
                    raise
                self._warn(f"column {str(name)[:60]!r} is left out: {error}")

    def get_column(self, name: str, convert_to: str | None = None) -> Any:
        """Return a column's values. Per-rank.

        Parameters
        ----------
        name : str
        convert_to : {"numpy"}, optional
            Return an array, not a list.

        Raises
        ------
        UsageError
            There is no such column, or nothing else to convert it to.
        """
        if convert_to not in {None, "numpy"}:
            raise UsageError(f"convert_to is {convert_to!r:.40}", hint="use numpy, or leave it out")
        if name not in self.columns:
            raise UsageError(
                f"the table has no column {name!r}", hint=f"it has {', '.join(self.columns)}"
            )
        at = self.columns.index(name)
        values = [row[at] for row in self._rows]
        return _load("numpy").array(values) if convert_to else values

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Iterate over the rows with their numbers, as W&B's method of this name. Per-rank."""
        yield from enumerate(self.data)

    def get_dataframe(self) -> Any:
        """Return a pandas DataFrame. Per-rank.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        return _load("pandas").DataFrame(self.data, columns=self.columns)

    def piece(self, owner: str = "") -> Piece:
        """Return what is to be sent now; see `Media.piece`.

        Parameters
        ----------
        owner : str
            Run and key: an incremental table remembers what it has sent to whom.
        """
        if self._problem is not None:
            raise self._problem
        with self._lock:
            return self._piece_of_rows(owner)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __repr__(self) -> str:
        """Say how large it is."""
        if self._problem:
            return f"<hpctrack.Table: {self._problem.message}>"
        return f"<hpctrack.Table: {len(self._rows)} rows, {len(self.columns)} columns>"

    # -- filling ---------------------------------------------------------------------------------

    def _fill(self, columns: Sequence[str] | None, data: Any) -> None:
        names, rows = _rows_of(data)
        if columns is not None:
            names = [str(one) for one in columns]
        elif names is None:
            width = len(rows[0]) if rows else 0
            names = [str(n) for n in range(width)] if rows else ["Input", "Output", "Expected"]
        _check_columns(names)
        self.columns = names
        if len(rows) > ROWS_MAX:
            raise UsageError(
                f"a table has {len(rows):,} rows, at most {ROWS_MAX:,}", hint=_SIZE_HINT
            )
        if is_plain(rows, len(names)):
            self._rows = [list(row) for row in rows]
            return
        for row in rows:
            self._add_row(row)

    def _add_row(self, cells: Sequence[object]) -> None:
        with self._lock:
            width = len(self.columns)
            if len(cells) != width:
                self._warn(f"a row of {len(cells)} cells does not fit {width} columns")
            elif len(self._rows) >= ROWS_MAX:
                self._warn(f"a table takes at most {ROWS_MAX:,} rows")
            else:
                try:
                    self._rows.append([self._take(cell) for cell in cells])
                except Exception as error:  # a user's object may raise anything
                    if is_of_a_signal(error):
                        raise
                    text = error.message if isinstance(error, UsageError) else str(error)
                    self._warn(f"a row is left out: {text}")

    def _add_column(self, name: str, values: Sequence[object]) -> None:
        _check_columns([*self.columns, name])
        if not self._rows and (not self.columns or values):
            if self.columns and values:
                raise UsageError("the other columns have no rows")
            self._rows = [[] for _value in values]
        if len(values) != len(self._rows):
            raise UsageError(f"it has {len(values)} values, the table {len(self._rows)} rows")
        cells = [self._take(value) for value in values]
        for row, cell in zip(self._rows, cells, strict=True):
            row.append(cell)
        self.columns.append(name)
        self._edits += 1

    def _take(self, value: object) -> Cell:
        cell, warning = make_cell(value)
        if warning:
            self._warn(warning)
        return cell

    def _warn(self, text: str) -> None:
        self._warnings[text] = self._warnings.get(text, 0) + 1

    # -- sending ---------------------------------------------------------------------------------

    def _piece_of_rows(self, owner: str) -> Piece:
        first = self._start(owner)
        rows = self._rows[first:]
        media: list[tuple[int, int, Piece]] = []
        plain: list[Sequence[Any]] = []
        for at, row in enumerate(rows):
            found = [(at, n, cell) for n, cell in enumerate(row) if isinstance(cell, Piece)]
            media += found
            plain.append([None if isinstance(c, Piece) else c for c in row] if found else row)
        if len(media) > MEDIA_CELLS_MAX:
            raise UsageError(
                f"a table has {len(media):,} cells with media, at most {MEDIA_CELLS_MAX:,}",
                hint="use log_mode='INCREMENTAL'",
            )
        cells = [
            [row, column, {**one.facts, "parts": [len(part) for part in one.parts]}]
            for row, column, one in media
        ]
        head = {"columns": self.columns, "rows": plain, "cells": cells}
        body = json.dumps(head, separators=(",", ":")).encode()
        size = len(body) + sum(one.size_bytes for _row, _column, one in media)
        check_size(size, "a table", _SIZE_HINT)
        meta: dict[str, Any] = {"rows": len(rows), "columns": len(self.columns)}
        if self._mode == "incremental":
            meta["first_row"] = first
        warnings = tuple(f"{text} ({n} times)" for text, n in self._warnings.items())
        warnings += self._note_state()
        self._warnings.clear()
        self._sent_rows[owner] = len(self._rows)
        facts = {"type": "table", "encode": "table", "format": "json", "meta": meta}
        parts = (body, *(part for _row, _column, one in media for part in one.parts))
        return Piece(facts, parts, warnings)

    def _start(self, owner: str) -> int:
        """Return the first row to send; a new column makes all rows new."""
        if self._mode != "incremental" or (self._logged_state or (0, 0))[1] != self._edits:
            return 0
        return self._sent_rows.get(owner, 0)

    def _note_state(self) -> tuple[str, ...]:
        state, before = (len(self._rows), self._edits), self._logged_state
        self._logged_state = state
        if self._mode == "immutable" and before is not None and before != state:
            return (_AGAIN,)
        return ()


def _load(package: str) -> Any:
    """Import what the program asks for by its call; nothing else here needs it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise MissingPackageError(package, extra="all") from None


def _check_columns(names: Sequence[str]) -> None:
    if len(names) > COLUMNS_MAX:
        raise UsageError(f"a table has {len(names):,} columns, at most {COLUMNS_MAX:,}")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"a table has two columns {twice[:60]!r}")


def _rows_of(data: Any) -> tuple[list[str] | None, list[Sequence[Any]]]:
    """Return names, if the data have some, and rows."""
    if data is None:
        return None, []
    if is_dataframe(data):
        return _rows_of_frame(data)
    if hasattr(data, "tolist"):
        data = data.tolist()
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise UsageError(
            f"a table cannot be made of a value of type {type(data).__name__}",
            hint="give a list of rows, a 2-D array or a dataframe",
        )
    rows = list(data)
    for row in rows:
        if not isinstance(row, (list, tuple)):
            raise UsageError(f"a table's row is a {type(row).__name__}, not a list")
    return None, rows


def _rows_of_frame(frame: Any) -> tuple[list[str], list[Sequence[Any]]]:
    """Return names and rows of a dataframe, column by column: that is quick in all three."""
    count = len(frame)
    if count > ROWS_MAX:
        raise UsageError(f"a dataframe has {count:,} rows, at most {ROWS_MAX:,}", hint=_SIZE_HINT)
    names = getattr(frame, "column_names", None) or frame.columns
    if hasattr(frame, "iloc"):
        parts = [frame.iloc[:, n] for n in range(len(names))]
    else:
        parts = frame.itercolumns() if hasattr(frame, "itercolumns") else frame.iter_columns()
    columns = [_values_of(one) for one in parts]
    rows: list[Sequence[Any]] = list(zip(*columns, strict=True)) if columns else []
    return [str(one) for one in names], rows


def _values_of(data: Any) -> Sequence[Any]:
    for name in ("to_pylist", "to_list", "tolist"):
        method = getattr(data, name, None)
        if callable(method):
            return list(method())
    return list(data)
