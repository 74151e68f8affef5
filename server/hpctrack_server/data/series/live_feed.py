"""New points of live runs, encoded once for everybody who watches. For one thread."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hpctrack.core.clock import Clock
from hpctrack.core.layout import run_folder
from hpctrack.errors import HpctrackError
from hpctrack.store.columns import Columns
from hpctrack.store.point_feed import NewPoints, PointFeed
from hpctrack_server.data.entries import reading
from hpctrack_server.data.series.open_steps import OpenSteps
from hpctrack_server.data.series.query import RankChoice

ROWS_BEFORE = 65_536
"""Of each node's past so much is read: steps which are under way get the right mean."""

RECENT_S = 30.0

_write_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
"""As `json.dumps`, which would make an encoder for each piece."""

Source = tuple[str, str]
"""Project and run."""

Key = tuple[str, RankChoice | int]
"""Metric, and what of its ranks."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What one look at a run has found.

    Parameters
    ----------
    pieces : dict
        By metric and choice of ranks: JSON of the new points.
    names : frozenset of str
        All metrics that have come so far.
    is_over : bool
        There will be no more.
    is_stale : bool
        Something was left out: charts have to be fetched again.
    """

    pieces: Mapping[Key, bytes] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    is_over: bool = False
    is_stale: bool = False


@dataclass(slots=True)
class _Feed:
    """A run that is watched."""

    feed: PointFeed
    steps: dict[str, OpenSteps] = field(default_factory=dict)
    is_stale: bool = False


class LiveFeeds:
    """The runs that somebody watches.

    Parameters
    ----------
    store : Path
    clock : Clock
    stale_after_s : float
        How long a live run may be silent.
    """

    def __init__(self, store: Path, *, clock: Clock, stale_after_s: float) -> None:
        self._store = store
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._feeds: dict[Source, _Feed] = {}

    def look(self, wanted: Mapping[Source, frozenset[RankChoice | int]]) -> dict[Source, Tick]:
        """Look once at each run; runs that nobody watches any more are forgotten.

        Parameters
        ----------
        wanted : mapping
            For each run, what of the ranks somebody wants.
        """
        for source in [one for one in self._feeds if one not in wanted]:
            self._feeds.pop(source).feed.close()
        found = {}
        for source, choices in wanted.items():
            try:
                found[source] = self._look_at(source, choices)
            except HpctrackError:
                found[source] = Tick(is_over=True)
            if found[source].is_over and source in self._feeds:
                self._feeds.pop(source).feed.close()
        return found

    def close(self) -> None:
        """Close all files."""
        for one in self._feeds.values():
            one.feed.close()
        self._feeds.clear()

    def _look_at(self, source: Source, choices: frozenset[RankChoice | int]) -> Tick:
        if source not in self._feeds:
            feed = PointFeed(
                run_folder(self._store, *source),
                clock=self._clock,
                stale_after_s=self._stale_after_s,
                rows_before=ROWS_BEFORE,
            )
            self._feeds[source] = _Feed(feed)
        watched = self._feeds[source]
        pieces: dict[Key, list[bytes]] = {}
        with reading("/".join(source)):
            new = watched.feed.look()
        if watched.feed.has_missed:
            for steps in watched.steps.values():
                steps.forget()
        for one in _join(new):
            _add(watched, source[1], one, choices, pieces)
        is_stale, watched.is_stale = watched.is_stale or watched.feed.has_missed, False
        return Tick(
            {key: b",".join(parts) for key, parts in pieces.items()},
            frozenset(watched.steps),
            watched.feed.is_over,
            is_stale,
        )


def _join(found: Iterable[NewPoints]) -> Iterator[NewPoints]:
    """Put together what several nodes have of a metric: half of its ranks are no mean."""
    parts: dict[tuple[str, int, bool], list[NewPoints]] = {}
    for one in found:
        if len(one.columns):
            parts.setdefault((one.metric, one.attempt, one.is_old), []).append(one)
    for key, several in parts.items():
        if len(several) == 1:
            yield several[0]
        else:
            metric, attempt, is_old = key
            columns = Columns.join([one.columns for one in several])
            yield NewPoints(metric, attempt, columns, is_old=is_old)


def _add(
    watched: _Feed,
    run: str,
    new: NewPoints,
    choices: frozenset[RankChoice | int],
    pieces: dict[Key, list[bytes]],
) -> None:
    """Encode what is new of one metric, for each choice of ranks."""
    steps = watched.steps.setdefault(new.metric, OpenSteps())
    cut = steps.begin_attempt(new)
    # Along time nobody but the store knows which points a requeue has replaced.
    watched.is_stale |= cut is not None and not new.is_old
    columns = new.columns
    is_alone = steps.is_alone(columns)
    whole = steps.take_whole(columns, is_alone=is_alone, is_partial=watched.feed.is_partial)
    # What there was before the first look has every chart that is fetched after it.
    watched.is_stale |= len(whole) < len(columns) and not new.is_old
    changed = [] if is_alone else steps.add(whole)
    if new.is_old:
        if cut is not None:
            for how in choices:  # it has been computed again
                pieces.pop((new.metric, how), None)
        # What is only just old may be missing in a chart that was read a moment ago.
        since_wall_s = columns.wall_s.max() - RECENT_S
        columns = columns.take(columns.wall_s >= since_wall_s)
        whole = whole.take(whole.wall_s >= since_wall_s)
        changed = [] if is_alone else np.unique(whole.step).tolist()
        cut = None
    for how in choices - {RankChoice.ALL}:
        if not isinstance(how, RankChoice):
            points = _take_rank(columns, how)
        elif is_alone:
            points = _take_rank(whole, None)
        else:
            points = (changed, *steps.reduce(changed, how))
        if points[0]:
            piece = encode_piece(run, new.metric, how, points, cut)
            pieces.setdefault((new.metric, how), []).append(piece)
    steps.give_up()


def _take_rank(columns: Columns, rank: int | None) -> tuple[list[int], list[float], list[float]]:
    """Return steps, times and values of one rank; of all points if that is None."""
    if rank is not None and not (columns.rank == rank).all():
        columns = columns.take(columns.rank == rank)
    return columns.step.tolist(), columns.wall_s.tolist(), columns.value.tolist()


def encode_piece(
    run: str,
    metric: str,
    how: RankChoice | int,
    points: tuple[list[int], list[float], list[float]],
    cut: int | None,
) -> bytes:
    """Return new points as JSON: ``run, metric, ranks, step, wall, value``; pure.

    ``cut`` is there after a requeue: older points from that step on do not count any more. A step
    may come again, with the values of more ranks: the later one counts.
    """
    step, wall_s, value = points
    said = {
        "run": run,
        "metric": metric,
        "ranks": how if isinstance(how, int) else str(how),
        "step": step,
        "wall": [round(one, 4) for one in wall_s],
        "value": [one if math.isfinite(one) else None for one in value],
    }
    if cut is not None:
        said["cut"] = cut
    return _write_json(said).encode()
