"""A sampler whose model sees values that are nearly normal, and that repeats no point.

A Gaussian process believes in values that scatter evenly. Losses do not: a bad learning rate costs
a thousand times what separates the good ones, and the model spends itself on the shape of a cliff
that nobody wants to go to. So the values pass a power transform first, the one that makes them most
nearly normal. It keeps their order.

A model that is sure of itself suggests the best known point over and over: on Branin's function up
to half of 100 points were that one. A sweep has `seeds` for repetition, so another point is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import intersection_search_space
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

POINTS_MAX = 300
"""A model costs the cube of its points; with so many a point takes a third of a second."""

VALUES_MIN = 3
"""Of fewer no shape can be told."""

SPREAD_MIN = 1e-12
"""Of values between -1 and 1; what differs by less is rounding."""

SAME_FRACTION = 1e-6
"""Of a parameter's range: what differs by less is the same point to every program."""

DRAWS = 50
"""Random points that are tried where all models repeat; a small space may have no other."""

Values = NDArray[np.float64]


class WarpedSampler(BaseSampler):
    """Hands the trials of a study to another sampler, with other values.

    The other one sees a study in memory with at most `POINTS_MAX` trials: those that have
    finished, those that were pruned, with the last value they reported, and those that run. A
    study with several objectives is handed on as it is.

    Parameters
    ----------
    inner : BaseSampler
        Chooses.
    others : sequence of BaseSampler
        Are asked one after another where the first has chosen a point that is there already.
        Where they all do, the point is random.
    """

    def __init__(self, inner: BaseSampler, *others: BaseSampler) -> None:
        self.inner = inner
        self.others = others

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what is chosen together: the parameters that all trials had."""
        if len(study.directions) > 1:
            space: dict[str, BaseDistribution] = self.inner.infer_relative_search_space(
                study, trial
            )
            return space
        trials = [one for one, _ in _list_comparable(study)]
        space = intersection_search_space(trials, include_pruned=True)
        return {name: one for name, one in space.items() if not one.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose these parameters; nothing if the other sampler wants more trials first."""
        if not search_space:
            return {}
        chosen: dict[str, Any]
        if len(study.directions) > 1:
            chosen = self.inner.sample_relative(study, trial, search_space)
            return chosen
        known: list[FrozenTrial] = []
        for sampler in (self.inner, *self.others):
            # A shadow for each: a sampler leaves its choice in the trial that asks.
            shadow = _make_shadow(study, trial, search_space)
            shadow.ask()
            (*known, asked) = shadow.get_trials(deepcopy=False)
            chosen = sampler.sample_relative(shadow, asked, search_space)
            if not chosen or not _is_among(chosen, known, search_space):
                return chosen
        for _ in range(DRAWS):
            chosen = {
                name: self.inner.sample_independent(study, trial, name, one)
                for name, one in search_space.items()
            }
            if not _is_among(chosen, known, search_space):
                break
        return chosen

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Choose a parameter that not all trials had."""
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Take another seed."""
        self.inner.reseed_rng()


def count_known(trials: Iterable[FrozenTrial]) -> int:
    """Return how many trials a model of one objective can learn from."""
    return len(_list_known(trials))


def make_normal(values: Sequence[float]) -> Values:
    """Return values of mean 0 and deviation 1 that scatter nearly as a normal distribution.

    Parameters
    ----------
    values : sequence of float
        Infinite ones count as the highest or lowest finite one.

    Returns
    -------
    ndarray
        In the same order of size: Yeo and Johnson's transform (Biometrika 87, 2000), its exponent
        the likeliest.
    """
    from scipy import stats  # noqa: PLC0415 - takes a second

    plain = np.asarray(values, float)
    finite = plain[np.isfinite(plain)]
    if not finite.size:
        return np.zeros_like(plain)
    plain = np.clip(np.nan_to_num(plain, nan=finite.max()), finite.min(), finite.max())
    # By a power of two, which is exact: the square of 1e300 would be infinite.
    plain = np.ldexp(plain, -int(np.frexp(np.abs(plain).max())[1]))
    even: Values = (plain - plain.mean()) / max(float(plain.std()), SPREAD_MIN)
    if plain.size < VALUES_MIN or not even.any():
        return even
    with np.errstate(all="ignore"):
        try:
            warped, _ = stats.yeojohnson(even)
        except (ValueError, RuntimeError, OverflowError):
            return even
    spread = float(warped.std())
    if not np.isfinite(warped).all() or spread <= 1e-9:  # noqa: PLR2004 - all in one point
        return even
    result: Values = (warped - warped.mean()) / spread
    return result


