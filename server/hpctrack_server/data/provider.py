"""Everything a page can ask the store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.store.metric import Metric
from hpctrack.store.store import Store
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.cache import ByteCache
from hpctrack_server.data.downsample import Band, envelope, shrink_band, window
from hpctrack_server.data.entries import Entries, Entry, reading
from hpctrack_server.data.frames import (
    Axis,
    BrokenFrame,
    Line,
    ProjectFrame,
    Pulse,
    RunFrame,
    SeriesFrame,
    SeriesQuery,
    View,
)
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.reduce import Reduced, reduce_ranks
from hpctrack_server.data.watch import STORE
from hpctrack_server.settings import ServerSettings

ALL_RANKS_POINTS = 120_000
"""Points of one chart with a line per rank, about 1 MB: a hundred ranks in full."""

LINES_MAX = 256
"""More lines than this cannot be told apart; the ranks that are drawn are spread evenly."""

WIDTH_MIN = 32


class DataProvider:
    """Reads a store for the pages: lists, runs and series, already shrunk to what is shown.

    Everything here touches files, so all of it runs on the one thread of `Reader`.

    Parameters
    ----------
    settings : ServerSettings
        Where the store is, and how much of it may be kept in memory.
    index : RunIndex
        Which knows the lists of projects and runs.
    clock : Clock, optional
        For tests.

    Raises
    ------
    NotFoundError
        There is no store.
    """

    def __init__(
        self, settings: ServerSettings, index: RunIndex, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._index = index
        self.path: Path = Store(settings.store).path
        self._clock = clock
        self._entries = Entries(self.path, clock=clock, stale_after_s=settings.stale_after_s)
        self._cache: ByteCache[tuple[int, Metric]] = ByteCache(settings.cache_bytes // 2)
        self._reduced: ByteCache[tuple[int, Reduced]] = ByteCache(settings.cache_bytes // 2)

    def project_names(self) -> list[str]:
        """Return the projects' names; cheap."""
        return self._entries.project_names()

    def projects(self) -> tuple[ProjectFrame, ...]:
        """Return the projects, the most recently active first."""
        return self._index.projects()

    def find_run(self, project: str, run_id: str) -> RunFrame | None:
        """Return a run, or None if it is gone or cannot be read."""
        try:
            found = self.run(project, run_id)
        except NotFoundError:
            return None
        return found if isinstance(found, RunFrame) else None

    def run(self, project: str, run_id: str) -> RunFrame | BrokenFrame:
        """Return a run, or why it cannot be read.

        Raises
        ------
        NotFoundError
            There is no such run.
        """
        entry = self._entries.run(project, run_id)
        return self._broken(entry) if entry.record is None else self._run_frame(entry)

    def whole_run(self, project: str, run_id: str) -> RunFrame:
        """Return a run, for an answer that has no place for half of one.

        Raises
        ------
        HpctrackError
            There is no such run, or it cannot be read.
        """
        return self._run_frame(self._entries.run(project, run_id))

    def metrics(self, project: str, run_id: str) -> list[str]:
        """Return the names of a run's metrics, sorted.

        Raises
        ------
        HpctrackError
            There is no such run, or it cannot be read.
        """
        entry = self._entries.run(project, run_id)
        entry.read()
        if entry.sizes:
            return sorted(entry.sizes)
        with self._reading(entry):
            return entry.run.metrics()

    def series(self, project: str, run_id: str, query: SeriesQuery) -> SeriesFrame:
        """Return what a chart draws.

        Raises
        ------
        HpctrackError
            There is no such run or metric, or it cannot be read.
        """
        entry = self._entries.run(project, run_id)
        record = entry.read()
        metric = self._metric(entry, query.metric)
        ranks = metric.rank_numbers()
        if query.view == View.BAND:
            reduced = self._reduce(entry, metric)
            frame = make_band(reduced, query, zero_wall_s=record.created_wall_s)
        else:
            frame = make_lines(metric, query, zero_wall_s=record.created_wall_s)
        return dataclasses.replace(frame, version=entry.version, ranks=len(ranks))

    def pulse(self, project: str, run_id: str | None) -> Pulse:
        """Return how a run, a whole project, or the store stands; for the watcher.

        Raises
        ------
        HpctrackError
            It is gone, or cannot be read.
        """
        if (project, run_id) == STORE:
            return Pulse(version=self._index.store_version())
        if run_id is None:
            return self._index.pulse(project)
        entry = self._entries.run(project, run_id)
        state = entry.read().state
        return Pulse(
            version=entry.version, state=state, is_live=entry.is_live, sizes=dict(entry.sizes)
        )

    @contextmanager
    def open_run(self, project: str, run_id: str) -> Iterator[tuple[StoredRun, RunFrame]]:
        """Hold a run while its files are read; what they raise becomes an error of ours.

        Raises
        ------
        HpctrackError
            There is no such run, or it cannot be read.
        """
        entry = self._entries.run(project, run_id)
        frame = self._run_frame(entry)
        with self._reading(entry):
            yield entry.run, frame

    def own_run(self, project: str, run_id: str) -> StoredRun:
        """Return an own view of a run, for another thread than the one for pages; close it.

        Raises
        ------
        NotFoundError
            There is no such run.
        """
        return self._entries.make_run(project, run_id)

    def close(self) -> None:
        """Close all files."""
        self._entries.close()

    @contextmanager
    def _reading(self, entry: Entry) -> Iterator[None]:
        try:
            with reading(entry.label):
                yield
        finally:
            if not entry.is_live:
                entry.run.close()  # file handles are for runs that grow

    def _run_frame(self, entry: Entry) -> RunFrame:
        return RunFrame(
            record=entry.read(),
            version=entry.version,
            is_live=entry.is_live,
            # A run of another machine is known up to the last look at it there.
            now_wall_s=entry.synced_wall_s or self._clock.wall_s(),
            is_archived=entry.is_archived,
            is_deleted=entry.is_deleted,
        )

    def _broken(self, entry: Entry) -> BrokenFrame:
        error = entry.error or HpctrackError("it cannot be read")
        # Where the store lies is nobody's business who only looks at it.
        message = error.message.replace(f"{self.path}/", "")
        return BrokenFrame(id=entry.run.id, message=message, hint=error.hint or "")

    def _metric(self, entry: Entry, name: str) -> Metric:
        key = (entry.run.folder, name)
        held = self._cache.get(key)
        if held and held[0] == entry.version:
            return held[1]
        with self._reading(entry):
            metric = entry.run.metric(name)
        self._cache.put(key, (entry.version, metric), metric.size_bytes)
        return metric

    def _reduce(self, entry: Entry, metric: Metric) -> Reduced:
        key = (entry.run.folder, metric.name)
        held = self._reduced.get(key)
        if held and held[0] == entry.version:
            return held[1]
        reduced = reduce_ranks(metric)
        self._reduced.put(key, (entry.version, reduced), reduced.size_bytes)
        return reduced


