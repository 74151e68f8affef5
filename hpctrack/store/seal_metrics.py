"""Writing the metrics of a sealed file from points that have been put in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hpctrack.client.definitions import Definition
from hpctrack.store.placement import Plan
from hpctrack.store.pyramid import BASE_POINTS, SERIES_MIN, BoolArray, LateFinder
from hpctrack.store.pyramid_writer import PyramidWriter, needs_pyramid
from hpctrack.store.schema import FloatArray, IntArray, PointArray
from hpctrack.store.scratch import Scratch
from hpctrack.store.sealed_layout import (
    CHUNK_ROWS,
    COLUMN_TYPES,
    METRICS_GROUP,
    RUN,
    SYSTEM_GROUP,
    Layout,
)
from hpctrack.store.sealed_writer import ColumnWriter, share_column, write_column
from hpctrack.store.series_summary import SeriesSummary
from hpctrack.store.small_metrics import create_group
from hpctrack.store.step_order import StepOrderWriter, most_late
from hpctrack.store.streams import SENSOR_MARK
from hpctrack.store.supersession import Edges, find_current, find_limits, find_replaced

COMPARED_METRICS = 4
"""Metrics that are logged together share steps and times; so many are looked back for them."""

FIRST_LOOK_ROWS = 1024
"""Columns that differ do so early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealLimits:
    """Sizes that decide how sealing works; of the file they change the pyramids only.

    Parameters
    ----------
    memory_rows : int
        Up to so many points are put in order in memory, 32 bytes each.
    piece_rows : int
        Points of one metric that are handled at a time.
    series_min : int
        A metric gets a pyramid if one of its ranks has more points.
    bucket : int
        Points per bucket of a pyramid's lowest level.
    """

    memory_rows: int = 2_000_000
    piece_rows: int = CHUNK_ROWS
    series_min: int = SERIES_MIN
    bucket: int = BASE_POINTS


@dataclass(frozen=True)
class _Runs:
    """A metric's stretches of one rank and attempt; ``start`` is the first one's in the scratch.

    ``first`` is the step that each logged first, ``replaced`` the places of points below the limit
    whose step a later attempt has logged again.
    """

    rank: IntArray
    attempt: IntArray
    count: IntArray
    first: IntArray
    start: int
    replaced: IntArray

    @cached_property
    def points(self) -> int:
        return int(self.count.sum())

    @cached_property
    def ends(self) -> IntArray:
        return np.cumsum(self.count)

    @cached_property
    def limits(self) -> tuple[IntArray, BoolArray]:
        return find_limits(self.rank, self.first)

    @cached_property
    def series(self) -> tuple[IntArray, IntArray]:
        """Ranks, and how many points each has."""
        is_first = np.ones(len(self.rank), bool)
        is_first[1:] = self.rank[1:] != self.rank[:-1]
        starts = np.flatnonzero(is_first)
        return self.rank[starts], np.add.reduceat(self.count, starts)

    def iter_series(self) -> Iterator[tuple[int, int]]:
        """Yield where each rank's points begin and end."""
        ends = np.cumsum(self.series[1]).tolist()
        yield from zip([0, *ends], ends, strict=False)

    def is_current(self, start: int, step: IntArray) -> BoolArray | None:
        """Tell which points from ``start`` on are not superseded; None: all."""
        return find_current(start, step, self.ends, self.limits, self.replaced)

    def pack(self) -> np.ndarray[Any, Any]:
        """Return them as the file has them."""
        rows = np.zeros(len(self.rank), RUN)
        rows["rank"], rows["attempt"] = self.rank, self.attempt
        rows["count"], rows["lowest"] = self.count, self.first
        return rows

    def is_like(self, other: _Runs) -> bool:
        """Tell whether the other has as many points of the same ranks and attempts."""
        return all(
            np.array_equal(getattr(self, key), getattr(other, key))
            for key in ("rank", "attempt", "count")
        )


