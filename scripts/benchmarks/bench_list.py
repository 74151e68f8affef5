"""What a store of many runs costs: the list, by the index and without it."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core import wire
from hpctrack.core.layout import run_folder
from hpctrack.store.node_file import NodeFile
from hpctrack.store.schema import POINT, EventKind
from hpctrack.store.seal import seal_run
from scripts.benchmarks.bench_store import time_command
from scripts.benchmarks.lab import OURS, Case, Lab, Place
from scripts.benchmarks.rows import Outcome, Row, Target, find_error, median, show_number

START_WALL_S = 1.7e9
METRICS = ("loss", "val/loss", "val/accuracy")


def bench_list(lab: Lab, *, runs: int) -> Outcome:
    """Measure listing many sealed runs with the configuration and summary of each.

    In a fresh process, hpctrack loaded: ``Store(path).runs()`` and every run's ``config`` and
    ``summary``. *Rebuild* is the first listing of a store whose index is missing: whatever lies at
    the store's top and was not there when the runs had been made is removed before it, and the
    home is empty. *Warm* are the listings after it, each in a process of its own.
    ``hpctrack ls --json`` is the whole command, the interpreter's start included.
    """
    rebuilt, warm, command = [], [], []
    with lab.place() as place:
        lab.say(f"making {runs:,} sealed runs")
        for number in range(runs):
            write_small_run(place.store, number)
        _forget_index(place)
        for number in range(lab.rounds):
            lab.say(f"listing, round {number + 1} of {lab.rounds}")
            if number < REBUILDS:
                _forget_index(place)
                rebuilt.append(_list(lab, place))
            warm.append(_list(lab, place))
            command.append(time_command(lab, place, ["ls", "--json"]))
    rows = [
        _list_row(f"list {runs:,} sealed runs, warm", warm, Target("<=", 0.5), runs),
        _list_row("the first listing, which rebuilds the index", rebuilt, Target("<=", 15), runs),
        _list_row("`hpctrack ls --json`, the whole command, warm", command, None, None),
    ]
    return Outcome(rows, {"warm": warm, "rebuilt": rebuilt, "ls": command})


REBUILDS = 2
"""Rebuilding takes seconds; the rounds after these only list."""


def _list(lab: Lab, place: Place) -> dict[str, Any]:
    case = Case(OURS, "read_ours", {"what": "list", "times": 1})
    return lab.run(case, place=place)


def _list_row(
    what: str, found: list[dict[str, Any]], target: Target | None, runs: int | None
) -> Row:
    value_ms, counts = median(found, "first_ms"), {one.get("items") for one in found}
    note = f"CPU {show_number(median(found, 'cpu_ms'))} ms"
    if runs is not None and counts != {runs}:
        note = f"WRONG: {counts} runs instead of {runs}; {note}"
    return Row(
        what=what,
        value=value_ms / 1e3 if value_ms is not None else None,
        unit="s",
        target=target,
        note=find_error(found) or note,
    )


def _forget_index(place: Place) -> None:
    """Remove everything that is no project of the store, and what was kept for the user."""
    for path in place.store.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    home = place.folder / "home"
    shutil.rmtree(home)
    home.mkdir()


def write_small_run(store: Path, number: int) -> Path:
    """Write and seal a run of one rank with a configuration and three metrics of its own."""
    run = f"run-{number:05d}"
    folder = run_folder(store, f"project-{number % 10}", run)
    facts = {"run": run, "project": folder.parent.name, "node": 0, "attempt": 1, "host": "n1"}
    wall_s = START_WALL_S + number
    file = NodeFile(folder, facts, wall_s=wall_s)

    def add(kind: EventKind, body: bytes) -> None:
        file.add_event(kind, body, wall_s=wall_s, rank=0, session=0)

    hello: dict[str, Any] = {
        "wire": wire.WIRE_VERSION,
        "rank": 0,
        "size": 1,
        "local_rank": 0,
        "local_size": 1,
        "node": 0,
    }
    hello |= {"attempt": 1, "host": "n1", "pid": 1, "launcher": "slurm", "user": "bench"}
    add(EventKind.START, json.dumps({**hello, "name": f"calm-lake-{number}"}).encode())
    config = {"lr": 0.1 / (number + 1), "seed": number, "net": {"layers": number % 7}}
    add(EventKind.CONFIG, json.dumps(config).encode())
    for metric, name in enumerate(METRICS):
        add(EventKind.NAME, struct.pack("<I", metric) + name.encode())
        file.add_points(_rows(metric, number, wall_s))
    add(EventKind.END, json.dumps({"exit_code": 0}).encode())
    file.close(wall_s=wall_s + 1)
    seal_run(folder)
    return folder


def _rows(metric: int, number: int, wall_s: float) -> bytes:
    rows = np.zeros(3, POINT)
    rows["step"], rows["metric"] = np.arange(3), metric
    rows["wall_s"], rows["value"] = wall_s + np.arange(3), np.arange(3) / (number + 1)
    return rows.tobytes()
