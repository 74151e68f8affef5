"""Writes the same runs through one tracker's own writer; standard library and the tracker only."""

from __future__ import annotations

import importlib
import math
import random
from pathlib import Path
from typing import Any

from scripts.benchmarks.programs.entry import answer

BATCH = 1000
START_MS = 1_750_000_000_000


def name_run(number: int) -> str:
    """Return what a run is called."""
    return f"run-{number:04d}"


def make_curve(run: int, metric: int, points: int) -> list[float]:
    """Return a curve: the same arguments give the same numbers to every tracker."""
    draw = random.Random(run * 1000 + metric)  # noqa: S311 - noise, no secret
    fall = 3 + run % 5
    return [
        0.3 + 2 * math.exp(-fall * step / points) + draw.gauss(0, 0.05) for step in range(points)
    ]


def name_metric(number: int) -> str:
    """Return what a metric is called; all are of one group, so that all are shown at first."""
    return f"train/metric-{number}"


def fill_hpctrack(told: dict[str, Any]) -> None:
    """Log through the client, and wait until the agent has sealed the runs."""
    hpctrack = importlib.import_module("hpctrack")
    for run, curves in _iter_runs(told):
        one = hpctrack.init("bench", dir=told["folder"], name=name_run(run), config={"seed": run})
        for step in range(told["points"]):
            one.log({name: values[step] for name, values in curves.items()}, step=step)
        one.finish()


def fill_tensorboard(told: dict[str, Any]) -> None:
    """Write event files, as every SummaryWriter does."""
    writing = importlib.import_module("tensorboard.summary.writer.event_file_writer")
    event_pb2 = importlib.import_module("tensorboard.compat.proto.event_pb2")
    summary = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary
    for run, curves in _iter_runs(told):
        writer = writing.EventFileWriter(str(Path(told["folder"]) / name_run(run)))
        for name, values in curves.items():
            for step, value in enumerate(values):
                found = summary(value=[summary.Value(tag=name, simple_value=value)])
                wall_s = START_MS / 1e3 + step
                writer.add_event(event_pb2.Event(wall_time=wall_s, step=step, summary=found))
        writer.close()


def fill_mlflow(told: dict[str, Any]) -> None:
    """Write its database, as its tracking server would, in the largest batches that it takes."""
    entities = importlib.import_module("mlflow.entities")
    client = importlib.import_module("mlflow").MlflowClient(told["address"])
    experiment = client.create_experiment("bench")
    for run, curves in _iter_runs(told):
        one = client.create_run(experiment, run_name=name_run(run)).info.run_id
        client.log_param(one, "seed", run)
        for name, values in curves.items():
            metrics = [
                entities.Metric(name, value, START_MS + step * 1000, step)
                for step, value in enumerate(values)
            ]
            for first in range(0, len(metrics), BATCH):
                client.log_batch(one, metrics=metrics[first : first + BATCH])
        client.set_terminated(one)


def fill_aim(told: dict[str, Any]) -> None:
    """Track through its SDK."""
    sdk = importlib.import_module("aim")
    for run, curves in _iter_runs(told):
        one = sdk.Run(
            repo=told["folder"], experiment="bench", system_tracking_interval=None,
            capture_terminal_logs=False,
        )  # fmt: skip
        one["seed"] = run
        one.name = name_run(run)
        for name, values in curves.items():
            for step, value in enumerate(values):
                one.track(value, name=name, step=step)
        one.close()


def _iter_runs(told: dict[str, Any]) -> Any:
    for run in range(told["runs"]):
        yield (
            run,
            {
                name_metric(one): make_curve(run, one, told["points"])
                for one in range(told["metrics"])
            },
        )


FILL = {
    "hpctrack": fill_hpctrack,
    "tensorboard": fill_tensorboard,
    "mlflow-ui": fill_mlflow,
    "aim": fill_aim,
}


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Write."""
    FILL[told["tool"]](told)
    return {}


if __name__ == "__main__":
    answer(main)
