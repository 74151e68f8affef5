"""Workers of a sweep with an objective that takes no time: all they do is ask and tell."""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import Sweep, load_sweep


def main() -> None:
    """Fork the workers, let them begin together, and write what each has measured."""
    told = json.loads(sys.argv[1])
    sweep = load_sweep(Path(told["folder"]), told["sweep"])
    # Forked: 64 interpreters that start would be measured, not their asking.
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(told["workers"])
    outs = [Path(f"{told['out']}.{number}") for number in range(told["workers"])]
    workers = [
        context.Process(target=work, args=(sweep, told, number, gate, out))
        for number, out in enumerate(outs)
    ]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    if any(one.exitcode for one in workers):
        sys.exit("a worker failed")
    found = [json.loads(one.read_text()) for one in outs]
    started_s = time.perf_counter()
    with Search.open(sweep) as search:
        opened_s = time.perf_counter() - started_s
        records = search.records()
    result = {
        "seconds": max(one["end_s"] for one in found) - min(one["start_s"] for one in found),
        "ms": [ms for one in found for ms in one["ms"]],
        "ask_ms": [ms for one in found for ms in one["ask_ms"]],
        "open_s": opened_s,
        "points": len({one.number for one in records if one.state == PointState.FINISHED}),
        "bytes": sweep.folder.journal.stat().st_size if sweep.folder.journal.exists() else 0,
    }
    Path(told["out"]).write_text(json.dumps(result))


def work(sweep: Sweep, told: dict[str, Any], number: int, gate: Any, out: Path) -> None:
    """Take every so manieth configuration."""
    took_ms, ask_ms = [], []
    with Search.open(sweep) as search:
        gate.wait()
        start_s = time.perf_counter()
        for configuration in range(number, told["trials"], told["workers"]):
            before_s = time.perf_counter()
            point = search.ask(configuration, is_new=True)
            asked_s = time.perf_counter()
            search.tell(point.number, PointState.FINISHED, [point.parameters["x0"]])
            took_ms.append((time.perf_counter() - before_s) * 1e3)
            ask_ms.append((asked_s - before_s) * 1e3)
        end_s = time.perf_counter()
    # All share a clock: they run on one machine.
    out.write_text(
        json.dumps({"start_s": start_s, "end_s": end_s, "ms": took_ms, "ask_ms": ask_ms})
    )


if __name__ == "__main__":
    main()
