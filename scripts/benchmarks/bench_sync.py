"""What sync costs beside ``rsync -a``, over a real sshd and links of several lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.benchmarks.lab import Lab, Place
from scripts.benchmarks.rows import (
    Outcome,
    Row,
    Samples,
    Target,
    find_error,
    median,
    ratio,
    show_number,
)
from scripts.benchmarks.sync_lab import CARRIERS, Desk, open_desk
from scripts.benchmarks.sync_link import Wire, make_link
from scripts.benchmarks.sync_stores import compare_stores, forget, make_store, remove

PEER = "rsync"
MEMORY_TARGET_MB = 150
FEW, FEW_RUNS = "few", 4
"""A store of so few runs that its offer fits into TCP's first window, 14 kB."""

CONNECTING = ("ssh", "ControlMaster", "paramiko")


def bench_small(lab: Lab, *, runs: int, near_ms: float, far_ms: float) -> Outcome:
    """Send many small sealed runs: all of them, and once more, when nothing is new.

    Loopback and two longer links, one after another; within a link every round sends the same
    store by all contestants, each to a folder that was not there. The first push begins without
    what sync remembers of a store. Then every contestant does the same again with nothing new.
    Each repetition begins a connection of its own, but for those over a ControlMaster, which was
    there before.
    """
    outcome = Outcome()
    with lab.place() as place:
        lab.say(f"making {runs:,} sealed runs")
        make_store(lab, place, place.store, "small", runs=runs)
        make_store(lab, place, place.folder / FEW, "small", runs=FEW_RUNS)
        for rtt_ms in (0.0, near_ms, far_ms):
            with make_desk(lab, place, rtt_ms=rtt_ms) as desk, desk.share():
                _measure_small(desk, rtt_ms, outcome)
    title = f"{runs:,} small runs"
    targets = {
        "loopback": {"paramiko": 0.55, "ssh": 0.55},
        name_link(near_ms): {"paramiko": 0.6, "ControlMaster": 0.45},
    }
    again = {name_link(near_ms): {"paramiko": 0.5, "ControlMaster": 0.3}}
    for rtt_ms in (0.0, near_ms, far_ms):
        link = name_link(rtt_ms)
        outcome.rows += list_ratio_rows(
            outcome.samples, f"{link}, first push", title, targets.get(link, {})
        )
        outcome.rows += list_ratio_rows(
            outcome.samples,
            f"{link}, nothing new",
            title,
            again.get(link, {}),
            but=[f"{name}, {FEW}" for name in CONNECTING],
        )
    outcome.rows += _list_round_trip_rows(outcome.samples, near_ms, far_ms)
    outcome.rows += list_memory_rows(outcome.samples, title)
    return outcome


@contextmanager
def make_desk(
    lab: Lab, place: Place, *, rtt_ms: float = 0.0, rate_bytes_s: float = 0.0
) -> Iterator[Desk]:
    """Make a link and put an sshd at its end."""
    with (
        make_link(lab, place, Wire(rtt_ms / 1e3, rate_bytes_s)) as link,
        open_desk(lab, place, link) as desk,
    ):
        lab.say(f"{name_link(rtt_ms)}: {link.how}")
        yield desk


def name_link(rtt_ms: float) -> str:
    """Return what a link is called."""
    return f"{rtt_ms:g} ms" if rtt_ms else "loopback"


def _measure_small(desk: Desk, rtt_ms: float, outcome: Outcome) -> None:
    link, names = name_link(rtt_ms), ["rsync", "paramiko", "ssh", "ControlMaster"]
    if rtt_ms:
        names.append("rsync over a ControlMaster")

    def push_first(name: str) -> dict[str, Any]:
        return push(desk, name, is_first=True)

    def push_again(name: str) -> dict[str, Any]:
        return push(desk, name)

    measure(desk, f"{link}, first push", names, push_first, outcome.samples)
    measure(desk, f"{link}, nothing new", names, push_again, outcome.samples)
    if rtt_ms:
        _measure_trips(desk, link, outcome.samples)
    for name in ("paramiko", "ssh") if not rtt_ms else ():
        sample = push(desk, name, is_first=True, is_watched=True)
        outcome.samples[f"{link}, memory: {name}"] = [sample]
    for name in names:
        remove_target(desk, name)


def _measure_trips(desk: Desk, link: str, samples: Samples) -> None:
    """Measure what is nothing but round trips: connecting, and so few runs that none is waited for.

    With thousands of runs a connection that is new needs some round trips more until TCP lets the
    offer through, which is no matter of the protocol's.
    """

    def again(name: str) -> dict[str, Any]:
        return push(desk, name, source=desk.place.folder / FEW)

    names = [f"{name}, {FEW}" for name in CONNECTING]
    for name in names:
        again(name)
    measure(desk, f"{link}, nothing new", names, again, samples)
    measure(desk, f"{link}, connect", CONNECTING, desk.connect, samples)
    for name in names:
        remove_target(desk, name)


def measure(
    desk: Desk,
    situation: str,
    names: Sequence[str],
    one: Callable[[str], dict[str, Any]],
    samples: Samples,
) -> None:
    """Measure contestants in rounds and keep the samples by ``situation: contestant``."""
    told = desk.lab.say
    told(situation)
    found = desk.lab.interleave(names, one)
    samples.update({f"{situation}: {name}": found[name] for name in names})


