"""Node files of another machine, kept up as they grow there; readers can follow them meanwhile.

A replica is a node file like any other: the same name, the same attributes, the same rows. Who
adds to it may be killed at any moment: rows that ``.replica.json`` tells of have been brought to
the disk before it told of them, and what is there beyond them is written once more.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from hpctrack.core.layout import NodeFileName
from hpctrack.errors import StoreError, StoreFullError
from hpctrack.store.replica_check import check_tail
from hpctrack.store.replica_file import (
    ReplicaFile,
    begin_replica,
    check_is_replica,
    is_left_open,
    open_replica,
    read_mark,
    rebuild,
)
from hpctrack.store.replica_states import (
    LOCK_WAIT_S,
    forget_replicas,
    has_replicas,
    hold_replicas,
    read_replicas,
    write_replicas,
)
from hpctrack.store.space import explain
from hpctrack.store.tails import NodeState, Piece, Tail
from hpctrack.store.vocabulary import TABLE_ROW_BYTES

__all__ = [
    "ReplicaGapError",
    "Replicas",
    "append_tail",
    "drop_replicas",
    "find_replicas",
    "read_replicas",
]


class ReplicaGapError(StoreError):
    """A tail begins behind the end of the replica."""

    code = "gap"


class _UnusableError(StoreError):
    """A file cannot be opened for writing."""


class Replicas:
    """The replicas of one run, held by one receiver.

    HDF5 opens no file for writing that the same process has open for reading: a process that adds
    to a replica must not read it meanwhile, or the file is made anew each time.

    Parameters
    ----------
    folder : Path
        The run's; ``/proc/self/fd/<number>`` will do.
    of : (str, str), optional
        Project and run that the files must be of; default what the folder's path says.
    wait_s : float, optional
        How long to wait for somebody else.

    Raises
    ------
    BusyError
        Somebody else has held them for so long.
    StoreError
        The folder cannot be written.

    Attributes
    ----------
    states : dict
        How far each replica has come; for good after `commit`.
    """

    def __init__(
        self, folder: Path, *, of: tuple[str, str] | None = None, wait_s: float = LOCK_WAIT_S
    ) -> None:
        self.folder = folder
        self._wait_s = wait_s
        self.states: dict[str, NodeState] = {}
        self._noted: dict[str, NodeState] = {}
        self._project, self._run = of or (folder.parent.name, folder.name)
        self._touched: set[str] = set()
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Take them."""
        self._lock.enter_context(hold_replicas(self.folder, wait_s=self._wait_s))
        self._noted = read_replicas(self.folder)
        self.states = dict(self._noted)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of them; what was not committed is written once more next time."""
        self._lock.close()

    def append(self, name: str, tail: Tail) -> NodeState:
        """Write new rows through to the page cache, where readers see them.

        Parameters
        ----------
        name : str
            Of the node file.
        tail : Tail
            Rows that are known to be there are passed over.

        Returns
        -------
        NodeState
            As the replica is now.

        Raises
        ------
        ReplicaGapError
            Rows between the replica's end and the tail's beginning are missing. What is known of
            the replica is right: `read_replicas` says where to begin.
        StoreFullError
            There is no room; the replica is as it was.
        StoreFormatError
            The tail is of no file of that name in this run, or of a newer program.
        StoreError
            Something else has that name, or it cannot be written.
        """
        check_tail(name, tail, project=self._project, run=self._run)
        known = self.states.get(name)
        if known is not None and known.uuid != tail.state.uuid:
            raise StoreError(f"there is another file {name}")
        _check_gap(name, tail, known)
        if known is not None and _is_nothing_new(known, tail):
            return known
        path = self.folder / name
        handle = open_replica(path)
        state = self._begin(path, tail) if handle is None else self._go_on(path, handle, tail)
        self._touched.add(name)
        self.states[name] = state
        return state

    def commit(self, *, is_synced: bool = False) -> None:
        """Bring everything to the disk, and then note that it is there.

        Parameters
        ----------
        is_synced : bool, optional
            The caller has brought the whole file system to the disk, and will do so once more.

        Raises
        ------
        StoreError, StoreFullError
            It may not be there: it is written once more next time.
        """
        if not self._touched:
            return
        if not is_synced:
            for name in sorted(self._touched):
                _sync_file(self.folder / name)
        self._note(self.states, is_durable=not is_synced)
        self._touched.clear()

    def _note(self, states: Mapping[str, NodeState], *, is_durable: bool) -> None:
        write_replicas(self.folder, states, is_durable=is_durable)
        self._noted = dict(states)

    def _begin(self, path: Path, tail: Tail) -> NodeState:
        """Make a replica with its first rows, and let it appear."""
        self.states.pop(path.name, None)
        _check_gap(path.name, tail, None)
        # Readers must not take it for a file of this machine's own, not even for a moment.
        noted = {**self._noted, path.name: replace(tail.state, rows={})}
        self._note(noted, is_durable=False)
        scratch = path.with_name(f".{path.name}.tmp")
        try:
            state = self._write(scratch, begin_replica(scratch, tail.facts), tail, None)
            scratch.replace(path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise explain(error, path) from None
            raise
        return state

    def _go_on(self, path: Path, handle: int, tail: Tail) -> NodeState:
        """Add to a replica that is there; one that somebody was killed over is made anew first."""
        known = self.states.get(path.name)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, handle)
            if known is None:
                check_is_replica(path, handle, tail.state.uuid)
            if not is_left_open(handle):
                with contextlib.suppress(_UnusableError):
                    return self._write(path, os.dup(handle), tail, known)
            rebuild(path, handle, tail.facts, known)
        again = open_replica(path)
        if again is None:
            raise StoreError(f"{path} has been removed")
        return self._write(path, again, tail, known)

    def _write(self, path: Path, handle: int, tail: Tail, known: NodeState | None) -> NodeState:
        state = _merge(known, tail)
        known_rows = known.rows if known is not None else {}
        try:
            file = ReplicaFile(path, handle, tail.pieces)
        except StoreFullError:
            raise
        except (StoreError, OSError, RuntimeError, ValueError) as error:
            raise _UnusableError(f"{path} cannot be written: {error}") from None
        try:
            if file.read_uuid() != tail.state.uuid:
                raise StoreError(f"{path} is another file")
            lost = {
                name: rows for name, rows in file.sizes.items() if rows < known_rows.get(name, 0)
            }
            if not lost:
                file.put(tail.pieces, known_rows)
                file.write_through(state.pulse_wall_s, state.closed_wall_s)
        finally:
            if not file.is_abandoned:
                file.close_file(is_durable=False, keeps_room=not state.closed_wall_s)
        if known is not None and lost:
            self._correct(path.name, replace(known, rows={**known_rows, **lost}))
        return state

    def _correct(self, name: str, state: NodeState) -> None:
        """Note that a disk has lost what was there for good."""
        self.states[name] = state
        self._note({**self._noted, name: state}, is_durable=True)
        raise ReplicaGapError(f"the replica {name} has lost rows", hint="sync again")


def append_tail(
    folder: Path, name: str, tail: Tail, *, of: tuple[str, str] | None = None
) -> NodeState:
    """Add new rows to a replica, for good; what is there already is passed over.

    Parameters
    ----------
    folder : Path
        The run's; ``/proc/self/fd/<number>`` will do. It has to be there.
    name : str
        Of the node file.
    tail : Tail
    of : (str, str), optional
        Project and run that it must be of; default what the folder's path says.

    Returns
    -------
    NodeState
        As the replica is now.

    Raises
    ------
    BusyError
        Somebody else has held the run's replicas for 10 s.
    ReplicaGapError, StoreFullError, StoreFormatError, StoreError
        As `Replicas.append`.

    Notes
    -----
    Killed anywhere, nothing is lost and nothing doubled: the same tail once more has the same end.
    """
    with Replicas(folder, of=of) as replicas:
        state = replicas.append(name, tail)
        replicas.commit()
    return state


def find_replicas(folder: Path) -> dict[str, NodeState]:
    """Return the same as `read_replicas`, and replicas that only their own mark tells of.

    Of those no row is known to be there for good: what was noted of them has been lost.
    """
    found = read_replicas(folder)
    names = {one.name for one in folder.iterdir() if NodeFileName.parse(one.name)}
    marks = {name: read_mark(folder / name) for name in sorted(names - found.keys())}
    return found | {name: NodeState(uuid=uuid) for name, uuid in marks.items() if uuid}


def drop_replicas(folder: Path, uuids: Collection[str]) -> list[str]:
    """Remove the replicas that a sealed file has replaced, and return their names.

    Parameters
    ----------
    folder : Path
        The run's.
    uuids : collection of str
        Those in the sealed file's ``/nodes``.

    Raises
    ------
    BusyError
        Somebody else has held the run's replicas for 10 s.
    StoreError
        The folder cannot be written.
    """
    if not has_replicas(folder) and not find_replicas(folder):
        return []
    with hold_replicas(folder):
        states = find_replicas(folder)
        dropped = [name for name, state in states.items() if state.uuid in uuids]
        kept = {name: state for name, state in states.items() if name not in dropped}
        try:
            for name in dropped:
                (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise explain(error, folder) from None
        if kept:
            write_replicas(folder, kept, is_durable=True)
        else:
            forget_replicas(folder)
    return dropped


def _check_gap(name: str, tail: Tail, known: NodeState | None) -> None:
    """Make sure that a tail leaves nothing out.

    Raises
    ------
    ReplicaGapError
        It does.
    """
    rows = dict(known.rows) if known is not None else {}
    for piece in tail.pieces:
        there = rows.get(piece.table, 0)
        if piece.start > there:
            raise _make_gap(name, piece.table, there, piece.start)
        rows[piece.table] = max(there, _end(piece))
    for table, count in tail.state.rows.items():
        there = rows.get(table, 0)
        if there < count:
            raise _make_gap(name, table, there, count)


def _make_gap(name: str, table: str, there: int, start: int) -> ReplicaGapError:
    return ReplicaGapError(
        f"gap: the replica {name} has {there} rows of {table}, and {start} were expected",
        hint="sync again: it begins where the replica ends",
    )


def _end(piece: Piece) -> int:
    return piece.start + len(piece.data) // TABLE_ROW_BYTES[piece.table]


def _is_nothing_new(known: NodeState, tail: Tail) -> bool:
    return _merge(known, tail) == known


def _merge(known: NodeState | None, tail: Tail) -> NodeState:
    """Return the state of a replica when a tail has been added.

    Of two looks at a file the one that saw the later sign of life was the later one, whatever the
    clocks of those who looked; of two that saw the same one, the later by their clocks.
    """
    rows = {name: known.rows.get(name, 0) if known is not None else 0 for name in TABLE_ROW_BYTES}
    for piece in tail.pieces:
        rows[piece.table] = max(rows[piece.table], _end(piece))
    told, last = tail.state, known or tail.state
    pulse_wall_s, as_of_wall_s = max(
        (told.pulse_wall_s, told.as_of_wall_s), (last.pulse_wall_s, last.as_of_wall_s)
    )
    return NodeState(
        uuid=told.uuid,
        rows=rows,
        pulse_wall_s=pulse_wall_s,
        closed_wall_s=max(told.closed_wall_s, last.closed_wall_s),
        as_of_wall_s=as_of_wall_s,
    )


def _sync_file(path: Path) -> None:
    """Wait until the disk has a file.

    Raises
    ------
    StoreError
        It may not have it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise explain(error, path) from None
