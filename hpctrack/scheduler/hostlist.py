"""Lists of nodes as Slurm folds them: ``n[1-3,05-07],login,rack[0-1]n[01-02]``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

HOSTS_MAX = 100_000
"""More nodes than any cluster has: a list that says so is broken, and must not fill the memory."""

DIGITS_MAX = 18
"""A longer number is a serial number, not a node's place in a row."""

_SPAN = re.compile(r"([0-9]+)(?:-([0-9]+))?\Z")
_NUMBERED = re.compile(r"(.*?)([0-9]+)\Z", re.DOTALL)


def expand_hosts(text: str) -> list[str]:
    """Return every node that a list names, in its order.

    Parameters
    ----------
    text : str
        ``n[1-3,05-07]``: as many digits as the first number has, if it begins with 0.

    Raises
    ------
    ValueError
        Brackets do not match, a range is none, or there are more than `HOSTS_MAX` nodes.
    """
    found: list[str] = []
    for part in _split(text):
        pieces = [_expand_piece(one) for one in re.findall(r"\[[^\[\]]*\]|[^\[\]]+", part)]
        count = len(found)
        for piece in pieces:
            count = max(count, 1) * len(piece)
        if count > HOSTS_MAX:
            raise ValueError(f"more than {HOSTS_MAX} nodes")
        found.extend("".join(words) for words in product(*pieces))
    return found


def try_expand_hosts(text: str) -> list[str]:
    """Return every node, or nothing for what is no list: ``(null)``, ``None assigned``."""
    if not text or text.startswith("(") or " " in text.strip():
        return []
    try:
        return expand_hosts(text)
    except ValueError:
        return []


def fold_hosts(names: Iterable[str]) -> str:
    """Return the short form of a list of nodes; `expand_hosts` gives the same names back.

    Neighbours with one stem and one width of number are joined; the order is kept.
    """
    parts: list[str] = []
    row = _Row()
    for name in names:
        if not row.take(name):
            parts.append(str(row))
            row = _Row()
            row.take(name)
    return ",".join(one for one in [*parts, str(row)] if one)


@dataclass(slots=True)
class _Row:
    """Names that differ in a number only.

    Parameters
    ----------
    width : int
        How many digits a number has at least; 0 if it has no zeros in front.
    """

    stem: str = ""
    width: int = 0
    spans: list[list[int]] = field(default_factory=list)
    is_closed: bool = False

    def take(self, name: str) -> bool:
        """Add a name if it fits."""
        if self.is_closed:
            return False
        found = _NUMBERED.match(name)
        if found is None or len(found[2]) > DIGITS_MAX:
            if self.spans:
                return False
            self.stem, self.is_closed = name, True
            return True
        stem, digits = found.groups()
        padded = len(digits) if digits[0] == "0" and len(digits) > 1 else 0
        if not self.spans:
            self.stem, self.width = stem, padded
        elif stem != self.stem or self.width not in {padded, len(digits)}:
            return False
        number = int(digits)
        if self.spans and number == self.spans[-1][1] + 1:
            self.spans[-1][1] = number
        else:
            self.spans.append([number, number])
        return True

    def __str__(self) -> str:
        """Return the short form."""
        words = [self._show(first, last) for first, last in self.spans]
        if not words or (len(words) == 1 and "-" not in words[0]):
            return self.stem + "".join(words)
        return f"{self.stem}[{','.join(words)}]"

    def _show(self, first: int, last: int) -> str:
        shown = f"{first:0{self.width}d}"
        return shown if first == last else f"{shown}-{last:0{self.width}d}"


def _split(text: str) -> Iterator[str]:
    """Cut at the commas that are outside brackets."""
    depth, start = 0, 0
    for place, one in enumerate(text):
        depth += (one == "[") - (one == "]")
        if depth not in {0, 1}:
            raise ValueError(f"brackets do not match in {text!r:.80}")
        if one == "," and not depth:
            yield text[start:place].strip()
            start = place + 1
    if depth:
        raise ValueError(f"brackets do not match in {text!r:.80}")
    if text[start:].strip():
        yield text[start:].strip()


def _expand_piece(piece: str) -> list[str]:
    if not piece.startswith("["):
        return [piece]
    numbers: list[str] = []
    for span in piece[1:-1].split(","):
        found = _SPAN.match(span.strip())
        if found is None:
            raise ValueError(f"{span!r:.40} is no range of nodes")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or last - first >= HOSTS_MAX:
            raise ValueError(f"{span!r:.40} is no range of nodes")
        width = len(found[1]) if found[1].startswith("0") else 0
        numbers += [f"{number:0{width}d}" for number in range(first, last + 1)]
    return numbers
