"""How an edit of annotations is made, and what can be said in one. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hpctrack.core.names import clean
from hpctrack.errors import UsageError
from hpctrack.store.annotation_entry import (
    ARCHIVED,
    DELETED,
    FLAGS,
    NAME,
    NAME_MAX_CHARS,
    NOTES,
    NOTES_MAX_BYTES,
    TAG_MAX_CHARS,
    TAG_PREFIX,
    USER_MAX_CHARS,
    VERSION_MAX,
    WALL_MAX_S,
    Entry,
    clean_lines,
    write_canonical,
)
from hpctrack.store.annotations import MAX_BYTES, Annotations

TAGS_MAX = 1000


def edit(
    annotations: Annotations,
    changes: Mapping[str, Any],
    *,
    is_server: bool,
    wall_s: float,
    by: str,
) -> Annotations:
    """Return them with some entries set.

    Parameters
    ----------
    annotations : Annotations
    changes : mapping
        Value by key, see `make_changes`.
    is_server : bool
        Whether this is a server's store.
    wall_s : float
        Now. Of two edits of one side the later one wins, also if its clock was set back.
    by : str
        The user's name.

    Raises
    ------
    UsageError
        They would be too long.
    """
    entries = dict(annotations.entries)
    user = clean(by)[:USER_MAX_CHARS]
    for number, (key, value) in enumerate(changes.items()):
        known = entries.get(key)
        if known is not None and write_canonical(known.value) == write_canonical(value):
            continue
        if known is None and key in FLAGS and not value:
            continue  # nobody has ever set the mark
        # A microsecond apart, so that tags given at once stay in their order.
        entries[key] = _edit_entry(
            known, value, is_server=is_server, wall_s=wall_s + number * 1e-6, by=user
        )
    edited = Annotations(entries)
    _check_size(annotations, edited)
    return edited


def make_changes(
    *,
    name: str | None = None,
    notes: str | None = None,
    add_tags: Sequence[str] = (),
    remove_tags: Sequence[str] = (),
    archived: bool | None = None,
    deleted: bool | None = None,
) -> dict[str, Any]:
    """Return the changes that `edit` takes; None leaves a field alone.

    An empty name gives back the job's; empty notes are none.

    Raises
    ------
    UsageError
        One of them cannot be used.
    """
    changes: dict[str, Any] = {}
    if name is not None:
        changes[NAME] = _check_text(name, what="name", max_chars=NAME_MAX_CHARS)
    if notes is not None:
        changes[NOTES] = _check_notes(notes)
    for key, flag in ((ARCHIVED, archived), (DELETED, deleted)):
        if flag is not None:
            changes[key] = bool(flag)
    for tags, value in ((add_tags, True), (remove_tags, False)):
        for one in tags:
            tag = check_tag(one)
            if changes.setdefault(TAG_PREFIX + tag, value) is not value:
                raise UsageError(f"the tag {tag!r} is to be added and removed", hint="do one")
    return changes


def check_tag(tag: str) -> str:
    """Return a tag as it is kept.

    Raises
    ------
    UsageError
        It is empty or too long.
    """
    found = _check_text(tag, what="tag", max_chars=TAG_MAX_CHARS)
    if not found:
        raise UsageError("a tag is empty", hint="give it a word")
    return found


def _edit_entry(
    known: Entry | None, value: Any, *, is_server: bool, wall_s: float, by: str
) -> Entry:
    """Return the entry that an edit makes.

    A client counts from what both sides have, not from its own last edit: however often it edits
    between two syncs, a server that has edited meanwhile has at least the same version, and wins.
    """
    if known is None:
        known = Entry(None, version=0, wall_s=-1.0)
    if is_server or known.is_server:
        version = known.version + 1
    else:
        version = max(known.base + 1, known.version)
    version = min(version, VERSION_MAX)
    if version <= known.version:
        wall_s = max(wall_s, math.nextafter(known.wall_s, math.inf))
    wall_s = min(max(wall_s, 0.0), WALL_MAX_S)
    base = version if is_server else known.base
    return Entry(value, version, is_server, wall_s, by, base)


def _check_size(before: Annotations, after: Annotations) -> None:
    """Refuse what makes them too long; what was, from several sides, can still be shortened."""
    tags = len(after.added_tags())
    if tags > TAGS_MAX and tags > len(before.added_tags()):
        raise UsageError(f"{tags:,} tags are too many", hint=f"at most {TAGS_MAX:,} can be added")
    size_bytes = len(after.to_bytes())
    if size_bytes <= MAX_BYTES or (
        after.entries.keys() == before.entries.keys()
        and len(after.added_tags()) <= len(before.added_tags())
        and len(after.notes or "") <= len(before.notes or "")
    ):
        return
    raise UsageError(
        f"name, notes and tags would take {size_bytes:,} bytes",
        hint=f"at most {MAX_BYTES:,}: shorten the notes",
    )


def _check_text(text: str, *, what: str, max_chars: int) -> str:
    found = clean(str(text).strip()).strip()
    if len(found) > max_chars:
        raise UsageError(
            f"the {what} {found[:40]!r}... has {len(found):,} characters",
            hint=f"at most {max_chars} are allowed",
        )
    return found


def _check_notes(notes: str) -> str:
    found = clean_lines(str(notes).replace("\r\n", "\n")).rstrip()
    size_bytes = len(found.encode())
    if size_bytes > NOTES_MAX_BYTES:
        raise UsageError(
            f"the notes have {size_bytes:,} bytes", hint=f"at most {NOTES_MAX_BYTES:,} are allowed"
        )
    return found
