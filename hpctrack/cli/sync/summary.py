"""What a push did, in words, and the exit code that it deserves."""

from __future__ import annotations

from collections.abc import Iterator

from hpctrack.cli.amounts import show_bytes
from hpctrack.cli.format import show_duration
from hpctrack.errors import RefusedError, StoreError
from hpctrack.sync.sending.candidates import Skipped
from hpctrack.sync.sending.push_result import ItemResult, PushResult, Status
from hpctrack.sync.wire.messages import ItemKind

MOVED = frozenset({Status.SENT, Status.REPLACED})

_WHAT = {ItemKind.SWEEP: "sweep ", ItemKind.ACCOUNTING: "accounting of "}


def iter_notes(result: PushResult) -> Iterator[str]:
    """Yield a line for each item that is not simply there now."""
    for one in result.items:
        if one.status in {Status.REFUSED, Status.SKIPPED}:
            yield f"{_name(one)}: {one.status}: {_reason(one)}"
        elif one.status == Status.WOULD_SEND:
            first = "would be sealed and sent" if one.reason else "would be sent"
            yield f"{_name(one)}: {first}"


def summarise(result: PushResult, *, dry_run: bool) -> str:
    """Return the last line: what moved, and what did not."""
    there = f"{count(result.present, 'run')} already there"
    if dry_run:
        return f"would send {count(result.would_send, 'run')}; {there}"
    parts = []
    what = list(_iter_moved(result))
    if what:
        size, time = show_bytes(result.size_bytes), show_duration(result.duration_s)
        parts.append(f"sent {' and '.join(what)} ({size} in {time})")
    else:
        parts.append("nothing new")
    if result.present or not result.sent:
        parts.append(there)
    if result.refused:
        parts.append(f"{result.refused} refused")
    left = result.skipped - result.present
    if left:
        parts.append(f"{left} skipped")
    return "; ".join(parts)


def has_moved(result: PushResult) -> bool:
    """Tell whether anything was sent."""
    return any(one.status in MOVED for one in result.items)


def _iter_moved(result: PushResult) -> Iterator[str]:
    if result.sent:
        yield count(result.sent, "run")
    sweeps = sum(one.status in MOVED for one in result.sweeps)
    if sweeps:
        yield count(sweeps, "sweep")
    news = sum(one.status in MOVED for one in result.accountings)
    if news:
        yield f"the accounting of {count(news, 'run')}"


def _name(one: ItemResult) -> str:
    return f"{_WHAT.get(one.key.kind, '')}{one.key}"


def _reason(one: ItemResult) -> str:
    if one.status == Status.REFUSED or one.reason == Skipped.UNREADABLE:
        return one.text or one.reason
    return one.reason


def count(number: int, noun: str) -> str:
    """Return ``1 run`` or ``2 runs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def raise_for(result: PushResult) -> None:
    """Turn what is not well into the exit code; running runs are well.

    Raises
    ------
    RefusedError
        The other side did not take something.
    StoreError
        A run could not be read here.
    """
    # What Slurm counted is an extra: it is told, and no reason to fail.
    refused = [
        one
        for one in result.items
        if one.status == Status.REFUSED and one.key.kind != ItemKind.ACCOUNTING
    ]
    if refused:
        raise RefusedError(
            f"{result.remote} refused {len(refused)} of {len(result.items)}:"
            f" {refused[0].key}: {refused[0].text}"
        )
    broken = [one for one in result.items if one.reason == Skipped.UNREADABLE]
    if broken:
        raise StoreError(
            f"{count(len(broken), 'run')} could not be read and stayed here",
            hint=f"`hpctrack show {broken[0].key}` tells more",
        )
