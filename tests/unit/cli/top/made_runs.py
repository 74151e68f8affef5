"""Runs for the screen: written as an agent would, with a clock that stands still."""

from __future__ import annotations

import math
from pathlib import Path

from hpctrack.cli.top.cells import UNICODE, Glyphs, Line
from hpctrack.cli.top.controls import Controls
from hpctrack.cli.top.run_screen import draw_run
from hpctrack.cli.top.screen import Picture, Size
from hpctrack.cli.top.strips import Look
from hpctrack.cli.top.watched import WatchedRun
from hpctrack.store.schema import EventKind
from tests.stores import START_S, FakeClock, NodeWriter

STEPS = 40
GPUS = 2
TERMINAL = Size(80, 24)


def write_live_run(
    store: Path,
    *,
    ranks: int = 4,
    nodes: int = 2,
    run: str = "r",
    user: str = "alice",
    start_s: float = START_S,
) -> list[NodeWriter]:
    """Write a run in which rank 3 is slow; a step a second."""
    writers = []
    per_node = -(-ranks // nodes)
    for node in range(nodes):
        writer = NodeWriter(store, node=node, run=run, wall_s=start_s)
        writers.append(writer)
        mine = range(node * per_node, min(ranks, (node + 1) * per_node))
        for rank in mine:
            writer.start(rank, size=ranks, user=user, job=_job(start_s), wall_s=start_s)
        for gpu in range(GPUS):
            facts = {"memory_total_bytes": 80 * 2**30}
            writer.device(f"GPU-{node}{gpu}", name="H100", facts=facts)
        for step in range(STEPS):
            writer.wall_s = start_s + step
            for rank in mine:
                writer.points("loss", rank, [step], [math.exp(-step / 20) + rank / 100])
                slow = 1.5 if rank == 3 else 1.0
                writer.points("step_time", rank, [step], [0.2 * slow + rank / 1000])
            for gpu in range(GPUS):
                key = f"GPU-{node}{gpu}"
                writer.samples("gpu/util_frac", [0.01 if gpu else 0.9], device=key)
                writer.samples("gpu/memory_used_bytes", [40 * 2**30], device=key)
                writer.samples("gpu/power_w", [300.0 + gpu], device=key)
        alert = {"level": "error", "code": "alert", "title": "loss", "text": "is high"}
        if not node:
            writer.event(EventKind.NOTE, alert)
        writer.flush()
    return writers


def watch(store: Path, *, run: str = "r", now_s: float = START_S + STEPS) -> WatchedRun:
    """Look at the run once."""
    found = WatchedRun(store / "p" / run, clock=FakeClock(now_s).clock(), stale_after_s=1e6)
    found.refresh()
    return found


def draw(
    run: WatchedRun,
    controls: Controls,
    *,
    size: Size = TERMINAL,
    glyphs: Glyphs = UNICODE,
    now_s: float = START_S + STEPS,
) -> Picture:
    """Draw a view of a run."""
    return draw_run(Look(run, controls, now_s, size, glyphs), is_only=False)


def text_of(lines: tuple[Line, ...]) -> list[str]:
    """Return lines as text."""
    return ["".join(text for text, _style in line).rstrip() for line in lines]


def _job(start_s: float) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_START_TIME": str(int(start_s - 1000)),
        "SLURM_JOB_END_TIME": str(int(start_s + 3000)),
    }
