"""What is left out of a line cannot be seen, and what is sent comes out as it went in."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack_server.data.encode import encode_chart, pack_places
from hpctrack_server.data.series.curve import Curve, cut_positive, lay_along
from hpctrack_server.data.series.curves import hold_by_step, shorten, spread
from hpctrack_server.data.series.frames import ChartFrame, ChartLine
from hpctrack_server.data.series.shrink import Window, bucket_starts, choose_points
from tests.unit.server.chart_client import unpack

parts = st.tuples(st.integers(0, 2000), st.integers(0, 900))
lines = st.integers(0, 2**32).map(lambda seed: make_line(np.random.default_rng(seed)))


def make_line(draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    points = int(draw.integers(1, 600))
    x = np.sort(draw.integers(1, 2000, points))
    y = draw.normal(size=points)
    y[draw.random(points) < draw.choice([0.0, 0.3, 1.0])] = np.nan
    return x, y


@settings(max_examples=30, deadline=None)
@given(
    lines, st.integers(1, 90), st.booleans(), st.tuples(st.integers(0, 2000), st.integers(0, 900))
)
def test_each_bucket_keeps_its_extremes(
    line: tuple[np.ndarray, np.ndarray], width: int, log_x: bool, part: tuple[int, int]
) -> None:
    x, y = line
    window = Window(start=part[0], end=part[0] + part[1], width=width, log_x=log_x)
    chosen = choose_points(x, y, window)
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= 2 * width + 4
    first, last = window.find(x)
    kept = {first - 1, last} - {-1, len(x)}
    assert kept <= set(chosen.tolist()), "the line goes on beyond the window"
    if first == last:
        return
    starts = bucket_starts(x[first:last], width, log_x=log_x)
    for begin, end in zip(starts, [*starts[1:], last - first], strict=True):
        bucket = y[first:last][begin:end]
        shown = y[chosen[(chosen >= first + begin) & (chosen < first + end)]]
        if not np.isnan(bucket).all():
            assert (np.nanmin(shown), np.nanmax(shown)) == (np.nanmin(bucket), np.nanmax(bucket))


def test_buckets_of_a_logarithmic_axis_are_even_there() -> None:
    x = np.arange(1, 100_001)
    starts = x[bucket_starts(x, 10, log_x=True)]
    np.testing.assert_allclose(np.log10(starts), np.arange(10) / 2, atol=0.11)


def test_a_line_is_laid_along_its_axis() -> None:
    drawn = lay_along(np.array([3.0, 1.0, np.nan, 2.0]), np.array([3.0, np.inf, 9.0, 2.0]))
    assert drawn.x.tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(drawn.y, [np.nan, 2.0, 3.0])
    assert drawn.gaps == 1
    positive = cut_positive(lay_along(np.array([-1, 0, 1, 2]), np.arange(4.0)))
    assert positive.x.tolist() == [1, 2]


def test_another_metric_is_held_to_the_next_step_that_has_one() -> None:
    other = Curve(np.array([4, 2, 2]), None, np.array([40.0, 1.0, 20.0]))
    found = hold_by_step(np.array([1, 2, 3, 4, 9]), other)
    np.testing.assert_array_equal(found, [np.nan, 20.0, 20.0, 40.0, 40.0])


def test_doubles_are_kept_as_singles_only_if_nothing_is_lost() -> None:
    assert shorten(np.array([0.5, np.nan, -3.0])).dtype == np.float32
    for kept in ([0.1], [1e300], [np.pi]):
        assert shorten(np.array(kept)).dtype == np.float64
    assert shorten(np.array([np.inf, 1.0])).dtype == np.float32


def test_many_ranks_are_spread_evenly() -> None:
    assert spread(list(range(1000)), 3) == [0, 500, 999]
    assert spread([5, 7], 9) == [5, 7]


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (np.arange(0, 900, 3), "u1"),
        (np.array([5, 5, 400]), "u2"),
        (np.array([-7, 2**40]), "f4"),
        (np.array([0, 2**62]), "f4"),
        (np.array([1.7e9, 1.7e9 + 0.25, 1.7e9 + 100.125]), "f4"),
        (np.array([0.0, 0.5]), "f4"),
        (np.array([7]), "f8"),
        (np.zeros(0), "f8"),
    ],
)
def test_places_are_short_and_come_back(x: np.ndarray, kind: str) -> None:
    packed = pack_places(x)
    assert packed.values.dtype.str[1:] == kind
    line = ChartLine(run="r", label="r", arrays={"x": x, "y": np.zeros(len(x))})
    _head, (found,) = unpack(encode_chart(ChartFrame(y="y", x="step", lines=(line,))))
    span = float(x[-1]) - float(x[0]) if len(x) else 0.0
    np.testing.assert_allclose(found.x, x.astype(float), rtol=0, atol=1e-4 * span)
    if kind in {"u1", "u2"}:
        np.testing.assert_array_equal(found.x, x)


def test_whatever_a_header_says_is_json() -> None:
    line = ChartLine(run="\ud83d", label="<b>", last=(float("nan"), float("inf")))
    data = encode_chart(ChartFrame(y="\u202e", x="step", lines=(line,), y_range=(0.0, np.inf)))
    head, (found,) = unpack(data)
    assert found.said["last"] == [None, None]
    assert head["y_range"] == [0.0, None]
    json.dumps(head, allow_nan=False)
