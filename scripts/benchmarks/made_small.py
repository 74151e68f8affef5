"""Many short runs that are as real ones are: one is logged, and others are written like it."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import hpctrack
from hpctrack.core.layout import run_folder
from hpctrack.store.node_file import NewEvent, NodeFile
from hpctrack.store.schema import PLACE_TABLES, POINT, SAMPLE, EventKind, Place
from hpctrack.store.seal import seal_run

STEPS, METRICS, PROJECTS = 50, 5, 10
CLOSED_TIMEOUT_S = 60.0


def write_small(store: Path, *, part: int, parts: int, runs: int) -> None:
    """Write short runs, sealed: 50 steps of 5 metrics, and whatever a real run has beside them.

    The first is logged through client and agent, with what it was made of and samples of its node,
    and its node file is read. The others get node files with the same events and samples, and
    names, configurations, times and values of their own: a tenth of the time.
    """
    scratch = store.parent / f"model-{part}"
    model = _log_run(scratch)
    for number in range(part, runs, parts):
        _write_like(model, store, number)
    shutil.rmtree(scratch)


def _log_run(store: Path) -> Path:
    """Log a run and return its node file when the agent has left it."""
    run = hpctrack.init("model", dir=store, config=_configure(0), settings={"seal": "manual"})
    for step in range(STEPS):
        run.log({f"metric-{one}": math.sin(step + one) for one in range(METRICS)}, step)
    run.finish()
    deadline_s = time.monotonic() + CLOSED_TIMEOUT_S
    while True:
        for path in run_folder(store, "model", run.id).glob("node-*.h5"):
            with h5py.File(path, "r", swmr=True, libver="latest", locking=False) as file:
                if file["pulse"][1]:
                    return path
        if time.monotonic() > deadline_s:
            raise TimeoutError("the run's agent does not close its file")
        time.sleep(0.05)


def _configure(number: int) -> dict[str, Any]:
    return {"lr": 0.1 / (number + 1), "seed": number, "net": {"layers": number % 7}}


def _write_like(model: Path, store: Path, number: int) -> None:
    project, run = f"project-{number % PROJECTS}", f"run-{number:06d}"
    with h5py.File(model, "r", swmr=True, libver="latest", locking=False) as file:
        facts = {key: file.attrs[key] for key in ("node", "attempt", "host")}
        wall_s = float(file.attrs["created_wall_s"]) + number
        events = list(_iter_events(file, number))
        points, samples = np.array(file["points"], POINT), np.array(file["samples"], SAMPLE)
    draw = np.random.default_rng(number)
    points["value"] += draw.normal(0, 0.05, len(points)).astype("f4")
    points["wall_s"] += number + draw.normal(0, 1e-4, len(points))
    samples["wall_s"] += number
    copy = NodeFile(
        run_folder(store, project, run), {"project": project, "run": run, **facts}, wall_s=wall_s
    )
    copy.add_events(events)
    copy.add_points(points.tobytes())
    copy.add_samples(samples.tobytes())
    copy.close(wall_s=wall_s + 1, is_durable=False)
    seal_run(copy.path.parent)


def _iter_events(file: Any, number: int) -> Iterator[NewEvent]:
    """Yield a file's events as those of another run."""
    bodies = {place: np.array(file[name]).tobytes() for place, name in PLACE_TABLES.items()}
    for row in np.array(file["events"]):
        place, start = Place(int(row["flags"])), int(row["offset"])
        body = bodies[place][start : start + int(row["size"])]
        if row["kind"] == EventKind.START:
            body = json.dumps(json.loads(body) | {"name": f"calm-lake-{number}"}).encode()
        if row["kind"] == EventKind.CONFIG:
            body = json.dumps(_configure(number)).encode()
        wall_s, rank, session = float(row["wall_s"]), int(row["rank"]), int(row["session"])
        yield NewEvent(int(row["kind"]), body, wall_s + number, rank, session, place)
