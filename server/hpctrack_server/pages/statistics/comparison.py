"""``/p/<project>/statistics``: which group of runs is better, and how sure that is."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from hpctrack.analysis.averages import Center
from hpctrack.analysis.bootstrap import Interval
from hpctrack.analysis.corrections import Correction
from hpctrack.analysis.significance import Method
from hpctrack.analysis.tasks import Scaling
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack_server.components.statistics_export import (
    format_interval,
    format_p,
    format_share,
    format_spread,
)
from hpctrack_server.components.text import plain_json, printable
from hpctrack_server.data.index.groups import BUT_SEED
from hpctrack_server.data.statistics.query import CONFIDENCES, Goal, StatisticsQuery
from hpctrack_server.data.statistics.report import find_choices
from hpctrack_server.pages.statistics.answers import Compared

MATRIX_MAX = 24
"""Groups in the matrix of all pairs; more do not fit beside each other."""

VERDICTS_SHOWN = 5
"""Sentences of the verdict; the others open."""

PROFILES_MAX = 10
"""Curves in one chart, as many as there are colours."""

LINKED_RUNS_MAX = 60
"""Runs that a link names; more make an address too long for some proxies."""

METHODS = {one: one.long_name for one in Method}
CORRECTIONS = {
    Correction.HOLM: "Holm",
    Correction.BH: "Benjamini\N{EN DASH}Hochberg",
    Correction.BONFERRONI: "Bonferroni",
    Correction.NONE: "none",
}
CENTERS = {Center.IQM: "IQM", Center.MEAN: "mean", Center.MEDIAN: "median"}
INTERVALS = {Interval.BCA: "BCa bootstrap", Interval.PERCENTILE: "percentile bootstrap"}
SCALINGS = {Scaling.RANGE: "worst to best run", Scaling.NONE: "as they are"}
GOALS = {Goal.HIGH: "more is better", Goal.LOW: "less is better"}


class StatisticsPage(Compared):
    """Everything that is chosen is in the address; what cannot be understood is told in place."""

    async def get(self, project: str) -> None:
        """Answer with the page."""
        choices = await self.read(find_choices, self.services.index, project)
        error: HpctrackError | None = None
        report: dict[str, Any] | None = None
        query = StatisticsQuery(metric=choices.default_metric)
        try:
            query = await self.parse_address(project)
            report = await self.compare(project, query) if query.metric else None
        except NotFoundError:
            raise
        except HpctrackError as found:
            error = found
        self.show(
            "statistics/comparison.html",
            project=project,
            current="statistics",
            choices=choices,
            query=query,
            report=report,
            error=error,
            chart=json.dumps(make_chart(report, query)) if report else "",
            profiles=json.dumps(make_profiles(report)) if report and report["tasks"] else "",
            profiles_max=PROFILES_MAX,
            scalings=SCALINGS,
            is_but_seed=query.by == (BUT_SEED,),
            but_seed=BUT_SEED,
            compared={one["id"]: one for one in report["comparisons"]} if report else {},
            matrix_max=MATRIX_MAX,
            verdicts_shown=VERDICTS_SHOWN,
            linked_runs_max=LINKED_RUNS_MAX,
            confidences=CONFIDENCES,
            methods=METHODS,
            corrections=CORRECTIONS,
            centers=CENTERS,
            intervals=INTERVALS,
            goals=GOALS,
            format_interval=format_interval,
            format_share=format_share,
            format_spread=format_spread,
            format_p=format_p,
            find_runs=find_runs,
        )


def find_runs(ids: list[str]) -> str:
    """Return the query of the address at which the table shows some runs."""
    return urlencode({"filter": f"id in {json.dumps(ids)}"})


def make_chart(report: dict[str, Any], query: StatisticsQuery) -> Any:
    """Return what the script draws; numbers only, so that no name can do harm there."""
    groups = report["groups"]
    if report["tasks"]:
        groups = [
            {**one, "center": one["aggregates"][str(query.center)]}
            for one in report["tasks"]["groups"]
        ]
    return plain_json({
        "groups": [
            {"points": one["points"], "center": one["center"],
             "isBaseline": one["id"] == report["baseline"]}
            for one in groups
        ],
        "axis": printable(query.metric),
    })  # fmt: skip


def make_profiles(report: dict[str, Any]) -> Any:
    """Return the performance profiles that the script draws; four digits are more than it shows."""
    told = report["tasks"]["profile"]
    keys = ("share", "low", "high")
    return plain_json(
        {
            "scores": [round(one, 4) for one in told["scores"]],
            "groups": [
                {key: [round(value, 4) for value in one[key]] for key in keys}
                for one in told["groups"][:PROFILES_MAX]
            ],
        }
    )
