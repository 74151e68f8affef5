"""A recorded patch as files, hunks and lines, for colouring. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LINES_MAX = 4000
"""Lines that a page shows; the download has all."""

LINE_MAX_CHARS = 2000

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(slots=True)
class PatchLine:
    """One line: ``kind`` is add, drop, same, hunk or note; numbers are None where it has none."""

    kind: str
    text: str
    old: int | None = None
    new: int | None = None


@dataclass(slots=True)
class PatchFile:
    """What is changed in one file."""

    name: str
    lines: list[PatchLine] = field(default_factory=list)
    added: int = 0
    dropped: int = 0
    hidden: int = 0


def parse_patch(text: str, *, lines_max: int = LINES_MAX) -> tuple[PatchFile, ...]:
    """Part a patch of Git's into files.

    Parameters
    ----------
    text : str
        Anything: what is no patch becomes notes.
    lines_max : int
        Lines kept over all files; the rest is counted in ``hidden``.
    """
    reader = _PatchReader()
    kept = 0
    for raw in text.split("\n"):
        line = reader.take(raw)
        if line is None:
            continue
        one = reader.files[-1]
        one.added += line.kind == "add"
        one.dropped += line.kind == "drop"
        if kept < lines_max:
            line.text = line.text[:LINE_MAX_CHARS]
            one.lines.append(line)
            kept += 1
        else:
            one.hidden += 1
    return tuple(reader.files)


class _PatchReader:
    """Takes a patch line by line; inside a hunk its counts decide what a line is.

    There, a line ``--- a`` is a dropped ``-- a``.
    """

    def __init__(self) -> None:
        self.files: list[PatchFile] = []
        self._old = self._new = 0
        self._left_old = self._left_new = 0

    def take(self, raw: str) -> PatchLine | None:
        """Return what a line is; None for one that only says which file it is about."""
        if self._left_old > 0 or self._left_new > 0:
            return self._take_change(raw)
        if raw.startswith("diff --git "):
            self.files.append(PatchFile(raw.rpartition(" b/")[2] or raw))
            return None
        if not raw:
            return None
        if not self.files:
            self.files.append(PatchFile("patch"))
        if found := _HUNK.match(raw):
            self._old, self._new = int(found[1]), int(found[3])
            self._left_old, self._left_new = int(found[2] or 1), int(found[4] or 1)
            return PatchLine("hunk", raw)
        if raw.startswith("+++ ") and raw != "+++ /dev/null":
            self.files[-1].name = raw[4:].removeprefix("b/").rstrip("\t")
        return None if raw.startswith(("index ", "--- ", "+++ ")) else PatchLine("note", raw)

    def _take_change(self, raw: str) -> PatchLine:
        if raw.startswith("+"):
            self._new, self._left_new = self._new + 1, self._left_new - 1
            return PatchLine("add", raw[1:], None, self._new - 1)
        if raw.startswith("-"):
            self._old, self._left_old = self._old + 1, self._left_old - 1
            return PatchLine("drop", raw[1:], self._old - 1, None)
        if raw.startswith("\\"):
            return PatchLine("note", raw[2:])
        self._old, self._new = self._old + 1, self._new + 1
        self._left_old, self._left_new = self._left_old - 1, self._left_new - 1
        return PatchLine("same", raw[1:], self._old - 1, self._new - 1)
