"""What following live runs costs, and what asking about very many runs does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hpctrack
from scripts.benchmarks.bench_sync import (
    describe,
    find_target,
    list_memory_rows,
    list_ratio_rows,
    make_desk,
    measure,
    name_link,
    push,
)
from scripts.benchmarks.lab import OURS, Case, Lab, Place, end_process
from scripts.benchmarks.made_runs import PROJECT
from scripts.benchmarks.programs.relay import FROM, TO
from scripts.benchmarks.rows import Outcome, Row, Samples, Target, find_error, median, show_number
from scripts.benchmarks.sync_lab import CARRIERS, Desk
from scripts.benchmarks.sync_link import MORTAL
from scripts.benchmarks.sync_stores import MIB, copy_runs, link_store

GROW_TIMEOUT_S = 900.0
LOOKED_AT = 5
"""Replicas that are read after each push."""

EXCHANGE_TARGET_BYTES = 5_000_000
EXCHANGE_TARGET_S = 2
INVENTORY = ("rsync", "paramiko", "relayed", "scan")
GOODBYE_BYTES = 64
"""What comes last of each side is smaller."""


@dataclass(slots=True)
class Growth:
    """Live runs that grow when they are told to."""

    place: Place
    runs: int
    count: int = 0
    rows_bytes: int = 0
    """Of all runs, the last time they grew."""

    def grow(self) -> None:
        """Let all grow, and wait until they have."""
        (self.place.folder / f"grow-{self.count}").touch()
        said = self.place.folder / f"grown-{self.count}"
        deadline_s = time.monotonic() + GROW_TIMEOUT_S
        while not said.exists() or not said.read_text():
            if time.monotonic() > deadline_s:
                raise TimeoutError("the runs do not grow")
            time.sleep(0.01)
        self.rows_bytes = int(said.read_text())
        self.count += 1


def bench_growing(lab: Lab, *, runs: int, base_mib: float, step_mib: float) -> Outcome:
    """Send what live runs have logged since the last push.

    One process holds the node files of all runs open and adds rows to each before every round;
    all contestants then bring their copies of the round before up to date. At last nothing is
    new, and strace counts how often either end opens a node file.
    """
    outcome = Outcome()
    names = ("rsync", "paramiko", "ssh")
    with lab.place() as place:
        # A run whose writer says nothing for a minute would be taken for dead, and sealed.
        place.environ["HPCTRACK_STALE_AFTER_S"] = "86400"
        sizes = {"base_bytes": int(base_mib * MIB), "step_bytes": int(step_mib * MIB)}
        told = {"runs": runs, "steps": lab.rounds, **sizes}
        with _grow(lab, place, told) as growth, make_desk(lab, place) as desk:
            growth.grow()
            for name in names:
                lab.say(f"{name} sends the beginning")
                sample = push(desk, name, is_watched=name != "rsync", check=_check_live)
                if name != "rsync":
                    outcome.samples[f"memory: {name}"] = [sample]
            _measure_growth(desk, growth, names, outcome.samples)
            outcome.samples["opened"] = [_count_opened(desk)]
            new_bytes = growth.rows_bytes
    title = f"{runs} live runs of {base_mib:g} MiB growing by {step_mib:g} MiB"
    limits = {"paramiko": 0.1, "ssh": 0.1}
    outcome.rows += list_ratio_rows(outcome.samples, "loopback, grown", title, limits)
    outcome.rows += list_ratio_rows(outcome.samples, "loopback, nothing new", title, {})
    outcome.rows += [*_list_wire_rows(outcome.samples, title, new_bytes), *_list_opened(outcome)]
    outcome.rows += list_memory_rows(outcome.samples, title)
    return outcome


@contextmanager
def _grow(lab: Lab, place: Place, told: dict[str, Any]) -> Iterator[Growth]:
    case = Case(OURS, "growing", told)
    command = [*MORTAL, *lab.command(case, place)]
    process = lab.start(place, command, log_name="growing.log")
    try:
        yield Growth(place, told["runs"])
    finally:
        end_process(process)


def _measure_growth(desk: Desk, growth: Growth, names: tuple[str, ...], samples: Samples) -> None:
    left: set[str] = set()

    def one(name: str) -> dict[str, Any]:
        if not left:
            growth.grow()
            left.update(names)
        left.remove(name)
        return push(desk, name, check=_check_live)

    def again(name: str) -> dict[str, Any]:
        return push(desk, name, check=_check_live)

    measure(desk, "loopback, grown", names, one, samples)
    measure(desk, "loopback, nothing new", names, again, samples)


def _check_live(source: Path, target: Path) -> str:
    """Read some of the copies: every row has to be there, and the run still at work."""
    runs = sorted(path.name for path in (source / PROJECT).iterdir())
    for run in runs[:: max(1, len(runs) // LOOKED_AT)]:
        if not (target / PROJECT / run).is_dir():
            return f"WRONG: {run} is not there"
        found = [_look_at(store, run) for store in (source, target)]
        if found[0] != found[1]:
            return f"WRONG: {run} is {found[1]} and not {found[0]}"
    return ""


def _look_at(store: Path, run: str) -> tuple[int, str]:
    with closing(hpctrack.Store(store).run(f"{PROJECT}/{run}")) as opened:
        count = sum(len(opened.metric(name)) for name in opened.metrics())
        return count, str(opened.state)


def _count_opened(desk: Desk) -> dict[str, Any]:
    """Count how often either end opens a live file in a push that has nothing to send."""
    traces = {end: desk.folder / f"{end}.strace" for end in ("client", "server")}
    strace = {
        end: ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", str(trace)]
        for end, trace in traces.items()
    }
    remote = desk.write_remote("traced", strace["server"])
    source, target = desk.place.store, find_target(desk, "paramiko")
    command = desk.command(CARRIERS["paramiko"], source, target, remote=remote)
    sample = desk.run([*strace["client"], *command])
    for end, trace in traces.items():
        lines = trace.read_text(errors="replace").splitlines()
        sample[f"{end}_opened"] = sum("node-" in line and ".h5" in line for line in lines)
    return sample


def _list_wire_rows(samples: Samples, title: str, new_bytes: int) -> list[Row]:
    rows = []
    for name in ("paramiko", "ssh"):
        found, peer = (samples[f"loopback, grown: {one}"] for one in (name, "rsync"))
        wire, peers = median(found, "wire_bytes"), median(peer, "wire_bytes")
        note = f"{new_bytes / 1e6:,.0f} MB of rows; rsync {show_number((peers or 0) / new_bytes)} x"
        rows.append(
            Row(
                what=f"{title}: bytes on the wire / new rows, {name}",
                value=wire / new_bytes if wire is not None else None,
                unit="x",
                target=Target("<=", 1.05),
                note=find_error(found) or note,
            )
        )
    return rows


def _list_opened(outcome: Outcome) -> list[Row]:
    (found,) = outcome.samples["opened"]
    return [
        Row(
            what=f"live files opened by the {word} when nothing is new",
            value=found.get(f"{end}_opened"),
            unit="times",
            target=Target("<=", 0),
            note=str(found.get("error", "")),
        )
        for end, word in (("client", "sender"), ("server", "receiver"))
    ]


def bench_inventory(lab: Lab, *, runs: int, near_ms: float) -> Outcome:
    """Ask about very many runs, all of which are there already.

    The runs are copies of one sealed file that differ in a few bytes behind its end: a negotiation
    looks at names and hashes, not inside. Both stores have the same files, by links. A first push,
    which is not timed, lets both sides hash them. A relay between sshd and the receiver then notes
    what goes by: the exchange lasts from the first byte that the sender says until the last one of
    an answer. The sender looks at its store meanwhile, so what it takes to look and tell nobody is
    measured too.
    """
    outcome = Outcome()
    with lab.place() as place:
        lab.say(f"making {runs:,} runs twice")
        copy_runs(place.store, runs=runs)
        for rtt_ms in (0.0, near_ms):
            with make_desk(lab, place, rtt_ms=rtt_ms) as desk:
                if not rtt_ms:
                    link_store(place.store, find_target(desk, "paramiko"))
                    find_target(desk, "rsync").symlink_to(find_target(desk, "paramiko"))
                    push(desk, "rsync")
                    outcome.samples["first: paramiko"] = [push(desk, "paramiko")]
                _measure_inventory(desk, name_link(rtt_ms), outcome.samples)
    title = f"inventory of {runs:,} runs"
    for rtt_ms in (0.0, near_ms):
        outcome.rows += _list_inventory_rows(outcome.samples, name_link(rtt_ms), title)
    outcome.rows += list_memory_rows(outcome.samples, title)
    return outcome


def _measure_inventory(desk: Desk, link: str, samples: Samples) -> None:
    trace = desk.folder / "trace.json"
    relay = Path(__file__).with_name("programs") / "relay.py"
    remote = desk.write_remote("relayed", [desk.lab.python(), str(relay), str(trace)])
    source, target = desk.place.store, find_target(desk, "paramiko")

    def one(name: str) -> dict[str, Any]:
        if name == "scan":
            return desk.lab.run(Case(OURS, "survey_once", {}), place=desk.place)
        if name != "relayed":
            return push(desk, name)
        trace.unlink(missing_ok=True)
        sample = desk.run(desk.command(CARRIERS["paramiko"], source, target, remote=remote))
        return sample | (read_trace(trace) if "error" not in sample else {})

    measure(desk, f"{link}, inventory", INVENTORY, one, samples)
    samples[f"{link}, memory: paramiko"] = [push(desk, "paramiko", is_watched=True)]


def read_trace(trace: Path) -> dict[str, float]:
    """Return what a relay has noted: bytes of both ways, and how long the exchange took."""
    seen: list[tuple[float, str, int]] = json.loads(trace.read_text())
    asked = [wall_s for wall_s, way, _size in seen if way == TO]
    last = max(wall_s for wall_s, way, size in seen if way == FROM and size > GOODBYE_BYTES)
    return {
        "to_bytes": sum(size for _wall_s, way, size in seen if way == TO),
        "from_bytes": sum(size for _wall_s, way, size in seen if way == FROM),
        "exchange_s": last - asked[0],
        "asking_s": asked[-1] - asked[0],
    }


def _list_inventory_rows(samples: Samples, link: str, title: str) -> list[Row]:
    found, plain = (samples[f"{link}, inventory: {one}"] for one in ("relayed", "paramiko"))
    there, back = median(found, "to_bytes"), median(found, "from_bytes")
    error = find_error(found) or find_error(plain)
    scan = median(samples[f"{link}, inventory: scan"], "scan_s")
    whole = median(found, "exchange_s")
    both = f"{show_number(whole)} s less {show_number(scan)} s that the scan takes by itself"
    rows = [
        Row(
            what=f"{title}, {link}: bytes of the exchange",
            value=there + back if there is not None and back is not None else None,
            unit="bytes",
            target=Target("<=", EXCHANGE_TARGET_BYTES),
            note=error or f"{show_number(there)} there, {show_number(back)} back",
        ),
        Row(
            what=f"{title}, {link}: the exchange, less the sender's scan",
            value=max(0.0, whole - scan) if whole is not None and scan is not None else None,
            unit="s",
            target=Target("<=", EXCHANGE_TARGET_S),
            note=error
            or f"from the sender's first byte to the last answer: {both}; "
            f"the whole command {describe(plain)}",
        ),
    ]
    return rows + list_ratio_rows(samples, f"{link}, inventory", title, {}, but=["relayed", "scan"])
