"""When a run's nodes were there, and between which of its samples somebody was reading. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.events import Event, NodeEvents
from hpctrack.store.schema import EventKind, FloatArray

GAP_S = 150.0
"""Between two samples that are further apart than this nobody was reading: the source hung. A value
that does not change is written once a minute, see `Sensor`."""

GAP_INTERVALS = 3.0
"""Where `telemetry_interval_s` is long, so many of them are still no gap."""


@dataclass(frozen=True, slots=True)
class ReadTimes:
    """When a run's nodes were there, and how far apart its samples may be.

    Parameters
    ----------
    gap_s : float
        Between two samples that are further apart nobody was reading.
    spans : mapping
        By host, each attempt's first and last UTC second on it, in their order.

    Notes
    -----
    A gap is `GAP_S`, or three of the run's ``telemetry_interval_s`` if that is more. Between two
    samples of which an attempt began nobody was reading, however near they are.
    """

    gap_s: float = GAP_S
    spans: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    def find_read(self, host: str, wall_s: FloatArray) -> NDArray[np.bool_]:
        """Tell for each pair of neighbouring samples whether somebody was reading between them.

        Parameters
        ----------
        host : str
        wall_s : ndarray of float64, shape (n,)
            Of the samples, UTC seconds.

        Returns
        -------
        ndarray of bool, shape (n - 1,)
        """
        held_s = np.diff(wall_s)
        begins_s = [begin_s for begin_s, _end_s in self.spans.get(host, ())[1:]]
        attempt = np.searchsorted(np.array(begins_s, np.float64), wall_s, side="right")
        return np.asarray((held_s >= 0) & (held_s <= self.gap_s) & (np.diff(attempt) == 0))

    def ran_s(self, host: str) -> float:
        """Return for how long a host had ranks of the run; 0 if that is not known."""
        return sum(max(0.0, end_s - begin_s) for begin_s, end_s in self.spans.get(host, ()))


@dataclass(slots=True)
class _Visit:
    """An attempt on a host: when its ranks came and left."""

    came_s: dict[int, float] = field(default_factory=dict)
    began_s: float = float("inf")
    left_s: dict[int, float] = field(default_factory=dict)
    pulse_s: float = 0.0

    def take(self, event: Event, said: Mapping[str, Any]) -> None:
        wall_s = _said_s(event, said)
        if event.kind == EventKind.START:
            self.began_s = min(self.began_s, wall_s)
            self.came_s[event.rank] = max(self.came_s.get(event.rank, wall_s), wall_s)
        else:
            self.left_s[event.rank] = max(self.left_s.get(event.rank, wall_s), wall_s)

    @property
    def span(self) -> tuple[float, float]:
        """Its first second, and its last or, while a rank is there, the last sign of life."""
        is_open = any(self.left_s.get(rank, -1.0) < came_s for rank, came_s in self.came_s.items())
        ended_s = max(self.left_s.values(), default=0.0)
        return self.began_s, max(ended_s, self.pulse_s) if is_open else ended_s


def find_read_times(sources: Iterable[NodeEvents]) -> ReadTimes:
    """Return when a run's nodes were there, and how far apart its samples may be.

    Parameters
    ----------
    sources : iterable of NodeEvents
        What each of its node files says.
    """
    visits: dict[tuple[str, int], _Visit] = {}
    gap_s = GAP_S
    for source in sources:
        where = (str(source.facts.get("host", "")), int(source.facts.get("attempt", 1)))
        visit = visits.setdefault(where, _Visit())
        visit.pulse_s = max(visit.pulse_s, source.pulse_wall_s)
        for event in source.events:
            if event.kind in {EventKind.START, EventKind.END, EventKind.LOST}:
                said = event.json()
                visit.take(event, said)
                gap_s = max(gap_s, GAP_INTERVALS * _find_interval_s(said))
    spans: dict[str, tuple[tuple[float, float], ...]] = {}
    for (host, _attempt), visit in sorted(visits.items()):
        if visit.came_s:
            spans[host] = (*spans.get(host, ()), visit.span)
    return ReadTimes(gap_s, {host: tuple(sorted(found)) for host, found in spans.items()})


def _said_s(event: Event, said: Mapping[str, Any]) -> float:
    """Return when a rank says that it came or left, else when that was written."""
    wall_s = said.get("wall_s")
    return float(wall_s) if isinstance(wall_s, int | float) else event.wall_s


def _find_interval_s(said: Mapping[str, Any]) -> float:
    settings = said.get("settings")
    found = settings.get("telemetry_interval_s") if isinstance(settings, dict) else None
    return float(found) if isinstance(found, int | float) else 0.0