def push(
    desk: Desk,
    name: str,
    *,
    source: Path | None = None,
    is_first: bool = False,
    is_watched: bool = False,
    extra: Sequence[str] = (),
    check: Callable[[Path, Path], str] = compare_stores,
) -> dict[str, Any]:
    """Send a store by one contestant, and look whether it has arrived.

    Parameters
    ----------
    desk : Desk
        Where.
    name : str
        Of `CARRIERS`, and after a comma what tells two of the same carrier apart.
    source : Path, optional
        The store; default the place's.
    is_first : bool
        To a folder that is not there, and without what sync remembers.
    is_watched : bool
        See `Desk.run`.
    extra : sequence of str
        More options.
    check : callable
        Says how a copy differs from its original, or nothing.
    """
    source, target = source or desk.place.store, find_target(desk, name)
    carrier = CARRIERS[name.partition(",")[0]]
    if is_first:
        remove(target)
        forget(source)
    sample = desk.run(desk.command(carrier, source, target, extra), is_watched=is_watched)
    desk.lab.say(f"    {sample.get('error') or describe([sample])}")
    problem = check(source, target)
    return {"error": problem, **sample} if problem and "error" not in sample else sample


def find_target(desk: Desk, name: str) -> Path:
    """Return where a contestant's copy lies."""
    return desk.place.folder / f"to-{name.replace(' ', '-').replace(',', '')}"


def remove_target(desk: Desk, name: str) -> None:
    """Remove a contestant's copy."""
    remove(find_target(desk, name))


# -- rows ---------------------------------------------------------------------------------------


def list_ratio_rows(
    samples: Samples,
    situation: str,
    title: str,
    targets: dict[str, float],
    *,
    but: Sequence[str] = (),
) -> list[Row]:
    """Return a row for every contestant of a situation: its time by rsync's in the same round."""
    names = [key.partition(": ")[2] for key in samples if key.startswith(f"{situation}: ")]
    return [
        _make_ratio_row(samples, situation, title, name, targets.get(name))
        for name in names
        if name != PEER and name not in but
    ]


def _make_ratio_row(
    samples: Samples, situation: str, title: str, name: str, limit: float | None
) -> Row:
    found, peer = samples[f"{situation}: {name}"], samples[f"{situation}: {PEER}"]
    value = ratio({"ours": found, "peer": peer}, "wall_s", of="ours", to="peer")
    note = f"{describe(found)}; rsync {describe(peer)}"
    return Row(
        what=f"{title}, {situation}: {name} / rsync",
        value=value,
        unit="x",
        target=Target("<=", limit) if limit is not None else None,
        note=find_error(found) or find_error(peer) or note,
    )


def describe(samples: Sequence[dict[str, Any]]) -> str:
    """Say time, CPU of both ends and bytes, medians."""
    wall, client, server = (
        show_number(median(samples, key)) for key in ("wall_s", "client_cpu_s", "server_cpu_s")
    )
    size = median(samples, "wire_bytes")
    size_mb = show_number(size / 1e6 if size is not None else None)
    return f"{wall} s (CPU {client} + {server} s, {size_mb} MB)"


def _list_round_trip_rows(samples: Samples, near_ms: float, far_ms: float) -> list[Row]:
    """Return how many round trips there are after connecting, from what a longer link adds."""
    rows = []
    for name in CONNECTING:
        trips, keys = {}, {"nothing new": f"{name}, {FEW}", "connect": name}
        for what, key in keys.items():
            near, far = (
                median(samples[f"{name_link(one)}, {what}: {key}"], "wall_s")
                for one in (near_ms, far_ms)
            )
            if near is not None and far is not None:
                trips[what] = (far - near) / (far_ms - near_ms) * 1e3
        exact = trips["nothing new"] - trips["connect"] + 1 if len(trips) > 1 else None
        note = f"measured {show_number(exact)}: "
        note += f"{show_number(trips.get('nothing new'))} with connecting; a command that only ends"
        note += f" has {show_number(trips.get('connect'))}, the last of which is counted here"
        error = find_error(samples[f"{name_link(near_ms)}, nothing new: {name}, {FEW}"])
        error = error or find_error(samples[f"{name_link(near_ms)}, connect: {name}"])
        rows.append(
            Row(
                what=f"round trips after connecting, nothing new: {name}",
                value=round(exact) if exact is not None else None,
                unit="round trips",
                target=Target("<=", 2),
                note=error or note,
            )
        )
    return rows


def list_memory_rows(samples: Samples, title: str) -> list[Row]:
    """Return the peaks of both ends, in pushes that were watched and not timed."""
    rows = []
    for end, word in (("client_mb", "sender"), ("server_mb", "receiver")):
        found = [one for key, many in samples.items() if "memory: " in key for one in many]
        peaks = [one[end] for one in found if end in one]
        rows.append(
            Row(
                what=f"{title}: peak memory of the {word}",
                value=max(peaks, default=None),
                unit="MB",
                target=Target("<=", MEMORY_TARGET_MB),
                note=f"of {len(peaks)} pushes; the largest process",
            )
        )
    return rows
