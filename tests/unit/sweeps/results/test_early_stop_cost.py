"""How well early values foretell the end, and what a rule saves and misses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hpctrack.errors import UsageError
from hpctrack.sweeps.results.early_stop_cost import (
    FinishedCurve,
    Replay,
    correlate_rungs,
    list_rungs,
    replay,
)
from hpctrack.sweeps.results.early_stop_report import parse_rule
from hpctrack.sweeps.search.replay import AskedRule


def make_curves(count: int, length: int = 27, noise: float = 0.3) -> list[FinishedCurve]:
    """Return losses that fall to a level of their own, noisier at first."""
    rng = np.random.default_rng(0)
    levels = rng.uniform(0, 1, count)
    at = np.arange(1, length + 1)
    curves = []
    for number, level in enumerate(levels):
        values = level + 2 / at + rng.normal(size=length) * noise / at
        curves.append(
            FinishedCurve(number=number, values=tuple(values.tolist()), final=float(values[-1]))
        )
    return curves


class Scripted:
    """Stops what it is told to, and remembers what it heard."""

    def __init__(self, stops: dict[int, int]) -> None:
        self.stops = stops
        self.heard: list[tuple[int, int]] = []
        self.ends: dict[int, float | None] = {}

    def decide(self, at: int, iteration: int, value: float) -> bool:
        assert np.isfinite(value)
        self.heard.append((at, iteration))
        return self.stops.get(at) == iteration

    def end(self, at: int, final: float | None) -> None:
        self.ends[at] = final


def test_the_coefficients_are_scipys_over_those_who_got_that_far() -> None:
    curves = [*make_curves(20), FinishedCurve(number=20, values=(0.1, 0.2), final=0.2)]
    found = {one.iteration: one for one in correlate_rungs(curves, [1, 2, 9, 26, 27])}
    assert found[2].curves == 21
    assert found[9].curves == 20
    early = [one.values[8] for one in curves[:20]]
    final = [one.final for one in curves[:20]]
    assert found[9].spearman == pytest.approx(stats.spearmanr(early, final)[0])
    assert found[9].kendall == pytest.approx(stats.kendalltau(early, final)[0])
    assert found[27].spearman == pytest.approx(1.0)
    assert found[27].place_of_best == 1
    assert found[1].spearman < found[9].spearman < found[26].spearman + 1e-9


def test_the_place_of_the_best_goes_by_the_goal() -> None:
    curves = [
        FinishedCurve(number=0, values=(1.0, 1.0), final=1.0),
        FinishedCurve(number=1, values=(2.0, 5.0), final=5.0),
        FinishedCurve(number=2, values=(3.0, 3.0), final=3.0),
    ]
    (up,) = correlate_rungs(curves, [1], goal="maximize")
    (down,) = correlate_rungs(curves, [1], goal="minimize")
    assert (up.place_of_best, down.place_of_best) == (2, 1)
    assert up.spearman == down.spearman == pytest.approx(0.5)


def test_a_value_that_is_no_number_is_the_worst_and_equal_values_have_no_order() -> None:
    nan = float("nan")
    curves = [
        FinishedCurve(number=at, values=(value, 1.0), final=final)
        for at, (value, final) in enumerate([(nan, 1.0), (0.2, 2.0), (0.1, 3.0)])
    ]
    (found,) = correlate_rungs(curves, [1])
    assert found.place_of_best == 3
    assert found.spearman == pytest.approx(-1.0)
    flat = [FinishedCurve(number=at, values=(1.0,), final=float(at)) for at in range(3)]
    assert np.isnan(correlate_rungs(flat, [1])[0].kendall)


def test_rungs_grow_by_a_factor_and_end_before_the_curves_do() -> None:
    curves = make_curves(3, length=27)
    assert list_rungs(curves) == [1, 2, 4, 8, 16]
    assert list_rungs(curves, factor=3, first=2) == [2, 6, 18]
    assert list_rungs(curves, factor=1.2)[:5] == [1, 2, 3, 4, 5]
    assert list_rungs([]) == []


def test_two_curves_are_too_few() -> None:
    with pytest.raises(UsageError, match="2 finished trials"):
        correlate_rungs(make_curves(2), [1])


def test_trials_run_side_by_side_and_a_stopped_one_makes_room() -> None:
    curves = make_curves(4, length=3)
    rule = Scripted({0: 1})
    replay(curves, rule, workers=2)
    assert rule.heard == [
        (0, 1), (1, 1),
        (1, 2), (2, 1),
        (1, 3), (2, 2),
        (2, 3), (3, 1),
        (3, 2),
        (3, 3),
    ]  # fmt: skip
    assert rule.ends[0] is None
    assert rule.ends[3] == curves[3].final


def test_more_workers_than_trials_lose_none() -> None:
    curves = make_curves(5, length=4)
    found = replay(curves, Scripted({}), workers=64)
    assert (found.iterations, found.stopped, found.saved_share, found.regret) == (20, 0, 0.0, 0.0)


def test_what_a_rule_misses_is_its_regret() -> None:
    curves = [
        FinishedCurve(number=10 + at, values=(0.0,) * 10, final=final)
        for at, final in enumerate([0.5, 0.1, 0.3, 0.9])
    ]
    found = replay(curves, Scripted({1: 2, 3: 5}), name="scripted")
    assert (found.best_trial, found.found_trial, found.place_found) == (11, 12, 2)
    assert found.regret == pytest.approx(0.2)
    assert (found.iterations, found.all_iterations) == (27, 40)
    assert found.saved_share == pytest.approx(13 / 40)
    up = replay(curves, Scripted({3: 1}), goal="maximize")
    assert (up.best_trial, up.found_trial) == (13, 10)
    assert up.regret == pytest.approx(0.4)


def test_a_rule_that_stops_all_finds_nothing_and_the_last_iteration_is_past_saving() -> None:
    curves = make_curves(3, length=2)
    assert replay(curves, Scripted({0: 2, 1: 2, 2: 2})).stopped == 0
    found = replay(curves, Scripted({0: 1, 1: 1, 2: 1}))
    assert (found.stopped, found.found_trial, found.place_found, found.regret) == (3, *[None] * 3)
    assert found.saved_share == pytest.approx(0.5)


def play(text: str, curves: list[FinishedCurve], *, goal: str = "minimize") -> Replay:
    name, rule = parse_rule(text)
    asked = AskedRule(rule, len(curves), goal=goal)
    return replay(curves, asked, name=name, goal=goal, workers=4)


@pytest.mark.parametrize(
    "rule",
    [
        "hyperband,min_iter=1,eta=3",
        "hyperband,max_iter=27,s=3,eta=3",
        "asha,min_iter=1,eta=3",
        "median",
    ],
)
def test_the_sweeps_own_rules_save_much_of_curves_that_tell_early(rule: str) -> None:
    curves = make_curves(60, noise=0.05)
    found = play(rule, curves)
    assert found.saved_share > 0.3
    assert found.place_found is not None
    assert found.place_found <= 6


def test_a_larger_eta_saves_more() -> None:
    curves = make_curves(60)
    shares = [play(f"hyperband,min_iter=1,eta={eta}", curves).saved_share for eta in (2, 4)]
    assert shares[0] < shares[1]


def test_the_goal_is_the_rules_too() -> None:
    curves = make_curves(40, noise=0.05)
    turned = [
        FinishedCurve(number=one.number, values=tuple(-v for v in one.values), final=-one.final)
        for one in curves
    ]
    down = play("hyperband,min_iter=1,eta=3", curves)
    up = play("hyperband,min_iter=1,eta=3", turned, goal="maximize")
    assert (up.iterations, up.found_trial) == (down.iterations, down.found_trial)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("hyperbnd", "unknown type"),
        ("hyperband", "needs `min_iter`"),
        ("hyperband,min_iter", "without a value"),
        ("median,n_startup=3", "n_startup"),
        ("wilcoxon", "repeats"),
    ],
)
def test_a_wrong_rule_is_an_error_that_says_what(text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        parse_rule(text)
