"""The consoles that somebody looks at, each laid out once and read on as it grows."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import iter_node_files
from hpctrack.errors import UsageError
from hpctrack.store.console import ConsoleLine, collapsed
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.entries import reading
from hpctrack_server.data.provider import DataProvider
from hpctrack_server.data.run.console_query import ConsolePage, ConsoleQuery
from hpctrack_server.data.run.console_search import Pattern, Search
from hpctrack_server.data.run.console_spool import ConsoleSpool, IntArray

SLICE_S = 0.25
"""Reading a console of millions of lines takes seconds: a request does so much of it, and says
that there is more. The charts of everybody wait no longer than that."""

KEPT_CONSOLES = 8
KEPT_BYTES = 512 << 20
REREAD_SHARE = 4.0
REREAD_MIN_S = 0.3
COUNT_MAX = 2000
OPEN_LINES_MAX = 32
SEARCHES_MAX = 4


class OpenConsole:
    """One console: what has been read of it, and how to read on.

    Parameters
    ----------
    run : StoredRun
        A view of the run's files of its own.
    clock : Clock, optional
        For tests.
    """

    def __init__(self, run: StoredRun, clock: Clock = SYSTEM_CLOCK) -> None:
        self.run = run
        self.clock = clock
        self.spool = ConsoleSpool()
        self.searches: OrderedDict[Pattern, Search] = OrderedDict()
        self.is_complete = False
        self._follower = run.console(rank=None).follow()
        self._new: Iterator[ConsoleLine] | None = None
        self._fingerprint: tuple[tuple[str, int, int], ...] = ()
        self._next_look_mono_s = 0.0

    def advance(self, budget_s: float) -> None:
        """Read on for a while, or look whether there is more."""
        follower = self._follower
        if self._new is None:
            if self.is_complete and not self._has_changed():
                return
            began_s = self.clock.mono_s()
            self.run.refresh()
            self._fingerprint = _fingerprint(self.run.folder)
            self._new = follower.iter_new()
            took_s = self.clock.mono_s() - began_s
            self._next_look_mono_s = began_s + max(REREAD_MIN_S, REREAD_SHARE * took_s)
        until_s = time.perf_counter() + budget_s
        for number, line in enumerate(self._new):
            self.spool.add(line)
            if number % 256 == 255 and time.perf_counter() > until_s:  # noqa: PLR2004
                self.is_complete = False
                return
        self._new = None
        if all(one.is_closed for one in self.run.sources()):
            for line in follower.end():
                self.spool.add(line)
        self.is_complete = True

    def _has_changed(self) -> bool:
        if self.clock.mono_s() < self._next_look_mono_s:
            return False
        return _fingerprint(self.run.folder) != self._fingerprint

    def open_lines(self, query: ConsoleQuery) -> tuple[ConsoleLine, ...]:
        """Return what has begun and not ended, as it looks now."""
        lines = [
            collapsed(one)
            for one in self._follower.unfinished()
            if query.rank in {None, one.rank} and query.stream in {"", one.stream}
        ]
        return tuple(sorted(lines, key=lambda one: one.wall_s)[-OPEN_LINES_MAX:])

    def search(self, pattern: Pattern) -> Search:
        """Return the search for a pattern, which goes on where it was."""
        if pattern not in self.searches:
            self.searches[pattern] = Search(pattern)
        self.searches.move_to_end(pattern)
        while len(self.searches) > SEARCHES_MAX:
            self.searches.popitem(last=False)
        return self.searches[pattern]

    def close(self) -> None:
        """Give everything up."""
        self.run.close()
        self.spool.close()


class Consoles:
    """Lays consoles out and keeps the last ones. For one thread: the one for numbers.

    Parameters
    ----------
    provider : DataProvider
        Says where runs are.
    """

    def __init__(self, provider: DataProvider) -> None:
        self._provider = provider
        self._open: OrderedDict[tuple[str, str], OpenConsole] = OrderedDict()

    def page(self, project: str, run_id: str, query: ConsoleQuery) -> ConsolePage:
        """Return some lines of a console.

        Raises
        ------
        HpctrackError
            There is no such run, or it cannot be read.
        """
        key = (project, run_id)
        with reading(f"the console of {project}/{run_id}"):
            try:
                console = self._find(key)
                console.advance(SLICE_S)
                return answer(console, query)
            except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError):
                self._drop(key)  # what is half read would be wrong from now on
                raise

    def iter_text(
        self, project: str, run_id: str, rank: int | None, stream: str
    ) -> Iterator[ConsoleLine]:
        """Yield all lines from the files, for a download; of a view of one's own."""
        run = self._provider.own_run(project, run_id)
        try:
            yield from run.console(rank=rank, stream=stream or None)
        finally:
            run.close()

    def close(self) -> None:
        """Give all of them up."""
        for key in list(self._open):
            self._drop(key)

    def _find(self, key: tuple[str, str]) -> OpenConsole:
        if key not in self._open:
            self._open[key] = OpenConsole(self._provider.own_run(*key))
        self._open.move_to_end(key)
        while len(self._open) > 1 and (
            len(self._open) > KEPT_CONSOLES
            or sum(one.spool.size_bytes for one in self._open.values()) > KEPT_BYTES
        ):
            self._drop(next(iter(self._open)))
        return self._open[key]

    def _drop(self, key: tuple[str, str]) -> None:
        if key in self._open:
            self._open.pop(key).close()


