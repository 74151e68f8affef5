"""A run's numbers as a table."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.history import make_history
from hpctrack.store.stored_run import StoredRun
from tests.paces import make_metric
from tests.stores import NodeWriter
from tests.unit.store.test_metric import best_cpu_s


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    """Two ranks, ten steps; rank 0 logs the epoch every fourth step from step 2."""
    writer = NodeWriter(tmp_path)
    for rank in range(2):
        writer.start(rank, size=2)
        writer.points("loss", rank, range(10), [rank + step / 10 for step in range(10)])
    writer.points("epoch", 0, [2, 6], [0, 1])
    writer.close()
    return StoredRun(tmp_path / "p" / "r")


def test_a_rank_can_be_picked(run: StoredRun) -> None:
    assert run.history(["loss"], rank=1)["loss"].tolist() == [1 + step / 10 for step in range(10)]
    assert len(run.history(rank=[0, 1])) == 20
    assert len(run.history(rank=7)) == 0
    run.close()


def test_rows_can_be_ordered_and_filled_by_another_metric(run: StoredRun) -> None:
    history = run.history(["loss"], x="epoch", rank=1)
    assert history["epoch"].tolist() == [0] * 4 + [1] * 4, "steps before the first are left out"
    assert history["_step"].tolist() == list(range(2, 10))
    with pytest.raises(NotFoundError, match="epok"):
        run.history(["loss"], x="epok")
    run.close()


def test_a_metric_of_an_older_store_never_takes_the_place_of_a_column(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.points("_step", 0, [0, 1], [70, 71])
    writer.points("loss", 0, [0, 1], [1, 2])
    writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    for history in (run.history(), run.history(["loss", "_step"])):
        assert history["_step"].tolist() == [0, 1]
        assert history["loss"].tolist() == [1, 2]
    run.close()


def test_samples_keep_the_first_and_the_last_step_and_all_ranks(run: StoredRun) -> None:
    history = run.history(["loss"], samples=4)
    assert history["_step"].tolist() == [0, 0, 3, 3, 6, 6, 9, 9]
    assert len(run.history(["loss"], samples=100)) == 20
    assert run.history(["loss"], samples=1)["_step"].tolist() == [9, 9]
    with pytest.raises(UsageError, match="samples is 0"):
        run.history(samples=0)
    run.close()


def test_scanning_gives_rows_without_what_is_not_there(run: StoredRun) -> None:
    rows = list(run.scan_history(rank=0))
    assert len(rows) == 10
    assert rows[0] == {"_step": 0, "_rank": 0, "_timestamp": 1_000_000.0, "loss": 0.0}
    assert rows[2]["epoch"] == 0
    assert all(type(row["_step"]) is int for row in rows)
    run.close()


def test_rows_by_time_are_in_the_order_of_time() -> None:
    metric = make_metric(np.arange(12.0).reshape(3, 4))
    history = make_history({"a": metric}, x="_timestamp")
    assert (np.diff(history["_timestamp"]) >= 0).all()
    with pytest.raises(NotFoundError, match="to order by"):
        make_history({"a": metric}, x="b")


def test_a_million_rows_take_no_time() -> None:
    metric = make_metric(np.arange(1e6).reshape(500, 2000))
    found = make_history({"a": metric})
    assert found["a"][:3].tolist() == [0, 2000, 4000]
    assert best_cpu_s(lambda: make_history({"a": metric})) < 0.3, "it takes 0.03 s"
    keep = np.random.default_rng(0).random((500, 2000)) < 0.8
    gappy = make_metric(np.arange(1e6).reshape(500, 2000), keep=keep)
    joined = make_history({"a": metric, "b": gappy})
    assert math.isclose(np.nansum(joined["b"]), gappy.values.sum())
    assert best_cpu_s(lambda: make_history({"a": metric, "b": gappy})) < 0.8, "it takes 0.1 s"
