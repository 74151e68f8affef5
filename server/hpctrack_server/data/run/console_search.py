"""Searching a console: linear in its length whatever the pattern, and a slice at a time."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hpctrack.errors import UsageError
from hpctrack_server.data.run.console_spool import ConsoleSpool, IntArray

BATCH_BYTES = 8 << 20
HITS_IN_LINE_MAX = 8
"""Places that are marked in one line."""

PATTERN_MAX_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is looked for; a regular expression is RE2's, which cannot run away."""

    text: str
    is_regex: bool = False
    has_case: bool = False

    def check(self) -> None:
        """Refuse a pattern that cannot be used.

        Raises
        ------
        UsageError
            It is too long, or no regular expression.
        """
        if len(self.text) > PATTERN_MAX_CHARS:
            raise UsageError(f"the pattern is longer than {PATTERN_MAX_CHARS} characters")
        try:
            self.match(pa.array([""]))
        except pa.ArrowInvalid as error:
            said = str(error).removeprefix("Invalid regular expression: ")
            raise UsageError(
                f"the pattern is no regular expression: {said}",
                hint="switch the regular expression off to look for the text as it is",
            ) from None

    def match(self, lines: Any) -> Any:
        """Return which lines of an Arrow array of texts match."""
        function = pc.match_substring_regex if self.is_regex else pc.match_substring
        return function(lines, self.text, ignore_case=not self.has_case)

    def find_places(self, lines: list[str]) -> list[list[tuple[int, int]]]:
        """Return where in each line it stands: start and end in characters, the first few."""
        found: list[list[tuple[int, int]]] = [[] for _ in lines]
        text = _ungroup(self.text) if self.is_regex else _escape(self.text)
        flags = "" if self.has_case else "(?i)"
        wrapped = f"{flags}(?P<hit>{text})"
        rests = {at: (line, 0) for at, line in enumerate(lines) if line}
        for _ in range(HITS_IN_LINE_MAX):
            if not rests:
                break
            keys = list(rests)
            rests = self._look_once(wrapped, keys, rests, found)
        return found

    @staticmethod
    def _look_once(
        wrapped: str,
        keys: list[int],
        rests: dict[int, tuple[str, int]],
        found: list[list[tuple[int, int]]],
    ) -> dict[int, tuple[str, int]]:
        texts = pa.array([rests[key][0] for key in keys])
        places = pc.find_substring_regex(texts, wrapped).to_pylist()
        hits = pc.extract_regex(texts, wrapped).to_pylist()
        later: dict[int, tuple[str, int]] = {}
        for key, place, hit in zip(keys, places, hits, strict=True):
            if place < 0 or not hit or not hit["hit"]:
                continue
            rest, base = rests[key]
            # Arrow counts bytes, a page characters.
            start = len(rest.encode()[:place].decode("utf-8", "ignore"))
            end = start + len(hit["hit"])
            found[key].append((base + start, base + end))
            if end < len(rest) and not wrapped.startswith("(?i)(?P<hit>^"):
                later[key] = (rest[end:], base + end)
        return later


def _escape(text: str) -> str:
    """Quote a text for RE2: ``re.escape`` quotes blanks, which RE2 refuses."""
    return "".join(f"\\{one}" if one in r"\.+*?()|[]{}^$" else one for one in text)


def _ungroup(text: str) -> str:
    """Let no group of a pattern be told: Arrow wants a name for each that is."""
    found = re.sub(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|\((?!\?)", lambda one: one[1] or "(?:", text)
    return re.sub(r"(\\.)|\(\?P?<[^>=!]*>", lambda one: one[1] or "(?:", found)


@dataclass(slots=True)
class Search:
    """The hits of a pattern so far; goes on where it has stopped.

    Parameters
    ----------
    pattern : Pattern
    next_line : int
        The first that has not been looked at.
    """

    pattern: Pattern
    next_line: int = 0
    _hits: list[NDArray[np.int64]] = field(default_factory=list)

    def advance(self, spool: ConsoleSpool, *, budget_s: float) -> bool:
        """Look at more lines; return whether all have been looked at.

        Parameters
        ----------
        budget_s : float
            Time after which it stops until it is asked again.
        """
        until_s = time.perf_counter() + budget_s
        for first, data, offsets in spool.iter_texts(self.next_line, batch_bytes=BATCH_BYTES):
            lines = pa.LargeStringArray.from_buffers(
                len(offsets) - 1, pa.py_buffer(offsets.astype("<i8")), pa.py_buffer(data)
            )
            mask = self.pattern.match(lines).to_numpy(zero_copy_only=False)
            hits = np.flatnonzero(mask) + first
            if len(hits):
                self._hits.append(hits)
            self.next_line = first + len(offsets) - 1
            if time.perf_counter() > until_s:
                break
        return self.next_line >= len(spool)

    def rows(self, order: IntArray | None, total: int) -> IntArray:
        """Return where in a view the hits are, in its order."""
        hits = np.concatenate(self._hits) if self._hits else np.zeros(0, np.int64)
        self._hits = [hits]
        if order is None:
            return hits
        places = np.full(total, -1, np.int64)
        places[order] = np.arange(len(order))
        found = places[hits]
        return np.sort(found[found >= 0])
