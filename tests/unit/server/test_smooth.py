"""Smoothing equals the naive loops of its definitions, on any line."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack_server.data.series.query import Smoothing, SmoothKind
from hpctrack_server.data.series.smooth import (
    average_ema,
    average_gaussian,
    average_twema,
    average_window,
    convolve,
    smooth,
)

lines = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80).map(np.array)
weights = st.floats(0, 0.9999)


def naive_ema(values: np.ndarray, weight: float) -> list[float]:
    if all(one == values[0] for one in values):
        return [float(one) for one in values]
    last, found = 0.0, []
    for count, one in enumerate(values, 1):
        last = last * weight + (1 - weight) * one
        found.append(last / (1 - weight**count))
    return found


def naive_twema(x: np.ndarray, values: np.ndarray, weight: float) -> list[float]:
    strength = min(math.sqrt(weight), 0.999)
    span = x[-1] - x[0]
    total, count, found = 0.0, 0.0, []
    for i, one in enumerate(values):
        moved = (x[i] - x[max(i - 1, 0)]) / span * 1000 if span else 0.0
        decay = strength**moved
        total, count = total * decay + one, count * decay + 1
        found.append(total / count)
    return found


@settings(max_examples=25, deadline=None)
@given(lines, weights)
def test_ema_is_what_tensorboard_draws(values: np.ndarray, weight: float) -> None:
    np.testing.assert_allclose(
        average_ema(values, weight), naive_ema(values, weight), rtol=1e-9, atol=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(lines, weights, st.integers(0, 2**32))
def test_twema_is_what_wandb_draws(values: np.ndarray, weight: float, seed: int) -> None:
    x = np.sort(np.random.default_rng(seed).integers(0, 100, len(values)))
    np.testing.assert_allclose(
        average_twema(x, values, weight), naive_twema(x, values, weight), rtol=1e-9, atol=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(lines, st.integers(1, 200))
def test_running_mean_is_that_of_the_points_around(values: np.ndarray, points: int) -> None:
    before, behind = points // 2, (points - 1) // 2
    naive = [
        values[max(i - before, 0) : i + behind + 1].mean() for i in range(len(values))
    ]  # fmt: skip
    np.testing.assert_allclose(average_window(values, points), naive, rtol=1e-9, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(lines, st.floats(0.1, 30))
def test_gaussian_weights_are_those_of_a_bell(values: np.ndarray, sigma: float) -> None:
    radius = int(4 * sigma + 0.5)
    naive = []
    for i in range(len(values)):
        near = [j for j in range(len(values)) if abs(i - j) <= radius]
        weight = np.exp(-0.5 * ((np.array(near) - i) / sigma) ** 2)
        naive.append((weight * values[near]).sum() / weight.sum())
    np.testing.assert_allclose(average_gaussian(values, sigma), naive, rtol=1e-7, atol=1e-5)


def test_a_wide_bell_by_fourier_transform_is_the_same() -> None:
    draw = np.random.default_rng(0)
    values, bell = draw.normal(size=5000), np.exp(-0.5 * (np.arange(-300, 301) / 80) ** 2)
    direct = np.convolve(values, bell)[300:5300]
    np.testing.assert_allclose(convolve(values, bell), direct, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", [SmoothKind.EMA, SmoothKind.TWEMA, SmoothKind.MEAN])
def test_gaps_stay_and_take_no_part(kind: SmoothKind) -> None:
    y = np.array([1.0, np.nan, 3.0, 5.0, np.nan])
    how = Smoothing(kind=kind, amount=2 if kind == SmoothKind.MEAN else 0.5)
    found = smooth(np.arange(5), y, how)
    assert np.isnan(found).tolist() == [False, True, False, False, True]
    there = ~np.isnan(y)
    np.testing.assert_allclose(found[there], smooth(np.arange(5)[there], y[there], how), rtol=0.2)


def test_a_spike_does_not_spoil_what_comes_after_it() -> None:
    values = np.ones(1000)
    values[500] = 1e300
    assert average_window(values, 7)[600] == 1.0
    assert average_gaussian(values, 40)[900] == pytest.approx(1.0)


def test_an_empty_line_and_one_of_gaps_stay_as_they_are() -> None:
    for kind in SmoothKind:
        how = Smoothing(kind=kind, amount=0.5)
        assert len(smooth(np.zeros(0), np.zeros(0), how)) == 0
        assert np.isnan(smooth(np.arange(2), np.full(2, np.nan), how)).all()
