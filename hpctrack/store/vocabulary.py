"""The words of the format: what can be said without numpy, for readers that must stay small."""

from __future__ import annotations

from enum import IntEnum

FORMAT_VERSION = 1
"""Readers open every version up to theirs and refuse newer ones."""

LIVE_KIND = "hpctrack-live"
SEALED_KIND = "hpctrack-sealed"

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


TABLE_ROW_BYTES = {"blobs": 1, "text": 1, "heap": 1, "events": 40, "points": 32, "samples": 28}
"""The tables of a live file in the order in which they are flushed, and how long their rows are."""

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
