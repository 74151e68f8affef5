"""Arithmetic of the rank heat map: what a pixel shows is what numpy says, wherever one looks."""

from __future__ import annotations

import numpy as np
import pytest

from hpctrack.errors import UsageError
from hpctrack_server.data.matrix.building import count_together
from hpctrack_server.data.matrix.make_plane import empty_points
from hpctrack_server.data.matrix.picture import (
    NO_VALUE,
    TOP_CODE,
    Wanted,
    choose_limits,
    draw,
    encode,
    measure_spread,
)
from hpctrack_server.data.matrix.plane import (
    How,
    Plane,
    choose_columns,
    mean_of_columns,
    reduce_ranks,
    reduce_rows,
)
from hpctrack_server.data.matrix.samples import Samples, make_line, make_strips
from hpctrack_server.data.matrix.sensor_groups import find_group, find_unit, group_sensors
from hpctrack_server.data.matrix.spread import measure_bands
from hpctrack_server.data.matrix.used import join_lines
from hpctrack_server.data.matrix.verdict import choose_pace_metric, is_rate


def make_points(values: np.ndarray, steps: np.ndarray | None = None) -> Plane:
    """Return a plane of single points out of ranks x steps."""
    chosen = np.arange(values.shape[1]) if steps is None else steps
    plane = empty_points(chosen, len(values))
    plane.mean[:] = values.T
    return plane


def make_noise(seed: int, ranks: int, steps: int, *, holes: bool = True) -> np.ndarray:
    draw_from = np.random.default_rng(seed)
    values = draw_from.normal(5, 1, (ranks, steps)).astype("f4")
    if holes:
        values[draw_from.random(values.shape) < 0.1] = np.nan
    return values


@pytest.mark.parametrize("how", [How.MAX, How.MIN])
@pytest.mark.parametrize("is_even", [True, False])
def test_a_pixel_is_the_extreme_of_its_cells_on_random_windows(how: How, is_even: bool) -> None:
    chance = np.random.default_rng(3)
    values = make_noise(1, 23, 700)
    gaps = np.ones(700, np.int64) if is_even else chance.integers(1, 9, 700)
    steps = np.cumsum(gaps)
    plane = make_points(values, steps)
    take = np.nanmax if how == How.MAX else np.nanmin
    for _ in range(12):
        start, stop = np.sort(chance.integers(0, steps[-1] + 5, 2)).tolist()
        stop += 1
        columns = choose_columns(plane, start, stop, int(chance.integers(1, 60)))
        cells = reduce_rows(plane, columns, how)
        picture, starts = reduce_ranks(cells, int(chance.integers(1, 12)), how)
        assert picture.shape == (len(starts) - 1, len(columns))
        edges = np.linspace(columns.x0, columns.x1, len(columns) + 1)
        for row in range(len(starts) - 1):
            for column in range(len(columns)):
                # A step belongs to each column that it meets until the next one.
                inside = (plane.starts < edges[column + 1]) & (plane.stops > edges[column])
                part = values[starts[row] : starts[row + 1], inside]
                known = part[~np.isnan(part)]
                found = picture[row, column]
                assert np.isnan(found) if not len(known) else found == take(known)


def test_no_window_is_cut_short(subtests: pytest.Subtests) -> None:
    plane = make_points(make_noise(2, 3, 1000, holes=False))
    for width in (1, 7, 333, 1000, 4000):
        with subtests.test(width=width):
            columns = choose_columns(plane, 100, 900, width)
            assert len(columns) <= width
            assert columns.x0 <= 100
            assert columns.x1 >= 900


