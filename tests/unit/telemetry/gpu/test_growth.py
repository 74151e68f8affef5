"""Counters that wrap, start again and lie."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpctrack.telemetry.growth import Growth


def test_the_first_reading_says_nothing() -> None:
    growth = Growth()
    assert growth.add(5_000, 100) is None
    assert growth.total == 0


def test_a_counter_grows() -> None:
    growth = Growth()
    growth.add(5_000, 100)
    assert growth.add(5_040, 100) == 40
    assert growth.add(5_040, 100) == 0
    assert (growth.total, growth.resets) == (40, 0)


def test_a_counter_of_32_bits_wraps() -> None:
    growth = Growth()
    growth.add(2**32 - 30, 100)
    assert growth.add(20, 100) == 50
    assert (growth.total, growth.resets) == (50, 0)


def test_a_counter_of_64_bits_wraps_without_losing_a_digit() -> None:
    growth = Growth()
    growth.add(2**64 - 3, 100)
    assert growth.add(4, 100) == 7
    assert growth.resets == 0


def test_a_counter_that_starts_again_counts_from_there() -> None:
    growth = Growth()
    growth.add(70_000, 100)
    growth.add(70_080, 100)
    assert growth.add(30, 100) == 30
    assert (growth.total, growth.resets) == (110, 1)
    assert growth.add(50, 100) == 20


def test_a_counter_that_starts_again_at_an_impossible_height_adds_nothing() -> None:
    growth = Growth()
    growth.add(70_000, 100)
    assert growth.add(60_000, 100) is None
    assert (growth.total, growth.resets) == (0, 1)


def test_a_reset_after_a_long_gap_is_not_taken_for_a_wrap() -> None:
    growth = Growth()
    growth.add(1_000_000, 100)
    assert growth.add(500, 2**40) == 500
    assert (growth.total, growth.resets) == (500, 1)


def test_a_glitch_does_not_count_as_a_lifetime() -> None:
    growth = Growth()
    growth.add(22_000_000, 1_000)
    growth.add(22_000_500, 1_000)
    growth.add(200, 1_000)  # one wrong reading, as a driver may give
    growth.add(22_001_500, 1_000)
    growth.add(22_002_000, 1_000)
    assert growth.total == 500 + 200 + 500
    assert growth.resets == 2


def test_a_counter_that_never_wraps_is_not_thought_to() -> None:
    growth = Growth(wraps=())
    growth.add(2**32 - 30, 100)
    assert growth.add(20, 100) == 20
    assert growth.resets == 1


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 1_000_000), max_size=50))
def test_whatever_a_wrapping_counter_counts_is_found(start: int, steps: list[int]) -> None:
    growth = Growth()
    shown = start
    growth.add(shown, 1_000_000)
    for step in steps:
        shown = (shown + step) % 2**32
        growth.add(shown, 1_000_000)
    assert growth.total == sum(steps)
    assert growth.resets == 0


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.integers(0, 2**33))
def test_a_total_never_falls_and_never_leaps(shown: list[int], most: int) -> None:
    growth = Growth()
    last = 0.0
    for value in shown:
        growth.add(value, most)
        assert 0 <= growth.total - last <= most
        last = growth.total
