"""Read from a store through the public objects, in a fresh process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import hpctrack
from scripts.benchmarks.programs.entry import answer

LOADED = (hpctrack.Store, hpctrack.StoredRun, hpctrack.Metric, hpctrack.History)
"""Looked up before the clock runs, which loads the store: a reader pays for that once."""


def _read_metric(told: dict[str, Any]) -> int:
    run = hpctrack.Store(told["folder"]).run(told["run"])
    values = np.asarray(run.metric(told["metric"]).values)
    run.close()
    return values.size


def _read_matrix(told: dict[str, Any]) -> int:
    run = hpctrack.Store(told["folder"]).run(told["run"])
    values = np.asarray(run.metric(told["metric"]).matrix().values)
    run.close()
    return values.size


def _list_runs(told: dict[str, Any]) -> int:
    runs = hpctrack.Store(told["folder"]).runs()
    found = [(run.config, run.summary) for run in runs]
    for run in runs:
        run.close()
    return sum(1 for config, summary in found if config and summary)


READINGS: dict[str, Callable[[dict[str, Any]], int]] = {
    "metric": _read_metric,
    "matrix": _read_matrix,
    "list": _list_runs,
}


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Read as often as told; the first reading counts, the others tell what is left of it."""
    if told["what"] != "list":
        import h5py  # noqa: F401, PLC0415 - the store loads it late, for listings that need it not
    read = READINGS[told["what"]]
    wall_ms, cpu_s, items = [], time.process_time(), set()
    for _ in range(int(told["times"])):
        wall_s = time.perf_counter()
        items.add(read(told))
        wall_ms.append((time.perf_counter() - wall_s) * 1e3)
    (count,) = items
    return {
        "items": count,
        "first_ms": wall_ms[0],
        "again_ms": statistics.median(wall_ms[1:] or wall_ms),
        "cpu_ms": (time.process_time() - cpu_s) * 1e3 / len(wall_ms),
    }


if __name__ == "__main__":
    answer(main)
