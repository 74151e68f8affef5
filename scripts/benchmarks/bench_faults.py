"""What a fault costs: how long ``log`` takes meanwhile, what is lost, and what the ledger says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hpctrack
from scripts.benchmarks.injuries import FAULTS, Fault, Victim
from scripts.benchmarks.lab import OURS, Case, Lab, end_process
from scripts.benchmarks.processes import find_agents, is_there
from scripts.benchmarks.programs.under_fault import ENTRY, METRICS
from scripts.benchmarks.rows import Outcome, Row, Samples, percentile
from tests.capabilities import list_obstacles
from tests.kernels import Kernel

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 120.0
NOTEBOOK = "notebook: the cell is interrupted and run again, the kernel restarted"
INTERRUPTS = 4

Entry = tuple[float, float]


def bench_faults(lab: Lab, *, calls: int, hz: float) -> Outcome:
    """Let each fault happen once to a program in the middle of its calls of ``log``.

    The program notes outside of itself when each call began and how long it took. Then another
    process reads what is there: *lost* are points of calls that had returned and that cannot be
    read.
    """
    samples: Samples = {}
    is_able = not list_obstacles("faults")
    for fault in FAULTS:
        lab.say(fault.name)
        needs_disk = fault.prepare is not None and "disk" in fault.prepare.__qualname__
        if needs_disk and not is_able:
            samples[fault.name] = [{"error": "; ".join(list_obstacles("faults"))}]
        else:
            rate = fault.rate
            samples[fault.name] = [_measure(lab, fault, calls=calls * rate, hz=hz * rate)]
    lab.say(NOTEBOOK)
    samples[NOTEBOOK] = [_measure_notebook(lab, calls=calls, hz=hz)]
    return make_outcome(samples)


def make_outcome(samples: Samples) -> Outcome:
    """Return a row for each fault."""
    return Outcome([_make_row(name, found) for name, (found,) in samples.items()], samples)


def _make_row(name: str, found: dict[str, Any]) -> Row:
    if "error" in found:
        return Row(what=name, value=None, unit="points", note=found["error"])
    during = found["during"]
    said = f"during {during['p50_us']:.1f}, {during['p99_us']:.1f} us" if during else "no loop"
    before = found["before"]
    return Row(
        what=f"{name}: neither read nor in the ledger",
        value=found["lost"] - found["dropped"],
        unit="points",
        note=f"log() {before['p50_us']:.1f}, {before['p99_us']:.1f} us, {said}",
    )


def _measure(lab: Lab, fault: Fault, *, calls: int, hz: float) -> dict[str, Any]:
    with lab.place() as place, ExitStack() as ends:
        place.environ["HPCTRACK_LINGER_S"] = "0.2"
        victim = Victim(place, stores=[place.store])
        if fault.prepare is not None:
            fault.prepare(victim, ends)
        page = place.folder / "page"
        told = {"store": str(victim.stores[0]), "page": str(page), "calls": calls, "hz": hz}
        case = Case(OURS, "under_fault", told | {"what": fault.deed})
        victim.process = lab.start(place, lab.command(case, place))
        try:
            wait_for_calls(page, calls // 2, victim)
            harmed_s = time.monotonic()
            victim.harm()
            if fault.mend is not None:
                wait_for_calls(page, calls, victim)
                fault.mend(victim)
            victim.process.wait(END_TIMEOUT_S)
        finally:
            end_process(victim.process)
        _wait_for_agents(victim)
        if fault.after is not None:
            fault.after(victim)
        if not page.is_file():
            return {"error": lab.last_words(place, victim.process.returncode)}
        extra = _read_answer(place.folder / "out.json")
        return describe(read_page(page), harmed_s, victim.stores, logged=extra, ends=fault.ends)


def _measure_notebook(lab: Lab, *, calls: int, hz: float) -> dict[str, Any]:
    with lab.place() as place:
        place.environ["HPCTRACK_LINGER_S"] = "0.2"
        page, victim = place.folder / "page", Victim(place, stores=[place.store])
        told = {"store": str(place.store), "page": str(page), "calls": calls, "hz": hz, "what": ""}
        kernel = Kernel(place.environ)
        try:
            kernel.run("from scripts.benchmarks.programs.under_fault import Loop")
            kernel.run(f"loop = Loop({told!r})\nloop.go({calls // 2})")
            harmed_s = time.monotonic()
            for number in range(1, INTERRUPTS + 1):
                cell = kernel.start(f"loop.go({calls})")
                _wait_for_entries(page, calls // 2 + number * calls // (2 * INTERRUPTS + 2))
                kernel.interrupt()
                kernel.wait(cell)
            kernel.run(f"loop.go({calls})")
            kernel.restart()
        finally:
            kernel.close()
        _wait_for_agents(victim)
        return describe(read_page(page), harmed_s, victim.stores)


def wait_for_calls(page: Path, count: int, victim: Victim) -> None:
    """Wait until so many calls have returned, or the program has ended."""
    process = victim.process
    _wait_for_entries(page, count, lambda: process is not None and process.poll() is not None)


def _wait_for_entries(page: Path, count: int, has_ended: Any = lambda: False) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and not has_ended():
        if len(read_page(page)) >= count:
            return
        time.sleep(0.005)


def _wait_for_agents(victim: Victim) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while any(is_there(pid) for pid in find_agents(victim.place.token)):
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _read_answer(path: Path) -> int | None:
    """Return how many points the program says that it has logged; None if it could not."""
    return int(json.loads(path.read_text())["logged"]) if path.is_file() else None


def read_page(page: Path) -> list[Entry]:
    """Return the calls that have returned: when each began, and how long it took, seconds."""
    if not page.is_file():
        return []
    found: list[Entry] = [(wall, took) for wall, took in ENTRY.iter_unpack(page.read_bytes())]
    return found[: next((at for at, one in enumerate(found) if not one[0]), len(found))]


def describe(
    entries: Sequence[Entry],
    harmed_s: float,
    stores: Iterable[Path],
    *,
    logged: int | None = None,
    ends: bool = False,
) -> dict[str, Any]:
    """Put together what the loop felt and what is left of it.

    Parameters
    ----------
    entries : sequence
        From `read_page`, of one rank or of several.
    harmed_s : float
        When the fault began, monotonic seconds.
    stores : iterable of Path
        Where its runs may be.
    logged : int, optional
        Points, if the program has told; else as many as the calls had.
    ends : bool
        The loop ended with the fault.
    """
    before = [took for wall, took in entries if wall < harmed_s]
    during = [took for wall, took in entries if wall >= harmed_s]
    sent = len(entries) * len(METRICS) if logged is None else logged
    recorded, ledger, states = _read_stores(stores)
    return {
        "before": _sum_up(before),
        "during": None if ends or not during else _sum_up(during),
        "logged": sent,
        # A call that was cut short may have recorded what had not returned.
        "lost": max(0, sent - recorded),
        "dropped": int(ledger.get("dropped_points", 0)),
        "ledger": {key: value for key, value in ledger.items() if value},
        "states": states,
    }


def _sum_up(times_s: list[float]) -> dict[str, float]:
    return {
        "p50_us": percentile(times_s, 50) * 1e6,
        "p99_us": percentile(times_s, 99) * 1e6,
        "max_us": max(times_s) * 1e6,
    }


def _read_stores(stores: Iterable[Path]) -> tuple[int, dict[str, int], list[str]]:
    """Return how many points there are, each once, what the ledgers say, and the runs' states.

    The states are those in the last store that was used: in the first one, a run has no end.
    """
    points: set[tuple[object, ...]] = set()
    ledger: dict[str, int] = {}
    states: list[str] = []
    used = None
    for store in stores:
        for run in hpctrack.Store(store).runs() if store.is_dir() else ():
            for name, columns in run.columns().items():
                rows = zip(
                    columns.attempt.tolist(), columns.rank.tolist(), columns.step.tolist(),
                    strict=True,
                )  # fmt: skip
                points |= {(run.id, name, *row) for row in rows}
            for key, value in run.record.ledger.items():
                if isinstance(value, int):
                    ledger[key] = ledger.get(key, 0) + value
            if store != used:
                used, states = store, []
            states.append(str(run.state))
            run.close()
    return len(points), ledger, states
