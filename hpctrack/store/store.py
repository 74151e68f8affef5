"""A store: a folder of projects with runs."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import has_run_files, run_folder, scan_runs
from hpctrack.core.settings import load_settings
from hpctrack.errors import HpctrackError, NotFoundError, StoreError
from hpctrack.store.annotation_file import iter_annotated
from hpctrack.store.index import Index, IndexEntry, is_worth_saving
from hpctrack.store.query import compile_filter, compile_order
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.wanted import choose_one, iter_meant, split_wanted

Filter = Mapping[str, Any] | Callable[[StoredRun], bool]

BrokenRun = tuple[StoredRun, HpctrackError]
"""A run that cannot be read, and why."""


class Store:
    """A folder of projects, each with its runs; local, or filled by ``hpctrack sync``.

    Parameters
    ----------
    path : path, optional
        The folder. Default: the setting ``dir``, where runs of this program would go.
    clock : Clock, optional
        For tests.
    stale_after_s : float, optional
        How long a live run may be silent before it counts as crashed, seconds.
    index : bool, optional
        Remember what sealed runs are in the user's cache folder, so that the next listing need
        not open them. Whatever is wrong with that is passed over.

    Raises
    ------
    NotFoundError
        There is no such folder.

    Examples
    --------
    >>> import hpctrack
    >>> store = hpctrack.Store("hpctrack-store")                            # doctest: +SKIP
    >>> best = store.runs({"state": "finished"}, order="-summary.val/acc")  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        stale_after_s: float = 60.0,
        index: bool = True,
    ) -> None:
        self.path = Path(load_settings().values.dir if path is None else path).expanduser()
        self._index = Index(self.path) if index else None
        self._clock = clock
        self._stale_after_s = stale_after_s
        if not self.path.is_dir():
            raise NotFoundError(f"no store at {self.path}", hint="use --store, or set HPCTRACK_DIR")

    def projects(self) -> list[str]:
        """Return the projects that have runs, sorted."""
        return sorted({found.project for found in scan_runs(self.path)})

    def runs(
        self,
        filter: Filter | None = None,  # noqa: A002 - the word of the field
        order: str | None = None,
        *,
        project: str | None = None,
    ) -> list[StoredRun]:
        """Return runs that match, in order.

        Parameters
        ----------
        filter : mapping or callable, optional
            W&B's form: ``{"state": "finished", "config.lr": {"$gt": 1e-3}}`` with the operators
            ``$eq $ne $gt $gte $lt $lte $in $nin $exists $regex $and $or $nor $not``; times as
            seconds or ISO text; or a function of a `StoredRun`.
        order : str, optional
            A key, ``-`` in front for descending: ``-created``, ``name``, ``summary.loss``.
            Runs without the key come last. Default: newest first.
        project : str, optional
            Only this project's.

        Returns
        -------
        list of StoredRun
            Runs that cannot be read are left out here; `broken` lists them.

        Raises
        ------
        UsageError
            The filter or the order cannot be understood.
        """
        return self.listing(filter, order, project=project)[0]

    def listing(
        self,
        filter: Filter | None = None,  # noqa: A002 - the word of the field
        order: str | None = None,
        *,
        project: str | None = None,
    ) -> tuple[list[StoredRun], list[BrokenRun]]:
        """Return what `runs` returns and what `broken` returns, with one look at the store.

        Notes
        -----
        10,000 sealed runs that the index knows take 0.3 s; others are opened, 1 ms each.
        """
        matches, arrange = compile_filter(filter), compile_order(order)
        readable, broken = self._read_all(project)
        return arrange([run for run in readable if matches(run)]), broken

    def broken(self, project: str | None = None) -> list[BrokenRun]:
        """Return the runs that cannot be read, and why."""
        return self._read_all(project)[1]

    def run(self, run_id: str, *, project: str | None = None) -> StoredRun:
        """Return one run.

        Parameters
        ----------
        run_id : str
            An id, ``project/id``, a name, or the beginning of an id if only one run has it.
        project : str, optional
            Where to look.

        Raises
        ------
        NotFoundError
            There is no such run.
        UsageError
            Several runs are meant.
        """
        run_id, project = split_wanted(run_id, project)
        if project:
            folder = run_folder(self.path, project, run_id)
            if folder.is_dir() and has_run_files(folder):
                return self._open(folder)
        named = [one for one in scan_runs(self.path, project) if one.id == run_id]
        if named:  # without a look into any run
            return self._open(Path(choose_one(named, run_id).path))
        readable, broken = self._read_all(project)
        runs = readable + [one for one, _error in broken]
        known = {run.folder for run in readable}

        def name_of(run: StoredRun) -> str:
            return run.name if run.folder in known else ""

        for found in iter_meant(runs, run_id, name_of=name_of):
            if found:
                return choose_one(found, run_id)
        raise NotFoundError(f"no run {run_id!r} in {self.path}", hint="`hpctrack ls` lists them")

    def _read_all(self, project: str | None) -> tuple[list[StoredRun], list[BrokenRun]]:
        """Read every run as far as a listing needs it."""
        if project and not (self.path / project).is_dir():
            raise NotFoundError(
                f"no project {project!r} in {self.path}",
                hint=f"projects: {', '.join(self.projects()) or 'none'}",
            )
        with _without_collections():
            return self._read_found(project)

    def _read_found(self, project: str | None) -> tuple[list[StoredRun], list[BrokenRun]]:
        known = self._index.load(project) if self._index else {}
        readable, broken = [], []
        fresh: dict[tuple[str, str], IndexEntry] = {}
        seen: dict[tuple[str, str], IndexEntry] = {}
        annotated: dict[str, frozenset[str]] = {}
        for found in scan_runs(self.path, project):
            key = found.project, found.id
            if found.project not in annotated:
                edited = iter_annotated(self.path, found.project)
                annotated[found.project] = frozenset(one for one, _stamp in edited)
            entry = known.get(key)
            if entry and entry.stamp != found.stamp:
                entry = None
            run = self._open(
                Path(found.path), entry, is_annotated=found.id in annotated[found.project]
            )
            try:
                brief = run.plain_brief
            except HpctrackError as error:
                broken.append((run, error))
                continue
            except OSError as error:
                broken.append((run, StoreError(f"{found.path} cannot be read: {error.strerror}")))
                continue
            readable.append(run)
            if entry and run.is_listed:
                seen[key] = entry
            elif found.stamp:
                fresh[key] = IndexEntry.of(found.stamp, brief)
        self._remember(project, known, seen, fresh)
        return readable, broken

    def _remember(
        self,
        project: str | None,
        known: Mapping[tuple[str, str], IndexEntry],
        seen: Mapping[tuple[str, str], IndexEntry],
        fresh: Mapping[tuple[str, str], IndexEntry],
    ) -> None:
        """Save the index if enough has changed since it was loaded."""
        if self._index is None:
            return
        if is_worth_saving(new=len(fresh), gone=len(known) - len(seen), total=len(known)):
            others = self._index.load() if project else {}
            kept = {key: entry for key, entry in others.items() if key[0] != project}
            self._index.save({**kept, **seen, **fresh})

    def _open(
        self, folder: Path, entry: IndexEntry | None = None, *, is_annotated: bool = True
    ) -> StoredRun:
        return StoredRun(
            folder,
            clock=self._clock,
            stale_after_s=self._stale_after_s,
            listed=entry,
            is_annotated=is_annotated,
        )

    def __repr__(self) -> str:
        """Name the folder."""
        return f"<hpctrack.Store {self.path}>"


@contextmanager
def _without_collections() -> Iterator[None]:
    """Hold off the garbage collector, which would look a dozen times at a million new objects."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
