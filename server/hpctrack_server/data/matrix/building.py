"""Reading all points of a huge metric beside everything else, so that any zoom is sharp."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from hpctrack.errors import HpctrackError
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.sealed_matrix import Block, SealedMatrix
from hpctrack_server.data.downsample import IntArray
from hpctrack_server.data.entries import reading
from hpctrack_server.data.matrix.make_plane import (
    empty_points,
    end_rows,
    fill_points,
    find_steps,
    typical_gap,
)
from hpctrack_server.data.matrix.plane import Plane

CELL_BYTES = 4

_ONE_AT_A_TIME = threading.Semaphore(1)
"""Two would only read from two places of the disk at once, and take twice the memory."""


class Building:
    """A plane of points that a thread fills; what is there can be drawn meanwhile.

    Parameters
    ----------
    path : Path
        The sealed file.
    name : str
        The metric.
    limit_bytes : int
        Points are put together in buckets as far as is needed to stay below it.

    Attributes
    ----------
    plane : Plane or None
        None until its size is known, and if it cannot be made.
    share : float
        How much of it is read, 0 to 1.
    error : str
    """

    def __init__(self, path: Path, name: str, limit_bytes: int) -> None:
        self.plane: Plane | None = None
        self.share = 0.0
        self.error = ""
        self._path, self._name, self._limit_bytes = path, name, limit_bytes
        self._is_cancelled = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_done(self) -> bool:
        """Whether all of it is there."""
        return self.share >= 1.0

    def start(self) -> None:
        """Begin on a thread of its own."""
        self._thread = threading.Thread(target=self._work, name="hpctrack-ranks", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Read all of it now."""
        with SealedReader(self._path).open_matrix(self._name) as matrix:
            if matrix is not None:
                self._read(matrix)

    def cancel(self) -> None:
        """Let the thread end soon."""
        self._is_cancelled.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            with _ONE_AT_A_TIME, reading(self._name):
                if not self._is_cancelled.is_set():
                    self.run()
        except HpctrackError as error:
            self.error = error.message
        except MemoryError:
            self.error = "there is not enough memory to read all of it"

    def _read(self, matrix: SealedMatrix) -> None:
        steps = find_steps(matrix)
        ranks = len(matrix.ranks)
        if steps is None:
            self.error = "the ranks share too few steps to be read as a table"
            return
        each = count_together(len(steps) * ranks, self._limit_bytes)
        if each > 1 and not matrix.is_grid:
            self.error = "there are too many points to be held in memory"
            return
        plane = empty_points(steps, ranks) if each == 1 else _empty_buckets(steps, ranks, each)
        self.plane = plane
        for block in matrix.iter_blocks():
            if self._is_cancelled.is_set():
                return
            if each > 1:
                _fill_buckets(plane, block, each)
            else:
                fill_points(plane, block)
            self.share = block.last / ranks
        self.share = 1.0


def count_together(cells: int, limit_bytes: int) -> int:
    """Return how many points of a rank have to become one bucket; 1 if all fit as they are."""
    if cells * CELL_BYTES <= limit_bytes:
        return 1
    each = 2
    while 3 * CELL_BYTES * (cells // each) > limit_bytes:
        each *= 2
    return each


def _empty_buckets(steps: IntArray, ranks: int, each: int) -> Plane:
    starts = steps[::each].copy()
    last = steps[np.minimum(np.arange(1, len(starts) + 1) * each, len(steps)) - 1]
    shape = (len(starts), ranks)
    low, high, mean = (np.full(shape, np.nan, np.float32) for _ in range(3))
    return Plane(starts, end_rows(starts, last, typical_gap(steps)), low, high, mean)


def _fill_buckets(plane: Plane, block: Block, each: int) -> None:
    rows = slice(block.first, block.last)
    starts = np.arange(0, block.value.shape[1], each)
    value = block.value.astype(np.float32)
    plane.low[:, rows] = np.fmin.reduceat(value, starts, axis=1).T
    plane.high[:, rows] = np.fmax.reduceat(value, starts, axis=1).T
    is_there = ~np.isnan(value)
    count = np.add.reduceat(is_there.astype(np.float32), starts, axis=1)
    added = np.add.reduceat(np.where(is_there, value, 0), starts, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        plane.mean[:, rows] = np.where(count > 0, added / count, np.nan).T
