"""Moments, rates and sizes, as people write and read them."""

from __future__ import annotations

import datetime as dt
import re

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.errors import UsageError

_SPAN = re.compile(r"(\d+)([mhdw])\Z")
_SPAN_S = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:b(?:ytes)?)?(?:/s)?\Z", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_UNITS = ("B", "kB", "MB", "GB", "TB")


def read_moment(text: str) -> float:
    """Return the UTC seconds of a date, or of a moment as long ago as ``7d``.

    Raises
    ------
    UsageError
        It is neither.
    """
    found = _SPAN.match(text)
    if found:
        return SYSTEM_CLOCK.wall_s() - int(found[1]) * _SPAN_S[found[2]]
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{text!r:.40} is no moment", hint="write 2026-05-01, 2026-05-01T12:00 or 7d"
        ) from None


def read_rate(text: str) -> float:
    """Return the bytes per second of ``10M``, ``500k`` or ``1.5G``: powers of 1000.

    Raises
    ------
    UsageError
        It is none of these, or nothing at all.
    """
    found = _RATE.match(text.strip())
    rate = float(found[1]) * _FACTORS[found[2].lower()] if found else 0.0
    if rate < 1:
        raise UsageError(f"{text!r:.40} is no rate", hint="write bytes per second: 10M, 500k, 1.5G")
    return rate


def show_bytes(size_bytes: float) -> str:
    """Return a size that people can read."""
    for unit in _UNITS:
        if size_bytes < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004 - kilo
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError
