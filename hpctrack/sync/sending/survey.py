"""What this side has to offer: chosen runs, sealed if they have ended, and what belongs to them."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpctrack.core.clock import Clock
from hpctrack.core.layout import (
    ACCOUNTING_NAME,
    ANNOTATIONS_FOLDER,
    BLOBS_FOLDER,
    SEALED_NAME,
    SWEEP_NAME,
    SWEEPS_FOLDER,
    NodeFileName,
)
from hpctrack.core.names import check_id
from hpctrack.errors import BusyError, HpctrackError, InvalidNameError, NotFoundError
from hpctrack.store.record import RunRecord, State
from hpctrack.store.run_tail import RunTail
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.files.place import find_place
from hpctrack.sync.sending.candidates import Candidate, Chunk, LeftRun, Skipped
from hpctrack.sync.sending.sealers import order_sealed_first
from hpctrack.sync.sending.sweep_news import SweepOwner, name_progress
from hpctrack.sync.sending.tails import TailReader
from hpctrack.sync.wire.messages import ItemKind, Key
from hpctrack.sync.wire.protocol import OFFER_ITEMS
from hpctrack.sync.wire.refusal import ItemRefusal

if TYPE_CHECKING:
    from hpctrack.store.store import Store
    from hpctrack.store.stored_run import StoredRun
    from hpctrack.sync.sending.lazy_store import LazyStore

STILL_S = 5.0
"""A folder that has changed so lately may change again without another time on it."""

CHUNK_S = 0.5
"""So long a chunk is collected at most: sealing may be slow, and the other side waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which runs are meant.

    Parameters
    ----------
    runs : iterable of (str, str)
        Project and id.
    projects : tuple of str
        Those whose sweeps and blobs go along.
    is_everything : bool
        No run was named; the projects' sweeps go too, and not only those of the runs.
    """

    runs: Iterable[tuple[str, str]]
    projects: tuple[str, ...]
    is_everything: bool


def choose_runs(
    store: Store | LazyStore,
    runs: Sequence[str],
    project: str | None,
    *,
    states: Sequence[str] = (),
    since_wall_s: float | None = None,
) -> Choice:
    """Find the runs that the user means.

    Parameters
    ----------
    store : Store or LazyStore
        Where.
    runs : sequence of str
        Ids or names; empty means all.
    project : str or None
        Only this one.
    states : sequence of str
        Only runs that are in one of these.
    since_wall_s : float or None
        Only runs that have begun or ended since.

    Raises
    ------
    NotFoundError, UsageError
        No run, or several, or no project have that name.
    """
    if project is not None and not (store.path / check_id(project, what="project")).is_dir():
        raise NotFoundError(
            f"no project {project!r} in {store.path}",
            hint=f"projects: {', '.join(store.projects()) or 'none'}",
        )
    if runs:
        named = (store.run(one, project=project) for one in runs)
        meant = tuple(dict.fromkeys((run.project, run.id) for run in named))
        return Choice(runs=meant, projects=(), is_everything=False)
    projects = (project,) if project else tuple(_list_folders(store.path))
    if not states and since_wall_s is None:
        every = ((one, run) for one in projects for run in _list_folders(store.path / one))
        return Choice(runs=every, projects=projects, is_everything=True)

    def is_meant(run: StoredRun) -> bool:
        brief = run.brief
        last_wall_s = max(brief.created_wall_s, brief.ended_wall_s or 0.0)
        is_recent = since_wall_s is None or last_wall_s >= since_wall_s
        is_recent |= brief.state == State.RUNNING
        return is_recent and (not states or str(brief.state) in states)

    found = tuple((run.project, run.id) for run in store.runs(is_meant, project=project))
    return Choice(runs=found, projects=(), is_everything=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How the runs are looked at.

    Parameters
    ----------
    seal : bool
        Seal runs that have ended.
    live : bool
        Offer runs that are going on, row by row.
    dry_run : bool
        Seal nothing, only say what would be sealed.
    stale_after_s : float
        A live run that is silent for so long has ended.
    clock : Clock
        For that.
    on_run : callable
        Told each run's name before the work on it.
    jobs : int
        How many processes seal; 1 is this one.
    for_deletion : bool
        Find out which runs the other side has in files of its own.
    sweeps : SweepOwner or None
        Who knows how sweeps stand; None: only their descriptions go.
    """

    seal: bool
    live: bool
    dry_run: bool
    stale_after_s: float
    clock: Clock
    on_run: Callable[[str], None]
    jobs: int = 1
    for_deletion: bool = False
    sweeps: SweepOwner | None = None


