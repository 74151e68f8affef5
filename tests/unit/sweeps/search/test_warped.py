"""What the model of `method: bayes` sees of a study."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")

from optuna.distributions import (  # noqa: E402
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler  # noqa: E402
from optuna.trial import TrialState, create_trial  # noqa: E402

from hpctrack.sweeps.search import warped  # noqa: E402
from hpctrack.sweeps.search.warped import WarpedSampler, count_known, make_normal  # noqa: E402

SPACE = {"x": FloatDistribution(0.0, 1.0), "n": IntDistribution(1, 4)}


class Watcher(RandomSampler):  # type: ignore[misc]
    """Remembers the study that it was asked about."""

    seen: Any = None
    asked: Any = None

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        self.seen, self.asked = study, trial
        assert search_space == dict(sorted(SPACE.items()))
        return {"x": 0.25, "n": 3}


def _trial(x: float, **parts: Any) -> Any:
    return create_trial(params={"x": x, "n": 2}, distributions=SPACE, **parts)


def _ask(study: Any) -> Any:
    study.sampler = WarpedSampler(Watcher(seed=1))
    return study.ask(SPACE)


def test_the_model_sees_finished_pruned_and_running_trials_with_warped_values() -> None:
    study = optuna.create_study()
    values = [0.1, 5.0, 3000.0, 2.0]
    study.add_trials([_trial(0.1 * n, value=value) for n, value in enumerate(values)])
    study.add_trial(_trial(0.7, state=TrialState.PRUNED, intermediate_values={1: 9.0, 3: 4.0}))
    study.add_trial(_trial(0.8, state=TrialState.PRUNED))
    study.add_trial(_trial(0.8, state=TrialState.PRUNED, intermediate_values={1: math.nan}))
    study.add_trial(_trial(0.9, state=TrialState.FAIL))
    study.add_trial(_trial(0.6, state=TrialState.RUNNING))
    assert count_known(study.trials) == 5
    trial = _ask(study)
    assert trial.params == {"x": 0.25, "n": 3}
    seen = study.sampler.inner.seen.get_trials()
    known = [one for one in seen if one.state == TrialState.COMPLETE]
    assert [one.params["x"] for one in known] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.7])
    assert [one.value for one in known] == pytest.approx(list(make_normal([*values, 4.0])))
    running = [one for one in seen if one.state == TrialState.RUNNING and one.params]
    assert [one.params["x"] for one in running] == [0.6]
    assert study.sampler.inner.asked.state == TrialState.RUNNING
    assert [one.value for one in study.trials[:4]] == values


def test_a_maximum_is_warped_from_its_good_end() -> None:
    study = optuna.create_study(direction="maximize")
    values = [-0.1, -5.0, -3000.0, -2.0]
    study.add_trials([_trial(0.1 * n, value=value) for n, value in enumerate(values)])
    _ask(study)
    seen = study.sampler.inner.seen.get_trials(states=(TrialState.COMPLETE,))
    assert [one.value for one in seen] == pytest.approx(list(-make_normal([-v for v in values])))


def test_parameters_that_only_some_trials_have_are_chosen_alone() -> None:
    study = optuna.create_study()
    study.add_trials([_trial(0.1 * n, value=1.0 * n) for n in range(3)])
    trial = create_trial(value=1.0, params={"x": 0.5}, distributions={"x": SPACE["x"]})
    study.add_trial(trial)
    sampler = WarpedSampler(RandomSampler(seed=1))
    asked = study.ask()
    frozen = study.get_trials()[-1]
    assert list(sampler.infer_relative_search_space(study, frozen)) == ["x"]
    study.tell(asked, state=TrialState.FAIL)
    empty = optuna.create_study(sampler=WarpedSampler(Watcher(seed=1)))
    assert set(empty.ask(SPACE).params) == {"x", "n"}
    assert empty.sampler.inner.seen is None


def test_several_objectives_are_handed_on_as_they_are() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.add_trials([_trial(0.1 * n, values=[1.0 * n, 2.0]) for n in range(3)])
    study.sampler = WarpedSampler(optuna.samplers.TPESampler(seed=1, n_startup_trials=2))
    assert set(study.ask(SPACE).params) == {"x", "n"}


def test_pruned_trials_that_say_nothing_of_the_results_constraints_are_left_out() -> None:
    study = optuna.create_study()
    study.add_trials([_trial(0.1 * n, value=1.0 * n, constraints={"c": -1.0}) for n in range(4)])
    study.add_trial(_trial(0.7, state=TrialState.PRUNED, intermediate_values={1: 9.0}))
    _ask(study)
    seen = study.sampler.inner.seen.get_trials(states=(TrialState.COMPLETE,))
    assert [one.constraints for one in seen] == [{"c": -1.0}] * 4


class Stubborn(RandomSampler):  # type: ignore[misc]
    """Always wants the same point."""

    def __init__(self, point: dict[str, Any]) -> None:
        super().__init__(seed=1)
        self.point = point

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        return self.point


def test_a_point_that_is_known_or_running_is_not_suggested_again() -> None:
    study = optuna.create_study()
    study.add_trials([_trial(0.1 * n, value=1.0 * n) for n in range(4)])
    study.add_trial(_trial(0.9, state=TrialState.RUNNING))
    known, running = {"x": 0.3 + 1e-9, "n": 2}, {"x": 0.9, "n": 2}
    free = {"x": 0.3, "n": 3}
    study.sampler = WarpedSampler(Stubborn(known), Stubborn(running), Stubborn(free))
    assert study.ask(SPACE).params == free
    study.sampler = WarpedSampler(Stubborn(known), Stubborn(running))
    params = study.ask(SPACE).params
    assert params not in (known, running)
    assert 0.0 <= params["x"] <= 1.0


def test_a_space_without_another_point_gives_a_known_one() -> None:
    space = {"n": IntDistribution(1, 2), "k": CategoricalDistribution(["a", "b"])}
    study = optuna.create_study()
    for n in (1, 2):
        for k in ("a", "b"):
            params = {"n": n, "k": k}
            study.add_trial(create_trial(value=1.0 * n, params=params, distributions=space))
    study.sampler = WarpedSampler(Stubborn({"n": 1, "k": "a"}))
    params = study.ask(space).params
    assert params["n"] in (1, 2)
    # With one point less, it is the one that is found.
    study = optuna.create_study()
    for n, k in ((1, "a"), (1, "b"), (2, "b")):
        params = {"n": n, "k": k}
        study.add_trial(create_trial(value=1.0 * n, params=params, distributions=space))
    study.sampler = WarpedSampler(Stubborn({"n": 1, "k": "a"}))
    assert study.ask(space).params == {"n": 2, "k": "a"}


def test_points_on_a_logarithmic_scale_are_the_same_by_their_ratio() -> None:
    space = {"lr": FloatDistribution(1e-9, 1.0, log=True)}
    study = optuna.create_study()
    for lr in (1e-8, 1e-3, 1e-2):
        study.add_trial(create_trial(value=lr, params={"lr": lr}, distributions=space))
    study.sampler = WarpedSampler(Stubborn({"lr": 2e-8}))
    assert study.ask(space).params == {"lr": 2e-8}
    study.sampler = WarpedSampler(Stubborn({"lr": 1e-8 * (1 + 1e-7)}))
    assert study.ask(space).params["lr"] != 1e-8 * (1 + 1e-7)


def test_of_many_trials_the_model_sees_the_best_and_the_latest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warped, "POINTS_MAX", 6)
    study = optuna.create_study()
    values = [0.0, 9.0, 8.0, 1.0, 7.0, 2.0, 6.0, 5.0, 4.0]
    study.add_trials([_trial(0.1 * n, value=value) for n, value in enumerate(values)])
    _ask(study)
    seen = study.sampler.inner.seen.get_trials(states=(TrialState.COMPLETE,))
    places = [round(one.params["x"] * 10) for one in seen]
    assert places == [0, 3, 5, 6, 7, 8]


def test_warped_values_keep_their_order_and_scatter_evenly() -> None:
    generator = np.random.default_rng(1)
    values = np.exp(generator.normal(size=200))
    found = make_normal(list(values))
    assert np.array_equal(np.argsort(found), np.argsort(values))
    assert found.mean() == pytest.approx(0.0, abs=1e-9)
    assert found.std() == pytest.approx(1.0)
    skew = float(np.mean(((values - values.mean()) / values.std()) ** 3))
    assert abs(float(np.mean(found**3))) < 0.5 < skew


@pytest.mark.parametrize(
    "values",
    [
        [],
        [3.0],
        [2.0, 2.0, 2.0, 2.0],
        [1.0, 2.0],
        [math.inf, 1.0, 2.0, -math.inf, 3.0],
        [math.inf, math.inf],
        [math.nan, 1.0, 2.0, 3.0],
        [1e300, -1e300, 0.0, 1e-300],
        [1.0, 1.0, 1.0, 1.0 + 1e-15],
        [0.0] * 50 + [1e12],
    ],
)
def test_any_values_become_finite_ones_in_the_same_order(values: list[float]) -> None:
    found = make_normal(values)
    assert len(found) == len(values)
    assert np.isfinite(found).all()
    finite = [(one, float(new)) for one, new in zip(values, found, strict=True) if one == one]  # noqa: PLR0124
    ordered = sorted(finite)
    assert all(a[1] <= b[1] + 1e-12 for a, b in itertools.pairwise(ordered))
