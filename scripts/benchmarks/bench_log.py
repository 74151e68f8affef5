"""What a call of ``log`` costs the training."""

from __future__ import annotations

from typing import Any

import hpctrack
from scripts.benchmarks.lab import FLOOR, OURS, Case, Lab, Place
from scripts.benchmarks.rows import (
    Outcome,
    Row,
    Samples,
    Target,
    find_error,
    median,
    ratio,
    show_number,
    worst,
)

SLOWER = {
    "wandb": 0.05, "trackio": 0.2, "tensorboard": 0.1, "tensorboardX": 0.1, "torch": 0.1,
    "mlflow": 0.005, "aim": 0.01,
}  # fmt: skip
"""Share of our calls that a peer is given, so that each loop takes about as long."""


def bench_log(
    lab: Lab, *, scalars: int, calls: int, paced_calls: int, hz: float = 1000.0
) -> Outcome:
    """Measure the caller's CPU per ``log`` of some scalars, flat out and at a pace.

    A process logs ``calls`` times without a pause: its CPU (all its threads) per call; then some
    calls are timed one by one; then it logs at ``hz``, where the CPU of the calling thread inside
    ``log`` and that of the process's other threads is counted. What helper processes use is noted
    beside. Afterwards our store is read: every call must be in it.
    """
    tools = [OURS, FLOOR, *lab.peers]
    cases = [
        Case(
            tool,
            "log_loop",
            {
                "scalars": scalars,
                "calls": max(50, int(calls * SLOWER.get(tool, 1.0))),
                "paced_calls": paced_calls,
                "hz": hz,
            },
        )
        for tool in tools
    ]
    samples = lab.measure(cases, look=_count_kept)
    rows = [*_log_rows(samples, scalars), _kept_row(samples)]
    return Outcome(rows, samples)


def _count_kept(case: Case, place: Place, sample: dict[str, Any]) -> None:
    """Compare what our store holds with what was logged."""
    if case.contestant != OURS:
        return
    kept, name = 0, "loss" if case.params["scalars"] == 1 else "m0"
    for run in hpctrack.Store(place.store).runs():
        kept += len(run.metric(name))
        run.close()
    sample["missing"] = sample["points"] // case.params["scalars"] - kept


def _kept_row(samples: Samples) -> Row:
    return Row(
        note=find_error(samples[OURS]) or "",
        what="calls of ours that are not in the store afterwards",
        value=worst(samples[OURS], "missing"),
        unit="calls",
        target=Target("==", 0),
    )


LIMITS = {
    1: {"us": 2.5, FLOOR: 3.0, "wandb": 40.0, "tensorboard": 12.0, "torch": 12.0, "trackio": 4.0},
    10: {"us": 6.0, "wandb": 30.0, "tensorboard": 50.0, "torch": 50.0},
}
"""Targets by scalars: CPU of a call, times the floor, and how many times a peer must cost."""


def _log_rows(samples: Samples, scalars: int) -> list[Row]:
    limits, rows = LIMITS[scalars], []
    for mode, title in (("flat", "flat out"), ("paced", "at 1 kHz")):
        key = f"{mode}_us"
        rows.append(
            Row(
                what=f"caller's CPU per call, {title}",
                value=median(samples[OURS], key),
                unit="us",
                target=Target("<=", limits["us"]),
                note=_split_note(samples[OURS], mode),
            )
        )
        floor = Target("<=", limits[FLOOR]) if FLOOR in limits else None
        rows.append(
            Row(
                what=f"ours / struct, {title}",
                value=ratio(samples, key, of=OURS, to=FLOOR),
                unit="x",
                target=floor,
                note=f"struct {show_number(median(samples[FLOOR], key))} us",
            )
        )
        rows += [
            _peer_row(samples, mode, title, tool, limits) for tool in samples if _is_peer(tool)
        ]
        p99 = Target("<=", 20.0) if scalars == 1 else None
        rows.append(
            Row(
                what=f"p99 / p50 of single calls, {title}",
                value=median(samples[OURS], f"{mode}_p99_to_p50"),
                unit="x",
                target=p99,
                note=f"p50 {show_number(median(samples[OURS], f'{mode}_p50_us'))}, "
                f"p99 {show_number(median(samples[OURS], f'{mode}_p99_us'))} us",
            )
        )
    return rows


def _peer_row(samples: Samples, mode: str, title: str, tool: str, limits: dict[str, float]) -> Row:
    mine, p50, p99 = (median(samples[tool], f"{mode}_{key}") for key in ("us", "p50_us", "p99_us"))
    note = f"{tool} {show_number(mine)} us, p50 {show_number(p50)}, p99 {show_number(p99)}"
    return Row(
        what=f"{tool} / ours, {title}",
        value=ratio(samples, f"{mode}_us", of=tool, to=OURS),
        unit="x",
        target=Target(">=", limits[tool]) if tool in limits else None,
        note=(find_error(samples[tool]) if mine is None else None) or note,
    )


def _split_note(samples: list[dict[str, Any]], mode: str) -> str:
    mean = show_number(median(samples, f"{mode}_mean_us"))
    return (
        f"plain mean {mean}, agent {show_number(median(samples, f'{mode}_helper_us'))} us per call"
    )


def _is_peer(tool: str) -> bool:
    return tool not in {OURS, FLOOR}
