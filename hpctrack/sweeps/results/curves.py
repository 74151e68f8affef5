"""How the metric of each trial went: from the study, and from the runs where it was thinned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpctrack.errors import HpctrackError
from hpctrack.store.stored_run import StoredRun
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.search.point import PointRecord
from hpctrack.sweeps.worker.result import TrialState
from hpctrack.sweeps.worker.trial_runs import TrialRuns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """The sweep's metric over one trial.

    Parameters
    ----------
    number, configuration : int
        Which trial, of which point.
    state : TrialState
        How it stands; a pruned one ends where it was stopped.
    iterations : ndarray of int64, shape (n,)
        The how-manieth step with the metric, from 1; the early-stopping rule counts these.
    steps : ndarray of int64, shape (n,)
        As logged; empty if only the study has the curve.
    values : ndarray of float64, shape (n,)
        As logged; NaN stays.
    is_complete : bool
        Whether every iteration is there: a study keeps those that its rule looks at.
    """

    number: int
    configuration: int
    state: TrialState
    iterations: np.ndarray[Any, np.dtype[np.int64]]
    steps: np.ndarray[Any, np.dtype[np.int64]]
    values: np.ndarray[Any, np.dtype[np.float64]]
    is_complete: bool

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.values)

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each point: trial, iteration, step, value."""
        steps: Sequence[int | None] = self.steps.tolist() or [None] * len(self)
        for row in zip(self.iterations.tolist(), steps, self.values.tolist(), strict=True):
            iteration, step, value = row
            yield {
                "trial": self.number,
                "configuration": self.configuration,
                "state": self.state.value,
                "iteration": iteration,
                "step": step,
                "value": value,
            }

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "trial": self.number,
            "configuration": self.configuration,
            "state": self.state.value,
            "is_complete": self.is_complete,
            "iterations": self.iterations.tolist(),
            "steps": self.steps.tolist(),
            "values": self.values.tolist(),
        }


def read_curves(
    status: SweepStatus,
    records: Iterable[PointRecord] = (),
    *,
    metric: str = "",
    reads_runs: bool = True,
    needs_steps: bool = False,
) -> list[Curve]:
    """Return the curves of all trials that have one, by number.

    Parameters
    ----------
    status : SweepStatus
        How the sweep stands.
    records : iterable of PointRecord, optional
        What the study remembers; not used for repeats, because there a record is of them all.
    metric : str, optional
        Default: the sweep's first, the only one that a study has curves of.
    reads_runs : bool, optional
        Whether to open a run where the study has less than all iterations; some ms for each.
    needs_steps : bool, optional
        Whether to open it also where the study has all: only runs know the steps.
    """
    file = status.sweep.file
    name = metric or (file.metrics[0].name if file.metrics else "")
    if not name:
        return []
    is_first = bool(file.metrics) and name == file.metrics[0].name
    known = {one.configuration: one for one in records if is_first and file.seeds == 1}
    runs = TrialRuns(status.sweep)
    curves = []
    for trial in status.trials:
        curve = _from_record(trial, known.get(trial.configuration))
        is_enough = curve is not None and curve.is_complete and not needs_steps
        if reads_runs and trial.has_run and not is_enough:
            curve = _from_run(trial, name, runs) or curve
        if curve is not None:
            curves.append(curve)
    return curves


def make_curve(
    trial: TrialStatus, points: Mapping[int, float], steps: Sequence[int] = ()
) -> Curve | None:
    """Return a curve of values by iteration; None if there are none.

    Parameters
    ----------
    trial : TrialStatus
        Whose.
    points : mapping of int to float
        By iteration, in order.
    steps : sequence of int, optional
        Of each point.
    """
    if not points:
        return None
    iterations = np.fromiter(points.keys(), np.int64, len(points))
    counted = trial.result.iterations if trial.result else 0
    end = max(int(iterations[-1]), counted)
    return Curve(
        number=trial.number,
        configuration=trial.configuration,
        state=trial.state,
        iterations=iterations,
        steps=np.asarray(steps, np.int64),
        values=np.fromiter(points.values(), np.float64, len(points)),
        is_complete=len(points) == end,
    )


def _from_record(trial: TrialStatus, record: PointRecord | None) -> Curve | None:
    return make_curve(trial, dict(sorted(record.curve))) if record is not None else None


def _from_run(trial: TrialStatus, metric: str, runs: TrialRuns) -> Curve | None:
    run = runs.open(trial.number)
    if run is None:
        return None
    try:
        by_step = _read_points(run, metric)
    except HpctrackError:
        return None  # never logged, or the run cannot be read: the others are still worth a look
    finally:
        run.close()
    values = dict(enumerate(by_step.values(), start=1))
    return make_curve(trial, values, list(by_step))


def _read_points(run: StoredRun, metric: str) -> dict[int, float]:
    """Return the last value at each step of the lowest rank, as early stopping sees it."""
    found = run.metric(metric)
    series = found.rank(min(found.rank_numbers()))
    pairs = sorted(zip(series.step.tolist(), series.value.tolist(), strict=True), key=_by_step)
    return dict(pairs)


def _by_step(pair: tuple[int, float]) -> int:
    return pair[0]
