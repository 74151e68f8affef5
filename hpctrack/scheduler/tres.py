"""Trackable resources: ``cpu=4,mem=64G,node=1,billing=4,gres/gpu:a100=2``. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hpctrack.scheduler.durations import parse_duration
from hpctrack.scheduler.sizes import parse_size

GPU = "gres/gpu"


def parse_tres(text: str) -> dict[str, float]:
    """Return what a TRES string counts, by name; memory in bytes, times in seconds.

    Parts that are no count (``(null)``, a broken one) are left out. A name may hold ``:`` and
    ``/``: ``gres/gpu:a100``, ``license/matlab@flex``.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, mark, value = part.strip().rpartition("=")
        if not mark or not name:
            continue
        number = parse_duration(value) if ":" in value else parse_size(value)
        if number is not None:
            found[name] = number
    return found


def count_gpus(tres: Mapping[str, float]) -> int:
    """Return the number of GPUs: the total where Slurm tells it, else the types added up."""
    if GPU in tres:
        return int(tres[GPU])
    return int(sum(count for name, count in tres.items() if name.startswith(f"{GPU}:")))
