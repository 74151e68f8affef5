"""Live runs that grow when they are told to, their files open all the while as an agent's are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hpctrack.core.layout import run_folder
from hpctrack.store.node_file import NodeFile
from hpctrack.store.schema import POINT
from scripts.benchmarks.made_runs import PROJECT, Shape, begin_node, iter_rows
from scripts.benchmarks.programs.entry import answer

POLL_S = 0.02
IDLE_TIMEOUT_S = 3600.0
METRICS = 4


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Begin the runs, and then add to each of them whenever the next ``grow-N`` appears."""
    store, folder = Path(told["folder"]), Path(told["out"]).parent
    now_s = time.time()
    files = []
    for number in range(told["runs"]):
        shape = Shape(steps=1, metrics=METRICS, seed=number)
        run = f"live-{number:04d}"
        files.append(begin_node(run_folder(store, PROJECT, run), run, 0, shape, wall_s=now_s))
    sizes = [told["base_bytes"], *([told["step_bytes"]] * told["steps"])]
    first = 0
    for count, size in enumerate(sizes):
        _wait_for(folder / f"grow-{count}")
        steps = max(1, size // POINT.itemsize // METRICS)
        for number, file in enumerate(files):
            _grow(file, Shape(steps=steps, metrics=METRICS, seed=number + 1000 * count), first)
        first += steps
        (folder / f"grown-{count}").write_text(str(steps * METRICS * POINT.itemsize * len(files)))
    _wait_for(folder / f"grow-{len(sizes)}")
    return {}


def _grow(file: NodeFile, shape: Shape, first: int) -> None:
    for rows in iter_rows(0, shape):
        rows["step"] += first
        file.add_points(rows.tobytes())
    file.flush(wall_s=time.time())


def _wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + IDLE_TIMEOUT_S
    while not path.exists():
        if time.monotonic() > deadline_s:
            raise TimeoutError(path.name)
        time.sleep(POLL_S)


if __name__ == "__main__":
    answer(main)
