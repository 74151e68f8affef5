"""The loss ledger in words: what of a run is missing, and how that is said. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hpctrack.core.names import clean
from hpctrack.errors import HpctrackError

Ledger = Mapping[str, Any]
"""Totals by key; a value is a number, or an object of numbers."""

UNREADABLE = "unreadable"
"""What a reader finds missing in files that nobody writes any more; never written."""

_LOSSES = {
    "dropped_points": ("point dropped", "points dropped"),
    "unnamed_points": ("point without a name dropped", "points without a name dropped"),
    "dropped_frames": ("message dropped", "messages dropped"),
    "unsafe_points": (
        "point perhaps lost by a disk that failed",
        "points perhaps lost by a disk that failed",
    ),
    "unsalvaged_points": ("point lost with a damaged file", "points lost with a damaged file"),
    "unsalvaged_samples": ("sample lost with a damaged file", "samples lost with a damaged file"),
    "unsalvaged_events": ("event lost with a damaged file", "events lost with a damaged file"),
}

_REFUSED_STEP = "step"
"""Of ``refused``: a step that is no number. What was logged with it is recorded at the next one."""

_INCIDENTS = {
    "agents_lost": ("agent lost", "agents lost"),
    "cut_connections": ("connection closed by the program", "connections closed by the program"),
}
"""What happened without costing anything of itself: what it cost is counted for itself."""


def list_losses(ledger: Ledger) -> tuple[str, ...]:
    """Return what of a run is missing, in words; empty if nothing is.

    Parameters
    ----------
    ledger : mapping
        A `RunRecord`'s.

    Examples
    --------
    >>> list_losses({"dropped_points": 18_160, "refused": {"value": 1}, "agents_lost": 1})
    ('18,160 points dropped', '1 refused: value')
    """
    if not ledger:
        return ()  # of ten thousand runs in a list, nearly all
    found = [_say(ledger, key, words) for key, words in _LOSSES.items()]
    found += [
        f"{count:,} {what[: -1 if count == 1 else None]} cannot be read"
        for what, count in _numbers(ledger.get(UNREADABLE))
    ]
    found += [
        f"{count:,} refused: {what}"
        for what, count in _numbers(ledger.get("refused"))
        if what != _REFUSED_STEP
    ]
    known = {*_LOSSES, *_INCIDENTS, UNREADABLE, "refused"}
    for key, value in ledger.items():  # of a newer writer
        if key not in known:
            words = clean(key.replace("_", " "))
            inner = _numbers(value) if isinstance(value, Mapping) else _numbers({"": value})
            found += [f"{count:,} {words}{': ' * bool(what)}{what}" for what, count in inner]
    return tuple(one for one in found if one)


def list_incidents(ledger: Ledger) -> tuple[str, ...]:
    """Return what happened to a run's recording that cost nothing of itself, in words."""
    found = [_say(ledger, key, words) for key, words in _INCIDENTS.items()]
    steps = dict(_numbers(ledger.get("refused"))).get(_REFUSED_STEP, 0)
    if steps:
        found.append(f"{steps:,} step{'s' * (steps > 1)} refused")
    return tuple(one for one in found if one)


def shorten_losses(losses: tuple[str, ...]) -> str:
    """Return the first loss and how many more there are, for the cell of a table."""
    more = f" +{len(losses) - 1}" if len(losses) > 1 else ""
    return f"{losses[0]}{more}" if losses else ""


def describe_losses(find: Callable[[], tuple[str, ...]]) -> str:
    """Return the end of a `repr`: ``; incomplete: 18,160 points dropped``, or nothing.

    Parameters
    ----------
    find : callable
        Returns the losses. Asked only here, because it may read files; what is wrong with those
        is not a `repr`'s to say.
    """
    try:
        losses = find()
    except (HpctrackError, OSError):
        return ""
    return f"; incomplete: {', '.join(losses)}" if losses else ""


def add_unreadable(ledger: Ledger, rows: Iterable[Mapping[str, int]]) -> dict[str, Any]:
    """Return a ledger that also says what of some files cannot be read.

    Parameters
    ----------
    rows : iterable of mapping
        ``points``, ``samples``, ``events``, ``bytes`` and ``files``.
    """
    total: dict[str, int] = {}
    for one in rows:
        for what, count in one.items():
            total[what] = total.get(what, 0) + count
    total = {what: count for what, count in total.items() if count > 0}
    return {**ledger, UNREADABLE: total} if total else dict(ledger)


def name_rows(missing: Mapping[str, int], *, events: int = 0, points: int = 0) -> dict[str, int]:
    """Return the missing rows of a file's tables as a ledger has them.

    Parameters
    ----------
    missing : mapping of str to int
        By table.
    events, points : int, optional
        Which are there and not whole.
    """
    found = {name: missing.get(name, 0) for name in ("points", "samples", "events")}
    found["events"] += events
    found["points"] += points
    found["bytes"] = missing.get("text", 0) + missing.get("blobs", 0)
    return {name: count for name, count in found.items() if count}


def _say(ledger: Ledger, key: str, words: tuple[str, str]) -> str:
    count = sum(count for _what, count in _numbers({key: ledger.get(key)}))
    return f"{count:,} {words[count != 1]}" if count else ""


def _numbers(value: object) -> list[tuple[str, int]]:
    """Return the counts of an object that are none of zero; a damaged file may hold anything."""
    if not isinstance(value, Mapping):
        return []
    return [
        (clean(str(what)), int(count))
        for what, count in value.items()
        if isinstance(count, int | float) and count - count == 0 and int(count)
    ]
