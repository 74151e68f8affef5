"""What a real sweep with early stopping has found: digits, real workers, real runs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hpctrack
from tests.programs import ROOT

pytestmark = pytest.mark.slow

TRAIN = """
import argparse, importlib.util
from pathlib import Path
import numpy as np
import hpctrack

parser = argparse.ArgumentParser()
for name, kind in (("lr", float), ("hidden", int)):
    parser.add_argument(f"--{name}", type=kind)
options = parser.parse_args()
run = hpctrack.init()
# The file itself: importing scikit-learn takes each trial seconds.
package = Path(importlib.util.find_spec("sklearn").origin).parent
digits = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", delimiter=",")
x, y = digits[:, :-1] / 16.0, digits[:, -1].astype(int)
rng = np.random.default_rng(0)
order = rng.permutation(len(x))
train, test = order[:1000], order[1000:]
first = rng.normal(size=(64, options.hidden)) * 0.3
second = rng.normal(size=(options.hidden, 10)) * 0.3
for epoch in range(9):
    for begin in range(0, len(train), 50):
        rows = train[begin : begin + 50]
        inner = np.maximum(x[rows] @ first, 0)
        scores = inner @ second
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        scores[np.arange(len(rows)), y[rows]] -= 1
        back = (scores @ second.T) * (inner > 0)
        second -= options.lr * inner.T @ scores / len(rows)
        first -= options.lr * x[rows].T @ back / len(rows)
    guess = (np.maximum(x[test] @ first, 0) @ second).argmax(axis=1)
    run.log({"accuracy": float((guess == y[test]).mean())}, step=10 * epoch)
    if run.should_stop():
        break
"""

SWEEP = """\
method: grid
program: train.py
project: digits
metric: {name: accuracy, goal: maximize}
parameters:
  lr: {values: [0.3, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4]}
  hidden: {values: [32, 8]}
"""

EARLY = "early_terminate: {type: hyperband, min_iter: 1, eta: 3}\n"


def type_command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpctrack", "sweep", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def read_json(*words: str) -> Any:
    done = type_command(*words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def run_sweep(tmp_path: Path, text: str) -> str:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "sweep.yaml").write_text(text)
    done = read_json("submit", "sweep.yaml", "--executor", "local", "--parallelism", "2")
    assert done["status"]["over"] == 14
    return str(done["id"])


def test_a_whole_sweep_tells_what_matters_and_what_a_rule_would_cost(tmp_path: Path) -> None:
    sweep_id = run_sweep(tmp_path, SWEEP)
    found = read_json("importance", sweep_id)
    assert found["parameters"][0]["name"] == "lr"
    assert found["parameters"][0]["fanova"] > 0.5
    assert found["parameters"][0]["correlation"] > 0.5
    cost = read_json("early-stop-cost", sweep_id)
    assert cost["curves"] == 14
    assert cost["rungs"][-1]["spearman"] > 0.8
    eta_3 = next(one for one in cost["replays"] if one["rule"].endswith("eta=3"))
    assert eta_3["saved_share"] > 0.2
    assert eta_3["regret"] < 0.1
    results = hpctrack.sweep_results(sweep_id)
    frame = results.curves_to_pandas()
    assert frame.groupby("trial").size().tolist() == [9] * 14
    assert frame["step"].tolist() == [10 * epoch for epoch in range(9)] * 14
    assert results.best.metric == frame.groupby("trial")["value"].last().max()
    run = results.best_run()
    assert run.summary["accuracy"] == results.best.metric
    run.close()


def test_a_sweep_with_early_stopping_tells_what_it_saved(tmp_path: Path) -> None:
    sweep_id = run_sweep(tmp_path, SWEEP + EARLY)
    status = read_json("status", sweep_id)
    assert status["counts"]["pruned"] > 0
    assert status["counts"]["finished"] + status["counts"]["pruned"] == 14
    assert status["cost"]["saved_iterations_share"] > 0.1
    assert status["cost"]["cpu_hours"] > 0
    curves = read_json("curves", sweep_id)["curves"]
    ends = {one["trial"]: one["iterations"][-1] for one in curves}
    assert {one["number"]: one["iterations"] for one in status["trials"]} == ends
    pruned = [one["number"] for one in status["trials"] if one["state"] == "pruned"]
    assert all(ends[number] < 9 for number in pruned)
    done = type_command("export", sweep_id, "-o", "trials.csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(Path("trials.csv").read_text().splitlines()))
    assert [row["trial"] for row in rows if row["state"] == "pruned"] == [str(n) for n in pruned]
    best = read_json("best", sweep_id)
    line = ["sh", "-c", best["command_line"]]
    again = subprocess.run(line, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    (told,) = type_command("watch", sweep_id).stdout.splitlines()
    assert "14 of 14 over" in told
