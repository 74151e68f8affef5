"""Following a run line by line: live, sealed, and sealed while it is followed."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from hpctrack.core.clock import Clock
from hpctrack.core.layout import SEALED_NAME
from hpctrack.errors import NotFoundError
from hpctrack.store.console import ConsoleFollower, ConsoleLine, ConsoleText, collapsed, show_line
from hpctrack.store.console_line import make_plain_line
from hpctrack.store.metric import no_such_metric
from hpctrack.store.node_tail import Point
from hpctrack.store.record import RunRecord, State
from hpctrack.store.run_tail import RunTail
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.stored_run import StoredRun

METRICS_SHOWN = 6
LOOK_BACK_ROWS = 65_536
LOOK_BACK_ROWS_MIN = 1024
LOOK_BACK_TIMES = 8
"""Points that are looked at for the first lines, of all files together; so many times as many if
those do not do."""


@dataclass(slots=True)
class TailLine:
    """What a rank logged at a step, or a line that it printed.

    Parameters
    ----------
    step : int
        Of what was logged.
    values : dict
        By metric; empty for what was printed.
    stream, text : str
        Of what was printed.
    has_rank : bool
        Whether the rank is named.
    """

    wall_s: float
    rank: int
    step: int = 0
    values: dict[str, float] = field(default_factory=dict)
    stream: str = ""
    text: str = ""
    has_rank: bool = False

    def __str__(self) -> str:
        """Return a line for people and pipes."""
        when = dt.datetime.fromtimestamp(self.wall_s, dt.UTC).astimezone().strftime("%H:%M:%S")
        who = f" rank {self.rank}" if self.has_rank else ""
        if self.stream:
            return f"{when}{who} | {self.text}"
        said = "  ".join(f"{name}={value:.6g}" for name, value in self.values.items())
        return f"{when}{who} step {self.step}  {said}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form; null for what is no number."""
        common = {"wall_s": self.wall_s, "rank": self.rank}
        if self.stream:
            return {"kind": "console", **common, "stream": self.stream, "text": self.text}
        values = {key: one if math.isfinite(one) else None for key, one in self.values.items()}
        return {"kind": "metrics", **common, "step": self.step, "values": values}


class Chooser:
    """Which metrics are shown.

    Parameters
    ----------
    patterns : sequence of str or None
        Names or globs; None for those with most points so far.
    """

    def __init__(self, patterns: Sequence[str] | None) -> None:
        self._patterns = patterns
        self._counts: Counter[str] = Counter()
        self._most: frozenset[str] = frozenset()

    def count(self, name: str, points: int = 1) -> None:
        """Take note of points; `settle` decides by them."""
        self._counts[name] += points

    def settle(self) -> None:
        """Decide anew which metrics have most points."""
        ordered = sorted(self._counts, key=lambda name: (-self._counts[name], name))
        self._most = frozenset(ordered[:METRICS_SHOWN])

    def find_unmatched(self, names: Iterable[str] | None = None) -> list[str]:
        """Return the patterns that no metric matches: of those counted so far, or of these."""
        known = list(self._counts if names is None else names)
        return [
            pattern
            for pattern in self._patterns or ()
            if not any(fnmatchcase(name, pattern) for name in known)
        ]

    def wants(self, name: str) -> bool:
        """Tell whether a metric is shown."""
        if self._patterns is None:
            return name in self._most
        return any(fnmatchcase(name, one) for one in self._patterns)


