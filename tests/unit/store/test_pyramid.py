"""Drawing any window of a series with exact extremes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.envelope import (
    ALL,
    Window,
    draw_series,
    draw_window,
    find_stretch,
    plan_window,
    stretch_starts,
)
from hpctrack.store.pyramid import (
    BucketArray,
    PyramidBuilder,
    count_levels,
    level_sizes,
    make_buckets,
)
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.step_order import iter_ordered
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify import verify_run
from tests.stores import NodeWriter

SMALL = SealLimits(memory_rows=50, piece_rows=16, series_min=8, bucket=4)


def build(
    steps: list[int], values: list[float], pieces: int
) -> tuple[list[BucketArray], list[tuple[int, int, float]]]:
    levels = count_levels(len(steps) * 512, 4)
    found: list[list[BucketArray]] = [[] for _level in range(levels)]
    late: list[tuple[int, int, float]] = []

    def note(index: IntArray, step: IntArray, value: FloatArray) -> None:
        late.extend(zip(index.tolist(), step.tolist(), value.tolist(), strict=True))

    builder = PyramidBuilder(4, [one.append for one in found], note)
    for start in range(0, len(steps), pieces):
        part = slice(start, start + pieces)
        builder.add(np.array(steps[part]), np.array(values[part], float))
    builder.end_series()
    return [np.concatenate(one) for one in found], late


@pytest.mark.parametrize("pieces", [1, 3, 4, 100])
def test_levels_are_the_same_however_the_series_comes(pieces: int) -> None:
    values = [float((7 * n) % 23) for n in range(43)]
    levels, late = build(list(range(43)), values, pieces)
    assert late == []
    assert [len(one) for one in levels] == level_sizes(43, 4, len(levels))
    for number, buckets in enumerate(levels):
        size = 4 << number
        for place, bucket in enumerate(buckets):
            part = values[place * size : (place + 1) * size]
            assert (bucket["low"], bucket["high"]) == (min(part), max(part))
            assert bucket["mean"] == pytest.approx(sum(part) / len(part))
            assert (bucket["step"], bucket["points"]) == (place * size, len(part))


def test_late_points_are_told_and_not_counted() -> None:
    levels, late = build([0, 1, 5, 2, 6, 7, 6, 8], [0, 1, 5, 99, 6, 7, -99, 8], 3)
    assert late == [(3, 2, 99.0), (6, 6, -99.0)]
    assert levels[0]["high"].tolist() == [5, 8]
    assert levels[0]["points"].tolist() == [3, 3]


def test_nan_is_left_out_and_infinity_is_an_extreme() -> None:
    value = np.array([np.nan, 1.0, np.inf, np.nan, np.nan, np.nan, 2.0, -np.inf])
    buckets = make_buckets(np.arange(8), value, np.array([0, 3, 6]))
    assert buckets["low"][[0, 2]].tolist() == [1.0, -np.inf]
    assert buckets["high"][[0, 2]].tolist() == [np.inf, 2.0]
    assert np.isnan(buckets["low"][1])
    assert buckets["points"].tolist() == [2, 0, 2]


def test_a_plan_covers_each_point_once_and_stays_small() -> None:
    points, base = 10**8, 256
    levels = count_levels(points, base)
    for first, last, width in [(0, points, 1000), (12345, 87654321, 1600), (99, 300, 10)]:
        stretch = find_stretch(first, last, width)
        covered, read = first, 0
        for part in plan_window(first, last, stretch, base=base, levels=levels):
            size = 1 if part.level < 0 else base << part.level
            assert part.first * size == covered
            covered = part.last * size
            read += part.last - part.first
        assert covered == last
        assert read <= 4 * width + 2 * 4 * 256
        assert (last - 1) // stretch - first // stretch + 1 <= 2 * width


def test_stretches_begin_at_their_multiples() -> None:
    assert stretch_starts(5, 17, 4).tolist() == [0, 3, 7, 11]
    assert stretch_starts(8, 9, 4).tolist() == [0]


def test_a_width_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="0 pixels"):
        draw_series(np.arange(3), np.zeros(3), 0)


def write_series(store: Path, *, ranks: int = 2, points: int = 500) -> Path:
    rng = np.random.default_rng(7)
    writer = NodeWriter(store)
    for rank in range(ranks):
        session = writer.start(rank, size=ranks)
        steps = np.sort(rng.integers(0, 4 * points, points))
        steps[::97] -= 40
        values = rng.normal(size=points)
        values[::31] = np.nan
        writer.points("loss", rank, steps.tolist(), values.tolist())
        writer.end(rank, session)
    return writer.close().parent


def check_envelope(run: StoredRun, rank: int, window: Window, width: int) -> None:
    """Compare with brute force over the points that readers get."""
    series = run.metric("loss").rank(rank)
    found = run.envelope("loss", rank, window=window, width=width)
    start, stop = window
    inside = ~np.isnan(series.value)
    inside &= True if start is None else series.step >= start
    inside &= True if stop is None else series.step < stop
    step, value = series.step[inside], series.value[inside]
    assert int(found.points.sum()) == len(value)
    assert len(found) <= 2 * width
    assert (np.diff(found.step) >= 0).all()
    if not len(value):
        return
    assert (found.low.min(), found.high.max()) == (value.min(), value.max())
    assert (found.mean * found.points).sum() == pytest.approx(value.sum(), abs=1e-9)
    # Each point lies in a stretch that begins at or before it and whose successor does not.
    ends = np.append(found.step[1:], np.iinfo(np.int64).max)
    for one, number in zip(step.tolist(), value.tolist(), strict=True):
        around = (found.step <= one) & (one <= ends)
        assert (around & (found.low <= number) & (number <= found.high)).any()
    for begin, end, low, high in zip(found.step, ends, found.low, found.high, strict=True):
        near = value[(step >= begin) & (step <= end)]
        assert low in near
        assert high in near


@pytest.mark.parametrize("width", [1, 3, 10, 1000])
def test_windows_of_a_sealed_series_have_exact_extremes(tmp_path: Path, width: int) -> None:
    folder = write_series(tmp_path)
    seal_run(folder, limits=SMALL)
    run = StoredRun(folder)
    windows: list[Window] = [ALL, (100, 1900), (None, 0), (777, 778), (500, None), (5000, 9000)]
    for window in windows:
        for rank in (0, 1):
            check_envelope(run, rank, window, width)


def test_a_live_run_answers_like_a_sealed_one(tmp_path: Path) -> None:
    folder = write_series(tmp_path)
    run = StoredRun(folder)
    check_envelope(run, 1, (100, 1500), 10)
    before = run.envelope("loss", 1)
    run.close()
    seal_run(folder)
    after = StoredRun(folder).envelope("loss", 1)
    for key in ("step", "low", "high", "mean", "points"):
        assert np.array_equal(getattr(after, key), getattr(before, key))


def test_points_that_were_computed_again_are_not_drawn(tmp_path: Path) -> None:
    folder = Path()
    for attempt, steps, level in ((1, range(60), 1000.0), (2, range(40, 90), 0.0)):
        writer = NodeWriter(tmp_path, attempt=attempt)
        session = writer.start(0)
        writer.points("loss", 0, list(steps), [level + step for step in steps])
        writer.end(0, session)
        folder = writer.close().parent
    seal_run(folder, limits=SMALL)
    run = StoredRun(folder)
    assert run.envelope("loss", window=(40, None), width=2).high.max() == 89
    for width in (1, 5, 50):
        check_envelope(run, 0, ALL, width)
        check_envelope(run, 0, (35, 45), width)


DISORDERS: dict[str, Callable[[int], IntArray]] = {
    "epochs": lambda points: np.arange(points) % 25,
    "down": lambda points: points - np.arange(points),
    "random": lambda points: np.random.default_rng(3).integers(0, 2 * points, points),
    "two": lambda points: np.arange(points) % 2,
}


@pytest.mark.parametrize("layout", ["grid", "rows", "requeued"])
@pytest.mark.parametrize("disorder", DISORDERS)
def test_steps_that_start_over_are_drawn_from_levels_too(
    tmp_path: Path, disorder: str, layout: str
) -> None:
    steps = DISORDERS[disorder](500)
    values = np.random.default_rng(5).normal(size=500)
    values[::31] = np.nan
    folder = Path()
    for attempt in (1, 2) if layout == "requeued" else (1,):
        writer = NodeWriter(tmp_path, attempt=attempt)
        for rank in (0, 1):
            session = writer.start(rank, size=2)
            count = 500 if layout == "grid" else 400 + 90 * rank
            first = steps[: count // attempt] + 11 * (attempt - 1)
            writer.points("loss", rank, first.tolist(), (values[: len(first)] + rank).tolist())
            writer.end(rank, session)
        folder = writer.close().parent
    seal_run(folder, limits=SMALL)
    with h5py.File(folder / "run.h5", "r") as file:
        group = file["metrics/0"]
        assert ("runs" in group) == (layout != "grid")
        assert "levels" in group["by_step"]
        assert "late" not in group
        assert len(group["by_step/value"]) == group.attrs["points"]
    run = StoredRun(folder)
    windows: list[Window] = [ALL, (3, 17), (None, 0), (24, 25), (480, None), (9000, 9999)]
    for window in windows:
        for width in (1, 3, 100):
            for rank in (0, 1):
                check_envelope(run, rank, window, width)
    assert verify_run(folder).findings == []


def test_a_few_late_points_are_kept_beside_the_levels(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    steps = np.arange(500)
    steps[::50] -= 20
    writer.points("loss", 0, steps.tolist(), np.arange(500.0).tolist())
    writer.end(0, session)
    folder = writer.close().parent
    seal_run(folder, limits=SMALL)
    with h5py.File(folder / "run.h5", "r") as file:
        assert len(file["metrics/0/late"]) == 9
        assert "by_step" not in file["metrics/0"]
    check_envelope(StoredRun(folder), 0, (100, 300), 7)


@pytest.mark.parametrize("memory_rows", [1, 7, 100, 5000])
def test_points_are_put_in_order_in_little_memory(tmp_path: Path, memory_rows: int) -> None:
    place = tmp_path / "run"
    place.mkdir()
    rng = np.random.default_rng(1)
    step, value = rng.integers(-5, 40, 700), rng.normal(size=700)
    blocks = [
        (step[start : start + memory_rows], value[start : start + memory_rows])
        for start in range(0, 700, memory_rows)
    ]
    found = list(iter_ordered([*blocks, (step[:0], value[:0])], place, 700, memory_rows))
    together = np.concatenate([one[0] for one in found])
    assert (np.diff(together) >= 0).all()
    pairs = zip(together.tolist(), np.concatenate([one[1] for one in found]).tolist(), strict=True)
    assert sorted(pairs) == sorted(zip(step.tolist(), value.tolist(), strict=True))
    if memory_rows > 1:
        assert max(len(one[0]) for one in found) <= max(memory_rows, 700 // memory_rows + 1)
    assert list(place.iterdir()) == []


def test_ranks_and_metrics_that_are_not_there_are_said_to_be(tmp_path: Path) -> None:
    folder = write_series(tmp_path, points=20)
    seal_run(folder, limits=SMALL)
    run = StoredRun(folder)
    with pytest.raises(NotFoundError, match="rank 7"):
        run.envelope("loss", 7)
    with pytest.raises(NotFoundError, match="no metric 'los'"):
        run.envelope("los")


def test_a_window_in_memory_is_sorted_by_step() -> None:
    found = draw_window(np.array([3, 1, 2]), np.array([30.0, 10.0, 20.0]), (1, 3), 10)
    assert found.step.tolist() == [1, 2]
    assert found.low.tolist() == [10, 20]
