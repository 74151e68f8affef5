"""Whether a process of this machine is still the one that was meant."""

from __future__ import annotations

from pathlib import Path

_START_FIELD = 19
_STATE_FIELD = 0
"""Of what follows the name in /proc/PID/stat; proc(5) counts them 22 and 3."""


def read_stamp(pid: int, proc: Path = Path("/proc")) -> str:
    """Return the tick at which a process began, or nothing if it has ended.

    A number alone is not enough: numbers are used again. A process that has ended and that
    nobody has waited for (a zombie) counts as ended.
    """
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _START_FIELD or fields[_STATE_FIELD] in {"Z", "X"}:
        return ""
    return fields[_START_FIELD]


def is_alive(pid: int, stamp: str) -> bool:
    """Tell whether the process with this number and stamp still runs here."""
    return bool(stamp) and read_stamp(pid) == stamp
