"""What an agent that died has left in files, as its successor must know it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.layout import iter_node_files
from hpctrack.errors import HpctrackError
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.schema import EventKind

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
        None if nobody can tell: a file cannot be read, or another process of the same rank has
        written to it too.
    """
    if not folder.is_dir():
        return 0
    total = 0
    wanted = tuple(hello.get(key) for key in IDENTITY)
    for path in iter_node_files(folder):
        if path == beside:
            continue
        try:
            with NodeReader(path) as reader:
                found = _count(reader, wanted, int(hello["rank"]))
        except HpctrackError:
            return None
        if found is None:
            return None
        total += found
    return total


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
