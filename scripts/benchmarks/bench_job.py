"""What many ranks cost a node: the agent's CPU and memory, and the number of files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import hpctrack
from scripts.benchmarks.lab import OURS, Lab, Place
from scripts.benchmarks.many_ranks import Job, running_job, wait_until
from scripts.benchmarks.processes import find_agents, read_memory_mb, sum_cpu_s
from scripts.benchmarks.rows import Outcome, Row, Target, median, show_number, worst

SEAL_TIMEOUT_S = 120.0


def bench_agent(
    lab: Lab, *, ranks: int, scalars: int, hz: float, seconds: float, rounds: int = 1
) -> Outcome:
    """Measure the agent under many ranks that log at a pace.

    Every rank is a process of its own that has called ``hpctrack.init`` and logs through it. When
    all are connected they begin together; the agent's CPU is read from the kernel one second after
    that and half a second before the end, its memory every quarter of a second. Afterwards every
    point has to be in the store.
    """
    found = [
        _load_agent(lab, ranks=ranks, scalars=scalars, hz=hz, seconds=seconds)
        for _ in range(rounds)
    ]
    title = f"{ranks} ranks x {scalars} scalars x {hz:g} Hz"
    ranks_cpu = show_number(median(found, "ranks_cpu_percent"))
    rows = [
        Row(
            what=f"agent's CPU, {title}",
            value=median(found, "cpu_percent"),
            unit="% of a core",
            target=Target("<=", 25),
            note=f"{ranks} real processes on this machine, together {ranks_cpu} % in their loops",
        ),
        Row(
            what="agent's memory",
            value=worst(found, "memory_mb"),
            unit="MB",
            target=Target("<=", 150),
            note=f"peak since its start {show_number(worst(found, 'peak_mb'))} MB",
        ),
        Row(
            what="points that are not in the store",
            value=worst(found, "missing"),
            unit="points",
            target=Target("==", 0),
            note=f"of {ranks * scalars * int(hz * seconds):,}",
        ),
    ]
    return Outcome(rows, {OURS: found})


def _load_agent(lab: Lab, *, ranks: int, scalars: int, hz: float, seconds: float) -> dict[str, Any]:
    steps = int(hz * seconds)
    params = {"scalars": scalars, "steps": steps, "hz": hz}
    with lab.place() as place:
        lab.say(f"starting {ranks} ranks")
        with running_job(lab, place, params, nodes=1, ranks=ranks) as job:
            sample = _watch_agent(place, job, seconds)
            job.wait("done", 60 + seconds)
            said = job.end()
        sample["missing"] = ranks * scalars * steps - _count_points(place)
        used_s = sum(one["cpu_s"] for one in said)
        sample["ranks_cpu_percent"] = used_s / seconds * 100
        sample["unconfirmed"] = sum(not (one["is_safe"] and one["is_flushed"]) for one in said)
        return sample


def _watch_agent(place: Place, job: Job, seconds: float) -> dict[str, Any]:
    agents = find_agents(place.token)
    start_s, end_s = _window(seconds)
    first = job.go()
    time.sleep(max(0.0, first + start_s - time.time()))
    cpu_s, wall_s, memory_mb = sum_cpu_s(agents), time.perf_counter(), 0.0
    while True:
        memory_mb = max(memory_mb, sum(read_memory_mb(pid) for pid in agents))
        if time.time() >= first + end_s:
            break
        time.sleep(min(0.25, max(0.0, first + end_s - time.time())))
    cpu_s, wall_s = sum_cpu_s(agents) - cpu_s, time.perf_counter() - wall_s
    return {
        "agents": len(agents),
        "cpu_percent": cpu_s / wall_s * 100,
        "memory_mb": memory_mb,
        "peak_mb": sum(read_memory_mb(pid, "VmHWM") for pid in agents),
    }


def _window(seconds: float) -> tuple[float, float]:
    """Leave out the first second and the last half, or as much of a run that is shorter."""
    return min(1.0, seconds / 4), seconds - min(0.5, seconds / 4)


def _count_points(place: Place) -> int:
    (run,) = hpctrack.Store(place.store).runs()
    count = sum(len(run.metric(name)) for name in run.metrics())
    run.close()
    return count


def bench_files(lab: Lab, *, nodes: int, ranks: int, images: int, edge: int) -> Outcome:
    """Count the files of a run of many ranks that log images.

    Real ranks, one process each, on "nodes" that have an agent of their own on this machine.
    Counted are the files of the store when all images are flushed and the ranks still live, and
    after all have finished and the last agent has sealed the run.
    """
    titles = {
        "live": f"files of a live run, {nodes * ranks} ranks on {nodes} nodes, {images:,} images",
        "sealed": "files of the same run, sealed",
    }
    params = {"images": -(-images // (nodes * ranks)), "edge": edge}
    with lab.place() as place:
        with running_job(lab, place, params, nodes=nodes, ranks=ranks) as job:
            job.go()
            job.wait("done", 600)
            live = _list_files(place.store)
            job.end()
        is_sealed = wait_until(lambda: _is_sealed(place.store), SEAL_TIMEOUT_S)
        sealed = _list_files(place.store)
        sample: dict[str, Any] = {
            "live": len(live),
            "sealed": len(sealed) if is_sealed else None,
            "live_files": [path.name for path in live],
            "sealed_files": [path.name for path in sealed],
            "bytes": sum(path.stat().st_size for path in sealed),
        }
    limits = {"live": nodes, "sealed": 1}
    rows = [
        Row(
            what=titles[state],
            value=median([sample], state),
            unit="files",
            target=Target("<=", limits[state]),
            note=f"{edge} x {edge} pixels each, all different; {sample['bytes'] / 1e6:.3g} MB",
        )
        for state in titles
    ]
    return Outcome(rows, {OURS: [sample]})


def _list_files(store: Path) -> list[Path]:
    """Return what a quota counts in the project's folder, less what belongs to the whole store."""
    return sorted(path for path in (store / "bench").rglob("*") if path.is_file())


def _is_sealed(store: Path) -> bool:
    names = [path.name for path in _list_files(store)]
    return "run.h5" in names and not any(name.startswith("node-") for name in names)
