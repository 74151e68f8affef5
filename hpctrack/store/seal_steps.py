"""The steps of sealing, which one process takes after each other, or several share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.client.definitions import Definition
from hpctrack.core.layout import SEALED_NAME, iter_node_files
from hpctrack.errors import BusyError, NotFoundError, StoreError, StoreFormatError, StoreFullError
from hpctrack.store.events import Event, NodeEvents
from hpctrack.store.hdf5 import open_file
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.placement import Plan, identify, mix_identity, sum_points
from hpctrack.store.record import RunRecord
from hpctrack.store.replica_states import ReplicaStates
from hpctrack.store.resealing import SealedSource
from hpctrack.store.schema import POINT, SEALED_KIND, EventKind, FloatArray, IntArray
from hpctrack.store.scratch import Scratch
from hpctrack.store.seal_events import EventWriter
from hpctrack.store.seal_metrics import MetricWriter, SealLimits
from hpctrack.store.seal_sources import BLOCK_ROWS, NodeSource, Source
from hpctrack.store.sealed_file import SealedReader, iter_points, pack_record, read_runs, split_runs
from hpctrack.store.sealed_layout import METRICS_GROUP, SYSTEM_GROUP
from hpctrack.store.sealed_writer import write_json
from hpctrack.store.small_metrics import SmallMetrics
from hpctrack.store.streams import SENSOR_MARK, Stream
from hpctrack.store.supersession import Edges

BULKY = {
    EventKind.NAME,
    EventKind.MEDIA,
    EventKind.PAYLOAD,
    EventKind.STDOUT,
    EventKind.STDERR,
}
"""Events that say nothing about the run itself; there may be millions, so they are never held."""

OPEN_FILES = 64
"""Up to so many node files stay open; a process may have 1,024 files in all."""

POINT_BYTES_MAX = 30
"""A point in the sealed file, at most: three columns that do not compress, and its pyramid."""

SPACE_MARGIN_BYTES = 16 * 1024 * 1024

Piece = tuple[int, IntArray, FloatArray, FloatArray]
"""Where it begins, steps, times and values."""

OnPoints = Callable[[int], None]


def find_sources(folder: Path) -> tuple[list[Source], list[Path]]:
    """Return what a run is sealed from, by age, and all its node files.

    Node files that are in the sealed file already are not among the sources.

    Raises
    ------
    StoreFormatError
        A node file cannot be read: sealing would lose it.
    BusyError
        A node file vanished: somebody else has just sealed the run.
    """
    target = folder / SEALED_NAME
    paths = list(iter_node_files(folder))
    replicas = ReplicaStates(folder)
    sources: list[Source] = []
    known: set[str] = set()
    if target.exists():
        nodes = SealedReader(target).read_nodes()
        known = {str(one.facts.get("uuid")) for one in nodes}
        sources.append(SealedSource(target, nodes))
    found = []
    for path in paths:
        try:
            with NodeReader(path, replicas=replicas) as reader:
                age_key, facts, as_of_wall_s = reader.age_key, reader.facts, reader.as_of_wall_s
                is_cut = bool(reader.missing_rows())
        except NotFoundError:
            raise BusyError(f"somebody has just sealed {folder.name}") from None
        except StoreFormatError:
            raise StoreFormatError(
                f"run {folder.name} has a node file that cannot be read: {path.name}",
                hint="`hpctrack repair` salvages it; or move it out of the folder to seal the rest",
            ) from None
        if str(facts.get("uuid")) not in known:
            if is_cut:
                raise StoreFormatError(
                    f"run {folder.name} has a node file of which a part is missing: {path.name}",
                    hint="`hpctrack repair` salvages what is there",
                )
            source = NodeSource(
                path, facts, stays_open=len(paths) <= OPEN_FILES, as_of_wall_s=as_of_wall_s
            )
            found.append((age_key, source))
    found.sort(key=lambda one: one[0])
    return sources + [source for _key, source in found], paths


def read_told(sources: Iterable[Source]) -> list[NodeEvents]:
    """Return what the sources say of the run: all events but the bulky ones."""
    told = []
    for source in sources:
        nodes = [replace(one, events=[]) for one in source.nodes]
        for block in source.iter_event_blocks():
            for row in block.rows.tolist():
                wall_s, offset, size, kind, place, rank, session, node = row
                if kind in BULKY or not 0 <= node < len(nodes):
                    continue
                body = block.heap[offset - block.heap_start : offset - block.heap_start + size]
                nodes[node].events.append(
                    Event(kind, wall_s, rank, session, body, place, offset, size)
                )
        source.release()
        told += nodes
    return told


def check_space(folder: Path, sources: Sequence[Source], points: int, limits: SealLimits) -> None:
    """Refuse to begin what cannot end: HDF5 must never meet a full disk.

    Raises
    ------
    StoreFullError
        The sealed file may not fit beside the node files.
    """
    needed = SPACE_MARGIN_BYTES + points * POINT_BYTES_MAX
    needed += POINT.itemsize * points * (points > limits.memory_rows)
    for source in sources:
        needed += sum(source.table(name).rows for name in ("heap", "text", "blobs"))
        source.release()
    found = os.statvfs(folder)
    if found.f_bavail * found.f_frsize < needed:
        raise StoreFullError(
            f"sealing {folder.name} may take {needed / 1e6:.0f} MB, the disk has less",
            hint="free space; nothing is lost meanwhile",
        )


def place_points(
    sources: Sequence[Source], plan: Plan, scratch: Scratch, on_points: OnPoints
) -> tuple[Edges, int]:
    """Put all points of a plan into the scratch.

    Returns
    -------
    edges : Edges
        The first and the lowest step of each group.
    checksum : int
        See `sum_points`.
    """
    cursors, identities = plan.start.copy(), plan.identities()
    lowest = np.full(len(cursors), np.iinfo(np.int64).max)
    edges = Edges(np.zeros(len(cursors), np.int64), lowest)
    checksum = 0
    for source, numbers in zip(sources, plan.of_source, strict=True):
        for piece in source.iter_pieces(numbers >= 0):
            groups, counts, rows = numbers[piece.groups], piece.counts, piece.rows
            scratch.put(cursors[groups], counts, rows)
            step = np.ascontiguousarray(rows["step"])
            begin = np.cumsum(counts) - counts
            is_new = cursors[groups] == plan.start[groups]
            edges.first[groups[is_new]] = step[begin[is_new]]
            lowest[groups] = np.minimum(lowest[groups], np.minimum.reduceat(step, begin))
            cursors[groups] += counts
            checksum += sum_points(
                np.repeat(identities[groups], counts),
                step,
                np.ascontiguousarray(rows["wall_s"]),
                np.ascontiguousarray(rows["value"]),
            )
            on_points(len(rows))
        source.release()
    if (cursors != plan.start + plan.count).any():
        raise StoreError("a node file changed while it was read: not sealed")
    return edges, checksum % 2**64


def write_metrics(
    file: Any,
    plan: Plan,
    limits: SealLimits,
    *,
    definitions: Sequence[Definition],
    scratch: Scratch,
    edges: Edges,
    on_points: OnPoints,
) -> tuple[list[list[Any]], dict[str, Any]]:
    """Write all metrics of a plan; return their entries of the index, and of the summary."""
    for place in (METRICS_GROUP, SYSTEM_GROUP):
        file.create_group(place)
    writer = MetricWriter(file, plan, edges, scratch, limits)
    entries: list[list[Any]] = []
    summary: dict[str, Any] = {}
    for metric in np.unique(plan.metric).tolist():
        entry, said = writer.write(metric, definitions, on_points)
        entries.append(entry)
        summary |= said
    return entries, summary


def write_rest(
    file: Any,
    record: RunRecord,
    sources: Sequence[Source],
    entries: list[list[Any]],
    streams: Sequence[Stream],
    *,
    on_piece: Callable[[], None],
) -> EventWriter:
    """Write everything but the metrics; ``on_piece`` is called often."""
    write_json(file, "record", pack_record(record.to_json()))
    nodes = [
        {**one.facts, "pulse_wall_s": one.pulse_wall_s}
        for source in sources
        for one in source.nodes
    ]
    write_json(file, "nodes", nodes)
    sensors = [one for one in entries if one[0].startswith(SENSOR_MARK)]
    index = {
        "metrics": [one for one in entries if not one[0].startswith(SENSOR_MARK)],
        "system": [[name.removeprefix(SENSOR_MARK), *rest] for name, *rest in sensors],
        "streams": streams,
    }
    write_json(file, "index", index)
    blob_bytes = sum(source.table("blobs").rows for source in sources)
    events = EventWriter(file, blob_bytes=blob_bytes, on_piece=on_piece)
    for source in sources:
        events.add(source)
        source.release()
    events.close()
    return events


def sum_metrics(path: Path, entries: Iterable[list[Any]], on_points: OnPoints) -> tuple[int, int]:
    """Read metrics of a sealed file back, checksums and all.

    Returns
    -------
    points, checksum : int
        How many there are, and `sum_points` of them.
    """
    points = checksum = 0
    file = open_file(path, kind=SEALED_KIND, swmr=False)
    try:
        small = SmallMetrics(file)
        for name, number, *_rest in entries:
            place = SYSTEM_GROUP if name.startswith(SENSOR_MARK) else METRICS_GROUP
            (rank, attempt, count), pieces = _read_back(file, small, f"{place}/{number}")
            ends = np.cumsum(count)
            identities = mix_identity(np.uint64(identify(name)), rank, attempt)
            for start, step, wall_s, value in pieces:
                stop = start + len(step)
                low, high = np.searchsorted(ends, [start, stop - 1], side="right").tolist()
                edges = np.concatenate([[start], np.clip(ends[low : high + 1], start, stop)])
                counts = edges[1:] - edges[:-1]
                identity = np.repeat(identities[low : high + 1], counts)
                checksum += sum_points(identity, step, wall_s, value)
                points += len(step)
                on_points(len(step))
    except (OSError, RuntimeError, LookupError, ValueError) as error:
        raise StoreError(
            f"the new sealed file of {path.parent.name} cannot be read back: {error}"
        ) from None
    finally:
        file.close()
    return points, checksum % 2**64


def _read_back(
    file: Any, small: SmallMetrics, path: str
) -> tuple[tuple[IntArray, IntArray, IntArray], Iterable[Piece]]:
    found = small.read(path)
    if found is None:
        group = file[path]
        return read_runs(group), iter_points(group, BLOCK_ROWS)
    runs, step, wall_s, value = found
    return split_runs(runs), [(0, step, wall_s, value)]


def check_unchanged(sources: Sequence[Source], folder: Path) -> None:
    """Make sure that nobody has written to a node file meanwhile.

    Raises
    ------
    BusyError
        Somebody has: what was written is not in the sealed file.
    """
    for source in sources:
        if not source.is_unchanged():
            raise BusyError(f"run {folder.name} is being written", hint="seal it when it has ended")


def make_durable(path: Path) -> None:
    """Make the file system write what it holds of a file, or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
