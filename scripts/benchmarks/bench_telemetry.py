"""What sampling a node costs its agent: 8 GPUs that a stub of NVIDIA's library plays, 128 ranks."""

from __future__ import annotations

import itertools
import shutil
import time
from pathlib import Path
from typing import Any

import hpctrack
from scripts.benchmarks.lab import OURS, Lab, Place
from scripts.benchmarks.many_ranks import Job, running_job
from scripts.benchmarks.processes import find_agents, read_memory_mb, sum_cpu_s
from scripts.benchmarks.rows import Outcome, Row, Target, median
from tests.stubs.nvml.devices import h100
from tests.stubs.nvml.driver import Script, build_library

WITHOUT = "without telemetry"

PUNCTUAL_MS = 50
"""What a reading may be late where the node has more to do than it can; one that is left out, or an
interval that drifts, is behind by more."""


def bench_telemetry(lab: Lab, *, ranks: int, gpus: int, seconds: float, hz: float) -> Outcome:
    """Measure an agent that samples, and one that does not, in turns.

    The ranks are real processes that log one number a second. The agent's CPU is read from the
    kernel; what sampling costs is the difference within a round. The times of the samples are read
    from the store: how far the last one is from where it should be.
    """
    if shutil.which("gcc") is None:
        why = "there is no gcc to build the stub of NVIDIA's library with"
        return Outcome([Row(what="CPU of sampling", value=None, unit="% of a core", note=why)])

    def measure(case: str) -> dict[str, Any]:
        return _measure(lab, case, ranks=ranks, gpus=gpus, seconds=seconds, hz=hz)

    samples = lab.interleave((OURS, WITHOUT), measure)
    pairs = zip(samples[OURS], samples[WITHOUT], strict=True)
    cost = [{"cost": a["cpu_percent"] - b["cpu_percent"]} for a, b in pairs]
    ours = samples[OURS]
    note = (
        f"agent with {median(ours, 'cpu_percent'):.2f} %, without "
        f"{median(samples[WITHOUT], 'cpu_percent'):.2f} %; {median(ours, 'sensors'):.0f} sensors, "
        f"{median(ours, 'written_per_s'):.0f} samples written per second"
    )
    rows = [
        Row(
            what=f"CPU of sampling {gpus} GPUs and {ranks} ranks at {hz:g} Hz",
            value=median(cost, "cost"),
            unit="% of a core",
            target=Target("<=", 2),
            note=note,
        ),
        Row(
            what="how far the last sample is from its moment",
            value=median(ours, "drift_ms"),
            unit="ms",
            target=Target("<=", PUNCTUAL_MS),
            note=f"after {seconds:g} s",
        ),
        Row(
            what="how much longer than asked the longest interval was",
            value=median(ours, "late_ms"),
            unit="ms",
            target=Target("<=", PUNCTUAL_MS),
            note=f"between two readings, of all in {seconds:g} s",
        ),
        Row(
            what="agent's memory",
            value=median(ours, "memory_mb"),
            unit="MB",
            note=f"without telemetry {median(samples[WITHOUT], 'memory_mb'):.0f} MB",
        ),
    ]
    return Outcome(rows, samples)


def _measure(
    lab: Lab, case: str, *, ranks: int, gpus: int, seconds: float, hz: float
) -> dict[str, Any]:
    told = {"scalars": 1, "steps": int(seconds), "hz": 1.0}
    with lab.place() as place:
        place.environ.update(_make_node(place.folder, gpus, case, hz))
        with running_job(lab, place, told, nodes=1, ranks=ranks) as job:
            sample = _watch(place, job, seconds)
            job.wait("done", 60 + seconds)
            job.end()
        return sample | (_read_samples(place, seconds, hz) if case == OURS else {})


def _make_node(folder: Path, gpus: int, case: str, hz: float) -> dict[str, str]:
    """Build the library and its script; return the environment of the job."""
    answers: dict[str, str] = {"count": str(gpus)}
    for index in range(gpus):
        answers |= h100(index)
    script = Script(folder / "nvml.txt", answers)
    return {
        "LD_LIBRARY_PATH": str(build_library(folder / "stub")),
        "NVML_STUB_SCRIPT": str(script.path),
        "HPCTRACK_TELEMETRY": "auto" if case == OURS else "off",
        "HPCTRACK_TELEMETRY_INTERVAL_S": str(1 / hz),
    }


def _watch(place: Place, job: Job, seconds: float) -> dict[str, Any]:
    """Read the agent's CPU from the third second on: the first readings are dearer."""
    agents = find_agents(place.token)
    first = job.go()
    time.sleep(max(0.0, first + min(2.0, seconds / 4) - time.time()))
    cpu_s, wall_s = sum_cpu_s(agents), time.perf_counter()
    time.sleep(max(0.0, first + seconds - 0.5 - time.time()))
    cpu_s, wall_s = sum_cpu_s(agents) - cpu_s, time.perf_counter() - wall_s
    return {
        "cpu_percent": cpu_s / wall_s * 100,
        "memory_mb": sum(read_memory_mb(pid) for pid in agents),
    }


def _read_samples(place: Place, seconds: float, hz: float) -> dict[str, Any]:
    (run,) = hpctrack.Store(place.store).runs()
    names = run.sensors()
    found = [run.sensor(name) for name in names]
    count = sum(len(one) for one in found)
    host = [sensor for sensor in found if sensor.name.startswith("host/")]
    times = sorted({wall for sensor in host for _, one in sensor for wall in one.wall_s.tolist()})
    run.close()
    del times[-1]  # the reading as the run ends, which is out of turn
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    moments = [(wall - times[-1]) * hz for wall in times[-max(2, int(seconds * hz) - 4) :]]
    return {
        "sensors": len(names),
        "written_per_s": count / (times[-1] - times[0]),
        "drift_ms": abs(moments[0] - round(moments[0])) / hz * 1000,
        "late_ms": max(gaps[3:], default=0.0) * 1000 - 1000 / hz,
    }
