"""Reading what a run was made of; `StoredRun` inherits `TracedRun`."""

from __future__ import annotations

import abc
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpctrack.errors import HpctrackError
from hpctrack.store.described import DescribedRun
from hpctrack.store.events import NodeEvents
from hpctrack.store.payloads import ByteSource
from hpctrack.store.schema import EventKind, Place

Sources = Sequence[tuple[NodeEvents, ByteSource]]

_SEED = re.compile(r"(?i)(?:^|[._-]|HASH)seeds?$")

Key = tuple[int, int, str]
"""Attempt, node, host."""


class TracedRun(DescribedRun):
    """A run that tells what it was made of."""

    @abc.abstractmethod
    def _byte_sources(self) -> Sources:
        """Return what each file says with who can read its bytes; `StoredRun` has them."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What the latest attempt was made of: command, code, packages, machine.

        Its keys are in ``docs/explanations/provenance.md``; empty if nothing was recorded.
        """
        return self.find_provenance()

    def find_provenance(
        self, *, attempt: int | None = None, node: int | None = None
    ) -> dict[str, Any]:
        """Return what an attempt was made of, as one node saw it.

        Parameters
        ----------
        attempt : int, optional
            Default the latest that has one.
        node : int, optional
            Default the first, which knows most: what all nodes have in common is recorded once.

        Returns
        -------
        dict
            Empty if nothing was recorded. ``of`` says whose it is.
        """
        found = read_provenance(self._byte_sources(), attempt=attempt, node=node)
        seeds = find_seeds(self.config, found) if found else {}
        return {**found, **({"seeds": seeds} if seeds else {})}


def read_provenance(
    sources: Sources, *, attempt: int | None = None, node: int | None = None
) -> dict[str, Any]:
    """Return one provenance out of those that a run's files hold, see `TracedRun`.

    Parameters
    ----------
    sources : sequence of (NodeEvents, ByteSource)
        By attempt and node.
    attempt, node : int, optional
    """
    found: dict[Key, list[dict[str, Any]]] = {}
    ranks: dict[Key, int] = {}
    for source, reader in sources:
        key = _key_of(source)
        if attempt not in {None, key[0]} or node not in {None, key[1]}:
            continue
        for event in source.events:
            if event.kind == EventKind.PROVENANCE:
                part = _read_part(reader, event.place, event.offset, event.size)
                if part:
                    found.setdefault(key, []).append(part)
                    ranks.setdefault(key, event.rank)
    if not found:
        return {}
    latest = max(key[0] for key in found)
    chosen = min((key for key in found if key[0] == latest), key=lambda key: (key[1], ranks[key]))
    names = ("attempt", "node", "host")
    return {
        **_join(found[chosen]),
        "of": {**dict(zip(names, chosen, strict=True)), "rank": ranks[chosen]},
    }


def find_seeds(config: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the random seeds that a run was given: in its configuration, arguments, environment.

    Parameters
    ----------
    config : mapping
        Nested as it was given.
    provenance : mapping
        As `read_provenance` returns it.
    """
    found = {key: value for key, value in _iter_pairs(config, "config.") if _SEED.search(key)}
    words = [str(one) for one in (provenance.get("program") or {}).get("argv") or ()]
    for word, following in zip(words, [*words, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        if _SEED.search(name) and (equals or name.startswith("-")):
            found[name] = value if equals else following
    environ = provenance.get("environment") or {}
    return found | {name: value for name, value in environ.items() if _SEED.search(name)}


def _iter_pairs(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _iter_pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _key_of(source: NodeEvents) -> Key:
    facts = source.facts
    return int(facts.get("attempt", 1)), int(facts.get("node", 0)), str(facts.get("host", ""))


def _read_part(reader: ByteSource, place: int, offset: int, size: int) -> dict[str, Any]:
    """Return one event's object; an empty one if its bytes are damaged, or not there yet."""
    try:
        value = json.loads(reader.read_bytes(Place(place), offset, size))
    except (HpctrackError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _join(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put parts together; of several agents the first one was nearest to the beginning."""
    groups: dict[float, dict[str, Any]] = {}
    masked: dict[float, int] = {}
    for part in parts:
        begun_wall_s = _number(part.get("collected_wall_s"))
        masked[begun_wall_s] = masked.get(begun_wall_s, 0) + int(_number(part.get("masked")))
        groups.setdefault(begun_wall_s, {}).update(part)
    whole: dict[str, Any] = {}
    for begun_wall_s in sorted(groups, reverse=True):
        # All parts are objects; what is none was written by nobody who knows the format.
        known = {key: one for key, one in groups[begun_wall_s].items() if isinstance(one, dict)}
        whole |= known
        whole |= {"collected_wall_s": begun_wall_s, "masked": masked[begun_wall_s]}
    return whole


def _number(value: object) -> float:
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return 0.0
