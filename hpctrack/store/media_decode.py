"""From the stored forms of media back to arrays and rows. Pure; numpy and zlib only."""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import MissingPackageError, StoreFormatError, UsageError

Array = NDArray[Any]

PIXELS_MAX = 2**28
"""A picture of a few bytes may claim to be larger than the memory."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_ODD = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table that was logged.

    Parameters
    ----------
    columns : list of str
    types : list of str
        ``number``, ``text``, ``boolean``, ``media``, ``json``, ``mixed`` or ``empty``.
    rows : list of list
        Cells with media are `MediaItem`.
    missing_rows : int
        Rows of an incremental table that did not arrive.
    """

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    missing_rows: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def column(self, name: str) -> list[Any]:
        """Return one column's values.

        Raises
        ------
        UsageError
            There is no such column.
        """
        if name not in self.columns:
            raise UsageError(f"no column {name!r}", hint=f"there are {', '.join(self.columns)}")
        at = self.columns.index(name)
        return [row[at] for row in self.rows]

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - loaded only for those who ask
        except ImportError:
            raise MissingPackageError("pandas", extra="all") from None
        return pd.DataFrame(self.rows, columns=self.columns)


def decode_table(body: bytes) -> StoredTable:
    """Return a table's rows; cells with media stay the objects that describe them.

    Raises
    ------
    StoreFormatError
        It is no table.
    """
    try:
        told = json.loads(body)
        columns, types, rows = told["columns"], told["types"], told["data"]
        width = len(columns)
        is_whole = len(types) == width and all(len(row) == width for row in rows)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreFormatError(f"this is no table: {error}") from None
    if not is_whole:
        raise StoreFormatError("a table's rows do not have a cell per column")
    for at, kind in enumerate(types):
        if kind == "number":
            for row in rows:
                row[at] = _ODD.get(row[at], row[at]) if isinstance(row[at], str) else row[at]
        elif kind in {"mixed", "json"}:
            for row in rows:
                row[at] = _with_numbers(row[at])
    return StoredTable(columns, types, rows)


def _with_numbers(cell: Any) -> Any:
    """Return a cell with NaN and infinities, for which JSON has no form."""
    if isinstance(cell, list):
        return [_with_numbers(one) for one in cell]
    if not isinstance(cell, dict):
        return cell
    word = cell.get("_number")
    if len(cell) == 1 and isinstance(word, str) and word in _ODD:
        return _ODD[word]
    return {key: _with_numbers(one) for key, one in cell.items()}


def decode_histogram(body: bytes) -> tuple[Array, Array]:
    """Return counts, shape (n,), and edges, shape (n + 1,).

    Raises
    ------
    StoreFormatError
        It is no histogram.
    """
    try:
        told = json.loads(body)
        counts, edges = np.array(told["counts"], float), np.array(told["edges"], float)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreFormatError(f"this is no histogram: {error}") from None
    if counts.ndim != 1 or edges.shape != (len(counts) + 1,):
        raise StoreFormatError(f"a histogram has {counts.shape} counts and {edges.shape} edges")
    whole = counts.astype(np.int64)
    return (whole if (whole == counts).all() else counts), edges


def decode_points(body: bytes) -> Array:
    """Return a point cloud, shape (n, 3), (n, 4) with a category or (n, 6) with colours.

    Raises
    ------
    StoreFormatError
        It is no point cloud.
    """
    try:
        (size,) = struct.unpack_from("<I", body, 8)
        head = json.loads(body[12 : 12 + size])
        count = int(head["points"])
        columns = [
            np.frombuffer(
                body, np.dtype(one["dtype"]), count * int(one["components"]), int(one["offset"])
            ).reshape(count, -1)
            for one in head["columns"]
        ]
        return np.concatenate(columns, axis=1).astype(np.float32)
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise StoreFormatError(f"this is no point cloud: {error}") from None


def decode_image(body: bytes, form: str) -> Array:
    """Return a picture, shape (h, w) if it is gray, else (h, w, c).

    Raises
    ------
    UsageError
        The format needs Pillow, and that is not installed.
    StoreFormatError
        The picture is broken or too large.
    """
    if form == "png":
        found = decode_png(body)
        if found is not None:
            return found
    try:
        from PIL import Image as Pillow  # noqa: PLC0415 - never required

        with Pillow.open(io.BytesIO(body)) as picture:
            plain = picture if picture.mode in _PLAIN_MODES else picture.convert("RGBA")
            return np.asarray(plain)
    except ImportError:
        raise UsageError(
            f"a picture in the format {form} cannot be decoded here",
            hint="install pillow, or save() the file and open it with another program",
        ) from None
    except Exception as error:  # noqa: BLE001 - Pillow raises many kinds
        raise StoreFormatError(f"a picture cannot be decoded: {error}") from None


_PLAIN_MODES = {"L", "LA", "RGB", "RGBA", "I;16"}


def decode_png(body: bytes) -> Array | None:
    """Return a PNG's pixels, or None if it is of a kind that the agent does not write.

    Raises
    ------
    StoreFormatError
        It is broken.
    """
    try:
        head, data, is_keyed = _read_chunks(body)
        width, height, depth, colour, _method, _filters, interlaced = struct.unpack(
            ">IIBBBBB", head
        )
        if depth not in {8, 16} or colour not in _CHANNELS or interlaced or is_keyed:
            return None
        if width * height > PIXELS_MAX:
            raise StoreFormatError(f"a picture claims to be {width} x {height}")
        channels, item = _CHANNELS[colour], depth // 8
        line = width * channels * item
        raw = zlib.decompressobj().decompress(data, height * (line + 1))
        rows = np.frombuffer(raw, np.uint8).reshape(height, line + 1)
    except (struct.error, zlib.error, ValueError) as error:
        if isinstance(error, StoreFormatError):
            raise
        raise StoreFormatError(f"a picture is broken: {error}") from None
    if rows[:, 0].max(initial=0) > 2:  # noqa: PLR2004 - filters that only other programs use
        return None
    pixels = _unfilter(rows, channels * item)
    whole = pixels.view(">u2").astype(np.uint16) if item == 2 else pixels  # noqa: PLR2004 - 16 bits
    return whole.reshape((height, width) if channels == 1 else (height, width, channels))


def _read_chunks(body: bytes) -> tuple[bytes, bytes, bool]:
    """Return the header, the compressed rows, and whether some colours are transparent."""
    if body[:8] != _SIGNATURE:
        raise StoreFormatError("a picture does not begin like a PNG file")
    at, head, data, has_more = 8, b"", [], False
    while at + 12 <= len(body):
        (size,) = struct.unpack_from(">I", body, at)
        kind, content = body[at + 4 : at + 8], body[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            head = content
        elif kind == b"IDAT":
            data.append(content)
        has_more |= kind == b"tRNS"
        at += 12 + size
    return head, b"".join(data), has_more


def _unfilter(rows: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    kinds, out = rows[:, 0], np.array(rows[:, 1:])
    sub = np.flatnonzero(kinds == 1)
    if len(sub):
        # Sums modulo 256, channel by channel.
        lines = out[sub].reshape(len(sub), -1, step)
        out[sub] = np.add.accumulate(lines, axis=1, dtype=np.uint8).reshape(len(sub), -1)
    for row in np.flatnonzero(kinds == 2):  # noqa: PLR2004 - Up
        if row:
            out[row] += out[row - 1]
    return out
