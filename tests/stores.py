"""Stores written without the code under test's own client: straight through the node file."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core import wire
from hpctrack.core.clock import Clock
from hpctrack.core.layout import run_folder
from hpctrack.store.node_file import NodeFile
from hpctrack.store.schema import POINT, SAMPLE, EventKind

START_S = 1_000_000.0


@dataclass
class FakeClock:
    """A clock that moves when told to."""

    now_s: float = START_S

    def clock(self) -> Clock:
        return Clock(wall_s=lambda: self.now_s, mono_s=lambda: self.now_s)


def hello(rank: int, **more: Any) -> dict[str, Any]:
    """Return what a rank says of itself."""
    return {
        "wire": wire.WIRE_VERSION,
        "rank": rank,
        "size": 1,
        "local_rank": rank,
        "local_size": 1,
        "node": 0,
        "attempt": 1,
        "host": "n1",
        "pid": 1000 + rank,
        "launcher": "slurm",
        "name": "calm-lake-1",
        "user": "alice",
        **more,
    }


@dataclass
class NodeWriter:
    """Writes one node file as an agent would."""

    store: Path
    project: str = "p"
    run: str = "r"
    node: int = 0
    attempt: int = 1
    wall_s: float = START_S
    host: str = ""
    names: dict[str, int] = field(default_factory=dict)
    sensors: dict[str, int] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    sessions: int = 0

    def __post_init__(self) -> None:
        self.host = self.host or f"n{self.node + 1}"
        facts = {
            "run": self.run,
            "project": self.project,
            "node": self.node,
            "attempt": self.attempt,
            "host": self.host,
        }
        folder = run_folder(self.store, self.project, self.run)
        self.file = NodeFile(folder, facts, wall_s=self.wall_s)

    def event(
        self, kind: EventKind, value: Mapping[str, Any], *, rank: int = 0, session: int = 0
    ) -> None:
        body = json.dumps(value).encode()
        self.file.add_event(kind, body, wall_s=self.wall_s, rank=rank, session=session)

    def start(self, rank: int, **more: Any) -> int:
        session = self.sessions
        self.sessions += 1
        said = {
            **hello(rank, node=self.node, attempt=self.attempt, host=self.host),
            **more,
        }
        self.event(EventKind.START, said, rank=rank, session=session)
        return session

    def end(self, rank: int, session: int, exit_code: int | None = 0) -> None:
        if exit_code is None:
            self.event(EventKind.LOST, {}, rank=rank, session=session)
        else:
            self.event(EventKind.END, {"exit_code": exit_code}, rank=rank, session=session)

    def number(self, metric: str, rank: int = 0) -> int:
        """Return the file's number for a metric; the first time it is named in the file."""
        if metric not in self.names:
            self.names[metric] = len(self.names)
            body = struct.pack("<I", self.names[metric]) + metric.encode()
            self.file.add_event(EventKind.NAME, body, wall_s=self.wall_s, rank=rank, session=0)
        return self.names[metric]

    def table(
        self, metric: str, ranks: Sequence[int], values: np.ndarray, wall_s: np.ndarray
    ) -> None:
        """Write ranks x steps at once, step by step as an agent gets them."""
        count, steps = values.shape
        rows = np.zeros((steps, count), POINT)
        rows["step"] = np.arange(steps)[:, np.newaxis]
        rows["wall_s"] = wall_s[:, np.newaxis]
        rows["value"] = values.T
        rows["metric"] = self.number(metric, ranks[0])
        rows["rank"] = ranks
        self.file.add_points(rows.tobytes())

    def points(self, metric: str, rank: int, steps: Sequence[int], values: Sequence[float]) -> None:
        self.number(metric, rank)
        pack = struct.Struct("<qddII").pack
        self.file.add_points(
            b"".join(
                pack(step, self.wall_s, value, self.names[metric], rank)
                for step, value in zip(steps, values, strict=True)
            )
        )

    def device(self, key: str, **more: Any) -> None:
        """Describe a device of the node, which gets the next number."""
        self.devices[key] = len(self.devices)
        told = {"number": self.devices[key], "key": key, "kind": "gpu", **more}
        self.event(EventKind.DEVICE, told, rank=-1, session=2**31)

    def samples(
        self,
        sensor: str,
        values: Sequence[float],
        *,
        device: str = "",
        rank: int = -1,
        every_s: float = 1.0,
    ) -> None:
        """Write samples, the first of them now."""
        if sensor not in self.sensors:
            self.sensors[sensor] = len(self.sensors)
            told = {"number": self.sensors[sensor], "name": sensor}
            self.event(EventKind.SENSOR, told, rank=-1, session=2**31)
        rows = np.zeros(len(values), SAMPLE)
        rows["wall_s"] = self.wall_s + every_s * np.arange(len(values))
        rows["value"], rows["metric"] = values, self.sensors[sensor]
        rows["device"], rows["rank"] = self.devices.get(device, -1), rank
        self.file.add_samples(rows.tobytes())

    def flush(self) -> None:
        self.file.flush(wall_s=self.wall_s)

    def close(self) -> Path:
        self.file.close(wall_s=self.wall_s)
        return self.file.path


def write_run(
    store: Path, *, run: str = "r", ranks: int = 2, steps: int = 5, project: str = "p"
) -> Path:
    """Write a finished run of one node; value is rank + step / 100. Return its folder."""
    writer = NodeWriter(store, project=project, run=run)
    writer.event(EventKind.CONFIG, {"lr": 0.1, "net": {"layers": 3}})
    for rank in range(ranks):
        session = writer.start(rank, size=ranks, local_size=ranks)
        values = [rank + step / 100 for step in range(steps)]
        writer.points("loss", rank, range(steps), values)
        writer.end(rank, session)
    return writer.close().parent
