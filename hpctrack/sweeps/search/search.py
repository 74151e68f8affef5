"""The search of one sweep: which point comes next, and which trial should end.

Importing this module imports Optuna, which takes half a second: do it where a search is opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from hpctrack.errors import SweepError
from hpctrack.sweeps.search import samplers
from hpctrack.sweeps.search.dimensions import (
    Knob,
    decode_point,
    encode_point,
    is_complete,
    make_knobs,
)
from hpctrack.sweeps.search.point import Point, PointRecord, PointState
from hpctrack.sweeps.search.qmc import OPTIONS, fractions
from hpctrack.sweeps.search.rules import BEST_KEY, make_rule
from hpctrack.sweeps.search.study import (
    CONFIGURATION,
    INFEASIBLE,
    OF_PARAMETERS,
    StudyHandle,
    id_of,
    limit,
    translated,
)
from hpctrack.sweeps.search.warm_start import count_points, warm_start
from hpctrack.sweeps.search.warped import count_known
from hpctrack.sweeps.sweep import Sweep

SAMPLER_TRIES = 20
"""How often a sampler may suggest a point that violates a constraint."""

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
        self._space = sweep.file.space
        self._knobs = make_knobs(self._space.dimensions)
        self._method = sweep.file.method
        self._is_digest = self._method in {"grid", "random"}

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
            samplers.make_sampler(sweep, 0)
            make_rule(sweep.file.early)
        study = StudyHandle.open(sweep)
        study.run(lambda: warm_start(study, sweep))
        return cls(sweep, study)

    def ask(self, configuration: int, *, is_new: bool = False) -> Point:
        """Return the point of a configuration: a new one, or the one it has already.

        Parameters
        ----------
        configuration : int
            0-based.
        is_new : bool
            Nobody can have asked for it: whether somebody has is not looked up.

        Raises
        ------
        SweepError
            The grid has no such point, or no point fulfils the constraints.
        StoreError
            The storage cannot be used; may be tried again.
        """
        return self._study.run(lambda: self._ask(configuration, is_new=is_new))

    @property
    def warm_points(self) -> int | None:
        """How many points of other sweeps it knew from the start; None if none were asked for."""
        return self._study.run(lambda: count_points(self._study, self._sweep))

    @property
    def judges_repeats(self) -> bool:
        """Whether the rule compares repeats of a configuration, not iterations of a trial.

        Then `report` takes the number of a repeat, from 1, and its result.
        """
        return self._sweep.file.early is not None and self._sweep.file.early.kind == "wilcoxon"

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
        with _known(number):
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
        with _known(number):
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

    def _ask(self, configuration: int, *, is_new: bool) -> Point:
        found = None if is_new else self._study.find(configuration)
        if found is not None and (
            found.state.is_finished() or is_complete(self._knobs, found.params)
        ):
            return self._point(id_of(found), self._values(found))
        if self._method in samplers.OURS or (found is None and self._is_early()):
            return self._record_ours(configuration, self._choose(configuration))
        for attempt in range(SAMPLER_TRIES):
            trial_id, values = self._suggest(configuration, attempt, found)
            found = None
            if self._space.holds(values):
                return self._point(trial_id, values)
        point = self._space.random_point(self._sweep.seed, configuration)
        return self._record_ours(configuration, self._space.flatten(point))

    def _is_early(self) -> bool:
        """Tell whether there are too few results for the sampler to choose by."""
        wanted = samplers.count_spread(self._sweep)
        return wanted > 0 and count_known(self._study.trials()) < wanted

    def _point(self, number: int, values: Mapping[str, Any]) -> Point:
        return Point(number, self._space.nest(values))

    def _suggest(
        self, configuration: int, attempt: int, found: FrozenTrial | None
    ) -> tuple[int, dict[str, Any]]:
        """Let a sampler suggest a point, and record it with how it stands to the constraints."""
        if found is None:
            trial_id = self._study.create({CONFIGURATION: configuration})
        else:
            trial_id = id_of(found)
        sampler = samplers.make_sampler(self._sweep, configuration, attempt)
        study = self._study.study(sampler=sampler)
        with self._study.batch():
            trial = Trial(study, trial_id)
            values = self._fill(trial)
            for at, one in enumerate(self._space.violations(values)):
                trial.set_constraint(f"{OF_PARAMETERS}:{at}", limit(one))
            if not self._space.holds(values):
                trial.set_user_attr(INFEASIBLE, "parameters")
                self._study.end(trial_id, TrialState.PRUNED)
        return trial_id, values

    def _fill(self, trial: Trial) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for knob in self._knobs:
            if knob.dimension.is_active(values):
                values[knob.name] = knob.decode(_suggest_one(trial, knob))
        return values

    def _choose(self, configuration: int) -> dict[str, Any]:
        """Return a point that follows from the seed and the number."""
        if self._method == "grid":
            try:
                return self._space.flatten(self._space.grid_point(configuration))
            except IndexError:
                raise SweepError(f"the grid has no point {configuration}") from None
        if self._method != "random":
            values = self._place(configuration)
            if self._space.holds(values):
                return values
        return self._space.flatten(self._space.random_point(self._sweep.seed, configuration))

    def _place(self, configuration: int) -> dict[str, Any]:
        """Return a point of a sequence that fills the space."""
        options = self._sweep.file.sampler
        drawn = iter(
            fractions(
                sum(one.distribution is not None for one in self._knobs),
                seed=options.get("seed", self._sweep.seed),
                number=configuration,
                options={name: options[name] for name in OPTIONS if name in options},
            )
        )
        values: dict[str, Any] = {}
        for knob in self._knobs:
            # Also a parameter that is absent has its place in the sequence.
            fraction = 0.5 if knob.distribution is None else next(drawn)
            if knob.dimension.is_active(values):
                values[knob.name] = knob.dimension.distribution.pick(fraction)
        return values

    def _record_ours(self, configuration: int, values: dict[str, Any]) -> Point:
        encoded = encode_point(self._knobs, values)
        if encoded is None:
            raise SweepError(f"the point {values} is not of its own space")
        trial_id = self._study.create(
            {CONFIGURATION: configuration},
            params=encoded[0],
            distributions=encoded[1],
            constraints=self._space.violations(values),
        )
        # As the study remembers it: some numbers lose their last bit on the way.
        decoded = values if self._is_digest else decode_point(self._knobs, encoded[0])
        return self._point(trial_id, decoded)

    def _values(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return a recorded point."""
        if self._is_digest:
            return self._choose(int(trial.user_attrs[CONFIGURATION]))
        return decode_point(self._knobs, trial.params)

    # -- reporting and telling

    def _report(self, number: int, iteration: int, value: float, best: float | None) -> str:
        trial = self._study.storage.get_trial(number)
        if trial.state.is_finished():
            return ""
        trial = _with_value(trial, iteration, value, best)
        stops = False
        with suppress(UpdateFinishedTrialError), self._study.batch():
            self._study.storage.set_trial_intermediate_value(number, iteration, value)
            if self._sweep.file.early is not None:
                pruner = self._rule.pruner
                stops = pruner.prune(self._study.study(pruner=pruner), trial)
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
        with suppress(UpdateFinishedTrialError), self._study.batch():
            # Samplers need all of them, of all points: what was not measured is violated.
            missing = len(self._sweep.file.result_constraints) - len(violations)
            self._study.constrain(number, [*violations, *[math.inf] * max(missing, 0)])
            self._study.end(number, ended, told)

    def _record(self, trial: FrozenTrial) -> PointRecord:
        values = tuple(trial.values or ()) if trial.state == TrialState.COMPLETE else ()
        return PointRecord(
            number=id_of(trial),
            configuration=int(trial.user_attrs[CONFIGURATION]),
            state=_BACK[trial.state],
            parameters=self._space.nest(self._values(trial)),
            values=values if self._sweep.file.metrics else (),
            curve=tuple(sorted(trial.intermediate_values.items())),
        )


@contextmanager
def _known(number: int) -> Iterator[None]:
    try:
        yield
    except KeyError:
        raise SweepError(f"the study has no point {number}") from None


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
        trial_id=id_of(trial),
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
