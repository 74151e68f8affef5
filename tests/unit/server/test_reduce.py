"""All ranks' values of a step as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpctrack.store.columns import Columns
from hpctrack.store.metric import Metric
from hpctrack_server.data.reduce import Reduced, reduce_ranks


def reduce(points: list[tuple[int, int, float]]) -> Reduced:
    """Reduce points given as rank, step, value; the clock is the step."""
    rank, step, value = (np.array(one) for one in zip(*points, strict=True))
    return reduce_ranks(make_metric(rank, step, step.astype(float) + rank, value.astype(float)))


def make_metric(rank: Any, step: Any, wall_s: Any, value: Any) -> Metric:
    """Return the metric that was logged so."""
    attempt = np.ones(len(rank), np.int64)
    return Metric("loss", Columns.join([Columns(rank, attempt, step, wall_s, value)]))


def test_mean_and_extremes_over_ranks() -> None:
    found = reduce([(0, 0, 1.0), (1, 0, 3.0), (0, 1, 5.0), (1, 1, 7.0)])
    assert list(found.step) == [0, 1]
    assert list(found.mean) == [2.0, 6.0]
    assert list(found.low) == [1.0, 5.0]
    assert list(found.high) == [3.0, 7.0]
    assert list(found.wall_s) == [1.0, 2.0], "when the last rank was there"


def test_absent_ranks_and_nan_do_not_count() -> None:
    found = reduce([(0, 0, 1.0), (1, 0, np.nan), (0, 1, 5.0), (0, 2, np.nan)])
    assert list(found.mean[:2]) == [1.0, 5.0]
    assert np.isnan(found.mean[2])
    assert np.isnan(found.low[2])


def test_last_of_several_values_at_a_step_counts() -> None:
    found = reduce([(0, 3, 1.0), (0, 3, 9.0), (1, 3, 1.0)])
    assert list(found.mean) == [5.0]


def test_ranks_that_share_no_step_cost_no_matrix() -> None:
    count = 50_000
    rank = np.arange(count)  # as a matrix: 20 GB
    found = reduce_ranks(make_metric(rank, rank, rank.astype(float), rank.astype(float)))
    assert len(found.step) == count


def test_nothing_gives_nothing() -> None:
    assert len(reduce_ranks(Metric("loss", Columns.empty())).step) == 0


def test_infinity_is_kept_as_extreme() -> None:
    found = reduce([(0, 0, np.inf), (1, 0, 1.0)])
    assert found.high[0] == np.inf
    assert found.low[0] == pytest.approx(1.0)
