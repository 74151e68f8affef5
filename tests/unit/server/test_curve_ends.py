"""Best and last values of curves: from pyramids or points, and remembered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpctrack.core.layout import SEALED_NAME
from hpctrack.store.pyramid import SERIES_MIN
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.statistics.curve_ends import CurveEnds, Ends, read_sealed_ends
from hpctrack_server.settings import ServerSettings
from tests.stores import NodeWriter

STEPS = SERIES_MIN + 99


def write_curve(store: Path, run: str, values: np.ndarray, *, is_sealed: bool = True) -> Path:
    writer = NodeWriter(store, run=run)
    session = writer.start(0)
    writer.points("loss", 0, range(len(values)), values.tolist())
    writer.end(0, session)
    folder = writer.close().parent
    if is_sealed:
        seal_run(folder)
    return folder


def read(ends: CurveEnds, *runs: str, name: str = "loss") -> list[Ends | None]:
    steps = ends.read_in_steps("p", runs, name)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[Ends | None] = end.value
            return found


@pytest.mark.parametrize("odd", [None, np.nan, np.inf])
def test_ends_of_a_pyramid_are_those_of_the_points(tmp_path: Path, odd: float | None) -> None:
    values = np.random.default_rng(3).normal(size=STEPS)
    if odd is not None:
        values[[7, 5000, STEPS - 2]] = odd
    folder = write_curve(tmp_path, "long", values)
    assert (read_sealed_ends(folder / SEALED_NAME, "loss") is None) == (odd == np.inf)
    known = values[np.isfinite(values)]
    wanted = Ends(known.min(), known.max(), known[-1])
    assert read(CurveEnds(ServerSettings(store=tmp_path)), "long") == [wanted]


def test_a_step_that_was_logged_again_counts_as_readers_have_it(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path, run="again")
    session = writer.start(0)
    writer.points("loss", 0, [0, 1, 2, 1, 2], [5.0, 9.0, 1.0, 4.0, 3.0])
    writer.end(0, session)
    seal_run(writer.close().parent)
    metric = StoredRun(tmp_path / "p" / "again").metric("loss")
    mean = metric.reduce("mean", by="step").value
    (found,) = read(CurveEnds(ServerSettings(store=tmp_path)), "again")
    assert found == Ends(mean.min(), mean.max(), mean[-1])


def test_a_run_without_the_metric_or_that_cannot_be_read_has_none(tmp_path: Path) -> None:
    write_curve(tmp_path, "short", np.array([3.0, 1.0, 2.0]), is_sealed=False)
    broken = write_curve(tmp_path, "broken", np.arange(500.0)) / SEALED_NAME
    broken.write_bytes(broken.read_bytes()[:3000])
    ends = CurveEnds(ServerSettings(store=tmp_path))
    assert read(ends, "short", "broken", "gone") == [Ends(1.0, 3.0, 2.0), None, None]
    assert read(ends, "short", name="nothing") == [None]


def test_ends_are_remembered_for_as_long_as_the_file_is_the_same(tmp_path: Path) -> None:
    folder = write_curve(tmp_path, "r", np.arange(500.0))
    ends = CurveEnds(ServerSettings(store=tmp_path))
    first = read(ends, "r")
    assert read(ends, "r")[0] is first[0]
    other = write_curve(tmp_path, "other", np.arange(600.0))
    (other / SEALED_NAME).replace(folder / SEALED_NAME)
    assert read(ends, "r") == [Ends(0.0, 599.0, 599.0)]