def _list_known(trials: Iterable[FrozenTrial]) -> list[tuple[FrozenTrial, float]]:
    """Return trials with a value: finished, or pruned after a report."""
    found = []
    for one in trials:
        if one.state == TrialState.COMPLETE:
            found.append((one, float(one.values[0])))
        elif one.state == TrialState.PRUNED and one.intermediate_values:
            _, last = max(one.intermediate_values.items())
            if not math.isnan(last):
                found.append((one, float(last)))
    return found


def _list_comparable(study: Study) -> list[tuple[FrozenTrial, float]]:
    """Return those of them that say how they stand to the same constraints as the latest does.

    A pruned trial has no result that could violate one.
    """
    known = _list_known(study.get_trials(deepcopy=False))
    finished = [one for one, _ in known if one.state == TrialState.COMPLETE] or [
        one for one, _ in known
    ]
    names = finished[-1].constraints.keys() if finished else set()
    return [(one, value) for one, value in known if one.constraints.keys() == names]


def _make_shadow(
    study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
) -> Study:
    """Return a study in memory with the same trials and warped values."""
    is_maximum = study.direction == StudyDirection.MAXIMIZE
    sign = -1.0 if is_maximum else 1.0
    known = _choose(
        [(one, sign * value) for one, value in _list_comparable(study) if _has(one, search_space)]
    )
    [one for one, _ in known]
    warped = sign * make_normal([value for _, value in known])
    running = [
        one
        for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if one.number != trial.number and _has(one, search_space)
    ]
    shadow = optuna.create_study(
        direction=study.direction, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    shadow.add_trials(
        [
            *(
                _copy(one, search_space, float(v))
                for (one, _), v in zip(known, warped, strict=True)
            ),
            *(_copy(one, search_space) for one in running),
        ]
    )
    return shadow


def _has(trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> bool:
    return bool(search_space.keys() <= trial.params.keys())


def _choose(known: list[tuple[FrozenTrial, float]]) -> list[tuple[FrozenTrial, float]]:
    """Return the trials that the model sees: the best, and of the others the latest."""
    if len(known) <= POINTS_MAX:
        return known
    order = sorted(range(len(known)), key=lambda at: known[at][1])
    best = set(order[: POINTS_MAX // 2])
    later = [at for at in range(len(known)) if at not in best][-(POINTS_MAX - len(best)) :]
    return [known[at] for at in sorted(best.union(later))]


def _is_among(
    chosen: dict[str, Any], known: Iterable[FrozenTrial], search_space: dict[str, BaseDistribution]
) -> bool:
    """Tell whether a point is one of those that are known or running."""
    return any(
        all(
            _is_same(distribution, chosen[name], one.params[name])
            for name, distribution in search_space.items()
        )
        for one in known
    )


def _is_same(distribution: BaseDistribution, one: Any, other: Any) -> bool:
    if not isinstance(distribution, FloatDistribution):
        return bool(one == other)
    low, high = distribution.low, distribution.high
    if distribution.log:
        one, other, low, high = map(math.log, (one, other, low, high))
    return bool(abs(one - other) <= SAME_FRACTION * (high - low))


def _copy(
    trial: FrozenTrial, search_space: dict[str, BaseDistribution], value: float | None = None
) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=TrialState.RUNNING if value is None else TrialState.COMPLETE,
        value=value,
        params={name: trial.params[name] for name in search_space},
        distributions=dict(search_space),
        constraints=dict(trial.constraints),
    )
