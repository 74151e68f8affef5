"""How busy the devices of a run have been lately: one row each. Pure but for the run's samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import NotFoundError
from hpctrack.store.stored_run import StoredRun

SENSORS = (
    ("gpu/util_frac", "GPUs"),
    ("gpu/graphics_active_frac", "GPUs"),
    ("host/cpu_util_frac", "CPUs"),
)
"""The first that the run has counts, and what its streams are called."""

MISSING = 255
ROWS_MAX = 64
"""A strip is some 60 px high; beyond, neighbours share a row, as the least busy of them."""

HOLD_S = 90.0
"""A value that does not change is written once a minute: after longer nobody was reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Use of devices over time.

    Parameters
    ----------
    what : str
        ``GPUs`` or ``CPUs``; empty if the run has no telemetry.
    labels : tuple of str
        Of the rows.
    devices : int
        How many there are: of many neighbours share a row.
    start_wall_s, end_wall_s : float
        Of the first and the last column.
    cells : ndarray of uint8, shape (rows, columns)
        Use from 0 to 250; 255 where nothing is known.
    """

    what: str
    labels: tuple[str, ...]
    devices: int
    start_wall_s: float
    end_wall_s: float
    cells: NDArray[np.uint8]


def read_strip(run: StoredRun, *, end_wall_s: float, span_s: float, columns: int) -> Strip:
    """Return how busy each device of a run was in a stretch of time.

    Parameters
    ----------
    run : StoredRun
    end_wall_s, span_s : float
        The stretch, seconds.
    columns : int
        Of the picture.
    """
    start = end_wall_s - span_s
    for name, what in SENSORS:
        try:
            sensor = run.sensor(name)
        except NotFoundError:
            continue
        edges = np.linspace(start, end_wall_s, columns + 1)
        rows, labels = [], []
        for stream, series in sensor:
            rows.append(sample_last(series.wall_s, series.value, edges))
            labels.append(" ".join(one for one in (stream.host, stream.device) if one))
        cells, labels = _merge(np.array(rows), labels)
        return Strip(
            what=what,
            labels=tuple(labels),
            devices=len(rows),
            start_wall_s=start,
            end_wall_s=end_wall_s,
            cells=cells,
        )
    nothing = np.zeros((0, columns), np.uint8)
    return Strip(
        what="", labels=(), devices=0, start_wall_s=start, end_wall_s=end_wall_s, cells=nothing
    )


def sample_last(
    wall_s: NDArray[np.float64], value: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return for each column the last value known before its end; NaN where none holds any more.

    Parameters
    ----------
    wall_s, value : ndarray of float64, shape (n,)
        In order of time.
    edges : ndarray of float64, shape (columns + 1,)
    """
    if not len(wall_s):
        return np.full(len(edges) - 1, np.nan)
    where = np.searchsorted(wall_s, edges[1:], side="right") - 1
    found = np.where(where >= 0, value[np.maximum(where, 0)], np.nan)
    age_s = edges[1:] - wall_s[np.maximum(where, 0)]
    width_s = edges[1] - edges[0]
    return np.asarray(np.where(age_s <= HOLD_S + width_s, found, np.nan))


def _merge(values: NDArray[np.float64], labels: list[str]) -> tuple[NDArray[Any], list[str]]:
    per_row = max(1, -(-len(values) // ROWS_MAX))
    if per_row > 1:
        starts = np.arange(0, len(values), per_row)
        values = np.fmin.reduceat(values, starts, axis=0)
        others = [len(labels[one : one + per_row]) - 1 for one in starts]
        labels = [
            f"{labels[one]} and {more} more, the least busy" if more else labels[one]
            for one, more in zip(starts, others, strict=True)
        ]
    codes = np.where(np.isnan(values), MISSING, np.clip(values, 0, 1) * 250)
    return codes.round().astype(np.uint8), labels
