"""Which samples belong together: one sensor of one device, or of one rank, on one host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.columns import Columns
from hpctrack.store.events import Event
from hpctrack.store.schema import EventKind, IntArray

SENSOR_MARK = "\x1f"
"""Before the name of a sensor where sensors and metrics are sorted together; no metric's name may
begin with it."""

MS_PER_S = 1000
"""Samples have no step; where one is needed it is their time in milliseconds."""


class Stream(NamedTuple):
    """What a sensor's samples are of.

    Parameters
    ----------
    host : str
    node : int
        The node's number in the job, a label.
    device : str
        Key of the device; empty if it is of the node or a rank as a whole.
    rank : int
        -1 if it is of no rank.
    """

    host: str
    node: int
    device: str
    rank: int


@dataclass(frozen=True, slots=True)
class SensorColumns:
    """All samples of one sensor that a file has.

    Parameters
    ----------
    streams : sequence of Stream
    columns : Columns
        ``rank`` is the number of a stream, ``step`` the time in milliseconds.
    """

    streams: Sequence[Stream]
    columns: Columns


class FileSensors:
    """What one node file says of the numbers in its samples.

    Parameters
    ----------
    facts : mapping
        The attributes of its root.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._host, self._node = str(facts.get("host", "")), int(facts.get("node", 0))
        self.names: dict[int, str] = {}
        self.devices: dict[int, str] = {}

    def learn(self, events: Iterable[Event]) -> None:
        """Take in events; others than of sensors and devices are passed over."""
        for event in events:
            if event.kind not in {EventKind.SENSOR, EventKind.DEVICE}:
                continue
            said = event.json()
            number = said.get("number")
            if not isinstance(number, int):
                continue
            if event.kind == EventKind.SENSOR:
                self.names[number] = str(said.get("name", ""))
            else:
                self.devices[number] = str(said.get("key", ""))

    def make_stream(self, device: int, rank: int) -> Stream:
        """Return what samples with a device and a rank are of."""
        key = self.devices.get(device, f"device-{device}") if device >= 0 else ""
        return Stream(self._host, self._node, key, rank)


def pair_up(samples: NDArray[np.void]) -> NDArray[np.uint64]:
    """Join device and rank of samples, both 32 bits, into one number."""
    device, rank = (
        np.ascontiguousarray(samples[key]).view(np.uint32).astype(np.uint64)
        for key in ("device", "rank")
    )
    return (device << np.uint64(32)) | rank


def split_pairs(pairs: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Undo `pair_up`."""
    device = (pairs >> np.uint64(32)).astype(np.uint32).view(np.int32)
    rank = (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32)
    return list(zip(device.tolist(), rank.tolist(), strict=True))


def to_steps(wall_s: NDArray[np.float64]) -> IntArray:
    """Return times in milliseconds."""
    return np.asarray(np.rint(wall_s * MS_PER_S), np.int64)


def group_samples(samples: NDArray[np.void], sensors: FileSensors) -> dict[str, SensorColumns]:
    """Return the samples of a file by sensor; those whose sensor has no name yet are left out."""
    samples = samples[samples["wall_s"] > 0]
    found: dict[str, SensorColumns] = {}
    pairs = pair_up(samples)
    metric = samples["metric"]
    for number in np.unique(metric).tolist():
        name = sensors.names.get(number)
        if name is None:
            continue
        mine = np.flatnonzero(metric == number)
        known, stream = np.unique(pairs[mine], return_inverse=True)
        order = np.argsort(stream, kind="stable")
        rows = samples[mine[order]]
        wall_s = rows["wall_s"].astype(np.float64)
        columns = Columns(
            stream[order].astype(np.int64),
            np.zeros(len(rows), np.int64),
            to_steps(wall_s),
            wall_s,
            rows["value"].astype(np.float64),
        )
        streams = [sensors.make_stream(*one) for one in split_pairs(known)]
        found[name] = SensorColumns(streams, columns)
    return found


def join_sensors(parts: Sequence[SensorColumns]) -> SensorColumns:
    """Put together what several files have of one sensor; streams are sorted."""
    streams = sorted({one for part in parts for one in part.streams})
    numbers = {one: number for number, one in enumerate(streams)}
    joined = []
    for part in parts:
        here = np.array([numbers[one] for one in part.streams], np.int64)
        columns = part.columns
        joined.append(
            Columns(
                here[columns.rank] if len(columns) else columns.rank,
                columns.attempt,
                columns.step,
                columns.wall_s,
                columns.value,
            )
        )
    return SensorColumns(streams, Columns.join(joined) if joined else Columns.empty())
