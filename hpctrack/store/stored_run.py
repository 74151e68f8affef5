"""A run as the store has it: live, unsealed or sealed, through the same object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import SEALED_NAME, iter_node_files
from hpctrack.errors import HpctrackError, NotFoundError, StoreFormatError
from hpctrack.store.columns import Columns
from hpctrack.store.events import NodeEvents
from hpctrack.store.history import History, make_history
from hpctrack.store.metric import Metric
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.record import RankRecord, RunRecord, State, assemble
from hpctrack.store.sealed_file import SealedReader


class StoredRun:
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

    Attributes
    ----------
    id, project : str
    folder : Path
    """

    def __init__(
        self, folder: Path, *, clock: Clock = SYSTEM_CLOCK, stale_after_s: float = 60.0
    ) -> None:
        self.folder = folder
        self.id = folder.name
        self.project = folder.parent.name
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._record: RunRecord | None = None
        self._readers: dict[Path, NodeReader] = {}
        self._unreadable: dict[Path, HpctrackError] = {}

    # -- what it is ------------------------------------------------------------------------------

    @property
    def record(self) -> RunRecord:
        """Everything but the numbers.

        Raises
        ------
        NotFoundError
            The run has no files (any more).
        StoreFormatError
            None of them can be read.
        """
        if self._record is None:
            self._record = self._read_record()
        return self._record

    @property
    def name(self) -> str:
        """The name people read."""
        return self.record.name or self.id

    @property
    def state(self) -> State:
        """running, finished, failed or crashed."""
        return self.record.state

    @property
    def config(self) -> dict[str, Any]:
        """Hyperparameters, nested as the user gave them."""
        return self.record.config

    @property
    def summary(self) -> dict[str, Any]:
        """Values that were set, and the last logged value of every other metric."""
        return self.record.summary

    @property
    def tags(self) -> tuple[str, ...]:
        """Short labels."""
        return self.record.tags

    @property
    def is_sealed(self) -> bool:
        """Whether the run is one sealed file and nothing else."""
        if not self._sealed_path.exists():
            return False
        return not any(iter_node_files(self.folder)) or not (self._parts()[1] or self._unreadable)

    def ranks(self) -> tuple[RankRecord, ...]:
        """Return the ranks of the latest attempt."""
        return self.record.ranks

    def files(self) -> list[Path]:
        """Return the run's files: the sealed one first, then node files by attempt and node."""
        sealed = [self._sealed_path] if self._sealed_path.exists() else []
        return sealed + list(iter_node_files(self.folder))

    # -- its numbers -----------------------------------------------------------------------------

    def metrics(self) -> list[str]:
        """Return the names of the metrics, sorted."""
        sealed, readers = self._parts()
        names = {name for reader in readers for name in reader.read_columns()}
        return sorted(names | set(sealed.metric_sizes() if sealed else ()))

    def metric(self, name: str) -> Metric:
        """Return one metric.

        Raises
        ------
        NotFoundError
            It was never logged; the hint names the nearest ones.
        """
        return Metric(name, self.columns([name])[name])

    def history(self, keys: Sequence[str] | None = None) -> History:
        """Return a table with one row per rank and step.

        Parameters
        ----------
        keys : sequence of str, optional
            Metrics; default all.

        Raises
        ------
        NotFoundError
            One of them was never logged.
        """
        columns = self.columns(keys)
        return make_history({name: Metric(name, one) for name, one in columns.items()})

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
                raise self._no_such_metric(name, sorted(parts))
        return {name: Columns.join(parts[name]) for name in wanted}

    def sources(self) -> list[NodeEvents]:
        """Return what each node file says or said, by attempt and node."""
        sealed, readers = self._parts()
        earlier = sealed.read_sources() if sealed else []
        return earlier + [reader.read_events() for reader in readers]

    def unreadable(self) -> dict[Path, HpctrackError]:
        """Return the node files that cannot be read, and why."""
        self._parts()
        return dict(self._unreadable)

    # -- housekeeping ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Forget what may have changed; sealed files and open handles are kept."""
        self._record = None
        self._unreadable.clear()
        for path, reader in list(self._readers.items()):
            if path.exists():
                reader.refresh()
            else:
                reader.close()
                del self._readers[path]

    def close(self) -> None:
        """Close the files that are open."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def __repr__(self) -> str:
        """Name the run."""
        return f"<hpctrack.StoredRun {self.project}/{self.id}>"

    @property
    def _sealed_path(self) -> Path:
        return self.folder / SEALED_NAME

    def _parts(self) -> tuple[SealedReader | None, list[NodeReader]]:
        """Return the sealed file, and the node files that are not in it.

        The node files are looked for first: a sealer makes the sealed file appear before it
        removes them, so whatever it does meanwhile, nothing is missed or counted twice.
        """
        readers = self._node_readers()
        if not self._sealed_path.exists():
            return None, readers
        sealed = SealedReader(self._sealed_path)
        if readers:
            known = {source.facts.get("uuid") for source in sealed.read_sources()}
            readers = [one for one in readers if one.facts.get("uuid") not in known]
        # A file that vanished under our hands has gone into the sealed one.
        self._unreadable = {
            path: error
            for path, error in self._unreadable.items()
            if not isinstance(error, NotFoundError)
        }
        return sealed, readers

    def _node_readers(self) -> list[NodeReader]:
        """Open node files that are new; one that cannot be read does not hide the others."""
        readers = []
        for path in iter_node_files(self.folder):
            if path not in self._readers and path not in self._unreadable:
                try:
                    self._readers[path] = NodeReader(path)
                except (NotFoundError, StoreFormatError) as error:
                    self._unreadable[path] = error
            if path in self._readers:
                readers.append(self._readers[path])
        # A node has several files if its agent died; only the files know which came first.
        readers.sort(key=lambda one: one.age_key)
        return readers

    def _read_record(self) -> RunRecord:
        if not self.folder.is_dir():
            raise NotFoundError(f"no run {self.id!r} in project {self.project!r}")
        if self.is_sealed:
            return SealedReader(self._sealed_path).read_record()
        sources = self.sources()
        if not sources:
            nothing = NotFoundError(f"the run {self.project}/{self.id} has no files")
            raise next(iter(self._unreadable.values()), nothing)
        record = assemble(
            sources,
            run=self.id,
            project=self.project,
            now_wall_s=self._clock.wall_s(),
            stale_after_s=self._stale_after_s,
        )
        last = last_values(self.columns())
        return replace(record, summary={**last, **record.summary})

    def _no_such_metric(self, name: str, known: list[str]) -> NotFoundError:
        import difflib  # noqa: PLC0415 - only for a message

        near = difflib.get_close_matches(name, known, n=3) or known[:8]
        return NotFoundError(
            f"run {self.id} has no metric {name!r}",
            hint=f"did you mean {', '.join(near)}?" if near else "it has logged none",
        )


def last_values(metrics: dict[str, Columns]) -> dict[str, float]:
    """Return each metric's value at the highest step of the lowest rank that logged it."""
    last: dict[str, float] = {}
    for name, columns in metrics.items():
        current = columns.current()
        if not len(current):
            continue
        mine = np.flatnonzero(current.rank == current.rank[0])
        steps = current.step[mine]
        at_top = mine[steps == steps.max()]
        last[name] = float(current.value[at_top[-1]])
    return last
