"""What is asked of a console, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack.store.console import ConsoleLine
from hpctrack_server.data.run.console_search import Pattern
from hpctrack_server.data.run.console_spool import SpooledLine


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleQuery:
    """What a page asks for.

    Parameters
    ----------
    rank : int or None
        None is all, by time.
    stream : {"", "stdout", "stderr"}
    start, count : int
        Lines of this view; a negative start counts from its end.
    wall_s : float or None
        Rather the lines from this moment on.
    pattern : Pattern or None
    find : {"", "next", "previous", "first", "last"}
        Rather the lines around such a hit, seen from ``start``.
    """

    rank: int | None = None
    stream: str = ""
    start: int = 0
    count: int = 200
    wall_s: float | None = None
    pattern: Pattern | None = None
    find: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolePage:
    """What comes back.

    Parameters
    ----------
    lines : tuple of SpooledLine
    places : tuple
        For each line where the pattern stands in it.
    start, total : int
        The first line's place in the view, and how many lines that has.
    is_complete : bool
        False while the files are still being read: ask again.
    open_lines : tuple of ConsoleLine
        What has begun and not ended.
    ranks : tuple of int
        That have printed.
    hits : int or None
        Lines of the view that match, so far; None without a pattern.
    is_searched : bool
        All lines have been looked at.
    hit, ordinal : int or None
        The hit that was found: its line, and which of all it is, from 1.
    began_wall_s, ended_wall_s : float or None
        First and last moment of the view.
    problem : str
        Why nothing was looked for: the pattern is no regular expression.
    """

    lines: tuple[SpooledLine, ...]
    places: tuple[tuple[tuple[int, int], ...], ...]
    start: int
    total: int
    is_complete: bool
    open_lines: tuple[ConsoleLine, ...]
    ranks: tuple[int, ...]
    hits: int | None = None
    is_searched: bool = True
    hit: int | None = None
    ordinal: int | None = None
    began_wall_s: float | None = None
    ended_wall_s: float | None = None
    problem: str = ""
