"""What was said of a run: configuration, summary, names, warnings, definitions, losses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hpctrack.core.names import clean
from hpctrack.store.definitions import join_definitions
from hpctrack.store.events import Event
from hpctrack.store.vocabulary import EventKind

Speaker = tuple[str, int, int]
"""Host, rank and process; what agents say of themselves has no host."""

Told = list[tuple[int, Speaker, Event]]
"""Events with the attempt they belong to (0 if to none) and who said them."""

_KINDS = frozenset(
    {
        EventKind.CONFIG,
        EventKind.SUMMARY,
        EventKind.META,
        EventKind.NOTE,
        EventKind.LEDGER,
        EventKind.DEFINE,
    }
)
"""The other kinds (media, console) are many and not read here."""


RULE_TAG = "rule:"
"""Before the name of a rule that has marked the run, as one of its tags."""


def read_told(told: Told, *, default_name: str, attempt: int) -> dict[str, Any]:
    """Read what was said; the lowest rank has the last word.

    Parameters
    ----------
    told : list
        In the order of files and of writing.
    default_name : str
        The run's name if nobody has set one.
    attempt : int
        The latest one.

    Returns
    -------
    dict
        Fields of a `RunRecord`, and ``is_preempting``.
    """
    configs: dict[tuple[int, int], dict[Speaker, dict[str, Any]]] = {}
    summary: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    warnings: list[dict[str, Any]] = []
    marks: list[str] = []
    definitions: list[dict[str, Any]] = []
    # A process says its totals again to each of its agents.
    ledgers: dict[Speaker, dict[str, Any]] = {}
    is_preempting = False
    wanted = [one for one in told if one[2].kind in _KINDS]
    for said_in, speaker, event in sorted(wanted, key=lambda one: -one[2].rank):
        value = event.json()
        match event.kind:
            case EventKind.CONFIG:
                key = (event.rank, said_in)
                configs[key] = configs.pop(key, {})  # who has spoken last is last
                configs[key][speaker] = value
            case EventKind.SUMMARY:
                summary.update(value)
            case EventKind.META:
                meta.update(value)
                is_preempting |= bool(value.get("preempting")) and said_in == attempt
            case EventKind.NOTE:
                warnings.append({**value, "rank": event.rank, "wall_s": event.wall_s})
                if value.get("code") == "rule" and value.get("mark"):
                    marks.append(f"{RULE_TAG}{value.get('rule', '')}")
            case EventKind.DEFINE:
                definitions.append(value)
            case _:
                ledgers[speaker] = value
    return {
        "name": clean(str(meta.get("name") or default_name)),
        # A run that goes on may have been told the marks of its earlier attempts.
        "tags": tuple(dict.fromkeys(clean(str(one)) for one in [*meta.get("tags", ()), *marks])),
        "notes": str(meta.get("notes", "")),
        "fork": dict(meta.get("fork") or {}),
        "config": _join_configs(configs),
        "summary": {key: item for key, item in summary.items() if item is not None},
        "warnings": tuple(sorted(warnings, key=lambda one: one["wall_s"])),
        "definitions": join_definitions(definitions),
        "ledger": _sum_ledgers(ledgers.values()),
        "is_preempting": is_preempting,
    }


def _join_configs(configs: Mapping[Any, Mapping[Speaker, dict[str, Any]]]) -> dict[str, Any]:
    """Return the lowest rank's configuration, as its last attempt has it.

    Of a rank that is two processes, as under ``hpctrack run``, both have said a part.
    """
    config: dict[str, Any] = {}
    for one in [*configs.values()][-1:]:
        for value in one.values():
            config |= value
    return config


def _sum_ledgers(ledgers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for ledger in ledgers:
        for key, value in ledger.items():
            if isinstance(value, Mapping):
                inner = total.setdefault(key, {})
                for name, count in value.items():
                    inner[name] = inner.get(name, 0) + int(count)
            else:
                total[key] = total.get(key, 0) + int(value)
    return total
