"""What a terminal makes of one printed line: overwriting, colours, and what it must not be told."""

from __future__ import annotations

import re

REWRITES_MAX = 1000
"""How many rewrites of a line are looked at: a bar's last ones show what was seen."""

_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, erasing
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and the like: titles, links, clipboard
    r"|[ -/]*[0-~])"  # all others
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_ERASE = re.compile(r"\x1b\[[012]?K")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def collapse_line(text: str) -> str:
    r"""Return what was to be seen of a line when it had been written.

    Follows ``\r``, ``\b`` and the erasing of lines; other movements of the cursor are ignored.

    Parameters
    ----------
    text : str
        One line without its end.

    Examples
    --------
    >>> collapse_line(" 10%|#   |\r100%|####|")
    '100%|####|'
    """
    text = text.rstrip("\r")
    if "\r" not in text:
        return _step_back(text) if "\b" in text else text
    shown = ""
    for part in reversed(text.split("\r")[-REWRITES_MAX:]):
        plain = _step_back(_SEQUENCE.sub("", part.rpartition("\x1b[2K")[2]))
        shown += plain[len(shown) :]
        if _ERASE.search(part):
            break
    return shown


def make_plain_line(text: str) -> str:
    """Return a line without colours and other control characters, for files and pipes."""
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


def make_safe_line(text: str) -> str:
    """Return a line that may go to a terminal: colours stay, nothing else can command it."""
    kept = _COLOUR.findall(text)
    if not kept:
        return make_plain_line(text)
    parts = [make_plain_line(part) for part in _COLOUR.split(text)]
    pairs = zip(parts, [*kept, "\x1b[0m"], strict=True)
    return "".join(part + colour for part, colour in pairs)


def _step_back(text: str) -> str:
    """Follow backspaces: what comes after one overwrites what was before."""
    if "\b" not in text:
        return text
    cells: list[str] = []
    at = 0
    for run in re.findall(r"\x08+|[^\x08]+", text):
        if run[0] == "\b":
            at = max(0, at - len(run))
        else:
            cells[at : at + len(run)] = run
            at += len(run)
    return "".join(cells)