def answer(console: OpenConsole, query: ConsoleQuery) -> ConsolePage:
    """Return what a query asks of a console as it has been read so far."""
    spool = console.spool
    order = spool.order(query.rank, query.stream)
    total = spool.count(order)
    start = query.start if query.start >= 0 else max(0, total + query.start)
    if query.wall_s is not None:
        start = spool.find_time(order, query.wall_s)
    count = max(1, min(query.count, COUNT_MAX))
    pattern, problem = check_pattern(query.pattern)
    found: dict[str, Any] = {}
    if pattern is not None:
        search = console.search(pattern)
        is_searched = search.advance(spool, budget_s=SLICE_S) and console.is_complete
        rows = search.rows(order, len(spool))
        hit, ordinal = pick_hit(rows, query.find, start)
        found = {"hits": len(rows), "is_searched": is_searched, "hit": hit, "ordinal": ordinal}
        if hit is not None:
            start = max(0, hit - count // 2)
    lines = tuple(spool.rows(order, start, count))
    places = pattern.find_places([one.text for one in lines]) if pattern else []
    ends = spool.rows(order, 0, 1) + spool.rows(order, max(0, total - 1), 1)
    return ConsolePage(
        lines=lines,
        places=tuple(tuple(one) for one in places),
        start=start,
        total=total,
        is_complete=console.is_complete,
        open_lines=console.open_lines(query),
        ranks=tuple(spool.ranks()),
        began_wall_s=ends[0].wall_s if ends else None,
        ended_wall_s=ends[-1].wall_s if ends else None,
        problem=problem,
        **found,
    )


def check_pattern(pattern: Pattern | None) -> tuple[Pattern | None, str]:
    """Return a pattern that can be used, or why it cannot: half of one is what somebody types."""
    if pattern is None:
        return None, ""
    try:
        pattern.check()
    except UsageError as error:
        return None, error.message
    return pattern, ""


def pick_hit(rows: IntArray, find: str, start: int) -> tuple[int | None, int | None]:
    """Return the hit that is asked for and its number from 1; around the ends it goes on. Pure."""
    if not len(rows) or not find:
        return None, None
    if find == "next":
        at = int(np.searchsorted(rows, start, side="right")) % len(rows)
    elif find == "previous":
        at = int(np.searchsorted(rows, start, side="left")) - 1
    elif find == "nearest":
        at = int(np.searchsorted(rows, start, side="left")) % len(rows)
    else:
        at = 0 if find == "first" else len(rows) - 1
    at %= len(rows)
    return int(rows[at]), at + 1


def _fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    found = []
    for path in [*iter_node_files(folder), *folder.glob("run.h5")]:
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        found.append((path.name, facts.st_size, facts.st_mtime_ns))
    return tuple(sorted(found))
