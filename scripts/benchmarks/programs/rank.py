"""One rank of many: begins with the others, logs at a pace, ends when it is told to."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.programs.entry import answer

POLL_S = 0.02


def _wait_for(path: Path) -> str:
    while not path.exists():
        time.sleep(POLL_S)
    return path.read_text()


def _log_scalars(run: Any, told: dict[str, Any], start_wall_s: float) -> None:
    names = [f"m{number}" for number in range(int(told["scalars"]))]
    for step in range(int(told["steps"])):
        due_s = start_wall_s + step / float(told["hz"])
        time.sleep(max(0.0, due_s - time.time()))
        run.log({name: step + number * 1e-3 for number, name in enumerate(names)}, step)


def _log_images(run: Any, told: dict[str, Any]) -> None:
    hpctrack, numpy = importlib.import_module("hpctrack"), importlib.import_module("numpy")
    draw = numpy.random.default_rng(int(told["rank"])).integers
    edge = int(told["edge"])
    for step in range(int(told["images"])):
        pixels = draw(0, 256, (edge, edge, 3), dtype=numpy.uint8)
        run.log({"sample": hpctrack.Image(pixels)}, step)


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Be a rank."""
    meeting = Path(told["meeting"])
    run = importlib.import_module("hpctrack").init("bench", dir=told["folder"])
    (meeting / f"{told['rank']}.ready").touch()
    start_wall_s = float(_wait_for(meeting / "go"))
    cpu_s = time.process_time()
    if told.get("images"):
        _log_images(run, told)
    else:
        _log_scalars(run, told, start_wall_s)
    cpu_s = time.process_time() - cpu_s
    is_flushed = run.flush(60.0)
    (meeting / f"{told['rank']}.done").touch()
    _wait_for(meeting / "end")
    return {"cpu_s": cpu_s, "is_flushed": is_flushed, "is_safe": run.finish()}


if __name__ == "__main__":
    answer(main)
