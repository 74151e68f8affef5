"""What sweeps are for, on a real cluster: early stopping that pays, and trials of every kind."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from hpctrack.sweeps.sweep import load_sweep
from tests.programs import ROOT

from .cluster import Cluster, Place
from .digits_program import EPOCHS, train
from .sweep_desk import Desk

pytestmark = pytest.mark.slurm


@pytest.fixture
def desk(cluster: Cluster, cluster_scratch: Place) -> Desk:
    return Desk(cluster, cluster_scratch)


TRIALS = 60

DIGITS = f"""
program: {ROOT}/tests/services/digits_program.py
method: random
seed: 1
run_cap: {TRIALS}
project: digits
metric: {{name: accuracy, goal: maximize}}
early_terminate: {{type: asha, min_iter: 1, eta: 3}}
parameters:
  lr: {{distribution: log_uniform_values, min: 0.001, max: 0.5}}
  hidden: {{min: 4, max: 64}}
  momentum: {{min: 0.0, max: 0.95}}
command: ["${{interpreter}}", "${{program}}", digits.npy]
slurm: {{timeout_min: 10, cpus_per_task: 1, array_parallelism: 8}}
"""


def test_asha_with_eight_workers_finds_a_good_network_in_a_third_of_the_epochs(desk: Desk) -> None:
    package = Path(importlib.util.find_spec("sklearn").origin).parent  # type: ignore[union-attr,arg-type]
    table = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    np.save(desk.scratch.host / "digits.npy", table)
    desk.write("sweep.yaml", DIGITS)
    done = desk.sweep("submit", "sweep.yaml", "--workers=8", "--wait", timeout_s=240)
    sweep = load_sweep(desk.store, done["id"])
    with np.errstate(all="ignore"):  # some of them diverge
        curves = [
            [*train(sweep.parameters(number), desk.scratch.host / "digits.npy")]
            for number in range(TRIALS)
        ]
    runs = desk.runs(sweep.id)
    assert [run.record.trial for run in runs] == [*range(TRIALS)]
    found = [run.metric("accuracy").rank(0) for run in runs]
    # A trial that was stopped is the beginning of the same training.
    assert [one.value.tolist() for one in found] == [
        curve[: len(one.step)] for curve, one in zip(curves, found, strict=True)
    ]
    epochs = sum(len(one.step) for one in found)
    best = max(curve[-1] for curve in curves)
    told = desk.sweep("best", sweep.id)
    status = desk.sweep("status", sweep.id)
    print(f"{epochs} of {TRIALS * EPOCHS} epochs; {told['metric']:.4f} of {best:.4f}; {status['cost']}")
    assert epochs <= 0.3 * TRIALS * EPOCHS
    assert told["metric"] >= best - 0.01
    whole = [run for run, one in zip(runs, found, strict=True) if len(one.step) == EPOCHS]
    counts = {state: count for state, count in status["counts"].items() if count}
    assert counts == {"finished": len(whole), "pruned": TRIALS - len(whole)}
    assert status["cost"]["saved_cpu_hours"] > 0
