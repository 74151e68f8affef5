"""Tables as CSV that may be opened in a spreadsheet. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet takes for the beginning of a formula; the wide forms are typed in Asia."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def write_csv(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV (RFC 4180); None is an empty cell, and no text in it is a formula."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([guard_cell(one) for one in row] for row in rows)
    return text.getvalue()


def guard_cell(value: object) -> object:
    """Return what a cell holds; a text that a spreadsheet would calculate gets an apostrophe.

    Notes
    -----
    Names of runs and parameters come from whoever logged them, and ``=HYPERLINK(...)`` in a file
    that somebody else opens sends that person's cells away. Texts that are a number are left alone.

    Examples
    --------
    >>> [guard_cell(one) for one in ("=1+1", "-0.5", -0.5, "a=1")]
    ["'=1+1", '-0.5', -0.5, 'a=1']
    """
    is_formula = isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value
