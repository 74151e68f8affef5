"""How fast any window of a metric of 10^8 points is answered, and whether it shows every spike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.layout import run_folder
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from scripts.benchmarks.dashboard_lab import Served, decode, make_row, serve
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.made_runs import (
    PROJECT,
    START_WALL_S,
    STEP_S,
    Shape,
    begin_node,
    iter_rows,
    metric_name,
)
from scripts.benchmarks.rows import Outcome, Row, Target, percentile

RUN = "huge"
WIDTH = 400
SPIKE = 100.0
SEED = 5
ZOOM = 4
"""Of one zoom to the next; from the whole run down to a few points."""

SMALLEST_WINDOW = 10.0
HIDDEN_COLUMNS = 1.5
"""A column is a pixel. Blocks of a pyramid are up to half as wide, and one that lies across an edge
of columns is counted in that of its highest point."""

AT_ONE_ZOOM = 8
"""Spikes that are looked for at every zoom; all of them are at the first two."""


def bench_huge(lab: Lab, *, points: int, spikes: int, windows: int) -> Outcome:
    """Plant one-sample spikes into a long curve, and ask for windows of it over HTTP."""
    outcome = Outcome()
    with lab.place() as place:
        lab.say(f"making a metric of {points:,} points")
        planted = write_huge(place.store, points, spikes)
        with serve(lab, place, place.store) as served:
            outcome.samples["first"] = [_time(served, 0, points)]
            draw = np.random.default_rng(SEED)

            def measure(_name: str) -> dict[str, Any]:
                found = [_time(served, *_choose(draw, points)) for _ in range(windows)]
                took = [one["wall_ms"] for one in found]
                return {
                    "wall_ms": percentile(took, 50),
                    "p95_ms": percentile(took, 95),
                    "worst_ms": max(took),
                    "cpu_ms": percentile([one["cpu_ms"] for one in found], 50),
                }

            outcome.samples.update(lab.interleave(("windows",), measure))
            looked, missed = find_missed(served, planted, points)
    title, found = f"{points:,} points", outcome.samples
    note = f"of {windows} windows a round, from {SMALLEST_WINDOW:g} points to all"
    outcome.rows += [
        make_row(f"{title}, any window: median", found, "windows", "wall_ms", limit=100, note=note),
        make_row(f"{title}, any window: 95th percentile", found, "windows", "p95_ms", limit=100),
        make_row(f"{title}, any window: the slowest", found, "windows", "worst_ms", limit=100),
        make_row(f"{title}: first answer after the server's start", found, "first", "wall_ms"),
        Row(
            what=f"{title}: planted spikes that are not seen",
            value=float(len(missed)),
            unit="spikes",
            target=Target("==", 0),
            note=f"{looked:,} looks at {spikes} spikes, the first missed at {missed[0]}"
            if missed
            else f"{looked:,} looks at {spikes} spikes of one sample, from the whole run down to "
            f"{SMALLEST_WINDOW:g} points, in {WIDTH} columns",
        ),
    ]
    return outcome


def write_huge(store: Path, points: int, spikes: int) -> dict[int, float]:
    """Write a sealed run of one metric, and return its spikes: value by step."""
    steps = np.sort(np.random.default_rng(SEED).choice(points, spikes, replace=False))
    planted = {int(step): SPIKE + number for number, step in enumerate(steps)}
    folder, shape = run_folder(store, PROJECT, RUN), Shape(steps=points)
    file = begin_node(folder, RUN, 0, shape, wall_s=START_WALL_S)
    for rows in iter_rows(0, shape):
        first, last = int(rows["step"][0]), int(rows["step"][-1])
        for step in steps[np.searchsorted(steps, first) : np.searchsorted(steps, last, "right")]:
            rows["value"][step - first] = planted[int(step)]
        file.add_points(rows.tobytes())
    end_s = START_WALL_S + points * STEP_S
    file.add_event(EventKind.END, b'{"exit_code": 0}', wall_s=end_s, rank=0, session=0)
    file.close(wall_s=end_s, is_durable=False)
    seal_run(folder)
    return planted


def find_missed(
    served: Served, planted: dict[int, float], points: int
) -> tuple[int, list[tuple[int, float]]]:
    """Look for spikes at every zoom.

    At a zoom a window holds a spike of a random place in it; what is drawn has to hold the spike's
    step and value, or those of a higher spike that is no further away than `HIDDEN_COLUMNS`.

    Returns
    -------
    looked : int
    missed : list of (int, float)
        Step and width of the window.
    """
    draw = np.random.default_rng(SEED)
    steps = np.array(list(planted))
    looked, missed = 0, []
    width = float(points)
    while width >= SMALLEST_WINDOW:
        few = steps if width * ZOOM > points else draw.choice(steps, min(AT_ONE_ZOOM, len(steps)))
        for step in few.tolist():
            start = min(max(0.0, step - draw.uniform(0, width)), points - width)
            shown = _read_points(served, start, start + width)
            looked += 1
            reach = HIDDEN_COLUMNS * width / WIDTH
            near = [one for one in planted if abs(one - step) <= reach]
            if not any(shown.get(one) == planted[one] >= planted[step] for one in near):
                missed.append((step, width))
        width /= ZOOM
    return looked, missed


def _read_points(served: Served, start: float, end: float) -> dict[int, float]:
    head, arrays = decode(served.ask(*_request(start, end)))
    found = {entry["name"]: one for entry, one in zip(head["arrays"], arrays, strict=True)}
    return dict(zip(found["x"].astype(int).tolist(), found["y"].tolist(), strict=True))


def _request(start: float, end: float) -> tuple[str, dict[str, Any]]:
    asked = {"y": metric_name(0), "runs": [RUN], "x0": start, "x1": end, "width": WIDTH}
    return f"/api/v1/projects/{PROJECT}/series", asked


def _choose(draw: np.random.Generator, points: int) -> tuple[float, float]:
    """Return a window of a random size, all sizes alike, at a random place."""
    width = float(np.exp(draw.uniform(np.log(SMALLEST_WINDOW), np.log(points))))
    start = draw.uniform(0, points - width)
    return start, start + width


def _time(served: Served, start: float, end: float) -> dict[str, float]:
    return served.time(*_request(start, end), repeats=1)
