"""The sealed file of earlier attempts, as something that a run is sealed from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import HpctrackError, StoreFormatError
from hpctrack.store.events import NodeEvents
from hpctrack.store.hdf5 import open_file
from hpctrack.store.placement import SourceGroups
from hpctrack.store.schema import POINT, SEALED_KIND, IntArray
from hpctrack.store.seal_sources import BLOCK_ROWS, EVENT_ROWS, EventBlock, Piece, cut_block
from hpctrack.store.sealed_file import (
    DAMAGE,
    iter_points,
    read_index,
    read_runs,
    read_sensor_index,
)
from hpctrack.store.sealed_layout import METRICS_GROUP, SYSTEM_GROUP
from hpctrack.store.streams import SENSOR_MARK


@contextmanager
def _checked(path: Path) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into our error."""
    try:
        yield
    except HpctrackError:
        raise
    except DAMAGE as error:
        text = str(error).partition("\n")[0]
        raise StoreFormatError(
            f"{path} is damaged: {text}",
            hint="sync an intact copy, or salvage what can be read: `hpctrack repair --force`",
        ) from None


class SealedTable:
    """A table of a sealed file.

    Parameters
    ----------
    file : h5py.File
    name : str
    path : Path
        The file's.
    """

    def __init__(self, file: Any, name: str, path: Path) -> None:
        self._path = path
        with _checked(path):
            self._set = file[name]
            self.rows = int(self._set.shape[0])

    def read(self, start: int, stop: int) -> Any:
        """Return rows as an array."""
        with _checked(self._path):
            return self._set[start:stop]


class SealedSource:
    """The sealed file of earlier attempts, which a requeue has outlived.

    Parameters
    ----------
    path : Path
        The file.
    nodes : list of NodeEvents
        What its node files said, without the events.
    """

    def __init__(self, path: Path, nodes: list[NodeEvents]) -> None:
        self.path = path
        self.nodes = nodes
        self._handle: Any = None
        self._tables: dict[str, SealedTable] = {}

    def count(self) -> SourceGroups:
        """Read how many points of each metric, rank and attempt there are."""
        with _checked(self.path):
            groups = self._groups()
            runs = [read_runs(group) for _name, group in groups]
            streams = read_sensor_index(self._file)[1]
        sizes = [len(rank) for rank, _attempt, _count in runs]
        rank, attempt, count = (
            np.concatenate([np.zeros(0, np.int64), *(run[part] for run in runs)])
            for part in range(3)
        )
        metric = np.repeat(np.arange(len(groups)), np.array(sizes, np.int64))
        names = [name for name, _group in groups]
        keys = np.zeros(0, np.uint64)
        return SourceGroups(names, metric, rank, attempt, count, keys, streams=streams)

    def adopt(self, groups: SourceGroups) -> None:
        """Do nothing: the file says it all."""

    def iter_pieces(self, wanted: NDArray[np.bool_]) -> Iterator[Piece]:
        """Yield stretches of metrics: they are in order already."""
        first = 0
        with _checked(self.path):
            for _name, group in self._groups():
                count = read_runs(group)[2]
                last = first + len(count)
                if wanted[first:last].any():
                    yield from self._iter_metric(group, first, count)
                first = last

    def _iter_metric(self, group: Any, first: int, count: IntArray) -> Iterator[Piece]:
        ends = np.cumsum(count)
        for start, step, wall_s, value in iter_points(group, BLOCK_ROWS):
            stop = start + len(step)
            rows = np.zeros(len(step), POINT)
            rows["step"], rows["wall_s"], rows["value"] = step, wall_s, value
            low, high = np.searchsorted(ends, [start, stop - 1], side="right").tolist()
            edges = np.clip(ends[low : high + 1], start, stop)
            yield Piece(
                rows, np.arange(first + low, first + high + 1), np.diff(edges, prepend=start)
            )

    def iter_event_blocks(self) -> Iterator[EventBlock]:
        """Yield the events."""
        events, heap = self.table("events"), self.table("heap")
        for start in range(0, events.rows, EVENT_ROWS):
            yield cut_block(events.read(start, start + EVENT_ROWS), heap)

    def table(self, name: str) -> Any:
        """Return a table, opening the file if needed."""
        if name not in self._tables:
            self._tables[name] = SealedTable(self._file, name, self.path)
        return self._tables[name]

    def is_unchanged(self) -> bool:
        """Tell whether nothing was added since: a sealed file never changes."""
        return True

    def release(self) -> None:
        """Stay open: there is only one."""

    def close(self) -> None:
        """Close the file."""
        self._tables.clear()
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    @property
    def _file(self) -> Any:
        if self._handle is None:
            self._handle = open_file(self.path, kind=SEALED_KIND, swmr=False)
        return self._handle

    def _groups(self) -> list[tuple[str, Any]]:
        """Return the groups of all metrics, then of all sensors, whose names are marked."""
        metrics, sensors = read_index(self._file), read_sensor_index(self._file)[0]
        found = [(name, self._file[METRICS_GROUP][one.group]) for name, one in metrics.items()]
        return found + [
            (SENSOR_MARK + name, self._file[SYSTEM_GROUP][one.group])
            for name, one in sensors.items()
        ]
