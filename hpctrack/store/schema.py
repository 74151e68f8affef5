"""The format of live and sealed files, in one place. `docs/reference/format.md` is its prose."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT_VERSION = 1
"""Readers open every version up to theirs and refuse newer ones."""

LIVE_KIND = "hpctrack-live"
SEALED_KIND = "hpctrack-sealed"

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

PULSE = "pulse"
"""Two float64: wall time of the last sign of life, and of the agent's farewell or 0."""


class Place(IntEnum):
    """The table that an event's bytes are in."""

    HEAP = 0
    """Short descriptions; readers load all of them."""
    TEXT = 1
    """What is long and compresses well: console, tables, markup. Read piece by piece."""
    BLOBS = 2
    """What is long and compressed already: PNG, audio, video. Read piece by piece."""


PLACE_TABLES = {Place.HEAP: "heap", Place.TEXT: "text", Place.BLOBS: "blobs"}


class EventKind(IntEnum):
    """What an event's bytes are. JSON objects in the heap, but for `NAME` and the console's."""

    NAME = 1
    """u32 number of the metric in this file, then its UTF-8 name."""
    START = 2
    """A rank's session begins: what it said of itself, see "Bodies of events"."""
    END = 3
    """A session ends by itself: ``{"exit_code"}``."""
    LOST = 4
    """A session ended without a word, ``{}``: the process is gone."""
    CONFIG = 5
    """The whole configuration; the latest of the lowest rank counts."""
    SUMMARY = 6
    """Values to set; null removes one."""
    META = 7
    """``{"name", "tags", "notes", "preempting", "fork"}``, one or some of them."""
    NOTE = 8
    """``{"level", "code", "text"}``: something worth telling."""
    LEDGER = 9
    """What a session had to drop so far, as totals by key, see "Bodies of events"."""
    MEDIA = 10
    """Something logged that is no number: ``{"key", "step", "type", "format", "digest", "size",
    "meta"}``; its bytes are a payload with that digest."""
    PAYLOAD = 11
    """Where the bytes with a digest are: ``{"digest", "place", "offset", "size"}``."""
    STDOUT = 12
    """A piece of what a rank wrote to its standard output, in `Place.TEXT`, as it was written."""
    STDERR = 13
    """The same of its standard error."""
    DEFINE = 14
    """How a metric is to be read: ``{"name", "step_metric", "summary", "goal", "hidden"}``."""
    SENSOR = 15
    """What a number in `SAMPLE` stands for: ``{"number", "name"}``."""
    DEVICE = 16
    """Something on the node that samples are of: ``{"number", "kind", "key", "name", "parent",
    "facts"}``, and ``ranks``, those that may use it, where only some do. The latest counts."""
    PROVENANCE = 17
    """What the run was made of, as one node saw it: a JSON object in `Place.TEXT`. Those with one
    ``collected_wall_s`` belong together, a later one replaces the keys that it has."""


ROOT_ATTRIBUTES = {
    "kind": f"`{LIVE_KIND}`",
    "format": "integer: the version of the format",
    "run": "text: its id",
    "project": "text",
    "node": "integer: the number of the node within the attempt, from 0",
    "attempt": "integer, from 1; 0 for what a fork took over",
    "host": "text",
    "created_wall_s": "float: UTC seconds; orders the files of a node and attempt",
    "uuid": "text: of this file and no other",
    "made_by": "text: program and version",
}
"""Attributes of the root of a live file, and what they are."""

PointArray = NDArray[np.void]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
RankArray = NDArray[np.uint32]
