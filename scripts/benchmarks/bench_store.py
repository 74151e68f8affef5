"""What the store costs: bytes, files, sealing, reading, listing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpctrack.store.seal import seal_run
from scripts.benchmarks.lab import OURS, Case, Lab, Place
from scripts.benchmarks.made_runs import PROJECT, Shape, write_run
from scripts.benchmarks.rows import (
    Outcome,
    Row,
    Samples,
    Target,
    find_error,
    median,
    show_number,
    worst,
)


def _seal(lab: Lab, place: Place, folder: Path) -> dict[str, Any]:
    return lab.run(Case(OURS, "seal_one", {"run_folder": str(folder)}), place=place)


def bench_bytes(lab: Lab, *, points: int, live_calls: int) -> Outcome:
    """Measure the size of the store by points.

    Sealed: the reference noisy curve (step, time 50 ms apart with 1 ms of jitter, value in single
    precision; for information also one in double precision, whose noise fills all 52 bits), the
    whole file by its points. Live: a program logs through agent and client; the size of its node
    file when everything has been flushed, by its points.
    """
    sealed, double = (_measure_sealed(lab, points, value_type) for value_type in ("f4", "f8"))
    told = {"calls": live_calls}
    live = lab.measure([Case(OURS, "live_size", told)])[OURS]
    target = Target("<=", 8)
    rows = [
        Row(
            what="bytes per point, sealed, reference noisy curve",
            value=median(sealed, "bytes_per_point"),
            unit="bytes",
            target=target,
            note=f"{points:,} points",
        ),
        Row(
            what="the same curve in double precision",
            value=median(double, "bytes_per_point"),
            unit="bytes",
        ),
        Row(
            what="bytes per point, live",
            value=median(live, "bytes_per_point"),
            unit="bytes",
            target=Target("<=", 40),
            note=f"{live_calls:,} points; on disk {show_number(median(live, 'disk_per_point'))}",
        ),
    ]
    return Outcome(rows, {"sealed": sealed, "double": double, "live": live})


def _measure_sealed(lab: Lab, points: int, value_type: str) -> list[dict[str, Any]]:
    with lab.place() as place:
        folder = write_run(place.store, "curve", Shape(steps=points, value_type=value_type))
        result = seal_run(folder)
        return [{"bytes_per_point": result.path.stat().st_size / result.points}]


def bench_read(lab: Lab, *, points: int, ranks: int, steps: int) -> Outcome:
    """Measure reading in a fresh process that has imported hpctrack, numpy and h5py.

    The first reading counts: opening store, run and file included, page cache warm. Once of a
    sealed run and once of the node files of a run that goes on.
    """
    outcome = Outcome()
    wholes = {
        "metric": (Shape(steps=points), f"read one {points:,}-point metric to numpy", 15),
        "matrix": (Shape(ranks=ranks, steps=steps), f"read a {ranks} x {steps:,} matrix", 150),
    }
    with lab.place() as place:
        for what, (shape, title, limit_ms) in wholes.items():
            for state in ("sealed", "live"):
                run = f"{what}-{state}"
                folder = write_run(place.store, run, shape, is_over=state == "sealed")
                if state == "sealed":
                    seal_run(folder)
                told = {"what": what, "run": f"{PROJECT}/{run}", "metric": "loss", "times": 5}
                case = Case(OURS, "read_ours", told)
                found = [lab.run(case, place=place) for _ in range(lab.rounds)]
                outcome.samples[run] = found
                outcome.rows.append(
                    _read_row(f"{title}, {state}", found, Target("<=", limit_ms), shape.points)
                )
    return outcome


def _read_row(
    what: str, found: list[dict[str, Any]], target: Target | None, items: int | None = None
) -> Row:
    counts = {one.get("items") for one in found}
    note = f"again {show_number(median(found, 'again_ms'))} ms, "
    note += f"CPU {show_number(median(found, 'cpu_ms'))} ms"
    if items is not None and counts != {items}:
        note = f"WRONG: {counts} values instead of {items}; {note}"
    value = median(found, "first_ms")
    return Row(what=what, value=value, unit="ms", target=target, note=find_error(found) or note)


def bench_seal(lab: Lab, *, points: int, small_points: int) -> Outcome:
    """Measure sealing a made run of one rank and four metrics in a process of its own.

    Points per second of its CPU, the largest resident memory of the whole process, and the memory
    for a smaller run, which shows what grows with the size.
    """
    metrics = 4
    samples: Samples = {}
    for name, count in (("large", points), ("small", small_points)):
        samples[name] = []
        for _ in range(lab.rounds if name == "small" else 1):
            with lab.place() as place:
                lab.say(f"sealing {count:,} points")
                shape = Shape(steps=count // metrics, metrics=metrics)
                samples[name].append(_seal(lab, place, write_run(place.store, "r", shape)))
    large, small = samples["large"], samples["small"]
    rows = [
        Row(
            what=f"sealing rate on one core, {points:,} points",
            value=median(large, "million_per_s"),
            unit="million points/s of CPU",
            target=Target(">=", 2),
            note=find_error(large)
            or f"by the wall {show_number(median(large, 'million_per_wall_s'))}; "
            f"{small_points:,} points: {show_number(median(small, 'million_per_s'))}",
        ),
        Row(
            what=f"peak memory of that process, {points:,} points",
            value=worst(large, "peak_mb"),
            unit="MB",
            target=Target("<=", 300),
            note=f"{small_points:,} points: {show_number(worst(small, 'peak_mb'))} MB; "
            f"with everything imported {show_number(worst(small, 'before_mb'))} MB",
        ),
    ]
    return Outcome(rows, samples)


def bench_big_job(lab: Lab, *, nodes: int, ranks: int, steps: int, metrics: int) -> Outcome:
    """Measure a job of many ranks: sealing, one metric's matrix, ``hpctrack show``.

    The node files are written by `NodeFile`, as each node's agent would have. Sealing is one
    process and the wall; ``hpctrack show`` is the whole command, the interpreter's start included.
    """
    shape = Shape(nodes=nodes, ranks=ranks, steps=steps, metrics=metrics)
    with lab.place() as place:
        lab.say(f"writing {nodes} node files")
        folder = write_run(place.store, "big", shape)
        sealed = [_seal(lab, place, folder)]
        told = {"what": "matrix", "run": f"{PROJECT}/big", "metric": "loss", "times": 3}
        matrix = [lab.run(Case(OURS, "read_ours", told), place=place) for _ in range(lab.rounds)]
        show = [_time_show(lab, place) for _ in range(lab.rounds)]
    title = f"{shape.size:,} ranks, {nodes} node files, {shape.points:,} points"
    rows = [
        Row(
            what=f"seal a job of {title}",
            value=median(sealed, "wall_s"),
            unit="s",
            target=Target("<=", 10),
            note=find_error(sealed)
            or f"CPU {show_number(median(sealed, 'cpu_s'))} s, "
            f"peak {show_number(median(sealed, 'peak_mb'))} MB",
        ),
        _read_row("one metric's matrix of it", matrix, Target("<=", 300), shape.size * shape.steps),
        _read_row("`hpctrack show` of it, the whole command", show, Target("<=", 500)),
    ]
    return Outcome(rows, {"seal": sealed, "matrix": matrix, "show": show})


def _time_show(lab: Lab, place: Place) -> dict[str, Any]:
    return time_command(lab, place, ["show", f"{PROJECT}/big"])


def time_command(lab: Lab, place: Place, arguments: list[str]) -> dict[str, Any]:
    """Run a command of ours on a place's store and return wall and CPU, ms."""
    case = Case(OURS, "command", {"arguments": [lab.python(), *arguments]})
    return lab.run(case, place=place)
