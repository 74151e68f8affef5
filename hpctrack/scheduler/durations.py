"""Durations and moments as Slurm writes them. Pure."""

from __future__ import annotations

import datetime as dt
import math
import re

NO_LIMIT = frozenset({"unlimited", "infinite"})
"""What stands where a time limit would."""

_DURATION = re.compile(
    r"(?:(?:(?P<days>\d+)-)?(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?)\Z",
    re.ASCII,
)
_SHORT = re.compile(r"(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+))?\Z", re.ASCII)
_EPOCH = re.compile(r"\d{6,15}\Z", re.ASCII)


def parse_duration(text: str) -> float | None:
    """Return the seconds of ``1-02:03:04``, ``02:03:04``, ``03:04.567`` or ``1-02``.

    Returns
    -------
    float or None
        Infinity for ``UNLIMITED``; None for what is no duration: ``Partition_Limit``,
        ``INVALID``, ``N/A``, nothing at all.
    """
    text = text.strip()
    if text.lower() in NO_LIMIT:
        return math.inf
    found = _DURATION.match(text) or _SHORT.match(text)
    if found is None:
        return None
    parts = {name: float(value or 0) for name, value in found.groupdict().items()}
    hours = parts["days"] * 24 + parts["hours"]
    return (hours * 60 + parts["minutes"]) * 60 + parts.get("seconds", 0.0)


def show_slurm_time(seconds: float) -> str:
    """Return a duration in the form that ``--time`` takes and `parse_duration` reads.

    Fractions of a second are cut: ``1-02:03:04``, ``2:03:04``, ``0:03:04``, ``UNLIMITED``.
    """
    if math.isinf(seconds):
        return "UNLIMITED"
    minutes, rest_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}-{hours:02d}:{minutes:02d}:{rest_s:02d}"
    return f"{hours}:{minutes:02d}:{rest_s:02d}"


def parse_moment(text: str) -> float | None:
    """Return the UTC seconds of a moment.

    Parameters
    ----------
    text : str
        Seconds since 1970, as ``SLURM_TIME_FORMAT=%s`` makes Slurm write them, or ISO without a
        zone, which is this machine's.

    Returns
    -------
    float or None
        None for ``Unknown``, ``None``, ``N/A`` and whatever else is no moment.
    """
    text = text.strip()
    if _EPOCH.match(text):
        return float(text)
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
