"""One metric of all ranks of a sealed file at once: buckets of one level, blocks of points.

`sealed_window` draws one rank well; a heat map of a thousand ranks would pay a thousand times for
opening, searching and decompressing. Here a level is read in one go, and points rank by rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hpctrack.store.envelope import Window
from hpctrack.store.pyramid import BucketArray, level_sizes
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.sealed_layout import BY_STEP_GROUP, LATE
from hpctrack.store.sealed_window import read_window_points

BLOCK_VALUES = 1 << 21
"""Of a block of ranks, 16 MB: HDF5 is locked for others no longer than reading it takes."""


STEPS_MAX = 20_000_000
"""The steps of a longer grid are not read at once: 160 MB."""


@dataclass(frozen=True, slots=True)
class Level:
    """The buckets of one level of all ranks.

    Parameters
    ----------
    row : ndarray of int64, shape (n,)
        Which rank each is of; never decreasing.
    buckets : structured array of `BUCKET`, shape (n,)
    points : int
        How many points a whole bucket is of.
    """

    row: IntArray
    buckets: BucketArray
    points: int


@dataclass(frozen=True, slots=True)
class Block:
    """The points of some neighbouring ranks.

    Parameters
    ----------
    first, last : int
        Rows.
    step : ndarray of int64, shape (n,)
        Of a grid those of all ranks; else there is one rank.
    value : ndarray of float64, shape (last - first, n)
    """

    first: int
    last: int
    step: IntArray
    value: FloatArray


class SealedMatrix:
    """A metric of a sealed file that is open. Made by `SealedReader.open_matrix`.

    Parameters
    ----------
    group : h5py.Group
        The metric's.

    Attributes
    ----------
    ranks : ndarray of int64, shape (ranks,)
        Increasing.
    counts : ndarray of int64, shape (ranks,)
        Points of each, superseded ones included.
    is_grid : bool
        All ranks have the same steps, and these increase.
    """

    def __init__(self, group: Any) -> None:
        self._group = group
        has_rows = "runs" not in group
        if has_rows:
            self.ranks: IntArray = group["rank"][:].astype(np.int64)
            steps = int(group["step"].shape[0])
            self.counts: IntArray = np.full(len(self.ranks), steps, np.int64)
        else:
            runs = group["runs"][:]
            self.ranks, where = np.unique(runs["rank"].astype(np.int64), return_inverse=True)
            self.counts = np.bincount(where, weights=runs["count"]).astype(np.int64)
        # All ranks of a grid have the same steps, but these may go back.
        self.is_grid = has_rows and self.longest <= STEPS_MAX and _increases(self.steps)

    @property
    def longest(self) -> int:
        """Points of the rank that has most."""
        return int(self.counts.max(initial=0))

    @cached_property
    def steps(self) -> IntArray:
        """Steps of a grid, increasing, shape (longest,)."""
        found: IntArray = self._group["step"][:]
        return found

    @property
    def _leveled(self) -> Any:
        return self._group.get(BY_STEP_GROUP, self._group)

    @property
    def levels(self) -> int:
        """How many levels the pyramid has; 0 if there is none."""
        return len(self._leveled["levels"]) if "levels" in self._leveled else 0

    def read_level(self, level: int) -> Level:
        """Return the buckets of a level, of all ranks; the lowest one is 0."""
        place = self._leveled["levels"]
        base = int(place.attrs["bucket"])
        sizes = [level_sizes(one, base, level + 1)[level] for one in self.counts.tolist()]
        row = np.repeat(np.arange(len(sizes)), sizes)
        return Level(row, place[str(level)][:], base << level)

    def read_late(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Return row, step and value of the points that no bucket counts."""
        found = self._leveled["late"][:] if "late" in self._leveled else np.zeros(0, LATE)
        row = np.searchsorted(self.ranks, found["rank"].astype(np.int64))
        return row, found["step"].astype(np.int64), found["value"].astype(np.float64)

    def iter_blocks(self) -> Iterator[Block]:
        """Yield the points of all ranks, some ranks at a time; superseded ones are left out."""
        if not self.is_grid:
            for row, rank in enumerate(self.ranks.tolist()):
                step, value = self.read_points(rank)
                yield Block(row, row + 1, step, value[np.newaxis])
            return
        column = self._group["value"]
        together = max(1, BLOCK_VALUES // max(self.longest, 1))
        chunk = int(column.chunks[0]) if column.chunks else 1
        together = max(chunk, together // chunk * chunk)
        for first in range(0, len(self.ranks), together):
            last = min(first + together, len(self.ranks))
            yield Block(first, last, self.steps, column[first:last])

    def read_points(self, rank: int, window: Window = (None, None)) -> tuple[IntArray, FloatArray]:
        """Return steps and values of a rank whose steps lie in a window, by step.

        Notes
        -----
        Reads the chunks that the window touches, 65,536 points each. Of several points at a
        step all are there, the one that was logged last at the end.
        """
        if not self.is_grid:
            return read_window_points(self._group, rank, window)
        row = int(np.searchsorted(self.ranks, rank))
        if row == len(self.ranks) or self.ranks[row] != rank:
            return np.zeros(0, np.int64), np.zeros(0)
        start, stop = window
        first = 0 if start is None else int(np.searchsorted(self.steps, start))
        last = self.longest if stop is None else int(np.searchsorted(self.steps, stop))
        last = max(first, last)
        return self.steps[first:last], self._group["value"][row, first:last]

    def read_times(self) -> tuple[IntArray, FloatArray]:
        """Return steps and times of the lowest rank's points, by step; UTC seconds."""
        count = int(self.counts[0])
        column = self._group["wall_s"]
        wall_s: FloatArray = column[0] if column.ndim > 1 else column[:count]
        step = self._group["step"][:count]
        order = np.argsort(step, kind="stable")
        return step[order], wall_s[order]


def _increases(steps: IntArray) -> bool:
    return bool((steps[1:] > steps[:-1]).all())
