"""Sizes of memory as Slurm writes them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

GIB = 1024**3
MIB = 1024**2

_UNITS = {"": 1, "K": 1024, "M": MIB, "G": GIB, "T": 1024**4, "P": 1024**5, "E": 1024**6}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[KMGTPE]?)(?P<per>[cn]?)\Z", re.IGNORECASE)
_PER = {"": "job", "c": "cpu", "n": "node"}


@dataclass(frozen=True, slots=True)
class MemoryRequest:
    """How much memory was asked for.

    Parameters
    ----------
    size_bytes : float
    per : {"job", "node", "cpu"}
        What it is for. Until 20.11 Slurm said ``4000Mn`` or ``4000Mc``; since 21.08 it says
        what the whole job gets, without a letter.
    """

    size_bytes: float
    per: str = "job"

    def total_bytes(self, *, nodes: int, cpus: int) -> float:
        """Return how much that is for the whole job."""
        return self.size_bytes * {"job": 1, "node": max(nodes, 1), "cpu": max(cpus, 1)}[self.per]


def parse_size(text: str) -> float | None:
    """Return the bytes of ``64G``, ``3.1M``, ``4224K`` or ``3250585600``; None for no size."""
    found = _SIZE.match(text.strip())
    if found is None or found["per"]:
        return None
    return float(found["number"]) * _UNITS[found["unit"].upper()]


def parse_request(text: str) -> MemoryRequest | None:
    """Read a ``ReqMem``; None for nothing, and for 0, which means all that the node has."""
    found = _SIZE.match(text.strip())
    if found is None or float(found["number"]) == 0:
        return None
    size_bytes = float(found["number"]) * _UNITS[found["unit"].upper()]
    return MemoryRequest(size_bytes, _PER[found["per"].lower()])


def show_slurm_size(size_bytes: float) -> str:
    """Return a size in the form that ``--mem`` takes: ``4G``, else ``1536M``, rounded up."""
    mebibytes = -(-int(size_bytes) // MIB)
    if mebibytes and mebibytes % 1024 == 0:
        return f"{mebibytes // 1024}G"
    return f"{mebibytes}M"
