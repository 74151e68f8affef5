"""Numbers as short words, for cells of a fixed width. Pure."""

from __future__ import annotations

import math

UNKNOWN = "-"
_UNITS = ("", "k", "M", "G", "T", "P")


def show_number(value: float) -> str:
    """Return a value in four digits: ``0.3127``, ``12.4k``, ``1.2e-05``."""
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "not finite"
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:  # noqa: PLR2004
        return f"{value:.1e}"
    if size >= 10_000:  # noqa: PLR2004
        return _scale(value, 1000.0)
    return f"{value:.4g}"


def show_bytes(value: float) -> str:
    """Return ``3.1G`` of 1024s."""
    return UNKNOWN if math.isnan(value) else _scale(value, 1024.0)


def show_share(value: float) -> str:
    """Return ``87%``."""
    return UNKNOWN if math.isnan(value) else f"{100 * value:.0f}%"


def show_watts(value: float) -> str:
    """Return ``412W``."""
    return UNKNOWN if math.isnan(value) else f"{value:.0f}W"


def show_rate(value: float, *, is_short: bool = False) -> str:
    """Return steps per second, or seconds per step where that reads better.

    Parameters
    ----------
    value : float
        Steps per second.
    is_short : bool
        ``2.5/s`` instead of ``2.5 steps/s``: at most nine characters up to a billion.
    """
    if math.isnan(value):
        return UNKNOWN
    if 0 < value < 0.1:  # noqa: PLR2004
        return f"{_scale(1 / value, 1000.0)}s/step" if is_short else f"{1 / value:.0f} s/step"
    return f"{_scale(value, 1000.0)}/s" if is_short else f"{value:.3g} steps/s"


def show_span(seconds: float) -> str:
    """Return ``42s``, ``3m 04s``, ``1h 02m`` or ``2d 03h``."""
    if not 0 <= seconds < math.inf:
        return UNKNOWN
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


def count(number: int, one: str, many: str = "") -> str:
    """Return ``1 node`` or ``2 nodes``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _scale(value: float, base: float) -> str:
    unit = 0
    while abs(value) >= base and unit < len(_UNITS) - 1:
        value /= base
        unit += 1
    return f"{value:.3g}{_UNITS[unit]}" if abs(value) < 100 else f"{value:.0f}{_UNITS[unit]}"  # noqa: PLR2004
