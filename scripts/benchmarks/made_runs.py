"""Runs of any size, written straight through `NodeFile`: no rank, no agent, the true format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core import wire
from hpctrack.core.layout import run_folder
from hpctrack.store.node_file import NodeFile
from hpctrack.store.schema import POINT, EventKind, FloatArray

START_WALL_S = 1.7e9
PROJECT = "bench"
BATCH_POINTS = 100_000
STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a run is.

    Parameters
    ----------
    nodes, ranks : int
        Nodes, and ranks on each.
    steps : int
        Of every rank.
    metrics : int
        Points of a rank at a step.
    value_type : {"f4", "f8"}
        What the numbers were before they became the 64 bits of a point.
    seed : int
        Of the noise.
    """

    nodes: int = 1
    ranks: int = 1
    steps: int = 1
    metrics: int = 1
    value_type: str = "f4"
    seed: int = 0

    @property
    def size(self) -> int:
        """Ranks of all nodes."""
        return self.nodes * self.ranks

    @property
    def points(self) -> int:
        """Points of the whole run."""
        return self.size * self.steps * self.metrics


def write_run(store: Path, run: str, shape: Shape, *, is_over: bool = True) -> Path:
    """Write a run and return its folder.

    Rows stand as an agent gets them: step after step, all ranks of a node, all metrics of a rank.
    Values are the reference noisy curve, times 50 ms apart with a jitter of 1 ms.

    Parameters
    ----------
    is_over : bool
        False leaves the files as those of a run whose ranks are at work: no farewell.
    """
    folder = run_folder(store, PROJECT, run)
    for node in range(shape.nodes):
        _write_node(folder, run, node, shape, is_over=is_over)
    return folder


def _write_node(folder: Path, run: str, node: int, shape: Shape, *, is_over: bool) -> None:
    file = begin_node(folder, run, node, shape, wall_s=START_WALL_S)
    for rows in iter_rows(node, shape):
        file.add_points(rows.tobytes())
    if is_over:
        for local in range(shape.ranks):
            _add(file, EventKind.END, {"exit_code": 0}, node * shape.ranks + local, local)
        file.close(wall_s=START_WALL_S + shape.steps * STEP_S)
    else:
        file.flush(wall_s=START_WALL_S + shape.steps * STEP_S)


def begin_node(folder: Path, run: str, node: int, shape: Shape, *, wall_s: float) -> NodeFile:
    """Begin a node's file: its ranks have said hello and named their metrics."""
    facts = {"run": run, "project": PROJECT, "node": node, "attempt": 1, "host": f"n{node + 1}"}
    file = NodeFile(folder, facts, wall_s=wall_s)
    if node == 0:
        config = {"lr": 0.1, "net": {"layers": 3, "width": 64}, "seed": 1}
        _add(file, EventKind.CONFIG, config, 0, 0)
    for local in range(shape.ranks):
        hello = _hello(node, local, shape)
        _add(file, EventKind.START, hello, node * shape.ranks + local, local)
    for metric in range(shape.metrics):
        body = struct.pack("<I", metric) + metric_name(metric).encode()
        file.add_event(EventKind.NAME, body, wall_s=START_WALL_S, rank=-1, session=0)
    return file


def _add(file: NodeFile, kind: EventKind, value: dict[str, Any], rank: int, session: int) -> None:
    body = json.dumps(value).encode()
    file.add_event(kind, body, wall_s=START_WALL_S, rank=rank, session=session)


def metric_name(number: int) -> str:
    """Return the name of a metric of a made run."""
    return "loss" if number == 0 else f"metric-{number}"


def _hello(node: int, local: int, shape: Shape) -> dict[str, Any]:
    return {
        "wire": wire.WIRE_VERSION,
        "rank": node * shape.ranks + local,
        "size": shape.size,
        "local_rank": local,
        "local_size": shape.ranks,
        "node": node,
        "attempt": 1,
        "host": f"n{node + 1}",
        "pid": 1000 + local,
        "launcher": "slurm",
        "name": "made-run-1",
        "user": "bench",
        "wall_s": START_WALL_S,
    }


def iter_rows(node: int, shape: Shape) -> Iterator[np.ndarray[Any, Any]]:
    """Yield a node's points in batches of whole steps."""
    draw = np.random.default_rng(node + shape.seed)
    a_step = shape.ranks * shape.metrics
    steps = max(1, BATCH_POINTS // a_step)
    ranks = np.repeat(np.arange(shape.ranks) + node * shape.ranks, shape.metrics)
    for first in range(0, shape.steps, steps):
        count = min(steps, shape.steps - first)
        step = np.repeat(np.arange(first, first + count), a_step)
        rows = np.empty(len(step), POINT)
        rows["step"] = step
        rows["wall_s"] = START_WALL_S + step * STEP_S + draw.normal(0, 1e-3, len(step))
        rows["value"] = noisy_curve(step, draw, shape.value_type)
        rows["rank"] = np.tile(ranks, count)
        rows["metric"] = np.tile(np.arange(shape.metrics), shape.ranks * count)
        yield rows


def noisy_curve(
    step: np.ndarray[Any, Any], draw: np.random.Generator, value_type: str
) -> FloatArray:
    """Return the reference curve: a loss that falls, with noise, as a training prints it."""
    values = 2.0 * np.exp(-step / 2e5) + 0.3 + draw.normal(0, 0.05, len(step))
    return values.astype(value_type).astype(np.float64)
