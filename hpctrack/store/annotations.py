"""What people say of a run afterwards: its name, notes and tags; edited on any side. Pure.

Each field, and each tag, is an entry of its own. Two states of a run's annotations are merged
entry by entry; of two entries the higher one counts, by version, then the server's, then by time,
then by content. That is a maximum, so the order of merges, and their number, do not matter:
whoever has merged the same edits has the same annotations.
`docs/decisions/0021-annotations-converge.md` says why the versions are counted as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from hpctrack.store.annotation_entry import (
    ARCHIVED,
    DELETED,
    NAME,
    NOTES,
    TAG_PREFIX,
    Entry,
    parse_entry,
    write_canonical,
)

if TYPE_CHECKING:
    from hpctrack.store.record import RunRecord

KIND = "hpctrack-annotations"
FORMAT = 1

MAX_BYTES = 64 * 1024
"""No edit makes a run's annotations longer."""

MERGED_MAX_BYTES = 4 * MAX_BYTES
"""Longer ones are not read. Sides that each keep to `MAX_BYTES` may be more together."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """All that people have said of a run.

    Parameters
    ----------
    entries : mapping
        By ``name``, ``notes``, ``archived``, ``deleted``, ``tag:<tag>``, or what only a newer
        hpctrack knows.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """The name, or None if the job's counts."""
        found = self.entries.get(NAME)
        return (found.value or None) if found else None

    @property
    def notes(self) -> str | None:
        """The notes, or None if the job's count."""
        found = self.entries.get(NOTES)
        return found.value if found else None

    @property
    def is_archived(self) -> bool:
        """Whether somebody has put the run away."""
        found = self.entries.get(ARCHIVED)
        return bool(found and found.value)

    @property
    def is_deleted(self) -> bool:
        """Whether somebody has marked the run as deleted; it is there until it is collected."""
        return self.deleted_wall_s is not None

    @property
    def deleted_wall_s(self) -> float | None:
        """When it was marked as deleted, UTC seconds; None if it is not."""
        found = self.entries.get(DELETED)
        return found.wall_s if found and found.value else None

    def added_tags(self) -> list[str]:
        """Return the tags that people have added, the first one first."""
        found = [(one.wall_s, tag) for tag, one in self._iter_tags() if one.value]
        return [tag for _wall_s, tag in sorted(found)]

    def removed_tags(self) -> frozenset[str]:
        """Return the tags that people have taken away, from whoever gave them."""
        return frozenset(tag for tag, one in self._iter_tags() if not one.value)

    def lay_over(self, record: RunRecord) -> RunRecord:
        """Return a record as people want it, whatever the job says."""
        if not self.entries:
            return record
        return replace(
            record,
            name=record.name if self.name is None else self.name,
            notes=record.notes if self.notes is None else self.notes,
            tags=self.lay_over_tags(record.tags),
        )

    def lay_over_tags(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return a job's tags without those taken away, and behind them those added."""
        removed = self.removed_tags()
        kept = [one for one in tags if one not in removed]
        return tuple(dict.fromkeys([*kept, *self.added_tags()]))

    def to_bytes(self) -> bytes:
        """Return the canonical form: equal annotations are equal bytes, and have one hash."""
        entries = {key: one.to_json() for key, one in self.entries.items()}
        text = write_canonical({"kind": KIND, "format": FORMAT, "entries": entries})
        return f"{text}\n".encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self | None:
        """Read them back, from whomever.

        Returns
        -------
        Annotations or None
            None for what are no annotations, too many, or of a newer format. An entry that is
            malformed is left out.
        """
        told = _read(data)
        if told is None or told.get("kind") != KIND or told.get("format") != FORMAT:
            return None
        entries = told.get("entries")
        if not isinstance(entries, dict):
            return None
        found = ((key, parse_entry(key, one)) for key, one in entries.items())
        return cls({key: one for key, one in found if one is not None})

    def _iter_tags(self) -> Iterator[tuple[str, Entry]]:
        for key, one in self.entries.items():
            if key.startswith(TAG_PREFIX):
                yield key.removeprefix(TAG_PREFIX), one


NOTHING = Annotations()
"""Of a run of which nobody has said anything."""


def is_too_new(data: bytes) -> bool:
    """Tell whether a file is not damaged, but of a format that a newer hpctrack has made."""
    told = _read(data)
    if told is None or told.get("kind") != KIND:
        return False
    form = told.get("format")
    return isinstance(form, int) and form > FORMAT


def merge(one: Annotations, other: Annotations) -> Annotations:
    """Return what counts of both: commutative, associative and idempotent.

    Examples
    --------
    >>> a = Annotations({"name": Entry("first", version=1, wall_s=9.0)})
    >>> b = Annotations({"name": Entry("second", version=1, is_server=True, wall_s=5.0)})
    >>> merge(a, b) == merge(b, a)
    True
    >>> merge(a, b).name
    'second'
    """
    entries = dict(one.entries)
    for key, entry in other.entries.items():
        known = entries.get(key)
        entries[key] = entry if known is None else known.join(entry)
    return Annotations(entries)


def mark_synced(annotations: Annotations) -> Annotations:
    """Return them as what another side has too: the next edit of each entry has seen it."""
    if all(one.base == one.version for one in annotations.entries.values()):
        return annotations
    return Annotations(
        {key: replace(one, base=one.version) for key, one in annotations.entries.items()}
    )


def fold(ours: Annotations, theirs: Annotations) -> Annotations:
    """Return what counts of ours and of what another side really has.

    Both sides do this: the server with what a client has sent, the client with what the server
    has then. Afterwards their bytes are equal, unless somebody has edited meanwhile.
    """
    return merge(ours, mark_synced(theirs))


def _read(data: bytes) -> dict[str, Any] | None:
    if len(data) > MERGED_MAX_BYTES:
        return None
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
