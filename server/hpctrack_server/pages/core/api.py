"""``/api/v1``: the same as the pages, for programs. Read-only."""

from __future__ import annotations

import dataclasses
import math
from enum import StrEnum
from typing import Any, TypeVar

from hpctrack.core import __version__
from hpctrack.errors import UsageError
from hpctrack.store.definitions import leave_out_hidden
from hpctrack_server.data.encode import encode_series
from hpctrack_server.data.frames import Axis, BrokenFrame, RunFrame, SeriesQuery, View
from hpctrack_server.data.index.query import RunQuery
from hpctrack_server.pages.core.table import parse_query
from hpctrack_server.pages.guarded import Guarded

Choice = TypeVar("Choice", bound=StrEnum)

RUNS_MAX = 1000
"""Of one answer: each is read, unless it was before."""

WIDTH_MAX = 4000
"""An 8K screen has 3,840 columns for half a line each."""


class Alive(Guarded):
    """``/healthz``: is it there? Public, and tells nothing else."""

    is_public = True

    def get(self) -> None:
        """Say yes."""
        self.answer({"status": "ok", "version": __version__})


class ProjectsApi(Guarded):
    """``/api/v1/projects``."""

    async def get(self) -> None:
        """Answer with the projects."""
        projects = await self.read(self.services.provider.projects)
        self.answer({"projects": [dataclasses.asdict(one) for one in projects]})


class RunsApi(Guarded):
    """``/api/v1/projects/<project>/runs``."""

    async def get(self, project: str) -> None:
        """Answer with some runs as they are, newest first, and those that cannot be read."""
        given = {
            name: self.get_query_argument(name, "", strip=False)
            for name in ("filter", "search", "sort", "scope")
        }
        start, count = int(_number(self.query("start", "0"), "start")), self.query("count")
        wanted = int(_number(count, "count")) if count else RUNS_MAX
        query = parse_query({
            **given, "start": max(start, 0), "count": max(0, min(wanted, RUNS_MAX)),
        })  # fmt: skip
        self.answer(await self.read(self._describe, project, query))

    def _describe(self, project: str, query: RunQuery) -> dict[str, Any]:
        index, provider = self.services.index, self.services.provider
        page = index.page(project, query, ["id"])
        runs = [provider.find_run(project, row["id"]) for row in page.rows]
        return {
            "runs": [describe_run(one, with_ranks=False) for one in runs if one is not None],
            "broken": [dataclasses.asdict(one) for one in index.broken(project)],
            "matches": page.matches,
            "start": query.start,
            "pending": page.pending,
        }


class RunApi(Guarded):
    """``/api/v1/runs/<project>/<id>``."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with everything but the numbers."""
        run = await self.read(self.services.provider.whole_run, project, run_id)
        self.answer(describe_run(run, with_ranks=True))


class MetricsApi(Guarded):
    """``/api/v1/runs/<project>/<id>/metrics``."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the metrics' names; ``shown=1`` leaves out what ``define_metric`` hides."""
        metrics = await self.read(self.services.provider.metrics, project, run_id)
        if self.query("shown") == "1":
            run = await self.read(self.services.provider.run, project, run_id)
            definitions = () if isinstance(run, BrokenFrame) else run.record.definitions
            metrics = leave_out_hidden(definitions, metrics)
        self.answer({"metrics": metrics})


class SeriesApi(Guarded):
    """``/api/v1/runs/<project>/<id>/series``: numbers for one chart, as bytes."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the series; `hpctrack_server.data.encode` describes the bytes."""
        query = self._parse()
        provider = self.services.provider
        # Encoding is arithmetic on up to a megabyte: it has no place on the event loop either.
        body = await self.read(lambda: encode_series(provider.series(project, run_id, query)))
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(body)

    def _parse(self) -> SeriesQuery:
        width = _number(self.query("width", "500"), "width")
        return SeriesQuery(
            metric=self.query_exactly("metric"),
            view=_choice(View, self.query("view", "band"), "view"),
            rank=int(_number(self.query("rank", "0"), "rank")),
            x=_choice(Axis, self.query("x", "step"), "x"),
            start=_number(start, "x0") if (start := self.query("x0")) else None,
            end=_number(end, "x1") if (end := self.query("x1")) else None,
            width=max(1, min(int(width), WIDTH_MAX)),
        )


class DistributionApi(Guarded):
    """``/api/v1/runs/<project>/<id>/distribution``: a histogram of a metric's values."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with the counts between edges, and what they are of."""
        metric, ranks = self.query_exactly("metric"), self.query("ranks", "all")
        rank = None if ranks == "all" else self.count("ranks")
        if rank is None and ranks != "all":
            raise UsageError(f"ranks={ranks[:60]!r} is no rank", hint="write a number, or all")
        steps = self.services.charts.distribute_in_steps(project, run_id, metric, rank)
        found = await self.calculate_in_turns(steps)
        self.answer(found.to_json())


def describe_run(run: RunFrame, *, with_ranks: bool) -> dict[str, Any]:
    """Return a run as JSON shows it."""
    described = run.record.to_json()
    if not with_ranks:
        for key in ("ranks", "warnings", "job"):
            described.pop(key)
    return {
        **described,
        "duration_s": run.duration_s,
        "is_live": run.is_live,
        "version": run.version,
    }


def _number(value: str, name: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"the parameter {name!r} is {value[:40]!r}, not a number")
    return number


def _choice(kind: type[Choice], value: str, name: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise UsageError(
            f"the parameter {name!r} is {value[:40]!r}", hint=f"use one of {known}"
        ) from None
