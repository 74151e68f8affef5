"""All benchmarks with their sizes: as the targets ask, larger, and tiny for the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scripts.benchmarks.bench_begin import bench_init, bench_short_runs
from scripts.benchmarks.bench_dashboard_charts import bench_compare, bench_parallel, bench_ranks
from scripts.benchmarks.bench_dashboard_digits import bench_digits
from scripts.benchmarks.bench_dashboard_huge import bench_huge
from scripts.benchmarks.bench_dashboard_live import bench_live, bench_sessions
from scripts.benchmarks.bench_dashboard_peers import bench_peers
from scripts.benchmarks.bench_dashboard_runs import bench_runs, bench_runs_million
from scripts.benchmarks.bench_faults import bench_faults
from scripts.benchmarks.bench_job import bench_agent, bench_files
from scripts.benchmarks.bench_kill import bench_kill
from scripts.benchmarks.bench_list import bench_list
from scripts.benchmarks.bench_log import bench_log
from scripts.benchmarks.bench_search import bench_journal, bench_postgres
from scripts.benchmarks.bench_slurm_faults import bench_slurm_faults
from scripts.benchmarks.bench_store import bench_big_job, bench_bytes, bench_read, bench_seal
from scripts.benchmarks.bench_sync import bench_small
from scripts.benchmarks.bench_sync_bulk import bench_incompressible, bench_metrics
from scripts.benchmarks.bench_sync_live import bench_growing, bench_inventory
from scripts.benchmarks.bench_telemetry import bench_telemetry
from scripts.benchmarks.rows import Outcome

Sizes = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    Parameters
    ----------
    measure : callable
        Takes a `Lab` and the sizes by name.
    full : mapping
        Sizes that the targets speak of.
    tiny : mapping
        What is smaller in a smoke run.
    large : mapping
        What is larger with ``--large``.
    """

    measure: Callable[..., Outcome]
    full: Sizes
    tiny: Sizes
    large: Sizes = field(default_factory=dict)


RECORDER: dict[str, Benchmark] = {
    "log-1": Benchmark(
        bench_log,
        {"scalars": 1, "calls": 200_000, "paced_calls": 5_000, "hz": 1000.0},
        {"calls": 500, "paced_calls": 50},
    ),
    "log-10": Benchmark(
        bench_log,
        {"scalars": 10, "calls": 50_000, "paced_calls": 5_000, "hz": 1000.0},
        {"calls": 500, "paced_calls": 50},
    ),
    "init": Benchmark(bench_init, {}, {}),
    "short-runs": Benchmark(
        bench_short_runs,
        {"runs": 200, "steps": 50, "job_runs": 20},
        {"runs": 3, "steps": 5, "job_runs": 2},
    ),
    "kill": Benchmark(
        bench_kill,
        {"kills": 5, "seconds": 2.0, "hz": 1000.0},
        {"kills": 1, "seconds": 0.3},
    ),
    "bytes": Benchmark(
        bench_bytes,
        {"points": 1_000_000, "live_calls": 200_000},
        {"points": 2_000, "live_calls": 500},
    ),
    "files": Benchmark(
        bench_files,
        {"nodes": 2, "ranks": 32, "images": 10_000, "edge": 16},
        {"ranks": 1, "images": 4, "edge": 4},
    ),
    "read": Benchmark(
        bench_read,
        {"points": 100_000, "ranks": 512, "steps": 2_000},
        {"points": 100, "ranks": 4, "steps": 10},
    ),
    "seal": Benchmark(
        bench_seal,
        {"points": 10_000_000, "small_points": 1_000_000},
        {"points": 4_000, "small_points": 400},
        {"points": 100_000_000},
    ),
    "big-job": Benchmark(
        bench_big_job,
        {"nodes": 80, "ranks": 125, "steps": 100, "metrics": 5},
        {"nodes": 2, "ranks": 3, "steps": 4, "metrics": 2},
    ),
    "agent": Benchmark(
        bench_agent,
        {"ranks": 128, "scalars": 10, "hz": 10.0, "seconds": 20.0},
        {"ranks": 2, "scalars": 2, "seconds": 1.0},
    ),
    "list": Benchmark(bench_list, {"runs": 10_000}, {"runs": 5}),
}
"""In the order of the targets' table."""