class MetricWriter:
    """Writes metric after metric into ``/metrics`` of a file, and sensors into ``/system``.

    Parameters
    ----------
    file : h5py.File
        Has these groups.
    plan : Plan
        Where the points are.
    edges : Edges
        Of each of the plan's groups.
    scratch : Scratch
        Has the points.
    limits : SealLimits
    """

    def __init__(
        self, file: Any, plan: Plan, edges: Edges, scratch: Scratch, limits: SealLimits
    ) -> None:
        self._file = file
        self._plan = plan
        self._edges = edges
        self._scratch = scratch
        self._limits = limits
        self._piece_rows = limits.piece_rows
        self._written: list[tuple[_Runs, int, Any]] = []

    def write(
        self,
        metric: int,
        definitions: Sequence[Definition] = (),
        on_points: Callable[[int], None] | None = None,
    ) -> tuple[list[Any], dict[str, Any]]:
        """Write one metric.

        Returns
        -------
        entry : list
            For the index: name, group, points, layout, ranks.
        summary : dict
            What the run's summary says of it.
        """
        name, runs = self._plan.names[metric], self._find_runs(metric)
        layout = Layout.GRID if self._is_grid(runs) else Layout.ROWS
        is_sensor = name.startswith(SENSOR_MARK)
        place = self._file[SYSTEM_GROUP if is_sensor else METRICS_GROUP]
        group = create_group(place, str(metric), name.removeprefix(SENSOR_MARK), runs.points)
        shape: tuple[int, ...] = (runs.points,)
        if layout == Layout.GRID:
            shape = (len(runs.rank), int(runs.count[0]))
        columns = self._open_columns(group, runs, shape)
        pyramid = None
        if needs_pyramid(runs.series[1], self._limits.series_min):
            if self._has_many_late(runs):
                self._write_by_step(group, runs)
            else:
                pyramid = PyramidWriter(group, *runs.series, bucket=self._limits.bucket)
        summary = SeriesSummary(name, definitions)
        for start, rows in self._iter_pieces(runs):
            for key, column in columns.items():
                # All ranks of a grid have the first one's steps.
                is_shared = key == "step" and len(shape) > 1
                column.append(rows[key][: max(0, shape[-1] - start)] if is_shared else rows[key])
            _summarise(runs, start, rows, pyramid, summary)
            if on_points:
                on_points(len(rows))
        if pyramid:
            pyramid.close()
        entry = [name, str(metric), runs.points, str(layout), len(runs.series[0])]
        # A run's summary is of what its program logged.
        return entry, {} if is_sensor else summary.result()

    def _has_many_late(self, runs: _Runs) -> bool:
        """Tell whether so many points are late that levels in their order would be of no use."""
        found, most = 0, most_late(runs.points, self._limits.series_min)
        for start, stop in runs.iter_series():
            finder = LateFinder()
            for step, _value, current in self._iter_series(runs, start, stop, self._piece_rows):
                late = finder.find(step, current)[1]
                found += 0 if late is None else int(np.count_nonzero(late))
                if found > most:
                    return True
        return False

    def _write_by_step(self, group: Any, runs: _Runs) -> None:
        # Points are held several times while they are sorted.
        rows = max(1, self._limits.memory_rows // 4)
        writer = StepOrderWriter(
            group, runs.series[1], bucket=self._limits.bucket, memory_rows=rows
        )
        for start, stop in runs.iter_series():
            blocks = self._iter_series(runs, start, stop, rows)
            writer.add_series(
                (
                    (step, value) if current is None else (step[current], value[current])
                    for step, value, current in blocks
                ),
                stop - start,
            )

    def _iter_series(
        self, runs: _Runs, start: int, stop: int, rows: int
    ) -> Iterator[tuple[IntArray, FloatArray, BoolArray | None]]:
        """Yield steps and values of some of a metric's points, and which are not superseded."""
        for first, last in _cut(start, stop, rows):
            found = self._read(runs.start + first, last - first)
            step = np.ascontiguousarray(found["step"])
            yield step, np.ascontiguousarray(found["value"]), runs.is_current(first, step)

    def _find_runs(self, metric: int) -> _Runs:
        """Join the groups of one rank and attempt that came from several files."""
        plan, mine = self._plan, self._plan.groups_of(metric)
        rank, attempt = plan.rank[mine], plan.attempt[mine]
        is_first = np.ones(len(rank), bool)
        is_first[1:] = (rank[1:] != rank[:-1]) | (attempt[1:] != attempt[:-1])
        starts = np.flatnonzero(is_first)
        rank, attempt = rank[starts], attempt[starts]
        count = np.add.reduceat(plan.count[mine], starts)
        begin = int(plan.start[mine][0])
        first, lowest = self._edges.first[mine], self._edges.lowest[mine]
        edges = Edges(first[starts], np.minimum.reduceat(lowest, starts))
        ends = np.cumsum(count)

        def iter_steps(run: int) -> Iterator[tuple[int, IntArray]]:
            for start, stop in _cut(int(ends[run] - count[run]), int(ends[run]), self._piece_rows):
                yield start, self._read(begin + start, stop - start)["step"]

        replaced = find_replaced(rank, edges, iter_steps)
        return _Runs(rank, attempt, count, edges.first, begin, replaced)

    def _is_grid(self, runs: _Runs) -> bool:
        """Tell whether all ranks logged the same steps, each within one attempt."""
        ranks, steps = len(runs.rank), int(runs.count[0])
        if ranks == 1 or (runs.count != steps).any() or len(runs.series[0]) != ranks:
            return False
        together = max(1, self._piece_rows // steps)
        for first in range(0, steps, self._piece_rows):
            width = min(self._piece_rows, steps - first)
            row = self._read(runs.start + first, width)["step"].copy()
            for rank in range(1, ranks, together):
                count = min(together, ranks - rank)
                begin = runs.start + rank * steps + first
                found = self._read(begin, count * width if together > 1 else width)["step"]
                if (found.reshape(-1, width) != row).any():
                    return False
        return True

    def _open_columns(
        self, group: Any, runs: _Runs, shape: tuple[int, ...]
    ) -> dict[str, ColumnWriter]:
        """Make the columns; those that an earlier metric has alike become links to them."""
        shared = self._find_shared(runs, len(shape))
        for key, owner in shared.items():
            share_column(owner, group, key)
        if "step" in shared:
            for key in ("rank", "attempt", "runs", "replaced"):
                if shared["step"].id.links.exists(key.encode()):
                    share_column(shared["step"], group, key)
        elif len(shape) > 1:
            write_column(group, "rank", runs.rank.astype(COLUMN_TYPES["rank"]))
            write_column(group, "attempt", runs.attempt.astype(COLUMN_TYPES["attempt"]))
        else:
            write_column(group, "runs", runs.pack())
            if len(runs.replaced):
                write_column(group, "replaced", runs.replaced.astype("<u8"))
        own = [key for key in ("step", "wall_s", "value") if key not in shared]
        if len(own) > 1:
            self._written = [*self._written[1 - COMPARED_METRICS :], (runs, len(shape), group)]
        return {
            key: ColumnWriter(group, key, COLUMN_TYPES[key], shape[-1:] if key == "step" else shape)
            for key in own
        }

    def _find_shared(self, runs: _Runs, dimensions: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for other, others_dimensions, group in reversed(self._written):
            if others_dimensions == dimensions and runs.is_like(other):
                for key in ("step", "wall_s"):
                    if key not in found and self._is_same(key, runs, other):
                        found[key] = group
        return found

    def _is_same(self, key: str, runs: _Runs, other: _Runs) -> bool:
        """Compare a column of two metrics, bit by bit."""
        start, size = 0, FIRST_LOOK_ROWS
        while start < runs.points:
            count = min(size, runs.points - start)
            mine = self._read(runs.start + start, count)[key]
            theirs = self._read(other.start + start, count)[key]
            if (mine.view(np.int64) != theirs.view(np.int64)).any():
                return False
            start, size = start + count, self._piece_rows
        return True

    def _iter_pieces(self, runs: _Runs) -> Iterator[tuple[int, PointArray]]:
        for start, stop in _cut(0, runs.points, self._piece_rows):
            yield start, self._read(runs.start + start, stop - start)

    def _read(self, start: int, count: int) -> PointArray:
        return self._scratch.read(start, start + count)


def _cut(start: int, stop: int, rows: int) -> Iterator[tuple[int, int]]:
    """Cut a range into pieces of so many rows."""
    for begin in range(start, stop, rows):
        yield begin, min(begin + rows, stop)


def _summarise(
    runs: _Runs,
    start: int,
    rows: PointArray,
    pyramid: PyramidWriter | None,
    summary: SeriesSummary,
) -> None:
    lowest_rank = int(runs.series[1][0])
    if not pyramid and start >= lowest_rank:
        return
    step, value = np.ascontiguousarray(rows["step"]), np.ascontiguousarray(rows["value"])
    current = runs.is_current(start, step)
    if pyramid:
        pyramid.add(start, step, np.ascontiguousarray(rows["wall_s"]), value, current)
    if start < lowest_rank:
        step, value = step[: lowest_rank - start], value[: lowest_rank - start]
        which = slice(None) if current is None else current[: len(step)]
        summary.add(step[which], value[which])
