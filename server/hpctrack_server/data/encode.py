"""A series as bytes: what a browser turns into typed arrays without copying.

::

    u32    length of the header, little-endian, padded so that what follows is aligned
    bytes  the header: JSON, see `encode_series`
    ...    the arrays, in the header's order, each padded to 8 bytes

An array is float32 where that cannot be seen, float64 where it could: steps above 2**24, or a
loss of 1e6 that moves by 1e-3.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from hpctrack_server.data.downsample import NumberArray
from hpctrack_server.data.frames import SeriesFrame

ALIGNMENT = 8
"""A Float64Array must begin at a multiple of 8."""

VISIBLE_FRACTION = 1e-4
"""Of the range of the values: a tenth of a pixel of a chart that is 1,000 pixels high."""


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
    packed = [(name, rank, _narrow(values)) for name, rank, values in arrays]
    header = {
        "metric": frame.query.metric,
        "view": str(frame.query.view),
        "x": str(frame.query.x),
        "version": frame.version,
        "ranks": frame.ranks,
        "total": frame.total,
        "drawn": frame.drawn,
        "arrays": [_entry(name, rank, values) for name, rank, values in packed],
    }
    head = json.dumps(header, allow_nan=False).encode()
    head += b" " * (-(len(head) + 4) % ALIGNMENT)
    return struct.pack("<I", len(head)) + head + b"".join(_padded(one) for *_, one in packed)


def _entry(name: str, rank: int | None, values: NumberArray) -> dict[str, Any]:
    return {"name": name, "rank": rank, "type": values.dtype.str[1:], "length": len(values)}


def _narrow(values: NumberArray) -> NumberArray:
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
