"""From a project's runs to what the Statistics page says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from hpctrack.analysis.advice import conclude, list_assumptions
from hpctrack.analysis.averages import Center
from hpctrack.analysis.bootstrap import Estimate
from hpctrack.analysis.comparison import Comparison, Description, Report, compare_groups
from hpctrack.analysis.effects import name_size
from hpctrack_server.data.index.groups import BUT_SEED
from hpctrack_server.data.index.query import ColumnFacts, ColumnKind
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.statistics.curve_ends import CurveEnds, Ends
from hpctrack_server.data.statistics.grouping import (
    GROUPS_MAX,
    RunGroup,
    choose_keys_but_seed,
    group_runs,
    guess_pair,
    thin_points,
)
from hpctrack_server.data.statistics.query import BEST, LAST, Goal, StatisticsQuery
from hpctrack_server.data.statistics.task_report import report_tasks

POINTS_MAX = 400
"""Of one group that are drawn."""

CURVES_MAX = 2_000
"""Runs whose curves are read for a best or a last value: each opens a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the form offers.

    Parameters
    ----------
    metrics : tuple of str
        Number columns of the summary.
    keys : tuple of str
        Columns by which runs can be grouped.
    pair : str
        The most likely column of seeds.
    """

    metrics: tuple[str, ...]
    keys: tuple[str, ...]
    pair: str

    @property
    def default_metric(self) -> str:
        """What is compared before anybody has chosen: what most runs have."""
        return self.metrics[0] if self.metrics else ""


def find_choices(index: RunIndex, project: str) -> Choices:
    """Return what a project's runs can be compared by.

    Raises
    ------
    NotFoundError
        There is no such project.
    """
    columns = index.columns(project)
    numbers = [one for one in columns if one.kind == ColumnKind.NUMBER]
    metrics = sorted((one for one in numbers if one.key.startswith("summary.")), key=_by_likelihood)
    return Choices(
        metrics=tuple(one.key for one in metrics),
        keys=tuple(one.key for one in columns if not one.key.startswith("summary.")),
        pair=guess_pair(columns),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The runs that fit, with their columns.

    Parameters
    ----------
    ids : tuple of str
    values : dict
        Of each column, in the order of the runs.
    keys : tuple of str
        Columns that make the groups.
    pair : str
        The column of pairs, or of tasks; empty if there is none.
    """

    ids: tuple[str, ...]
    values: dict[str, list[Any]]
    keys: tuple[str, ...]
    pair: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The runs that are compared, as they were found.

    Parameters
    ----------
    groups : tuple of RunGroup
        Those that are shown, the best first.
    keys : tuple of str
        Columns that make the groups.
    pair : str
        The column of pairs, or of tasks; empty if there is none.
    notes : tuple of str
        What was left out.
    """

    groups: tuple[RunGroup, ...]
    keys: tuple[str, ...]
    pair: str
    notes: tuple[str, ...]


def find_runs(index: RunIndex, project: str, query: StatisticsQuery) -> Found:
    """Find the runs; for the thread of the index.

    Raises
    ------
    NotFoundError
        There is no such project.
    UsageError
        The filter cannot be understood.
    """
    columns = index.columns(project)
    keys = choose_keys_but_seed(columns) if query.by == (BUT_SEED,) else query.by
    keys = tuple(one for one in keys if one != query.task)
    pair = query.task or query.pair or guess_pair(columns)
    wanted = list(dict.fromkeys([*keys, *([pair] if pair else []), _column_of(query.metric)]))
    ids, values = index.values(project, wanted, query.runs)
    return Found(ids=tuple(ids), values=values, keys=tuple(keys), pair=pair)


def compare_in_steps(
    found: Found, ends: CurveEnds, project: str, query: StatisticsQuery
) -> Generator[None, None, dict[str, Any]]:
    """Read what is compared of the runs, one by one, and say what `make_report` says."""
    notes: list[str] = []
    head = _find_head(query.metric)
    numbers: Sequence[Any] = found.values[_column_of(query.metric)]
    if head:
        read = found.ids[:CURVES_MAX]
        if len(read) < len(found.ids):
            total = len(found.ids)
            notes.append(f"curves of the first {CURVES_MAX:,} of {total:,} runs were read")
        name = query.metric.removeprefix(head)
        curves = yield from ends.read_in_steps(project, read, name)
        picked = [_pick(one, query.goal if head == BEST else None) for one in curves]
        numbers = [*picked, *[None] * (len(found.ids) - len(picked))]
    pairs = found.values[found.pair] if found.pair else ()
    groups = group_runs(found.ids, numbers, pairs, {key: found.values[key] for key in found.keys})
    shown = _choose_groups(groups, query, notes)
    yield
    collected = Collected(groups=tuple(shown), keys=found.keys, pair=found.pair, notes=tuple(notes))
    return make_report(collected, query)


def make_report(found: Collected, query: StatisticsQuery) -> dict[str, Any]:
    """Return what the page and its API say, as plain values; arithmetic only.

    Returns
    -------
    dict
        ``groups``, ``comparisons``, ``matrix``, ``verdict``, ``assumptions``, ``notes`` (what was
        left out), ``tasks`` (see `report_tasks`; None without), and the query in ``asked``.
    """
    shown = found.groups
    baseline = next((at for at, one in enumerate(shown) if one.id == query.baseline), None)
    if baseline is None:
        # What was tried most often is most often what everybody starts from.
        baseline = max(range(len(shown)), key=lambda at: len(shown[at].sample), default=0)
    told: dict[str, Any] = {
        "asked": [list(one) for one in query.parameters()],
        "pair": found.pair,
        "keys": list(found.keys),
        "runs": sum(len(one.sample) for one in shown),
        "baseline": shown[baseline].id if shown else "",
        "goal": str(query.goal),
        "notes": list(found.notes),
        "tasks": None,
    }
    if query.task:
        # What several tasks measure is not the same: nothing is said of their runs in one heap.
        return {**told, **report_tasks(shown, baseline, query, found.notes)}
    report = compare_groups([one.sample for one in shown], query.plan, baseline=baseline)
    return {
        **told,
        "groups": [_describe_group(*one, query) for one in zip(shown, report.groups, strict=True)],
        "comparisons": _describe_comparisons(shown, report, baseline),
        "matrix": [list(row) for row in report.matrix],
        "verdict": conclude(report),
        "assumptions": list_assumptions(report),
    }


def _by_likelihood(one: ColumnFacts) -> tuple[int, int, str]:
    name = one.key.casefold()
    is_final = any(word in name for word in ("val", "test", "eval"))
    return (-one.count, not is_final, name)


def _column_of(metric: str) -> str:
    head = _find_head(metric)
    return f"summary.{metric.removeprefix(head)}" if head else metric


def _find_head(metric: str) -> str:
    return next((one for one in (BEST, LAST) if metric.startswith(one)), "")


def _pick(one: Ends | None, goal: Goal | None) -> float | None:
    """Return the best value of a curve; without a goal the last."""
    if one is None:
        return None
    return one.last if goal is None else one.high if goal == Goal.HIGH else one.low


def _choose_groups(
    groups: Sequence[RunGroup], query: StatisticsQuery, notes: list[str]
) -> list[RunGroup]:
    there = [one for one in groups if len(one.sample)]
    without = sum(one.without for one in groups)
    if without:
        who = "1 run has" if without == 1 else f"{without:,} runs have"
        notes.append(f"{who} no number of this and counts nowhere")
    kept = there[:GROUPS_MAX]
    baseline = [one for one in there[GROUPS_MAX:] if one.id == query.baseline]
    kept = [*kept[: GROUPS_MAX - len(baseline)], *baseline]
    if len(kept) < len(there):
        notes.append(f"{len(kept)} of {len(there):,} groups are shown, those with the most runs")
    if len(there) > 1 and all(len(one.sample) == 1 for one in there):
        notes.append("every group has one run only: group by fewer columns, or repeat with seeds")
    sign = -1.0 if query.goal == Goal.HIGH else 1.0
    return sorted(kept, key=lambda one: sign * float(one.sample.values.mean()))


def _describe_group(group: RunGroup, one: Description, query: StatisticsQuery) -> dict[str, Any]:
    points = thin_points(group.sample.values, POINTS_MAX)
    return {
        "id": group.id,
        "label": one.label,
        "facts": [[name, value] for name, value in group.facts],
        "n": one.n,
        "without": group.without,
        "runs": list(group.runs),
        "mean": one.mean,
        "std": one.std,
        "min": one.least,
        "max": one.most,
        "averages": {str(key): _ends(value) for key, value in one.averages.items()},
        "center": _ends(one.averages[Center(query.center)]),
        "normal_p": one.normal_p,
        "points": points.tolist(),
    }


def _describe_comparisons(
    groups: Sequence[RunGroup], report: Report, baseline: int
) -> list[dict[str, Any]]:
    others = [one for at, one in enumerate(groups) if at != baseline]
    return [
        {"id": group.id, **_describe_comparison(one, report)}
        for group, one in zip(others, report.comparisons, strict=True)
    ]


def _describe_comparison(one: Comparison, report: Report) -> dict[str, Any]:
    return {
        "label": one.label,
        "pairs": one.pairs,
        "left_out": one.left_out,
        "difference": _ends(one.difference),
        "effect": _ends(one.effect),
        "size": name_size(one.effect.value),
        "delta": _ends(one.delta),
        "improvement": _ends(one.improvement),
        "test": str(one.outcome.kind),
        "statistic": one.outcome.statistic,
        "p_plain": one.outcome.p,
        "p": one.p,
        "least_p": one.outcome.least_p,
        "is_significant": bool(one.p <= report.plan.alpha),
        "note": one.outcome.note,
    }


def _ends(one: Estimate) -> dict[str, float]:
    return dataclasses.asdict(one)
