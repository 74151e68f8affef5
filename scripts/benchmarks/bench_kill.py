"""What a kill -9 costs: of the rank alone, and of everything at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.lab import OURS, Case, Lab, Place, end_process
from scripts.benchmarks.processes import find_processes
from scripts.benchmarks.programs.doomed import ENTRY
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

HELPED = {OURS, "wandb"}
"""Trackers with a process beside the program's: one can die without the other."""

PAGE_CALLS = 200_000
START_TIMEOUT_S = 60.0
SETTLE_S = 0.5
"""After a rank's death its helper is given this long to write what it has."""


def bench_kill(lab: Lab, *, kills: int, seconds: float, hz: float = 1000.0) -> Outcome:
    """Kill programs that log at a pace, and look at what can be read afterwards.

    The program notes outside of itself when each ``log`` returned. Some time after that, and after
    its tracker has made its first file, at a moment drawn by lot, it is killed: alone, or after all
    its helpers, so that they cannot save what it had sent. Then another process reads the metric.
    *Lost* are calls that had returned and cannot be read; *age* is how long before the kill the
    newest readable point had been logged. Each round does this ``kills`` times to us and once to
    each peer.
    """
    names = [f"{tool}: {what}" for tool in (OURS, *_peers(lab)) for what in _ways(tool)]

    def measure(name: str) -> dict[str, Any]:
        tool, _, what = name.partition(": ")
        times = kills if tool == OURS else 1
        found = [
            _kill_once(lab, tool, seconds=seconds, hz=hz, with_helpers=what == "tree")
            for _ in range(times)
        ]
        errors = [one for one in found if "error" in one]
        return errors[0] if errors else _worst_of(found)

    samples = lab.interleave(names, measure)
    return Outcome(_rows(samples), samples)


def _peers(lab: Lab) -> list[str]:
    return [tool for tool in lab.peers if tool != "aim"]  # nobody but aim itself reads its files


def _ways(tool: str) -> tuple[str, ...]:
    return ("rank", "tree") if tool in HELPED else ("tree",)


def _worst_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "lost": max(one["lost"] for one in found),
        "age_ms": max(one["age_ms"] for one in found),
        "ages_ms": [one["age_ms"] for one in found],
        "holes": max(one["holes"] for one in found),
        "logged": sum(one["logged"] for one in found),
    }


def _kill_once(
    lab: Lab, tool: str, *, seconds: float, hz: float, with_helpers: bool
) -> dict[str, Any]:
    with lab.place() as place:
        page = place.folder / "page"
        told = {"calls": PAGE_CALLS, "hz": hz, "page": str(page)}
        process = lab.start(place, lab.command(Case(tool, "doomed", told), place))
        try:
            if not _wait_for_calls(page, process, place.store):
                return {"error": lab.last_words(place, process.poll())}
            time.sleep(lab.draw(seconds, 1.5 * seconds))
            kill_wall_s = _kill(process, place, with_helpers=with_helpers)
        finally:
            end_process(process)
        returned = _read_page(page)
        return _read_rest(lab, place, tool, returned, kill_wall_s, with_helpers=with_helpers)


def _kill(process: subprocess.Popen[bytes], place: Place, *, with_helpers: bool) -> float:
    """Kill the program; return when it, or the first of its helpers, was."""
    helpers = find_processes(place.token, but=(process.pid, os.getpid()))
    kill_wall_s = time.time()
    if with_helpers:
        for pid in helpers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    else:
        kill_wall_s = time.time()
    process.kill()
    process.wait()
    return kill_wall_s


def _wait_for_calls(page: Path, process: subprocess.Popen[bytes], store: Path) -> bool:
    """Wait until the program logs and its tracker has made a file: its helper is there."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        has_called = page.exists() and any(page.read_bytes()[: ENTRY.size])
        if has_called and any(path.is_file() for path in store.rglob("*")):
            return True
        time.sleep(0.02)
    return False


def _read_page(page: Path) -> list[float]:
    """Return when each call returned."""
    walls = [wall_s for (wall_s,) in ENTRY.iter_unpack(page.read_bytes())]
    return walls[: next((at for at, wall_s in enumerate(walls) if not wall_s), len(walls))]


def _read_rest(
    lab: Lab,
    place: Place,
    tool: str,
    returned: list[float],
    kill_wall_s: float,
    *,
    with_helpers: bool,
) -> dict[str, Any]:
    if not with_helpers:
        time.sleep(SETTLE_S)
    found = lab.run(Case(tool, "read_back", {}), place=place)
    if "error" in found:
        return found
    newest = int(found["newest"])
    # A call may have sent its point and not have returned: that one is not asked for.
    is_all = newest >= len(returned) - 1
    at_s = returned[min(newest, len(returned) - 1)] if newest >= 0 else returned[0]
    return {
        "lost": len(returned) - 1 - newest if not is_all else 0,
        "age_ms": 0.0 if is_all else max(0.0, (kill_wall_s - at_s) * 1e3),
        "holes": found["holes"],
        "logged": len(returned),
    }


def _rows(samples: Samples) -> list[Row]:
    rank, tree = samples[f"{OURS}: rank"], samples[f"{OURS}: tree"]
    rows = [
        Row(
            what="calls lost when the rank is killed and the agent lives",
            value=worst(rank, "lost"),
            unit="calls",
            target=Target("==", 0),
            note=_note(rank),
        ),
        Row(
            what="age of the newest readable point when rank and agent are killed",
            value=worst(tree, "age_ms"),
            unit="ms",
            target=Target("<=", 50),
            note=_note(tree),
        ),
    ]
    for name, found in samples.items():
        if not name.startswith(OURS):
            rows.append(
                Row(
                    what=f"{name} killed: age of the newest readable point",
                    value=worst(found, "age_ms"),
                    unit="ms",
                    note=find_error(found) or f"calls lost {show_number(worst(found, 'lost'))}",
                )
            )
    return rows


def _note(found: list[dict[str, Any]]) -> str:
    kills = sum(len(one.get("ages_ms", ())) for one in found)
    age_ms, holes = median(found, "age_ms"), worst(found, "holes")
    said = f"worst of {kills} kills; median of the rounds' worst ages {show_number(age_ms)} ms, "
    return find_error(found) or f"{said}holes {show_number(holes)}"
