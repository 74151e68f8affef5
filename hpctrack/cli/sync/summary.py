"""What a push did, in words, and the exit code that it deserves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from hpctrack.cli.format import show_duration
from hpctrack.core.byte_sizes import show_bytes
from hpctrack.core.counting import show_count
from hpctrack.errors import RefusedError, StoreError
from hpctrack.sync.sending.candidates import Skipped
from hpctrack.sync.sending.push_result import ItemResult, PushResult, Status
from hpctrack.sync.wire.messages import ItemKind

MOVED = frozenset({Status.SENT, Status.REPLACED, Status.GROWN})

_WHAT = {
    ItemKind.SWEEP: "sweep ",
    ItemKind.LIVE: "new rows of ",
    ItemKind.ACCOUNTING: "accounting of ",
    ItemKind.ANNOTATIONS: "notes on ",
    ItemKind.BLOB: "blob ",
}

_NEWS = {
    ItemKind.RUN: "{runs}",
    ItemKind.LIVE: "what {runs} grew by",
    ItemKind.ANNOTATIONS: "notes on {runs}",
    ItemKind.ACCOUNTING: "the accounting of {runs}",
}
"""What went, in the order in which it is told; several files of a run are one run."""

PROJECTS_MAX = 20
"""Of so many projects it is told what went where."""

SAVING_MIN = 0.9
"""What went over the line is told if it was less than this of what the files hold."""


def iter_notes(result: PushResult) -> Iterator[str]:
    """Yield a line for each item that is not simply there now."""
    for one in result.items:
        if one.status in {Status.REFUSED, Status.SKIPPED}:
            yield f"{_name(one)}: {one.status}: {_reason(one)}"
        elif one.status == Status.WOULD_SEND:
            first = "would be sealed and sent" if one.reason else "would be sent"
            yield f"{_name(one)}: {first}"


def iter_projects(result: PushResult) -> Iterator[str]:
    """Yield a line for each project, if something of several of them went."""
    moved = defaultdict(list)
    for one in result.items:
        if one.status in MOVED:
            moved[one.key.project].append(one)
    if len(moved) < 2:  # noqa: PLR2004 - one project is no list
        return
    for project in sorted(moved)[:PROJECTS_MAX]:
        yield f"{project}: {_join(list(_iter_news(moved[project])))}"
    if len(moved) > PROJECTS_MAX:
        yield f"and {len(moved) - PROJECTS_MAX} more projects"


def summarise(result: PushResult, *, dry_run: bool, verb: str = "sent") -> str:
    """Return the last line: what moved, and what did not."""
    there = f"{show_count(result.present, 'run')} already there"
    if dry_run:
        would = [one for one in result.items if one.status == Status.WOULD_SEND]
        return f"would send {_join(list(_iter_news(would))) or '0 runs'}; {there}"
    parts = []
    news = list(_iter_news(one for one in result.items if one.status in MOVED))
    parts.append(f"{verb} {_join(news)} ({_measure(result)})" if news else "nothing new")
    if result.present or not news:
        parts.append(there)
    refused = sum(one.status == Status.REFUSED for one in result.items)
    if refused:  # notes and blobs, too: each has had its line
        parts.append(f"{refused} refused")
    left = result.skipped - result.present
    if left:
        parts.append(f"{left} skipped")
    return "; ".join(parts)


def has_moved(result: PushResult) -> bool:
    """Tell whether anything was sent."""
    return any(one.status in MOVED for one in result.items)


def _iter_news(items: Iterable[ItemResult]) -> Iterator[str]:
    """Yield what there is of each kind, such as ``3 runs``."""
    found = defaultdict(set)
    for one in items:
        found[one.key.kind].add((one.key.project, one.key.id))
    for kind, words in _NEWS.items():
        if found[kind]:
            yield words.format(runs=show_count(len(found[kind]), "run"))
    for kind, noun in ((ItemKind.SWEEP, "sweep"), (ItemKind.BLOB, "blob")):
        if found[kind]:
            yield show_count(len(found[kind]), noun)


def _measure(result: PushResult) -> str:
    size, time = show_bytes(result.size_bytes), show_duration(result.duration_s)
    if result.wire_bytes < SAVING_MIN * result.size_bytes:
        return f"{size} in {time}, {show_bytes(result.wire_bytes)} on the line"
    return f"{size} in {time}"


def _join(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _name(one: ItemResult) -> str:
    return f"{_WHAT.get(one.key.kind, '')}{one.key}"


def _reason(one: ItemResult) -> str:
    if one.status == Status.REFUSED or one.reason == Skipped.UNREADABLE:
        return one.text or one.reason
    return one.reason


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
            f"{show_count(len(broken), 'run')} could not be read and stayed here",
            hint=f"`hpctrack show {broken[0].key}` tells more",
        )
