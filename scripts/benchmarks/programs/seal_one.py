"""Seal one run in a process of its own and say what that took."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from hpctrack.store.seal import seal_run
from scripts.benchmarks.processes import read_memory_mb
from scripts.benchmarks.programs.entry import answer


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Seal it."""
    before_mb = read_memory_mb(os.getpid(), "VmHWM")
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    result = seal_run(Path(told["run_folder"]))
    wall_s = time.perf_counter() - wall_s
    cpu_s = time.process_time() - cpu_s
    return {
        "points": result.points,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "million_per_s": result.points / cpu_s / 1e6,
        "million_per_wall_s": result.points / wall_s / 1e6,
        "peak_mb": read_memory_mb(os.getpid(), "VmHWM"),
        "before_mb": before_mb,
        "bytes_per_point": result.path.stat().st_size / max(1, result.points),
    }


if __name__ == "__main__":
    answer(main)
