"""Where rules compare trials, and what importance says where Optuna cannot be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpctrack.sweeps.results.importance import measure_importance
from hpctrack.sweeps.results.rungs import find_rungs
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.schema.sweep_file import parse_sweep_config
from hpctrack.sweeps.worker.result import TrialState
from tests.sweep_stores import CONFIG, write_sweep


@pytest.mark.parametrize(
    ("early", "rungs"),
    [
        ({"type": "hyperband", "min_iter": 3}, [3, 9, 27]),
        ({"type": "hyperband", "min_iter": 1, "eta": 2}, [1, 2, 4, 8, 16]),
        ({"type": "hyperband", "max_iter": 27, "s": 2}, [3, 9]),
        ({"type": "asha", "min_iter": 2, "eta": 4}, [2, 8]),
        ({"type": "asha", "min_iter": 5}, [5, 20]),
        ({"type": "median"}, []),
        (None, []),
    ],
)
def test_rungs_are_where_the_rule_looks(early: Any, rungs: list[int]) -> None:
    file = parse_sweep_config({**CONFIG, "early_terminate": early})
    assert find_rungs(file.early, 30) == rungs


def test_correlations_need_no_optuna(tmp_path: Path) -> None:
    states = dict.fromkeys(range(12), TrialState.FINISHED)
    sweep = write_sweep(tmp_path, has_runs=False, states=states)
    found = measure_importance(read_status(sweep), evaluators=())
    assert {one.name for one in found.parameters} == {"lr", "optimizer"}
    assert {one.ped_anova for one in found.parameters} == {None}
    by_name = {one.name: one.correlation for one in found.parameters}
    assert by_name["optimizer"] is None
    assert isinstance(by_name["lr"], float)
