"""What an open page can listen to; how it gets there, `events` and `live_socket` know.

Each function checks what is asked for and returns the events to come, in the order of the page's
clock: those that are due, or none at all after `KEEP_ALIVE_S` of silence.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from hpctrack.errors import HpctrackError, UsageError
from hpctrack_server.components.text import plain_json
from hpctrack_server.data.event import Event, make_event
from hpctrack_server.data.frames import BrokenFrame
from hpctrack_server.data.series.live_watch import Watched
from hpctrack_server.data.series.query import parse_ranks
from hpctrack_server.data.watch import STORE
from hpctrack_server.data.watch import Topic as WatchedTopic
from hpctrack_server.pages.services import Services

KEEP_ALIVE_S = 15.0
"""Proxies and tunnels close what is silent for long."""

RUNS_MAX = 200

Query = Mapping[str, Sequence[str]]
"""Parameters of an address."""

Events = AsyncGenerator[Sequence[Event], None]

Topic = Callable[..., Awaitable[Events]]
"""Takes `Services`, a `Query` and the variable parts of its path."""


async def follow_run(services: Services, _query: Query, project: str, run_id: str) -> Events:
    """Return ``change`` events: version, state, whether it is live, metrics that have grown.

    Raises
    ------
    HpctrackError
        The run is not there, or cannot be read.
    """
    await services.reader.call(services.provider.whole_run, project, run_id)
    return _iter_changes(services, (project, run_id))


async def follow_store(services: Services, _query: Query) -> Events:
    """Return ``change`` events: a project or a run has come or gone, or a run begun or ended."""
    return _iter_changes(services, STORE)


async def follow_project(services: Services, _query: Query, project: str) -> Events:
    """Return ``change`` events: the list of runs looks different."""
    await services.reader.call(services.provider.pulse, project, None)
    return _iter_changes(services, (project, None))


async def follow_points(services: Services, query: Query, project: str) -> Events:
    """Return what runs log, until they are over.

    ``begin`` comes first: the runs that are live, and when they began; what was logged before
    it has to be fetched after it. Then ``points``, ``metrics``, ``stale`` and ``over``, see
    `hpctrack_server.data.series.live_watch.make_events`.
    """
    runs = [one for one in _last(query, "runs").split(",") if one][:RUNS_MAX]
    if not runs:
        raise UsageError("the parameter 'runs' is missing", hint="name runs: runs=a,b")
    ranks = parse_ranks(_last(query, "ranks") or None)
    live = await services.reader.call(_find_live, services, project, runs)
    watched = Watched(project, tuple(live), frozenset(query.get("metric", ())), ranks)
    return _iter_points(services, watched, live)


def _last(query: Query, name: str) -> str:
    return query.get(name, ("",))[-1]


async def _iter_changes(services: Services, topic: WatchedTopic) -> Events:
    with services.watcher.subscribe(topic) as subscription:
        while not services.watcher.is_closed:
            change = await subscription.next(KEEP_ALIVE_S)
            yield [make_event("change", plain_json(change))] if change else []


async def _iter_points(services: Services, watched: Watched, live: dict[str, Any]) -> Events:
    points = services.points
    with points.watch(watched) as viewer:
        await points.begin(viewer)
        yield [make_event("begin", {"runs": live})]
        while viewer.has_more and not points.is_closed:
            yield await viewer.next(KEEP_ALIVE_S)


def _find_live(services: Services, project: str, runs: list[str]) -> dict[str, float]:
    """Return which of some runs are live, and when each began, UTC seconds."""
    found = services.index.live_runs(project, runs)
    for run in runs:
        if run in found:
            continue  # that it is over by now, its first look tells
        try:
            frame = services.provider.run(project, run)
        except HpctrackError:
            continue
        if not isinstance(frame, BrokenFrame) and frame.is_live:
            found[run] = frame.record.created_wall_s
    return found
