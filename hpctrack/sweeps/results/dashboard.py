"""A sweep as plain columns that a page can draw without knowing anything of sweeps. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hpctrack.errors import HpctrackError, MissingPackageError
from hpctrack.sweeps.results.best import find_winners
from hpctrack.sweeps.results.curves import Curve
from hpctrack.sweeps.results.importance import find_logarithmic, measure_importance
from hpctrack.sweeps.results.rungs import find_rungs
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.schema.command import iter_flat, show
from hpctrack.sweeps.search.point import PointRecord, PointState
from hpctrack.sweeps.worker.result import TrialState

Columns = dict[str, Any]


def make_dashboard(
    status: SweepStatus, curves: Sequence[Curve] = (), *, has_importance: bool = True
) -> Columns:
    """Return all that a page about a sweep draws, JSON-able.

    Parameters
    ----------
    status : SweepStatus
        How the sweep stands.
    curves : sequence of Curve, optional
        Of its first metric.
    has_importance : bool, optional
        PED-ANOVA takes a second for Optuna; without it the key is there and empty.

    Returns
    -------
    dict
        ``sweep``, ``counts``, ``cost``, ``eta_s``; ``trials``: number, state, run and values as
        columns; ``parallel``: the axes of a parallel-coordinates plot over the same rows;
        ``curves``; ``best``: configurations that won, of several metrics the Pareto front;
        ``importance``; ``timeline``: who ran what when; ``rungs``: iterations at which trials were
        compared.
    """
    whole = status.to_json()
    trials = whole.pop("trials")
    return {
        "sweep": {
            key: whole[key]
            for key in ("id", "name", "project", "method", "metrics", "seeds", "trial_count")
        },
        "counts": whole["counts"],
        "wish": whole["wish"],
        "cost": whole["cost"],
        "eta_s": whole["eta_s"],
        "trials": {
            key: [one[key] for one in trials]
            for key in (
                "number", "configuration", "repeat", "state", "run", "run_project", "iterations",
                "duration_s",
            )
        },
        "parallel": make_parallel(status),
        "curves": [make_line(one) for one in curves],
        "best": _make_best(status),
        "importance": make_importance(status) if has_importance else {},
        "timeline": make_timeline(status),
        "rungs": find_rungs(status.sweep.file.early, max(map(_find_end, curves), default=0)),
    }  # fmt: skip


def _find_end(curve: Curve) -> int:
    return int(curve.iterations[-1]) if len(curve) else 0


def make_parallel(status: SweepStatus) -> list[Columns]:
    """Return the axes of a parallel-coordinates plot: parameters, then metrics, one row per trial.

    An axis of kind ``number`` has ``is_log``; one of kind ``choice`` has ``choices``, and its
    values are places in that list. None where a trial has no such value.
    """
    flat = [dict(iter_flat(one.parameters)) for one in status.trials]
    records = [
        PointRecord(number=at, configuration=at, state=PointState.FINISHED, parameters=row)
        for at, row in enumerate(flat)
    ]
    logarithmic = find_logarithmic(status.sweep.file.space, records)
    names = dict.fromkeys(name for row in flat for name in row)
    axes = [
        _make_axis(name, [row.get(name) for row in flat], is_log=name in logarithmic)
        for name in names
    ]
    for metric in status.sweep.file.metrics:
        values = [one.values.get(metric.name) for one in status.trials]
        axes.append({
            "name": metric.name, "role": "metric", "kind": "number", "is_log": False,
            "goal": metric.goal, "values": values,
        })  # fmt: skip
    return axes


def make_line(curve: Curve) -> Columns:
    """Return a curve; ``stopped_at`` is the iteration at which a pruned trial ended."""
    is_pruned = curve.state == TrialState.PRUNED
    return {
        **curve.to_json(),
        "values": [value if math.isfinite(value) else None for value in curve.values.tolist()],
        "stopped_at": int(curve.iterations[-1]) if is_pruned else None,
    }


def make_timeline(status: SweepStatus) -> list[Columns]:
    """Return who ran which trial from when to when, by worker and time; its last attempt only.

    A worker has an id; a trial that was run by hand has its Slurm job instead, or its process. A
    trial that runs has no end.
    """
    rows = [_make_span(one) for one in status.trials if one.result and one.result.started_wall_s]
    return sorted(rows, key=lambda row: (row["worker"], row["start_wall_s"]))


def _make_span(one: TrialStatus) -> Columns:
    result = one.result
    return {
        "worker": (result.worker or result.job or f"{result.host}:{result.pid}") if result else "",
        "job": result.job if result else "",
        "host": result.host if result else "",
        "trial": one.number,
        "attempt": result.attempt if result else 1,
        "state": one.state.value,
        "start_wall_s": result.started_wall_s if result else 0.0,
        "end_wall_s": result.ended_wall_s if result else None,
    }


def _make_axis(name: str, values: Sequence[Any], *, is_log: bool) -> Columns:
    known = [value for value in values if value is not None]
    if known and all(_is_number(value) for value in known):
        return {
            "name": name, "role": "parameter", "kind": "number", "is_log": is_log,
            "is_whole": all(isinstance(value, int) for value in known), "values": list(values),
        }  # fmt: skip
    texts = [None if value is None else show(value) for value in values]
    choices = sorted({text for text in texts if text is not None})
    places = {text: at for at, text in enumerate(choices)}
    return {
        "name": name, "role": "parameter", "kind": "choice", "choices": choices,
        "values": [None if text is None else places[text] for text in texts],
    }  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _make_best(status: SweepStatus) -> list[Columns]:
    try:
        return [one.to_json() for one in find_winners(status)]
    except HpctrackError:
        return []  # nothing has finished, or there is no metric


def make_importance(status: SweepStatus) -> Columns:
    """Return which parameters matter, or ``error``: why that cannot be said."""
    try:
        return measure_importance(status, evaluators=("ped-anova",)).to_json()
    except MissingPackageError as error:
        # A server needs no Optuna; correlations are better than nothing.
        found = measure_importance(status, evaluators=()).to_json()
        note = f"correlations only, for {error.message}"
        return {**found, "notes": [*found["notes"], note]}
    except HpctrackError as error:
        return {"error": error.in_a_line()}
