"""Reading a sealed file: one per run, columnar per metric, compressed, for any HDF5 1.10.

`sealed_layout` says what is in it; `docs/reference/format.md` is the prose.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import HpctrackError, StoreFormatError
from hpctrack.store.columns import Columns
from hpctrack.store.envelope import Envelope, Window
from hpctrack.store.events import NodeEvents, iter_events
from hpctrack.store.hdf5 import open_file
from hpctrack.store.record import RunRecord
from hpctrack.store.schema import PLACE_TABLES, SEALED_KIND, FloatArray, IntArray, Place
from hpctrack.store.sealed_layout import METRICS_GROUP, SYSTEM_GROUP, Layout
from hpctrack.store.sealed_matrix import SealedMatrix
from hpctrack.store.sealed_window import draw_sealed
from hpctrack.store.streams import SensorColumns, Stream

DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)
"""What h5py and the reading of JSON raise on a file that is not what it should be."""


@dataclass(frozen=True, slots=True)
class MetricEntry:
    """What the index says of a metric.

    Parameters
    ----------
    name : str
    group : str
        Where it is, below ``/metrics``.
    points : int
        Of all ranks, superseded ones included.
    layout : Layout
    ranks : int
        How many have logged it.
    """

    name: str
    group: str
    points: int
    layout: Layout
    ranks: int


class SealedReader:
    """A sealed file, opened for each question: it does not change, and handles are precious.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_record(self) -> RunRecord:
        """Return the run as it was when it was sealed."""
        with self._open() as file:
            return RunRecord.from_json(unpack_record(read_json(file, "record")))

    def read_sources(self) -> list[NodeEvents]:
        """Return what each node file said; all are closed now."""
        with self._open() as file:
            nodes = read_json(file, "nodes")
            rows, heap = file["events"][:], file["heap"][:]
        return [
            make_node(entry, list(iter_events(rows[rows["node"] == number], heap)))
            for number, entry in enumerate(nodes)
        ]

    def read_nodes(self) -> list[NodeEvents]:
        """Return what each node file said, without events."""
        with self._open() as file:
            return [make_node(entry, []) for entry in read_json(file, "nodes")]

    def node_ids(self) -> set[str]:
        """Return the ``uuid`` of each node file that went in."""
        with self._open() as file:
            return {str(entry.get("uuid")) for entry in read_json(file, "nodes")}

    def metric_sizes(self) -> dict[str, int]:
        """Return the number of points of each metric."""
        with self._open() as file:
            return {name: entry.points for name, entry in read_index(file).items()}

    def count_steps(self) -> int:
        """Return how many distinct steps the metric has that has most.

        Cost: reads the steps of metrics that may have more than those before, and nothing else.
        """
        most = 0
        with self._open() as file:
            groups = [file["metrics"][one.group] for one in read_index(file).values()]
            groups.sort(key=lambda group: -int(group["step"].shape[0]))
            for group in groups:
                if group["step"].shape[0] <= most:
                    break
                most = max(most, len(np.unique(group["step"][:])))
        return most

    def read_columns(self, names: Sequence[str] | None = None) -> dict[str, Columns]:
        """Return the points of some metrics, or of all; metrics that are not there are left out."""
        with self._open() as file:
            index = read_index(file)
            wanted = index if names is None else [name for name in names if name in index]
            return {name: read_group(file["metrics"][index[name].group]) for name in wanted}

    def sensor_names(self) -> list[str]:
        """Return the names of the sensors."""
        with self._open() as file:
            return list(read_sensor_index(file)[0])

    def read_sensor(self, name: str) -> SensorColumns | None:
        """Return all samples of a sensor; None if it has none."""
        with self._open() as file:
            index, streams = read_sensor_index(file)
            if name not in index:
                return None
            columns = read_group(file[SYSTEM_GROUP][index[name].group])
        known, here = np.unique(columns.rank, return_inverse=True)
        return SensorColumns(
            [streams[one] for one in known.tolist()],
            replace(columns, rank=here.astype(np.int64)),
        )

    def read_envelope(self, name: str, rank: int, window: Window, width: int) -> Envelope | None:
        """Return a window of one rank's points, shrunk for drawing.

        Parameters
        ----------
        name : str
        rank : int
        window : (int or None, int or None)
            Steps: from the first on, below the second.
        width : int
            Pixels.

        Returns
        -------
        Envelope or None
            None if the rank has not logged this metric.

        Notes
        -----
        Reads a few thousand buckets, and at most ``512 * width`` points, however long the
        series is.
        """
        with self._open() as file:
            entry = read_index(file).get(name)
            if entry is None:
                return None
            group = file["metrics"][entry.group]
            return draw_sealed(group, rank, window, width)

    @contextmanager
    def open_matrix(self, name: str) -> Iterator[SealedMatrix | None]:
        """Open one metric of all ranks, and its file meanwhile; None if nobody has logged it."""
        with self._open() as file:
            entry = read_index(file).get(name)
            yield None if entry is None else SealedMatrix(file[METRICS_GROUP][entry.group])

    def read_bytes(self, place: Place, offset: int, size: int) -> bytes:
        """Return bytes that an event or a payload's description points to.

        Raises
        ------
        StoreFormatError
            They are not there, or damaged.
        """
        name = PLACE_TABLES[place]
        with self._open() as file:
            found: bytes = file[name][offset : offset + size].tobytes()
        if len(found) != size:
            raise StoreFormatError(f"{self.path}: {name} ends before byte {offset + size}")
        return found

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """Open the file; what h5py raises on a damaged one becomes our error."""
        file = open_file(self.path, kind=SEALED_KIND, swmr=False)
        try:
            yield file
        except HpctrackError:
            raise
        except DAMAGE as error:
            text = str(error).partition("\n")[0]
            raise StoreFormatError(f"{self.path} is damaged: {text}") from None
        finally:
            file.close()


