"""What a run has used: the store's account of energy, as a page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpctrack.errors import NotFoundError
from hpctrack_server.data.entries import Entry


def measure_used(entry: Entry) -> dict[str, Any]:
    """Return joules by host, and what of them is not known; ``known`` is false if nothing is."""
    try:
        found = entry.run.energy()
    except NotFoundError as error:
        return {"known": False, "message": error.message, "hint": error.hint or ""}
    plain = found.to_json()
    plain["by_rank"] = {}
    hosts = sorted(found.by_host.items(), key=lambda one: -one[1])
    return {
        "known": True, **plain, "by_host": hosts, "by_device": len(found.by_device),
        "missing": join_lines(found.missing),
    }  # fmt: skip


def join_lines(lines: Sequence[str]) -> list[str]:
    """Put together what is said of several hosts: each line begins with one."""
    hosts: dict[str, list[str]] = {}
    for line in lines:
        host, _, what = line.partition(": ")
        hosts.setdefault(what, []).append(host)
    return [
        f"{found[0]}: {what}" if len(found) == 1 else f"{what}, on {len(found):,} hosts"
        for what, found in hosts.items()
    ]
