"""Writing a live node file: fixed tables that only grow, readable while they do."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpctrack._version import __version__
from hpctrack.core.layout import NodeFileName
from hpctrack.errors import StoreError, StoreFullError
from hpctrack.store.schema import (
    EVENT,
    FORMAT_VERSION,
    LIBVER,
    LIVE_KIND,
    POINT,
    PULSE,
    TABLES,
    EventKind,
)

SPACE_MARGIN_BYTES = 16 * 1024 * 1024
"""Free space below which HDF5 is not let near the disk: h5py dies of a segmentation fault when
a SWMR file meets a full one. A chunk of each table and HDF5's metadata stay far below this."""


class NodeFile:
    """One agent's file of one run. Not safe for several threads.

    Parameters
    ----------
    folder : Path
        The run's folder; made if needed.
    facts : mapping
        ``run, project, node, attempt, host``.
    wall_s : float
        Now.

    Raises
    ------
    StoreError
        The folder or the file cannot be made.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], *, wall_s: float) -> None:
        name = NodeFileName(int(facts["node"]), int(facts["attempt"]), secrets.token_hex(4))
        self.path = folder / str(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._check_space()
            # It appears under its name when it can be read: half a file would look broken.
            scratch = folder / f".{name}.tmp"
            self._file = _create(scratch, facts, wall_s)
            scratch.rename(self.path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"{folder} cannot be written: {reason}") from None
        self._tables = {table: self._file[table] for table in TABLES}
        self._sizes = dict.fromkeys(TABLES, 0)
        self._pulse = self._file[PULSE]

    @property
    def sizes(self) -> dict[str, int]:
        """Rows written to each table so far."""
        return dict(self._sizes)

    def add_points(self, rows: bytes) -> None:
        """Append packed `POINT` rows."""
        self._append("points", np.frombuffer(rows, POINT))

    def add_event(
        self, kind: EventKind, body: bytes, *, wall_s: float, rank: int, session: int
    ) -> None:
        """Append an event and its bytes."""
        offset = self._sizes["heap"]
        self._append("heap", np.frombuffer(body, np.uint8))
        row = np.zeros(1, EVENT)
        row["wall_s"], row["offset"], row["size"] = wall_s, offset, len(body)
        row["kind"], row["rank"], row["session"] = kind, rank, session
        self._append("events", row)

    def flush(self, *, wall_s: float, is_last: bool = False) -> None:
        """Write everything through to the page cache, in an order that readers can rely on.

        Parameters
        ----------
        wall_s : float
            Now: the file's sign of life.
        is_last : bool
            The agent leaves the file for good.
        """
        for table in self._tables.values():
            table.flush()
        self._pulse[:] = (wall_s, wall_s if is_last else 0.0)
        self._pulse.flush()

    def close(self, *, wall_s: float) -> None:
        """Flush, say farewell and close; a plain HDF5 tool can open the file then."""
        self.flush(wall_s=wall_s, is_last=True)
        self._file.close()
        with contextlib.suppress(OSError):
            _fsync(self.path)

    def _append(self, table: str, rows: Any) -> None:
        count = len(rows)
        if not count:
            return
        dataset, start = self._tables[table], self._sizes[table]
        chunk = dataset.chunks[0]
        if start // chunk != (start + count) // chunk or start == 0:
            self._check_space()
        dataset.resize((start + count,))
        dataset[start:] = rows
        self._sizes[table] = start + count

    def _check_space(self) -> None:
        """Refuse to grow into the last of the disk.

        Raises
        ------
        StoreFullError
            Less than `SPACE_MARGIN_BYTES` are free for us.
        """
        found = os.statvfs(self.path.parent)
        if found.f_bavail * found.f_frsize < SPACE_MARGIN_BYTES:
            raise StoreFullError(
                f"the disk of {self.path.parent} is full", hint="free space, or move the store"
            )


def _create(path: Path, facts: Mapping[str, Any], wall_s: float) -> Any:
    file = h5py.File(path, "x", libver=LIBVER, locking=False)
    root = {
        **{key: facts[key] for key in ("run", "project", "node", "attempt", "host")},
        "kind": LIVE_KIND,
        "format": FORMAT_VERSION,
        "created_wall_s": wall_s,
        "uuid": secrets.token_hex(16),
        "made_by": f"hpctrack {__version__}",
    }
    for key, value in root.items():
        file.attrs[key] = value
    for name, (dtype, rows) in TABLES.items():
        file.create_dataset(name, (0,), dtype, chunks=(rows,), maxshape=(None,))
    file.create_dataset(PULSE, data=np.array([wall_s, 0.0]))
    file.swmr_mode = True
    file.flush()
    return file


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
