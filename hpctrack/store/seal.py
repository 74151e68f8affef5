"""Sealing: many node files become one, and are removed only after it was read back."""

from __future__ import annotations

import errno
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import SEALED_NAME, iter_node_files, read_agreement_name
from hpctrack.errors import BusyError, HpctrackError, NotFoundError, StoreError, StoreFullError
from hpctrack.store.late_rows import remove_sealed
from hpctrack.store.placement import make_plan
from hpctrack.store.record import RunRecord, State, assemble
from hpctrack.store.replica_states import forget_replicas
from hpctrack.store.scratch import Scratch
from hpctrack.store.seal_lock import SealLock, hold_lock
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.seal_sources import NodeSource, Source
from hpctrack.store.seal_steps import (
    check_space,
    check_unchanged,
    find_sources,
    make_durable,
    place_points,
    read_told,
    sum_metrics,
    write_metrics,
    write_rest,
)
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.sealed_writer import create_sealed

PASSES = 3
"""Points are put in order, written, and read back."""

OnProgress = Callable[[int, int], None]
"""Gets how much is done, and of how much."""

DEFAULT_LIMITS = SealLimits()


@dataclass(frozen=True, slots=True)
class SealResult:
    """What sealing did.

    Parameters
    ----------
    path : Path
        The sealed file.
    points : int
        Points in it.
    node_files : int
        Files that went into it; 0 if the run was sealed already.
    ledger : dict
        What of the run is missing, see `RunRecord`; empty if the run was sealed already.
    """

    path: Path
    points: int
    node_files: int
    ledger: dict[str, Any] = field(default_factory=dict)


class Progress:
    """Counts points, tells who wants to know, and keeps the lock fresh.

    Parameters
    ----------
    total : int
        Points that all passes will see together.
    lock : SealLock, optional
    on_progress : callable, optional
    """

    def __init__(
        self, total: int, lock: SealLock | None = None, on_progress: OnProgress | None = None
    ) -> None:
        self._total = total
        self._done = 0
        self._lock = lock
        self._on_progress = on_progress

    def add(self, points: int) -> None:
        """Note that so many points more have been handled."""
        self._done += points
        if self._lock:
            self._lock.touch()
        if self._on_progress:
            self._on_progress(self._done, self._total)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is to be sealed.

    Parameters
    ----------
    folder : Path
    sources : list of Source
        What it is sealed from.
    node_files : list of Path
        All there are, those that a killed sealer left included.
    record : RunRecord
        Without the last values of its metrics.
    sealed_id : tuple of int
        What tells the sealed file from another one of its name.
    """

    folder: Path
    sources: list[Source]
    node_files: list[Path]
    record: RunRecord
    sealed_id: tuple[int, int]

    def is_as_it_was(self) -> bool:
        """Tell whether the files are still the same, and have not grown."""
        return (
            list(iter_node_files(self.folder)) == self.node_files
            and _file_id(self.target) == self.sealed_id
            and all(source.is_unchanged() for source in self.sources)
        )

    def close(self) -> None:
        """Close the files."""
        for source in self.sources:
            source.close()

    @property
    def target(self) -> Path:
        """The sealed file."""
        return self.folder / SEALED_NAME

    @property
    def has_news(self) -> bool:
        """Whether something is not in the sealed file yet."""
        return any(isinstance(one, NodeSource) for one in self.sources)


def seal_run(
    folder: Path,
    *,
    clock: Clock = SYSTEM_CLOCK,
    stale_after_s: float = 60.0,
    force: bool = False,
    on_progress: OnProgress | None = None,
    limits: SealLimits = DEFAULT_LIMITS,
) -> SealResult:
    """Seal a run. Idempotent; killed anywhere, it can be repeated and nothing is lost.

    Parameters
    ----------
    folder : Path
        The run's folder.
    clock : Clock
        For the age of a lock and of the last sign of life.
    stale_after_s : float
        A node file silent for this long has lost its agent.
    force : bool
        Also seal a run that seems to be running.
    on_progress : callable, optional
        Called often with how much is done, and of how much.
    limits : SealLimits, optional
        How much is handled at a time.

    Raises
    ------
    NotFoundError
        The run has no files.
    BusyError
        The run is running, or somebody else is sealing it.
    StoreFormatError
        A node file cannot be read: sealing would lose it.
    StoreFullError
        The sealed file may not fit.
    StoreError
        The folder cannot be written, or the sealed file does not hold what went in.

    Notes
    -----
    For one process; `parallel_seal` divides the work. Memory is bounded whatever the size: points
    are put in order in a file without a name in the run's folder if there are many.
    """
    with translating(folder):
        run = find_run(folder, clock, stale_after_s, force=force)
        if not run.has_news:
            return finish(run, 0)
        with hold_lock(folder, clock) as lock:
            # Somebody else may have sealed it between our look and our lock.
            if not run.is_as_it_was():
                run.close()
                run = find_run(folder, clock, stale_after_s, force=force)
            if not run.has_news:
                return finish(run, 0)
            try:
                return _seal(run, clock, lock, limits, on_progress)
            finally:
                run.close()


def find_run(folder: Path, clock: Clock, stale_after_s: float, *, force: bool) -> Run:
    """Find out what is to be sealed.

    Raises
    ------
    NotFoundError, BusyError, StoreFormatError
        As `seal_run`.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no run {folder.name!r} in project {folder.parent.name!r}")
    sealed_id = _file_id(folder / SEALED_NAME)
    sources, node_files = find_sources(folder)
    if not sources:
        raise NotFoundError(f"the run {folder.parent.name}/{folder.name} has no files")
    record = RunRecord(id=folder.name, project=folder.parent.name)
    run = Run(folder, sources, node_files, record, sealed_id)
    if not run.has_news:
        return run
    try:
        record = assemble(
            read_told(sources),
            run=folder.name,
            project=folder.parent.name,
            now_wall_s=clock.wall_s(),
            stale_after_s=stale_after_s,
        )
        _check_ended(record, force=force)
    except BaseException:
        run.close()
        raise
    return replace(run, record=record)


