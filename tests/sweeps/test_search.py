"""The search on a real journal: points, results, rules, reopening, several processes."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest

from hpctrack.errors import StoreError, StoreFullError, SweepError
from hpctrack.sweeps.schema.sweep_file import METHODS
from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import Sweep, create_sweep, make_sweep
from tests.sweeps.test_journal import largest_file

PARAMETERS: dict[str, Any] = {
    "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1},
    "layers": {"min": 1, "max": 6},
    "optimizer": {"values": ["adam", "sgd", None, [0.9, 0.99]]},
    "epochs": {"value": 10},
    "net": {
        "parameters": {
            "dropout": {"distribution": "q_uniform", "min": 0.0, "max": 0.5, "q": 0.1},
            "width": {"distribution": "q_log_uniform_values", "min": 16, "max": 256, "q": 16},
            "noise": {"distribution": "normal", "mu": 0.0, "sigma": 1.0},
        }
    },
}
ASKED = tuple(sorted({"bayes", "tpe", "cmaes", "nsga2"} & set(METHODS)))
OURS = ("random", "sobol", "qmc")


def make(tmp_path: Path, **changes: Any) -> Sweep:
    config = {
        "method": "tpe",
        "command": ["true"],
        "metric": {"name": "loss"},
        "parameters": PARAMETERS,
        "seed": 7,
        **changes,
    }
    return create_sweep(tmp_path / "store", {k: v for k, v in config.items() if v is not None})


def run_some(search: Search, count: int) -> list[dict[str, Any]]:
    """Ask for points, and tell results of a bowl."""
    points = []
    for configuration in range(count):
        point = search.ask(configuration)
        loss = (math.log10(point.parameters["lr"]) + 2) ** 2 + point.parameters["layers"]
        search.tell(point.number, PointState.FINISHED, [loss])
        points.append(point.parameters)
    return points


def check_point(point: dict[str, Any]) -> None:
    assert list(point) == ["lr", "layers", "optimizer", "epochs", "net"]
    assert 1e-4 <= point["lr"] <= 0.1
    assert type(point["layers"]) is int
    assert point["optimizer"] in PARAMETERS["optimizer"]["values"]
    assert point["epochs"] == 10
    assert round(point["net"]["dropout"], 1) == point["net"]["dropout"]
    assert point["net"]["width"] % 16 == 0


@pytest.mark.parametrize("method", [*ASKED, *OURS])
def test_every_method_finds_points_of_the_space(tmp_path: Path, method: str) -> None:
    with Search.open(make(tmp_path, method=method)) as search:
        points = run_some(search, 14)
        for one in points:
            check_point(one)
        assert len({one["lr"] for one in points}) == 14
        records = search.records()
    assert [one.configuration for one in records] == list(range(14))
    assert [one.parameters for one in records] == points
    assert {one.state for one in records} == {PointState.FINISHED}


@pytest.mark.parametrize("method", [*ASKED, *OURS])
def test_a_sweep_with_one_worker_can_be_repeated(tmp_path: Path, method: str) -> None:
    found = []
    for name in ("a", "b"):
        with Search.open(make(tmp_path / name, method=method)) as search:
            found.append(run_some(search, 13))
    assert found[0] == found[1]
    with Search.open(make(tmp_path / "c", method=method, seed=8)) as search:
        assert run_some(search, 13) != found[0]


def test_a_search_that_is_closed_and_opened_again_goes_on_as_before(tmp_path: Path) -> None:
    with Search.open(make(tmp_path / "a")) as search:
        whole = run_some(search, 15)
    sweep = make(tmp_path / "b")
    parts = []
    for start in range(0, 15, 5):
        with Search.open(sweep) as search:
            for configuration in range(start, start + 5):
                point = search.ask(configuration)
                loss = (math.log10(point.parameters["lr"]) + 2) ** 2 + point.parameters["layers"]
                search.tell(point.number, PointState.FINISHED, [loss])
                parts.append(point.parameters)
    assert parts == whole


@pytest.mark.parametrize("method", ["tpe", "random", "sobol"])
def test_a_configuration_has_one_point_however_often_it_is_asked_for(
    tmp_path: Path, method: str
) -> None:
    sweep = make(tmp_path, method=method)
    with Search.open(sweep) as search, Search.open(sweep) as other:
        point = search.ask(4)
        assert other.ask(4) == point
        assert search.ask(4) == point
        search.tell(point.number, PointState.FAILED)
        assert other.ask(4) == point
        assert len(search.records()) == 1


def test_a_point_that_was_half_suggested_is_completed(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    with Search.open(sweep) as search:
        whole = search.ask(0)
    journal = sweep.folder.journal
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = next(at for at, line in enumerate(lines) if b'"op_code":5' in line) + 2
    journal.write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
    with Search.open(sweep) as search:
        point = search.ask(0)
        check_point(point.parameters)
        assert point.number == whole.number
        assert point.parameters["lr"] == whole.parameters["lr"]
        assert [one.parameters for one in search.records()] == [point.parameters]


def test_points_of_the_grid_and_of_the_lot_are_those_of_the_space(tmp_path: Path) -> None:
    sweep = make(tmp_path, method="random")
    with Search.open(sweep) as search:
        for at in (3, 0):
            assert search.ask(at).parameters == sweep.file.space.random_point(sweep.seed, at)
    grid = make(tmp_path, method="grid", parameters={"a": {"values": [1, 2]}, "b": {"value": 3}})
    with Search.open(grid) as search:
        assert [search.ask(at).parameters for at in (1, 0)] == [{"a": 2, "b": 3}, {"a": 1, "b": 3}]
        with pytest.raises(SweepError, match="no point 2"):
            search.ask(2)


def test_telling_twice_changes_nothing(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    with Search.open(sweep) as search, Search.open(sweep) as other:
        point = search.ask(0)
        search.tell(point.number, PointState.FINISHED, [1.0])
        for one in (search, other):
            one.tell(point.number, PointState.FINISHED, [2.0])
            one.tell(point.number, PointState.FAILED)
            assert one.report(point.number, 1, 3.0) == ""
        assert [one.values for one in other.records()] == [(1.0,)]
        with pytest.raises(SweepError, match="no point 99"):
            search.tell(99, PointState.FAILED)


def test_a_result_that_is_no_number_is_the_worst(tmp_path: Path) -> None:
    with Search.open(make(tmp_path, metric={"name": "acc", "goal": "maximize"})) as search:
        for value in (math.nan, 0.5, math.inf):
            point = search.ask(len(search.records()))
            search.tell(point.number, PointState.FINISHED, [value])
        assert [one.values for one in search.records()] == [(-math.inf,), (0.5,), (math.inf,)]
        run = [search.ask(at) for at in range(3, 15)]
        assert len(run) == 12


def test_a_point_without_a_result_has_failed_unless_there_is_no_metric(tmp_path: Path) -> None:
    with Search.open(make(tmp_path)) as search:
        search.tell(search.ask(0).number, PointState.FINISHED)
        assert [one.state for one in search.records()] == [PointState.FAILED]
    with Search.open(make(tmp_path, method="random", metric=None)) as search:
        search.tell(search.ask(0).number, PointState.FINISHED)
        assert [(one.state, one.values) for one in search.records()] == [(PointState.FINISHED, ())]


def test_curves_are_kept(tmp_path: Path) -> None:
    with Search.open(make(tmp_path)) as search:
        point = search.ask(0)
        for iteration, value in ((1, 3.0), (4, 2.0), (9, 1.0)):
            assert search.report(point.number, iteration, value) == ""
        search.tell(point.number, PointState.PRUNED)
        (record,) = search.records()
    assert record.curve == ((1, 3.0), (4, 2.0), (9, 1.0))
    assert (record.state, record.values) == (PointState.PRUNED, ())


@pytest.mark.parametrize(
    ("early", "bad"),
    [
        ({"type": "hyperband", "min_iter": 3, "eta": 3}, 90.0),
        ({"type": "hyperband", "min_iter": 3, "strict": True}, 90.0),
        ({"type": "hyperband", "max_iter": 27, "s": 2}, 90.0),
        ({"type": "asha", "min_iter": 3, "reduction_factor": 3}, 90.0),
        ({"type": "median"}, 90.0),
        ({"type": "percentile", "percentile": 25.0}, 90.0),
        ({"type": "threshold", "upper": 50.0}, 90.0),
        ({"type": "threshold", "upper": 50.0}, math.nan),
        ({"type": "patient", "patience": 2}, 90.0),
        ({"type": "patient", "patience": 2, "rule": {"type": "median"}}, 90.0),
    ],
)
@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_a_rule_stops_a_bad_trial_and_no_good_one(
    tmp_path: Path, early: dict[str, Any], bad: float, goal: str
) -> None:
    if early["type"] == "threshold" and goal == "maximize":
        early = {"type": "threshold", "lower": -early["upper"]}
    sign = -1 if goal == "maximize" else 1
    metric = {"name": "loss", "goal": goal}
    with Search.open(make(tmp_path, metric=metric, early_terminate=early)) as search:
        for configuration in range(6):
            point = search.ask(configuration)
            for iteration in range(1, 28):
                if search.wants(iteration):
                    value = sign * (10.0 - iteration / 10 + configuration / 100)
                    search.report(point.number, iteration, value, best=value)
            search.tell(point.number, PointState.FINISHED, [sign * 7.0])
        good = search.ask(6)
        for iteration in range(1, 28):
            value = sign * (9.0 - iteration / 10)
            assert search.report(good.number, iteration, value, best=value) == ""
        point = search.ask(7)
        # It jumps over the rungs, and gets worse.
        said = [
            search.report(point.number, at, sign * (bad + at), best=sign * (bad + 1))
            for at in (1, 4, 5, 10, 11)
        ]
        assert any(said), early
        assert "\n" not in "".join(said)


def test_skipped_iterations_do_not_hide_a_rung(tmp_path: Path) -> None:
    early = {"type": "hyperband", "min_iter": 1000, "eta": 3}
    with Search.open(make(tmp_path, early_terminate=early)) as search:
        assert search.wants(1000)
        assert not search.wants(1001)
        assert search.wants(1001, since=990)
        assert not search.wants(1001, since=1000)


def test_a_sweep_without_a_rule_stops_nothing(tmp_path: Path) -> None:
    with Search.open(make(tmp_path)) as search:
        point = search.ask(0)
        assert [search.report(point.number, at, 9.0**at) for at in range(1, 9)] == [""] * 8
        assert not search.judges_repeats


def test_repeats_are_compared_with_those_of_the_best(tmp_path: Path) -> None:
    early = {"type": "wilcoxon", "p_threshold": 0.2, "n_startup_steps": 2}
    with Search.open(make(tmp_path, early_terminate=early, seeds=8)) as search:
        assert search.judges_repeats
        point = search.ask(0)
        for repeat in range(1, 9):
            assert search.report(point.number, repeat, repeat / 10) == ""
        search.tell(point.number, PointState.FINISHED, [0.45])
        point = search.ask(1)
        said = [search.report(point.number, at, 5 + at / 9) for at in range(1, 9)]
        assert any(said)


# -- conditions, constraints, several metrics


def test_a_parameter_whose_condition_fails_is_absent(tmp_path: Path) -> None:
    parameters = {
        "optimizer": {"values": ["adam", "sgd"]},
        "momentum": {"min": 0.0, "max": 1.0, "when": {"optimizer": "sgd"}},
        "nesterov": {"values": [True, False], "when": {"optimizer": "sgd"}},
    }
    for method in (*ASKED, *OURS, "grid"):
        if method == "grid":
            parameters["momentum"] = {"values": [0.5, 0.9], "when": {"optimizer": "sgd"}}
        sweep = make(tmp_path, method=method, parameters=parameters)
        with Search.open(sweep) as search:
            kinds = set()
            for configuration in range(5 if method == "grid" else 25):
                point = search.ask(configuration)
                has = point.parameters["optimizer"] == "sgd"
                assert ("momentum" in point.parameters) == has
                assert ("nesterov" in point.parameters) == has
                kinds.add(has)
                search.tell(
                    point.number, PointState.FINISHED, [point.parameters.get("momentum", 1)]
                )
            assert kinds == {True, False}, method
            assert search.ask(3).parameters == search.records()[3].parameters


@pytest.mark.parametrize("method", [*ASKED, *OURS])
def test_points_fulfil_the_constraints(tmp_path: Path, method: str) -> None:
    parameters = {"a": {"min": 0.0, "max": 1.0}, "b": {"min": 0.0, "max": 1.0}}
    sweep = make(tmp_path, method=method, parameters=parameters, constraints=["a + b <= 0.7"])
    with Search.open(sweep) as search:
        for configuration in range(14):
            point = search.ask(configuration)
            a, b = point.parameters["a"], point.parameters["b"]
            assert a + b <= 0.7
            # The best results lie where points are forbidden.
            search.tell(point.number, PointState.FINISHED, [2 - a - b])
        records = search.records()
    assert [one.configuration for one in records] == list(range(14))


def test_results_that_miss_a_constraint_are_told(tmp_path: Path) -> None:
    parameters = {"a": {"min": 0.0, "max": 1.0}}
    sweep = make(tmp_path, parameters=parameters, constraints=["latency <= 3", "a >= 0"])
    with Search.open(sweep) as search:
        for configuration in range(30):
            point = search.ask(configuration)
            a = point.parameters["a"]
            search.tell(point.number, PointState.FINISHED, [a], [0.5 - a])
        late = [one.parameters["a"] for one in search.records()[15:]]
    # Smaller is better, but below a half it counts for nothing.
    assert sum(0.4 < one < 0.75 for one in late) > 7


def test_a_front_of_two_metrics_is_searched(tmp_path: Path) -> None:
    metrics = [{"name": "loss"}, {"name": "speed", "goal": "maximize"}]
    parameters = {"a": {"min": 0.0, "max": 1.0}}
    for method in ("tpe", "nsga2", "bayes"):
        sweep = make(tmp_path, method=method, metric=metrics, parameters=parameters)
        with Search.open(sweep) as search:
            for configuration in range(15):
                point = search.ask(configuration)
                a = point.parameters["a"]
                assert search.report(point.number, 1, a) == ""
                search.tell(point.number, PointState.FINISHED, [a, a * a])
            assert len(search.records()[-1].values) == 2


# -- what must not happen


def test_a_study_of_another_sweep_is_refused(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    Search.open(sweep).close()
    for changes in ({"method": "random"}, {"metric": {"name": "loss", "goal": "maximize"}}):
        other = make_sweep(
            sweep.store,
            {**sweep.file.plain, **changes},
            project=sweep.project,
            sweep_id=sweep.id,
        )
        with pytest.raises(SweepError, match="of another sweep"):
            Search.open(other)


def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    with Search.open(sweep) as search:
        run_some(search, 3)
        points = [search.ask(3)]
        size_bytes = sweep.folder.journal.stat().st_size
        for room_bytes in (0, 150, 400):
            with largest_file(size_bytes + room_bytes), pytest.raises(StoreFullError):
                search.ask(4)
            size_bytes = sweep.folder.journal.stat().st_size
        points.append(search.ask(4))
        for one in points:
            search.tell(one.number, PointState.FINISHED, [1.0])
        assert [one.configuration for one in search.records()] == [0, 1, 2, 3, 4]


def test_a_journal_that_lost_its_last_lines_is_read_anew(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    with Search.open(sweep) as search:
        run_some(search, 3)
        journal = sweep.folder.journal
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:-1]))  # the third result
        states = [one.state for one in search.records()]
        assert states == [PointState.FINISHED, PointState.FINISHED, PointState.RUNNING]
        search.tell(2, PointState.FINISHED, [1.0])
        assert search.records()[2].values == (1.0,)


def test_a_lost_journal_is_an_error_of_the_store(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    with Search.open(sweep) as search:
        search.ask(0)
        sweep.folder.journal.unlink()
        with pytest.raises(StoreError):
            search.records()


def test_optuna_is_not_heard(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for method in ("tpe", "cmaes"):
        with Search.open(make(tmp_path, method=method)) as search:
            run_some(search, 12)
    said = capfd.readouterr()
    assert said.out + said.err == ""
    assert [one for one in caplog.records if one.name.startswith("optuna")] == []


# -- other sweeps' points


def test_points_of_other_sweeps_are_known_from_the_start_once(tmp_path: Path) -> None:
    old = make(tmp_path)
    with Search.open(old) as search:
        run_some(search, 12)
        search.tell(search.ask(12).number, PointState.FAILED)
        search.ask(13)
    narrow = {**PARAMETERS, "layers": {"min": 1, "max": 3}}
    new = make(tmp_path, parameters=narrow, warm_start=[old.id])
    with Search.open(old) as search:
        fitting = [
            one
            for one in search.records()
            if one.state == PointState.FINISHED and one.parameters["layers"] <= 3
        ]
    assert 0 < len(fitting) < 12
    for _ in range(2):
        with Search.open(new) as search:
            known = [one for one in search._study.trials() if one.state.is_finished()]
            assert sorted(one.values[0] for one in known) == sorted(
                one.values[0] for one in fitting
            )
            assert search.records() == []
            assert search.warm_points == len(fitting)
    with Search.open(new) as search:
        assert search.ask(0).number == len(fitting)


def test_sweeps_of_other_metrics_teach_nothing(tmp_path: Path) -> None:
    old = make(tmp_path)
    with Search.open(old) as search:
        run_some(search, 3)
    for metric in ({"name": "accuracy"}, {"name": "loss", "goal": "maximize"}):
        new = make(tmp_path, metric=metric, warm_start=[old.id])
        with Search.open(new) as search:
            assert search._study.trials() == []
            assert search.warm_points == 0
