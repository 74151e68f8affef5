"""Sweeps that have run, written as their workers write them: real files, no processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpctrack.core.clock import Clock
from hpctrack.store.schema import EventKind
from hpctrack.sweeps.submission_record import Worker, confirm, reserve
from hpctrack.sweeps.sweep import Sweep, create_sweep
from hpctrack.sweeps.worker.result import TrialResult, TrialState, write_result
from tests.stores import NodeWriter

START_S = 1_700_000_000.0
EPOCHS = 9
CONFIG: Mapping[str, Any] = {
    "method": "grid",
    "program": "train.py",
    "metric": {"name": "val/loss", "goal": "minimize"},
    "parameters": {
        "lr": {"values": [0.001, 0.01, 0.1, 1.0]},
        "optimizer": {"values": ["sgd", "adam", "lion"]},
    },
    "early_terminate": {"type": "hyperband", "min_iter": 3, "eta": 3},
}
"""Twelve trials."""


def make_clock(wall_s: float) -> Clock:
    """Return a clock that stands still."""
    return Clock(wall_s=lambda: wall_s, mono_s=lambda: wall_s)


def write_sweep(
    store: Path,
    *,
    project: str = "digits",
    sweep_id: str = "s1",
    trials: int = 12,
    has_runs: bool = True,
    states: Mapping[int, TrialState] | None = None,
    **config: Any,
) -> Sweep:
    """Write a sweep with two workers; trials 4, 7 and 10 were pruned and 5 failed, unless told."""
    sweep = create_sweep(
        store, {**CONFIG, **config}, project=project, sweep_id=sweep_id, clock=make_clock(START_S)
    )
    said = {4: TrialState.PRUNED, 7: TrialState.PRUNED, 10: TrialState.PRUNED, 5: TrialState.FAILED}
    said |= dict(states or {})
    submission = reserve(sweep, "slurm", tasks=2, clock=make_clock(START_S + 5))
    confirm(sweep, submission, (Worker(job="50_0"), Worker(job="50_1")))
    for number in range(trials):
        write_trial(sweep, number, said.get(number, TrialState.FINISHED), has_run=has_runs)
    return sweep


def write_trial(
    sweep: Sweep,
    number: int,
    state: TrialState,
    *,
    has_run: bool = True,
    value: float | None = None,
) -> None:
    """Write what a trial says, and its run."""
    metrics = sweep.file.metrics
    started_s = START_S + 10 + 60 * (number // 2)
    epochs = EPOCHS if state == TrialState.FINISHED else 3
    curves = {
        one.name: [find_loss(number + 5 * at, epoch) for epoch in range(epochs)]
        for at, one in enumerate(metrics)
    }
    first = curves[metrics[0].name][-1] if metrics and value is None else value
    values = {name: curve[-1] for name, curve in curves.items()}
    is_over = state.is_over
    write_result(
        sweep.folder,
        TrialResult(
            trial=number,
            state=state,
            exit_code={TrialState.FINISHED: 0, TrialState.FAILED: 1}.get(state),
            host=f"n{number % 2 + 1}",
            job=f"50_{number % 2}",
            worker=f"w{number % 2}",
            command=("python", "train.py", f"--lr={number}"),
            started_wall_s=started_s,
            ended_wall_s=started_s + 6 * epochs if is_over else None,
            duration_s=6.0 * epochs if is_over else None,
            iterations=epochs,
            pace_s=5.0,
            cpus=4,
            gpus=1,
            value=None if state == TrialState.FAILED else first,
            values=values if len(metrics) > 1 else {},
            log_tail="Traceback: <b>boom</b>" if state == TrialState.FAILED else "",
        ),
    )
    if has_run and state != TrialState.WAITING:
        _write_run(sweep, number, curves, state)


def find_loss(number: int, epoch: int) -> float:
    """Return a loss that falls, to another end for each trial."""
    return round(0.2 + 0.07 * ((number * 5) % 12) + 1.5 / (epoch + 1), 6)


def _write_run(
    sweep: Sweep, number: int, curves: Mapping[str, list[float]], state: TrialState
) -> None:
    writer = NodeWriter(sweep.store, project=sweep.project, run=sweep.run_id(number))
    session = writer.start(0, name=f"trial-{number}", sweep=sweep.id, trial=number)
    writer.event(EventKind.CONFIG, sweep.parameters(number))
    for name, curve in curves.items():
        writer.points(name, 0, range(len(curve)), curve)
    writer.event(EventKind.SUMMARY, {name: curve[-1] for name, curve in curves.items()})
    writer.end(0, session, exit_code=1 if state == TrialState.FAILED else 0)
    writer.close()
