"""What a page of media is told: which keys there are, and what is behind each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpctrack.store.media_item import MediaItem
from hpctrack_server.data.entries import make_plain_text

STEPS_MAX = 2000
"""A slider cannot be set more finely than its pixels; of more steps some are left out, evenly."""

LIST_MAX = 200
"""Members of a list that are shown at one step."""

META = (
    "caption", "index", "of", "width", "height", "attachments", "sample_rate", "channels",
    "duration_s", "fps", "frames", "rows", "columns", "points", "kind", "title", "library",
    "not_finite", "clipped", "range", "values",
)  # fmt: skip
"""What of the description of an item a page shows."""


def list_keys(items: Sequence[MediaItem]) -> list[dict[str, Any]]:
    """Return the keys in the order of their names, each with its type, steps and ranks.

    Returns
    -------
    list of dict
        ``key, type, format, count, ranks, steps, all_steps``: how many steps there are, of which
        ``steps`` are those that a slider can be set to.
    """
    found: dict[str, list[MediaItem]] = {}
    for one in items:
        found.setdefault(one.key, []).append(one)
    return [_describe_key(key, found[key]) for key in sorted(found)]


def _describe_key(key: str, items: Sequence[MediaItem]) -> dict[str, Any]:
    steps = sorted({one.step for one in items})
    return {
        "key": make_plain_text(key),
        "type": items[-1].type,
        "format": items[-1].format,
        "count": len(items),
        "ranks": sorted({one.rank for one in items})[:1024],
        "steps": thin(steps, STEPS_MAX),
        "all_steps": len(steps),
    }


def thin(values: Sequence[int], most: int) -> list[int]:
    """Return at most so many values, evenly, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(one * (len(values) - 1) / (most - 1))] for one in range(most)]


def describe_step(items: Sequence[MediaItem], step: int, rank: int | None) -> dict[str, Any]:
    """Return what was logged under a key at a step, or last before it.

    Parameters
    ----------
    items : sequence of MediaItem
        Of one key.
    step : int
    rank : int, optional
        Default: of the lowest rank that logged at that step.

    Returns
    -------
    dict
        ``step, rank, items`` and ``more``: how many members of a list are left out.
    """
    mine = [one for one in items if rank is None or one.rank == rank]
    before = [one.step for one in mine if one.step <= step] or [one.step for one in mine]
    if not before:
        return {"step": step, "rank": rank, "items": [], "more": 0}
    at = max(before) if min(before) <= step else min(before)
    here = [one for one in mine if one.step == at]
    lowest = min(one.rank for one in here)
    here = [one for one in here if one.rank == lowest]
    here.sort(key=lambda one: int(one.meta.get("index") or 0))
    return {
        "step": at,
        "rank": lowest,
        "items": [describe_item(one) for one in here[:LIST_MAX]],
        "more": max(0, len(here) - LIST_MAX),
    }


def describe_item(item: MediaItem) -> dict[str, Any]:
    """Return an item without its bytes."""
    meta = {name: item.meta[name] for name in META if name in item.meta}
    return {
        "type": item.type,
        "format": item.format,
        "digest": item.digest,
        "size": item.size,
        "rank": item.rank,
        "meta": meta,
    }
