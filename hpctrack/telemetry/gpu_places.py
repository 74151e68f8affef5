"""Which NUMA nodes the GPUs of each rank are attached to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class GpuPlaces:
    """Where GPUs are, and whose they are.

    Parameters
    ----------
    nodes : mapping
        By the key of a GPU or slice its NUMA node; None if that is not told.
    allowed : mapping
        By the process of a rank the keys of those that it may use.
    used : mapping
        By process the keys of those on which the driver sees it.
    """

    nodes: Mapping[str, int | None] = field(default_factory=dict)
    allowed: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    used: Mapping[int, Iterable[str]] = field(default_factory=dict)

    def find_nodes(self, members: Mapping[int, Iterable[int]]) -> dict[int, dict[str, int]]:
        """Return the GPUs of each rank with their NUMA nodes.

        Parameters
        ----------
        members : mapping
            By the process of a rank all of its processes.

        Returns
        -------
        dict
            By the process of a rank. Where the driver sees some of the ranks on GPUs, these are the
            GPUs that a rank uses, else those that it may use. A rank with a GPU whose place is not
            told is missing: that one may be near.
        """
        used = {
            root: {key for pid in pids for key in self.used.get(pid, ())}
            for root, pids in members.items()
        }
        keys: Mapping[int, Iterable[str]] = used if any(used.values()) else self.allowed
        found = {}
        for root in members:
            nodes = {key: self.nodes.get(key) for key in keys.get(root, ())}
            known = {key: node for key, node in nodes.items() if node is not None}
            if known and len(known) == len(nodes):
                found[root] = known
        return found


NO_GPUS: Final = GpuPlaces()
"""Of a node without any, or before the first reading."""