def _check_ended(record: RunRecord, *, force: bool) -> None:
    is_alive = any(rank.state == State.RUNNING for rank in record.ranks)
    if (record.state == State.RUNNING or is_alive) and not force:
        raise BusyError(f"run {record.id} is running", hint="seal it when it has finished")


def _seal(
    run: Run, clock: Clock, lock: SealLock, limits: SealLimits, on_progress: OnProgress | None
) -> SealResult:
    plan = make_plan([source.count() for source in run.sources])
    check_space(run.folder, run.sources, plan.points, limits)
    progress = Progress(PASSES * plan.points, lock, on_progress)
    with new_file(run) as path:
        with create_sealed(path, root_facts(run, clock)) as file:
            with Scratch(run.folder, plan.points, memory_rows=limits.memory_rows) as scratch:
                edges, checksum = place_points(run.sources, plan, scratch, progress.add)
                entries, summary = write_metrics(
                    file,
                    plan,
                    limits,
                    definitions=run.record.definitions,
                    scratch=scratch,
                    edges=edges,
                    on_points=progress.add,
                )
            record = replace(run.record, summary={**summary, **run.record.summary})
            events = write_rest(
                file, record, run.sources, entries, plan.streams, on_piece=lock.touch
            )
        check_content(run, sum_metrics(path, entries, progress.add), (plan.points, checksum))
        events.check(path)
        publish(run, path, lock)
    return finish(run, sum(isinstance(one, NodeSource) for one in run.sources))


def root_facts(run: Run, clock: Clock) -> dict[str, object]:
    """Return the attributes of the sealed file's root that are the run's own."""
    return {"run": run.record.id, "project": run.record.project, "sealed_wall_s": clock.wall_s()}


@contextmanager
def new_file(run: Run) -> Iterator[Path]:
    """Give a name for the new file; whatever is left of it, and of killed sealers', is removed."""
    remove_leftovers(run.folder)
    path = run.folder / f"{SEALED_NAME}.{secrets.token_hex(4)}.tmp"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed sealers have left; only for who holds the lock."""
    for path in folder.glob(f"{SEALED_NAME}.*.tmp"):
        path.unlink(missing_ok=True)


def check_content(run: Run, found: tuple[int, int], expected: tuple[int, int]) -> None:
    """Compare what was read back with what went in: number of points, and checksum.

    Raises
    ------
    StoreError
        They differ.
    """
    if found[0] != expected[0]:
        raise StoreError(
            f"run {run.record.id} has {expected[0]} points, the sealed file {found[0]}: not sealed"
        )
    if found != expected:
        raise StoreError(f"the sealed file of run {run.record.id} has other points: not sealed")


def publish(run: Run, path: Path, lock: SealLock) -> None:
    """Put the new file in the place of the sealed one.

    Raises
    ------
    BusyError
        The lock is not ours any more, or the run has gone on.
    """
    make_durable(path)
    check_unchanged(run.sources, run.folder)
    lock.check()
    path.replace(run.target)
    make_durable(run.folder)


def finish(run: Run, node_files: int) -> SealResult:
    """Remove the node files, whose content is in the sealed file; see `remove_sealed`.

    What the ranks of these attempts had agreed upon has no meaning any more, either.
    """
    run.close()
    for source in run.sources:
        if isinstance(source, NodeSource):
            remove_sealed(source)
    for path in run.node_files:
        path.unlink(missing_ok=True)
    for path in run.folder.glob("agreement.*"):
        if (read_agreement_name(path.name) or sys.maxsize) <= run.record.attempts:
            path.unlink(missing_ok=True)
    if run.has_news:
        forget_replicas(run.folder)
    points = sum(SealedReader(run.target).metric_sizes().values())
    return SealResult(run.target, points, node_files, run.record.ledger)


def _file_id(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


@contextmanager
def translating(folder: Path) -> Iterator[None]:
    """Turn what the system says into our errors."""
    try:
        yield
    except HpctrackError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StoreFullError(
                f"{folder} cannot be written: {reason}", hint="free space; nothing was lost"
            ) from None
        raise StoreError(f"{folder} cannot be written: {reason}") from None
