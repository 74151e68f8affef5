"""Writing what is intact of a damaged file into a new node file."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hpctrack.core.wire import NAME_HEAD
from hpctrack.errors import HpctrackError, StoreFormatError
from hpctrack.store.columns import Columns
from hpctrack.store.damaged_file import DamagedFile
from hpctrack.store.events import Event, NodeEvents, iter_events
from hpctrack.store.hdf5 import plain
from hpctrack.store.ledger import DAMAGED, add_rows
from hpctrack.store.node_file import NOBODY, NewEvent, NodeFile
from hpctrack.store.payloads import ByteSource
from hpctrack.store.schema import POINT, SAMPLE, EventKind, Place, PointArray
from hpctrack.store.sealed_file import (
    DAMAGE,
    SealedReader,
    read_group,
    read_index,
    read_sensor_index,
)
from hpctrack.store.sealed_layout import SYSTEM_GROUP
from hpctrack.store.streams import FileSensors
from hpctrack.store.verify_node import TEXT_KINDS, is_json
from hpctrack.store.verify_sealed import OpenSealed

BATCH_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was saved of a damaged file.

    Parameters
    ----------
    paths : list of Path
        The new files, in the folder that was given.
    points, events : int
        Written to them.
    lost_points, lost_events : int
        What the damaged file tells of besides; -1 if it cannot even say that.
    """

    paths: list[Path]
    points: int
    events: int
    lost_points: int
    lost_events: int


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
            saved = Salvaged(
                [writer.path],
                writer.points,
                writer.events,
                damaged.points.rows - writer.points,
                damaged.rows.rows - writer.events,
            )
            writer.note_losses(saved, lost_samples=damaged.samples.rows - writer.samples)
            writer.close(damaged.pulse_wall_s)
        return saved
    finally:
        damaged.close()


def salvage_sealed_file(path: Path, scratch: Path) -> Salvaged:
    """Write what is intact of a sealed file into new node files, which can be sealed again.

    Parameters
    ----------
    path, scratch : Path
        As for `salvage_node_file`.

    Raises
    ------
    StoreFormatError
        Nothing can be read, or not even the list of its node files.
    StoreError, StoreFullError
        The new files cannot be written.
    """
    sources = SealedReader(path).read_nodes()
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(OpenSealed(path))
        lost_events = _read_events(opened.file, sources)
        sizes = _find_metrics(opened.file)
        writers = []
        for source in sources:
            writers.append(stack.enter_context(NodeCopy(scratch, source.facts, opened)))
            writers[-1].add_events(source.events)
        first: dict[int, NodeCopy] = {}
        for writer in writers:
            first.setdefault(writer.attempt, writer)
        for name, one in _iter_metrics(opened.file, sizes):
            for attempt in np.unique(one.attempt).tolist():
                writer = first.get(attempt, writers[0])
                writer.add_metric(name, one.take(one.attempt == attempt))
        _copy_sensors(opened.file, writers, sources)
        points, events = sum(one.points for one in writers), sum(one.events for one in writers)
        told = sum(len(source.events) for source in sources) + sum(one.named for one in writers)
        saved = Salvaged(
            [one.path for one in writers],
            points,
            events,
            sum(size for _name, size in sizes.values()) - points,
            told - events + lost_events,
        )
        if writers:
            writers[0].note_losses(saved)
        for writer, source in zip(writers, sources, strict=True):
            writer.close(source.pulse_wall_s)
    return saved


def _copy_sensors(file: Any, writers: Sequence[NodeCopy], sources: Sequence[NodeEvents]) -> None:
    """Give each host's samples to the first file of that host; damaged ones are left out."""
    try:
        index, streams = read_sensor_index(file)
    except DAMAGE:
        return
    first: dict[str, int] = {}
    for number, source in enumerate(sources):
        first.setdefault(str(source.facts.get("host", "")), number)
    devices: dict[int, dict[str, int]] = {}
    for number in set(first.values()):
        known = FileSensors(sources[number].facts)
        known.learn(sources[number].events)
        devices[number] = {key: device for device, key in known.devices.items()}
    for name, entry in index.items():
        try:
            columns = read_group(file[SYSTEM_GROUP][entry.group])
        except DAMAGE:
            continue
        for number in np.unique(columns.rank).tolist():
            stream = streams[number]
            which = first.get(stream.host, 0)
            device = devices[which].get(stream.device, -1) if stream.device else -1
            writers[which].add_sensor(
                name, columns.take(columns.rank == number), device, stream.rank
            )


