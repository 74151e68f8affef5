"""Which parameters matter: known answers, Optuna's own, and what cannot be answered."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.sweeps.results.importance import measure_importance
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.search.importance import rank_parameters
from hpctrack.sweeps.search.point import PointRecord, PointState
from hpctrack.sweeps.worker.result import TrialState
from tests.programs import run_python
from tests.unit.sweeps.results.made_sweeps import make_sweep, run_all, say

Point = dict[str, Any]


def make_records(
    count: int, draw: Callable[[random.Random], Point], judge: Callable[[Point], float]
) -> list[PointRecord]:
    rng = random.Random(0)
    points = [draw(rng) for _ in range(count)]
    return [record(at, point, judge(point)) for at, point in enumerate(points)]


def record(at: int, point: Point, *values: float) -> PointRecord:
    return PointRecord(
        number=at,
        configuration=at,
        state=PointState.FINISHED,
        parameters=point,
        values=values,
    )


def draw_three(rng: random.Random) -> Point:
    return {"x": rng.uniform(0, 1), "n": rng.randint(1, 9), "c": rng.choice(["a", "b"]), "k": 5}


def judge_three(point: Point) -> float:
    is_b = 1.0 if point["c"] == "b" else 0.0
    return 5 * float(point["x"]) + 0.5 * is_b + 0.01 * int(point["n"])


@pytest.mark.parametrize("evaluator", ["fanova", "ped-anova"])
def test_what_decides_most_is_first_and_a_constant_is_left_out(evaluator: str) -> None:
    records = make_records(80, draw_three, judge_three)
    found = rank_parameters(records, evaluator=evaluator)
    assert next(iter(found)) == "x"
    assert set(found) == {"x", "n", "c"}
    assert sum(found.values()) == pytest.approx(1.0)
    assert found == rank_parameters(records, evaluator=evaluator)


def test_optuna_itself_says_the_same() -> None:
    records = make_records(60, draw_three, judge_three)
    study = optuna.create_study()
    rows = [one.parameters for one in records]
    spaces: dict[str, Any] = {
        "x": optuna.distributions.FloatDistribution(
            min(row["x"] for row in rows), max(row["x"] for row in rows)
        ),
        "n": optuna.distributions.IntDistribution(1, 9),
        "c": optuna.distributions.CategoricalDistribution(
            list(dict.fromkeys(row["c"] for row in rows))
        ),
    }
    for one in records:
        point = {name: one.parameters[name] for name in spaces}
        study.add_trial(
            optuna.trial.create_trial(params=point, distributions=spaces, value=one.values[0])
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pedanova = optuna.importance.PedAnovaImportanceEvaluator()
        fanova = optuna.importance.FanovaImportanceEvaluator(seed=0)
        theirs = {
            "ped-anova": optuna.importance.get_param_importances(study, evaluator=pedanova),
            "fanova": optuna.importance.get_param_importances(study, evaluator=fanova),
        }
    for evaluator, wanted in theirs.items():
        found = rank_parameters(records, evaluator=evaluator)
        assert found == pytest.approx(wanted)


def test_the_goal_decides_which_trials_are_the_best() -> None:
    def judge(point: Point) -> float:
        # At the low end n decides, at the high end x does.
        return float(np.where(point["x"] < 0.7, point["n"], 100 + point["x"]))

    records = make_records(300, draw_three, judge)
    low = rank_parameters(records, goal="minimize")
    high = rank_parameters(records, goal="maximize")
    assert next(iter(low)) == "n"
    assert next(iter(high)) == "x"


def test_what_was_drawn_by_its_logarithm_is_weighed_by_it() -> None:
    def draw(rng: random.Random) -> Point:
        return {"lr": 10 ** rng.uniform(-5, -1), "x": rng.uniform(0, 1)}

    def judge(point: Point) -> float:
        return float(point["lr"] < 1e-3) + 0.3 * float(point["x"])

    records = make_records(100, draw, judge)
    weighed = rank_parameters(records, evaluator="fanova", logarithmic={"lr"})
    by_value = rank_parameters(records, evaluator="fanova")
    # Below 1e-3 lies half of what was drawn, but a hundredth of the range.
    assert weighed["lr"] > 0.85
    assert by_value["lr"] < weighed["lr"]


def test_a_conditional_parameter_is_judged_where_it_is_there() -> None:
    def draw(rng: random.Random) -> Point:
        point: Point = {"optimizer": {"name": rng.choice(["adam", "sgd"])}, "x": rng.random()}
        if point["optimizer"]["name"] == "sgd":
            point["optimizer"]["momentum"] = rng.random()
        return point

    def judge(point: Point) -> float:
        return float(point["optimizer"].get("momentum", 0.7)) + 0.01 * float(point["x"])

    records = make_records(200, draw, judge)
    found = rank_parameters(records)
    assert found["optimizer.momentum"] > found["x"]
    assert set(rank_parameters(records, evaluator="fanova")) == {"optimizer.name", "x"}


def test_values_of_several_kinds_are_choices() -> None:
    values: Sequence[Any] = [1, True, "1", None, [1, 2]]

    def draw(rng: random.Random) -> Point:
        return {"a": rng.choice(values), "b": rng.random()}

    records = make_records(60, draw, lambda point: float(point["a"] is True))
    for evaluator in ("fanova", "ped-anova"):
        found = rank_parameters(records, evaluator=evaluator)
        assert next(iter(found)) == "a"


def test_what_cannot_be_told_is_an_error_that_says_why() -> None:
    many = make_records(30, draw_three, judge_three)
    with pytest.raises(UsageError, match="9 finished trials are too few"):
        rank_parameters(many[:9])
    pruned = [
        PointRecord(
            number=0, configuration=0, state=PointState.PRUNED, parameters={}, values=(1.0,)
        )
    ] * 30
    with pytest.raises(UsageError, match="0 finished"):
        rank_parameters(pruned)
    with pytest.raises(UsageError, match="same parameters"):
        rank_parameters([record(at, {"x": 1}, float(at)) for at in range(12)])
    with pytest.raises(UsageError, match="same value"):
        rank_parameters([record(at, {"x": at}, 1.0) for at in range(12)])
    with pytest.raises(UsageError, match="no evaluator 'shapley'"):
        rank_parameters(many, evaluator="shapley")


def test_diverged_trials_do_not_count() -> None:
    many = make_records(30, draw_three, judge_three)
    odd = [
        record(90, {"x": 0.1, "n": 1, "c": "a", "k": 5}, float("inf")),
        record(91, {"x": 0.1, "n": 1, "c": "a", "k": 5}, float("nan")),
        record(92, {"x": 0.1, "n": 1, "c": "a", "k": 5}),
    ]
    assert rank_parameters([*many, *odd]) == rank_parameters(many)


def test_a_sweep_knows_what_was_drawn_by_its_logarithm_and_what_did_not_count(
    tmp_path: Path,
) -> None:
    sweep = make_sweep(tmp_path)
    run_all(sweep, 60, pruned=range(50, 60))
    found = measure_importance(read_status(sweep))
    assert (found.metric, found.goal, found.finished, found.total) == ("loss", "minimize", 50, 60)
    by_name = {one.name: one for one in found.parameters}
    assert found.parameters[0].name == "lr"
    assert set(by_name) == {"lr", "depth", "optimizer"}
    assert by_name["optimizer"].correlation is None
    assert by_name["depth"].correlation is not None
    assert any("10 of 60" in note for note in found.notes)


def test_repeats_are_judged_by_their_mean_and_the_seed_is_no_parameter(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, seeds=3, run_cap=60)
    run_all(sweep, 60)
    found = measure_importance(read_status(sweep), evaluators=("ped-anova",))
    assert found.finished == 20
    assert "seed" not in {one.name for one in found.parameters}
    assert all(one.fanova is None for one in found.parameters)


def test_another_metric_of_the_sweep_can_be_asked_for(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, metric=[{"name": "loss"}, {"name": "speed", "goal": "maximize"}])
    for number in range(30):
        depth = sweep.parameters(number)["depth"]
        values = {"loss": float(number), "speed": 1.0 / depth}
        say(sweep, number, TrialState.FINISHED, values=values)
    status = read_status(sweep)
    found = measure_importance(status, metric="speed", evaluators=("ped-anova",))
    assert (found.goal, found.parameters[0].name) == ("maximize", "depth")
    assert found.parameters[0].correlation == pytest.approx(-1.0)
    with pytest.raises(NotFoundError, match="no metric 'spede'"):
        measure_importance(status, metric="spede")


WITHOUT_SCIKIT = """
import sys
sys.modules["sklearn"] = None  # importing it fails, as if it were not installed
from hpctrack.cli.main import run
sys.exit(run(["sweep", "importance", "s", *sys.argv[1:]]))
"""


def test_without_scikit_learn_there_is_ped_anova_and_a_note(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    run_all(sweep, 30)
    done = run_python(WITHOUT_SCIKIT, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "scikit-learn" in found["notes"][0]
    assert all(one["fanova"] is None for one in found["parameters"])
    assert found["parameters"][0]["ped_anova"] > 0.3
    done = run_python(WITHOUT_SCIKIT, "--method", "fanova")
    assert done.returncode == 12
    assert "--method ped-anova" in done.stderr
