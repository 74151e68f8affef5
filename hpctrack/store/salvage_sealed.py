"""Writing what is intact of a damaged sealed file into new node files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import StoreFormatError
from hpctrack.store.columns import Columns
from hpctrack.store.damaged_sealed import FoundGroup, OpenDamaged
from hpctrack.store.events import NodeEvents, iter_events
from hpctrack.store.salvage import Lost, NodeCopy, Salvaged
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.sealed_file import DAMAGE, make_node, read_json, read_runs, read_sensor_index
from hpctrack.store.streams import FileSensors


def salvage_sealed_file(path: Path, scratch: Path) -> Salvaged:
    """Write what is intact of a sealed file into new node files, which can be sealed again.

    Parameters
    ----------
    path, scratch : Path
        As for `salvage_node_file`.

    Raises
    ------
    StoreFormatError
        Nothing can be read.
    StoreError, StoreFullError
        The new files cannot be written.
    """
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(OpenDamaged(path, scratch))
        sources, lost_events = _find_nodes(opened)
        if not sources:
            raise StoreFormatError(f"nothing in {path} can be read")
        writers = []
        for source in sources:
            writers.append(stack.enter_context(NodeCopy(scratch, source.facts, opened)))
            writers[-1].add_events(source.events)
        first: dict[int, NodeCopy] = {}
        for writer in writers:
            first.setdefault(writer.attempt, writer)
        for name, group in opened.metrics.items():
            one = _read_columns(group)
            for attempt in np.unique(one.attempt).tolist():
                writer = first.get(attempt, writers[0])
                writer.add_metric(name, one.take(one.attempt == attempt))
        lost_samples = _copy_sensors(opened, writers, sources)
        points, events = sum(one.points for one in writers), sum(one.events for one in writers)
        if not points and not events:
            raise StoreFormatError(f"nothing in {path} can be read")
        told = sum(len(source.events) for source in sources) + sum(one.named for one in writers)
        lost = Lost(
            max(0, _count_told(opened, sources) - points), lost_samples, told - events + lost_events
        )
        writers[0].add_loss(lost)
        for writer, source in zip(writers, sources, strict=True):
            writer.close(source.pulse_wall_s)
    node_ids = frozenset(str(source.facts.get("uuid")) for source in sources)
    return Salvaged([one.path for one in writers], points, events, lost, node_ids)


def _count_told(opened: OpenDamaged, sources: Sequence[NodeEvents]) -> int:
    """Return how many points the file tells of, by whichever part of it knows of most."""
    logged = (source.facts.get("points") for source in sources)
    return max(opened.told_points, sum(one for one in logged if isinstance(one, int)))


def _copy_sensors(
    opened: OpenDamaged, writers: Sequence[NodeCopy], sources: Sequence[NodeEvents]
) -> int:
    """Give each host's samples to the first file of that host; return how many are lost."""
    told = sum(one.points for one in opened.sensors.values())
    try:
        streams = read_sensor_index(opened.file)[1]
    except DAMAGE:
        return told  # nobody knows what they are of
    first: dict[str, int] = {}
    for number, source in enumerate(sources):
        first.setdefault(str(source.facts.get("host", "")), number)
    devices: dict[int, dict[str, int]] = {}
    for number in set(first.values()):
        known = FileSensors(sources[number].facts)
        known.learn(sources[number].events)
        devices[number] = {key: device for device, key in known.devices.items()}
    for name, group in opened.sensors.items():
        columns = _read_columns(group)
        for number in np.unique(columns.rank).tolist():
            stream = streams[number]
            which = first.get(stream.host, 0)
            known_here = devices.get(which, {})
            device = known_here.get(stream.device, -1) if stream.device else -1
            writers[which].add_sensor(
                name, columns.take(columns.rank == number), device, stream.rank
            )
    return max(0, told - sum(one.samples for one in writers))


