"""The format of live and sealed files, in one place. `docs/reference/format.md` is its prose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.vocabulary import (
    FORMAT_VERSION,
    LIVE_KIND,
    PLACE_TABLES,
    PULSE,
    ROOT_ATTRIBUTES,
    SEALED_KIND,
    EventKind,
    Place,
)

__all__ = [
    "EVENT",
    "FORMAT_VERSION",
    "LIBVER",
    "LIVE_KIND",
    "PLACE_TABLES",
    "POINT",
    "PULSE",
    "ROOT_ATTRIBUTES",
    "SAMPLE",
    "SEALED_KIND",
    "TABLES",
    "EventKind",
    "FloatArray",
    "IntArray",
    "Place",
    "PointArray",
    "RankArray",
]

LIBVER = ("v110", "v110")
"""Files made with ``latest`` by HDF5 2.0 cannot be opened by the HDF5 1.10 that clusters have."""

POINT = np.dtype(
    [("step", "<i8"), ("wall_s", "<f8"), ("value", "<f8"), ("metric", "<u4"), ("rank", "<u4")]
)
"""One number of one metric of one rank; ``metric`` is the file's own number for it."""

SAMPLE = np.dtype(
    [("wall_s", "<f8"), ("value", "<f8"), ("metric", "<u4"), ("device", "<i4"), ("rank", "<i4")]
)
"""One system sample; device and rank are -1 where the sample is the node's."""

EVENT = np.dtype(
    [
        ("wall_s", "<f8"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("kind", "<u2"),
        ("flags", "<u2"),
        ("rank", "<i4"),
        ("session", "<u4"),
        ("node", "<u4"),
    ]
)
"""Anything that is no number: ``size`` bytes at ``offset`` say what, in the table that ``flags``
names (`Place`). Rank -1: the agent. ``node`` is 0 in a live file and counts the sources of a sealed
one."""

TABLES: dict[str, tuple[np.dtype[Any], int]] = {
    "blobs": (np.dtype("u1"), 1048576),
    "text": (np.dtype("u1"), 262144),
    "heap": (np.dtype("u1"), 65536),
    "events": (EVENT, 512),
    "points": (POINT, 4096),
    "samples": (SAMPLE, 1024),
}
"""The tables of a live file: type and rows per chunk. In this order they are flushed, so that a
reader that sees an event also sees its bytes, and one that sees a point also sees its name."""


PointArray = NDArray[np.void]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
RankArray = NDArray[np.uint32]
