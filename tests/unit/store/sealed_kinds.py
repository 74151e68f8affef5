"""Sealed files of every kind that the sealer makes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hpctrack.store.parallel_seal import seal_together
from hpctrack.store.repair import repair_run
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.world import World
from tests.stores import NodeWriter, write_run

PYRAMIDS = SealLimits(series_min=100, bucket=4)


def empty(store: Path) -> Path:
    writer = NodeWriter(store)
    writer.end(0, writer.start(0))
    return _seal(writer)


def grid(store: Path) -> Path:
    return _sealed(write_run(store, ranks=8, steps=50))


def few_metrics(store: Path) -> Path:
    return _with_metrics(store, 3)


def leaf_of_metrics(store: Path) -> Path:
    return _with_metrics(store, 45)


def tree_of_metrics(store: Path) -> Path:
    return _with_metrics(store, 150)


def metrics_of_their_own(store: Path) -> Path:
    writer = NodeWriter(store)
    session = writer.start(0)
    for number in range(60):
        steps = range(number, number + 3 + number % 5)
        writer.points(f"layer{number}", 0, steps, [float(step) for step in steps])
    writer.end(0, session)
    return _seal(writer)


def long_series(store: Path) -> Path:
    return _sealed(write_run(store, ranks=1, steps=3000), PYRAMIDS)


def late_points(store: Path) -> Path:
    return _with_steps(store, [step if step % 7 else step - 5 for step in range(500)])


def shuffled_points(store: Path) -> Path:
    steps = list(range(3000))
    random.Random(1).shuffle(steps)
    return _with_steps(store, steps)


def requeued(store: Path) -> Path:
    folder = store
    for attempt in (1, 2):
        writer = NodeWriter(store, attempt=attempt)
        session = writer.start(0)
        for metric in ("loss", "acc"):
            writer.points(metric, 0, range(5 * attempt, 5 * attempt + 10), np.arange(10.0).tolist())
        writer.end(0, session)
        folder = writer.close().parent
    return _sealed(folder)


def media_and_sensors(store: Path) -> Path:
    writer = NodeWriter(store)
    session = writer.start(0)
    writer.device("gpu0")
    for number in range(12):
        writer.samples(f"gpu/s{number}", [1.0, 2.0, 3.0], device="gpu0")
    data = random.Random(2).randbytes(50_000)
    told = {
        "digest": hashlib.sha256(data).hexdigest(),
        "place": int(Place.BLOBS),
        "offset": writer.file.add_bytes(data, Place.BLOBS),
        "size": len(data),
    }
    writer.event(EventKind.PAYLOAD, told, session=session)
    writer.end(0, session)
    return _seal(writer)


def sealed_together(store: Path) -> Path:
    folder = write_run(store, ranks=4, steps=30)
    seal_together(folder, World())
    return folder / "run.h5"


def sealed_again(store: Path) -> Path:
    _sealed(write_run(store, ranks=2, steps=30))
    writer = NodeWriter(store, attempt=2)
    session = writer.start(0)
    writer.points("more", 0, range(10), np.arange(10.0).tolist())
    writer.end(0, session)
    return _seal(writer)


def repaired(store: Path) -> Path:
    folder = write_run(store, ranks=2, steps=5000)
    (path,) = folder.glob("node-*.h5")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)
    repair_run(folder)
    return _sealed(folder)


def long_names(store: Path) -> Path:
    writer = NodeWriter(store, project="p" * 64, run="r" * 64)
    session = writer.start(0)
    writer.points("n" * 100, 0, range(10), np.arange(10.0).tolist())
    writer.end(0, session)
    return _seal(writer)


KINDS: tuple[Callable[[Path], Path], ...] = (
    empty,
    grid,
    few_metrics,
    leaf_of_metrics,
    tree_of_metrics,
    metrics_of_their_own,
    long_series,
    late_points,
    shuffled_points,
    requeued,
    media_and_sensors,
    sealed_together,
    sealed_again,
    repaired,
    long_names,
)


def _with_metrics(store: Path, count: int) -> Path:
    writer = NodeWriter(store)
    session = writer.start(0)
    for number in range(count):
        writer.points(f"layer{number}/norm", 0, range(3), [1.0, 2.0, 3.0])
    writer.end(0, session)
    return _seal(writer)


def _with_steps(store: Path, steps: list[int]) -> Path:
    writer = NodeWriter(store)
    session = writer.start(0)
    writer.points("x", 0, steps, [float(step) for step in steps])
    writer.end(0, session)
    return _sealed(writer.close().parent, PYRAMIDS)


def _seal(writer: NodeWriter) -> Path:
    return _sealed(writer.close().parent)


def _sealed(folder: Path, limits: SealLimits | None = None) -> Path:
    return seal_run(folder, force=True, limits=limits or SealLimits()).path
