"""Which parameters of a sweep decide how good a trial is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hpctrack.errors import MissingPackageError, NotFoundError, UsageError
from hpctrack.sweeps.results.standing import Standing, judge_configurations, pick_comparable
from hpctrack.sweeps.results.trial_status import SweepStatus
from hpctrack.sweeps.schema.space import Space
from hpctrack.sweeps.schema.sweep_file import MetricGoal
from hpctrack.sweeps.search.importance import EVALUATORS, rank_parameters
from hpctrack.sweeps.search.point import PointRecord, PointState

MAX_JUDGED = 2_000
"""Configurations: more take Optuna seconds, and do not change the order."""

LOG_RATIO = 100.0
"""Numbers of a list whose largest is this many times the smallest are drawn by their logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterImportance:
    """How much one parameter matters.

    Parameters
    ----------
    name : str
        Dotted.
    fanova : float or None
        Share of the metric's variance that it explains alone; None if it was not asked for, or
        if not every trial has the parameter.
    ped_anova : float or None
        How much the best trials' values differ from all; None if it was not asked for.
    correlation : float or None
        Spearman's, between the parameter and the metric: above 0 if both grow together. None if
        the parameter is no number.
    """

    name: str
    fanova: float | None = None
    ped_anova: float | None = None
    correlation: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much each parameter of a sweep matters for one metric.

    Parameters
    ----------
    metric, goal : str
        Which.
    finished, total : int
        How many configurations count, of how many.
    parameters : tuple of ParameterImportance
        The most important first; those with one value only are left out.
    notes : tuple of str
        What the reader should know.
    """

    metric: str
    goal: str
    finished: int
    total: int
    parameters: tuple[ParameterImportance, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return asdict(self)


def measure_importance(
    status: SweepStatus, *, metric: str = "", evaluators: Sequence[str] = EVALUATORS
) -> Importance:
    """Return how much each parameter matters.

    Parameters
    ----------
    status : SweepStatus
        How the sweep stands.
    metric : str, optional
        One of the sweep's. Default: its first.
    evaluators : sequence of {"fanova", "ped-anova"}, optional
        With both, a missing scikit-learn costs fANOVA only, and a note says so. With none, there
        are correlations only, which need nothing but scipy.

    Raises
    ------
    UsageError
        There is no metric, or too few trials have finished.
    NotFoundError
        The sweep has no such metric.
    MissingPackageError
        fANOVA alone was asked for and scikit-learn is not installed.
    """
    chosen = choose_metric(status, metric)
    standings = judge_configurations(status)
    counted = pick_comparable(standings)
    step = -(-len(counted) // MAX_JUDGED) or 1
    records = [_make_record(one, chosen.name) for one in counted[::step]]
    logarithmic = find_logarithmic(status.sweep.file.space, records)
    found: dict[str, dict[str, float]] = {}
    notes = []
    for evaluator in evaluators:
        try:
            found[evaluator] = rank_parameters(
                records, goal=chosen.goal, evaluator=evaluator, logarithmic=logarithmic
            )
        except MissingPackageError as error:
            if len(evaluators) == 1:
                raise
            notes.append(f"no {evaluator}: {error.message}; {error.hint}")
    if step > 1:
        notes.append(f"{len(records):,} of them were judged, evenly spread")
    if len(counted) < len(standings):
        left_out = len(standings) - len(counted)
        notes.append(
            f"{left_out} of {len(standings)} configurations are pruned, failed or not over,"
            " and do not count"
        )
    names = list(dict.fromkeys(name for evaluator in found.values() for name in evaluator))
    names = names if evaluators else _list_varied(records)
    rows = [
        ParameterImportance(
            name=name,
            fanova=found.get("fanova", {}).get(name),
            ped_anova=found.get("ped-anova", {}).get(name),
            correlation=_correlate(records, name),
        )
        for name in names
    ]
    if any(one.fanova is None for one in rows) and "fanova" in found:
        notes.append("fANOVA knows only parameters that every trial has")
    rows.sort(key=_rank_row)
    return Importance(
        metric=chosen.name,
        goal=chosen.goal,
        finished=len(counted),
        total=len(standings),
        parameters=tuple(rows),
        notes=tuple(notes),
    )


def choose_metric(status: SweepStatus, name: str = "") -> MetricGoal:
    """Return a metric of the sweep; the first one if none is named.

    Raises
    ------
    UsageError
        The sweep's file names none.
    NotFoundError
        It names others.
    """
    metrics = status.sweep.file.metrics
    if not metrics:
        raise UsageError(
            f"sweep {status.sweep.id} has no metric", hint="give `metric: {name, goal}` in the file"
        )
    for one in metrics:
        if name in {"", one.name}:
            return one
    known = ", ".join(one.name for one in metrics)
    raise NotFoundError(f"sweep {status.sweep.id} has no metric {name!r}", hint=f"it has {known}")


def find_logarithmic(space: Space, records: Sequence[PointRecord]) -> frozenset[str]:
    """Return the parameters, by dotted name, of which the logarithm counts.

    Those that the file draws from a logarithmic distribution, and lists of positive numbers that
    span two orders of magnitude.
    """
    kinds = {one.name: type(one.distribution).__name__ for one in space.dimensions}
    spans: dict[str, list[float]] = {}
    for record in records:
        for name, value in record.parameters.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                spans.setdefault(name, []).append(value)
    return frozenset(
        name
        for name, values in spans.items()
        if min(values) > 0
        and (
            "Log" in kinds.get(name, "")
            or (kinds.get(name) == "Choice" and max(values) >= LOG_RATIO * min(values))
        )
    )


def _make_record(one: Standing, metric: str) -> PointRecord:
    return PointRecord(
        number=one.configuration,
        configuration=one.configuration,
        state=PointState.FINISHED,
        parameters=one.parameters,
        values=(one.values[metric],),
    )


def _list_varied(records: Sequence[PointRecord]) -> list[str]:
    """Return the parameters that have more than one value."""
    values: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.parameters.items():
            values.setdefault(name, set()).add(repr(value))
    return [name for name, different in values.items() if len(different) > 1]


def _rank_row(one: ParameterImportance) -> tuple[float, float]:
    return (-max(one.fanova or 0.0, one.ped_anova or 0.0), -abs(one.correlation or 0.0))


def _correlate(records: Sequence[PointRecord], name: str) -> float | None:
    pairs = [(one.parameters[name], one.values[0]) for one in records if name in one.parameters]
    if any(isinstance(x, bool) or not isinstance(x, (int, float)) for x, _ in pairs):
        return None
    if len({x for x, _ in pairs}) < 2 or len({y for _, y in pairs}) < 2:  # noqa: PLR2004 - a line
        return None
    from scipy import stats  # noqa: PLC0415 - 0.3 s that only this needs

    found = float(stats.spearmanr([x for x, _ in pairs], [y for _, y in pairs])[0])
    return found if math.isfinite(found) else None
