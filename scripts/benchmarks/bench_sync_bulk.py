"""What sync costs beside ``rsync -a`` for gigabytes: random bytes, and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.benchmarks.bench_sync import (
    list_memory_rows,
    list_ratio_rows,
    make_desk,
    measure,
    name_link,
    push,
    remove_target,
)
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.rows import Outcome, Row, Samples, Target, find_error, median, show_number
from scripts.benchmarks.sync_lab import Desk
from scripts.benchmarks.sync_stores import list_sealed, make_store, remove

NOISE_FRACTION = 1.05
"""What two equal pushes may differ by here; the row says by how much two of them did."""

WIRE_TARGET_FRACTION = 1.02

COMPRESS = {
    "paramiko": (),
    "paramiko, off": ("--compress", "off"),
    "paramiko, off again": ("--compress", "off"),
    "paramiko, on": ("--compress", "on"),
}
"""Contestants that differ in one option; the first one chooses itself."""


def bench_incompressible(lab: Lab, *, mib: int, near_mib: int, near_ms: float) -> Outcome:
    """Send one sealed run whose media are random bytes.

    Once over loopback, and a smaller one over a longer link, where the windows have to be large
    enough.
    """
    outcome = Outcome()
    names = ("rsync", "rsync with GCM", "paramiko", "ssh")
    for rtt_ms, size in ((0.0, mib), (near_ms, near_mib)):
        situation, title = f"{name_link(rtt_ms)}, first push", f"{size:,} MiB incompressible"
        with lab.place() as place:
            lab.say(f"making {size:,} MiB")
            make_store(lab, place, place.store, "incompressible", mib=size)
            with make_desk(lab, place, rtt_ms=rtt_ms) as desk:
                _measure_first(desk, situation, names, outcome.samples)
                if not rtt_ms:
                    _watch(desk, ("paramiko", "ssh"), outcome.samples)
        limits = {} if rtt_ms else {"paramiko": 0.85, "ssh": 0.85}
        outcome.rows += list_ratio_rows(outcome.samples, situation, title, limits)
    outcome.rows += list_memory_rows(outcome.samples, f"{mib:,} MiB incompressible")
    return outcome


def _measure_first(
    desk: Desk,
    situation: str,
    names: tuple[str, ...],
    samples: Samples,
    source: Path | None = None,
) -> None:
    def one(name: str) -> dict[str, Any]:
        sample = push(desk, name, source=source, is_first=True, extra=COMPRESS.get(name, ()))
        remove_target(desk, name)
        return sample

    measure(desk, situation, names, one, samples)


def _watch(desk: Desk, names: tuple[str, ...], samples: Samples) -> None:
    for name in names:
        samples[f"memory: {name}"] = [push(desk, name, is_first=True, is_watched=True)]
        remove_target(desk, name)


def bench_metrics(
    lab: Lab, *, mib: int, files: int, slow_runs: int, slow_ms: float, slow_mbit: float
) -> Outcome:
    """Send sealed runs that logged the reference noisy curve, with compression chosen and given.

    They are compressed already. So that choosing has something to gain too, small runs are sent
    over a slow link, where compressing them is what counts.
    """
    outcome = Outcome()
    names, slow_names = ("rsync", *COMPRESS), tuple(COMPRESS)
    slow = f"{slow_mbit:g} Mbit/s"
    with lab.place() as place:
        lab.say(f"making {mib:,} MiB of sealed metrics")
        make_store(lab, place, place.store, "metrics", files=files, mib=mib / files)
        new_bytes = sum(list_sealed(place.store).values())
        with make_desk(lab, place) as desk:
            _measure_first(desk, "loopback, metrics", names, outcome.samples)
            _watch(desk, ("paramiko",), outcome.samples)
        remove(place.store)
        make_store(lab, place, place.store, "small", runs=slow_runs)
        with make_desk(lab, place, rtt_ms=slow_ms, rate_bytes_s=slow_mbit * 1e6 / 8) as desk:
            _measure_first(desk, f"{slow}, small runs", slow_names, outcome.samples)
    size = f"{new_bytes / 1e6:,.0f} MB of metrics"
    outcome.rows.append(_make_wire_row(outcome.samples, size, new_bytes))
    outcome.rows += list_ratio_rows(
        outcome.samples, "loopback, metrics", size, {}, but=[*slow_names[1:]]
    )
    for situation, title in (
        ("loopback, metrics", f"{size}, loopback"),
        (f"{slow}, small runs", f"{slow_runs:,} small runs, {slow}, {slow_ms:g} ms"),
    ):
        outcome.rows += _list_choice_rows(outcome.samples, situation, title)
    outcome.rows += list_memory_rows(outcome.samples, size)
    return outcome


def _make_wire_row(samples: Samples, title: str, new_bytes: int) -> Row:
    found, peer = (samples[f"loopback, metrics: {name}"] for name in ("paramiko", "rsync"))
    wire, peers = median(found, "wire_bytes"), median(peer, "wire_bytes")
    return Row(
        what=f"{title}: bytes on the wire / new bytes",
        value=wire / new_bytes if wire is not None else None,
        unit="x",
        target=Target("<=", WIRE_TARGET_FRACTION),
        note=find_error(found)
        or f"both ways; rsync {show_number(peers / new_bytes if peers else None)}",
    )


def _list_choice_rows(samples: Samples, situation: str, title: str) -> list[Row]:
    """Return how a compression that is chosen stands to none, and to one that is asked for."""
    wall_s = {name: median(samples[f"{situation}: {name}"], "wall_s") for name in COMPRESS}
    chosen, off, again, on = wall_s.values()
    note = find_error(samples[f"{situation}: paramiko, off"])
    if off and again and on:
        others = f"the same again {again / off:.3g} x; on {on / off:.3g} x"
        note = f"{show_number(off)} s without; {others}"
    return [
        Row(
            what=f"{title}: time with compression chosen / off",
            value=chosen / off if chosen and off else None,
            unit="x",
            target=Target("<=", NOISE_FRACTION),
            note=note or "",
        ),
    ]
