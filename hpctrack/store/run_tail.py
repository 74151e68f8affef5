"""A run that is going on: what is new since the last look, in little memory, without numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import SEALED_NAME, NodeFileName, iter_node_files
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.store.annotation_file import read_annotations
from hpctrack.store.annotations import NOTHING
from hpctrack.store.console import ConsoleLine, ConsoleText
from hpctrack.store.events import NodeEvents
from hpctrack.store.ledger import add_unreadable
from hpctrack.store.node_tail import NodeTail, Point, Reading
from hpctrack.store.payloads import ByteSource
from hpctrack.store.record import RunRecord, assemble
from hpctrack.store.replica_states import ReplicaStates

ROWS = 32_768
"""Points of one look, and as many samples, of all nodes together; of more a part is read."""

ROWS_MIN = 512
"""Of each node at least so many."""

OPEN_MAX = 8
"""Files that stay open: HDF5 takes 0.6 MB for each. Of more nodes each is opened for its turn."""


class RunTail:
    """The node files of one run, each as `NodeTail` has it.

    Files that are sealed under our hands are read to their end as long as they are open, and what
    they said of the run is remembered. Not safe for several threads.

    Parameters
    ----------
    folder : Path
        The run's folder.
    clock : Clock, optional
    stale_after_s : float, optional
        How long a live file may be silent before its agent counts as gone.
    since_wall_s : float, optional
        Older points and samples are passed over.
    rows : int or None, optional
        How many points to read in one look at most; None reads all.
    keeps_console : bool, optional
        Whether `console_sources` has what was printed.

    Attributes
    ----------
    id, project : str
    folder : Path
    broken : dict
        Node files that cannot be read, and why.
    has_missed : bool
        A file was sealed before it was read to its end: the sealed one has the rest.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock = SYSTEM_CLOCK,
        stale_after_s: float = 60.0,
        since_wall_s: float = 0.0,
        rows: int | None = ROWS,
        keeps_console: bool = False,
    ) -> None:
        self.folder = folder
        self.id, self.project = folder.name, folder.parent.name
        self.broken: dict[Path, HpctrackError] = {}
        self.has_missed = False
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._since_wall_s = since_wall_s
        self._rows = rows
        self._keeps_console = keeps_console
        self._replicas = ReplicaStates(folder)
        self._tails: dict[Path, NodeTail] = {}
        self._earlier: list[NodeEvents] = []
        self._annotations = NOTHING
        self._record: RunRecord | None = None
        self._record_of: tuple[object, ...] = ()

    @property
    def nodes(self) -> list[NodeTail]:
        """The files that are there, by attempt, node and age."""
        return sorted(self._tails.values(), key=lambda one: one.age_key)

    @property
    def is_sealed(self) -> bool:
        """Whether everything that is left is a sealed file."""
        return not self._tails and (self.folder / SEALED_NAME).exists()

    @property
    def attempt(self) -> int:
        """The latest attempt that has files; 0 if none has."""
        return max((one.attempt for one in self._tails.values()), default=0)

    @property
    def skipped_points(self) -> int:
        """How many points were passed over, see `NodeTail`."""
        return sum(one.skipped_points for one in self._tails.values())

    def visit(self) -> Iterator[NodeTail]:
        """Yield each file when it has been looked at again; read what is new at once.

        With the next one a file may be closed again, or forgotten because it was sealed.
        """
        paths = self._list_paths()
        self._annotations = read_annotations(self.folder.parent.parent, self.project, self.id)
        self._replicas.refresh()
        for path in sorted({*paths, *self._tails}, key=_by_age):
            known = self._tails.get(path)
            # Asked before it is refreshed: a file that has lost its name gets nothing more.
            is_gone = known is not None and not known.is_in_place()
            if known is not None and is_gone and path in paths and known.as_of_wall_s is not None:
                known.close()  # a replica that was made anew: it is opened where it was read to
                is_gone = False
            tail = self._look_at(path)
            if tail is None:
                continue
            yield tail
            if is_gone:
                self._forget(path)
            elif len(paths) > OPEN_MAX:
                tail.close()

    def iter_new_points(self, tail: NodeTail) -> Iterator[Point]:
        """Yield the points of a file that have come since this was called last."""
        yield from tail.iter_new_points(since_wall_s=self._since_wall_s, limit=self._limit())

    def iter_new_samples(self, tail: NodeTail) -> Iterator[Reading]:
        """Yield its samples likewise."""
        yield from tail.iter_new_samples(since_wall_s=self._since_wall_s, limit=self._limit())

    @property
    def record(self) -> RunRecord:
        """What the run is, without configuration and summary, as of the last `visit`.

        Raises
        ------
        NotFoundError
            No node file was ever there: the run is sealed, or gone.
        StoreFormatError
            None of them can be read.
        """
        now_s, here = self._clock.wall_s(), self.nodes
        if not here and not self._earlier:
            raise next(
                iter(self.broken.values()),
                NotFoundError(f"the run {self.project}/{self.id} has no live files"),
            )
        key = (
            (len(self._earlier), len(self.broken), self._annotations),
            tuple(
                (one.event_count, one.is_closed, one.is_live(now_s, self._stale_after_s))
                for one in here
            ),
        )
        if self._record is None or key != self._record_of:
            record = assemble(
                [*self._earlier, *(one.read_events() for one in here)],
                run=self.id,
                project=self.project,
                now_wall_s=now_s,
                stale_after_s=self._stale_after_s,
            )
            rows = [one.find_lost(now_s, self._stale_after_s) for one in here]
            rows.append({"files": len(self.broken)})
            whole = replace(record, ledger=add_unreadable(record.ledger, rows))
            self._record = self._annotations.lay_over(whole)
            self._record_of = key
        return self._record

    def last_sign_wall_s(self) -> float:
        """Return the latest sign of life of any node, UTC seconds; 0 if there is none."""
        here = [one.pulse_wall_s for one in self._tails.values()]
        return max([*here, *(one.pulse_wall_s for one in self._earlier)], default=0.0)

    @property
    def synced_wall_s(self) -> float | None:
        """When the originals of replicas were looked at last; None if no file is a replica."""
        here = [one.as_of_wall_s for one in self._tails.values() if one.as_of_wall_s is not None]
        return max(here, default=None)

    def console_tail(self, rank: int, lines: int) -> list[ConsoleLine]:
        """Return the last lines that a rank printed."""
        sources = []
        for node in self.nodes:
            if node.has_rank(rank):
                # Pieces are cut anywhere, most of them at the end of a line.
                events = node.read_console(rank, 4 * lines)
                sources.append((events, node))
        return ConsoleText(lambda: sources, rank=rank).lines(collapse=True, last=lines)

    def console_sources(self) -> Sequence[tuple[NodeEvents, ByteSource]]:
        """Return what each file says with who can read its bytes, for a `ConsoleText`."""
        return [(one.read_events(), one) for one in self.nodes]

    def close(self) -> None:
        """Close the files."""
        for tail in self._tails.values():
            tail.close()

    def _limit(self) -> int:
        if self._rows is None:
            return 2**62
        return max(ROWS_MIN, self._rows // max(1, len(self._tails)))

    def _list_paths(self) -> list[Path]:
        try:
            return list(iter_node_files(self.folder))
        except OSError:
            return []

    def _look_at(self, path: Path) -> NodeTail | None:
        """Open a file that is new, refresh one that is known; None if there is nothing to read."""
        if path in self.broken:
            return None
        tail = self._tails.get(path)
        try:
            if tail is None:
                tail = self._tails[path] = NodeTail(
                    path, keeps_console=self._keeps_console, replicas=self._replicas
                )
            else:
                tail.refresh()
        except NotFoundError:
            self.has_missed = True  # sealed while it was not open
            self._forget(path)
            return None
        except HpctrackError as error:
            self.broken[path] = error
            self._forget(path)
            return None
        return tail

    def _forget(self, path: Path) -> None:
        """Close a file for good; what it said of the run is kept."""
        tail = self._tails.pop(path, None)
        if tail is not None:
            self._earlier.append(tail.read_events())
            tail.close()


def _by_age(path: Path) -> tuple[int, int, str]:
    name = NodeFileName.parse(path.name)
    return (name.attempt, name.node, name.token) if name else (0, 0, path.name)
