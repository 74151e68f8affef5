"""Charts of many runs: what is asked, read run by run, and shrunk to what a screen shows."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError, UsageError
from hpctrack.store.store import Store
from hpctrack_server.data.downsample import FloatArray
from hpctrack_server.data.series.curves import RANKS_MAX, spread
from hpctrack_server.data.series.distribution import Distribution, read_distribution
from hpctrack_server.data.series.draw_lines import (
    draw_group,
    draw_pyramid_line,
    draw_whole_line,
    find_y_range,
    share_window,
    take_sample,
)
from hpctrack_server.data.series.frames import ChartFrame, ChartLine
from hpctrack_server.data.series.grouping import Member, cut_buckets
from hpctrack_server.data.series.lines import LineReader
from hpctrack_server.data.series.open_runs import OpenRun, OpenRuns
from hpctrack_server.data.series.pyramid_lines import draw_from_pyramid, find_ranks
from hpctrack_server.data.series.query import ChartQuery, Grouping
from hpctrack_server.data.series.shrink import Window
from hpctrack_server.language.errors import QueryError
from hpctrack_server.language.expression import Name, Node, iter_names, parse_expression
from hpctrack_server.settings import ServerSettings

POINTS_MAX = 120_000
"""Points of one answer, about 1 MB; of more lines each has fewer."""

WIDTH_MIN = 32

KEPT_POINTS = 1_000_000
"""Of a longer line a part is read from the file each time, 10 ms."""

OPERATORS = re.compile(r"[()*+%<>=!^,`]")
"""Signs that a metric's name seldom has: a text without them is taken for one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that a chart is about.

    Parameters
    ----------
    id, label : str
    group : str or None
    """

    id: str
    label: str
    group: str | None = None


@dataclass(slots=True)
class _Parts:
    """What a chart is put together from."""

    lines: list[ChartLine] = field(default_factory=list)
    extents: list[tuple[float, float]] = field(default_factory=list)
    groups: dict[str, list[Member]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    samples: list[FloatArray] = field(default_factory=list)
    stretch: float = 1.0
    note: str = ""


class ChartReader:
    """Answers what charts ask. All of it runs on one thread.

    Parameters
    ----------
    settings : ServerSettings
        Where the store is, and how much of it may be kept in memory.
    clock : Clock, optional
        For tests.
    """

    def __init__(self, settings: ServerSettings, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path: Path = Store(settings.store).path
        self._runs = OpenRuns(self._path, clock=clock, stale_after_s=settings.stale_after_s)
        self._lines = LineReader(settings.cache_bytes)

    def draw(self, project: str, wanted: Sequence[Wanted], query: ChartQuery) -> ChartFrame:
        """Return a chart; a run that cannot be read is named in it and hinders no other.

        Raises
        ------
        UsageError
            The question itself is wrong, such as an expression that cannot be understood.
        """
        steps = self.draw_in_steps(project, wanted, query)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                frame: ChartFrame = end.value
                return frame

    def draw_in_steps(
        self, project: str, wanted: Sequence[Wanted], query: ChartQuery
    ) -> Generator[None, None, ChartFrame]:
        """Do the same run by run; whatever happens between two steps does no harm.

        Raises
        ------
        UsageError
            As above.
        """
        parts = _Parts()
        node = yield from self._parse(query.y, project, wanted, parts)
        names = set() if node is None else set(iter_names(node))
        window = Window(
            start=query.start,
            end=query.end,
            width=max(WIDTH_MIN, min(query.width, POINTS_MAX // (2 * max(len(wanted), 1)))),
            log_x=query.log_x,
        )
        for one in wanted:
            try:
                # Opened for one step only: other work may close it before the next.
                opened = self._runs.get(project, one.id)
                if node is None or not names <= opened.sizes.keys():
                    parts.missing.append(one.id)
                else:
                    self._add_run(parts, opened, one, node=node, query=query, window=window)
            except UsageError:
                raise
            except HpctrackError as error:
                parts.errors.append(self._describe(one.id, error))
            yield
        if query.group is not None:
            yield from _add_groups(parts, query.group, window)
        return _make_frame(parts, query)

    def distribute_in_steps(
        self, project: str, run_id: str, metric: str, rank: int | None
    ) -> Generator[None, None, Distribution]:
        """Return how the values of a metric of one run are spread, step by step as well.

        Raises
        ------
        HpctrackError
            The run cannot be read, or it, or the rank, has not logged the metric.
        """
        opened = self._runs.get(project, run_id)
        found = yield from read_distribution(self._lines.curves, opened, metric, rank)
        return found

    def close(self) -> None:
        """Close all files."""
        self._runs.close()

    def _parse(
        self, text: str, project: str, wanted: Sequence[Wanted], parts: _Parts
    ) -> Generator[None, None, Node | None]:
        """Return the expression; None if it is the name of a metric that no run has."""
        known: set[str] = set()
        for one in wanted:
            with suppress(HpctrackError):  # told where it is drawn
                known |= self._runs.sizes(project, one.id).keys()
            if text in known:
                return Name(text)
            yield
        try:
            return parse_expression(text, known)
        except QueryError as error:
            if OPERATORS.search(text) or not text.strip():
                raise
            parts.note = error.in_a_line() if known else ""
            return None

    def _add_run(
        self,
        parts: _Parts,
        opened: OpenRun,
        one: Wanted,
        *,
        node: Node,
        query: ChartQuery,
        window: Window,
    ) -> None:
        """Add what is drawn of a run."""
        if query.group is None and isinstance(node, Name) and not query.smooth.is_on:
            found = self._draw_pyramid(opened, one, query, window)
            if found is not None:
                parts.lines += [line for line, _extent in found]
                parts.extents += [extent for _line, extent in found]
                return
        lines = self._lines.read(opened, node, query)
        share = share_window(window, len(lines), WIDTH_MIN)
        for line in lines:
            parts.stretch = max(parts.stretch, line.stretch)
            parts.extents.append(line.extent)
            if query.group is None:
                if line.stretch <= 1:
                    parts.samples.append(take_sample(line, share))
                parts.lines.append(draw_whole_line(one.id, one.label, line, share))
                continue
            raw = line.raw
            extremes = line.extremes
            if line.smoothed is not None:
                raw = extremes = type(raw)(raw.x, line.smoothed)
            parts.groups.setdefault(one.group or "", []).append(Member(raw, extremes, line.stretch))

    def _draw_pyramid(
        self, opened: OpenRun, one: Wanted, query: ChartQuery, window: Window
    ) -> list[tuple[ChartLine, tuple[float, float]]] | None:
        """Return a run's lines from its pyramids; None if they have to be read."""
        ranks = find_ranks(opened, query.y, query.ranks)
        if not ranks:
            return None
        is_whole = query.start is None and query.end is None and not query.log_x
        # Of a short line that is looked at closely its points are kept: the next look is quicker.
        if not is_whole and opened.sizes[query.y] <= KEPT_POINTS * len(ranks):
            return None
        ranks = spread(ranks, RANKS_MAX)
        share = share_window(window, len(ranks), WIDTH_MIN)
        found = []
        for rank in ranks:
            line = draw_from_pyramid(opened, query.y, rank, query.x, share)
            if line is None:
                return None
            found.append((draw_pyramid_line(one.id, one.label, line, share), line.extent))
        return found

    def _describe(self, run: str, error: HpctrackError) -> dict[str, str]:
        # Where the store lies is nobody's business who only looks at it.
        return {"run": run, "message": error.message.replace(f"{self._path}/", "")}


def _add_groups(parts: _Parts, how: Grouping, window: Window) -> Generator[None, None, None]:
    """Make the lines of all groups, over the same buckets."""
    whole = [member.line for members in parts.groups.values() for member in members]
    buckets = cut_buckets(whole, window)
    for label, members in parts.groups.items():
        yield
        parts.lines.append(draw_group(label, members, buckets, how))


def _make_frame(parts: _Parts, query: ChartQuery) -> ChartFrame:
    notes = [parts.note] if parts.note else []
    if parts.stretch > 1:
        what = "grouped" if query.group else "smoothed" if query.smooth.is_on else "computed"
        notes.append(f"{what} from means of {parts.stretch:,.0f} points")
    if query.group is not None and query.smooth.is_on:
        notes.append("runs are smoothed before they are grouped")
    return ChartFrame(
        y=query.y,
        x=query.x,
        lines=tuple(parts.lines),
        exact=parts.stretch <= 1,
        note="; ".join(notes),
        y_range=find_y_range(parts.lines, parts.samples),
        x_range=(
            min(low for low, _high in parts.extents),
            max(high for _low, high in parts.extents),
        )
        if parts.extents
        else None,
        missing=tuple(parts.missing),
        errors=tuple(parts.errors),
    )
