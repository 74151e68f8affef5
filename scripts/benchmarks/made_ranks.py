"""Runs of many ranks for the rank heat map: a slow node, spikes of one cell, telemetry. Seeded.

``PYTHONPATH=.:server python -m scripts.benchmarks.made_ranks --out /tmp/ranks`` makes 1,024 ranks x
100,000 steps: 102 million points, 340 MB sealed, 29 s and 190 MB of memory.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core import wire
from hpctrack.core.layout import run_folder
from hpctrack.store.node_file import NodeFile
from hpctrack.store.schema import POINT, SAMPLE, EventKind
from hpctrack.store.seal import seal_run
from scripts.benchmarks.made_runs import PROJECT, START_WALL_S

AGENT_SESSION = 2**31
METRIC = "step_time"
TYPICAL_S = 0.18
SAMPLE_EVERY_S = 10.0
SENSORS = ("gpu/util_frac", "gpu/power_w", "gpu/memory_used_bytes", "gpu/temp_c")
BATCH_STEPS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class RankShape:
    """How large a run is, and what is wrong with it.

    Parameters
    ----------
    nodes, ranks : int
        Nodes, and ranks on each; a rank has a GPU.
    steps : int
        Of every rank.
    seed : int
    spikes : int
        Steps of one rank that take 30 times as long.
    slow_node : int
        Takes 25 % longer from two fifths of the steps on; -1 for none.
    telemetry : bool
    """

    nodes: int = 128
    ranks: int = 8
    steps: int = 100_000
    seed: int = 7
    spikes: int = 40
    slow_node: int = 69
    telemetry: bool = True

    @property
    def size(self) -> int:
        """Ranks of all nodes."""
        return self.nodes * self.ranks


def place_spikes(shape: RankShape) -> dict[tuple[int, int], float]:
    """Return the planted spikes: seconds by rank and step."""
    draw = np.random.default_rng(shape.seed)
    ranks = draw.integers(0, shape.size, shape.spikes).tolist()
    steps = draw.integers(0, shape.steps, shape.spikes).tolist()
    return {
        (rank, step): float(np.float32(30 * TYPICAL_S + number))
        for number, (rank, step) in enumerate(zip(ranks, steps, strict=True))
    }


def write_ranks(store: Path, run: str, shape: RankShape, *, is_sealed: bool = True) -> Path:
    """Write a run whose ranks log `METRIC` at every step, and return its folder."""
    folder = run_folder(store, PROJECT, run)
    spikes = place_spikes(shape)
    for node in range(shape.nodes):
        _write_node(folder, run, node, shape, spikes)
    if is_sealed:
        seal_run(folder)
    return folder


def _write_node(
    folder: Path, run: str, node: int, shape: RankShape, spikes: dict[tuple[int, int], float]
) -> None:
    host = f"node{node + 1:03d}"
    facts = {"run": run, "project": PROJECT, "node": node, "attempt": 1, "host": host}
    file = NodeFile(folder, facts, wall_s=START_WALL_S)
    ranks = range(node * shape.ranks, (node + 1) * shape.ranks)
    for local, rank in enumerate(ranks):
        _tell(file, EventKind.START, _hello(host, node, local, shape), rank, local)
    body = struct.pack("<I", 0) + METRIC.encode()
    file.add_event(EventKind.NAME, body, wall_s=START_WALL_S, rank=-1, session=0)
    for rows in iter_rows(node, shape, spikes):
        file.add_points(rows.tobytes())
    if shape.telemetry:
        _write_samples(file, node, shape)
    end_s = START_WALL_S + shape.steps * TYPICAL_S
    for local, rank in enumerate(ranks):
        body = json.dumps({"exit_code": 0}).encode()
        file.add_event(EventKind.END, body, wall_s=end_s, rank=rank, session=local)
    file.close(wall_s=end_s)


def iter_rows(
    node: int, shape: RankShape, spikes: dict[tuple[int, int], float]
) -> Iterator[np.ndarray[Any, Any]]:
    """Yield a node's points: step after step, all of its ranks."""
    draw = np.random.default_rng((shape.seed, node))
    mine = {key: one for key, one in spikes.items() if key[0] // shape.ranks == node}
    ranks = np.arange(shape.ranks) + node * shape.ranks
    for first in range(0, shape.steps, BATCH_STEPS):
        count = min(BATCH_STEPS, shape.steps - first)
        step = np.arange(first, first + count)
        taken = TYPICAL_S * draw.lognormal(0, 0.06, (count, shape.ranks))
        taken *= 1 + 0.02 * np.sin(step / 3000)[:, np.newaxis]
        if node == shape.slow_node:
            taken[step >= shape.steps * 2 // 5] *= 1.25
        for (rank, at), value in mine.items():
            if first <= at < first + count:
                taken[at - first, rank - node * shape.ranks] = value
        rows = np.empty((count, shape.ranks), POINT)
        rows["step"] = step[:, np.newaxis]
        rows["wall_s"] = START_WALL_S + step[:, np.newaxis] * TYPICAL_S
        rows["value"] = taken.astype("f4")
        rows["metric"], rows["rank"] = 0, ranks
        yield rows.reshape(-1)


def _write_samples(file: NodeFile, node: int, shape: RankShape) -> None:
    draw = np.random.default_rng((shape.seed, node, 1))
    count = max(2, int(shape.steps * TYPICAL_S / SAMPLE_EVERY_S))
    for local in range(shape.ranks):
        told = {
            "number": local, "key": f"GPU-{node:04d}-{local}", "kind": "gpu",
            "name": f"H100 {local}", "ranks": [node * shape.ranks + local],
            "facts": {"power_limit_w": 700, "memory_total_bytes": 80 * 2**30},
        }  # fmt: skip
        _tell(file, EventKind.DEVICE, told, -1, AGENT_SESSION)
    slow = node == shape.slow_node
    levels = {
        "gpu/util_frac": (0.93, 0.03), "gpu/power_w": (610.0 if not slow else 420.0, 25.0),
        "gpu/memory_used_bytes": (61e9, 1e8), "gpu/temp_c": (61.0 if not slow else 84.0, 1.5),
    }  # fmt: skip
    for number, name in enumerate(SENSORS):
        _tell(file, EventKind.SENSOR, {"number": number, "name": name}, -1, AGENT_SESSION)
        level, noise = levels[name]
        rows = np.zeros((count, shape.ranks), SAMPLE)
        rows["wall_s"] = START_WALL_S + SAMPLE_EVERY_S * np.arange(count)[:, np.newaxis]
        rows["value"] = level + noise * draw.normal(0, 1, (count, shape.ranks))
        rows["metric"], rows["device"], rows["rank"] = number, np.arange(shape.ranks), -1
        file.add_samples(rows.reshape(-1).tobytes())


def _tell(file: NodeFile, kind: EventKind, value: dict[str, Any], rank: int, session: int) -> None:
    body = json.dumps(value).encode()
    file.add_event(kind, body, wall_s=START_WALL_S, rank=rank, session=session)


def _hello(host: str, node: int, local: int, shape: RankShape) -> dict[str, Any]:
    return {
        "wire": wire.WIRE_VERSION, "rank": node * shape.ranks + local, "size": shape.size,
        "local_rank": local, "local_size": shape.ranks, "node": node, "attempt": 1, "host": host,
        "pid": 1000 + local, "launcher": "slurm", "name": "many-ranks-1", "user": "bench",
        "wall_s": START_WALL_S, "gpu": str(local),
    }  # fmt: skip


def main() -> None:
    """Read the command line and write one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the store")
    parser.add_argument("--run", default="many-ranks")
    parser.add_argument("--nodes", type=int, default=128)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    shape = RankShape(
        nodes=options.nodes, ranks=options.ranks, steps=options.steps, seed=options.seed
    )
    begun_s = time.monotonic()
    folder = write_ranks(options.out, options.run, shape)
    sys.stdout.write(f"{folder}: {time.monotonic() - begun_s:.0f} s\n")


if __name__ == "__main__":
    main()
