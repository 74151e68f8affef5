"""Writing a live node file: fixed tables that only grow, readable while they do."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hpctrack.core.layout import NodeFileName
from hpctrack.store.growing_file import GrowingFile, begin_file
from hpctrack.store.node_image import make_image
from hpctrack.store.schema import EVENT, PLACE_TABLES, POINT, SAMPLE, EventKind, Place
from hpctrack.store.space import explain, probe

ROLL_OVER_BYTES = 4 * 1024**3
ROLL_OVER_S = 3600.0
"""A lost node loses at most the file that it was writing: one that was closed is synced."""


NOBODY = 2**31
"""Session number of events that no rank has sent: the agent's own, and those that were salvaged."""


class NewEvent(NamedTuple):
    """An event to be written.

    Parameters
    ----------
    kind : int
        An `EventKind`, or one of a newer writer in a copy.
    body : bytes
        What the kind says.
    wall_s : float
    rank, session : int
    place : Place
        The table that the body goes to.
    """

    kind: int
    body: bytes
    wall_s: float
    rank: int
    session: int
    place: Place = Place.HEAP


class NodeFile(GrowingFile):
    """One agent's file of one run. Not safe for several threads.

    Parameters
    ----------
    folder : Path
        The run's folder; made if needed.
    facts : mapping
        ``run, project, node, attempt, host``; ``uuid`` for the salvaged part of another file.
    wall_s : float
        Now.
    is_suspect : bool
        Somebody died writing here: try the folder with a small file first.
    roll_over_bytes, roll_over_s : float
        When `should_roll` says so; 0 means never.

    Raises
    ------
    StoreError, StoreFullError
        The folder or the file cannot be made.

    Notes
    -----
    What its methods raise is said at `GrowingFile`.
    """

    def __init__(
        self,
        folder: Path,
        facts: Mapping[str, Any],
        *,
        wall_s: float,
        is_suspect: bool = False,
        roll_over_bytes: float = ROLL_OVER_BYTES,
        roll_over_s: float = ROLL_OVER_S,
    ) -> None:
        name = NodeFileName(int(facts["node"]), int(facts["attempt"]), secrets.token_hex(4))
        self._created_wall_s = wall_s
        self._roll_over_bytes, self._roll_over_s = roll_over_bytes, roll_over_s
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if is_suspect:
                probe(folder)
            # It appears under its name when it can be read: half a file would look broken.
            scratch = folder / f".{name}.tmp"
            try:
                room = begin_file(scratch, make_image(facts, wall_s))
                super().__init__(folder / str(name), room, scratch)
                scratch.rename(self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    scratch.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise explain(error, folder) from None

    def should_roll(self, wall_s: float) -> bool:
        """Tell whether the file should be closed and followed by another one.

        Parameters
        ----------
        wall_s : float
            Now.
        """
        if not any(table.rows for table in self._tables.values()):
            return False
        size = sum(table.size_bytes for table in self._tables.values())
        age_s = wall_s - self._created_wall_s
        return bool(
            (self._roll_over_bytes and size >= self._roll_over_bytes)
            or (self._roll_over_s and age_s >= self._roll_over_s)
        )

    # -- writing ---------------------------------------------------------------------------------

    def add_points(self, rows: bytes | bytearray | memoryview) -> None:
        """Append packed `POINT` rows."""
        self._append({"points": np.frombuffer(rows, POINT)})

    def add_samples(self, rows: bytes | bytearray | memoryview) -> None:
        """Append packed `SAMPLE` rows."""
        self._append({"samples": np.frombuffer(rows, SAMPLE)})

    def add_event(
        self,
        kind: EventKind,
        body: bytes,
        *,
        wall_s: float,
        rank: int,
        session: int,
        place: Place = Place.HEAP,
    ) -> None:
        """Append an event and its bytes; many at once are cheaper with `add_events`."""
        self.add_events([NewEvent(kind, body, wall_s, rank, session, place)])

    def add_events(self, events: Sequence[NewEvent]) -> None:
        """Append events and their bytes, all or, with a `StoreFullError`, none."""
        rows = []
        bodies: dict[str, list[bytes]] = {}
        ends = {place: self._tables[name].rows for place, name in PLACE_TABLES.items()}
        for kind, body, wall_s, rank, session, place in events:
            offset, size = ends[place], len(body)
            rows.append((wall_s, offset, size, kind, place, rank, session, 0))
            ends[place] = offset + size
            bodies.setdefault(PLACE_TABLES[place], []).append(body)
        joined = {name: np.frombuffer(b"".join(parts), np.uint8) for name, parts in bodies.items()}
        self._append({**joined, "events": np.array(rows, EVENT)})

    def add_bytes(self, body: bytes, place: Place) -> int:
        """Append bytes that an event, or a payload's description, will point to.

        Returns
        -------
        int
            Where they begin.
        """
        table = PLACE_TABLES[place]
        offset = self._tables[table].rows
        self._append({table: np.frombuffer(body, np.uint8)})
        return offset

    def flush(self, *, wall_s: float, is_last: bool = False) -> None:
        """Write everything through to the page cache, in an order that readers can rely on.

        Parameters
        ----------
        wall_s : float
            Now: the file's sign of life.
        is_last : bool
            The agent leaves the file for good.

        Raises
        ------
        StoreError
            As `write_through`.
        """
        self.write_through(wall_s, wall_s if is_last else 0.0)

    def close(self, *, wall_s: float, is_durable: bool = True) -> None:
        """Flush, say farewell and close; a plain HDF5 tool can open the file then.

        Parameters
        ----------
        wall_s : float
            Now.
        is_durable : bool
            Wait until the disk has it (fsync of file and folder).

        Raises
        ------
        StoreError
            The file was abandoned, or the disk may not have it.
        """
        self.flush(wall_s=wall_s, is_last=True)
        self.close_file(is_durable=is_durable)
