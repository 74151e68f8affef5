"""Stores to be sent: many small runs, one large one, and what shows whether a copy is whole."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.layout import SEALED_NAME, run_folder
from hpctrack.store.node_file import NodeFile
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from scripts.benchmarks.bench_list import write_small_run
from scripts.benchmarks.lab import Lab, end_process
from scripts.benchmarks.lab import Place as LabPlace
from scripts.benchmarks.made_runs import PROJECT, START_WALL_S, Shape, write_run
from scripts.benchmarks.made_small import write_small

PARTS = 2
"""Processes that write a store side by side."""

MIB = 1024 * 1024
BLOB_BYTES = 16 * MIB
POINTS_PER_MIB = MIB / 5.2
"""A point of the reference curve takes 5.2 bytes in a sealed file."""

CHECKED = 20
"""Files of a copy that are compared by hash; of the others name and size."""


def make_store(lab: Lab, place: LabPlace, store: Path, kind: str, **sizes: float) -> None:
    """Write a store by processes of its own, so that the benchmark's own memory stays small.

    Parameters
    ----------
    kind : str
        Of `KINDS`.
    sizes : float
        What its function takes.
    """
    module = "scripts.benchmarks.programs.make_store"
    makers = []
    for part in range(PARTS):
        told = {"store": str(store), "kind": kind, "part": part, "parts": PARTS, "sizes": sizes}
        told["out"] = str(place.folder / f"made-{part}.json")
        command = [lab.python(), "-P", "-m", module, json.dumps(told)]
        makers.append(lab.start(place, command))
    try:
        codes = [maker.wait() for maker in makers]
    finally:
        for maker in makers:
            end_process(maker)
    if any(codes):
        raise RuntimeError(f"no store was made: {lab.last_words(place, max(codes))}")


def write_incompressible(store: Path, *, part: int, parts: int, mib: int) -> None:
    """Write one run whose media are random bytes: nothing that a compressor could gain from."""
    del parts
    if part:
        return
    folder = run_folder(store, PROJECT, "noise")
    facts = {"run": "noise", "project": PROJECT, "node": 0, "attempt": 1, "host": "n1"}
    file = NodeFile(folder, facts, wall_s=START_WALL_S)
    draw = np.random.default_rng(1)
    for start in range(0, mib * MIB, BLOB_BYTES):
        body = draw.bytes(min(BLOB_BYTES, mib * MIB - start))
        offset = file.add_bytes(body, Place.BLOBS)
        where = {"digest": hashlib.sha256(body).hexdigest(), "place": int(Place.BLOBS)}
        where |= {"offset": offset, "size": len(body)}
        _add_event(file, EventKind.PAYLOAD, where)
        media = {"key": "noise", "step": start, "type": "file", "format": "bin", "meta": {}}
        _add_event(file, EventKind.MEDIA, media | {"digest": where["digest"], "size": len(body)})
    file.close(wall_s=START_WALL_S, is_durable=False)
    seal_run(folder)


def write_metrics(store: Path, *, part: int, parts: int, files: int, mib: float) -> None:
    """Write runs of one rank that logged the reference noisy curve, four metrics of it.

    Parameters
    ----------
    files : int
        Runs.
    mib : float
        Of each, sealed.
    """
    steps = max(1, int(mib * POINTS_PER_MIB / 4))
    for number in range(part, files, parts):
        shape = Shape(steps=steps, metrics=4, seed=number)
        seal_run(write_run(store, f"curve-{number:03d}", shape))


KINDS: dict[str, Callable[..., None]] = {
    "small": write_small,
    "incompressible": write_incompressible,
    "metrics": write_metrics,
}
"""What a store can be made of."""


def _add_event(file: NodeFile, kind: EventKind, value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    file.add_event(kind, body, wall_s=START_WALL_S, rank=0, session=0)


def copy_runs(store: Path, *, runs: int) -> None:
    """Make a store of many runs out of one: copies that differ in a few bytes behind the end.

    What is in them is not the run that the folder's name says; a negotiation does not look.
    """
    original = (write_small_run(store.parent / "original", 0) / SEALED_NAME).read_bytes()
    for number in range(runs):
        folder = run_folder(store, f"project-{number % 10}", f"run-{number:06d}")
        folder.mkdir(parents=True)
        (folder / SEALED_NAME).write_bytes(original + number.to_bytes(8, "little"))


def link_store(store: Path, copy: Path) -> None:
    """Make a second store of the same files."""
    subprocess.run(["cp", "-al", "--", str(store), str(copy)], check=True)


def list_sealed(store: Path) -> dict[str, int]:
    """Return the size of every sealed file, by its name in the store."""
    return {
        str(path.relative_to(store)): path.stat().st_size
        for path in sorted(store.glob(f"*/*/{SEALED_NAME}"))
    }


def compare_stores(source: Path, target: Path) -> str:
    """Say how a copy differs from its original, or nothing."""
    ours, theirs = list_sealed(source), list_sealed(target)
    if ours != theirs:
        wrong = [name for name in ours if theirs.get(name) != ours[name]]
        return f"WRONG: {len(wrong)} of {len(ours)} runs are not there or not whole: {wrong[:1]}"
    draw = random.Random(1)  # noqa: S311 - a sample, no secret
    for name in draw.sample(sorted(ours), min(CHECKED, len(ours))):
        if _digest(source / name) != _digest(target / name):
            return f"WRONG: {name} differs"
    return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forget(store: Path) -> None:
    """Remove what sync remembers of a store: the next push is its first."""
    for path in store.glob(".*"):
        if path.is_file():
            path.unlink()


def remove(folder: Path) -> None:
    """Remove a store, by a program: 5,000 folders take Python a second."""
    subprocess.run(["rm", "-rf", "--", str(folder)], check=True)


def sum_bytes(paths: Iterable[Path]) -> int:
    """Return the size of files together."""
    return sum(path.stat().st_size for path in paths)
