"""What can be wrong with a node file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hpctrack.core.layout import NodeFileName
from hpctrack.errors import HpctrackError, NotFoundError, StoreFormatError
from hpctrack.store.events import Event, NodeEvents
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.payloads import ByteSource
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.space import HEAD_BYTES, find_end
from hpctrack.store.streams import FileSensors

PIECE_BYTES = 8 * 1024 * 1024

TEXT_KINDS = frozenset({EventKind.NAME, EventKind.STDOUT, EventKind.STDERR})
"""Events whose bytes are no JSON."""


@dataclass(slots=True)
class Checked:
    """What was found in a file.

    Parameters
    ----------
    points : int
        How many could be read.
    errors, notes : list of str
        One line each.
    """

    points: int = 0
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_node_file(path: Path, *, now_wall_s: float, stale_after_s: float) -> Checked:
    """Read everything in a node file; nothing is raised for a damaged one.

    Parameters
    ----------
    path : Path
        The file.
    now_wall_s, stale_after_s : float
        A file that is not closed and has been silent for this long has lost its agent.
    """
    found = Checked()
    try:
        with NodeReader(path) as reader:
            _check(reader, found, now_wall_s, stale_after_s)
    except NotFoundError:
        found.notes.append("gone while we looked: the run has just been sealed")
    except HpctrackError as error:
        found.errors.append(error.message)
    return found


def _check(reader: NodeReader, found: Checked, now_wall_s: float, stale_after_s: float) -> None:
    source = reader.read_events()
    missing = reader.missing_rows()
    found.errors += [
        f"{name}: {count} of {reader.told_rows(name)} rows are not there"
        for name, count in missing.items()
    ]
    if source.is_closed and not missing:
        found.errors += _check_length(reader.path)
    found.errors += _check_place(reader.path, source.facts)
    torn = reader.torn_events()
    if torn and not missing:
        found.errors.append(f"{torn} events point to bytes that are not there")
    lost = reader.lost_events()
    if lost:
        found.errors.append(f"{lost} events, or their bytes, were lost by the disk")
    # Names may come after what they name as long as somebody writes the file.
    is_live = source.is_live(now_wall_s, stale_after_s)
    found.errors += _check_points(reader, found, is_live=is_live)
    found.errors += _check_samples(reader, source, is_live=is_live)
    found.errors += check_events(source.events, reader)
    _check_pulse(source, found, now_wall_s, stale_after_s)


def _check_points(reader: NodeReader, found: Checked, *, is_live: bool) -> Iterator[str]:
    nameless = timeless = 0
    named = reader.metric_numbers()
    for rows in reader.iter_points():
        found.points += len(rows)
        nameless += int(np.count_nonzero(~np.isin(rows["metric"], named)))
        timeless += int(np.count_nonzero(~(rows["wall_s"] > 0)))
    if nameless and not is_live:
        yield f"{nameless} points have no metric's name"
    if timeless:
        yield f"{timeless} points have no time: the disk lost them"


def _check_samples(reader: NodeReader, source: NodeEvents, *, is_live: bool) -> Iterator[str]:
    sensors = FileSensors(source.facts)
    sensors.learn(source.events)
    nameless = timeless = 0
    for rows in reader.iter_samples():
        nameless += int(np.count_nonzero(~np.isin(rows["metric"], list(sensors.names))))
        timeless += int(np.count_nonzero(~(rows["wall_s"] > 0)))
    if nameless and not is_live:
        yield f"{nameless} samples have no sensor's name"
    if timeless:
        yield f"{timeless} samples have no time: the disk lost them"


def _check_pulse(
    source: NodeEvents, found: Checked, now_wall_s: float, stale_after_s: float
) -> None:
    if not (math.isfinite(source.pulse_wall_s) and source.pulse_wall_s > 0):
        found.errors.append("the sign of life is no time")
    elif not source.is_closed:
        is_alive = source.is_live(now_wall_s, stale_after_s)
        what = "is being written" if is_alive else "its agent ended without a farewell"
        copy = "" if source.as_of_wall_s is None else "a copy of another machine's: "
        found.notes.append(f"{copy}{what}")


def _check_length(path: Path) -> Iterator[str]:
    """Look for a cut behind the last row: we can read such a file, plain HDF5 refuses it."""
    try:
        with path.open("rb") as file:
            missing = find_end(file.read(HEAD_BYTES)) - path.stat().st_size
    except OSError as error:
        yield f"cannot be read: {error.strerror}"
        return
    if missing > 0:
        yield f"{missing} bytes that nothing was in have been cut off"


def _check_place(path: Path, facts: dict[str, object]) -> Iterator[str]:
    """Compare what a file says of itself with where it is."""
    name = NodeFileName.parse(path.name)
    expected = {"run": path.parent.name, "project": path.parent.parent.name}
    if name:
        expected |= {"node": str(name.node), "attempt": str(name.attempt)}
    for key, value in expected.items():
        if key in facts and str(facts[key]) != value:
            yield f"it is of {key} {str(facts[key])!r}, not {value!r}"


def check_events(events: list[Event], reader: ByteSource) -> Iterator[str]:
    """Yield what is wrong with the bytes of events, payloads included."""
    broken = missing = 0
    for event in events:
        if event.place == Place.HEAP:
            broken += event.kind not in TEXT_KINDS and not is_json(event.body)
            if event.kind == EventKind.PAYLOAD:
                yield from _check_payload(event, reader)
        elif not _is_there(reader, event.place, event.offset, event.size):
            missing += 1
    if broken:
        yield f"{broken} events are not JSON"
    if missing:
        yield f"{missing} events point to bytes that cannot be read"


def is_json(body: bytes) -> bool:
    """Tell whether bytes are a JSON object."""
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _is_there(reader: ByteSource, place: int, offset: int, size: int) -> bool:
    try:
        for _piece in iter_bytes(reader, Place(place), offset, size):
            pass
    except (HpctrackError, ValueError):
        return False
    return True


def _check_payload(event: Event, reader: ByteSource) -> Iterator[str]:
    told = event.json()
    digest = str(told.get("digest"))
    found = hashlib.sha256()
    try:
        where = Place(int(told["place"])), int(told["offset"]), int(told["size"])
        for piece in iter_bytes(reader, *where):
            found.update(piece)
    except HpctrackError as error:
        yield f"payload {digest[:12]}: {error.message}"
        return
    except (ValueError, TypeError, KeyError):
        yield f"payload {digest[:12]}: nobody knows where it is"
        return
    if found.hexdigest() != digest:
        yield f"payload {digest[:12]} has other bytes than were written"


def iter_bytes(reader: ByteSource, place: Place, offset: int, size: int) -> Iterator[bytes]:
    """Yield bytes of a table, a few MiB at a time.

    Raises
    ------
    StoreFormatError
        They are not all there.
    """
    if offset < 0 or size < 0:
        raise StoreFormatError("no such bytes")
    for start in range(0, size, PIECE_BYTES):
        yield reader.read_bytes(place, offset + start, min(PIECE_BYTES, size - start))
