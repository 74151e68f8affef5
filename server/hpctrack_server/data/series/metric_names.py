"""Which metrics runs have; on a thread of its own, so that no page waits for somebody's charts."""

from __future__ import annotations

from collections.abc import Sequence

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError
from hpctrack.store.store import Store
from hpctrack_server.data.series.open_runs import OpenRuns
from hpctrack_server.settings import ServerSettings


class MetricNames:
    """Lists metrics. All of it runs on one thread, which is not that of the charts.

    Parameters
    ----------
    settings : ServerSettings
        Where the store is.
    clock : Clock, optional
        For tests.
    """

    def __init__(self, settings: ServerSettings, *, clock: Clock = SYSTEM_CLOCK) -> None:
        path = Store(settings.store).path
        self._runs = OpenRuns(path, clock=clock, stale_after_s=settings.stale_after_s)

    def list(self, project: str, ids: Sequence[str]) -> list[dict[str, object]]:
        """Return the metrics of some runs: name, points of all of them, and in how many they are.

        Runs that cannot be read have none; a chart says why.
        """
        points: dict[str, int] = {}
        runs: dict[str, int] = {}
        for one in ids:
            try:
                sizes = self._runs.sizes(project, one)
            except HpctrackError:
                continue
            for name, count in sizes.items():
                points[name] = points.get(name, 0) + count
                runs[name] = runs.get(name, 0) + 1
        return [
            {"name": name, "points": points[name], "runs": runs[name], "kind": "number"}
            for name in sorted(points)
        ]

    def close(self) -> None:
        """Close all files."""
        self._runs.close()
