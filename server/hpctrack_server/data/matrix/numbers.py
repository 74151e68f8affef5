"""What the Ranks tab asks for: pictures, cells, bands; kept within a bound of bytes."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.store.record import RankRecord
from hpctrack_server.data.downsample import IntArray
from hpctrack_server.data.encode import Packed, make_encodable, pack_arrays, pack_floats
from hpctrack_server.data.entries import Entries, Entry
from hpctrack_server.data.matrix.cell import CellQuery, describe_cell
from hpctrack_server.data.matrix.hosts import describe_nodes, group_hosts, order_by_host
from hpctrack_server.data.matrix.picture import Wanted, draw
from hpctrack_server.data.matrix.plane import How, Plane, choose_columns, reduce_rows
from hpctrack_server.data.matrix.spread import measure_bands
from hpctrack_server.data.matrix.table import Table, open_table
from hpctrack_server.data.matrix.telemetry import SensorQuery, Telemetry
from hpctrack_server.data.matrix.verdict import find_verdict

HELD_BYTES = 640 * 1024 * 1024
"""Of all tables together: one of 1,024 ranks x 100,000 steps takes 430 MB when it is sharp."""

SHARP_BYTES = 512 * 1024 * 1024
"""Of the points of one metric; larger ones are kept in buckets."""

LIVE_REST_S = 0.5
"""A table of a run that grows is used for so long, and for ten times as long as making it took."""

MEANS_ROWS = 8192
"""Rows of a plane whose mean over the window takes no noticeable time."""


class Sort(StrEnum):
    """The order of the ranks in a picture."""

    RANK = "rank"
    HOST = "host"
    MEAN = "mean"
    PEAK = "peak"


@dataclass(slots=True)
class _Held:
    table: Table
    read_mono_s: float
    took_s: float


class RankNumbers:
    """Numbers of all ranks of a run at once. For the thread of numbers only.

    Parameters
    ----------
    store : Path
        The store's folder.
    stale_after_s : float
        How long a live run may be silent.
    clock : Clock, optional
    """

    def __init__(self, store: Path, *, stale_after_s: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._entries = Entries(store, clock=clock, stale_after_s=stale_after_s)
        self._clock = clock
        self.telemetry = Telemetry()
        self._tables: OrderedDict[tuple[Path, str], _Held] = OrderedDict()

    def entry(self, project: str, run_id: str) -> Entry:
        """Return a run, as it is now."""
        entry = self._entries.run(project, run_id)
        entry.read()
        return entry

    def picture(self, project: str, run_id: str, metric: str, sort: Sort, wanted: Wanted) -> bytes:
        """Return a window of a heat map, for the browser.

        Raises
        ------
        HpctrackError
            There is no such run or metric, or it cannot be read.
        """
        entry = self.entry(project, run_id)
        table = self.table(entry, metric)
        if table.is_coarse(wanted.start, wanted.stop, wanted.width):
            table.sharpen(SHARP_BYTES)
        plane = table.choose()
        if plane is None or not len(plane):
            return pack_arrays({**self._facts(table), "rows": 0, "columns": 0}, [])
        homes = {one.rank: one for one in entry.read().ranks}
        order = self._order(table, sort, homes)
        beside = plane if len(plane) <= MEANS_ROWS else table.overview or plane
        found = draw(plane, order, wanted, beside=beside)
        chosen = table.ranks[order]
        first = min(max(wanted.first, 0), max(len(chosen) - 1, 0))
        last = len(chosen) if wanted.last is None else min(wanted.last, len(chosen))
        rows, columns = found.codes.shape
        head = {
            **self._facts(table),
            "metric": metric, "how": str(wanted.how), "sort": str(sort),
            "rows": rows, "columns": columns, "first": first, "last": first + int(found.starts[-1]),
            "x0": found.x0, "x1": found.x1, "low": found.low, "high": found.high,
            "lowest": found.lowest, "highest": found.highest, "clipped": found.clipped,
            "each_step": found.each_step,
            "begin": int(plane.starts[0]), "end": int(plane.stops[-1]),
            "hosts": group_hosts(chosen[first:last].tolist(), homes),
        }  # fmt: skip
        return pack_arrays(
            make_encodable(head),
            [
                ({"name": "codes"}, Packed(found.codes.reshape(-1))),
                ({"name": "starts"}, Packed(found.starts.astype("<u4"))),
                ({"name": "ranks"}, Packed(chosen[first:last].astype("<u4"))),
                ({"name": "means"}, pack_floats(found.means)),
            ],
        )

    def spread(self, project: str, run_id: str, metric: str, wanted: Wanted) -> bytes:
        """Return bands over the ranks for each pixel column of a window."""
        table = self.table(self.entry(project, run_id), metric)
        plane = table.choose()
        if plane is None or not len(plane):
            return pack_arrays(self._facts(table), [])
        bands, columns = measure_bands(plane, wanted)
        head = {
            **self._facts(table), "x0": columns.x0, "x1": columns.x1,
            "each_step": (columns.x1 - columns.x0) / max(len(columns), 1),
        }  # fmt: skip
        arrays = [({"name": name}, pack_floats(values)) for name, values in bands.items()]
        return pack_arrays(make_encodable(head), arrays)

    def cell(self, project: str, run_id: str, metric: str, query: CellQuery) -> dict[str, Any]:
        """Return what is known of a pixel: the exact value, where, and what the others had."""
        entry = self.entry(project, run_id)
        table = self.table(entry, metric)
        table.sharpen(SHARP_BYTES)
        homes = {one.rank: one for one in entry.read().ranks}
        found = describe_cell(table, query)
        home = homes.get(found["rank"]) if "rank" in found else None
        if home is not None:
            found.update(
                host=home.host, node=home.node, local_rank=home.local_rank, gpu=home.gpu,
                state=str(home.state),
            )  # fmt: skip
        return found

    def stragglers(
        self, project: str, run_id: str, metric: str, *, higher_is_better: bool
    ) -> dict[str, Any]:
        """Return who is slow, see `find_verdict`."""
        entry = self.entry(project, run_id)
        table = self.table(entry, metric)
        key = f"verdict {higher_is_better}"
        if key not in table.kept:
            found = find_verdict(entry, table, higher_is_better=higher_is_better)
            if found["pending"]:
                return found
            table.kept[key] = found
        found = table.kept[key]
        return {**found, "metric": metric, "higher_is_better": higher_is_better}

    def nodes(self, project: str, run_id: str, metric: str) -> dict[str, Any]:
        """Return all nodes with their ranks, and what these had of a metric in the mean.

        Raises
        ------
        HpctrackError
            There is no such run or metric, or it cannot be read.
        """
        entry = self.entry(project, run_id)
        values = self._means(self.table(entry, metric)) if metric else {}
        return describe_nodes(entry.read().ranks, values)

    def system(self, project: str, run_id: str) -> dict[str, Any]:
        """Return what was sampled of a run, see `Telemetry.describe`."""
        return self.telemetry.describe(self.entry(project, run_id))

    def sensor(self, project: str, run_id: str, query: SensorQuery) -> bytes:
        """Return the samples of a sensor, see `Telemetry.draw`."""
        return self.telemetry.draw(self.entry(project, run_id), query)

    def energy(self, project: str, run_id: str) -> dict[str, Any]:
        """Return what a run has used, see `Telemetry.energy`."""
        return self.telemetry.energy(self.entry(project, run_id))

    def _means(self, table: Table) -> dict[int, float]:
        plane = table.summary
        if plane is None or not len(plane):
            return {}
        columns = choose_columns(plane, float(plane.starts[0]), float(plane.stops[-1]), 1)
        found = reduce_rows(plane, columns, How.MEAN)[0]
        pairs = zip(table.ranks.tolist(), found.tolist(), strict=True)
        return {rank: value for rank, value in pairs if math.isfinite(value)}

    def table(self, entry: Entry, metric: str) -> Table:
        """Return a metric of all ranks; read again if the run has grown."""
        key = (entry.run.folder, metric)
        now_s = self._clock.mono_s()
        held = self._tables.get(key)
        if held is not None:
            rest_s = max(LIVE_REST_S, 10 * held.took_s)
            is_young = entry.is_live and now_s - held.read_mono_s < rest_s
            if held.table.version == entry.version or is_young:
                self._tables.move_to_end(key)
                return held.table
            self._tables.pop(key).table.close()
        table = open_table(entry, metric, SHARP_BYTES)
        self._tables[key] = _Held(table, now_s, self._clock.mono_s() - now_s)
        self._forget()
        return table

    def close(self) -> None:
        """Close all files, and end what is being read."""
        for held in self._tables.values():
            held.table.close()
        for held in self._tables.values():
            if held.table.building:
                held.table.building.join(5.0)
        self._tables.clear()
        self._entries.close()

    def _forget(self) -> None:
        """Give up what was used longest ago, down to the bound; the newest one stays."""
        while len(self._tables) > 1 and self.size_bytes > HELD_BYTES:
            _key, held = self._tables.popitem(last=False)
            held.table.close()

    @property
    def size_bytes(self) -> int:
        """Memory that all tables take."""
        return sum(one.table.size_bytes for one in self._tables.values())

    def _facts(self, table: Table) -> dict[str, Any]:
        building = table.building
        is_read = table.whole is not None
        share = building.share if building and not building.error else None
        return {
            "version": table.version, "total_ranks": len(table.ranks), "points": table.points,
            "share": 1.0 if is_read else share,
            "is_partial": not is_read and table.overview is None,
            "error": building.error if building else "",
        }  # fmt: skip

    def _order(self, table: Table, sort: Sort, homes: dict[int, RankRecord]) -> IntArray:
        if sort == Sort.RANK:
            return np.arange(len(table.ranks))
        if sort == Sort.HOST:
            return order_by_host(table.ranks.tolist(), homes)
        plane = table.summary
        kept = table.kept.get(sort)
        if kept is not None or plane is None:
            return np.arange(len(table.ranks)) if kept is None else kept
        order = _order_by_value(plane, sort)
        is_read = table.overview is not None or table.whole is not None
        if is_read:
            table.kept[sort] = order
        return order


def _order_by_value(plane: Plane, sort: Sort) -> IntArray:
    how = How.MEAN if sort == Sort.MEAN else How.MAX
    columns = choose_columns(plane, float(plane.starts[0]), float(plane.stops[-1]), 1)
    found = reduce_rows(plane, columns, how)[0]
    return np.argsort(np.where(np.isnan(found), np.inf, -found), kind="stable")