def read_json(file: Any, name: str) -> Any:
    """Return a JSON dataset: one string, compressed."""
    return json.loads(file[name][0])


def read_index(file: Any) -> dict[str, MetricEntry]:
    """Return the entries of all metrics, by name."""
    return _make_entries(read_json(file, "index")["metrics"])


def read_sensor_index(file: Any) -> tuple[dict[str, MetricEntry], list[Stream]]:
    """Return the entries of all sensors by name, and their streams; older files have none."""
    index = read_json(file, "index")
    streams = [
        Stream(str(host), int(node), str(device), int(rank))
        for host, node, device, rank in index.get("streams", ())
    ]
    return _make_entries(index.get("system", ())), streams


def _make_entries(rows: Iterable[Any]) -> dict[str, MetricEntry]:
    return {
        str(name): MetricEntry(str(name), str(group), int(points), Layout(layout), int(ranks))
        for name, group, points, layout, ranks in rows
    }


def make_node(entry: dict[str, Any], events: list[Any]) -> NodeEvents:
    """Return what a node file said, from its entry in ``/nodes``."""
    facts = {key: value for key, value in entry.items() if key != "pulse_wall_s"}
    return NodeEvents(facts, float(entry["pulse_wall_s"]), is_closed=True, events=events)


def pack_record(record: dict[str, Any]) -> dict[str, Any]:
    """Turn the ranks of a record into columns: ten thousand are read three times faster."""
    ranks = record.get("ranks") or []
    keys = list(ranks[0]) if ranks else []
    return {**record, "ranks": {key: [one[key] for one in ranks] for key in keys}}


def unpack_record(packed: dict[str, Any]) -> dict[str, Any]:
    """Undo `pack_record`."""
    columns = packed["ranks"]
    rows = zip(*columns.values(), strict=True)
    return {**packed, "ranks": [dict(zip(columns, row, strict=True)) for row in rows]}


def read_runs(group: Any) -> tuple[IntArray, IntArray, IntArray]:
    """Return rank, attempt and number of points of each stretch of a metric's points."""
    if "runs" in group:
        return split_runs(group["runs"][:])
    ranks = group["rank"][:].astype(np.int64)
    steps = int(group["step"].shape[0])
    return ranks, group["attempt"][:].astype(np.int64), np.full(len(ranks), steps, np.int64)


def split_runs(runs: NDArray[Any]) -> tuple[IntArray, IntArray, IntArray]:
    """Return rank, attempt and number of points of rows of ``runs``."""
    rank, attempt, count = (runs[key].astype(np.int64) for key in ("rank", "attempt", "count"))
    return rank, attempt, count


def iter_points(group: Any, rows: int) -> Iterator[tuple[int, IntArray, FloatArray, FloatArray]]:
    """Yield a metric's points in their order, about ``rows`` at a time.

    Yields
    ------
    start : int
        How many came before.
    step, wall_s, value : ndarray, shape (n,)
    """
    step, wall_s, value = group["step"], group["wall_s"], group["value"]
    if value.ndim == 1:
        for start in range(0, len(value), rows):
            stop = start + rows
            yield start, step[start:stop], wall_s[start:stop], value[start:stop]
        return
    ranks, steps = value.shape
    together = max(1, rows // steps // value.chunks[0]) * value.chunks[0] if steps <= rows else 1
    for row in range(0, ranks, together):
        for first in range(0, steps, rows):
            part = np.s_[row : row + together, first : first + rows]
            found = value[part]
            tiled = np.tile(step[first : first + rows], len(found))
            yield row * steps + first, tiled, wall_s[part].reshape(-1), found.reshape(-1)


def read_group(group: Any) -> Columns:
    """Return all points of a metric."""
    rank, attempt, count = read_runs(group)
    step: NDArray[Any] = group["step"][:]
    wall_s, value = group["wall_s"][:], group["value"][:]
    if value.ndim > 1:
        step, wall_s, value = np.tile(step, len(rank)), wall_s.reshape(-1), value.reshape(-1)
    return Columns(np.repeat(rank, count), np.repeat(attempt, count), step, wall_s, value)
