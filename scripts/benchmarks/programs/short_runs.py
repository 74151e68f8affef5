"""Many short runs, one after the other: what each costs from its beginning to its end."""

from __future__ import annotations

import time
from typing import Any

from scripts.benchmarks.programs.entry import answer
from scripts.benchmarks.programs.writers import load_tracker, open_writer


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Begin, fill and end the runs."""
    load_tracker(told["tool"])
    wall_ms, cpu_ms = [], []
    for number in range(int(told["first"]), int(told["first"]) + int(told["runs"])):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        writer = open_writer(told["tool"], told["folder"], name=f"run-{number}")
        for step in range(int(told["steps"])):
            v = step * 1e-3
            writer.log({"a": v, "b": v, "c": v, "d": v, "e": v}, step)
        writer.close()
        wall_ms.append((time.perf_counter() - wall_s) * 1e3)
        cpu_ms.append((time.process_time() - cpu_s) * 1e3)
    return {"wall_ms": wall_ms, "cpu_ms": cpu_ms}


if __name__ == "__main__":
    answer(main)
