"""How a job's accounting looks in a terminal.

It may have come from another machine: nothing in it is taken for what it should be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hpctrack.core.byte_sizes import show_bytes
from hpctrack.core.names import clean
from hpctrack.scheduler.advice import GPU_MEASURED_FRAC, show_span
from hpctrack.scheduler.efficiency import SACCT

COLUMNS = (
    "job", "try", "state", "exit", "elapsed", "limit", "cpu", "gpu", "memory", "wait", "energy",
)  # fmt: skip
"""What `describe_entry` returns."""

ENTRY_STYLES = {
    3: {
        "COMPLETED": "green",
        "RUNNING": "blue",
        "PENDING": "blue",
        "PREEMPTED": "yellow",
        "REQUEUED": "yellow",
        "FAILED": "red",
        "TIMEOUT": "red",
        "OUT_OF_MEMORY": "red",
        "NODE_FAIL": "red",
        "CANCELLED": "red",
    }
}
"""Colours of the states, in a table whose first column is the run."""

_KILOWATT_HOUR_J = 3.6e6


def describe_entry(entry: Mapping[str, Any]) -> list[str]:
    """Return the cells of one attempt; ``-`` for what is not known."""
    found = entry.get("efficiency")
    used: Mapping[str, Any] = found if isinstance(found, dict) else {}
    return [
        _text(entry.get("job")),
        _text(entry.get("attempt")),
        _text(entry.get("state")),
        _show_exit(entry.get("exit_code")),
        _show_span(used.get("elapsed_s")),
        _show_span(used.get("limit_s")),
        _show_share(used.get("cpu_frac")),
        _show_gpus(used),
        _show_memory(used),
        _show_span(used.get("wait_s")),
        _show_energy(used.get("energy_j")),
    ]


def describe_facts(entry: Mapping[str, Any]) -> str:
    """Return the same in one line, for one run."""
    cells = dict(zip(COLUMNS, describe_entry(entry), strict=True))
    words = [f"job {cells['job']}", cells["state"]]
    words += [f"exit {cells['exit']}"] * (cells["exit"] not in {"-", "0"})
    for name, text in (
        ("elapsed", f"{cells['elapsed']} of {cells['limit']}"),
        ("cpu", f"CPU {cells['cpu']}"),
        ("gpu", f"GPU {cells['gpu']}"),
        ("memory", f"memory {cells['memory']}"),
        ("wait", f"waited {cells['wait']}"),
        ("energy", cells["energy"]),
    ):
        words += [text] * (cells[name] != "-")
    return ", ".join(words)


def _text(value: Any) -> str:
    text = clean(str(value)) if isinstance(value, (str, int)) else ""
    return text or "-"


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value >= 0 else None


def _show_exit(value: Any) -> str:
    """Show ``1``, or ``0:9`` if a signal ended it."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:  # noqa: PLR2004 - code and signal
        return "-"
    code, number = value
    return f"{_text(code)}:{_text(number)}" if number else _text(code)


def _show_span(value: Any) -> str:
    if value == "UNLIMITED":
        return "unlimited"
    seconds = _number(value)
    return "-" if seconds is None else show_span(seconds)


def _show_share(value: Any) -> str:
    share = _number(value)
    return "-" if share is None else f"{100 * share:.0f} %"


def _show_gpus(used: Mapping[str, Any]) -> str:
    """Show ``60 %``, and what that is of unless it is of everything and our own measurement."""
    share = _show_share(used.get("gpu_frac"))
    if share == "-":
        return "-"
    if used.get("gpu_source") == SACCT:
        return f"{share} (Slurm)"
    given, measured = _number(used.get("gpus")), _number(used.get("gpus_measured"))
    sampled = _number(used.get("gpu_measured_frac"))
    if given and measured and measured < given:
        return f"{share} of {measured:.0f} of {given:.0f}"
    if sampled is not None and sampled < GPU_MEASURED_FRAC:
        return f"{share} in {100 * sampled:.0f} % of the time"
    return share


def _show_memory(used: Mapping[str, Any]) -> str:
    had, asked = _number(used.get("memory_bytes")), _number(used.get("memory_asked_bytes"))
    if had is None and asked is None:
        return "-"
    words = ["?" if had is None else show_bytes(had)]
    words += [] if asked is None else ["of", show_bytes(asked)]
    share = _show_share(used.get("memory_frac"))
    return " ".join(words) + ("" if share == "-" else f" ({share})")


def _show_energy(value: Any) -> str:
    energy_j = _number(value)
    if energy_j is None:
        return "-"
    if energy_j < _KILOWATT_HOUR_J / 10:
        return f"{energy_j / 1000:.1f} kJ"
    return f"{energy_j / _KILOWATT_HOUR_J:.2f} kWh"
