"""One metric of one run as planes: what is read of it at once, and what later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpctrack.core.layout import SEALED_NAME
from hpctrack.errors import NotFoundError
from hpctrack.store.metric import Metric
from hpctrack.store.pyramid import BASE_POINTS
from hpctrack.store.sealed_file import SealedReader
from hpctrack_server.data.downsample import FloatArray, IntArray
from hpctrack_server.data.entries import Entry, reading
from hpctrack_server.data.matrix.building import Building
from hpctrack_server.data.matrix.make_plane import plane_of_level, plane_of_metric
from hpctrack_server.data.matrix.plane import Plane

DIRECT_CELLS = 4_000_000
"""So many are read while the reader waits: 32 MB, about a tenth of a second."""

LEVEL_BUCKETS = 2_000_000
"""The finest level that has no more is read, 72 MB; else the coarsest there is."""

COLUMNS_ENOUGH = 0.5
"""A picture with fewer columns per pixel than this is made sharper, if it can be."""


@dataclass(slots=True)
class Table:
    """A metric of all ranks.

    Parameters
    ----------
    name : str
    version : int
        Of the run when it was read.
    ranks : ndarray of int64, shape (ranks,)
        Increasing.
    points : int
        Of all ranks, superseded ones too.
    overview : Plane or None
        Buckets of all of it.
    building : Building or None
        All points, as they are being read.
    held : Plane or None
        All points, of a run that is in memory.
    sealed : SealedReader or None
        Where exact values are.
    metric : Metric or None
        Or that.
    kept : dict
        What was worked out of it, by what it is: orders of its ranks, verdicts.
    """

    name: str
    version: int
    ranks: IntArray
    points: int
    overview: Plane | None = None
    building: Building | None = None
    held: Plane | None = None
    sealed: SealedReader | None = None
    metric: Metric | None = None
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> Plane | None:
        """All points, or the finest buckets there are, if they are there."""
        if self.held is not None:
            return self.held
        return self.building.plane if self.building and self.building.is_done else None

    @property
    def summary(self) -> Plane | None:
        """What is cheap to look at from end to end; maybe not all of it is read yet."""
        if self.overview is not None:
            return self.overview
        if self.held is not None:
            return self.held
        return self.building.plane if self.building else None

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, or will."""
        planes = [self.overview, self.held, self.building.plane if self.building else None]
        metric = self.metric.size_bytes if self.metric else 0
        return metric + sum(one.size_bytes for one in planes if one is not None)

    def choose(self) -> Plane | None:
        """Return the plane to draw of: all points, where they are there."""
        whole = self.whole
        return self.summary if whole is None else whole

    def is_coarse(self, start: float | None, stop: float | None, width: int) -> bool:
        """Tell whether the overview has too few columns for a window."""
        if self.whole is not None or self.overview is None:
            return False
        begin = self.overview.starts[0] if start is None else start
        end = self.overview.stops[-1] if stop is None else stop
        first, last = self.overview.find(float(begin), float(end))
        return last - first < COLUMNS_ENOUGH * width and self.points > len(self.overview)

    def sharpen(self, limit_bytes: int) -> None:
        """Begin to read all points, if that has not been done."""
        if self.building is None and self.held is None and self.sealed is not None:
            self.building = Building(self.sealed.path, self.name, limit_bytes)
            self.building.start()

    def read_points(self, rank: int, start: int, stop: int) -> tuple[IntArray, FloatArray]:
        """Return steps and exact values of one rank; of several at a step the last one counts."""
        if self.metric is not None:
            begin, end = np.searchsorted(self.metric.ranks, [rank, rank + 1])
            step, value = self.metric.steps[begin:end], self.metric.values[begin:end]
            inside = (step >= start) & (step < stop)
            return step[inside], value[inside]
        with reading(self.name):
            assert self.sealed is not None  # noqa: S101 - one of the two is there
            with self.sealed.open_matrix(self.name) as matrix:
                if matrix is None:
                    return np.zeros(0, np.int64), np.zeros(0)
                return matrix.read_points(rank, (start, stop))

    def read_times(self) -> tuple[IntArray, FloatArray]:
        """Return when the lowest rank has logged its steps: these, and UTC seconds."""
        with reading(self.name):
            assert self.sealed is not None  # noqa: S101 - who is in memory is not asked
            with self.sealed.open_matrix(self.name) as matrix:
                if matrix is None or not len(matrix.ranks):
                    return np.zeros(0, np.int64), np.zeros(0)
                return matrix.read_times()

    def close(self) -> None:
        """Give up what is being read."""
        if self.building:
            self.building.cancel()


def open_table(entry: Entry, name: str, limit_bytes: int) -> Table:
    """Read of a metric what can be read while somebody waits.

    Raises
    ------
    HpctrackError
        There is no such metric, or it cannot be read.
    """
    with reading(entry.label):
        if not entry.run.is_sealed:
            return _open_metric(entry, name)
        sealed = SealedReader(entry.run.folder / SEALED_NAME)
        with sealed.open_matrix(name) as matrix:
            if matrix is None:
                entry.run.metric(name)  # says what there is instead
                raise NotFoundError(f"no metric {name!r}")
            table = Table(
                name, entry.version, matrix.ranks, int(matrix.counts.sum()), sealed=sealed
            )
            cells = matrix.longest * len(matrix.ranks)
            if matrix.levels and cells > DIRECT_CELLS:
                table.overview = plane_of_level(matrix, _choose_level(cells, matrix.levels))
                return table
        table.building = Building(sealed.path, name, limit_bytes)
        if cells > DIRECT_CELLS:
            table.building.start()
            return table
        table.building.run()
        if table.building.plane is None:
            # So scattered that only points in memory can be put in order.
            table.building = None
            return _open_metric(entry, name)
        return table


def _choose_level(cells: int, levels: int) -> int:
    level = 0
    while cells / (BASE_POINTS << level) > LEVEL_BUCKETS and level < levels - 1:
        level += 1
    return level


def _open_metric(entry: Entry, name: str) -> Table:
    metric = entry.run.metric(name)
    ranks = np.array(metric.rank_numbers(), np.int64)
    held = plane_of_metric(metric)
    return Table(name, entry.version, ranks, len(metric), held=held, metric=metric)
