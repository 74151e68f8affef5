"""Stores with runs that differ in a few parameters and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpctrack.store.schema import EventKind
from tests.stores import NodeWriter


def write_seeded(
    store: Path,
    run: str,
    config: Mapping[str, Any],
    curve: Sequence[float],
    *,
    project: str = "p",
    metric: str = "val/acc",
) -> None:
    """Write a finished run with a curve of one metric, whose last value is in its summary."""
    writer = NodeWriter(store, project=project, run=run)
    session = writer.start(0, name=run)
    writer.event(EventKind.CONFIG, config)
    if curve:
        writer.points(metric, 0, range(len(curve)), curve)
        writer.event(EventKind.SUMMARY, {metric: curve[-1]})
    writer.end(0, session)
    writer.close()


def write_groups(store: Path, groups: Mapping[str, Sequence[float]], *, project: str = "p") -> None:
    """Write a run for each final value; groups differ in ``config.optimizer``, runs in the seed."""
    for name, values in groups.items():
        for seed, value in enumerate(values):
            config = {"optimizer": name, "lr": 0.1, "seed": seed}
            curve = [value / 2, value + 0.01, value]
            write_seeded(store, f"{abs(hash_name(name))}-{seed}", config, curve, project=project)


def hash_name(name: str) -> int:
    """Return a number that is the same in every process."""
    return sum((at + 1) * ord(letter) for at, letter in enumerate(name[:200]))
