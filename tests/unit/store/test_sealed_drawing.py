"""Any window of a sealed series is drawn with true points, and no spike is missed at any zoom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.errors import StoreFormatError
from hpctrack.store.open_sealed import OpenSealed
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_metrics import SealLimits
from tests.stores import START_S, NodeWriter

SMALL = SealLimits(series_min=64, bucket=8)
POINTS = 3000
SPIKES = (0, 17, 1024, 2047, 2500, POINTS - 1)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OpenSealed, np.ndarray]]:
    """Seal one long series with spikes of one sample and a gap, and 3 ranks that log the same."""
    writer = NodeWriter(tmp_path_factory.mktemp("drawing"))
    for rank in range(3):
        writer.start(rank)
    draw = np.random.default_rng(1)
    values = draw.normal(size=POINTS)
    values[list(SPIKES)] = 1000.0 + np.arange(len(SPIKES))
    values[300:340] = np.nan
    step = np.arange(POINTS) * 3
    for number, (one, value) in enumerate(zip(step.tolist(), values.tolist(), strict=True)):
        writer.wall_s = START_S + number * 0.5
        writer.points("loss", 0, [one], [value])
    table = draw.normal(size=(3, 200))
    writer.table("grid", [0, 1, 2], table, START_S + np.arange(200.0))
    folder = writer.close().parent
    seal_run(folder, limits=SMALL)
    with OpenSealed(folder / "run.h5") as file:
        yield file, values


windows = st.tuples(st.integers(-50, 3 * POINTS + 50), st.integers(0, 3 * POINTS))


@settings(max_examples=25, deadline=None)
@given(windows, st.integers(1, 400), st.booleans())
def test_any_window_has_its_extremes_and_true_points(
    sealed: tuple[OpenSealed, np.ndarray], window: tuple[int, int], width: int, is_time: bool
) -> None:
    file, values = sealed
    start, stop = window[0], window[0] + window[1]
    step, wall_s = np.arange(POINTS) * 3, START_S + np.arange(POINTS) * 0.5
    place: np.ndarray = step
    low, high = float(start), float(stop)
    if is_time:
        place, low, high = wall_s, START_S + start / 6, START_S + stop / 6
    found = file.draw("loss", 0, window=(low, high), is_time=is_time, width=width)
    assert found is not None
    inside = (place >= low) & (place <= high)
    numbers = values[inside & ~np.isnan(values)]
    assert (found.points, found.gaps) == (len(numbers), np.isnan(values[inside]).sum())
    at = np.searchsorted(step, found.step)
    np.testing.assert_array_equal(found.value, values[at])
    np.testing.assert_array_equal(found.wall_s, wall_s[at])
    shown = found.value[~found.is_outside]
    if len(numbers):
        assert np.nanmin(shown) == numbers.min()
        assert np.nanmax(shown) == numbers.max()
    assert np.count_nonzero(~found.is_outside) <= 4 * width
    spikes = [one for one in SPIKES if inside[one]]
    if len(spikes) == 1:
        assert 3 * spikes[0] in found.step
    assert found.last == (3 * (POINTS - 1), wall_s[-1], values[-1])


@pytest.mark.parametrize("width", [1, 7, 50, 400])
def test_each_spike_of_one_sample_is_seen_at_each_zoom(
    sealed: tuple[OpenSealed, np.ndarray], width: int
) -> None:
    file, _values = sealed
    for spike in SPIKES:
        for half in (1, 5, 60, 200):
            window = (3.0 * (spike - half), 3.0 * (spike + half))
            found = file.draw("loss", 0, window=window, width=width)
            assert found is not None
            highest = max(one for one in SPIKES if abs(one - spike) <= half)
            assert 3 * highest in found.step[~found.is_outside]


def test_a_gap_is_shown_as_one(sealed: tuple[OpenSealed, np.ndarray]) -> None:
    found = sealed[0].draw("loss", 0, window=(3 * 280.0, 3 * 360.0), width=10)
    assert found is not None
    assert found.gaps == 40
    assert np.isnan(found.value).any()


def test_ranks_that_log_the_same_steps_are_drawn_one_by_one(
    sealed: tuple[OpenSealed, np.ndarray],
) -> None:
    file, _values = sealed
    assert file.ranks("grid") == [0, 1, 2]
    for rank in range(3):
        whole = file.read_column("grid", rank, "value")
        found = file.draw("grid", rank, width=5)
        assert found is not None
        assert found.value.max() == whole.max()
        assert found.last[2] == whole[-1]
    assert file.draw("grid", 7) is None
    assert file.draw("nothing", 0) is None
    assert file.ranks("nothing") == []


def test_superseded_points_are_not_drawn(tmp_path: Path) -> None:
    for attempt, steps in ((1, range(200)), (2, range(150, 400))):
        writer = NodeWriter(tmp_path, attempt=attempt, wall_s=START_S + attempt * 1e4)
        writer.start(0)
        writer.points("loss", 0, steps, [100.0 * attempt + one % 7 for one in steps])
        writer.close()
    folder = tmp_path / "p" / "r"
    seal_run(folder, limits=SMALL)
    with OpenSealed(folder / "run.h5") as file:
        found = file.draw("loss", 0, window=(140.0, 160.0), width=100)
        assert found is not None
        assert found.points == 21
        assert (found.value[found.step >= 150] >= 200).all()
        assert not np.isnan(found.value).any(), "what was computed again is no gap"
        whole = file.read_column("loss", 0, "step")
        current = file.find_current("loss", 0, whole)
        assert current is not None
        assert current.sum() == 400
    with OpenSealed(folder / "run.h5") as file:
        assert file.draw("loss", 0) is not None


def test_what_the_pyramid_cannot_draw_is_left_to_who_reads_the_points(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.points("late", 0, [*range(500), 3], np.arange(501.0).tolist())
    writer.points("restarts", 0, [*range(100)] * 5, np.arange(500.0).tolist())
    writer.points("short", 0, range(10), np.arange(10.0).tolist())
    writer.points("long", 0, range(500), np.arange(500.0).tolist())
    folder = writer.close().parent
    seal_run(folder, limits=SMALL)
    path = folder / "run.h5"
    with h5py.File(path, "r+") as older:
        place = next(one for one in older["metrics"].values() if one.attrs["name"] == b"long")
        del place["extremes"], place["last"]
    with OpenSealed(path) as file:
        for name in ("late", "restarts", "short", "long"):
            assert file.draw(name, 0) is None
        assert len(file.read_column("restarts", 0, "value")) == 500
        assert file.read_column("restarts", 0, "value")[1] == 1.0, "as it was logged"


def test_a_damaged_file_is_our_error(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.points("loss", 0, range(500), np.arange(500.0).tolist())
    folder = writer.close().parent
    seal_run(folder, limits=SMALL)
    path = folder / "run.h5"
    with h5py.File(path, "r+") as file:
        del file["metrics"]["0"]["extremes"]["0"]
    with OpenSealed(path) as opened, pytest.raises(StoreFormatError, match="is damaged"):
        opened.draw("loss", 0)
