"""From an array to a point cloud that a browser can draw without parsing numbers.

::

    8 bytes   "HPCPTS" 0x00 0x01
    u32       size of the header, a multiple of 8 less 4 so that the columns are aligned
    header    JSON, padded with spaces: {"points", "bounds": [[x, y, z], [x, y, z]],
              "columns": [{"name", "dtype", "components", "offset"}]}
    columns   little-endian, each at its offset from the beginning of the file

Columns are ``position`` (float32 x 3), and ``color`` (uint8 x 3) or ``category`` (uint8 x 1).
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.agents.encode.request import Array, Request
from hpctrack.client.media.shapes import POINT_WIDTHS
from hpctrack.errors import ProtocolError

MAGIC = b"HPCPTS\x00\x01"

_ALIGNMENT = 8
_BYTE_MAX = 255


def encode_points(request: Request) -> tuple[bytes, str, dict[str, Any]]:
    """Make a point cloud; return its bytes, its format, and what to add to ``meta``."""
    array = request.array()
    if array.ndim != 2 or array.shape[1] not in POINT_WIDTHS or not len(array):  # noqa: PLR2004 - points by columns
        raise ProtocolError(f"a point cloud has the shape {array.shape}")
    is_finite = np.isfinite(array[:, :3]).all(axis=1)
    missing = len(array) - int(is_finite.sum())
    if missing == len(array):
        raise ProtocolError("a point cloud has no point whose coordinates are all finite")
    kept = array[is_finite] if missing else array
    with np.errstate(over="ignore"):
        columns = {"position": kept[:, :3].astype("<f4")}
    if array.shape[1] == 4:  # noqa: PLR2004 - x y z category
        columns["category"] = _to_bytes(kept[:, 3:])
    elif array.shape[1] == 6:  # noqa: PLR2004 - x y z r g b
        columns["color"] = _to_colour(kept[:, 3:])
    extra: dict[str, Any] = {"points": len(kept), "columns": list(columns)}
    if missing:
        extra["not_finite"] = missing
    return _pack(columns), "points", extra


def _pack(columns: dict[str, Array]) -> bytes:
    position = columns["position"]
    bounds = [[0.0] * 3, [0.0] * 3]
    if len(position):
        limit = np.finfo(np.float32).max
        ends = np.clip([position.min(axis=0), position.max(axis=0)], -limit, limit)
        bounds = ends.astype(float).tolist()
    start, entries = 0, []
    for name, column in columns.items():
        entries.append((name, column, start))
        start += -(-column.nbytes // _ALIGNMENT) * _ALIGNMENT
    size = 0
    head = b""
    while len(head) != size or not size:
        # The offsets are part of the header whose size they depend on; two rounds do.
        size = len(head)
        base = len(MAGIC) + 4 + size
        head = json.dumps(
            {
                "points": len(position),
                "bounds": bounds,
                "columns": [
                    {
                        "name": name,
                        "dtype": column.dtype.str,
                        "components": column.shape[1],
                        "offset": base + offset,
                    }
                    for name, column, offset in entries
                ],
            }
        ).encode()
        head += b" " * (-(len(MAGIC) + 4 + len(head)) % _ALIGNMENT)
    body = [column.tobytes().ljust(-(-column.nbytes // 8) * 8, b"\0") for _n, column, _o in entries]
    return b"".join([MAGIC, struct.pack("<I", len(head)), head, *body])


def _to_colour(values: Array) -> NDArray[np.uint8]:
    """Return colours between 0 and 255; floats up to 1 are taken for shares."""
    is_share = values.dtype.kind == "f" and len(values) and np.nanmax(values) <= 1
    return _to_bytes(values.astype(np.float64) * _BYTE_MAX if is_share else values)


def _to_bytes(values: Array) -> NDArray[np.uint8]:
    kept = np.nan_to_num(values.astype(np.float64), nan=0.0)
    return np.rint(np.clip(kept, 0, _BYTE_MAX)).astype(np.uint8)
