"""Rules about metrics, on made-up rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from hpctrack.agents.plateau import Window, measure_change
from hpctrack.agents.rule_metrics import MetricRules
from hpctrack.agents.rules import Firing
from hpctrack.agents.step_order import StepOrder
from hpctrack.core.rule_reading import parse_rule
from hpctrack.store.schema import POINT

NAN, INF = float("nan"), float("inf")


def rows(
    values: Iterable[float], *, steps: Sequence[int] | None = None, metric: int = 0, rank: int = 0
) -> bytes:
    listed = list(values)
    points = np.zeros(len(listed), POINT)
    points["step"] = np.arange(len(listed)) if steps is None else steps
    points["value"], points["metric"], points["rank"] = listed, metric, rank
    return points.tobytes()


def watch(raw: dict[str, Any], *names: str) -> MetricRules:
    rules = MetricRules({name: number for number, name in enumerate(names or ("loss",))})
    rules.add(parse_rule(raw))
    return rules


def fire(raw: dict[str, Any], *pieces: bytes) -> Firing | None:
    """Return what fires first, if anything does."""
    rules = watch(raw)
    found = [one for piece in pieces for one in rules.take(piece) + rules.settle()]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_what_is_not_finite_in_one_rank_fires_once_with_its_place(bad: float) -> None:
    raw = {"metric": "loss", "is": "nan"}
    fine = rows([1.0, 0.5])
    firing = fire(raw, fine, fine + rows([0.1, bad], rank=5, steps=[1200, 1201]), rows([NAN]))
    assert firing is not None
    assert (firing.rank, firing.step, firing.source) == (5, 1201, "loss")
    shown = "NaN" if np.isnan(bad) else str(bad)
    assert firing.text == f"loss is {shown} at step 1,201"
    assert fire(raw, fine, fine) is None


def test_a_rule_is_about_its_metrics_and_ranks_only() -> None:
    rules = watch({"metric": "train/*", "above": 5, "rank": 1}, "train/loss", "val/loss")
    assert rules.take(rows([9.0], rank=0) + rows([9.0], metric=1, rank=1)) == []
    (firing,) = rules.take(rows([9.0], rank=1))
    assert firing.text == "train/loss is 9, above 5, at step 0"
    below = watch({"metric": "a[0].*", "below": 0}, "a[0].b", "a0.b")
    assert below.take(rows([-1.0], metric=1)) == []
    assert below.take(rows([-1.0], metric=0))


def test_metrics_that_are_named_later_are_watched_too() -> None:
    names = {"a": 0}
    rules = MetricRules(names)
    rules.add(parse_rule({"metric": "loss", "is": "nan"}))
    assert rules.take(rows([NAN])) == []
    assert [rule.target for rule in rules.list_unseen()] == ["loss"]
    names["loss"] = 1
    assert rules.list_unseen() == []
    assert rules.take(rows([NAN], metric=1))
    rules.add(parse_rule({"metric": "loss", "above": 1}))
    assert rules.take(rows([2.0], metric=1))


ROW = {"metric": "loss", "above": 5, "steps": 3}


def test_values_in_a_row_may_come_in_any_pieces() -> None:
    for cut in range(5):
        values = [9.0, 1.0, 6.0, 7.0, 8.0]
        pieces = [rows(values[:cut], steps=range(cut)), rows(values[cut:], steps=range(cut, 5))]
        firing = fire(ROW, *pieces)
        assert firing is not None, cut
        assert (firing.step, firing.value) == (4, 8.0)
        assert "loss is 8, above 5, 3 times in a row, at step 4" in firing.text


def test_a_value_between_and_a_nan_break_a_row() -> None:
    assert fire(ROW, rows([6, 6, 1, 6, 6, NAN, 6, 6])) is None


def test_each_rank_has_a_row_of_its_own() -> None:
    mixed = b"".join(rows([6.0], steps=[step], rank=rank) for step in range(2) for rank in range(9))
    assert fire(ROW, mixed) is None
    firing = fire(ROW, mixed, rows([1.0], steps=[2], rank=0) + rows([6.0], steps=[2], rank=4))
    assert firing is not None
    assert firing.rank == 4


def test_late_steps_neither_break_nor_make_a_row() -> None:
    late = rows([6, 6, 1, 6], steps=[100, 101, 50, 102])
    assert fire(ROW, late) is not None
    assert fire(ROW, rows([6, 6, 6, 1, 6], steps=[100, 50, 100, 101, 102])) is None


def test_the_same_step_again_takes_the_place_of_its_value() -> None:
    assert fire(ROW, rows([6, 6, 6, 6], steps=[1, 1, 1, 2])) is None
    assert fire(ROW, rows([6, 6, 1, 6, 6], steps=[1, 2, 2, 3, 4])) is None


def test_a_program_that_goes_back_to_a_checkpoint_is_followed() -> None:
    back = [*range(100), *range(50, 60)]
    values = [1.0] * 100 + [1.0] * 5 + [6.0] * 5
    firing = fire(ROW, rows(values, steps=back))
    assert firing is not None
    assert firing.step == 57
    one_high = [6.0] * 2 + [6.0] * 2
    assert fire(ROW, rows(one_high, steps=[98, 99, 50, 51])) is None


def test_the_order_of_steps() -> None:
    order = StepOrder()
    turns = [order.take(step).value for step in (5, 6, 6, 3, 7, 2, 2, 3, 4)]
    assert turns == ["next", "next", "again", "late", "next", "late", "late", "rewound", "next"]


# -- plateaus ------------------------------------------------------------------------------------


def noisy(slope: float, noise: float, count: int, seed: int = 0) -> list[float]:
    drift = 2 + slope * np.arange(count)
    return list(drift + noise * np.random.default_rng(seed).standard_normal(count))


FLAT = {"metric": "loss", "plateau": 0.05, "steps": 200}


def test_a_curve_that_is_flat_for_the_whole_window_is_a_plateau() -> None:
    values = [1 / (1 + step / 20) for step in range(400)] + [0.05] * 200
    raw = {**FLAT, "plateau": 0.005}
    firing = fire(raw, *(rows([value], steps=[step]) for step, value in enumerate(values)))
    assert firing is not None
    assert firing.step is not None
    assert 400 < firing.step < 600
    assert "over 200 values at step" in firing.text
    assert fire(FLAT, rows([0.05] * 199)) is None
    assert fire(FLAT, rows([0.05] * 199), rows([0.05], steps=[199])) is not None


@pytest.mark.parametrize("seed", range(20))
def test_noise_does_not_make_a_falling_curve_a_plateau(seed: int) -> None:
    # It falls by 0.1 in a window, twice the limit, under noise that is as large.
    values = noisy(-0.1 / 200, 0.1, 5000, seed)
    pieces = [rows(values[at : at + 7], steps=range(at, at + 7)) for at in range(0, 4990, 7)]
    assert fire(FLAT, *pieces) is None


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_hide_a_plateau_in_a_window_that_is_wide_enough(seed: int) -> None:
    raw = {**FLAT, "steps": 5000}
    firing = fire(raw, rows(noisy(0, 0.1, 20_000, seed)))
    assert firing is not None


def test_what_was_put_off_is_looked_at_together_and_in_its_order() -> None:
    curve = [*np.linspace(1, 0, 3000), *np.zeros(300), *np.linspace(0, 1, 3000)]
    rules = watch(FLAT)
    for at in range(0, len(curve), 7):
        piece = curve[at : at + 7]
        assert rules.take(rows(piece, steps=range(at, at + len(piece)))) == []
    (firing,) = rules.settle()
    assert firing.step is not None
    assert 3000 < firing.step <= 3300
    many = watch(FLAT)
    (firing,) = many.take(rows([0.5] * 100_000))
    assert firing.step == 199


def test_a_valley_is_no_plateau() -> None:
    step = np.arange(200)
    assert fire(FLAT, rows(list(np.abs(step - 100) / 100))) is None


def test_too_much_noise_is_told_once_and_not_guessed() -> None:
    rules, values = watch(FLAT), noisy(0, 0.1, 4000)
    for at in range(0, 4000, 10):
        assert rules.take(rows(values[at : at + 10], steps=range(at, at + 10))) == []
        assert rules.settle() == []
    ((rule, text),) = rules.remarks
    assert rule.name == "loss-plateau-0.05-200x"
    assert "noisy" in text


def test_nan_is_left_out_of_a_plateau() -> None:
    values = [0.5 if step % 2 else NAN for step in range(400)]
    assert fire(FLAT, rows(values[:390])) is None
    assert fire(FLAT, rows(values)) is not None


def test_each_rank_has_a_plateau_of_its_own() -> None:
    falling = [(1.0 - step / 200, rank) for step in range(200) for rank in (0, 1)]
    pieces = b"".join(
        rows([value if rank == 0 else 0.5], steps=[at // 2], rank=rank)
        for at, (value, rank) in enumerate(falling)
    )
    firing = fire(FLAT, pieces)
    assert firing is not None
    assert firing.rank == 1


def test_two_evaluations_are_compared_as_they_are() -> None:
    raw = {"metric": "loss", "plateau": 0.01, "steps": 2}
    assert fire(raw, rows([0.5, 0.48, 0.3])) is None
    firing = fire(raw, rows([0.5, 0.48], steps=[0, 1000]), rows([0.479], steps=[2000]))
    assert firing is not None
    assert firing.step == 2000


def test_the_line_of_a_wide_window_is_that_of_its_points() -> None:
    values = np.array(noisy(-0.001, 0.1, 10_000))
    window = Window(10_000)
    assert window.add(np.arange(10_000), values)
    whole, blocks = measure_change(values), window.measure()
    assert blocks.amount == pytest.approx(whole.amount, rel=0.02)
    assert blocks.error == pytest.approx(whole.error, rel=0.3)
    assert blocks.amount == pytest.approx(-10, rel=0.005)


def test_a_plateau_forgets_what_was_before_the_program_went_back() -> None:
    window = Window(4)
    assert window.add(np.arange(4), np.ones(4))
    late = np.array([1, 9]), np.array([5.0, 1.0])
    assert window.add(*late)
    assert window.measure().amount == 0
    assert not window.add(np.array([5, 6, 7]), np.array([2.0, 3.0, 4.0]))
    assert window.add(np.array([8, 9]), np.array([5.0, 6.0]))
    assert window.measure().amount == pytest.approx(3)
