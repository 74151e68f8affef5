"""Which ranks belong to which host. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpctrack.store.record import RankRecord
from hpctrack_server.data.downsample import IntArray

_DIGITS = re.compile(r"(\d+)")


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts ``node9`` before ``node10``."""
    parts = [one for one in _DIGITS.split(text[:200]) if one]
    return tuple((0, int(one), "") if one.isdecimal() else (1, 0, one) for one in parts)


def host_of(rank: int, homes: Mapping[int, RankRecord]) -> str:
    """Return the name of a rank's host; empty if nobody knows."""
    home = homes.get(rank)
    return "" if home is None else home.host or f"node {home.node}"


def order_by_host(ranks: Sequence[int], homes: Mapping[int, RankRecord]) -> IntArray:
    """Return the order of ranks by host, then rank."""
    keys = [(natural(host_of(one, homes)), one) for one in ranks]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def group_hosts(
    ranks: Sequence[int], homes: Mapping[int, RankRecord]
) -> list[tuple[str, int, int]]:
    """Return host, beginning and number of neighbours that share a host."""
    found: list[tuple[str, int, int]] = []
    for place, rank in enumerate(ranks):
        host = host_of(rank, homes)
        if found and found[-1][0] == host:
            found[-1] = (host, found[-1][1], found[-1][2] + 1)
        else:
            found.append((host, place, 1))
    return found


def describe_nodes(ranks: Sequence[RankRecord], values: Mapping[int, float]) -> dict[str, Any]:
    """Return nodes with their ranks, by host.

    Returns
    -------
    dict
        ``nodes``: a list of ``host, node`` and ``ranks``, each ``rank, local_rank, gpu, state,
        value``, the value being None where there is none.
    """
    by_node: dict[tuple[str, int], list[RankRecord]] = {}
    for one in ranks:
        by_node.setdefault((one.host, one.node), []).append(one)
    return {
        "nodes": [
            {
                "host": host or f"node {node}",
                "node": node,
                "ranks": [
                    [one.rank, one.local_rank, one.gpu, str(one.state), values.get(one.rank)]
                    for one in sorted(by_node[host, node], key=lambda one: one.rank)
                ],
            }
            for host, node in sorted(by_node, key=lambda key: (natural(key[0]), key[1]))
        ]
    }
