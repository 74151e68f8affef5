"""The summary of a live run's metrics, piece by piece: a long run's points would be gigabytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpctrack.client.definitions import Definition
from hpctrack.store.columns import Columns
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.series_summary import SeriesSummary


class LiveSummary:
    """Each metric's summary over the points of the lowest rank that logged it.

    What has been read is not read again. Not safe for several threads.

    Notes
    -----
    Some 10 million points a second; memory does not grow with the run.
    """

    def __init__(self) -> None:
        self._readers: list[NodeReader] = []
        self._definitions: Sequence[Definition] = ()
        self._read: list[int] = []
        self._lowest: dict[str, tuple[int, SeriesSummary]] = {}

    def read(self, readers: Sequence[NodeReader], definitions: Sequence[Definition]) -> None:
        """Take in the points that have come.

        Parameters
        ----------
        readers : sequence of NodeReader
            The run's node files in the order in which they were made, all of one attempt: then no
            point is superseded.
        definitions : sequence of Definition
            What the run said about its metrics.
        """
        if [*readers] != self._readers or definitions != self._definitions:
            self._readers, self._definitions = [*readers], definitions
            self._read, self._lowest = [0] * len(readers), {}
        is_whole = True
        for number, reader in enumerate(self._readers):
            start, stop = self._read[number], reader.point_rows
            taken = 0
            for name, columns in reader.iter_columns(start):
                self._add(name, columns)
                taken += len(columns)
            self._read[number] = stop
            is_whole &= taken == stop - start
        if not is_whole:
            self._readers = []  # what had no name yet, or was lost, may be there the next time

    def result(self) -> dict[str, Any]:
        """Return what a record has as ``summary``."""
        found: dict[str, Any] = {}
        for name in sorted(self._lowest):
            found |= self._lowest[name][1].result()
        return found

    def _add(self, name: str, columns: Columns) -> None:
        rank = int(columns.rank.min())
        known = self._lowest.get(name)
        if known is None or rank < known[0]:
            # No earlier piece has a point of a rank that was not there before.
            known = self._lowest[name] = (rank, SeriesSummary(name, self._definitions))
        is_lowest = columns.rank == known[0]
        known[1].add(columns.step[is_lowest], columns.value[is_lowest])
