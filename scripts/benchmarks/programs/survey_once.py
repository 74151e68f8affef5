"""Look at a store as a push does, and tell nobody: what of a push is its own scan."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hpctrack import Store
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.sending.survey import Survey, Wanted, choose_runs
from scripts.benchmarks.programs.entry import answer


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Do it."""
    store = Path(told["folder"])
    wanted = Wanted(
        seal=True,
        live=True,
        dry_run=False,
        stale_after_s=60.0,
        clock=SYSTEM_CLOCK,
        on_run=lambda _name: None,
    )
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    survey = Survey(store, choose_runs(Store(store), (), None), wanted, HashCache(store))
    found = sum(len(chunk.candidates) for chunk in survey.iter_chunks())
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return {"scan_s": wall_s, "scan_cpu_s": cpu_s, "items": found}


if __name__ == "__main__":
    answer(main)
