"""What ranks print, as events of a node file."""

from __future__ import annotations

from hpctrack.core.wire import read_gap
from hpctrack.store.node_file import NewEvent
from hpctrack.store.schema import EventKind

JOIN_BYTES = 16 * 1024
"""Pieces are joined up to about this length: an event costs 48 bytes, a copy its length."""

CONSOLE_KINDS = {1: EventKind.STDOUT, 2: EventKind.STDERR}

_KINDS = frozenset(CONSOLE_KINDS.values())


def add_joined(events: list[NewEvent], event: NewEvent) -> None:
    """Append an event; a piece of console that goes on where the last one ended becomes one."""
    last = events[-1] if events else None
    if (
        last
        and event.kind in _KINDS
        and (last.kind, last.session) == (event.kind, event.session)
        and len(last.body) < JOIN_BYTES
        and not (read_gap(last.body) or read_gap(event.body))
    ):
        events[-1] = last._replace(body=last.body + event.body)
        return
    events.append(event)
