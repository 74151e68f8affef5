"""Steps that come late, twice, or are no whole numbers, with a real agent behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hpctrack
from tests.programs import only_run


def test_a_late_step_does_not_set_the_steps_of_other_metrics_back(tmp_path: Path) -> None:
    with hpctrack.init("p") as run:
        for number in range(20):
            run.log({"loss": float(number)})
        run.log({"eval": 1.0}, step=5)
        run.log({"note": 1.0}, step=7, commit=False)
        assert run.step == 20
        for number in range(20, 30):
            run.log({"loss": float(number)})
    found = only_run(tmp_path / "store")
    assert found.metric("loss").steps.tolist() == list(range(30))
    assert found.metric("eval").steps.tolist() == [5]


def test_a_step_that_is_given_moves_the_next_one_forward(tmp_path: Path) -> None:
    with hpctrack.init("p") as run:
        run.log({"a": 1.0}, step=10, commit=False)
        run.log({"a": 2.0})
        run.log({"a": 3.0}, step=np.int32(20))  # type: ignore[arg-type]
        run.log({"a": 4.0}, step=np.float32(30))  # type: ignore[arg-type]
        run.log({"a": 5.0}, sync=True)
        run.log({"a": 6.0}, step=np.array(40.0))  # type: ignore[arg-type]
    assert only_run(tmp_path / "store").metric("a").steps.tolist() == [10, 10, 20, 30, 31, 40]


def test_a_fractional_step_is_refused_and_the_runs_own_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hpctrack.init("p") as run:
        for number in range(4):
            run.log({"loss": float(number)}, step=number / 2)  # type: ignore[arg-type]
        run.log({"new": 1.0}, step=np.float64(7.5))  # type: ignore[arg-type]
    assert "step 0.5 is not a whole number; step 1 is used" in capsys.readouterr().err
    found = only_run(tmp_path / "store")
    assert found.metric("loss").steps.tolist() == [0, 1, 1, 2]
    assert found.metric("new").steps.tolist() == [3]
    assert found.record.ledger["refused"] == {"step": 3}
