"""How the values of a metric are spread, against numpy."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack_server.data.series.curves import CurveReader
from hpctrack_server.data.series.distribution import (
    BINS_MAX,
    Distribution,
    count_values,
    read_distribution,
)
from hpctrack_server.data.series.open_runs import OpenRuns
from tests.stores import NodeWriter
from tests.unit.server.conftest import Live


def test_a_histogram_is_that_of_numpy() -> None:
    dice = np.random.default_rng(1)
    values = dice.normal(3.0, 2.0, 5000)
    found = count_values(np.concatenate([values, [np.nan, np.inf, -np.inf]]))
    counts, edges = np.histogram(values, bins=BINS_MAX)
    assert found.counts == tuple(counts.tolist())
    assert found.edges == pytest.approx(edges)
    assert (found.finite, found.left_out) == (5000, 3)
    assert found.mean == pytest.approx(values.mean())
    assert found.std == pytest.approx(values.std(ddof=1))
    assert (found.low, found.high) == (values.min(), values.max())
    assert found.quartiles == pytest.approx(np.percentile(values, [25, 50, 75]))


@pytest.mark.parametrize(
    "values",
    [
        [], [np.nan], [2.5], [2.5] * 9, [1e300] * 3, [-1.7e308, 1.7e308, 0.0],
        [1.0, np.nextafter(1.0, 2.0)] * 20, [5e-324, 0.0],
    ],
)  # fmt: skip
def test_each_finite_value_is_counted_once(values: list[float]) -> None:
    found = count_values(np.array(values, dtype=np.float64))
    assert sum(found.counts) == found.finite == int(np.isfinite(values).sum())
    assert len(found.edges) == len(found.counts) + bool(found.counts)


def test_the_api_counts_the_points_of_all_ranks_or_of_one(dashboard: Live) -> None:
    for run in ("sealed", "live"):
        path = f"/api/v1/runs/p/{run}/distribution"
        every = dashboard.get(f"{path}?metric=loss").json()
        one = dashboard.get(f"{path}?metric=loss&ranks=0").json()
        assert sum(every["counts"]) == every["finite"] == every["points"] == every["total"] > 0
        assert every["total"] == every["ranks"] * one["total"]
        assert one["ranks"] == one["all_ranks"] == 1
        for query in ({"metric": "none"}, {"metric": "loss", "ranks": "99"}):
            assert dashboard.get(f"{path}?{urlencode(query)}").status == 404
        for query in ({}, {"metric": "loss", "ranks": "first"}):
            assert dashboard.get(f"{path}?{urlencode(query)}").status == 400


@pytest.mark.parametrize(("rank", "most", "ranks", "points"), [
    (None, 800, 8, 800), (None, 250, 2, 200), (None, 50, 1, 50), (3, 40, 1, 34),
])  # fmt: skip
def test_of_too_many_points_ranks_that_are_spread_evenly_are_counted(
    tmp_path: Path, rank: int | None, most: int, ranks: int, points: int
) -> None:
    writer = NodeWriter(tmp_path, run="wide")
    for number in range(8):
        session = writer.start(number, size=8)
        writer.points("loss", number, range(100), [float(number)] * 100)
        writer.end(number, session)
    writer.close()
    runs = OpenRuns(tmp_path, clock=SYSTEM_CLOCK, stale_after_s=60.0)
    opened = runs.get("p", "wide")
    steps = read_distribution(CurveReader(1 << 20), opened, "loss", rank, most=most)
    found: Distribution | None = None
    while found is None:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
    assert (found.ranks, found.points) == (ranks, points)
    assert found.total == (800 if rank is None else 100)
    assert found.all_ranks == (8 if rank is None else 1)
    if ranks == 2:
        assert (found.histogram.low, found.histogram.high) == (0.0, 7.0)
    runs.close()
