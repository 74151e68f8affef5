"""A group's line and band are those of all points of all its runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack_server.data.series.curve import Drawn, lay_along
from hpctrack_server.data.series.grouping import (
    Grouped,
    Member,
    bootstrap_bounds,
    cut_buckets,
    group_lines,
)
from hpctrack_server.data.series.query import BandKind, Center, Grouping
from hpctrack_server.data.series.shrink import Window


def make_line(seed: int, points: int, *, until: int = 10_000) -> Drawn:
    draw = np.random.default_rng(seed)
    x = np.sort(draw.choice(until, points, replace=False))
    y = draw.normal(size=points)
    y[draw.random(points) < 0.1] = np.nan
    return lay_along(x, y)


def group(lines: list[Drawn], window: Window, **how: object) -> Grouped:
    wanted = replace(Grouping(), **how)  # type: ignore[arg-type]  # given by name
    return group_lines([Member(one, one) for one in lines], cut_buckets(lines, window), wanted)


run_sizes = st.lists(st.integers(1, 400), min_size=1, max_size=5)


@settings(max_examples=20, deadline=None)
@given(run_sizes, st.integers(1, 60), st.integers(0, 99))
def test_min_and_max_are_those_of_all_points(sizes: list[int], width: int, seed: int) -> None:
    lines = [make_line(seed + i, size) for i, size in enumerate(sizes)]
    found = group(lines, Window(width=width))
    numbers = [one.y[~np.isnan(one.y)] for one in lines]
    whole = np.concatenate(numbers)
    assert found.points == len(whole)
    if not len(whole):
        return
    assert found.low is not None
    assert found.high is not None
    assert found.low.min() == whole.min()
    assert found.high.max() == whole.max()
    assert (found.low <= found.center + 1e-12).all()
    assert (found.center <= found.high + 1e-12).all()


def test_each_step_is_its_own_bucket_where_they_fit() -> None:
    lines = [Drawn(np.arange(0, 20, 2), np.arange(10.0)), Drawn(np.arange(5, 15), np.ones(10))]
    found = group(lines, Window(width=100))
    assert found.x.tolist() == sorted({*range(0, 20, 2), *range(5, 15)})
    at_5 = found.x.tolist().index(5)
    # The first run has no point there: it takes part with its line between 4 and 6.
    assert found.center[at_5] == pytest.approx((2.5 + 1) / 2)


def test_no_run_is_carried_on_beyond_its_ends() -> None:
    long = Drawn(np.arange(100), np.zeros(100))
    short = Drawn(np.arange(10), np.full(10, 8.0))
    found = group([long, short], Window(width=500))
    assert set(found.center[:10]) == {4.0}
    assert set(found.center[10:]) == {0.0}


def test_std_and_stderr_are_of_the_runs() -> None:
    values = np.array([1.0, 2.0, 6.0])
    lines = [Drawn(np.arange(3), np.full(3, one)) for one in values]
    for band, width in (
        (BandKind.STD, values.std(ddof=1)),
        (BandKind.STDERR, values.std(ddof=1) / np.sqrt(3)),
    ):
        found = group(lines, Window(width=9), band=band)
        np.testing.assert_allclose(found.center, 3.0)
        assert found.high is not None
        np.testing.assert_allclose(found.high - found.center, width)
    median = group(lines, Window(width=9), center=Center.MEDIAN, band=BandKind.NONE)
    assert median.center.tolist() == [2.0, 2.0, 2.0]
    assert median.low is None


@pytest.mark.parametrize("how", list(Center))
def test_bootstrap_covers_as_often_as_it_says(how: Center) -> None:
    draw = np.random.default_rng(7)
    values = draw.normal(size=(25, 200))  # 200 experiments of 25 runs, whose true centre is 0
    low, high = bootstrap_bounds(values, how)
    covered = np.mean((low <= 0) & (high >= 0))
    assert 0.88 < covered < 0.985
    again = bootstrap_bounds(values, how)
    np.testing.assert_array_equal(low, again[0])


def test_bootstrap_is_that_of_a_naive_loop() -> None:
    draw = np.random.default_rng(3)
    values = draw.normal(size=(6, 4))
    values[2, 1] = np.nan
    low, high = bootstrap_bounds(values, Center.MEAN)
    chosen = np.random.default_rng(20_260_101).integers(0, 6, (1000, 6))
    centers = np.array([np.nanmean(values[one], axis=0) for one in chosen])
    np.testing.assert_allclose([low, high], np.quantile(centers, (0.025, 0.975), axis=0))


def test_one_run_is_its_own_band() -> None:
    line = make_line(1, 50)
    for band in (BandKind.CI, BandKind.STD, BandKind.MINMAX):
        found = group([line], Window(width=500), band=band)
        np.testing.assert_array_equal(found.low, found.center)


def test_logarithmic_buckets_are_even_on_their_axis() -> None:
    line = Drawn(np.arange(1, 100_001), np.zeros(100_000))
    buckets = cut_buckets([line], Window(width=50, log_x=True))
    np.testing.assert_allclose(np.diff(np.log(buckets.edges)), np.log(1e5) / 50)
    assert buckets.edges[0] == 1


def test_a_group_without_points_is_empty() -> None:
    found = group([Drawn(np.arange(3), np.full(3, np.nan))], Window(width=9))
    assert (len(found.x), found.points) == (0, 0)
