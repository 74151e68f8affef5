"""A series as bytes: what a browser turns into typed arrays without copying.

::

    u32    length of the header, little-endian, padded so that what follows is aligned
    bytes  the header: JSON, see `encode_series`
    ...    the arrays, in the header's order, each padded to 8 bytes

An array is float32 where that cannot be seen, float64 where it could: steps above 2**24, or a
loss of 1e6 that moves by 1e-3. Of a chart of many runs, an x axis that several lines share is sent
once, and steps as their distances: see `Packed`.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpctrack_server.data.downsample import NumberArray
from hpctrack_server.data.frames import SeriesFrame
from hpctrack_server.data.series.frames import ChartFrame

ALIGNMENT = 8
"""A Float64Array must begin at a multiple of 8."""

WHOLE_MAX = 2**53
"""JavaScript has only float64: whole numbers above are rounded there."""

VISIBLE_FRACTION = 1e-4
"""Of the range of the values: a tenth of a pixel of a chart that is 1,000 pixels high."""


def pack_arrays(header: dict[str, Any], arrays: Sequence[tuple[dict[str, Any], Packed]]) -> bytes:
    """Return a header and arrays as bytes.

    Parameters
    ----------
    header : dict
        JSON; ``arrays`` is added to it.
    arrays : sequence of (dict, Packed)
        Each with what its entry says besides ``type`` and ``length``.
    """
    entries = [{**said, **one.describe()} for said, one in arrays]
    head = json.dumps({**header, "arrays": entries}, allow_nan=False).encode()
    head += b" " * (-(len(head) + 4) % ALIGNMENT)
    bodies = [_padded(one.values) for _said, one in arrays]
    return struct.pack("<I", len(head)) + head + b"".join(bodies)


@dataclass(frozen=True, slots=True)
class Packed:
    """An array as it is sent.

    Parameters
    ----------
    values : ndarray
        Of a type that a browser has, little-endian.
    more : dict
        How to undo what was done to it: ``same`` (the number of the array that it is like),
        ``start`` (added to all values), ``is_delta`` (each value is the distance to the next).
    """

    values: NumberArray
    more: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return what the header says of it."""
        return {"type": self.values.dtype.str[1:], "length": len(self.values), **self.more}


def pack_floats(values: NumberArray) -> Packed:
    """Return values as float32 if nobody can see the difference, else as float64."""
    return Packed(narrow(values))


def pack_places(values: NumberArray) -> Packed:
    """Return a place on an axis, in as few bytes as hold it.

    Whole numbers that never decrease become exact distances; others are float32, counted from the
    first where that is closer.
    """
    if len(values) < 2:  # noqa: PLR2004 - a distance needs two
        return Packed(values.astype("<f8"))
    if values.dtype.kind in "iu" and abs(int(values[0])) <= WHOLE_MAX:
        steps = np.diff(values, prepend=values[0])
        highest = int(steps.max())
        if steps.min() >= 0 and highest < 1 << 32 and abs(int(values[-1])) <= WHOLE_MAX:
            size = 1 if highest < 1 << 8 else 2 if highest < 1 << 16 else 4
            more = {"start": int(values[0]), "is_delta": True}
            return Packed(steps.astype(f"<u{size}"), more)
    wide = values.astype(np.float64)
    near = narrow(wide - wide[0])
    if near.itemsize == 4 and wide[0]:  # noqa: PLR2004 - float32
        return Packed(near, {"start": float(wide[0])})
    return Packed(narrow(wide))


class Places:
    """Arrays of one answer; of those that are equal only the first is sent."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def pack(self, values: NumberArray, number: int) -> Packed:
        """Return an array, the answer's ``number``-th, or that it is like an earlier one."""
        key = hashlib.blake2b(values.tobytes(), digest_size=16).digest() + values.dtype.str.encode()
        first = self._seen.setdefault(key, number)
        if first != number:
            return Packed(np.zeros(0, np.uint8), {"same": first})
        return pack_places(values)


def encode_chart(frame: ChartFrame) -> bytes:
    """Return the bytes of a chart.

    Returns
    -------
    bytes
        Header: see `ChartFrame.describe`; each entry of ``arrays`` has ``line``, the number of
        its line, and ``name``: ``x, y`` are points, ``sx, sy`` the smoothed line, ``gx, center,
        low, high`` a group.
    """
    arrays: list[tuple[dict[str, Any], Packed]] = []
    places = Places()
    for number, line in enumerate(frame.lines):
        for name, values in line.arrays.items():
            is_place = name in {"x", "sx", "gx"}
            packed = places.pack(values, len(arrays)) if is_place else pack_floats(values)
            arrays.append(({"line": number, "name": name}, packed))
    return pack_arrays(make_encodable(frame.describe()), arrays)


def make_encodable(value: Any) -> Any:
    """Return a value that JSON has a form for: numbers that are not finite become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: make_encodable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [make_encodable(item) for item in value]
    return value


def encode_series(frame: SeriesFrame) -> bytes:
    """Return the bytes of a series.

    Parameters
    ----------
    frame : SeriesFrame
        What a chart draws; values that are not finite become NaN, which is a gap.

    Returns
    -------
    bytes
        The header has ``metric, view, x, version, ranks, total, drawn`` and ``arrays``, a list
        of ``{"name", "rank", "type", "length"}``: ``x`` and ``y`` per line, or ``x, mean, low,
        high`` of a band.
    """
    arrays: list[tuple[str, int | None, NumberArray]] = []
    for line in frame.lines:
        arrays += [("x", line.rank, line.x), ("y", line.rank, line.y)]
    if frame.band is not None:
        band = frame.band
        parts = {"x": band.x, "mean": band.mean, "low": band.low, "high": band.high}
        arrays += [(name, None, values) for name, values in parts.items()]
    header = {
        "metric": frame.query.metric,
        "view": str(frame.query.view),
        "x": str(frame.query.x),
        "version": frame.version,
        "ranks": frame.ranks,
        "total": frame.total,
        "drawn": frame.drawn,
    }
    return pack_arrays(
        header, [({"name": name, "rank": rank}, pack_floats(one)) for name, rank, one in arrays]
    )


def narrow(values: NumberArray) -> NumberArray:
    """Return the values as float32 if nobody can see the difference, else as float64."""
    wide = values.astype("<f8")
    with np.errstate(over="ignore", invalid="ignore"):
        wide[~np.isfinite(wide)] = np.nan
        narrow = wide.astype("<f4")
        finite = wide[~np.isnan(wide)]
        if not len(finite):
            return narrow
        error = np.nanmax(np.abs(narrow.astype("<f8") - wide))
        spread = finite.max() - finite.min()
    return narrow if error <= spread * VISIBLE_FRACTION or error == 0 else wide


def _padded(values: NumberArray) -> bytes:
    data = values.tobytes()
    return data + b"\0" * (-len(data) % ALIGNMENT)