def _read_events(file: Any, nodes: Sequence[NodeEvents]) -> int:
    """Give nodes the events that can be read; return how many cannot, -1 if nobody knows."""
    try:
        events, heap = file["events"], file["heap"]
        rows, has_row = _read_chunks(events)
        data, has_byte = _read_chunks(heap)
    except DAMAGE:
        return -1
    # How many chunks of the heap before each one are gone.
    gone = np.concatenate([[0], np.cumsum(~has_byte)])
    size = int(heap.chunks[0])
    first, last = rows["offset"] // size, (rows["offset"] + rows["size"] + size - 1) // size
    last = np.minimum(last, len(has_byte))
    is_whole = gone[last] == gone[np.minimum(first, last)]
    is_there = np.repeat(has_row, int(events.chunks[0]))[: len(rows)]
    is_there &= is_whole | (rows["flags"] != Place.HEAP)
    for number, node in enumerate(nodes):
        node.events.extend(iter_events(rows[is_there & (rows["node"] == number)], data))
    return int(np.count_nonzero(~is_there))


def _read_chunks(table: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a table; return zeros for chunks that are damaged, and which ones are not."""
    rows = np.zeros(table.shape, table.dtype)
    size = int(table.chunks[0])
    is_there = np.zeros(-(-len(rows) // size), bool)
    for number in range(len(is_there)):
        part = slice(number * size, (number + 1) * size)
        with contextlib.suppress(*DAMAGE):
            rows[part] = table[part]
            is_there[number] = True
    return rows, is_there


def _find_metrics(file: Any) -> dict[str, tuple[str, int]]:
    """Return name and number of points of each metric's group; they say so if the index does not.

    Raises
    ------
    StoreFormatError
        They do not either.
    """
    try:
        return {one.group: (one.name, one.points) for one in read_index(file).values()}
    except DAMAGE:
        pass
    found = {}
    try:
        for number, group in file["metrics"].items():
            found[number] = str(plain(group.attrs["name"])), int(group.attrs["points"])
    except DAMAGE as error:
        raise StoreFormatError(f"the metrics cannot be found: {error}") from None
    return found


def _iter_metrics(file: Any, sizes: Mapping[str, tuple[str, int]]) -> Iterator[tuple[str, Columns]]:
    """Yield each metric for itself; those that are damaged are left out."""
    for number, (name, _size) in sizes.items():
        try:
            columns = read_group(file["metrics"][number])
        except DAMAGE:
            continue
        yield name, columns


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
        self._metrics = 0
        self._sensors: dict[str, int] = {}
        self._ledger: dict[str, Any] = {}

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
                if (new.kind, new.session) == (EventKind.LEDGER, NOBODY):
                    self._ledger = event.json()
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
        wall_s = float(columns.wall_s[0]) if len(columns) else 0.0
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

    def note_losses(self, saved: Salvaged, *, lost_samples: int = 0) -> None:
        """Put on record what could not be saved, so that the sealed run still says it.

        Added to what the file's agent, or an earlier repair, has said: the last ledger counts.
        """
        lost = {
            "points": saved.lost_points,
            "samples": lost_samples,
            "events": saved.lost_events,
        }
        ledger = add_rows(self._ledger, DAMAGED, [{key: max(0, n) for key, n in lost.items()}])
        if ledger != self._ledger:
            body = json.dumps(ledger).encode()
            self._write([NewEvent(EventKind.LEDGER, body, self._created_wall_s, -1, NOBODY)])

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
        return NewEvent(event.kind, body, event.wall_s, event.rank, event.session, place)

    def _copy_payload(self, event: Event) -> bytes:
        """Copy the bytes of a payload, and say where they are now."""
        told = event.json()
        place = Place(int(told["place"]))
        body = self._reader.read_bytes(place, int(told["offset"]), int(told["size"]))
        if hashlib.sha256(body).hexdigest() != told["digest"]:
            raise ValueError("other bytes")
        return json.dumps({**told, "offset": self._file.add_bytes(body, place)}).encode()
