"""Read one metric back the way each tracker offers it, and say how long that took."""

from __future__ import annotations

import importlib
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.benchmarks.programs.entry import answer

METRIC = "loss"


def _read_struct(folder: Path) -> list[int]:
    rows = struct.Struct("<qddH").iter_unpack((folder / "run.bin").read_bytes())
    return [row[0] for row in rows]


def _read_hpctrack(folder: Path) -> list[int]:
    steps: list[int] = []
    for run in importlib.import_module("hpctrack").Store(folder).runs():
        if METRIC in run.metrics():
            steps += run.metric(METRIC).steps.tolist()
        run.close()
    return steps


def _read_wandb(folder: Path) -> list[int]:
    records = importlib.import_module("wandb.proto.wandb_internal_pb2")
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    found = []
    for data in _iter_leveldb_records(path.read_bytes()[WANDB_HEAD_BYTES:]):
        record = records.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            keys = {item.key or ".".join(item.nested_key) for item in record.history.item}
            if METRIC in keys:
                found.append(int(record.history.step.num))
    return found


WANDB_HEAD_BYTES = 7
BLOCK_BYTES = 32768
RECORD_HEAD = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
"""The log of LevelDB, which wandb's file is behind its own seven bytes."""


def _iter_leveldb_records(rest: bytes) -> Iterator[bytes]:
    """Yield what is whole: wandb has had no reader in Python since its service is a program."""
    at, parts = 0, b""
    while at + RECORD_HEAD.size <= len(rest):
        left = BLOCK_BYTES - (at + WANDB_HEAD_BYTES) % BLOCK_BYTES
        if left < RECORD_HEAD.size:
            at += left
            continue
        _crc, size, kind = RECORD_HEAD.unpack_from(rest, at)
        at += RECORD_HEAD.size
        if kind not in {FULL, FIRST, MIDDLE, LAST} or at + size > len(rest):
            return
        parts = rest[at : at + size] if kind in {FULL, FIRST} else parts + rest[at : at + size]
        at += size
        if kind in {FULL, LAST}:
            yield parts


def _read_trackio(folder: Path) -> list[int]:
    """Read the table itself: trackio's own reader needs its server's packages."""
    (path,) = folder.glob("*.db")
    with sqlite3.connect(path) as base:
        tables = {row[0] for row in base.execute("select name from sqlite_master")}
        if "metrics" not in tables:
            return []
        return [row[0] for row in base.execute("select step from metrics order by id")]


def _iter_events(folder: Path) -> Iterator[Any]:
    module = "tensorboard.backend.event_processing.event_file_loader"
    loader = importlib.import_module(module).EventFileLoader
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        yield from loader(str(path)).Load()


def _read_tensorboard(folder: Path) -> list[int]:
    return [
        int(event.step)
        for event in _iter_events(folder)
        for value in event.summary.value
        if value.tag == METRIC
    ]


def _read_mlflow(folder: Path) -> list[int]:
    (path,) = folder.glob(f"mlruns/*/*/metrics/{METRIC}")
    return [int(line.split()[2]) for line in path.read_text().splitlines() if line]


READERS: dict[str, Callable[[Path], list[int]]] = {
    "struct": _read_struct,
    "hpctrack": _read_hpctrack,
    "wandb": _read_wandb,
    "trackio": _read_trackio,
    "tensorboard": _read_tensorboard,
    "tensorboardX": _read_tensorboard,
    "torch": _read_tensorboard,
    "mlflow": _read_mlflow,
}


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Read the steps of the metric, oldest first, and time it, imports included."""
    wall_s = time.perf_counter()
    steps = READERS[told["tool"]](Path(told["folder"]))
    wall_s = time.perf_counter() - wall_s
    return {
        "points": len(steps),
        "newest": max(steps, default=-1),
        "holes": max(steps, default=-1) + 1 - len(set(steps)),
        "wall_ms": wall_s * 1e3,
    }


if __name__ == "__main__":
    answer(main)
