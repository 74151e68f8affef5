"""The sealed file: one per run, columnar per metric, compressed, readable by any HDF5 1.10.

::

    /            attributes kind, format, run, project, made_by, sealed_wall_s
    /record      JSON: the run as `record.assemble` saw it, with the final summary
    /nodes       JSON: facts, last sign of life and counts of each node file that went in
    /events      as in a live file; ``node`` counts the entries of /nodes
    /heap        the bytes of the events
    /metrics/0   one group per metric, attribute ``name``; rank, attempt, step, wall_s, value
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpctrack._version import __version__
from hpctrack.core.wire import make_plain
from hpctrack.errors import StoreFormatError
from hpctrack.store.columns import Columns
from hpctrack.store.events import NodeEvents, iter_events
from hpctrack.store.hdf5 import open_file
from hpctrack.store.record import RunRecord
from hpctrack.store.schema import EVENT, FORMAT_VERSION, LIBVER, SEALED_KIND

CHUNK_ROWS = 65536
"""Measured on noisy points: 6.4 bytes per (step, time, value), 0.16 s to write 10^6."""

COLUMN_TYPES = {"rank": "<u4", "attempt": "<u2", "step": "<i8", "wall_s": "<f8", "value": "<f8"}


def write_sealed(
    path: Path,
    record: RunRecord,
    sources: Sequence[NodeEvents],
    metrics: Mapping[str, Columns],
    *,
    wall_s: float,
) -> None:
    """Write a sealed file; the caller renames it into place once it has been read back.

    Parameters
    ----------
    path : Path
        A file that is not there yet.
    record : RunRecord
        With the final summary.
    sources : sequence of NodeEvents
        What goes into ``/nodes``, ``/events`` and ``/heap``.
    metrics : mapping of str to Columns
        All points, superseded ones too.
    wall_s : float
        Now.
    """
    with h5py.File(path, "x", libver=LIBVER, locking=False) as file:
        root = {
            "kind": SEALED_KIND,
            "format": FORMAT_VERSION,
            "run": record.id,
            "project": record.project,
            "made_by": f"hpctrack {__version__}",
            "sealed_wall_s": wall_s,
        }
        for key, value in root.items():
            file.attrs[key] = value
        _write_json(file, "record", record.to_json())
        _write_json(file, "nodes", [_node_entry(one) for one in sources])
        _write_events(file, sources)
        group = file.create_group("metrics")
        for number, name in enumerate(sorted(metrics)):
            _write_metric(group.create_group(str(number)), name, metrics[name])


def _node_entry(source: NodeEvents) -> dict[str, Any]:
    return {**source.facts, "pulse_wall_s": source.pulse_wall_s}


def _write_json(file: Any, name: str, value: object) -> None:
    text = json.dumps(value, default=make_plain).encode()
    file.create_dataset(name, data=np.bytes_(text))


def _write_events(file: Any, sources: Sequence[NodeEvents]) -> None:
    rows, bodies, offset = [], [], 0
    for node, source in enumerate(sources):
        for event in source.events:
            size = len(event.body)
            rows.append(
                (event.wall_s, offset, size, event.kind, 0, event.rank, event.session, node)
            )
            bodies.append(event.body)
            offset += size
    _write_column(file, "events", np.array(rows, EVENT))
    _write_column(file, "heap", np.frombuffer(b"".join(bodies), np.uint8))


def _write_metric(group: Any, name: str, columns: Columns) -> None:
    group.attrs["name"] = name
    group.attrs["points"] = len(columns)
    for column, dtype in COLUMN_TYPES.items():
        _write_column(group, column, getattr(columns, column).astype(dtype))


def _write_column(group: Any, name: str, values: np.ndarray[Any, Any]) -> None:
    if not len(values):
        group.create_dataset(name, (0,), values.dtype)
        return
    group.create_dataset(
        name,
        data=values,
        chunks=(min(len(values), CHUNK_ROWS),),
        shuffle=True,
        compression="gzip",
        compression_opts=1,
        fletcher32=True,
    )


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
            return RunRecord.from_json(self._json(file, "record"))

    def read_sources(self) -> list[NodeEvents]:
        """Return what each node file said; all are closed now."""
        with self._open() as file:
            nodes = self._json(file, "nodes")
            rows, heap = file["events"][:], file["heap"][:]
        return [
            NodeEvents(
                {key: value for key, value in entry.items() if key != "pulse_wall_s"},
                float(entry["pulse_wall_s"]),
                is_closed=True,
                events=list(iter_events(rows[rows["node"] == number], heap)),
            )
            for number, entry in enumerate(nodes)
        ]

    def metric_sizes(self) -> dict[str, int]:
        """Return the number of points of each metric."""
        with self._open() as file:
            return {
                str(group.attrs["name"]): int(group.attrs["points"])
                for group in file["metrics"].values()
            }

    def read_columns(self, names: Sequence[str] | None = None) -> dict[str, Columns]:
        """Return the points of some metrics, or of all."""
        wanted = None if names is None else set(names)
        found: dict[str, Columns] = {}
        with self._open() as file:
            for group in file["metrics"].values():
                name = str(group.attrs["name"])
                if wanted is None or name in wanted:
                    found[name] = self._columns(group)
        return found

    def _columns(self, group: Any) -> Columns:
        try:
            return Columns(
                group["rank"][:].astype(np.int64),
                group["attempt"][:].astype(np.int64),
                group["step"][:],
                group["wall_s"][:],
                group["value"][:],
            )
        except (OSError, RuntimeError, KeyError) as error:
            raise StoreFormatError(f"{self.path}: {group.name} is damaged: {error}") from None

    def _open(self) -> Any:
        return open_file(self.path, kind=SEALED_KIND, swmr=False)

    def _json(self, file: Any, name: str) -> Any:
        try:
            return json.loads(file[name][()])
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise StoreFormatError(f"{self.path}: {name} is damaged: {error}") from None
