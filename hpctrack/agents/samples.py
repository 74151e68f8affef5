"""What sources of telemetry say, as one run's rows: numbers for sensors and devices, no repeats."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpctrack.store.schema import EventKind
from hpctrack.telemetry.reading import Device, Reading, Sample

REPEAT_S = 60.0
"""A value that does not change is written again after so long: clocks, limits and counters of
errors stand still for hours, and a reader can still tell "unchanged" from "not read"."""

NODE = -1
"""Device of a sample that is of the node or a process, and rank of one that is of no rank."""

_ROW = struct.Struct("<ddIii")
Told = tuple[EventKind, dict[str, Any]]


@dataclass(slots=True)
class _Last:
    value: float
    written_wall_s: float
    seen_wall_s: float


@dataclass(slots=True)
class SampleBook:
    """One run's sensors and devices.

    Notes
    -----
    Samples of devices that none of the run's ranks may use, and of processes that are not the
    run's, are left out: an agent may serve several runs of its job.
    """

    _sensors: dict[str, int] = field(default_factory=dict)
    _devices: dict[str, int] = field(default_factory=dict)
    _last: dict[tuple[int, int, int], _Last] = field(default_factory=dict)
    _uses: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _parents: Mapping[int, int] = field(default_factory=dict)
    _limited: set[str] = field(default_factory=set)
    _told: dict[str, Device] = field(default_factory=dict)
    _learnt: Mapping[int, tuple[str, ...]] | None = None

    def take(
        self, reading: Reading, wall_s: float, ranks: Mapping[int, int]
    ) -> tuple[bytes, list[Told]]:
        """Turn a reading into rows and events.

        Parameters
        ----------
        reading : Reading
        wall_s : float
            When it was made, UTC seconds.
        ranks : mapping
            The run's ranks by process number.

        Returns
        -------
        rows : bytes
            Packed `SAMPLE` rows.
        events : list of (EventKind, dict)
            To be written before them.
        """
        events: list[Told] = []
        for device in reading.devices:
            self._told[device.key] = device
            if device.key in self._devices:
                events.append(self._describe(device, ranks))
        if reading.uses is not None:
            events += self._learn_uses(reading.uses, ranks)
        if reading.parents is not None:
            self._parents = reading.parents
        rows = bytearray()
        for sample, rank in self.iter_own(reading, ranks):
            name, value, key, _pid = sample
            number = self._find_device(key, ranks, events) if key else NODE
            rows += self._write(self._find_sensor(name, events), number, rank, value, wall_s)
        return bytes(rows), events

    def iter_own(self, reading: Reading, ranks: Mapping[int, int]) -> Iterator[tuple[Sample, int]]:
        """Yield the samples that are this run's, each with its rank or `NODE`."""
        parents = reading.parents or self._parents
        used = self._find_used(ranks) if self._limited else frozenset[str]()
        for sample in reading.samples:
            _name, _value, device, pid = sample
            rank = NODE
            if pid:
                found = ranks.get(parents.get(pid, pid))
                if found is None:
                    continue
                rank = found
            if device and device in self._limited and device not in used:
                continue
            yield sample, rank

    def close(self) -> bytes:
        """Return rows of the values that have not changed since they were written."""
        rows = bytearray()
        for (sensor, device, rank), last in self._last.items():
            if last.seen_wall_s > last.written_wall_s:
                rows += _ROW.pack(last.seen_wall_s, last.value, sensor, device, rank)
                last.written_wall_s = last.seen_wall_s
        return bytes(rows)

    def _write(self, sensor: int, device: int, rank: int, value: float, wall_s: float) -> bytes:
        where = (sensor, device, rank)
        last = self._last.get(where)
        if last is None:
            self._last[where] = _Last(value, wall_s, wall_s)
            return _ROW.pack(wall_s, value, sensor, device, rank)
        if value == last.value and wall_s - last.written_wall_s < REPEAT_S:
            last.seen_wall_s = wall_s
            return b""
        rows = b""
        if last.seen_wall_s > last.written_wall_s and value != last.value:
            # Where it still had the old value: a step is drawn as a step, not as a ramp.
            rows = _ROW.pack(last.seen_wall_s, last.value, sensor, device, rank)
        last.value, last.written_wall_s, last.seen_wall_s = value, wall_s, wall_s
        return rows + _ROW.pack(wall_s, value, sensor, device, rank)

    def _find_sensor(self, name: str, events: list[Told]) -> int:
        number = self._sensors.get(name)
        if number is None:
            number = self._sensors[name] = len(self._sensors)
            events.append((EventKind.SENSOR, {"number": number, "name": name}))
        return number

    def _find_device(self, key: str, ranks: Mapping[int, int], events: list[Told]) -> int:
        number = self._devices.get(key)
        if number is None:
            number = self._devices[key] = len(self._devices)
            events.append(self._describe(self._told.get(key) or Device(kind="", key=key), ranks))
        return number

    def _describe(self, device: Device, ranks: Mapping[int, int]) -> Told:
        told: dict[str, Any] = {
            "number": self._devices[device.key],
            "kind": device.kind,
            "key": device.key,
            "name": device.name,
            "parent": device.parent,
            "facts": dict(device.facts),
        }
        if device.key in self._limited:
            users = (pid for pid, keys in self._uses.items() if device.key in keys)
            told["ranks"] = sorted({ranks[pid] for pid in users if pid in ranks})
        return EventKind.DEVICE, told

    def _learn_uses(
        self, uses: Mapping[int, tuple[str, ...]], ranks: Mapping[int, int]
    ) -> Iterable[Told]:
        if uses is self._learnt:
            return []
        self._learnt = uses
        changed = {key for pid, keys in uses.items() if self._uses.get(pid) != keys for key in keys}
        if not changed and uses.keys() <= self._uses.keys():
            return []
        self._uses.update(uses)
        self._limited |= {key for keys in uses.values() for key in keys}
        return [
            self._describe(self._told.get(key) or Device(kind="", key=key), ranks)
            for key in sorted(changed & self._devices.keys())
        ]

    def _find_used(self, ranks: Mapping[int, int]) -> frozenset[str]:
        """Return the devices that any of the ranks may use."""
        return frozenset(key for pid in ranks for key in self._uses.get(pid, ()))
