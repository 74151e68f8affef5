"""``/api/v1/projects/<project>/series`` and ``/metrics``: numbers of many runs for charts."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Generator, Sequence
from typing import ClassVar

from hpctrack_server.data.encode import encode_chart
from hpctrack_server.data.index.query import RunQuery, Scope
from hpctrack_server.data.series.charts import ChartReader, Wanted
from hpctrack_server.data.series.query import ChartQuery, Grouping, parse_runs
from hpctrack_server.pages.guarded import Guarded

NO_GROUP = "all runs"

LABEL_MAX_CHARS = 120
"""Of each value: a legend shows less."""


class ChartApi(Guarded):
    """``/api/v1/projects/<project>/series``: what a chart of many runs draws, as bytes."""

    writes: ClassVar[frozenset[str]] = frozenset()

    async def post(self, project: str) -> None:
        """Answer with lines; `hpctrack_server.data.encode` describes the bytes."""
        body = self.body()
        query, runs = ChartQuery.parse(body), parse_runs(body)
        wanted = await self.read(self._find, project, runs, query.group)
        packs = "gzip" in self.request.headers.get("Accept-Encoding", "")
        steps = draw_packed(self.services.charts, project, wanted, query, packs=packs)
        sent = await self.calculate_in_turns(steps)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Vary", "Accept-Encoding")
        if packs:
            self.set_header("Content-Encoding", "gzip")
        self.finish(sent)

    def _find(self, project: str, runs: RunQuery, group: Grouping | None) -> list[Wanted]:
        """Return the runs with the names that people know them by, in their order."""
        index = self.services.index
        if runs.ids:  # named one by one, archived ones too
            runs = dataclasses.replace(runs, scope=Scope.ALL)
        ids, columns = index.values(project, ["name"], runs)
        names = dict(zip(ids, columns["name"], strict=True))
        chosen = [*runs.ids] if runs.ids else ids[: runs.count]
        groups: dict[str, str] = {}
        if group is not None:
            only = RunQuery(ids=tuple(chosen), count=len(chosen), scope=Scope.ALL)
            for one in index.groups(project, group.keys, only) if group.keys else ():
                label = describe_group(group.keys, one.key)
                groups.update(dict.fromkeys(one.ids, label))
        return [
            Wanted(one, str(names.get(one) or one), groups.get(one, NO_GROUP) if group else None)
            for one in chosen
        ]


class ChartMetricsApi(Guarded):
    """``/api/v1/projects/<project>/metrics``: which metrics some runs have."""

    async def get(self, project: str) -> None:
        """Answer with names, numbers of points and of runs."""
        given = self.query("runs")
        runs = parse_runs(
            {"runs": given.split(",")}
            if given
            else {
                "query": {
                    "filter": self.query("filter"),
                    "search": self.query("search"),
                    "sort": self.query("sort"),
                    "limit": self.count("limit"),
                }
            }
        )
        ids = [*runs.ids]
        if not ids:
            found = await self.read(self.services.index.ids, project, runs)
            ids = found[: runs.count]
        services = self.services
        metrics = await services.naming.call(services.names.list, project, ids)
        self.answer({"metrics": metrics, "runs": len(ids)})


def draw_packed(
    charts: ChartReader,
    project: str,
    wanted: Sequence[Wanted],
    query: ChartQuery,
    *,
    packs: bool,
) -> Generator[None, None, bytes]:
    """Draw a chart and make it bytes: a megabyte has no place on the event loop either."""
    frame = yield from charts.draw_in_steps(project, wanted, query)
    yield
    sent = encode_chart(frame)
    return pack(sent) if packs else sent


def pack(data: bytes) -> bytes:
    """Compress numbers, quickly: a fifth less to send at 20 ms for a megabyte.

    Higher levels find next to nothing more in noise.
    """
    return gzip.compress(data, 1, mtime=0)


def describe_group(keys: tuple[str, ...], values: tuple[object, ...]) -> str:
    """Return what a legend calls a group: ``lr 0.1 · batch 64``. Pure.

    A key that begins with ``@`` is computed of several columns, and its value says it all.
    """
    parts = []
    for key, value in zip(keys, values, strict=True):
        said = "none" if value is None else str(value)[:LABEL_MAX_CHARS]
        short = key.removeprefix("config.").removeprefix("summary.")
        parts.append(said if key.startswith("@") else f"{short} {said}")
    return " \N{MIDDLE DOT} ".join(parts)
