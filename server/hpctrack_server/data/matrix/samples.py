"""Samples of many devices over time, as rows of pixels or as lines. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpctrack_server.data.downsample import FloatArray, IntArray, envelope
from hpctrack_server.data.matrix.plane import CellArray, How


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one sensor.

    Parameters
    ----------
    starts : ndarray of int64, shape (streams + 1,)
        Where each stream's samples begin, and the end.
    time_s : ndarray of float64, shape (n,)
        Of each stream increasing; seconds since the run began.
    value : ndarray of float64, shape (n,)
    gap_s : float
        A value holds until the next sample, but no longer than this.
    """

    starts: IntArray
    time_s: FloatArray
    value: FloatArray
    gap_s: float

    @property
    def streams(self) -> int:
        """How many there are."""
        return len(self.starts) - 1

    @property
    def size_bytes(self) -> int:
        """Memory that they take."""
        return self.time_s.nbytes + self.value.nbytes + self.starts.nbytes

    def take(self, which: IntArray) -> Samples:
        """Return some streams, in this order."""
        lengths = np.diff(self.starts)[which]
        index = np.concatenate(
            [np.zeros(0, np.int64)]
            + [np.arange(self.starts[one], self.starts[one + 1]) for one in which.tolist()]
        )
        starts = np.concatenate([[0], np.cumsum(lengths)])
        return Samples(starts, self.time_s[index], self.value[index], self.gap_s)

    def extent(self) -> tuple[float, float]:
        """Return the first and the last time of all."""
        if not len(self.time_s):
            return 0.0, 1.0
        return float(self.time_s.min()), float(self.time_s.max())


def make_strips(samples: Samples, start_s: float, stop_s: float, width: int, how: How) -> CellArray:
    """Return streams x pixels: what was sampled in each, else what was sampled last.

    Returns
    -------
    ndarray of float32, shape (streams, width)
        NaN before the first sample, and where nobody was reading.
    """
    edges = np.linspace(start_s, stop_s, width + 1)
    stream = np.repeat(np.arange(samples.streams), np.diff(samples.starts))
    column = np.searchsorted(edges, samples.time_s, "right") - 1
    # The end belongs to the last pixel; what is before the window is held into it.
    column[samples.time_s == stop_s] = width - 1
    inside = (column >= 0) & (column < width) & ~np.isnan(samples.value)
    before = (column < 0) & ~np.isnan(samples.value)
    cells = np.full((samples.streams, width), np.nan, np.float32)
    last = np.full((samples.streams, width), np.nan)
    when = np.full((samples.streams, width), -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        _reduce(cells, stream[inside], column[inside], samples.value[inside], how)
    # numpy assigns in order: of several samples in a pixel the last one stays.
    last[stream[before], 0], when[stream[before], 0] = samples.value[before], samples.time_s[before]
    last[stream[inside], column[inside]] = samples.value[inside]
    when[stream[inside], column[inside]] = samples.time_s[inside]
    held = np.maximum.accumulate(np.where(np.isnan(last), -1, np.arange(width)), axis=1)
    rows = np.arange(samples.streams)[:, np.newaxis]
    place = np.maximum(held, 0)
    age_s = edges[:-1] - when[rows, place]
    is_held = (held >= 0) & (age_s <= samples.gap_s) & np.isnan(cells)
    return np.where(is_held, last[rows, place].astype(np.float32), cells)


def _reduce(
    cells: CellArray, stream: IntArray, column: IntArray, value: FloatArray, how: How
) -> None:
    if not len(value):
        return
    key = stream * cells.shape[1] + column
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    where = (stream[starts], column[starts])
    if how == How.MEAN:
        counts = np.diff(np.append(starts, len(key)))
        cells[where] = np.add.reduceat(value, starts) / counts
    else:
        take = np.fmax if how == How.MAX else np.fmin
        cells[where] = take.reduceat(value, starts)


def make_line(
    samples: Samples, stream: int, start_s: float, stop_s: float, width: int
) -> tuple[FloatArray, FloatArray]:
    """Return one stream as a line, shrunk; it is broken where nobody was reading.

    Returns
    -------
    time_s, value : ndarray of float64
        Few samples become steps, as a value holds until the next; of many the extremes of each
        pixel are exact.
    """
    mine = slice(int(samples.starts[stream]), int(samples.starts[stream + 1]))
    time_s, value = samples.time_s[mine], samples.value[mine]
    first = max(int(np.searchsorted(time_s, start_s)) - 1, 0)
    last = int(np.searchsorted(time_s, stop_s, "right")) + 1
    time_s, value = time_s[first:last], value[first:last]
    is_gap = np.diff(time_s) > samples.gap_s
    if len(time_s) <= width:
        return _make_steps(time_s, value, is_gap, samples.gap_s)
    time_s, value = envelope(time_s, value, width=width)
    breaks = (
        np.flatnonzero(np.diff(time_s) > max(samples.gap_s, 2 * (stop_s - start_s) / width)) + 1
    )
    return np.insert(time_s, breaks, time_s[breaks - 1]), np.insert(value, breaks, np.nan)


def _make_steps(
    time_s: FloatArray, value: FloatArray, is_gap: NDArray[np.bool_], gap_s: float
) -> tuple[FloatArray, FloatArray]:
    if len(time_s) < 2:  # noqa: PLR2004 - a step needs two
        return time_s, value
    ends = np.where(is_gap, time_s[:-1] + min(gap_s, 60.0), time_s[1:])
    x = np.stack([time_s[:-1], ends, ends], axis=1)
    y = np.stack([value[:-1], value[:-1], np.where(is_gap, np.nan, value[1:])], axis=1)
    return np.append(x.reshape(-1), time_s[-1]), np.append(y.reshape(-1), value[-1])
