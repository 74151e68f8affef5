"""Sweeps that look as if workers had run them: written directly, without a program or a worker."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpctrack.sweeps.sweep import Sweep, create_sweep
from hpctrack.sweeps.worker.result import TrialResult, TrialState, write_result
from tests.stores import NodeWriter

SPACE: dict[str, Any] = {
    "lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1},
    "depth": {"min": 1, "max": 8},
    "optimizer": {"values": ["adam", "sgd"]},
    "batch": {"value": 64},
}


def make_sweep(tmp_path: Path, **more: Any) -> Sweep:
    """Return a stored sweep; nothing of it has run."""
    config = {
        "method": "random",
        "program": "train.py",
        "project": "digits",
        "metric": {"name": "loss"},
        "run_cap": 60,
        "seed": 1,
        "parameters": SPACE,
        **more,
    }
    return create_sweep(tmp_path / "store", config, sweep_id="s")


def say(sweep: Sweep, number: int, state: TrialState, **more: Any) -> None:
    """Leave the word of a trial; ``loss`` or ``values`` are its metrics."""
    loss = more.pop("loss", None)
    values = more.pop("values", {} if loss is None else {"loss": loss})
    defaults: dict[str, Any] = {
        "exit_code": 0 if state.is_over else None,
        "host": "n1",
        "pid": 7,
        "job": f"50_{number % 4}",
        "started_wall_s": 1000.0 + number,
        "ended_wall_s": 1060.0 + number if state.is_over else None,
        "duration_s": 60.0 if state.is_over else None,
        "value": next(iter(values.values()), None),
        "values": values,
    }
    write_result(sweep.folder, TrialResult(trial=number, state=state, **(defaults | more)))


def write_run(
    sweep: Sweep, number: int, metrics: Mapping[str, Sequence[float]], *, stride: int = 1
) -> None:
    """Write a run that logged a value of each metric every so many steps."""
    writer = NodeWriter(sweep.store, project=sweep.project, run=sweep.run_id(number))
    session = writer.start(0, group=sweep.id, sweep=sweep.id, trial=number)
    for name, values in metrics.items():
        writer.points(name, 0, [stride * at for at in range(len(values))], values)
    writer.end(0, session)
    writer.close()


def find_loss(parameters: Mapping[str, Any], noise: random.Random) -> float:
    """Return a loss that hangs on lr most, then the optimizer, then depth, and not on batch."""
    far: float = math.log10(parameters["lr"]) + 3
    loss: float = far**2 + 0.6 * (parameters["optimizer"] == "sgd") + 0.02 * parameters["depth"]
    return loss + noise.gauss(0, 0.02)


def run_all(sweep: Sweep, count: int, *, pruned: Sequence[int] = ()) -> list[float]:
    """Let trials end, some of them pruned after a third of their 27 iterations."""
    noise = random.Random(0)
    losses = []
    for number in range(count):
        loss = find_loss(sweep.parameters(number), noise)
        losses.append(loss)
        is_pruned = number in pruned
        say(
            sweep,
            number,
            TrialState.PRUNED if is_pruned else TrialState.FINISHED,
            loss=loss,
            duration_s=20.0 if is_pruned else 60.0,
            iterations=9 if is_pruned else 27,
            cpus=4,
            gpus=1,
        )
    return losses
