"""Small drawings made of characters: bars and sparklines. Pure."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_PLAIN_LEVELS = "_.-=+*#@"
_GAP = "·"


def can_draw() -> bool:
    """Tell whether the terminal's encoding has block characters."""
    try:
        (_EIGHTHS + _LEVELS + _GAP).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def draw_bar(share: float, width: int, *, is_fine: bool = True) -> str:
    """Return a bar as long as a share, 0 to 1, of a width; always as wide as that.

    Parameters
    ----------
    share : float
        Is cut to 0 to 1.
    width : int
        Columns.
    is_fine : bool, optional
        Whether there are block characters; else ``#`` stands for them.
    """
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    if not is_fine:
        return ("#" * round(share * width)).ljust(width)
    whole, eighths = divmod(round(share * width * 8), 8)
    return ("█" * whole + (_EIGHTHS[eighths] if eighths else "")).ljust(width)


def draw_spark(
    values: Sequence[float],
    width: int,
    *,
    low: float,
    high: float,
    is_fine: bool = True,
) -> str:
    """Return a curve in one line; what is no number leaves a gap.

    Parameters
    ----------
    values : sequence of float
        In order; of more than ``width`` the last of each share is drawn.
    width : int
        Most columns.
    low, high : float
        What the lowest and the highest level stand for, so that curves can be compared.
    is_fine : bool, optional
        Whether there are block characters.
    """
    count = min(len(values), width)
    shown = [values[(at + 1) * len(values) // count - 1] for at in range(count)]
    levels = _LEVELS if is_fine else _PLAIN_LEVELS
    return "".join(_level(value, low, high, levels) for value in shown)


def find_scale(columns: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the range to draw curves in: without the tenth that is farthest out.

    One curve that explodes must not flatten the others.
    """
    finite = sorted(value for column in columns for value in column if math.isfinite(value))
    if not finite:
        return 0.0, 1.0
    cut = len(finite) // 20
    return finite[cut], finite[len(finite) - 1 - cut]


def _level(value: float, low: float, high: float, levels: str) -> str:
    if math.isnan(value):
        return _GAP if levels == _LEVELS else " "
    share = 0.5 if high <= low else (value - low) / (high - low)
    return levels[round(min(max(share, 0.0), 1.0) * (len(levels) - 1))]