class Tail:
    """Follows one run; see the command.

    Parameters
    ----------
    run : StoredRun
    clock : Clock
    stale_after_s : float
    patterns : sequence of str or None
        See `Chooser`; empty: no metrics.
    rank : int or None
        None for all.
    has_console : bool
    """

    def __init__(
        self,
        run: StoredRun,
        *,
        clock: Clock,
        stale_after_s: float,
        patterns: Sequence[str] | None,
        rank: int | None,
        has_console: bool,
    ) -> None:
        # HDF5 shares what it knows of a file between all who have it open in a process, and then
        # does not see it grow: the file is closed here before it is opened for following.
        run.close()
        self._run = run
        self._rank = rank
        self._chooser = Chooser(patterns)
        self._wants_metrics = patterns is None or bool(patterns)
        self._live = RunTail(
            run.folder,
            clock=clock,
            stale_after_s=stale_after_s,
            rows=None,
            keeps_console=has_console,
        )
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}
        self._known_files: set[str] = set()
        self._console: ConsoleFollower | None = None
        if has_console:
            self._console = ConsoleText(self._find_sources, rank=rank).follow()
        self.is_running = False

    @property
    def record(self) -> RunRecord:
        """What the run is."""
        try:
            return self._live.record
        except NotFoundError:
            return self._run.record

    def begin(self, last: int) -> list[TailLine]:
        """Return the last lines there are."""
        lines = self._look_back(last)
        if not self._known_files:
            lines = self._read_sealed(last)
        lines = _merge(lines, self._read_console())
        return lines[len(lines) - min(last, len(lines)) :]

    def read_new(self) -> list[TailLine]:
        """Return the lines that have come since."""
        points = [
            point
            for node in self._live.visit()
            for point in self._take(self._live.iter_new_points(node))
        ]
        self._judge()
        return _merge(self._make_lines(points), self._read_console())

    def end(self) -> list[TailLine]:
        """Return what is left when the run is over."""
        # A file tells of a rank's end before it has the last of its points.
        rest = self.read_new() if self._known_files else []
        if self._has_missed():
            rest += self._read_missed()
        printed = [self._make_printed(one) for one in self._console.end()] if self._console else []
        return _merge(rest, printed)

    def check_metrics(self) -> None:
        """Make sure, when the run is over, that there were the metrics that were asked for.

        Raises
        ------
        NotFoundError
            The run has logged none that a pattern matches; the hint names the nearest.
        """
        if self._chooser.find_unmatched():
            self._run.refresh()
            names = self._run.metrics()
            for pattern in self._chooser.find_unmatched(names):
                raise no_such_metric(self._run.id, pattern, names)

    def close(self) -> None:
        """Close all files."""
        self._live.close()
        self._run.close()

    def _judge(self) -> None:
        """See how the run stands; what it logs last is there when it counts as over."""
        self._known_files |= {str(one.facts.get("uuid")) for one in self._live.nodes}
        try:
            record = self._live.record
        except NotFoundError:
            self.is_running = False
            return
        states = {one.state for one in record.ranks}
        self.is_running = State.RUNNING in states or record.state == State.RUNNING

    def _look_back(self, last: int) -> list[TailLine]:
        rows = LOOK_BACK_ROWS // max(1, len(self._run.files())) + LOOK_BACK_ROWS_MIN
        while True:
            points: list[Point] = []
            has_more = False
            for node in self._live.visit():
                has_more |= node.go_back(rows)
                points += self._take(self._live.iter_new_points(node))
            self._judge()
            points.sort(key=lambda one: one.wall_s)
            lines = self._make_lines(points)
            if len(lines) >= last or not has_more:
                return lines
            rows *= LOOK_BACK_TIMES

    def _take(self, points: Iterable[Point]) -> Iterator[Point]:
        """Yield the points of the ranks that are wanted, and count them."""
        for point in points:
            if self._wants_metrics and self._rank in {None, point.rank}:
                self._chooser.count(point.metric)
                yield point

    def _make_lines(self, points: Sequence[Point]) -> list[TailLine]:
        """Put together what a rank logged at one step."""
        self._chooser.settle()
        lines: list[TailLine] = []
        open_lines: dict[int, TailLine] = {}
        for name, rank, step, wall_s, value in points:
            if not self._chooser.wants(name):
                continue
            self._seen[name, rank] = (wall_s, step)
            line = open_lines.get(rank)
            if line is None or line.step != step or name in line.values:
                line = TailLine(wall_s, rank, step, has_rank=self._rank is None)
                open_lines[rank] = line
                lines.append(line)
            line.values[name] = value
        return lines

    def _read_console(self) -> list[TailLine]:
        if self._console is None:
            return []
        return [self._make_printed(one) for one in self._console.iter_new()]

    def _make_printed(self, line: ConsoleLine) -> TailLine:
        text = make_plain_line(show_line(collapsed(line)))
        return TailLine(
            line.wall_s,
            line.rank,
            stream=line.stream,
            text=text,
            has_rank=self._rank is None,
        )

    def _find_sources(self) -> Any:
        """Return live files while there are any, else what the store has of the run."""
        sources = self._live.console_sources()
        return sources or self._run._byte_sources()  # noqa: SLF001 - as `StoredRun.console` does

    def _read_sealed(self, last: int) -> list[TailLine]:
        if not self._wants_metrics or not (self._run.folder / SEALED_NAME).exists():
            return []
        for name, size in SealedReader(self._run.folder / SEALED_NAME).metric_sizes().items():
            self._chooser.count(name, size)
        return self._make_lines(self._read_columns(last))

    def _has_missed(self) -> bool:
        """Tell whether the sealed file has what we never saw as a node file."""
        path = self._run.folder / SEALED_NAME
        if not self._known_files or not path.exists():
            return False
        return self._live.has_missed or not SealedReader(path).node_ids() <= self._known_files

    def _read_missed(self) -> list[TailLine]:
        return self._make_lines(
            [
                one
                for one in self._read_columns(None)
                if (one.wall_s, one.step) > self._seen.get((one.metric, one.rank), (0.0, -1))
            ]
        )

    def _read_columns(self, last: int | None) -> list[Point]:
        """Return the points of the store by time, of each metric the last so many."""
        self._chooser.settle()
        self._run.refresh()
        found: list[Point] = []
        for name in self._run.metrics():
            if not self._chooser.wants(name):
                continue
            columns = self._run.columns([name])[name]
            rows: Iterable[tuple[int, int, float, float]] = sorted(
                zip(
                    columns.rank.tolist(),
                    columns.step.tolist(),
                    columns.wall_s.tolist(),
                    columns.value.tolist(),
                    strict=True,
                ),
                key=lambda one: one[2],
            )
            mine = (one for one in rows if self._rank in {None, one[0]})
            found += [Point(name, *one) for one in deque(mine, maxlen=last)]
        return sorted(found, key=lambda one: (one.wall_s, one.rank, one.step))


def _merge(first: list[TailLine], second: list[TailLine]) -> list[TailLine]:
    """Order lines by time; those of one kind stay in their order."""
    if not second:
        return first
    return sorted([*first, *second], key=lambda one: one.wall_s) if first else second
