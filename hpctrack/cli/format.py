"""How values look in a terminal."""

from __future__ import annotations

import datetime as dt
import math
import sys
from typing import TYPE_CHECKING, Any

from hpctrack.core.names import clean

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200
"""Columns when the output goes to a file or a pipe: nothing must be cut there."""

STATE_STYLES = {
    "running": "blue",
    "finished": "green",
    "failed": "red",
    "crashed": "red",
    "lost": "red",
    "preempted": "yellow",
    "pruned": "cyan",
    "stopped": "yellow",
}
"""Rich styles; the words stay, so that nothing is said by colour alone."""


def make_console() -> Console:
    """Return a console as wide as the terminal, or wide enough for a table in a pipe."""
    from rich.console import Console  # noqa: PLC0415 - 60 ms that a plain list need not pay

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def show_value(value: Any) -> str:
    """Return a configuration or summary value, short."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)  # noqa: PLR2004 - four digits read well
    text = clean(str(value))
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a table cell


def show_duration(seconds: float | None) -> str:
    """Return ``1h 02m``, ``3m 04s`` or ``1.2 s``."""
    if seconds is None or not 0 <= seconds < math.inf:
        return "-"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"


def show_time(wall_s: float) -> str:
    """Return a moment in the user's time zone; ``-`` for what a damaged file takes for one."""
    if not wall_s:
        return "-"
    try:
        moment = dt.datetime.fromtimestamp(wall_s, dt.UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return "-"
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def show_synced(synced_wall_s: float | None, now_wall_s: float) -> str:
    """Return how long ago a run of another machine was looked at, ``3m 04s ago``; empty for ours.

    By the clocks of two machines: what lies ahead was just now.
    """
    if synced_wall_s is None:
        return ""
    ago_s = now_wall_s - synced_wall_s
    return f"{show_duration(ago_s)} ago" if ago_s >= 1 else "just now"


def styled_state(state: str) -> str:
    """Return a state with rich's colour markup."""
    return f"[{STATE_STYLES.get(state, 'white')}]{state}[/]"
