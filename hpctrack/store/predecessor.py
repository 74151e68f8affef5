"""What an agent that died has left in files, as its successor must know it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.layout import iter_node_files
from hpctrack.store.columns import Columns
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.schema import POINT, EventKind

IDENTITY = ("rank", "host", "pid", "attempt", "ring")
"""What makes two sessions those of one process, with the same shared memory."""


def count_written(
    folder: Path, hello: Mapping[str, Any], *, beside: Path | None = None
) -> int | None:
    """Count the points of a process that are in the node files of a folder.

    Parameters
    ----------
    folder : Path
        A run's folder; it need not be there.
    hello : mapping
        What the process says of itself.
    beside : Path, optional
        A file that does not count.

    Returns
    -------
    int or None
        None if counting does not tell: another process of the same rank has written to a file too.

    Raises
    ------
    HpctrackError
        A file cannot be read.
    """
    total = 0
    wanted = tuple(hello.get(key) for key in IDENTITY)
    for reader in _iter_readers(folder, beside):
        found = _count(reader, wanted, int(hello["rank"]))
        if found is None:
            return None
        total += found
    return total


def find_written(
    folder: Path,
    rank: int,
    since_wall_s: float,
    find_number: Callable[[str], int],
    *,
    beside: Path | None = None,
) -> Counter[bytes]:
    """Return the newest points of a rank in the node files of a folder, whichever process's.

    Parameters
    ----------
    folder : Path
        A run's folder; it need not be there.
    rank : int
    since_wall_s : float
        Older points are left out.
    find_number : callable
        Returns the number that a metric's name shall have in what is returned.
    beside : Path, optional
        A file that does not count.

    Returns
    -------
    Counter of bytes
        How often each row of `POINT` is there.

    Raises
    ------
    HpctrackError
        A file cannot be read.
    """
    found: Counter[bytes] = Counter()
    for reader in _iter_readers(folder, beside):
        for name, columns in reader.read_columns().items():
            chosen = (columns.rank == rank) & (columns.wall_s >= since_wall_s)
            if chosen.any():
                data = _pack_rows(columns.take(chosen), rank, find_number(name))
                size = POINT.itemsize
                found.update(data[at : at + size] for at in range(0, len(data), size))
    return found


def _pack_rows(columns: Columns, rank: int, metric: int) -> bytes:
    rows = np.empty(len(columns.step), POINT)
    for name in ("step", "wall_s", "value"):
        rows[name] = getattr(columns, name)
    rows["rank"], rows["metric"] = rank, metric
    return rows.tobytes()


def _iter_readers(folder: Path, beside: Path | None) -> Iterator[NodeReader]:
    if folder.is_dir():
        for path in iter_node_files(folder):
            if path != beside:
                with NodeReader(path) as reader:
                    yield reader


def _count(reader: NodeReader, wanted: tuple[object, ...], rank: int) -> int | None:
    starts = [
        event.json()
        for event in reader.read_events().events
        if event.kind == EventKind.START and event.rank == rank
    ]
    ours = [one for one in starts if tuple(one.get(key) for key in IDENTITY) == wanted]
    if not ours:
        return 0
    if len(ours) < len(starts):
        return None
    return sum(
        int(np.count_nonzero(columns.rank == rank)) for columns in reader.read_columns().values()
    )
