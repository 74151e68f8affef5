"""A run that is going on: what is new since the last look, in little memory, without numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import SEALED_NAME, iter_node_files
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.store.console import ConsoleLine, ConsoleText
from hpctrack.store.events import NodeEvents
from hpctrack.store.node_tail import NodeTail, Point, Reading
from hpctrack.store.payloads import ByteSource
from hpctrack.store.record import RunRecord, assemble

ROWS = 65_536
"""Points of one look, and as many samples, of all nodes together; of more a part is read."""

ROWS_MIN = 512
"""Of each node at least so many."""


class RunTail:
    """The node files of one run, each as `NodeTail` has it.

    Files that are sealed under our hands are read to their end, which is possible because they stay
    open, and what they said of the run is remembered. Not safe for several threads.

    Parameters
    ----------
    folder : Path
        The run's folder.
    clock : Clock, optional
    stale_after_s : float, optional
        How long a live file may be silent before its agent counts as gone.
    since_wall_s : float, optional
        Older points and samples are passed over.
    rows : int, optional
        How many points to read in one look at most; ``None`` reads all.
    keeps_console : bool, optional
        Whether `console_sources` has what was printed.

    Attributes
    ----------
    id, project : str
    folder : Path
    broken : dict
        Node files that cannot be read, and why.
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
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._since_wall_s = since_wall_s
        self._rows = rows
        self._keeps_console = keeps_console
        self._tails: dict[Path, NodeTail] = {}
        self._gone: list[NodeTail] = []
        self._earlier: list[NodeEvents] = []
        self._record: RunRecord | None = None
        self._record_of: tuple[object, ...] = ()

    @property
    def nodes(self) -> list[NodeTail]:
        """The files that are open, by attempt, node and age."""
        return sorted(self._tails.values(), key=lambda one: one.age_key)

    @property
    def is_sealed(self) -> bool:
        """Whether everything that is left is a sealed file."""
        return not self._tails and (self.folder / SEALED_NAME).exists()

    @property
    def skipped_points(self) -> int:
        """How many points were passed over, see `NodeTail`."""
        return sum(one.skipped_points for one in self._tails.values())

    def refresh(self) -> None:
        """See what has been written, which files have come, and which have gone."""
        self._let_go()
        self._open_new()
        for path, tail in list(self._tails.items()):
            is_there = tail.is_in_place()
            try:
                tail.refresh()
            except HpctrackError as error:
                is_there = False
                if path.exists():
                    self.broken[path] = error
            if not is_there:
                self._gone.append(self._tails.pop(path))

    def iter_new_points(self) -> Iterator[Point]:
        """Yield the points that have come since this was called last; `refresh` comes first."""
        for tail, limit in self._shares():
            yield from tail.iter_new_points(since_wall_s=self._since_wall_s, limit=limit)

    def iter_new_samples(self) -> Iterator[Reading]:
        """Yield the samples likewise."""
        for tail, limit in self._shares():
            yield from tail.iter_new_samples(since_wall_s=self._since_wall_s, limit=limit)

    @property
    def record(self) -> RunRecord:
        """What the run is, without configuration and summary.

        Raises
        ------
        NotFoundError
            No node file was ever there: the run is sealed, or gone.
        """
        now_s, here = self._clock.wall_s(), [*self.nodes, *self._gone]
        if not here and not self._earlier:
            raise next(
                iter(self.broken.values()),
                NotFoundError(f"the run {self.project}/{self.id} is not running"),
            )
        key = (
            len(self._earlier),
            tuple(
                (one.event_count, closed, now_s - wall_s < self._stale_after_s)
                for one in here
                for wall_s, closed in [one.read_pulse()]
            ),
        )
        if self._record is None or key != self._record_of:
            self._record = assemble(
                [*self._earlier, *(one.read_events() for one in here)],
                run=self.id,
                project=self.project,
                now_wall_s=now_s,
                stale_after_s=self._stale_after_s,
            )
            self._record_of = key
        return self._record

    def last_sign_wall_s(self) -> float:
        """Return the latest sign of life of any node, UTC seconds; 0 if there is none."""
        signs = [one.read_pulse()[0] for one in [*self._tails.values(), *self._gone]]
        return max([*signs, *(one.pulse_wall_s for one in self._earlier)], default=0.0)

    def console_tail(self, rank: int, lines: int) -> list[ConsoleLine]:
        """Return the last lines that a rank printed."""
        nodes = self.nodes
        # Pieces are cut anywhere, most of them at the end of a line.
        found = [(one.read_console(rank, 4 * lines), one) for one in nodes]
        sources = [(events, node) for events, node in found if events.events]
        return ConsoleText(lambda: sources, rank=rank).lines(collapse=True, last=lines)

    def console_sources(self) -> Sequence[tuple[NodeEvents, ByteSource]]:
        """Return what each file says with who can read its bytes, for a `ConsoleText`."""
        return [(one.read_events(), one) for one in [*self._gone, *self.nodes]]

    def close(self) -> None:
        """Close the files."""
        for tail in [*self._tails.values(), *self._gone]:
            tail.close()
        self._tails.clear()
        self._gone.clear()

    def _shares(self) -> Iterator[tuple[NodeTail, int]]:
        here = [*self._gone, *self.nodes]
        if self._rows is None:
            yield from ((one, 2**62) for one in here)
            return
        share = max(ROWS_MIN, self._rows // max(1, len(here)))
        yield from ((one, share) for one in here)

    def _open_new(self) -> None:
        try:
            paths = list(iter_node_files(self.folder))
        except OSError:
            return
        for path in paths:
            if path not in self._tails and path not in self.broken:
                try:
                    self._tails[path] = NodeTail(path, keeps_console=self._keeps_console)
                except NotFoundError:
                    continue  # sealed in this moment
                except HpctrackError as error:
                    self.broken[path] = error

    def _let_go(self) -> None:
        """Close what was read to its end; what it said of the run is kept."""
        for tail in self._gone:
            self._earlier.append(tail.read_events())
            tail.close()
        self._gone.clear()
