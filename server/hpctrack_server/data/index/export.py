"""A table of runs in a format that other programs read. Pure."""

from __future__ import annotations

import io
import json
import math
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hpctrack_server.data.index.parts import TEXT, Parts, decode
from hpctrack_server.data.index.segment import Segment
from hpctrack_server.data.index.snapshot import TIMES
from hpctrack_server.language.csv_text import write_csv

MOMENT = pa.timestamp("ms", tz="UTC")


class Format(StrEnum):
    """In which form a table leaves."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSON: "application/json",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}


def write_table(segment: Segment, kind: Format) -> bytes:
    """Return the runs of a table, one per row, columns named by their keys.

    Notes
    -----
    A column whose values are of several kinds is text in CSV, Parquet and Arrow; JSON has each
    value as it is, and null for what is not finite. Times are moments, in UTC.
    """
    if kind == Format.JSON:
        return _write_json(segment)
    table = make_table(segment)
    if kind == Format.CSV:
        return _write_csv(table)
    sink = io.BytesIO()
    if kind == Format.PARQUET:
        pq.write_table(table, sink, compression="zstd")
    else:
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    return sink.getvalue()


def make_table(segment: Segment) -> Any:
    """Return an Arrow table with one array per column."""
    columns = segment.columns.items()
    return pa.table({key: _join_kinds(key, parts, segment.length) for key, parts in columns})


def _join_kinds(key: str, parts: Parts, length: int) -> Any:
    arrays = parts.arrays()
    if not arrays:
        return pa.nulls(length, TEXT)
    if key in TIMES and parts.numbers is not None:
        scaled = pc.multiply(parts.numbers.cast(pa.float64()), 1000.0)
        return pc.round(scaled).cast(pa.int64(), safe=False).cast(MOMENT)
    if len(arrays) == 1:
        return decode(arrays[0])
    texts: list[str | None] = [None] * length
    for array in arrays:
        for place, value in enumerate(decode(array).to_pylist()):
            if value is not None:
                texts[place] = value if isinstance(value, str) else json.dumps(value)
    return pa.array(texts, TEXT)


def _write_csv(table: Any) -> bytes:
    columns = [[_show(value) for value in column.to_pylist()] for column in table.columns]
    return write_csv([table.column_names, *zip(*columns, strict=True)]).encode()


def _show(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def _write_json(segment: Segment) -> bytes:
    found = segment.to_lists(list(segment.columns))
    columns = {key: [_make_finite(one) for one in values] for key, values in found.items()}
    told = [
        {key: value for key, value in zip(columns, values, strict=True) if value is not None}
        for values in zip(*columns.values(), strict=True)
    ]
    return json.dumps({"runs": told}, allow_nan=False, ensure_ascii=False).encode()


def _make_finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
