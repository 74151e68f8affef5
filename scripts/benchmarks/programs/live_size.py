"""A program that logs, so that the size of its live file can be seen."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.benchmarks.programs.entry import answer

BLOCK_BYTES = 512
"""What ``st_blocks`` counts, see stat(2)."""

CALLS_PER_FLUSH = 2000


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Log, wait until it is written, and look."""
    run = importlib.import_module("hpctrack").init("bench", dir=told["folder"])
    calls = int(told["calls"])
    for step in range(calls):
        run.log({"loss": step * 1e-3}, step)
        if step % CALLS_PER_FLUSH == 0:
            run.flush()
    run.flush()
    (path,) = Path(told["folder"]).rglob("node-*.h5")
    found = path.stat()
    run.finish()
    return {
        "bytes_per_point": found.st_size / calls,
        "disk_per_point": found.st_blocks * BLOCK_BYTES / calls,
    }


if __name__ == "__main__":
    answer(main)
