"""In which line of a settings file a mistake is: TOML's reader does not tell.

Standard library only; loaded where there is a mistake, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_KEY = re.compile(r"\s*[\"']?([\w-]+)[\"']?\s*=")
_TABLE = re.compile(r"\s*\[\[?\s*([\w.\"'-]+)\s*\]\]?")


def find_line(text: str, key: str, message: str = "", number: int = 1) -> int:
    r"""Return the line, counted from 1, that a mistake is in; 0 where it cannot be found.

    Parameters
    ----------
    text : str
        The file's.
    key : str
        The setting. A list of tables, such as ``[[rules]]``, is looked for by its heads.
    message : str
        Of a table the line is that of the first key that the message names, else its head.
    number : int
        Which table of the list, from 1.

    Examples
    --------
    >>> find_line('mode = "on"\\n\\n[[rules]]\\nmetrc = "loss"', "rules", "unknown key 'metrc'")
    4
    """
    lines = text.splitlines()
    heads = [at for at, name in _iter_tables(lines) if name == key]
    if len(heads) < number:
        return next((at for at, name in _iter_keys(lines, 0) if name == key), 0)
    head = heads[number - 1]
    keys: dict[str, int] = {}
    for at, name in _iter_keys(lines, head):
        keys.setdefault(name, at)
    words = re.findall(r"[\w-]+", message)
    return next((keys[one] for one in words if one in keys), head)


def _iter_tables(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    for at, line in enumerate(lines, 1):
        found = _TABLE.match(line)
        if found:
            yield at, found[1]


def _iter_keys(lines: Sequence[str], start: int) -> Iterator[tuple[int, str]]:
    """Yield the keys of one table, which begins after a line."""
    for at, line in enumerate(lines[start:], start + 1):
        if _TABLE.match(line):
            return
        found = _KEY.match(line)
        if found:
            yield at, found[1]
