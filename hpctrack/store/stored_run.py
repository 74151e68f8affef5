"""A run as the store has it: live, unsealed or sealed, through the same object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpctrack.client.definitions import Definition
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import SEALED_NAME, iter_node_files
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.store.annotations import NOTHING
from hpctrack.store.columns import Columns
from hpctrack.store.definitions import find_definition, join_definitions, summarize
from hpctrack.store.editable_run import EditableRun
from hpctrack.store.envelope import ALL, Envelope, Window, draw_window
from hpctrack.store.events import NodeEvents
from hpctrack.store.hdf5 import open_file
from hpctrack.store.history import RANK, STEP, TIMESTAMP, History, make_history
from hpctrack.store.ledger import add_unreadable, describe_losses
from hpctrack.store.live_summary import LiveSummary
from hpctrack.store.measured import MeasuredRun
from hpctrack.store.media import MediaItem, read_media, select
from hpctrack.store.metric import Metric, no_such_metric
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.payloads import ByteSource
from hpctrack.store.provenance import TracedRun
from hpctrack.store.record import RankRecord, RunRecord, assemble
from hpctrack.store.run_files import NodeReaders
from hpctrack.store.schema import SEALED_KIND, EventKind
from hpctrack.store.sealed_file import DAMAGE, SealedReader, read_json
from hpctrack.store.series import STEP as BY_STEP
from hpctrack.store.straggler import Stragglers
from hpctrack.store.stragglers import find_stragglers

if TYPE_CHECKING:
    from hpctrack.store.index import IndexEntry


class StoredRun(EditableRun, TracedRun, MeasuredRun):
    """A run in a store.

    What is read is kept; `refresh` reads again what may have grown. Not safe for several
    threads.

    Parameters
    ----------
    folder : Path
        The run's folder.
    clock : Clock, optional
        Tells whether a live file's agent is still there.
    stale_after_s : float, optional
        How long it may be silent.
    listed : IndexEntry, optional
        What the listing index knows of it, if its sealed file is still the one that was read.
    is_annotated : bool, optional
        False if it is known that nobody has edited it: then no file is looked for.

    Attributes
    ----------
    id, project : str
    folder : Path
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock = SYSTEM_CLOCK,
        stale_after_s: float = 60.0,
        listed: IndexEntry | None = None,
        is_annotated: bool = True,
    ) -> None:
        self.folder = folder
        self.id = folder.name
        self.project = folder.parent.name
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._record: RunRecord | None = None
        self._told: RunRecord | None = None
        self._listed = listed
        self._annotations = None if is_annotated else NOTHING
        self._brief: RunRecord | None = None
        self._files = NodeReaders(folder)
        self._last = LiveSummary()
        self._growing: list[NodeReader] = []

    # -- what it is ------------------------------------------------------------------------------

    def _find_record(self) -> RunRecord:
        if self._record is None:
            self._record = self._read_record()
        return self._record

    def _find_told(self) -> RunRecord:
        if self._record is not None:
            return self._record
        if self._told is None:
            was_sealed = self.is_sealed
            self._told = self._read_told()
            if was_sealed:
                self._record = self._told
        return self._told

    @property
    def plain_brief(self) -> RunRecord:
        """The brief as the job has said it, without what people have edited since.

        Raises
        ------
        NotFoundError, StoreFormatError
            As `record`.
        """
        if self._record is not None:
            return self._record
        if self._brief is None and self._listed is not None:
            self._brief = self._listed.read()
            if self._brief is None:
                self._listed = None
        return self._brief if self._brief is not None else self._find_told()

    @property
    def ledger(self) -> dict[str, Any]:
        """What was lost, as totals over all ranks; `lost` has it in words."""
        if self._record is not None or self.is_listed or self.is_sealed:
            return self.plain_brief.ledger
        # What of the points is lost is known when they have been read.
        now_s, (_sealed, readers) = self._clock.wall_s(), self._parts()
        rows = [one.find_lost(now_s, self._stale_after_s) for one in readers]
        return add_unreadable(self.told.ledger, [*rows, {"files": len(self._files.unreadable)}])

    @property
    def is_listed(self) -> bool:
        """Whether the listing index knows the run as it is."""
        return self._listed is not None

    @property
    def is_sealed(self) -> bool:
        """Whether the run is one sealed file and nothing else."""
        if self._listed is not None:
            return True
        if not self._sealed_path.exists():
            return False
        has_node_files = any(iter_node_files(self.folder))
        return not has_node_files or not (self._parts()[1] or self._files.unreadable)

    @property
    def synced_wall_s(self) -> float | None:
        """When the other machine's files were looked at last, by its clock; None if all are ours.

        A run that is going on there is as it was then.
        """
        if self.is_sealed:
            return None
        here = [one.as_of_wall_s for one in self._parts()[1] if one.as_of_wall_s is not None]
        return max(here, default=None)

    # -- its numbers -----------------------------------------------------------------------------

    def metrics(self) -> list[str]:
        """Return the names of the metrics, sorted."""
        return sorted(self.metric_sizes())

    def metric_sizes(self) -> dict[str, int]:
        """Return the number of points of each metric, superseded ones included.

        Cost: a sealed file knows them; of a live run the points are counted, but not kept.
        """
        sealed, readers = self._parts()
        sizes = dict(sealed.metric_sizes()) if sealed else {}
        for reader in readers:
            for name, count in reader.metric_sizes().items():
                sizes[name] = sizes.get(name, 0) + count
        return sizes

    def metric(self, name: str, *, attempt: int | None = None) -> Metric:
        """Return one metric of all ranks.

        Parameters
        ----------
        name : str
            As logged.
        attempt : int, optional
            What this attempt logged, although a later one may have computed it again; default
            is what counts.

        Raises
        ------
        NotFoundError
            It was never logged; the hint names the nearest ones.
        """
        found = self._make_metric(name, self.columns([name])[name])
        return found if attempt is None else found.attempt(attempt)

    def history(
        self,
        keys: str | Sequence[str] | None = None,
        *,
        x: str = STEP,
        samples: int | None = None,
        rank: int | Sequence[int] | None = None,
    ) -> History:
        """Return a table with one row per rank and step.

        Parameters
        ----------
        keys : str or sequence of str, optional
            Metrics; default all.
        x : str, optional
            What the rows are ordered by, and ``samples`` spread over: ``"_step"``,
            ``"_timestamp"``, or a metric, which every row then has: of its rank at its step, or
            the last before. Rows without it are left out.
        samples : int, optional
            At most this many different x, spread evenly over those there are, the first and the
            last among them; with all ranks of each.
        rank : int or sequence of int, optional
            Only these ranks; default all.

        Raises
        ------
        NotFoundError
            One of the metrics was never logged.
        """
        wanted = [keys] if isinstance(keys, str) else None if keys is None else [*keys]
        if wanted is not None:
            wanted = [one for one in wanted if one not in {STEP, RANK, TIMESTAMP}]
            wanted += [x] if x not in {STEP, TIMESTAMP, *wanted} else []
        columns = self.columns(wanted)
        metrics = {name: self._make_metric(name, one) for name, one in columns.items()}
        return make_history(metrics, x=x, samples=samples, rank=rank, find_lost=lambda: self.lost)

    def scan_history(
        self, keys: str | Sequence[str] | None = None, *, rank: int | Sequence[int] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Iterate over the rows of `history` as dictionaries, without what has no number there."""
        return self.history(keys, rank=rank).rows()

    def stragglers(
        self,
        metric: str = "step_time",
        *,
        attempt: int | None = None,
        higher_is_better: bool = False,
        margin: float = 0.05,
        k: float = 4.0,
        window: int | None = None,
        unit_s: float = 1.0,
    ) -> Stragglers:
        """Name the ranks and nodes that are slower than the others, and since when.

        Parameters
        ----------
        metric : str, optional
            Time per step, without waiting for other ranks, or a throughput.
        attempt : int, optional
            Default the latest: a requeue may have moved every rank to another node.
        higher_is_better, margin, k, window, unit_s
            As for `find_stragglers`.

        Raises
        ------
        NotFoundError
            The metric was never logged, or not in this attempt.
        UsageError
            A parameter is out of range.
        """
        number = self.told.attempts if attempt is None else attempt
        found = self.metric(metric, attempt=number)
        return find_stragglers(
            found,
            self.ranks() if number == self.told.attempts else self._ranks_of(number),
            higher_is_better=higher_is_better,
            margin=margin,
            k=k,
            window=window,
            unit_s=unit_s,
            missing=self.lost,
        )

    def envelope(
        self, metric: str, rank: int = 0, *, window: Window = ALL, width: int = 1000
    ) -> Envelope:
        """Return a part of one rank's points, shrunk for drawing, with exact extremes.

        Parameters
        ----------
        window : (int or None, int or None), optional
            Steps: from the first on, below the second; None is no limit.
        width : int, optional
            Pixels; the envelope has at most twice as many stretches, so 4 numbers per pixel.

        Raises
        ------
        NotFoundError, UsageError
            The rank has not logged such a metric; ``width`` is below 1.
        """
        sealed, readers = self._parts()
        found = None if readers or not sealed else sealed.read_envelope(metric, rank, window, width)
        if found is None:
            series = self.metric(metric).rank(rank, by=BY_STEP)
            found = draw_window(series.step, series.value, window, width)
        return found

    def columns(self, names: Sequence[str] | None = None) -> dict[str, Columns]:
        """Return all points of some metrics, superseded ones too.

        Raises
        ------
        NotFoundError
            One of them was never logged.
        """
        parts: dict[str, list[Columns]] = {}
        sealed, readers = self._parts()
        if sealed:
            for name, one in sealed.read_columns(names).items():
                parts.setdefault(name, []).append(one)
        for reader in readers:
            for name, one in reader.read_columns().items():
                parts.setdefault(name, []).append(one)
        wanted = sorted(parts) if names is None else names
        for name in wanted:
            if name not in parts:
                raise no_such_metric(self.id, name, self.metrics())
        return {name: Columns.join(parts[name]) for name in wanted}

    def media(
        self,
        key: str | None = None,
        type: str | None = None,  # noqa: A002 - the word of the description
        rank: int | None = None,
        step: int | None = None,
    ) -> list[MediaItem]:
        """Return what was logged that is no number: pictures, sounds, tables, plots.

        Parameters
        ----------
        key : str, optional
            A name, or a pattern with ``*`` and ``?``.
        type : str, optional
            Such as ``image`` or ``table``, see `MediaItem`.
        rank, step : int, optional

        Returns
        -------
        list of MediaItem
            By key, step and rank. Their bytes are read when they are asked for, which is possible
            until `close`.
        """
        return select(read_media(self._byte_sources()), key=key, type=type, rank=rank, step=step)

    def sources(self) -> list[NodeEvents]:
        """Return what each node file says or said, by attempt and node."""
        sealed, readers = self._parts()
        earlier = sealed.read_sources() if sealed else []
        return earlier + [reader.read_events() for reader in readers]

    def unreadable(self) -> dict[Path, HpctrackError]:
        """Return the node files that cannot be read, and why."""
        self._parts()
        return dict(self._files.unreadable)

    # -- housekeeping ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Forget what may have changed; sealed files and open handles are kept."""
        self._record = self._told = self._brief = self._listed = self._times = None
        self._growing = []
        self._forget_annotations()
        self._files.refresh()

    def has_only_grown(self) -> bool:
        """Tell, for next to nothing, whether nothing but points has come since it was read.

        New files in its folder, and what people have said of it, are for the caller to notice.
        """
        now_s = self._clock.wall_s()
        return bool(self._growing and self._told) and all(
            one.has_only_points_new(now_s, self._stale_after_s) for one in self._growing
        )

    def grow(self) -> None:
        """See the points that have come, after `has_only_grown` was true; records stay as read."""
        for one in self._growing:
            one.refresh_points()

    def grow_summary(self) -> dict[str, Any]:
        """Do so, and return the summary as a record that is read now would have it."""
        self.grow()
        if self._told is None or not self._growing:
            return {}
        self._last.read(self._growing, self._told.definitions)
        return {**self._last.result(), **self._told.summary}

    def close(self) -> None:
        """Close the files that are open."""
        self._growing, self._last = [], LiveSummary()
        self._files.close()

    def __repr__(self) -> str:
        """Name the run."""
        return f"<hpctrack.StoredRun {self.project}/{self.id}{describe_losses(lambda: self.lost)}>"

    @property
    def _sealed_path(self) -> Path:
        return self.folder / SEALED_NAME

    def _parts(self) -> tuple[SealedReader | None, list[NodeReader]]:
        """Return the sealed file, and the node files that are not in it.

        The node files are looked for first: a sealer makes the sealed file appear before it
        removes them, so whatever it does meanwhile, nothing is missed or counted twice.
        """
        readers = self._files.open_all()
        if not self._sealed_path.exists():
            return None, readers
        sealed = SealedReader(self._sealed_path)
        if readers:
            known = sealed.node_ids()
            readers = [one for one in readers if str(one.facts.get("uuid")) not in known]
        self._files.forget_vanished()
        return sealed, readers

    def _byte_sources(self) -> list[tuple[NodeEvents, ByteSource]]:
        """Return what each file says with who can read the bytes that it tells of."""
        sealed, readers = self._parts()
        earlier: list[tuple[NodeEvents, ByteSource]] = (
            [(source, sealed) for source in sealed.read_sources()] if sealed else []
        )
        return earlier + [(reader.read_events(), reader) for reader in readers]

    def _read_record(self) -> RunRecord:
        if self.is_sealed:
            # What was told may be from before it was sealed.
            return self._read_told()
        if not self.folder.is_dir():
            return self._find_told()
        sealed, readers = self._parts()
        definitions = self.told.definitions
        told = self._find_told()
        if sealed or len({reader.attempt for reader in readers}) > 1:
            last = summarize(self.columns(), definitions)
            self._growing = []  # which points count is found among all of them
        else:
            self._last.read(readers, definitions)
            last = self._last.result()
            self._growing = [] if self._files.unreadable else readers
        return replace(told, summary={**last, **told.summary}, ledger=self.ledger)

    def _read_told(self) -> RunRecord:
        if not self.folder.is_dir():
            raise NotFoundError(f"no run {self.id!r} in project {self.project!r}")
        if self.is_sealed:
            return SealedReader(self._sealed_path).read_record()
        sealed, readers = self._parts()
        earlier = sealed.read_sources() if sealed else []
        sources = earlier + [reader.read_events() for reader in readers]
        self._growing = [] if sealed or self._files.unreadable else readers
        if not sources:
            nothing = NotFoundError(f"the run {self.project}/{self.id} has no files")
            raise next(iter(self._files.unreadable.values()), nothing)
        return self._assemble(sources)

    def _assemble(self, sources: Sequence[NodeEvents]) -> RunRecord:
        return assemble(
            sources,
            run=self.id,
            project=self.project,
            now_wall_s=self._clock.wall_s(),
            stale_after_s=self._stale_after_s,
        )

    def _make_metric(self, name: str, columns: Columns) -> Metric:
        return Metric(
            name,
            columns,
            find=self.metric,
            find_step_metric=lambda: find_definition(self._definitions(), name).step_metric,
            start_wall_s=lambda: self.told.created_wall_s,
            find_lost=lambda: self.lost,
        )

    def _definitions(self) -> tuple[Definition, ...]:
        """Return what ``define_metric`` said, without the ranks and numbers of a record."""
        if self._record is not None or self._listed is not None:
            return self.plain_brief.definitions
        if self.is_sealed:
            try:
                with open_file(self._sealed_path, kind=SEALED_KIND, swmr=False) as file:
                    return join_definitions(read_json(file, "record")["definitions"])
            except DAMAGE:
                return self.plain_brief.definitions  # says what is damaged
        events = (event for source in self.sources() for event in source.events)
        return join_definitions(one.json() for one in events if one.kind == EventKind.DEFINE)

    def _ranks_of(self, attempt: int) -> tuple[RankRecord, ...]:
        """Return the ranks of an attempt, as they stood before the next one began."""
        sources = [one for one in self.sources() if int(one.facts.get("attempt", 1)) == attempt]
        return self._assemble(sources).ranks
