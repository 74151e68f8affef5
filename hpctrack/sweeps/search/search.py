"""The search of one sweep: which point comes next, and which trial should end.

Importing this module imports Optuna, which takes half a second: do it where a search is opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from hpctrack.errors import SweepError
from hpctrack.sweeps.search import samplers
from hpctrack.sweeps.search.dimensions import (
    Knob,
    decode_point,
    encode_point,
    is_active,
    make_knobs,
    set_value,
)
from hpctrack.sweeps.search.feasible import make_violations
from hpctrack.sweeps.search.point import Point, PointRecord, PointState
from hpctrack.sweeps.search.qmc import fractions
from hpctrack.sweeps.search.rules import BEST_KEY, make_rule
from hpctrack.sweeps.search.study import CONFIGURATION, INFEASIBLE, StudyHandle, translated
from hpctrack.sweeps.sweep import Sweep

SAMPLER_TRIES = 20
"""How often a sampler may suggest a point that violates a constraint."""

RANDOM_TRIES = 2000
"""How often random points are drawn after that."""

_STATES = {
    PointState.FINISHED: TrialState.COMPLETE,
    PointState.PRUNED: TrialState.PRUNED,
    PointState.FAILED: TrialState.FAIL,
}
_BACK = {
    TrialState.RUNNING: PointState.RUNNING,
    TrialState.WAITING: PointState.RUNNING,
    TrialState.COMPLETE: PointState.FINISHED,
    TrialState.PRUNED: PointState.PRUNED,
    TrialState.FAIL: PointState.FAILED,
}


class Search:
    """The study of a sweep, opened by one of any number of processes.

    Parameters
    ----------
    sweep : Sweep
        What is searched.
    study : StudyHandle
        Open.
    """

    def __init__(self, sweep: Sweep, study: StudyHandle) -> None:
        self._sweep = sweep
        self._study = study
        self._rule = make_rule(sweep.file.early)
        self._knobs = make_knobs(sweep.file.space.dimensions)
        self._violations = make_violations(sweep.file.constraints)
        self._method = sweep.file.method
        self._grid: Iterator[dict[str, Any]] | None = None
        self._feasible: list[dict[str, Any]] = []

    @classmethod
    def open(cls, sweep: Sweep) -> Self:
        """Open the study of a sweep; the first who does so makes it.

        Raises
        ------
        SweepError
            The study is of another sweep, or the sweep's options make no sense.
        MissingPackageError
            A package that the method or the storage needs is not installed.
        StoreError
            The storage cannot be used.
        """
        if sweep.file.early is not None and len(sweep.file.metrics) > 1:
            raise SweepError("early_terminate needs a single metric")
        with translated():
            if sweep.file.method not in samplers.OURS:
                samplers.make_sampler(sweep.file.method, sweep.file.sampler, 0)
            make_rule(sweep.file.early)
        return cls(sweep, StudyHandle.open(sweep))

    def ask(self, configuration: int) -> Point:
        """Return the point of a configuration: a new one, or the one it has already.

        Parameters
        ----------
        configuration : int
            0-based.

        Raises
        ------
        SweepError
            The grid has no such point, or no point fulfils the constraints.
        StoreError
            The storage cannot be used; may be tried again.
        """
        return self._study.run(lambda: self._ask(configuration))

    def wants(self, iteration: int, since: int | None = None) -> bool:
        """Tell whether an iteration is to be reported.

        Parameters
        ----------
        iteration : int
            From 1.
        since : int, optional
            The last iteration that was offered, if some were left out between.
        """
        first = iteration if since is None else min(since + 1, iteration)
        return any(self._rule.wants(one) for one in range(iteration, first - 1, -1))

    def report(
        self, number: int, iteration: int, value: float, *, best: float | None = None
    ) -> str:
        """Record a value of the first metric, and return why the trial should stop, or "".

        Parameters
        ----------
        number : int
            Of the point.
        iteration : int
            From 1.
        value : float
            What the metric is now.
        best : float, optional
            The best value of all iterations so far, also of those that were not reported.

        Raises
        ------
        StoreError
            The storage cannot be used; may be tried again.
        """
        return self._study.run(lambda: self._report(number, iteration, float(value), best))

    def tell(
        self,
        number: int,
        state: PointState,
        values: Sequence[float] = (),
        violations: Sequence[float] = (),
    ) -> None:
        """Say how a point has ended; the first word counts.

        Parameters
        ----------
        number : int
            Of the point.
        state : PointState
            Not running.
        values : sequence of float
            One for each metric if it has finished; NaN counts as the worst there is.
            A point that has finished without them counts as failed.
        violations : sequence of float
            How much the result misses each constraint; 0 or less is none.

        Raises
        ------
        StoreError
            The storage cannot be used; may be tried again.
        """
        self._study.run(lambda: self._tell(number, state, values, violations))

    def records(self) -> list[PointRecord]:
        """Return all configurations, by the order in which they were asked for.

        Raises
        ------
        StoreError
            The storage cannot be used.
        """
        return self._study.run(
            lambda: [
                self._record(one)
                for one in self._study.trials()
                if CONFIGURATION in one.user_attrs and INFEASIBLE not in one.user_attrs
            ]
        )

    def close(self) -> None:
        """Let go of the storage."""
        self._study.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    # -- asking

    def _ask(self, configuration: int) -> Point:
        found = self._study.find(configuration)
        if found is not None and (found.state.is_finished() or self._is_complete(found)):
            return Point(found.number, decode_point(self._knobs, found.params))
        if self._method in samplers.OURS:
            return self._record_ours(configuration, self._choose(configuration))
        for attempt in range(SAMPLER_TRIES):
            trial_id, parameters = self._suggest(configuration, attempt, found)
            found = None
            violations = self._violations(parameters)
            if all(one <= 0 for one in violations):
                return Point(self._study.number_of(trial_id), parameters)
        return self._record_ours(configuration, self._random_feasible(configuration))

    def _is_complete(self, trial: FrozenTrial) -> bool:
        parameters = decode_point(self._knobs, trial.params)
        return all(
            one.name in trial.params
            for one in self._knobs
            if one.distribution is not None and is_active(one, parameters)
        )

    def _suggest(
        self, configuration: int, attempt: int, found: FrozenTrial | None
    ) -> tuple[int, dict[str, Any]]:
        """Let a sampler suggest a point, and record it with how it stands to the constraints."""
        if found is None:
            trial_id = self._study.create({CONFIGURATION: configuration})
        else:
            trial_id = self._study.id_of(found.number)
        seed = samplers.make_seed(self._sweep.seed, configuration, attempt)
        sampler = samplers.make_sampler(self._method, self._sweep.file.sampler, seed)
        study = self._study.study(sampler=sampler)
        with self._study.batch():
            trial = Trial(study, trial_id)
            parameters = self._fill(trial)
            violations = self._violations(parameters)
            for at, one in enumerate(violations):
                trial.set_constraint(f"parameters:{at}", one)
            if any(one > 0 for one in violations):
                trial.set_user_attr(INFEASIBLE, "parameters")
                self._study.end(trial_id, TrialState.PRUNED)
        return trial_id, parameters

    def _fill(self, trial: Trial) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        for knob in self._knobs:
            if is_active(knob, parameters):
                suggested = _suggest_one(trial, knob)
                set_value(parameters, knob.path, knob.decode(suggested))
        return parameters

    def _choose(self, configuration: int) -> dict[str, Any]:
        """Return a point that follows from the seed and the number."""
        if self._method == "grid":
            return self._grid_point(configuration)
        if self._method == "random":
            return self._random_feasible(configuration)
        drawn = fractions(
            sum(one.distribution is not None for one in self._knobs),
            seed=self._sweep.seed,
            number=configuration,
            options=self._sweep.file.sampler,
        )
        parameters = self._place(drawn)
        if self._is_feasible(parameters):
            return parameters
        return self._random_feasible(configuration)

    def _place(self, drawn: Sequence[float]) -> dict[str, Any]:
        """Return the parameters of a point of the unit cube."""
        parameters: dict[str, Any] = {}
        left = iter(drawn)
        for dimension, knob in zip(self._sweep.file.space.dimensions, self._knobs, strict=True):
            fraction = 0.0 if knob.distribution is None else next(left)
            if is_active(knob, parameters):
                set_value(parameters, knob.path, dimension.distribution.pick(fraction))
        return parameters

    def _grid_point(self, configuration: int) -> dict[str, Any]:
        space = self._sweep.file.space
        if not self._sweep.file.constraints:
            try:
                return space.grid_point(configuration)
            except IndexError:
                raise SweepError(f"the grid has no point {configuration}") from None
        if self._grid is None:
            self._grid = map(space.grid_point, range(space.grid_size() or 0))
        while len(self._feasible) <= configuration:
            try:
                point = next(self._grid)
            except StopIteration:
                raise SweepError(
                    f"the grid has no point {configuration}",
                    hint=f"{len(self._feasible)} of its points fulfil the constraints",
                ) from None
            if self._is_feasible(point):
                self._feasible.append(point)
        return self._feasible[configuration]

    def _random_feasible(self, configuration: int) -> dict[str, Any]:
        for attempt in range(RANDOM_TRIES):
            # The first is the point that a sweep without constraints would have.
            seed = self._sweep.seed + (attempt << 40)
            parameters = self._sweep.file.space.random_point(seed, configuration)
            if self._is_feasible(parameters):
                return parameters
        raise SweepError(
            f"none of {RANDOM_TRIES} random points fulfils the constraints",
            hint="loosen `constraints`, or the bounds of `parameters`",
        )

    def _is_feasible(self, parameters: Mapping[str, Any]) -> bool:
        return all(one <= 0 for one in self._violations(parameters))

    def _record_ours(self, configuration: int, parameters: dict[str, Any]) -> Point:
        params, distributions = encode_point(self._knobs, parameters)
        trial_id = self._study.create(
            {CONFIGURATION: configuration},
            params=params,
            distributions=distributions,
            constraints=self._violations(parameters),
        )
        return Point(self._study.number_of(trial_id), parameters)

    # -- reporting and telling

    def _report(self, number: int, iteration: int, value: float, best: float | None) -> str:
        trial_id = self._study.id_of(number)
        trial = self._study.storage.get_trial(trial_id)
        if trial.state.is_finished():
            return ""
        trial = _with_value(trial, iteration, value, best)
        with self._study.batch():
            self._study.storage.set_trial_intermediate_value(trial_id, iteration, value)
            if self._sweep.file.early is None:
                return ""
            stops = self._rule.pruner.prune(self._study.study(pruner=self._rule.pruner), trial)
        return self._rule.say(iteration) if stops else ""

    def _tell(
        self,
        number: int,
        state: PointState,
        values: Sequence[float],
        violations: Sequence[float],
    ) -> None:
        if state not in _STATES:
            raise ValueError(f"a point cannot end as {state}")
        trial_id = self._study.id_of(number)
        if self._study.storage.get_trial(trial_id).state.is_finished():
            return
        ended = _STATES[state]
        metrics = self._sweep.file.metrics
        told: list[float] | None = None
        if ended == TrialState.COMPLETE and not metrics:
            told = [0.0]  # Optuna has no study without an objective
        elif ended == TrialState.COMPLETE and len(values) == len(metrics):
            told = [
                _worst(one.goal) if math.isnan(value) else float(value)
                for one, value in zip(metrics, values, strict=True)
            ]
        elif ended == TrialState.COMPLETE:
            ended = TrialState.FAIL
        with suppress(optuna.exceptions.UpdateFinishedTrialError), self._study.batch():
            self._study.constrain(trial_id, violations)
            self._study.end(trial_id, ended, told)

    def _record(self, trial: FrozenTrial) -> PointRecord:
        values = tuple(trial.values or ()) if trial.state == TrialState.COMPLETE else ()
        return PointRecord(
            number=trial.number,
            configuration=int(trial.user_attrs[CONFIGURATION]),
            state=_BACK[trial.state],
            parameters=decode_point(self._knobs, trial.params),
            values=values if self._sweep.file.metrics else (),
            curve=tuple(sorted(trial.intermediate_values.items())),
        )


def _worst(goal: str) -> float:
    return -math.inf if goal == "maximize" else math.inf


def _with_value(
    trial: FrozenTrial, iteration: int, value: float, best: float | None
) -> FrozenTrial:
    """Return a copy of a trial with a value that the storage has not seen yet."""
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        datetime_start=trial.datetime_start,
        datetime_complete=None,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={**trial.user_attrs, BEST_KEY: best},
        system_attrs=dict(trial.system_attrs),
        intermediate_values={**trial.intermediate_values, iteration: value},
        trial_id=trial._trial_id,  # noqa: SLF001 - Optuna's pruners need it, and nothing public has it
    )


def _suggest_one(trial: Trial, knob: Knob) -> Any:
    distribution = knob.distribution
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return trial.suggest_categorical(knob.name, distribution.choices)
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(
            knob.name, distribution.low, distribution.high, step=distribution.step
        )
    if isinstance(distribution, optuna.distributions.FloatDistribution):
        return trial.suggest_float(
            knob.name,
            distribution.low,
            distribution.high,
            step=distribution.step,
            log=distribution.log,
        )
    return None
