"""One thing that people have said of a run: a field, or whether it has a tag. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hpctrack.core.names import clean

NAME = "name"
NOTES = "notes"
ARCHIVED = "archived"
DELETED = "deleted"
FLAGS = frozenset({ARCHIVED, DELETED})
"""Whether listings leave the run out; deleting is a mark that can be taken back."""

TAG_PREFIX = "tag:"
"""Before a tag, as the key of its entry, whose value tells whether the run has it."""

NAME_MAX_CHARS = 200
TAG_MAX_CHARS = 200
NOTES_MAX_BYTES = 32 * 1024
USER_MAX_CHARS = 100

VERSION_MAX = 2**53 - 1
"""What every JSON reader can count to."""

WALL_MAX_S = 1e11
DEPTH_MAX = 16
"""Of the value of a field that only a newer hpctrack knows."""

_ATTRIBUTES = frozenset({"value", "version", "server", "wall_s", "by", "base"})
_KEY_MAX_CHARS = len(TAG_PREFIX) + TAG_MAX_CHARS


@dataclass(frozen=True, slots=True)
class Entry:
    """The last word on one field or tag.

    Parameters
    ----------
    value : str, bool or other JSON
        A name or notes, whether the run has the tag, or what a newer hpctrack has put there.
    version : int
        From 1. An edit made by who had seen another one has a higher version than that.
    is_server : bool
        Edited in a server's store: of equal versions, which did not know of each other, it wins.
    wall_s : float
        When, UTC seconds.
    by : str
        The user's name.
    base : int
        The highest version that also another side has, as far as is known here; at most `version`.
    more : mapping
        What a newer hpctrack has added.
    """

    value: Any
    version: int
    is_server: bool = False
    wall_s: float = 0.0
    by: str = ""
    base: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, bool, float, str, str]:
        """What decides between two entries; equal only for equal ones, whatever their base."""
        rest = write_canonical({"by": self.by, "more": self.more})
        return (self.version, self.is_server, self.wall_s, write_canonical(self.value), rest)

    def join(self, other: Entry) -> Entry:
        """Return the entry that counts of the two."""
        winner = self if self is other or self.order >= other.order else other
        base = max(self.base, other.base)
        return winner if winner.base == base else replace(winner, base=base)

    def to_json(self) -> dict[str, Any]:
        """Return its canonical form: what is as by default is left out."""
        told: dict[str, Any] = {**self.more, "value": self.value, "version": self.version}
        told["wall_s"] = self.wall_s
        if self.is_server:
            told["server"] = True
        if self.by:
            told["by"] = self.by
        if self.base != self.version:
            told["base"] = self.base
        return told


def parse_entry(key: str, told: object) -> Entry | None:
    """Return what another program has written as an entry, or None if it is none."""
    if not isinstance(told, dict) or not _is_key(key) or not _is_plain(told):
        return None
    version, wall_s = told.get("version"), told.get("wall_s")
    base = told.get("base", version)
    is_server, by = told.get("server", False), told.get("by", "")
    if type(version) is not int or type(base) is not int:
        return None
    if not isinstance(wall_s, (int, float)) or isinstance(wall_s, bool):
        return None
    if not 0 <= base <= version <= VERSION_MAX or version < 1 or not 0 <= wall_s <= WALL_MAX_S:
        return None
    value = told.get("value")
    if type(is_server) is not bool or not _is_text(by, USER_MAX_CHARS) or not _fits(key, value):
        return None
    more = {name: one for name, one in told.items() if name not in _ATTRIBUTES}
    # Adding 0 makes -0 the one zero that there is in a canonical form.
    return Entry(value, version, is_server, float(wall_s) + 0.0, by, base, more)


def clean_lines(text: str) -> str:
    """Replace control characters other than line ends and tabs."""
    return "\n".join("\t".join(map(clean, line.split("\t"))) for line in text.split("\n"))


def write_canonical(value: Any) -> str:
    """Return JSON that is the same for equal values."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )


def _is_key(key: str) -> bool:
    return bool(key) and key != TAG_PREFIX and _is_text(key, _KEY_MAX_CHARS)


def _fits(key: str, value: object) -> bool:
    """Tell whether a value is one that its key may have."""
    if key == NAME:
        return _is_text(value, NAME_MAX_CHARS)
    if key == NOTES:
        is_text = isinstance(value, str) and clean_lines(value) == value
        return is_text and len(str(value).encode()) <= NOTES_MAX_BYTES
    return type(value) is bool or not (key in FLAGS or key.startswith(TAG_PREFIX))


def _is_text(value: object, max_chars: int) -> bool:
    """Tell whether it is a text without anything that would command a terminal."""
    return isinstance(value, str) and len(value) <= max_chars and clean(value) == value


def _is_plain(value: object, depth: int = 0) -> bool:
    """Tell whether a JSON value can be written again: not too deep, nothing but Unicode."""
    if depth > DEPTH_MAX:
        return False
    if isinstance(value, dict):
        parts: list[object] = [*value, *value.values()]
        return all(_is_plain(one, depth + 1) for one in parts)
    if isinstance(value, list):
        return all(_is_plain(one, depth + 1) for one in value)
    if isinstance(value, str):
        return not any("\ud800" <= one <= "\udfff" for one in value)
    return not isinstance(value, float) or math.isfinite(value)
