"""What a sealed file is made of, in one place for its writer and its reader.

::

    /            attributes kind, format, run, project, made_by, sealed_wall_s
    /record      JSON: the run as `record.assemble` saw it, with the final summary
    /nodes       JSON: facts and last sign of life of each node file that went in
    /index       JSON: name, group, points, layout and ranks of each metric
    /events      as in a live file; ``node`` counts the entries of /nodes
    /heap, /text, /blobs
    /metrics/0   one group per metric: see `Layout`
    /system/1    one group per sensor, likewise; its ranks are streams, named in /index
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np

from hpctrack.store.schema import SEALED_KIND

METRICS_GROUP = "metrics"
SYSTEM_GROUP = "system"

BY_STEP_GROUP = "by_step"
"""Of a metric with many late points: its points by step, and their levels."""

BEYOND = np.iinfo(np.int64).max
"""There, the step of points that do not count; they are at the end, and are NaN."""

CHUNK_ROWS = 65536
"""Half a megabyte of doubles: gzip has enough to work on, and a reader of a few points pays 1 ms
for the chunk around them."""

LEVEL_CHUNK_ROWS = 4096
"""Of levels, of which a reader wants a hundred buckets in several places: 0.6 ms for each."""

BYTES_CHUNK = 131072
"""Of heap, text and blobs: their last chunk is written whole, so it must not be large."""

EVENT_CHUNK_ROWS = 4096


class Layout(StrEnum):
    """How the points of a metric lie."""

    ROWS = "rows"
    """One after another, sorted by rank and attempt: ``runs, step, wall_s, value``, and
    ``replaced``: places of points below the limit whose step a later attempt logged again."""
    GRID = "grid"
    """Ranks x steps, where all ranks logged the same steps, each within one attempt:
    ``rank, attempt, step`` and the matrices ``wall_s, value``."""


RUN = np.dtype([("rank", "<u4"), ("attempt", "<u4"), ("count", "<u8"), ("lowest", "<i8")])
"""So many points of one rank and attempt follow each other; ``lowest`` is the step from which on
they supersede earlier attempts, the one that was logged first."""

BUCKET = np.dtype(
    [("step", "<i8"), ("low", "<f8"), ("high", "<f8"), ("mean", "<f8"), ("points", "<u4")]
)
"""One bucket of a pyramid: the step where it begins, lowest, highest and mean value, and the
number of points that these are of: not NaN, not superseded, not late."""

LATE = np.dtype([("rank", "<u4"), ("index", "<u8"), ("step", "<i8"), ("value", "<f8")])
"""A point whose step is below one that its rank had logged before: no bucket counts it."""

EXTREME = np.dtype(
    [("low_step", "<i8"), ("low_wall_s", "<f8"), ("high_step", "<i8"), ("high_wall_s", "<f8")]
)
"""Where a bucket's lowest and its highest value are: the first such point."""

LAST = np.dtype([("step", "<i8"), ("wall_s", "<f8"), ("value", "<f8")])
"""The point of a series with the highest step that is a number and not superseded; its value is NaN
if there is none."""

LOCATED = np.dtype([*BUCKET.descr, *EXTREME.descr])
"""A bucket with the places of its extremes, in memory."""

TABLES = {
    "runs": RUN,
    "replaced": np.dtype("<u8"),
    "levels": BUCKET,
    "extremes": EXTREME,
    "last": LAST,
    "late": LATE,
}
"""What a metric has besides its columns."""

ROOT_ATTRIBUTES = {
    "kind": f"`{SEALED_KIND}`",
    "format": "the same",
    "run": "the same",
    "project": "the same",
    "sealed_wall_s": "float: UTC seconds",
    "made_by": "text: program and version of the sealer",
}
"""Attributes of the root, and what they are."""

COLUMN_TYPES: dict[str, np.dtype[Any]] = {
    "rank": np.dtype("<u4"),
    "attempt": np.dtype("<u4"),
    "step": np.dtype("<i8"),
    "wall_s": np.dtype("<f8"),
    "value": np.dtype("<f8"),
}
