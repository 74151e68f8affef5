"""A metric of all ranks of a sealed file at once: the same as each rank's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpctrack.store.seal import seal_run
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.matrix.building import Building
from hpctrack_server.data.matrix.make_plane import plane_of_level, plane_of_metric
from hpctrack_server.data.matrix.plane import How, choose_columns, reduce_rows
from tests.stores import NodeWriter

SMALL = SealLimits(memory_rows=500, piece_rows=64, series_min=50, bucket=4)


def grid(writer: NodeWriter, chance: np.random.Generator) -> None:
    for rank in range(5):
        values = chance.normal(size=300)
        values[chance.random(300) < 0.1] = np.nan
        writer.points("loss", rank, range(0, 900, 3), values.tolist())


def uneven(writer: NodeWriter, chance: np.random.Generator) -> None:
    for rank in range(5):
        steps = np.sort(chance.choice(900, 200 + 17 * rank, replace=False))
        writer.points("loss", rank, steps.tolist(), chance.normal(size=len(steps)).tolist())


def late(writer: NodeWriter, chance: np.random.Generator) -> None:
    for rank in range(3):
        steps = np.arange(400)
        steps[::97] -= 40
        writer.points("loss", rank, steps.tolist(), chance.normal(size=400).tolist())


def shuffled(writer: NodeWriter, chance: np.random.Generator) -> None:
    for rank in range(3):
        steps = chance.permutation(400).tolist()
        writer.points("loss", rank, steps, chance.normal(size=400).tolist())


def requeued(writer: NodeWriter, chance: np.random.Generator) -> None:
    for rank in range(3):
        writer.points("loss", rank, range(300), chance.normal(size=300).tolist())
    again = NodeWriter(writer.store, attempt=2)
    for rank in range(3):
        session = again.start(rank, size=5)
        values = (100 + chance.normal(size=300)).tolist()
        again.points("loss", rank, range(150 + rank, 450 + rank), values)
        again.end(rank, session)
    again.close()


Kind = Callable[[NodeWriter, np.random.Generator], None]


@pytest.fixture(params=[grid, uneven, late, shuffled, requeued], ids=lambda one: one.__name__)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    writer = NodeWriter(tmp_path)
    sessions = [writer.start(rank, size=5) for rank in range(5)]
    write: Kind = request.param
    write(writer, np.random.default_rng(11))
    for rank, session in enumerate(sessions):
        writer.end(rank, session)
    path = writer.close().parent
    seal_run(path, force=True, limits=SMALL)
    return path


def test_points_of_each_rank_are_those_of_the_metric(folder: Path) -> None:
    metric = StoredRun(folder).metric("loss")
    chance = np.random.default_rng(5)
    with SealedReader(folder / "run.h5").open_matrix("loss") as matrix:
        assert matrix is not None
        assert matrix.ranks.tolist() == metric.rank_numbers()
        for rank in metric.rank_numbers():
            series = metric.rank(rank)
            order = np.argsort(series.step, kind="stable")
            whole = (series.step[order], series.value[order])
            step, value = matrix.read_points(rank)
            assert np.array_equal(step, whole[0])
            assert np.array_equal(value, whole[1], equal_nan=True)
            for _ in range(10):
                start, stop = np.sort(chance.integers(-5, 910, 2)).tolist()
                inside = (whole[0] >= start) & (whole[0] < stop)
                step, value = matrix.read_points(rank, (start, stop))
                assert np.array_equal(step, whole[0][inside])
                assert np.array_equal(value, whole[1][inside], equal_nan=True)
        assert len(matrix.read_points(77)[0]) == 0


def test_every_level_has_the_extremes_of_all_points(folder: Path) -> None:
    metric = StoredRun(folder).metric("loss")
    whole = plane_of_metric(metric)
    with SealedReader(folder / "run.h5").open_matrix("loss") as matrix:
        assert matrix is not None
        assert matrix.levels >= 1
        plane = plane_of_level(matrix, 0)
    ends = (float(whole.starts[0]), float(whole.stops[-1]))
    for how in (How.MAX, How.MIN):
        found = reduce_rows(plane, choose_columns(plane, *ends, 1), how)
        wanted = reduce_rows(whole, choose_columns(whole, *ends, 1), how)
        assert np.array_equal(found, wanted)
    # In any window nothing is below the extremes that its points have.
    for start in range(0, 300, 60):
        columns = choose_columns(plane, start, start + 60, 10)
        high = np.fmax.reduce(reduce_rows(plane, columns, How.MAX), axis=0)
        first, last = whole.find(start, start + 60)
        points = np.fmax.reduce(whole.high[first:last], axis=0)
        assert (high[~np.isnan(points)] >= points[~np.isnan(points)]).all()


def test_all_points_are_read_block_by_block(folder: Path) -> None:
    wanted = plane_of_metric(StoredRun(folder).metric("loss"))
    building = Building(folder / "run.h5", "loss", 1 << 20)
    building.run()
    assert building.is_done
    assert building.plane is not None
    assert np.array_equal(building.plane.starts, wanted.starts)
    assert np.array_equal(building.plane.mean, wanted.mean, equal_nan=True)


def test_points_that_do_not_fit_become_buckets_with_exact_extremes(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    values = np.random.default_rng(1).normal(size=(4, 500))
    for rank in range(4):
        writer.points("loss", rank, range(500), values[rank].tolist())
    writer.end(0, session)
    folder = writer.close().parent
    seal_run(folder, force=True)
    building = Building(folder / "run.h5", "loss", 2000)
    building.run()
    assert building.plane is not None
    assert len(building.plane) < 500
    assert building.plane.size_bytes < 2000 + 16 * len(building.plane)
    assert np.array_equal(building.plane.high.max(axis=0), values.max(axis=1).astype("f4"))
    assert np.array_equal(building.plane.low.min(axis=0), values.min(axis=1).astype("f4"))


def test_a_metric_that_nobody_has_logged_has_no_matrix(folder: Path) -> None:
    with SealedReader(folder / "run.h5").open_matrix("nothing") as matrix:
        assert matrix is None
