"""Counters: rates and totals, whatever the counter does; and turns."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hpctrack.core.clock import Clock
from hpctrack.telemetry.counters import Odometer, Rates
from hpctrack.telemetry.rota import Rota


def test_a_rate_needs_two_readings_of_one_counter() -> None:
    rates = Rates()
    assert rates.rate("a", 100, 1.0) is None
    assert rates.rate("b", 5, 1.0) is None
    assert rates.rate("a", 300, 3.0) == 100.0
    assert rates.rate("b", 5, 3.0) == 0.0


def test_a_counter_that_went_back_has_no_rate_and_then_has_one_again() -> None:
    rates = Rates()
    rates.rate("a", 100, 1.0)
    assert rates.rate("a", 7, 2.0) is None
    assert rates.rate("a", 17, 3.0) == 10.0
    assert rates.rate("a", 18, 3.0) is None  # no time has passed


def test_a_forgotten_counter_begins_anew() -> None:
    rates = Rates()
    rates.rate("a", 1, 1.0)
    rates.rate("b", 1, 1.0)
    rates.forget(["b"])
    assert rates.rate("a", 2, 2.0) is None
    assert rates.rate("b", 2, 2.0) == 1.0


@given(st.lists(st.integers(0, 2**64), max_size=30))
def test_no_rate_is_ever_negative(counts: list[int]) -> None:
    rates = Rates()
    for second, count in enumerate(counts):
        rate = rates.rate("a", count, float(second))
        growth = rates.growth("b", count)
        assert rate is None or rate >= 0
        assert growth is None or growth >= 0


@given(st.integers(0, 999), st.lists(st.integers(0, 500), max_size=50))
def test_a_total_goes_on_where_its_counter_wraps(start: int, steps: list[int]) -> None:
    meter = Odometer(1000)
    raw = start
    assert meter.add(raw, at_most=500) is None
    for step in steps:
        raw = (raw + step) % 1000
        assert meter.add(raw, at_most=500) == step
    assert meter.total == sum(steps)


@given(
    st.one_of(st.none(), st.just(1000.0)), st.lists(st.floats(0, 999.0), min_size=2, max_size=50)
)
def test_a_total_never_goes_back_and_never_takes_a_step_that_cannot_be(
    modulus: float | None, readings: list[float]
) -> None:
    meter = Odometer(modulus)
    totals = []
    for reading in readings:
        meter.add(reading, at_most=100.0)
        totals.append(meter.total)
    assert all(0 <= later - earlier <= 100.001 for earlier, later in pairwise(totals))


def test_a_reset_adds_nothing_and_counting_goes_on_from_there() -> None:
    meter = Odometer(1_000_000)
    meter.add(500_000, at_most=100)
    assert meter.add(3, at_most=100) is None  # a wrap would mean 500,003
    assert meter.add(13, at_most=100) == 10
    assert meter.total == 10


class Stopwatch:
    """A clock that goes on only when told."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.clock = Clock(wall_s=float, mono_s=float, cpu_s=lambda: self.now_s)


def take(rota: Rota, stopwatch: Stopwatch, keys: list[str], mono_s: float, cost_s: float) -> str:
    taken = ""
    for key in rota.turns(keys, mono_s):
        taken += key
        stopwatch.now_s += cost_s
    return taken


def test_cheap_ones_all_have_their_turn_each_period() -> None:
    stopwatch = Stopwatch()
    rota = Rota(10.0, share=0.01, clock=stopwatch.clock)
    assert take(rota, stopwatch, ["a", "b", "c"], 0.0, 0.001) == "abc"
    assert take(rota, stopwatch, ["a", "b", "c"], 1.0, 0.001) == ""
    assert take(rota, stopwatch, ["a", "b", "c", "d"], 2.0, 0.001) == "d"
    assert take(rota, stopwatch, ["b", "c", "d"], 10.0, 0.001) == "bc"


def test_dear_ones_wait_until_those_before_are_paid_for_and_nobody_is_left_out() -> None:
    stopwatch = Stopwatch()
    rota = Rota(10.0, share=0.01, clock=stopwatch.clock)
    keys = ["a", "b", "c"]
    taken = "".join(take(rota, stopwatch, keys, float(second), 0.1) for second in range(60))
    # 0.1 s each at a share of 0.01: one in ten seconds.
    assert 5 <= len(taken) <= 7
    assert taken.startswith("abcab")
    assert stopwatch.now_s <= 0.01 * 60 + 0.1
