"""W&B's rule for ending trials, against the decisions of W&B's own engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hpctrack.sweeps.schema.sweep_file import EarlyStop
from hpctrack.sweeps.search.hyperband import (
    Hyperband,
    bands_from_max,
    bands_from_min,
    value_at,
)
from hpctrack.sweeps.search.rules import is_sparse, make_rule

ASSET = Path(__file__).resolve().parents[3] / "assets/sweeps/hyperband.json"


def read_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(ASSET.read_text())["cases"]
    return cases


def make_rule_of(case: dict[str, Any]) -> Hyperband:
    rule = case["rule"]
    bands = (
        bands_from_max(rule["max_iter"], rule["eta"], rule["s"])
        if "max_iter" in rule
        else bands_from_min(rule["min_iter"], rule["eta"])
    )
    return Hyperband(bands=bands, eta=rule["eta"], strict=rule["strict"])


def list_histories(case: dict[str, Any]) -> list[dict[int, float]]:
    sign = -1 if case["goal"] == "maximize" else 1
    return [
        {at: sign * value for at, value in enumerate(run["history"], 1)} for run in case["runs"]
    ]


def test_the_bands_are_those_of_the_engine() -> None:
    for case in read_cases():
        assert [one for one in make_rule_of(case).bands if one <= 100] == case["bands"]


def test_the_decisions_are_those_of_the_engine() -> None:
    cases = read_cases()
    assert sum(len(one["stopped"]) for one in cases) > 100  # or nothing would be compared
    for case in cases:
        rule, histories = make_rule_of(case), list_histories(case)
        stopped = [
            at
            for at, run in enumerate(case["runs"])
            if run["is_running"]
            and rule.should_stop(histories[at], histories[:at] + histories[at + 1 :])
        ]
        assert stopped == case["stopped"], case


def test_a_trial_that_reported_its_bands_and_its_best_is_judged_as_if_it_had_reported_all() -> None:
    for case in read_cases():
        rule, histories = make_rule_of(case), list_histories(case)
        known = frozenset(rule.bands)
        thin = [
            {at: value for at, value in one.items() if at in known or at == len(one)}
            for one in histories
        ]
        stopped = [
            at
            for at, run in enumerate(case["runs"])
            if run["is_running"]
            and rule.should_stop(
                thin[at],
                thin[:at] + thin[at + 1 :],
                best=min(histories[at].values(), default=None),
            )
        ]
        assert stopped == case["stopped"], case


def test_a_band_that_was_jumped_over_is_judged_by_the_next_value() -> None:
    assert value_at({1: 5.0, 4: 2.0, 9: 1.0}, 3) == 2.0
    assert value_at({1: 5.0}, 3) is None
    rule = Hyperband(bands=(3,), eta=2, strict=True)
    assert rule.should_stop({1: 9.0, 4: 8.0}, [{3: 1.0}, {3: 2.0}])
    assert not rule.should_stop({1: 9.0, 2: 8.0}, [{3: 1.0}, {3: 2.0}])


def test_nothing_is_decided_before_the_first_value() -> None:
    assert not Hyperband(bands=(1,)).should_stop({}, [{1: 0.0}])


def test_curves_keep_about_a_hundred_values_of_a_million() -> None:
    kept = [at for at in range(1, 1_000_001) if is_sparse(at)]
    assert kept[:20] == list(range(1, 21))
    assert 100 < len(kept) < 180
    assert not is_sparse(0)


@pytest.mark.parametrize(
    ("early", "wanted"),
    [
        (EarlyStop("hyperband", {"min_iter": 30, "eta": 3}), (30, 90, 270, 810)),
        (EarlyStop("hyperband", {"max_iter": 810, "s": 3, "eta": 3}), (30, 90, 270)),
        (EarlyStop("asha", {"min_iter": 31, "reduction_factor": 4}), (31, 124, 496, 1984)),
        (EarlyStop("asha", {"min_iter": 31, "min_early_stopping_rate": 1}), (124, 496)),
        (EarlyStop("median", {"n_warmup_steps": 100, "interval_steps": 50}), (100, 150, 1000)),
        (EarlyStop("patient", {"patience": 3}), (1, 61, 999)),
        (EarlyStop("threshold", {"upper": 3.0}), (1, 61, 999)),
    ],
)
def test_a_rule_wants_the_iterations_that_it_looks_at(
    early: EarlyStop, wanted: tuple[int, ...]
) -> None:
    wants = make_rule(early).wants
    assert all(wants(one) for one in wanted)


def test_a_rule_with_rungs_does_not_want_all() -> None:
    for early in (
        EarlyStop("hyperband", {"min_iter": 30}),
        EarlyStop("asha", {"min_iter": 30}),
        EarlyStop("median", {"n_warmup_steps": 10**6}),
    ):
        wants = make_rule(early).wants
        assert sum(wants(one) for one in range(1, 100_001)) < 200, early
