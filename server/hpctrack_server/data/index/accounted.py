"""What the scheduler counted of a run, as columns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hpctrack.store.accounting_file import read_accounting

JOULES_PER_WH = 3600.0

SHARES = {
    "cpu_frac": "slurm.cpu_frac",
    "gpu_frac": "slurm.gpu_frac",
    "memory_frac": "slurm.memory_frac",
    "time_frac": "slurm.time_frac",
    "wait_s": "slurm.wait_s",
}
"""Of the latest attempt; seconds from when it could have run to its start."""


def read_efficiency(folder: Path) -> dict[str, float]:
    """Return ``energy_wh`` of all attempts, and the shares that the latest one used.

    Nothing if there is no accounting, or none that can be read; what was not counted is left out.
    """
    told = read_accounting(folder)
    return {} if told is None else list_efficiency(told["attempts"])


def list_efficiency(attempts: list[dict[str, Any]]) -> dict[str, float]:
    """Return the same of what was read. Pure."""
    used = [one.get("efficiency") for one in attempts]
    known = [one for one in used if isinstance(one, dict)]
    energy_j = [one["energy_j"] for one in known if _is_count(one.get("energy_j"))]
    found = {"energy_wh": sum(energy_j) / JOULES_PER_WH} if energy_j else {}
    last = known[-1] if known else {}
    found.update({key: last[name] for name, key in SHARES.items() if _is_count(last.get(name))})
    return found


def _is_count(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0
