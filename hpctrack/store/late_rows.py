"""Removing node files that are in the sealed file, without what came in at the last moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hpctrack.errors import NotFoundError, StoreFormatError
from hpctrack.store.events import Event, iter_events
from hpctrack.store.salvage import NodeCopy
from hpctrack.store.schema import PLACE_TABLES, POINT, SAMPLE, EventKind, Place
from hpctrack.store.seal_sources import COUNTED_TABLES, NodeSource

NAMING = (EventKind.NAME, EventKind.SENSOR, EventKind.DEVICE)
"""Events without which later rows of the same file mean nothing."""

AFTER_S = 0.0005
"""The new file is that much younger than the one that it goes on from; its agent's next file is
younger by at least a millisecond."""


class _Rows:
    """What was added to a node file behind what was sealed; it needs no name any more."""

    def __init__(self, source: NodeSource, sealed: dict[str, int]) -> None:
        self._source = source
        self._sealed = sealed
        for name in (*COUNTED_TABLES, *PLACE_TABLES.values()):
            source.table(name).refresh()

    def __bool__(self) -> bool:
        return any(self._source.table(name).rows > rows for name, rows in self._sealed.items())

    def read(self, name: str) -> Any:
        """Return the late rows of a table."""
        table = self._source.table(name)
        return table.read(self._sealed[name], table.rows)

    def read_bytes(self, place: Place, offset: int, size: int) -> bytes:
        """Return bytes that an event points to."""
        found = bytes(self._source.table(PLACE_TABLES[place]).read(offset, offset + size))
        if len(found) != size:
            raise StoreFormatError(f"{self._source.path}: an event points behind the end")
        return found

    def iter_events(self) -> Iterable[Event]:
        """Yield the names of all, and the late events."""
        rows = self._source.table("events").read(0, self._source.table("events").rows)
        heap = self._source.table("heap")
        is_late = np.arange(len(rows)) >= self._sealed["events"]
        wanted = rows[is_late | np.isin(rows["kind"], NAMING)]
        return iter_events(wanted, np.asarray(heap.read(0, heap.rows), np.uint8))


def remove_sealed(source: NodeSource) -> None:
    """Remove a node file; what its agent has added since it was sealed goes into a new one.

    Parameters
    ----------
    source : NodeSource
        The file, whose rows are in the sealed file as far as they were there.

    Raises
    ------
    StoreError, StoreFullError
        There is something late, and the new file cannot be written.

    Notes
    -----
    An agent that was stopped while others took it for dead may wake up at any moment. What it
    flushes after the name is gone it writes again elsewhere, because it looks at that; so the
    rows are counted once more when the name is gone, through the open file. An agent whose flush
    lasts from before that moment until after it writes those rows twice.
    """
    sealed = dict(zip(COUNTED_TABLES, source.sealed_rows, strict=True))
    try:
        source.table(COUNTED_TABLES[0])  # opened while it has a name
    except NotFoundError:
        return
    try:
        source.path.unlink(missing_ok=True)
        late = _Rows(source, sealed)
        if late:
            _write(source, late)
    finally:
        source.close()


def _write(source: NodeSource, late: _Rows) -> None:
    (node,) = source.nodes
    facts = {key: node.facts[key] for key in ("run", "project", "node", "attempt", "host")}
    facts["created_wall_s"] = float(node.facts["created_wall_s"]) + AFTER_S
    with NodeCopy(source.path.parent, facts, late) as copy:
        copy.add_events(late.iter_events())
        copy.add_points(np.asarray(late.read("points"), POINT))
        copy.add_samples(np.asarray(late.read("samples"), SAMPLE))
        copy.close(node.pulse_wall_s)
