"""Who is slow: the store's verdict, on all points where they are few, else on means of buckets."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpctrack.store.columns import Columns
from hpctrack.store.metric import Metric
from hpctrack.store.straggler import Stragglers
from hpctrack.store.stragglers import find_stragglers
from hpctrack_server.data.entries import Entry, reading
from hpctrack_server.data.matrix.plane import Plane
from hpctrack_server.data.matrix.table import DIRECT_CELLS, Table

TIME_WORDS = (
    "step_time",
    "iter_time",
    "iteration_time",
    "batch_time",
    "step_s",
    "compute_s",
    "time",
)
RATE_WORDS = ("per_s", "throughput", "tokens_s", "samples_s", "it/s", "fps", "tflops")


def choose_pace_metric(names: list[str]) -> str:
    """Return the metric that says how fast a rank is, as far as names tell; empty if none does."""
    for word in (*TIME_WORDS, *RATE_WORDS):
        found = [one for one in names if word in one.lower()]
        if found:
            return min(found, key=len)
    return ""


def is_rate(name: str) -> bool:
    """Tell whether a metric is better when it is higher, as far as its name tells."""
    low = name.lower()
    return any(one in low for one in RATE_WORDS) and not any(one in low for one in TIME_WORDS[:-1])


def find_verdict(entry: Entry, table: Table, *, higher_is_better: bool) -> dict[str, Any]:
    """Return the verdict as JSON-able facts.

    Returns
    -------
    dict
        As `Stragglers.to_json`, and ``each``: points that were put together before they were
        compared, 1 if none were.
    """
    with reading(entry.label):
        each = 1
        if table.points <= DIRECT_CELLS and entry.run.is_sealed:
            found = entry.run.stragglers(table.name, higher_is_better=higher_is_better)
        elif table.metric is not None:
            found = _find(entry, table.metric, higher_is_better, 1)
        else:
            plane = table.overview or table.whole
            if plane is None:
                return {"pending": True}
            each = _points_of_row(table, plane)
            found = _find(entry, _metric_of_plane(table, plane), higher_is_better, each)
    said = found.to_json()
    for one in said["stragglers"]:
        one["slow_steps"] *= each
    return {**said, "each": each, "pending": False}


def _find(entry: Entry, metric: Metric, higher_is_better: bool, each: int) -> Stragglers:  # noqa: FBT001
    return find_stragglers(
        metric,
        entry.read().ranks,
        higher_is_better=higher_is_better,
        unit_s=float(each),
        missing=entry.run.lost,
    )


def _points_of_row(table: Table, plane: Plane) -> int:
    return max(1, round(table.points / max(len(table.ranks), 1) / max(len(plane), 1)))


def _metric_of_plane(table: Table, plane: Plane) -> Metric:
    """Return each rank's means as if they had been logged, at the time when it was there."""
    step, wall_s = table.read_times()
    at = np.minimum(np.searchsorted(step, plane.stops - 1), max(len(step) - 1, 0))
    when = wall_s[at] if len(step) else np.zeros(len(plane))
    ranks, rows = len(table.ranks), len(plane)
    columns = Columns(
        np.repeat(table.ranks, rows),
        np.zeros(ranks * rows, np.int64),
        np.tile(plane.starts, ranks),
        np.tile(when, ranks),
        plane.mean.T.astype(np.float64).reshape(-1),
    )
    return Metric(table.name, columns)
