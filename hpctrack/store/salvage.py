"""Writing what is intact of a damaged file into a new node file."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from hpctrack.core.wire import NAME_HEAD
from hpctrack.errors import HpctrackError
from hpctrack.store.columns import Columns
from hpctrack.store.damaged_file import DamagedFile
from hpctrack.store.events import Event
from hpctrack.store.node_file import NOBODY, NewEvent, NodeFile
from hpctrack.store.payloads import ByteSource
from hpctrack.store.schema import POINT, SAMPLE, EventKind, Place, PointArray
from hpctrack.store.verify_node import TEXT_KINDS, is_json

BATCH_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Lost:
    """What a damaged file tells of that could not be saved; what it does not tell of is not in it.

    Parameters
    ----------
    points, samples, events : int
    """

    points: int = 0
    samples: int = 0
    events: int = 0

    def to_ledger(self) -> dict[str, int]:
        """Return what a run's ledger says of it."""
        found = {f"unsalvaged_{key}": getattr(self, key) for key in self.__slots__}
        return {key: count for key, count in found.items() if count > 0}

    def __str__(self) -> str:
        """Say it."""
        found = [f"{getattr(self, key)} {key}" for key in self.__slots__]
        return ", ".join(one for one in found if not one.startswith("0 "))


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was saved of a damaged file.

    Parameters
    ----------
    paths : list of Path
        The new files, in the folder that was given.
    points, events : int
        Written to them.
    lost : Lost
    node_ids : set of str
        The ``uuid`` of each node file that was in a sealed one, as far as it says so.
    """

    paths: list[Path]
    points: int
    events: int
    lost: Lost
    node_ids: frozenset[str] = frozenset()


def salvage_node_file(path: Path, scratch: Path) -> Salvaged:
    """Write what is intact of a node file into a new one.

    Parameters
    ----------
    path : Path
        The damaged file.
    scratch : Path
        An empty folder of the same file system; the new file will be in it.

    Raises
    ------
    StoreFormatError
        Nothing can be read.
    StoreError, StoreFullError
        The new file cannot be written.
    """
    damaged = DamagedFile(path, scratch)
    try:
        with NodeCopy(scratch, damaged.facts, damaged) as writer:
            writer.add_events(damaged.iter_events())
            for rows in damaged.iter_points():
                writer.add_points(rows)
            for rows in damaged.iter_samples():
                writer.add_samples(rows)
            lost = Lost(
                max(0, damaged.points.rows - writer.points),
                max(0, damaged.samples.rows - writer.samples),
                max(0, damaged.rows.rows - writer.events),
            )
            writer.add_loss(lost)
            writer.close(damaged.pulse_wall_s)
        return Salvaged([writer.path], writer.points, writer.events, lost)
    finally:
        damaged.close()


class NodeCopy:
    """A new node file, and the events that may go into it."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], reader: ByteSource) -> None:
        self._created_wall_s = float(facts.get("created_wall_s", 0.0))
        self._file = NodeFile(folder, {"host": "", **facts}, wall_s=self._created_wall_s)
        self._reader = reader
        self.path = self._file.path
        self.attempt = int(facts["attempt"])
        self.points = 0
        self.samples = 0
        self.events = 0
        self.named = 0
        self._ledger: dict[str, Any] = {}
        self._metrics = 0
        self._sensors: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file, if `close` was not reached."""
        if error is not None:
            with contextlib.suppress(HpctrackError):
                self._file.close(wall_s=0.0, is_durable=False)

    def add_events(self, events: Iterable[Event]) -> None:
        """Add those that are what they should be."""
        batch: list[NewEvent] = []
        for event in events:
            new = self._check(event)
            if new:
                batch.append(new)
            if len(batch) == BATCH_EVENTS:
                self._write(batch)
                batch = []
        self._write(batch)

    def add_points(self, rows: PointArray) -> None:
        """Add rows whose metrics have been named."""
        if len(rows):
            self._file.add_points(np.ascontiguousarray(rows, POINT).tobytes())
            self._flush()
            self.points += len(rows)

    def add_metric(self, name: str, columns: Columns) -> None:
        """Name a metric and add its points."""
        number = self._metrics
        body = NAME_HEAD.pack(number) + name.encode()
        wall_s = float(columns.wall_s[0]) if len(columns) else self._created_wall_s
        self._write([NewEvent(EventKind.NAME, body, wall_s, -1, NOBODY)])
        rows = np.zeros(len(columns), POINT)
        rows["metric"], rows["rank"] = number, columns.rank
        rows["step"], rows["wall_s"], rows["value"] = columns.step, columns.wall_s, columns.value
        self._metrics += 1
        self.named += 1
        self.add_points(rows)

    def add_samples(self, rows: np.ndarray[Any, Any]) -> None:
        """Add rows whose sensors have been named."""
        if len(rows):
            self._file.add_samples(np.ascontiguousarray(rows, SAMPLE).tobytes())
            self._flush()
            self.samples += len(rows)

    def add_sensor(self, name: str, columns: Columns, device: int, rank: int) -> None:
        """Name a sensor, the first time, and add samples of one stream."""
        if name not in self._sensors:
            self._sensors[name] = len(self._sensors)
            body = json.dumps({"number": self._sensors[name], "name": name}).encode()
            self._write([NewEvent(EventKind.SENSOR, body, float(columns.wall_s[0]), -1, NOBODY)])
            self.named += 1
        rows = np.zeros(len(columns), SAMPLE)
        rows["metric"], rows["device"], rows["rank"] = self._sensors[name], device, rank
        rows["wall_s"], rows["value"] = columns.wall_s, columns.value
        self.add_samples(rows)

    def add_loss(self, lost: Lost) -> None:
        """Put what could not be saved into the run's ledger, with what nobody's ledger said before.

        Of the ledgers that no session says, the last one of a file counts.
        """
        found = lost.to_ledger()
        for key, count in found.items():
            earlier = self._ledger.get(key, 0)
            self._ledger[key] = count + (earlier if isinstance(earlier, int) else 0)
        if found:
            body = json.dumps(self._ledger).encode()
            wall_s = max(self._created_wall_s, 1.0)
            self._file.add_events([NewEvent(EventKind.LEDGER, body, wall_s, -1, NOBODY)])
            self._flush()

    def close(self, wall_s: float) -> None:
        """Close the file as of the last sign of life of its agent."""
        self._file.close(wall_s=wall_s)

    def _write(self, events: list[NewEvent]) -> None:
        if events:
            self._file.add_events(events)
            self._flush()
            self.events += len(events)

    def _flush(self) -> None:
        self._file.flush(wall_s=0.0)

    def _check(self, event: Event) -> NewEvent | None:
        """Return the event with its bytes, or None if it is broken."""
        place = Place(event.place)
        body = event.body
        try:
            if place != Place.HEAP:
                body = self._reader.read_bytes(place, event.offset, event.size)
            elif event.kind == EventKind.PAYLOAD:
                body = self._copy_payload(event)
        except (HpctrackError, ValueError, TypeError, KeyError):
            return None
        if event.kind == EventKind.NAME and len(body) <= NAME_HEAD.size:
            return None
        if place == Place.HEAP and event.kind not in TEXT_KINDS and not is_json(body):
            return None
        if event.kind == EventKind.LEDGER and event.session == NOBODY:
            self._ledger = event.json()
        return NewEvent(event.kind, body, event.wall_s, event.rank, event.session, place)

    def _copy_payload(self, event: Event) -> bytes:
        """Copy the bytes of a payload, and say where they are now."""
        told = event.json()
        place = Place(int(told["place"]))
        body = self._reader.read_bytes(place, int(told["offset"]), int(told["size"]))
        if hashlib.sha256(body).hexdigest() != told["digest"]:
            raise ValueError("other bytes")
        return json.dumps({**told, "offset": self._file.add_bytes(body, place)}).encode()
