"""What a sweep has found, for Python: trials, curves, importance, data frames."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from hpctrack.core.settings import load_settings
from hpctrack.errors import NotFoundError
from hpctrack.store.stored_run import StoredRun
from hpctrack.sweeps.results.best import find_best, find_winners
from hpctrack.sweeps.results.command_line import make_command_line
from hpctrack.sweeps.results.curves import Curve, read_curves
from hpctrack.sweeps.results.dashboard import make_dashboard
from hpctrack.sweeps.results.export import Row, make_columns, make_frame, make_rows
from hpctrack.sweeps.results.importance import Importance, measure_importance
from hpctrack.sweeps.results.records import read_records
from hpctrack.sweeps.results.standing import Standing, judge_configurations
from hpctrack.sweeps.results.status import SweepReader
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.search.importance import EVALUATORS
from hpctrack.sweeps.search.point import PointRecord
from hpctrack.sweeps.sweep import Sweep, load_sweep
from hpctrack.sweeps.worker.trial_runs import TrialRuns


class SweepResults:
    """What a sweep has found so far.

    It is read when it is first asked for, and again after `refresh`.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    stale_after_s : float, optional
        How long a live run may be silent before it counts as crashed, seconds.

    Examples
    --------
    >>> results = hpctrack.sweep_results("k3x9a0bq")    # doctest: +SKIP
    >>> results.best.parameters                         # doctest: +SKIP
    >>> results.to_pandas().sort_values("metrics.loss") # doctest: +SKIP
    """

    def __init__(self, sweep: Sweep, *, stale_after_s: float = 60.0) -> None:
        self.sweep = sweep
        self._reader = SweepReader(sweep, stale_after_s=stale_after_s)

    def __repr__(self) -> str:
        """Name the sweep and how far it is."""
        return f"<hpctrack.SweepResults {self.sweep.id!r}: {len(self)} trials>"

    def __len__(self) -> int:
        """Return the number of trials that have begun or wait."""
        return len(self.trials)

    def __iter__(self) -> Iterator[TrialStatus]:
        """Iterate over the trials, by number."""
        return iter(self.trials)

    @cached_property
    def status(self) -> SweepStatus:
        """How the sweep stands; see `SweepStatus` for counts, cost and the time that is left."""
        return self._reader.read()

    @cached_property
    def records(self) -> list[PointRecord]:
        """What the study remembers; empty if it cannot be read."""
        return read_records(self.sweep)

    @property
    def trials(self) -> tuple[TrialStatus, ...]:
        """How each trial stands, by number."""
        return self.status.trials

    @property
    def configurations(self) -> list[Standing]:
        """How good each configuration is: mean and spread over its repeats."""
        return judge_configurations(self.status)

    @property
    def best(self) -> TrialStatus:
        """The best trial; with ``seeds``, the best repeat of the best configuration.

        Raises
        ------
        UsageError, NotFoundError
            There is no metric, or nothing has finished.
        """
        return find_best(self.status)

    @property
    def front(self) -> list[Standing]:
        """The configurations that no other beats in every metric, the best in the first in front.

        Raises
        ------
        UsageError, NotFoundError
            There is no metric, or nothing has finished.
        """
        return find_winners(self.status)

    def best_run(self) -> StoredRun:
        """Return the run of the best trial, by W&B's name.

        Raises
        ------
        UsageError, NotFoundError
            There is no metric, nothing has finished, or the best trial's program made no run.
        """
        best = self.best
        run = TrialRuns(self.sweep).open(best.number)
        if run is None:
            raise NotFoundError(
                f"trial {best.number} of sweep {self.sweep.id} has no run",
                hint="its program does not call hpctrack.init",
            )
        return run

    def command_line(self, trial: TrialStatus) -> str:
        """Return what runs a trial's program once more, quoted for a shell."""
        return make_command_line(self.sweep, trial)

    def rows(self) -> list[Row]:
        """Return one row for each trial, as `to_pandas` has them."""
        return make_rows(self.status)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with one row for each trial.

        Parameters are columns named ``params.NAME``, metrics ``metrics.NAME``.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        return make_frame(self.rows())

    def to_columns(self) -> dict[str, list[Any]]:
        """Return the same as lists, for any other library of data frames."""
        return make_columns(self.rows())

    def curves(
        self, metric: str = "", *, reads_runs: bool = True, needs_steps: bool = False
    ) -> list[Curve]:
        """Return how a metric went in each trial.

        Parameters
        ----------
        metric : str, optional
            Default: the sweep's first.
        reads_runs : bool, optional
            Whether to open the runs of trials of which the study has not all iterations.
        needs_steps : bool, optional
            Whether to open those of all trials: only runs know the steps.
        """
        return read_curves(
            self.status,
            self.records,
            metric=metric,
            reads_runs=reads_runs,
            needs_steps=needs_steps,
        )

    def curves_to_pandas(self, metric: str = "") -> Any:
        """Return a pandas DataFrame with one row for each point of the curves.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        curves = self.curves(metric, needs_steps=True)
        return make_frame(row for curve in curves for row in curve.iter_rows())

    def importance(self, metric: str = "", *, evaluators: Sequence[str] = EVALUATORS) -> Importance:
        """Return how much each parameter matters.

        Parameters
        ----------
        metric : str, optional
            Default: the sweep's first.
        evaluators : sequence of {"fanova", "ped-anova"}, optional
            Default: both.

        Raises
        ------
        UsageError, NotFoundError, MissingPackageError
            See `measure_importance`.
        """
        return measure_importance(self.status, metric=metric, evaluators=evaluators)

    def to_dashboard(self) -> dict[str, Any]:
        """Return all that a page about the sweep draws, as plain columns; see `make_dashboard`."""
        return make_dashboard(self.status, self.curves())

    def refresh(self) -> None:
        """Forget what was read; what is final is kept."""
        for name in ("status", "records"):
            self.__dict__.pop(name, None)


def sweep_results(
    sweep_id: str, *, store: str | os.PathLike[str] | None = None, project: str | None = None
) -> SweepResults:
    """Return what a sweep has found so far. Any rank may ask, but one is enough.

    Parameters
    ----------
    sweep_id : str
        Its id, ``project/id``, or the beginning of the id if only one sweep has it.
    store : path, optional
        Default: as for `hpctrack.init`.
    project : str, optional
        Where to look. Default: everywhere.

    Raises
    ------
    NotFoundError
        There is no such sweep.
    UsageError
        Several are meant.
    """
    arguments = {} if store is None else {"dir": os.fspath(store)}
    settings = load_settings(arguments).values
    sweep = load_sweep(settings.dir, sweep_id, project=project)
    return SweepResults(sweep, stale_after_s=settings.stale_after_s)
