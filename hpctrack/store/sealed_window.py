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
from hpctrack.store.schema import IntArray
from hpctrack.store.sealed_layout import BUCKET
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