def _find_nodes(opened: OpenDamaged) -> tuple[list[NodeEvents], int]:
    """Return what each node file said, and how many events of theirs cannot be read.

    Where the list of them is lost, their events tell what they were; else one is made up for each
    attempt.
    """
    try:
        nodes = [make_node(entry, []) for entry in read_json(opened.file, "nodes")]
    except DAMAGE:
        nodes = []
    if nodes:
        return nodes, _read_events(opened.file, nodes)
    nodes = [_make_up(opened, {}) for _number in range(_count_nodes(opened.file))]
    lost = _read_events(opened.file, nodes)
    for node in nodes:
        starts = (one.json() for one in node.events if one.kind == EventKind.START)
        node.facts.update(_pick_facts(next(starts, {})))
    known = {node.facts["attempt"] for node in nodes if node.events}
    attempts = {one for group in opened.metrics.values() for one in _read_attempts(group)}
    nodes += [_make_up(opened, {"attempt": one}) for one in sorted(attempts - known)]
    return nodes, lost


def _read_attempts(group: FoundGroup) -> list[int]:
    try:
        found: list[int] = read_runs(group.file)[1].tolist()
    except DAMAGE:
        return []
    return found


def _make_up(opened: OpenDamaged, facts: Mapping[str, Any]) -> NodeEvents:
    folder = opened.path.parent
    wall_s = opened.path.stat().st_mtime
    told = {"run": folder.name, "project": folder.parent.name, "node": 0, "attempt": 1, "host": ""}
    return NodeEvents({**told, "created_wall_s": wall_s, **facts}, wall_s, is_closed=True)


def _pick_facts(said: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"attempt": int, "node": int, "host": str}
    return {key: said[key] for key, kind in kinds.items() if isinstance(said.get(key), kind)}


def _count_nodes(file: Any) -> int:
    try:
        rows, is_there = _read_chunks(file["events"])
    except DAMAGE:
        return 0
    return int(rows["node"][is_there].astype(np.int64).max(initial=-1)) + 1


def _read_events(file: Any, nodes: Sequence[NodeEvents]) -> int:
    """Give nodes the events that can be read; return how many cannot, 0 if nobody knows."""
    try:
        rows, has_row = _read_chunks(file["events"])
    except DAMAGE:
        return 0
    try:
        data, has_byte = _read_chunks(file["heap"])
    except DAMAGE:
        data, has_byte = np.zeros(0, np.uint8), np.zeros(0, bool)
    # How many bytes of the heap before each one are gone.
    gone = np.concatenate([[0], np.cumsum(~has_byte)])
    first, last = rows["offset"].astype(np.int64), (rows["offset"] + rows["size"]).astype(np.int64)
    is_inside = (first >= 0) & (last >= first) & (last < len(gone))
    first, last = np.where(is_inside, first, 0), np.where(is_inside, last, 0)
    is_whole = is_inside & (gone[last] == gone[first])
    is_there = has_row & (is_whole | (rows["flags"] != Place.HEAP))
    for number, node in enumerate(nodes):
        node.events.extend(iter_events(rows[is_there & (rows["node"] == number)], data))
    return int(np.count_nonzero(~is_there))


def _read_columns(group: FoundGroup) -> Columns:
    """Return the points of a metric, or samples of a sensor, of which all parts can be read."""
    try:
        rank, attempt, count = read_runs(group.file)
        step, has_step = _read_chunks(group.file["step"])
        wall_s, has_wall_s = _read_chunks(group.file["wall_s"])
        value, has_value = _read_chunks(group.file["value"])
        if value.ndim > 1:
            step, has_step = np.tile(step, len(rank)), np.tile(has_step, len(rank))
        columns = Columns(
            np.repeat(rank, count), np.repeat(attempt, count), step, wall_s.ravel(), value.ravel()
        )
        is_there = has_step & has_wall_s.ravel() & has_value.ravel()
        return columns.take(is_there & (columns.wall_s > 0))
    except DAMAGE:
        return Columns.empty()


def _read_chunks(table: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a table; return zeros for what is damaged, and which values are not."""
    values = np.zeros(table.shape, table.dtype)
    is_there = np.zeros(table.shape, bool)
    for part in table.iter_chunks() if table.chunks else [()]:
        with contextlib.suppress(*DAMAGE):
            values[part] = table[part]
            is_there[part] = True
    return values, is_there
