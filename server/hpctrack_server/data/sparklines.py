"""Small pictures of a metric, one per run of a table: lowest and highest value per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import run_folder
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.store.envelope import ALL, Envelope, draw_window
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.cache import ByteCache
from hpctrack_server.data.entries import reading
from hpctrack_server.data.index.query import RunQuery, Scope
from hpctrack_server.data.index.run_index import RunIndex

CACHE_BYTES = 8 * 1024 * 1024
VALUE_BYTES = 32
MEAN_MAX_POINTS = 2_000_000
"""Of so many points the mean over the ranks is taken; of more one rank is drawn, by its pyramid."""

BUDGET_S = 3.0
"""After so long the rest is left to the next request."""

WIDTH_MAX = 400
RUNS_MAX = 500

Line = list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparks:
    """What was drawn.

    Parameters
    ----------
    lines : dict
        By run id; empty for a run that has not logged the metric.
    left : list of str
        Runs that there was no time for.
    """

    lines: dict[str, Line]
    left: list[str]


class SparkReader:
    """Reads and keeps small pictures. Not safe for several threads.

    Parameters
    ----------
    store : Path
    index : RunIndex
        Tells whether a run is as it was.
    clock : Clock, optional
    """

    def __init__(self, store: Path, index: RunIndex, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._index = index
        self._clock = clock
        self._cache: ByteCache[Line] = ByteCache(CACHE_BYTES)

    def draw(self, project: str, metric: str, ids: Sequence[str], width: int) -> Sparks:
        """Return the lowest and highest value of each of ``width`` stretches, of the ranks' mean.

        Raises
        ------
        NotFoundError
            There is no such project.
        """
        wanted = tuple(dict.fromkeys(ids))[:RUNS_MAX]
        query = RunQuery(ids=wanted, scope=Scope.ALL)
        known, columns = self._index.values(project, ["@stamp", "ranks"], query)
        until_s = self._clock.mono_s() + BUDGET_S
        lines: dict[str, Line] = {}
        left: list[str] = []
        for run, stamp, ranks in zip(known, *columns.values(), strict=True):
            key = (project, run, metric, width, stamp)
            line = self._cache.get(key)
            if line is None and self._clock.mono_s() > until_s:
                left.append(run)
                continue
            if line is None:
                stretches = max(1, min(width, WIDTH_MAX) // 4)
                line = self._read((project, run), metric, stretches, is_alone=ranks == 1)
                self._cache.put(key, line, VALUE_BYTES * (len(line) + 8))
            lines[run] = line
        return Sparks(lines=lines, left=left)

    def _read(self, of: tuple[str, str], metric: str, width: int, *, is_alone: bool) -> Line:
        run = StoredRun(run_folder(self._store, *of), clock=self._clock)
        try:
            with reading("/".join(of)):
                return make_line(draw_run(run, metric, width, is_alone=is_alone))
        except HpctrackError:
            return []  # the run's page says what is wrong with it
        finally:
            run.close()


def draw_run(run: StoredRun, metric: str, width: int, *, is_alone: bool) -> Envelope:
    """Return a metric of a run in few numbers: the mean over its ranks.

    Raises
    ------
    HpctrackError
        The run has not logged the metric, or cannot be read.
    """
    if is_alone:
        return run.envelope(metric, width=width)
    if run.metric_sizes().get(metric, 0) > MEAN_MAX_POINTS:
        try:
            return run.envelope(metric, width=width)
        except NotFoundError:  # the last stage of a pipeline has the loss
            return run.envelope(metric, run.brief.size - 1, width=width)
    mean = run.metric(metric).reduce("mean", by="step")
    return draw_window(mean.step, mean.value, ALL, width)


def make_line(envelope: Envelope) -> Line:
    """Return an envelope as one line: up and down where a stretch has more than one value."""
    line: Line = []
    for low, high in zip(envelope.low.tolist(), envelope.high.tolist(), strict=True):
        line += [low] if low == high else [low, high]
    return line
