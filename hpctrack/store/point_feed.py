"""What a run that is going on logs, as it comes: each row is read once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.store.columns import Columns
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.run_files import NodeReaders

ROWS_MAX = 200_000
"""Points of one node that are read in one look, 6 MB; of more the newest."""

CHECK_EVERY = 5
"""Looks between two at whatever else may have changed: new attempts, and the end."""

LIST_EVERY = 30
"""Looks between two at all of that, whatever the times of the folder say."""

SETTLED_S = 2.0
"""A folder that changed so lately may change again without telling: some clocks tick in seconds."""


@dataclass(frozen=True, slots=True)
class NewPoints:
    """Points of one metric that have come since the last look.

    Parameters
    ----------
    metric : str
    attempt : int
    columns : Columns
        In the order of the file.
    is_old : bool
        They were there before the first look.
    """

    metric: str
    attempt: int
    columns: Columns
    is_old: bool


class PointFeed:
    """A live run's newest points. Not safe for several threads.

    Parameters
    ----------
    folder : Path
        The run's.
    clock : Clock, optional
    stale_after_s : float, optional
        How long its agents may be silent before the run counts as over.
    rows_before : int, optional
        How many rows of each node are read that were there before.

    Attributes
    ----------
    is_over : bool
        Nobody writes any more.
    has_missed : bool
        More was written than one look reads: what there is has to be read anew.
    is_partial : bool
        Some rows were never read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock = SYSTEM_CLOCK,
        stale_after_s: float = 60.0,
        rows_before: int = 0,
    ) -> None:
        self.is_over = False
        self.has_missed = False
        self.is_partial = False
        self._files = NodeReaders(folder)
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._rows_before = rows_before
        self._readers: list[NodeReader] = []
        self._read: dict[Path, int] = {}
        self._looks = 0
        self._folder = folder
        self._folder_mtime_ns = -1

    def look(self) -> list[NewPoints]:
        """Return what has come since this was called last.

        Raises
        ------
        HpctrackError
            The files cannot be read.
        """
        is_first = not self._looks
        if self._looks % CHECK_EVERY == 0 and (self._looks % LIST_EVERY == 0 or self._is_changed()):
            self._list()
        self._looks += 1
        self.has_missed = False
        found = []
        for reader in self._readers:
            found += list(self._look_at(reader, is_first=is_first))
        return found

    def close(self) -> None:
        """Close the files."""
        self._files.close()
        self._readers = []

    def _is_changed(self) -> bool:
        """Tell whether anything but points may have come, for a dozen calls of the system."""
        now_wall_s = self._clock.wall_s()
        return self._find_mtime_ns() != self._folder_mtime_ns or not all(
            one.has_only_points_new(now_wall_s, self._stale_after_s) for one in self._readers
        )

    def _find_mtime_ns(self) -> int:
        return os.stat(self._folder).st_mtime_ns  # noqa: PTH116 - of each run, each few seconds

    def _list(self) -> None:
        mtime_ns = self._find_mtime_ns()
        is_settled = abs(self._clock.wall_s() - mtime_ns * 1e-9) > SETTLED_S
        self._folder_mtime_ns = mtime_ns if is_settled else -1
        self._files.refresh()
        self._readers = self._files.open_all()
        now_wall_s = self._clock.wall_s()
        events = [one.read_events() for one in self._readers]
        self.is_over = not any(one.is_live(now_wall_s, self._stale_after_s) for one in events)

    def _look_at(self, reader: NodeReader, *, is_first: bool) -> Iterator[NewPoints]:
        rows = reader.refresh_points()
        start = self._read.get(reader.path, 0)
        if is_first:
            before = max(0, rows - self._rows_before)
            self.is_partial |= before > 0
            yield from self._take(reader, before, rows, is_old=True)
            start = rows
        elif rows - start > ROWS_MAX:
            self.has_missed = self.is_partial = True
            start = rows - ROWS_MAX
        self._read[reader.path] = rows
        yield from self._take(reader, start, rows, is_old=False)

    def _take(
        self, reader: NodeReader, start: int, stop: int, *, is_old: bool
    ) -> Iterator[NewPoints]:
        if start < stop:
            for metric, columns in reader.read_named_points(start, stop):
                yield NewPoints(metric, reader.attempt, columns, is_old)
