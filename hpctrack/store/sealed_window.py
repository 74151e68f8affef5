"""Drawing any window of a series in a sealed file from few of its points."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpctrack.store.envelope import (
    Envelope,
    Window,
    add_late,
    draw_series,
    find_stretch,
    make_envelope,
    plan_window,
    stretch_starts,
    within,
)
from hpctrack.store.pyramid import BucketArray, make_buckets
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.sealed_layout import BEYOND, BUCKET, BY_STEP_GROUP, LATE
from hpctrack.store.sealed_series import (
    SealedSeries,
    find_main,
    find_place,
    find_series,
    read_late,
)


def draw_sealed(group: Any, rank: int, window: Window, width: int) -> Envelope | None:
    """Return a window of one rank's points; None if it has none. See `SealedReader`."""
    series = find_series(group, rank)
    if series is None:
        return None
    if not series.offsets:
        return _draw_all(series, window, width)
    late = read_late(series.group, rank)
    start, stop = window
    first = 0 if start is None else find_place(series, start, late["index"])
    last = series.points if stop is None else find_place(series, stop, late["index"])
    stretch = find_stretch(first, max(first, last), width)
    parts, indexes = [np.zeros(0, BUCKET)], [np.zeros(0, np.int64)]
    levels = len(series.offsets)
    for part in plan_window(first, last, stretch, base=series.base, levels=levels):
        if part.level < 0:
            found, where = _read_points(series, part.first, part.last, stretch, late["index"])
        else:
            found = series.read_buckets(part.level, part.first, part.last)
            where = np.arange(part.first, part.last) * (series.base << part.level)
        parts.append(found)
        indexes.append(where)
    envelope = make_envelope(np.concatenate(parts), np.concatenate(indexes), stretch)
    inside = within(late["step"], window)
    return add_late(envelope, late["step"][inside], late["value"][inside], width)


def read_window_points(group: Any, rank: int, window: Window) -> tuple[IntArray, FloatArray]:
    """Return steps and values of one rank's points in a window, by step, superseded ones left out.

    Returns
    -------
    step : ndarray of int64, shape (n,)
        Never decreasing; of several points at a step the one that was logged last is the last.
    value : ndarray of float64, shape (n,)
    """
    series = find_series(group, rank)
    if series is None:
        return np.zeros(0, np.int64), np.zeros(0)
    late = np.zeros(0, LATE)
    first, last = 0, series.points
    if series.offsets:
        late = read_late(series.group, rank)
        start, stop = window
        first = 0 if start is None else find_place(series, start, late["index"])
        last = series.points if stop is None else find_place(series, stop, late["index"])
        last = max(first, last)
    step, value = series.read_steps(first, last), series.read_values(first, last)
    which = find_main(series, first, step, late["index"]) & within(step, window)
    if BY_STEP_GROUP in group:
        which &= step != BEYOND
    too = within(late["step"].astype(np.int64), window)
    step = np.concatenate([step[which], late["step"][too]])
    value = np.concatenate([value[which], late["value"][too]])
    if len(step) < 2 or (step[1:] >= step[:-1]).all():  # noqa: PLR2004 - one is in order
        return step, value
    order = np.argsort(step, kind="stable")
    return step[order], value[order]


def _draw_all(series: SealedSeries, window: Window, width: int) -> Envelope:
    """Draw a series that is short enough to be read whole."""
    steps = series.read_steps(0, series.points)
    which = series.is_current(0, steps) & within(steps, window)
    return draw_series(steps[which], series.read_values(0, series.points)[which], width)


def _read_points(
    series: SealedSeries, first: int, last: int, stretch: int, late: IntArray
) -> tuple[BucketArray, IntArray]:
    """Make buckets of single points, one for each stretch that they lie in."""
    steps, values = series.read_steps(first, last), series.read_values(first, last)
    main = find_main(series, first, steps, late)
    starts = stretch_starts(first, last, stretch)
    return make_buckets(steps, values, starts, main=main), starts + first
