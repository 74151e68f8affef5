"""What is wrong with a filter, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

from hpctrack.errors import UsageError

NEAREST = 3


class QueryError(UsageError):
    """A filter that cannot be understood.

    Parameters
    ----------
    message : str
        One line.
    at, end : int
        The part of the filter that is meant, in characters: ``text[at:end]``; empty at a place
        where something is missing.
    hint : str, optional
        What to write instead.
    """

    code: ClassVar[str] = "query"

    def __init__(self, message: str, *, at: int, end: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.at = at
        self.end = end


def find_nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return what was probably meant, the likeliest first.

    Examples
    --------
    >>> find_nearest("config.lrr", ["config.lr", "state"])
    ['config.lr']
    >>> find_nearest("lr", ["config.lr", "state"])
    ['config.lr']
    """
    names = list(known)
    folded = word.casefold()
    ends = [one for one in names if one.casefold().rpartition(".")[2] == folded]
    if len(ends) >= NEAREST:
        return ends[:NEAREST]
    close = difflib.get_close_matches(word[:200], names, n=NEAREST, cutoff=0.6)
    return list(dict.fromkeys([*ends, *close]))[:NEAREST]
