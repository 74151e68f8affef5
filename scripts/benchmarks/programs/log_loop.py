"""What ``log`` costs the program that calls it: flat out, and at a pace."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.processes import TOKEN_NAME, find_processes, read_memory_mb, sum_cpu_s
from scripts.benchmarks.programs.entry import answer
from scripts.benchmarks.programs.writers import Log, Writer, open_writer

WARM_UP_CALLS = 200
NS_PER_US = 1000
SLICES = 20
KEPT_SHARE = 0.99
"""Of the calls at a pace; see `measure_paced`."""


def _log_one(log: Log, first: int, calls: int) -> None:
    for step in range(first, first + calls):
        log({"loss": step * 1e-3}, step)


def _log_ten(log: Log, first: int, calls: int) -> None:
    for step in range(first, first + calls):
        v = step * 1e-3
        log(
            {
                "m0": v,
                "m1": v,
                "m2": v,
                "m3": v,
                "m4": v,
                "m5": v,
                "m6": v,
                "m7": v,
                "m8": v,
                "m9": v,
            },
            step,
        )


LOOPS = {1: _log_one, 10: _log_ten}


def _make_values(scalars: int, step: int) -> dict[str, float]:
    return {"loss": step * 1e-3} if scalars == 1 else {f"m{n}": step * 1e-3 for n in range(scalars)}


def _find_helpers() -> list[int]:
    return find_processes(os.environ[TOKEN_NAME], but=(os.getpid(),))


def measure_flat(writer: Writer, *, scalars: int, calls: int, first: int) -> dict[str, float]:
    """Measure CPU and wall per call without a pause, then time as many more calls one by one.

    The figure is the median of slices: in a virtual machine the time that the host takes away is
    charged to whoever was running, in bursts of milliseconds. The mean is noted beside.
    """
    helpers = _find_helpers()
    helper_s, a_slice, costs = sum_cpu_s(helpers), max(1, calls // SLICES), []
    wall_s, cpu_s, own_s = time.perf_counter(), time.process_time(), time.thread_time()
    before_s = cpu_s
    for number in range(calls // a_slice):
        LOOPS[scalars](writer.log, first + number * a_slice, a_slice)
        now_s = time.process_time()
        costs.append((now_s - before_s) / a_slice * 1e6)
        before_s = now_s
    done = len(costs) * a_slice
    own_s = time.thread_time() - own_s
    wall_s = time.perf_counter() - wall_s
    writer.flush()
    helper_s = sum_cpu_s(helpers) - helper_s
    return {
        "flat_us": statistics.median(costs),
        "flat_mean_us": (before_s - cpu_s) / done * 1e6,
        "flat_thread_us": own_s / done * 1e6,
        "flat_wall_us": wall_s / done * 1e6,
        "flat_helper_us": helper_s / done * 1e6,
        "flat_calls": done,
        **_time_calls(writer, scalars=scalars, calls=min(calls, 20_000), first=first + done),
    }


def _time_calls(writer: Writer, *, scalars: int, calls: int, first: int) -> dict[str, float]:
    taken, log, clock = [0] * calls, writer.log, time.perf_counter_ns
    for number in range(calls):
        values = _make_values(scalars, first + number)
        start = clock()
        log(values, first + number)
        taken[number] = clock() - start
    writer.flush()
    return _percentiles(taken, "flat")


def _percentiles(taken: list[int], prefix: str) -> dict[str, float]:
    taken = sorted(taken)
    last = len(taken) - 1
    p50, p99 = taken[last // 2], taken[int(last * 0.99)]
    return {
        f"{prefix}_p50_us": p50 / NS_PER_US,
        f"{prefix}_p99_us": p99 / NS_PER_US,
        f"{prefix}_max_us": taken[-1] / NS_PER_US,
        f"{prefix}_p99_to_p50": p99 / p50,
    }


def measure_paced(
    writer: Writer, *, scalars: int, calls: int, hz: float, first: int
) -> dict[str, float]:
    """Measure the calling thread's CPU in ``log`` alone, at a pace.

    At every other call the thread's clock is read before and after; what two readings cost is
    measured just before in the same way and taken off. The one call in a hundred that cost most is
    left out of the mean, for the reason given above, and is in the mean of all beside it. The calls
    between are timed by the wall, undisturbed. What the process's other threads used meanwhile is
    added: a tracker that works on a thread of the program works at the program's cost.
    """
    thread, wall, log = time.thread_time_ns, time.perf_counter_ns, writer.log
    taken: list[int] = []
    costs_ns: list[int] = []
    helpers = _find_helpers()
    helper_s = sum_cpu_s(helpers)
    process_s, main_s = time.process_time(), time.thread_time()
    due = time.perf_counter()
    for number in range(calls):
        due += 1 / hz
        time.sleep(max(0.0, due - time.perf_counter()))
        values = _make_values(scalars, first + number)
        if number % 2:
            start = wall()
            log(values, first + number)
            taken.append(wall() - start)
            continue
        first_ns, before_ns = thread(), thread()
        log(values, first + number)
        costs_ns.append(thread() - before_ns - (before_ns - first_ns))
    costs_ns.sort()
    cheapest = costs_ns[: max(1, int(len(costs_ns) * KEPT_SHARE))]
    own_us = max(0.0, statistics.fmean(cheapest)) / NS_PER_US
    writer.flush()
    others_s = (time.process_time() - process_s) - (time.thread_time() - main_s)
    return {
        "paced_us": own_us + max(0.0, others_s) / calls * 1e6,
        "paced_thread_us": own_us,
        "paced_mean_us": statistics.fmean(costs_ns) / NS_PER_US,
        "paced_median_us": statistics.median(costs_ns) / NS_PER_US,
        "paced_helper_us": (sum_cpu_s(helpers) - helper_s) / calls * 1e6,
        **_percentiles(taken, "paced"),
    }


def _measure_folder(folder: Path) -> tuple[int, int]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Log flat out, then at a pace, and say what it cost."""
    scalars, calls, paced = int(told["scalars"]), int(told["calls"]), int(told["paced_calls"])
    writer = open_writer(told["tool"], told["folder"])
    LOOPS[scalars](writer.log, 0, WARM_UP_CALLS)
    writer.flush()
    found: dict[str, Any] = {
        **measure_flat(writer, scalars=scalars, calls=calls, first=WARM_UP_CALLS)
    }
    logged = WARM_UP_CALLS + int(found["flat_calls"]) + min(calls, 20_000)
    found |= measure_paced(writer, scalars=scalars, calls=paced, hz=float(told["hz"]), first=logged)
    logged += paced
    found["rss_mb"] = read_memory_mb(os.getpid(), "VmHWM")
    found["files_live"], _ = _measure_folder(Path(told["folder"]))
    writer.close()
    found["files"], size_bytes = _measure_folder(Path(told["folder"]))
    found["points"] = logged * scalars
    found["bytes_per_point"] = size_bytes / found["points"]
    return found


if __name__ == "__main__":
    answer(main)