class Survey:
    """Looks at the chosen runs, one after the other.

    Parameters
    ----------
    store : Path
        The store's folder.
    choice : Choice
        Which runs.
    wanted : Wanted
        What is to be done with them.
    cache : HashCache
        Of the store.
    """

    def __init__(self, store: Path, choice: Choice, wanted: Wanted, cache: HashCache) -> None:
        self._store = os.fspath(store)
        self._choice = choice
        self._wanted = wanted
        self._cache = cache
        self._sweeps: set[tuple[str, str]] = set()
        self._annotated: dict[str, frozenset[str]] = {}
        self._chunk = Chunk()

    def iter_chunks(self) -> Iterator[Chunk]:
        """Yield what there is, in pieces: of the first one the other side can be told at once."""
        start_s = time.monotonic()
        for _step in self._look():
            is_late = time.monotonic() - start_s > CHUNK_S and self._chunk.candidates
            if is_late or len(self._chunk.candidates) > OFFER_ITEMS - 16:
                yield self._chunk
                self._chunk, start_s = Chunk(), time.monotonic()
        yield self._chunk

    def _look(self) -> Iterator[None]:
        """Add everything to the chunk, and yield after each thing."""
        if self._choice.is_everything:
            for project in self._choice.projects:
                yield from self._add_sweeps(project)
                yield from self._add_blobs(project)
        for project, run in self._order_runs():
            self._wanted.on_run(f"{project}/{run}")
            key = Key(ItemKind.RUN, project, run)
            try:
                left = self._add_run(key)
            except (HpctrackError, OSError) as error:
                text = str(getattr(error, "message", error))
                left = LeftRun(key, Skipped.UNREADABLE, text)
            if left is not None:
                self._chunk.left.append(left)
            yield

    def _order_runs(self) -> Iterable[tuple[str, str]]:
        wanted, runs = self._wanted, self._choice.runs
        if wanted.jobs < 2 or not wanted.seal or wanted.dry_run:  # noqa: PLR2004 - only ourselves
            return runs
        folders = (Path(self._store, project, run) for project, run in runs)
        ordered = order_sealed_first(folders, jobs=wanted.jobs, stale_after_s=wanted.stale_after_s)
        return ((folder.parent.name, folder.name) for folder in ordered)

    # -- runs ----------------------------------------------------------------------------------

    def _add_run(self, key: Key) -> LeftRun | None:
        """Offer a run; return why it stays here if it does."""
        name = f"{key.project}/{key.id}"
        status = os.stat(f"{self._store}/{name}")  # noqa: PTH116 - 100,000 folders
        names = self._cache.find(name, status).split() or self._list_names(name, status)
        nodes = sorted(one for one in names if NodeFileName.parse(one))
        if not nodes and SEALED_NAME not in names:
            return None  # no run: a folder of somebody else
        check_id(key.project, what="project")
        check_id(key.id, what="run id")
        if not nodes and self._choice.is_everything:
            self._add(key, f"{name}/{SEALED_NAME}")
        else:
            left = self._add_unsealed(key, nodes)
            if left is not None:
                return left
        if ACCOUNTING_NAME in names:
            self._add_accounting(key)
        if key.id in self._find_annotated(key.project):
            with contextlib.suppress(OSError):
                about = replace(key, kind=ItemKind.ANNOTATIONS)
                self._add(about, f"{key.project}/{ANNOTATIONS_FOLDER}/{key.id}.json")
        return None

    def _list_names(self, name: str, status: os.stat_result) -> list[str]:
        """List a run's folder; remember what is in it if nothing is going on there."""
        names = os.listdir(f"{self._store}/{name}")  # noqa: PTH208 - 100,000 folders
        kept = [one for one in (SEALED_NAME, ACCOUNTING_NAME) if one in names]
        is_still = self._wanted.clock.wall_s() - status.st_mtime > STILL_S
        if SEALED_NAME in kept and is_still and not any(map(NodeFileName.parse, names)):
            self._cache.remember(name, status, " ".join(kept))
        return names

    def _add_unsealed(self, key: Key, nodes: Sequence[str]) -> LeftRun | None:
        """Seal a run that has ended, and offer it; offer the rows of one that goes on."""
        wanted, name = self._wanted, f"{key.project}/{key.id}"
        folder = Path(self._store, name)
        known = self._recall_live(key, nodes)
        if known:
            if (folder / SEALED_NAME).exists():
                self._add(key, f"{name}/{SEALED_NAME}")
            self._chunk.candidates += known
            return None
        record = self._read_record(folder)
        if record.sweep and not self._choice.is_everything:
            self._add_sweep(key.project, record.sweep)
        is_running = State.RUNNING in {record.state, *(one.state for one in record.ranks)}
        if nodes and not is_running and wanted.seal:
            if wanted.dry_run:
                return LeftRun(key, Skipped.TO_SEAL)
            from hpctrack.store.seal import seal_run  # noqa: PLC0415 - see `LazyStore`

            try:
                seal_run(folder, clock=wanted.clock, stale_after_s=wanted.stale_after_s)
            except BusyError as error:
                return LeftRun(key, Skipped.BUSY, error.message)
            nodes = ()
        if nodes and not wanted.live:
            return LeftRun(key, Skipped.RUNNING if is_running else Skipped.UNSEALED)
        if (folder / SEALED_NAME).exists():
            self._add(key, f"{name}/{SEALED_NAME}")
        for node in nodes:
            self._add_live(replace(key, kind=ItemKind.LIVE, part=node), is_running=is_running)
        return None

    def _read_record(self, folder: Path) -> RunRecord:
        """Return what a run is; a tenth of the time if all of it is in node files."""
        wanted = self._wanted
        if not (folder / SEALED_NAME).exists():
            tail = RunTail(folder, clock=wanted.clock, stale_after_s=wanted.stale_after_s)
            with contextlib.closing(tail):
                for _node in tail.visit():
                    pass
                if tail.nodes and not tail.broken and not tail.has_missed:
                    return tail.record
        from hpctrack.store.stored_run import StoredRun  # noqa: PLC0415 - see `LazyStore`

        run = StoredRun(folder, clock=wanted.clock, stale_after_s=wanted.stale_after_s)
        with contextlib.closing(run):
            return run.told

    def _recall_live(self, key: Key, nodes: Sequence[str]) -> list[Candidate]:
        """Return the node files of a run that goes on and in which nobody has written since.

        Empty if that is not known for all of them: they have to be looked into then.
        """
        if not (self._wanted.live and self._choice.is_everything):
            return []
        found = []
        for node in nodes:
            about = replace(key, kind=ItemKind.LIVE, part=node)
            name = f"{key.project}/{key.id}/{node}"
            try:
                found.append(Candidate.find(about, self._store, name, self._cache))
            except OSError:
                return []
        ends = [one.alive_until_s for one in found if one.alive_until_s]
        is_known = bool(ends) and all(one.digest for one in found)
        return found if is_known and min(ends) > self._wanted.clock.wall_s() else []

    def _add_live(self, key: Key, *, is_running: bool) -> None:
        name = f"{key.project}/{key.id}/{key.part}"
        with contextlib.suppress(NotFoundError, FileNotFoundError):  # sealed just now
            candidate = Candidate.find(key, self._store, name, self._cache)
            now_s = self._wanted.clock.wall_s()
            # That a file has been silent for too long is news, though it is the same.
            if not candidate.digest or 0 < candidate.alive_until_s <= now_s:
                with TailReader(
                    Path(candidate.path), stale_after_s=self._wanted.stale_after_s
                ) as reader:
                    state = reader.state(now_s)
                is_alive = is_running and not state.closed_wall_s
                until_s = state.pulse_wall_s + self._wanted.stale_after_s if is_alive else 0.0
                candidate = replace(candidate, digest=state.digest.hex(), alive_until_s=until_s)
            self._chunk.candidates.append(candidate)

    def _add_accounting(self, key: Key) -> None:
        """Add what Slurm counted; whatever is wrong with it does not keep the run here."""
        name = f"{key.project}/{key.id}/{ACCOUNTING_NAME}"
        with contextlib.suppress(OSError, ValueError, AttributeError):
            about = replace(key, kind=ItemKind.ACCOUNTING)
            candidate = Candidate.find(about, self._store, name, self._cache)
            if not candidate.digest:
                found = json.loads(Path(candidate.path).read_bytes())
                if (found.get("project"), found.get("run")) != (key.project, key.id):
                    return
            self._chunk.candidates.append(candidate)

    # -- what is beside them ---------------------------------------------------------------------

    def _add_sweeps(self, project: str) -> Iterator[None]:
        for sweep in _list_folder(f"{self._store}/{project}/{SWEEPS_FOLDER}"):
            self._add_sweep(project, sweep)
            yield

    def _add_sweep(self, project: str, sweep: str) -> None:
        """Add a sweep's description, once."""
        if (project, sweep) in self._sweeps:
            return
        self._sweeps.add((project, sweep))
        with contextlib.suppress(InvalidNameError, OSError):
            key = Key(ItemKind.SWEEP, check_id(project, what="project"), sweep)
            check_id(sweep, what="sweep id")
            self._add(key, f"{project}/{SWEEPS_FOLDER}/{sweep}/{SWEEP_NAME}")
            if self._wanted.sweeps is not None:
                if not self._wanted.dry_run:
                    self._wanted.sweeps.tell(Path(self._store), project, sweep)
                about = replace(key, kind=ItemKind.PROGRESS)
                self._add(about, name_progress(about))

    def _add_blobs(self, project: str) -> Iterator[None]:
        place = f"{project}/{BLOBS_FOLDER}"
        for folder in _list_folder(f"{self._store}/{place}"):
            for name in _list_folder(f"{self._store}/{place}/{folder}"):
                key = Key(ItemKind.BLOB, project, name)
                # What else lies there is nobody's blob: half of one, or somebody's notes.
                with contextlib.suppress(OSError, ItemRefusal):
                    if find_place(key).name == f"{place}/{folder}/{name}":
                        self._add(key, find_place(key).name)
                yield

    def _find_annotated(self, project: str) -> frozenset[str]:
        """Return the runs of a project that somebody has written about: one listing for all."""
        if project not in self._annotated:
            names = _list_folder(f"{self._store}/{project}/{ANNOTATIONS_FOLDER}")
            self._annotated[project] = frozenset(one.removesuffix(".json") for one in names)
        return self._annotated[project]

    def _add(self, key: Key, name: str) -> None:
        found = Candidate.find(key, self._store, name, self._cache)
        if self._wanted.for_deletion and key.kind == ItemKind.RUN:
            found = replace(found, by_stamp=True)
        self._chunk.candidates.append(found)


def _list_folders(path: str | Path) -> list[str]:
    """Return the folders that may be projects or runs."""
    try:
        with os.scandir(path) as entries:
            return sorted(one.name for one in entries if one.name[0] != "." and one.is_dir())
    except OSError:
        return []


def _list_folder(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