def make_lines(metric: Metric, query: SeriesQuery, *, zero_wall_s: float) -> SeriesFrame:
    """Return one line, or one per rank, shrunk. Pure."""
    ranks = metric.rank_numbers()
    if query.view == View.RANK:
        chosen = [query.rank] if query.rank in ranks else []
    else:
        spread = np.linspace(0, len(ranks) - 1, min(len(ranks), LINES_MAX)).round()
        chosen = [ranks[int(one)] for one in spread]
    share = ALL_RANKS_POINTS // (2 * max(len(chosen), 1))
    width = max(WIDTH_MIN, min(query.width, share))
    lines, total = [], 0
    for rank in chosen:
        one = metric.rank(rank, by="step")
        x = one.step if query.x == Axis.STEP else one.wall_s - zero_wall_s
        y = one.value
        if len(x) > 1 and (x[1:] < x[:-1]).any():
            order = np.argsort(x, kind="stable")
            x, y = x[order], y[order]
        cut = window(x, query.start, query.end)
        total += len(x[cut])
        lines.append(Line(rank, *envelope(x[cut], y[cut], width=width)))
    return SeriesFrame(query=query, version=0, ranks=len(ranks), total=total, lines=tuple(lines))


def make_band(reduced: Reduced, query: SeriesQuery, *, zero_wall_s: float) -> SeriesFrame:
    """Return the mean over the ranks with its band, shrunk. Pure."""
    is_there = ~np.isnan(reduced.mean)
    x = reduced.step if query.x == Axis.STEP else reduced.wall_s - zero_wall_s
    # Across a requeue the time of a step can lie before that of the step before it.
    order = np.flatnonzero(is_there)[np.argsort(x[is_there], kind="stable")]
    whole = Band(
        x[order].astype(np.float64), reduced.mean[order], reduced.low[order], reduced.high[order]
    )
    part = whole.window(query.start, query.end)
    shrunk = shrink_band(part, width=2 * query.width)
    return SeriesFrame(query=query, version=0, ranks=0, total=len(part), band=shrunk)
