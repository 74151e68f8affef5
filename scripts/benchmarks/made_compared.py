"""Runs as people compare them: sealed, with a configuration, seeds, and curves that look real.

``python -m scripts.benchmarks.made_compared --out FOLDER`` makes a store of them.
"""

from __future__ import annotations

import argparse
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core import wire
from hpctrack.core.layout import run_folder
from hpctrack.store.node_file import NodeFile
from hpctrack.store.schema import POINT, EventKind, FloatArray
from hpctrack.store.seal import seal_run

PROJECT = "flow-surrogate"
START_WALL_S = 1.75e9
GAP_S = 5400.0
STEP_S = 0.05
FAILED_EVERY, FAILED_FIRST = 9, 5
SEEDS = 4
"""Runs that differ in nothing but their seed."""

METRICS = (
    "train/loss", "train/acc", "val/loss", "val/acc", "grad_norm", "lr", "throughput",
    "step_time_s", "train/aux_loss", "val/f1", "system/gpu_util", "system/gpu_mem_gb",
)  # fmt: skip
WORDS = ("deft", "brisk", "eager", "calm", "quiet", "amber", "bold", "keen")
THINGS = ("ember", "river", "falcon", "comet", "harbor", "maple", "orbit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much there is.

    Parameters
    ----------
    runs, points : int
        Runs, and points of each metric of each.
    metrics : int
        How many of `METRICS`; more are called ``layer/N``.
    seed : int
        Of everything: the same seed makes the same numbers.
    """

    runs: int = 20
    points: int = 100_000
    metrics: int = len(METRICS)
    seed: int = 1


def write_compared(store: Path, shape: Shape, *, project: str = PROJECT) -> list[str]:
    """Write the runs, sealed, and return their ids.

    Parameters
    ----------
    store : Path
    shape : Shape
    project : str, optional
    """
    ids = []
    for number in range(shape.runs):
        run = f"compared-{number:05d}"
        _write_run(store, project, run, number, shape)
        ids.append(run)
    return ids


def metric_names(count: int) -> list[str]:
    """Return the names of so many metrics."""
    return [*METRICS[:count], *(f"layer/{one}" for one in range(count - len(METRICS)))]


def configure(number: int) -> dict[str, Any]:
    """Return the configuration of a run: groups of `SEEDS` runs differ in their seed only."""
    group = number // SEEDS
    return {
        "lr": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2][group % 5],
        "optimizer": ["adamw", "lion"][group % 2],
        "model": {"layers": 6 + 2 * (group % 3)},
        "seed": number % SEEDS,
    }


def make_values(name: str, number: int, steps: int, seed: int) -> FloatArray:
    """Return a curve of a run; the same arguments give the same numbers."""
    draw = np.random.default_rng([seed, number, sum(name.encode())])
    group = number // SEEDS
    x = np.linspace(0, 1, steps)
    fall = np.exp(-x * (6 + group % 5))
    if "loss" in name:
        noise = draw.normal(0, 0.06, steps) * (0.4 + fall)
        return 0.4 + 0.05 * (group % 7) + 3.2 * fall + noise
    if "acc" in name or "f1" in name:
        return 0.9 - 0.03 * (group % 7) - 0.75 * fall + draw.normal(0, 0.012, steps)
    if name == "grad_norm":
        return 0.4 + fall * draw.lognormal(0, 0.5, steps) * 2
    if name == "lr":
        return float(configure(number)["lr"]) * np.minimum(x * 20, 0.5 * (1 + np.cos(np.pi * x)))
    dips = 1 - 0.5 * (draw.random(steps) < 30 / steps) * draw.random(steps)
    return (80 + 3 * (group % 5) + 4 * np.sin(x * 9 + number) + draw.normal(0, 1, steps)) * dips


def _write_run(store: Path, project: str, run: str, number: int, shape: Shape) -> None:
    wall_s = START_WALL_S + number * GAP_S
    names = metric_names(shape.metrics)
    facts = {"run": run, "project": project, "node": 0, "attempt": 1, "host": f"n{number % 4 + 1}"}
    file = NodeFile(run_folder(store, project, run), facts, wall_s=wall_s)
    config = json.dumps(configure(number)).encode()
    file.add_event(EventKind.CONFIG, config, wall_s=wall_s, rank=0, session=0)
    hello = json.dumps(_hello(number, wall_s)).encode()
    file.add_event(EventKind.START, hello, wall_s=wall_s, rank=0, session=0)
    for key, name in enumerate(names):
        body = struct.pack("<I", key) + name.encode()
        file.add_event(EventKind.NAME, body, wall_s=wall_s, rank=-1, session=0)
    draw = np.random.default_rng([shape.seed, number])
    times = wall_s + np.arange(shape.points) * STEP_S + draw.normal(0, 1e-3, shape.points)
    for key, name in enumerate(names):
        rows = np.zeros(shape.points, POINT)
        rows["step"] = np.arange(shape.points)
        rows["wall_s"] = times
        rows["value"] = make_values(name, number, shape.points, shape.seed)
        rows["metric"] = key
        file.add_points(rows.tobytes())
    end = json.dumps({"exit_code": int(number % FAILED_EVERY == FAILED_FIRST)}).encode()
    file.add_event(EventKind.END, end, wall_s=times[-1], rank=0, session=0)
    file.close(wall_s=float(times[-1]), is_durable=False)
    seal_run(file.path.parent)


def _hello(number: int, wall_s: float) -> dict[str, Any]:
    word, thing = WORDS[number % len(WORDS)], THINGS[number * 3 % len(THINGS)]
    return {
        "wire": wire.WIRE_VERSION, "rank": 0, "size": 1, "local_rank": 0, "local_size": 1,
        "node": 0, "attempt": 1, "host": f"n{number % 4 + 1}", "pid": 1000, "launcher": "slurm",
        "name": f"{word}-{thing}-{number + 1}", "user": "bench", "wall_s": wall_s,
    }  # fmt: skip


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--metrics", type=int, default=len(METRICS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    shape = Shape(runs=options.runs, points=options.points, metrics=options.metrics)
    write_compared(options.out, shape)


if __name__ == "__main__":
    main()
