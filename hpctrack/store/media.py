"""Finding what a run has logged that is no number: pictures, sounds, tables."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hpctrack.store.events import NodeEvents
from hpctrack.store.media_item import MediaItem
from hpctrack.store.payloads import ByteSource, Payloads
from hpctrack.store.schema import EventKind

__all__ = ["ATTACHMENT", "MediaItem", "read_media", "select"]

ATTACHMENT = "attachment"
"""The type of what belongs to other media, and is none of its own."""


def read_media(
    sources: Sequence[tuple[NodeEvents, ByteSource]], *, superseded: bool = False
) -> list[MediaItem]:
    """Return what a run has logged that is no number.

    Parameters
    ----------
    sources : sequence of (NodeEvents, ByteSource)
        What each file says, by attempt and node, and who can read its bytes.
    superseded : bool
        Also what a later attempt of the same rank has logged again.

    Returns
    -------
    list of MediaItem
        By key, step and rank; within these in the order of logging.
    """
    payloads = Payloads(sources)
    found: dict[tuple[Any, ...], MediaItem] = {}
    for events, _reader in sources:
        attempt = _whole(events.facts.get("attempt"), 1)
        for event in events.events:
            if event.kind != EventKind.MEDIA:
                continue
            told = event.json()
            item = _make_item(told, event.rank, attempt, event.wall_s, payloads)
            if item is not None:
                # A rank that lost its agent says again what it is not sure of.
                again = (item.key, item.step, item.rank, attempt, told.get("n", len(found)))
                found.setdefault((*again, item.digest, item.meta.get("index")), item)
    chains = _by_series(found.values())
    items = [one for chain in chains for one in _link(chain if superseded else _current(chain))]
    return sorted(items, key=lambda one: (one.key, one.step, one.rank))


def select(
    items: Sequence[MediaItem],
    *,
    key: str | None = None,
    type: str | None = None,  # noqa: A002 - the word of the description
    rank: int | None = None,
    step: int | None = None,
) -> list[MediaItem]:
    """Return the items that match.

    Parameters
    ----------
    key : str, optional
        A name, or a pattern with ``*`` and ``?``.
    type : str, optional
    rank, step : int, optional
    """
    return [
        one
        for one in items
        if (key is None or one.key == key or fnmatch.fnmatchcase(one.key, key))
        and (type is None or one.type == type)
        and (rank is None or one.rank == rank)
        and (step is None or one.step == step)
    ]


def _make_item(
    told: dict[str, Any], rank: int, attempt: int, wall_s: float, payloads: Payloads
) -> MediaItem | None:
    """Make an item of an event; None for attachments, and for what a broken file says."""
    texts = [told.get(name) for name in ("key", "type", "format", "digest")]
    meta = told.get("meta", {})
    if not all(isinstance(one, str) for one in texts) or not isinstance(meta, dict):
        return None
    if told["type"] == ATTACHMENT:
        return None
    return MediaItem(
        key=told["key"],
        step=_whole(told.get("step"), 0),
        rank=rank,
        attempt=attempt,
        wall_s=wall_s,
        type=told["type"],
        format=told["format"],
        digest=told["digest"],
        size=_whole(told.get("size"), 0),
        meta=meta,
        payloads=payloads,
    )


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


def _by_series(items: Iterable[MediaItem]) -> list[list[MediaItem]]:
    """Group items by key and rank, in the order of logging."""
    groups: dict[tuple[str, int], list[MediaItem]] = {}
    for one in items:
        groups.setdefault((one.key, one.rank), []).append(one)
    return list(groups.values())


def _current(series: list[MediaItem]) -> list[MediaItem]:
    """Leave out what a later attempt has logged again: the rule that holds for points."""
    kept: list[MediaItem] = []
    limit: float = float("inf")
    again: set[int] = set()
    for attempt in sorted({one.attempt for one in series}, reverse=True):
        mine = [one for one in series if one.attempt == attempt]
        kept[:0] = [one for one in mine if one.step < limit and one.step not in again]
        limit = min(limit, mine[0].step)
        again.update(one.step for one in mine)
    return kept


def _link(series: list[MediaItem]) -> Iterator[MediaItem]:
    """Tell each increment of a table which one came before."""
    last: MediaItem | None = None
    for one in series:
        first = one.meta.get("first_row")
        linked = replace(one, before=last) if first else one
        last = linked if isinstance(first, int) else None
        yield linked
