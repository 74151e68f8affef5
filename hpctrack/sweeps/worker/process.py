"""Whether a process of this machine is still the one that was meant."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

_START_FIELD = 19
_STATE_FIELD = 0
"""Of what follows the name in /proc/PID/stat; proc(5) counts them 22 and 3."""


def read_stamp(pid: int, proc: Path = Path("/proc")) -> str:
    """Return the tick at which a process began, and where; nothing if it has ended.

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
    return f"{fields[_START_FIELD]}@{_read_place()}"


def is_alive(pid: int, stamp: str) -> bool:
    """Tell whether the process with this number and stamp still runs here."""
    return bool(stamp) and read_stamp(pid) == stamp


def is_seen(stamp: str) -> bool:
    """Tell whether it could be seen from here that the process with this stamp is alive.

    Another container on the same machine, whose name it may have, has process numbers of its own.
    So have two machines that both are called ``localhost``.
    """
    return not stamp or stamp.partition("@")[2] == _read_place()


@cache
def _read_place() -> str:
    """Return what this machine's run and this process's space of numbers are called."""
    boot = space = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    return f"{boot}.{space}"
