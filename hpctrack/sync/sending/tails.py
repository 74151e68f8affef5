"""Reading what is new in a live node file, row by row as it is there.

Neither h5py nor numpy is loaded, and what is not new is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Self

from hpctrack.errors import StoreFormatError
from hpctrack.store.node_tail import PULSE_ROW, check_facts
from hpctrack.store.replica_states import ReplicaStates
from hpctrack.store.tails import TAIL_BYTES, NodeState, Piece, Tail
from hpctrack.store.thin_hdf5 import ThinFile, ThinTable
from hpctrack.store.vocabulary import PULSE, ROOT_ATTRIBUTES, TABLE_ROW_BYTES
from hpctrack.sync.sending.whole_rows import cut_timeless, find_farewell, find_whole


class TailReader:
    """A live node file, open for reading while its agent writes it. Not safe for several threads.

    HDF5 shares what it knows of a file in one process: see `ThinFile`.

    Parameters
    ----------
    path : Path
        The file.
    known_rows : mapping, optional
        Rows of each table that an earlier look has found: whether they are there is not asked
        again, which in a long file takes 1 ms for 100 MB.
    stale_after_s : float, optional
        How long a file may be silent before nobody writes it any more.

    Attributes
    ----------
    facts : dict
        The attributes of the root.
    has_held_back : bool
        The last tails were not all that there is: more may be there without a new stamp of time.

    Raises
    ------
    NotFoundError
        There is no such file (any more): it has been sealed.
    StoreFormatError
        It cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        known_rows: Mapping[str, int] | None = None,
        stale_after_s: float = 60.0,
    ) -> None:
        self.path = path
        self._stale_after_s = stale_after_s
        self.has_held_back = False
        self._tables: dict[str, ThinTable] = {}
        self._file = ThinFile(path)
        try:
            facts = self._file.attributes(ROOT_ATTRIBUTES)
            self.facts = check_facts(path, facts)
            # In the opposite order of writing: what a row names is there when it is counted.
            known_rows = _count_rows(known_rows or {})
            for name in (PULSE, *reversed(TABLE_ROW_BYTES)):
                known = known_rows.get(name, 0)
                table = self._tables[name] = self._file.table(name, known_rows=known)
                if name == PULSE:
                    self._pulse = self._read_pulse()
                self._check_rows(name, table)
        except BaseException:
            self.close()
            raise
        self._is_fresh = True

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        for table in self._tables.values():
            table.close()
        self._tables.clear()
        self._file.close()

    def state(self, as_of_wall_s: float) -> NodeState:
        """Return how far the file has come.

        Parameters
        ----------
        as_of_wall_s : float
            Now.

        Raises
        ------
        StoreFormatError
            It cannot be read any more.
        """
        # A replica that is sent on is known as of the look at its original.
        known_wall_s = ReplicaStates(self.path.parent).as_of_wall_s(self.path.name)
        self._look()
        pulse_wall_s, closed_wall_s = self._pulse
        return NodeState(
            uuid=str(self.facts.get("uuid", "")),
            rows={name: self._tables[name].rows for name in TABLE_ROW_BYTES},
            pulse_wall_s=pulse_wall_s,
            closed_wall_s=closed_wall_s,
            as_of_wall_s=as_of_wall_s if known_wall_s is None else known_wall_s,
        )

    def iter_tails(
        self, since: Mapping[str, int], as_of_wall_s: float, *, limit_bytes: int = TAIL_BYTES
    ) -> Iterator[Tail]:
        """Yield what is new, at least one tail: that the file was looked at is news, too.

        Parameters
        ----------
        since : mapping
            Rows of each table that the other side has; what is no number of rows counts as 0.
        as_of_wall_s : float
            Now.
        limit_bytes : int, optional
            What the rows of one tail may have together.

        Raises
        ------
        StoreFormatError
            It cannot be read any more.

        Notes
        -----
        Every tail leaves a file that is whole, by the order of its pieces, and all but the last
        one a file that is going on. Rows of a file that may still be written are held back where
        they are not really there yet: NFS may deliver what was written last before what was
        written first.
        """
        found, since = self.state(as_of_wall_s), _count_rows(since)
        # What an agent wrote may arrive after its farewell, too.
        is_settled = found.as_of_wall_s - found.pulse_wall_s >= self._stale_after_s
        stops = dict(found.rows)
        if not is_settled:
            stops = find_whole(self._tables, stops, since, is_closed=found.closed_wall_s > 0)
        rows = {name: min(since.get(name, 0), stop) for name, stop in stops.items()}
        pieces: list[Piece] = []
        room_bytes = limit_bytes
        is_cut = False
        for name, stop in self._plan(rows, stops):
            row_bytes = TABLE_ROW_BYTES[name]
            while rows[name] < stop and not is_cut:
                count = min(stop - rows[name], room_bytes // row_bytes)
                if not count:
                    yield self._make_tail(pieces, _on_the_way(found, rows))
                    pieces, room_bytes = [], limit_bytes
                    continue
                data = self._tables[name].read(rows[name], rows[name] + count)
                if not is_settled:
                    data = cut_timeless(name, data)
                if data:
                    pieces.append(Piece(name, rows[name], data))
                room_bytes -= len(data)
                rows[name] += len(data) // row_bytes
                is_cut = len(data) < count * row_bytes
        self.has_held_back = not is_settled and any(
            rows[name] < table.told_rows for name, table in self._tables.items() if name in rows
        )
        closed_wall_s = 0.0 if self.has_held_back else found.closed_wall_s
        yield self._make_tail(pieces, replace(found, rows=rows, closed_wall_s=closed_wall_s))

    def _plan(self, rows: Mapping[str, int], stops: Mapping[str, int]) -> list[tuple[str, int]]:
        """Return up to where each table is read, in this order: sessions end after their points."""
        farewell = find_farewell(self._tables["events"], rows["events"], stops["events"])
        plan = list({**stops, "events": farewell}.items())
        return [*plan, ("events", stops["events"])]

    def _make_tail(self, pieces: list[Piece], state: NodeState) -> Tail:
        return Tail(facts=self.facts, pieces=tuple(pieces), state=state)

    def _check_rows(self, name: str, table: ThinTable) -> None:
        if table.row_bytes != TABLE_ROW_BYTES.get(name, table.row_bytes):
            raise StoreFormatError(f"{self.path}: {name} has rows of {table.row_bytes} bytes")

    def _look(self) -> None:
        """See what has been written since, the sign of life first."""
        if self._is_fresh:
            self._is_fresh = False
            return
        for name, table in self._tables.items():
            table.refresh()
            if name == PULSE:
                self._pulse = self._read_pulse()

    def _read_pulse(self) -> tuple[float, float]:
        """Return the last sign of life, and the farewell or 0."""
        data = self._tables[PULSE].read(0, 2)
        if len(data) != PULSE_ROW.size:
            raise StoreFormatError(f"{self.path} has no sign of life")
        pulse_wall_s, closed_wall_s = PULSE_ROW.unpack(data)
        if not (isfinite(pulse_wall_s) and isfinite(closed_wall_s)):
            raise StoreFormatError(f"{self.path}: the sign of life is no time")
        return pulse_wall_s, closed_wall_s


def _count_rows(told: Mapping[str, object]) -> dict[str, int]:
    """Return what may be numbers of rows: the other side has said them."""
    return {name: one for name, one in told.items() if isinstance(one, int) and one > 0}


def _on_the_way(found: NodeState, rows: Mapping[str, int]) -> NodeState:
    """Return the state of a file of which more follows: as of its agent's last sign it lived."""
    as_of_wall_s = min(found.as_of_wall_s, found.pulse_wall_s)
    return replace(found, rows=dict(rows), closed_wall_s=0.0, as_of_wall_s=as_of_wall_s)