@pytest.mark.parametrize("ranks", [5, 1024])
def test_a_spike_of_one_cell_is_seen_at_every_zoom(ranks: int) -> None:
    values = np.full((ranks, 3000), 1.0, "f4")
    values[:, ::2] = 1.01
    rank, step = ranks // 3, 1777
    values[rank, step] = 100.0
    plane = make_points(values)
    order = np.arange(ranks)[::-1]
    for span in (3000, 1500, 400, 60, 3, 1):
        for start in {max(0, step - span + 1), step - span // 2, step}:
            wanted = Wanted(start=start, stop=start + span, width=200, height=100, low=1, high=2)
            picture = draw(plane, order, wanted)
            assert picture.highest == 100.0
            assert (picture.codes == TOP_CODE).sum() == 1
            row, column = (int(one[0]) for one in np.nonzero(picture.codes == TOP_CODE))
            ranks_there = order[picture.starts[row] : picture.starts[row + 1]]
            assert rank in ranks_there
            begin = picture.x0 + column * picture.each_step
            assert begin <= step < begin + picture.each_step


def test_means_leave_out_what_is_not_there_and_weigh_buckets() -> None:
    values = make_noise(4, 6, 40)
    plane = make_points(values)
    cells = reduce_rows(plane, choose_columns(plane, 0, 40, 4), How.MEAN)
    wanted = [np.nanmean(values[:, 10 * one : 10 * one + 10], axis=1) for one in range(4)]
    assert np.allclose(cells, wanted, rtol=1e-5)
    weight = np.array([[3.0, 0.0], [1.0, 0.0]], "f4")
    found = mean_of_columns(np.array([[1.0, np.nan], [5.0, np.nan]], "f4"), weight)
    assert found[0] == 2.0
    assert np.isnan(found[1])


def test_spread_agrees_with_numpy_and_ignores_absent_ranks() -> None:
    values = make_noise(5, 50, 20)
    found = measure_spread(np.ascontiguousarray(values.T))
    wanted = np.nanpercentile(values, [0, 5, 50, 95, 100], axis=0).T
    assert np.allclose(found, wanted, rtol=1e-5)
    assert np.isnan(measure_spread(np.full((2, 3), np.nan, "f4"))).all()


def test_bands_have_the_exact_extremes_of_all_points() -> None:
    values = make_noise(6, 20, 900)
    values[7, 400] = 99.0
    bands, columns = measure_bands(make_points(values), Wanted(width=90))
    assert len(columns) == len(bands["x"]) == 90
    assert bands["high"].max() == 99.0
    assert bands["high"].argmax() == 40
    assert bands["low"].min() == np.nanmin(values)
    assert (bands["p5"] <= bands["median"]).all()
    assert (bands["median"] <= bands["p95"]).all()


def test_codes_span_the_limits_and_tell_what_is_absent() -> None:
    values = np.array([[0.0, 0.5, 1.0, -9.0, 9.0, np.nan, np.inf, -np.inf]], "f4")
    codes = encode(values, 0.0, 1.0)[0].tolist()
    assert codes[0] == codes[3] == codes[7] == 0
    assert codes[2] == codes[4] == codes[6] == TOP_CODE
    assert codes[5] == NO_VALUE
    assert abs(codes[1] - TOP_CODE / 2) <= 1


def test_limits_are_never_empty() -> None:
    for values in ([], [np.nan], [3.0], [0.0, 0.0], [np.inf]):
        low, high = choose_limits(np.array(values, "f4"), None, None)
        assert np.isfinite([low, high]).all()
        assert low < high
    assert choose_limits(np.arange(5, dtype="f4"), 1.0, 2.0) == (1.0, 2.0)
    low, high = choose_limits(np.arange(5, dtype="f4"), 7.0, 7.0)
    assert low < 7.0 < high


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    plane = make_points(make_noise(7, 2, 10))
    with pytest.raises(UsageError):
        choose_columns(plane, 5, 5, 10)
    with pytest.raises(UsageError):
        choose_columns(plane, 0, 5, 0)


def test_points_are_put_together_only_where_they_do_not_fit() -> None:
    assert count_together(1000, 4000) == 1
    each = count_together(10_000, 4000)
    assert 3 * 4 * (10_000 // each) <= 4000


def make_samples(*streams: list[tuple[float, float]], gap_s: float = 150.0) -> Samples:
    starts = np.cumsum([0] + [len(one) for one in streams])
    flat = [pair for one in streams for pair in one]
    return Samples(
        starts, np.array([one[0] for one in flat]), np.array([one[1] for one in flat]), gap_s
    )


def test_a_sample_holds_until_the_next_but_not_over_a_gap() -> None:
    samples = make_samples([(0.0, 1.0), (50.0, 2.0), (400.0, 3.0)], [(95.0, 7.0)])
    strips = make_strips(samples, 0.0, 500.0, 50, How.MAX)
    assert strips[0, 0] == strips[0, 4] == 1.0
    assert strips[0, 5] == strips[0, 19] == 2.0
    assert np.isnan(strips[0, 25])
    assert strips[0, 40] == strips[0, 49] == 3.0
    assert np.isnan(strips[1, 8])
    assert strips[1, 9] == 7.0
    later = make_strips(samples, 60.0, 100.0, 4, How.MEAN)
    assert later[0].tolist() == [2.0] * 4, "what was sampled before the window is held into it"


def test_strips_have_the_extremes_of_each_pixel() -> None:
    chance = np.random.default_rng(8)
    time_s = np.sort(chance.uniform(0, 1000, 5000))
    value = chance.normal(size=5000)
    samples = Samples(np.array([0, 5000]), time_s, value, 150.0)
    found = make_strips(samples, 0, 1000, 100, How.MAX)[0]
    wanted = [value[(time_s >= 10 * one) & (time_s < 10 * one + 10)].max() for one in range(100)]
    assert np.allclose(found, np.array(wanted, "f4"))


def test_lines_are_steps_and_break_at_gaps() -> None:
    samples = make_samples([(0.0, 1.0), (10.0, 2.0), (500.0, 5.0)])
    x, y = make_line(samples, 0, 0.0, 600.0, 100)
    assert (np.diff(x) >= 0).all()
    assert y[np.searchsorted(x, 5.0) - 1] == 1.0
    assert np.isnan(y).any()
    assert y[-1] == 5.0


def test_sensors_are_grouped_by_what_they_are_of() -> None:
    names = [
        "gpu/power_w",
        "gpu/util_frac",
        "cgroup/memory_used_bytes",
        "new/thing",
        "nfs/ops_per_s",
    ]
    groups = {group.key: found for group, found in group_sensors(names)}
    assert groups == {
        "gpu": ["gpu/util_frac"], "power": ["gpu/power_w"], "memory": ["cgroup/memory_used_bytes"],
        "files": ["nfs/ops_per_s"], "other": ["new/thing"],
    }  # fmt: skip
    assert find_group("process/written_bytes_per_s").key == "files"
    assert find_unit("net/received_bytes_per_s") == "B/s"


def test_what_is_said_of_many_hosts_is_said_once() -> None:
    lines = ["n1: no meter", "n2: no meter", "n2: fans"]
    assert join_lines(lines) == ["no meter, on 2 hosts", "n2: fans"]


def test_the_metric_of_pace_is_known_by_its_name() -> None:
    assert choose_pace_metric(["loss", "train/step_time_s", "throughput"]) == "train/step_time_s"
    assert choose_pace_metric(["loss", "samples_per_s"]) == "samples_per_s"
    assert choose_pace_metric(["loss"]) == ""
    assert is_rate("samples_per_s")
    assert not is_rate("step_time")
