"""Fewer points, the same picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack_server.data.downsample import Band, envelope, shrink_band, window


def test_short_series_is_kept_whole() -> None:
    step, value = np.arange(21), np.arange(21.0)
    kept_step, kept = envelope(step, value, width=10)
    assert kept_step is step
    assert kept is value


def test_planted_spikes_survive_any_width() -> None:
    rng = np.random.default_rng(7)
    value = rng.normal(size=100_000)
    spikes = {12_345: 50.0, 12_346: -60.0, 77_777: 40.0, 0: 45.0}
    for where, height in spikes.items():
        value[where] = height
    for width in (1, 7, 100, 500):
        step, kept = envelope(np.arange(len(value)), value, width=width)
        assert len(kept) <= 2 * width + 1
        assert kept.max() == 50.0
        assert kept.min() == -60.0
        assert (np.diff(step) > 0).all()
        assert np.array_equal(value[step], kept), "a point that was never logged"
    step, kept = envelope(np.arange(len(value)), value, width=500)
    assert set(spikes.values()) <= set(kept)


def test_last_point_is_always_kept() -> None:
    step = np.arange(10_000)
    kept_step, kept = envelope(step, np.sin(step / 100.0), width=50)
    assert kept_step[-1] == 9_999
    assert kept[-1] == np.sin(99.99)


def test_nan_is_ignored_beside_values_and_kept_where_there_is_nothing_else() -> None:
    value = np.ones(1000)
    value[::2] = np.nan
    value[400:600] = np.nan
    _step, kept = envelope(np.arange(1000), value, width=10)
    assert np.isnan(kept).sum() == 2, "one gap per empty bucket"
    _step, kept = envelope(np.arange(1000), np.full(1000, np.nan), width=10)
    assert np.isnan(kept).all()


def test_equal_steps_and_huge_steps_do_not_break_it() -> None:
    value = np.arange(100.0)
    _step, kept = envelope(np.full(100, 5), value, width=3)
    assert list(kept) == [0.0, 99.0]
    far = np.array([-(2**63) + 1, *range(98), 2**63 - 1])
    step, kept = envelope(far, value, width=5)
    assert len(kept) <= 11
    assert step[-1] == 2**63 - 1


@pytest.mark.parametrize("width", [0, -3])
def test_width_below_one_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match="width"):
        envelope(np.arange(10), np.arange(10.0), width=width)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        envelope(np.arange(10), np.arange(9.0), width=3)


@settings(deadline=None)  # a loaded machine is slow, not wrong
@given(
    st.lists(st.floats(allow_infinity=True, width=32), max_size=200),
    st.integers(min_value=1, max_value=40),
)
def test_extremes_and_end_are_exact_for_any_series(values: list[float], width: int) -> None:
    value = np.array(values)
    step, kept = envelope(np.arange(len(value)), value, width=width)
    assert len(kept) <= 2 * width + 1
    if not len(value):
        return
    assert step[-1] == len(value) - 1
    if not np.isnan(value).all():
        assert np.nanmax(kept) == np.nanmax(value)
        assert np.nanmin(kept) == np.nanmin(value)


def test_band_keeps_extremes_and_its_last_column() -> None:
    x = np.arange(5000.0)
    mean = np.sin(x / 300)
    band = Band(x, mean, mean - 0.1, mean + 0.1)
    band.high[3333] = 9.0
    band.low[42] = -9.0
    small = shrink_band(band, width=100)
    assert len(small) <= 101
    assert small.high.max() == 9.0
    assert small.low.min() == -9.0
    assert small.x[0] == 0
    assert (small.x[-1], small.mean[-1]) == (4999.0, mean[-1])
    assert (small.low <= small.mean).all()
    assert (small.mean <= small.high).all()


def test_empty_band_and_single_column_are_kept() -> None:
    nothing = np.zeros(0)
    assert len(shrink_band(Band(nothing, nothing, nothing, nothing), width=5)) == 0
    one = np.ones(1)
    assert len(shrink_band(Band(one, one, one, one), width=5)) == 1


def test_window_takes_one_neighbour_on_each_side() -> None:
    x = np.array([0, 10, 20, 30, 40])
    assert list(x[window(x, 15, 25)]) == [10, 20, 30]
    assert list(x[window(x, None, 5)]) == [0, 10]
    assert list(x[window(x, 38, None)]) == [30, 40]
    assert list(x[window(x, 11, 12)]) == [10, 20], "a line runs through an empty window"
    assert list(x[window(x, None, None)]) == list(x)
