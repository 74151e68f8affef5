"""The runs of a store by column: filtered, sorted, grouped and paged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack_server.data.frames import BrokenFrame, ProjectFrame, Pulse
from hpctrack_server.data.index.parts import RowArray
from hpctrack_server.data.index.query import ColumnFacts, Group, RunPage, RunQuery, Scope
from hpctrack_server.data.index.scanner import Scanner
from hpctrack_server.data.index.segment import Segment
from hpctrack_server.data.index.snapshot import Snapshot
from hpctrack_server.data.index.tiers import LIVE, STAMP
from hpctrack_server.language.completion import Completion, complete
from hpctrack_server.settings import ServerSettings

SCAN_INTERVALS = 2
"""The index looks half as often as the watcher of single runs."""


class RunIndex:
    """Answers from memory; what has changed in the store is found by a thread, not by a page.

    Every method may be called from any thread. One that has not been started reads a project when
    it is asked for, and again only by `refresh`.

    Parameters
    ----------
    settings : ServerSettings
        Where the store is.
    clock : Clock, optional
        For tests.
    cache : Path, optional
        Where tables are kept for the next start; default the user's cache folder.
    """

    def __init__(
        self, settings: ServerSettings, *, clock: Clock = SYSTEM_CLOCK, cache: Path | None = None
    ) -> None:
        self._clock = clock
        self._scanner = Scanner(
            settings.store.expanduser(),
            clock=clock,
            stale_after_s=settings.stale_after_s,
            interval_s=settings.poll_interval_s * SCAN_INTERVALS,
            cache=cache,
            is_following=settings.is_following,
        )

    def start(self) -> None:
        """Begin to follow the store."""
        self._scanner.start()

    def close(self) -> None:
        """Stop, and keep what is known for the next start."""
        self._scanner.close()

    def refresh(self) -> None:
        """Wait, not longer than two seconds, until what has just been written is known."""
        self._scanner.refresh()

    def projects(self) -> tuple[ProjectFrame, ...]:
        """Return the projects, those without runs too, the most recently active first."""
        frames = [self._describe(name, found) for name, found in self._scanner.snapshots().items()]
        return tuple(sorted(frames, key=lambda one: (-one.last_wall_s, one.name)))

    def version(self, project: str) -> str:
        """Return a text that differs whenever a project's table looks different.

        Raises
        ------
        NotFoundError
            There is no such project.
        """
        return self._scanner.snapshot(project).version

    def pulse(self, project: str) -> Pulse:
        """Return how a project's table stands; see `version`.

        Raises
        ------
        NotFoundError
            There is no such project.
        """
        snapshot = self._scanner.snapshot(project)
        start, _, _ = snapshot.version.rpartition("-")
        return Pulse(version=snapshot.version, turns=f"{start}-{snapshot.turns}")

    def live_runs(self, project: str, ids: Sequence[str]) -> dict[str, float]:
        """Return which of some runs were live a moment ago, and when each began, UTC seconds.

        Raises
        ------
        NotFoundError
            There is no such project.
        """
        found = self._take(project, ids, ("id", LIVE, "created"))
        rows = zip(found["id"], found[LIVE], found["created"], strict=True)
        return {one: created for one, is_live, created in rows if is_live and created is not None}

    def store_version(self) -> str:
        """Return a text that differs whenever projects, or runs that go on, are others.

        It costs nothing, and stays as it is while runs only log.
        """
        return self._scanner.version

    def broken(self, project: str) -> tuple[BrokenFrame, ...]:
        """Return the runs that cannot be read, and why.

        Raises
        ------
        NotFoundError
            There is no such project.
        """
        return self._scanner.snapshot(project).broken

    def page(self, project: str, query: RunQuery, keys: Sequence[str] | None = None) -> RunPage:
        """Return a part of the runs that match.

        Parameters
        ----------
        project : str
        query : RunQuery
        keys : sequence of str, optional
            Columns of the rows; default all that there are.

        Raises
        ------
        NotFoundError
            There is no such project.
        QueryError
            The filter cannot be understood; it says where.
        """
        snapshot, found, rows = self._find(project, query)
        wanted = snapshot.kinds if keys is None else {"id": 0, "state": 0, **dict.fromkeys(keys)}
        columns = snapshot.take(list(wanted), rows)
        told = [
            {key: value for key, value in zip(columns, values, strict=True) if value is not None}
            for values in zip(*columns.values(), strict=True)
        ]
        return RunPage(
            rows=tuple(told),
            matches=len(found),
            total=snapshot.scope_size(query.scope),
            version=snapshot.version,
            pending=snapshot.pending,
        )

    def ids(self, project: str, query: RunQuery) -> list[str]:
        """Return the ids of all runs that match, in order, whatever ``start`` and ``count``."""
        snapshot = self._scanner.snapshot(project)
        rows = self._order_all(snapshot, query)
        return snapshot.take(["id"], rows)["id"]

    def stamps(self, project: str, ids: Sequence[str]) -> list[str]:
        """Return for each of some runs a text that differs whenever its files do; else empty."""
        found = self._take(project, ids, ("id", STAMP))
        known = dict(zip(found["id"], found[STAMP], strict=True))
        return [str(known.get(one) or "") for one in ids]

    def _take(self, project: str, ids: Sequence[str], keys: Sequence[str]) -> dict[str, list[Any]]:
        snapshot = self._scanner.snapshot(project)
        query = RunQuery(ids=tuple(ids), scope=Scope.ALL)
        rows = snapshot.find(query, now_wall_s=self._clock.wall_s()) if ids else np.zeros(0, int)
        return snapshot.take(keys, rows)

    def columns(self, project: str) -> list[ColumnFacts]:
        """Return all columns that the runs of a project have, facts first."""
        return self._scanner.snapshot(project).facts()

    def columns_left_out(self, project: str) -> int:
        """Return how many columns there are too many of: those that the fewest runs have."""
        return self._scanner.snapshot(project).left_out

    def values(
        self, project: str, keys: Sequence[str], query: RunQuery
    ) -> tuple[list[str], dict[str, list[Any]]]:
        """Return some columns of all runs that match: ids, and by key one value per run.

        A run without a value has None.
        """
        snapshot = self._scanner.snapshot(project)
        rows = self._order_all(snapshot, query)
        found = snapshot.take(list(dict.fromkeys([*keys, "id"])), rows)
        return found["id"], {key: found[key] for key in keys}

    def groups(
        self,
        project: str,
        keys: Sequence[str],
        query: RunQuery,
        columns: Sequence[str] | None = None,
    ) -> list[Group]:
        """Return the runs that match by their values of some keys, the largest group first.

        Parameters
        ----------
        project : str
        keys : sequence of str
            Column keys; ``@config-but-seed`` is all of the configuration but seeds.
        query : RunQuery
            The runs of a group are in its order.
        columns : sequence of str, optional
            Whose mean, min, max, std and n are told; default all that hold numbers.
        """
        snapshot = self._scanner.snapshot(project)
        return snapshot.group(keys, self._order_all(snapshot, query), columns)

    def counts(self, project: str, key: str, query: RunQuery) -> dict[Any, int]:
        """Return how many of the runs that match have each value of a column.

        None stands for those without one. 10 ms for 1,000,000 runs and a column of few texts.
        """
        snapshot = self._scanner.snapshot(project)
        return snapshot.count(key, snapshot.find(query, now_wall_s=self._clock.wall_s()))

    def table(self, project: str, keys: Sequence[str], query: RunQuery) -> tuple[Segment, RunPage]:
        """Return a part of the runs that match as Arrow arrays, and the page without rows."""
        snapshot, found, rows = self._find(project, query)
        page = RunPage(
            rows=(),
            matches=len(found),
            total=snapshot.scope_size(query.scope),
            version=snapshot.version,
            pending=snapshot.pending,
        )
        return snapshot.table(list(dict.fromkeys(["id", *keys])), rows), page

    def complete(self, project: str, text: str, at: int) -> Completion:
        """Propose what could be typed next in a filter."""
        snapshot = self._scanner.snapshot(project)
        return complete(text, at, columns=snapshot.kinds, values=snapshot.common_values)

    def kinds(self, project: str) -> dict[str, str]:
        """Return what each column holds, by key."""
        return {key: str(kind) for key, kind in self._scanner.snapshot(project).kinds.items()}

    def _find(self, project: str, query: RunQuery) -> tuple[Snapshot, RowArray, RowArray]:
        """Return the snapshot, all rows that match, and those of the part that is wanted."""
        snapshot = self._scanner.snapshot(project)
        found = snapshot.find(query, now_wall_s=self._clock.wall_s())
        start, count = max(query.start, 0), max(query.count, 0)
        rows = snapshot.order(query, found, min(start + count, len(found)))
        return snapshot, found, rows[start : start + count]

    def _order_all(self, snapshot: Snapshot, query: RunQuery) -> RowArray:
        found = snapshot.find(query, now_wall_s=self._clock.wall_s())
        return snapshot.order(query, found, len(found))

    def _describe(self, name: str, snapshot: Snapshot) -> ProjectFrame:
        counts = snapshot.counts
        running = int(counts["running"])
        return ProjectFrame(
            name=name,
            runs=int(counts["runs"]),
            running=running,
            broken=len(snapshot.broken),
            last_wall_s=self._clock.wall_s() if running else counts["last_wall_s"],
        )