TELEMETRY: dict[str, Benchmark] = {
    "telemetry": Benchmark(
        bench_telemetry,
        {"ranks": 128, "gpus": 8, "seconds": 20.0, "hz": 1.0},
        {"ranks": 2, "gpus": 1, "seconds": 4.0, "hz": 2.0},
    ),
}

FAULTS: dict[str, Benchmark] = {
    "faults": Benchmark(bench_faults, {"calls": 4000, "hz": 1000.0}, {"calls": 200}),
    "slurm-faults": Benchmark(bench_slurm_faults, {"calls": 2000, "hz": 200.0}, {"calls": 50}),
}

SWEEP: dict[str, Benchmark] = {
    "journal": Benchmark(bench_journal, {"trials": 10_000, "most": 64}, {"trials": 20, "most": 8}),
    "postgresql": Benchmark(
        bench_postgres, {"trials": 500, "most": 64}, {"trials": 6, "most": 1}, {"trials": 10_000}
    ),
}

SYNC: dict[str, Benchmark] = {
    "small": Benchmark(
        bench_small,
        {"runs": 5_000, "near_ms": 50, "far_ms": 150},
        {"runs": 3, "near_ms": 2, "far_ms": 6},
    ),
    "incompressible": Benchmark(
        bench_incompressible,
        {"mib": 1024, "near_mib": 128, "near_ms": 50},
        {"mib": 2, "near_mib": 1, "near_ms": 2},
    ),
    "metrics": Benchmark(
        bench_metrics,
        {"mib": 1024, "files": 16, "slow_runs": 2_000, "slow_ms": 20, "slow_mbit": 100},
        {"mib": 1, "files": 2, "slow_runs": 3, "slow_ms": 2},
    ),
    "growing": Benchmark(
        bench_growing,
        {"runs": 200, "base_mib": 20, "step_mib": 1},
        {"runs": 2, "base_mib": 0.1, "step_mib": 0.05},
    ),
    "inventory": Benchmark(
        bench_inventory, {"runs": 100_000, "near_ms": 50}, {"runs": 20, "near_ms": 2}
    ),
}

DASHBOARD: dict[str, Benchmark] = {
    "runs": Benchmark(bench_runs, {"runs": 10_000, "repeats": 5}, {"runs": 40, "repeats": 1}),
    "runs-million": Benchmark(
        bench_runs_million, {"runs": 1_000_000, "repeats": 5}, {"runs": 400, "repeats": 1}
    ),
    "compare": Benchmark(
        bench_compare,
        {"runs": 20, "points": 100_000, "charts": 12, "repeats": 3},
        {"runs": 3, "points": 300, "repeats": 1},
    ),
    "huge": Benchmark(
        bench_huge,
        {"points": 100_000_000, "spikes": 200, "windows": 100},
        {"points": 100_000, "spikes": 10, "windows": 5},
    ),
    "ranks": Benchmark(
        bench_ranks,
        {"nodes": 128, "ranks": 8, "steps": 100_000, "repeats": 3},
        {"nodes": 2, "ranks": 4, "steps": 2000, "repeats": 1},
    ),
    "parallel": Benchmark(
        bench_parallel, {"runs": 10_000, "repeats": 3}, {"runs": 60, "repeats": 1}
    ),
    "live": Benchmark(
        bench_live,
        {"curves": 50, "viewers": 20, "hz": 1.0, "seconds": 30.0},
        {"curves": 3, "viewers": 2, "seconds": 2.0},
    ),
    "sessions": Benchmark(
        bench_sessions,
        {"pages": 40, "runs": 20, "points": 100_000, "repeats": 3},
        {"pages": 3, "runs": 2, "points": 300, "repeats": 1},
    ),
    "digits": Benchmark(
        bench_digits,
        {"runs": 24, "epochs": 6, "repeats": 3},
        {"runs": 2, "epochs": 1, "repeats": 1},
    ),
    "peers": Benchmark(
        bench_peers,
        {"runs": 20, "points": 10_000, "metrics": 4, "repeats": 3},
        {"runs": 3, "points": 50, "repeats": 1},
    ),
}
"""In the order of the targets' table."""

AREAS: dict[str, dict[str, Benchmark]] = {
    "recorder": RECORDER,
    "telemetry": TELEMETRY,
    "faults": FAULTS,
    "sweep": SWEEP,
    "sync": SYNC,
    "dashboard": DASHBOARD,
}
"""What ``scripts/bench`` can be asked for."""
