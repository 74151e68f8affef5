"""A store: a folder of projects with runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import has_run_files, iter_run_folders, run_folder
from hpctrack.errors import HpctrackError, NotFoundError, UsageError
from hpctrack.store.query import compile_filter, compile_order
from hpctrack.store.stored_run import StoredRun

Filter = Mapping[str, Any] | Callable[[StoredRun], bool]


class Store:
    """A folder of projects, each with its runs; local, or filled by ``hpctrack sync``.

    Parameters
    ----------
    path : path
        The folder.
    clock : Clock, optional
        For tests.
    stale_after_s : float, optional
        How long a live run may be silent before it counts as crashed, seconds.

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
        path: str | os.PathLike[str],
        *,
        clock: Clock = SYSTEM_CLOCK,
        stale_after_s: float = 60.0,
    ) -> None:
        self.path = Path(path).expanduser()
        self._clock = clock
        self._stale_after_s = stale_after_s
        if not self.path.is_dir():
            raise NotFoundError(f"no store at {self.path}", hint="use --store, or set HPCTRACK_DIR")

    def projects(self) -> list[str]:
        """Return the projects that have runs, sorted."""
        return sorted({folder.parent.name for folder in iter_run_folders(self.path)})

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
            ``$eq $ne $gt $gte $lt $lte $in $nin $exists $regex $and $or $not``; or a function
            of a `StoredRun`.
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
        matches = compile_filter(filter)
        readable = [run for run in self._iter_runs(project) if _is_readable(run)]
        return compile_order(order)([run for run in readable if matches(run)])

    def broken(self, project: str | None = None) -> list[tuple[StoredRun, HpctrackError]]:
        """Return the runs that cannot be read, and why."""
        found = []
        for run in self._iter_runs(project):
            try:
                _ = run.record
            except HpctrackError as error:
                found.append((run, error))
        return found

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
        head, slash, tail = run_id.partition("/")
        if slash:
            project, run_id = head, tail
        if project:
            folder = run_folder(self.path, project, run_id)
            if folder.is_dir() and has_run_files(folder):
                return self._open(folder)
        runs = list(self._iter_runs(project))
        for found in (
            [run for run in runs if run.id == run_id],
            [run for run in runs if _is_readable(run) and run.name == run_id],
            [run for run in runs if run.id.startswith(run_id)],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(f"{run.project}/{run.id}" for run in found[:6])
                raise UsageError(f"{run_id!r} means {len(found)} runs", hint=f"say which: {names}")
        raise NotFoundError(f"no run {run_id!r} in {self.path}", hint="`hpctrack ls` lists them")

    def _iter_runs(self, project: str | None) -> Iterator[StoredRun]:
        if project and not (self.path / project).is_dir():
            raise NotFoundError(
                f"no project {project!r} in {self.path}",
                hint=f"projects: {', '.join(self.projects()) or 'none'}",
            )
        for folder in iter_run_folders(self.path, project):
            yield self._open(folder)

    def _open(self, folder: Path) -> StoredRun:
        return StoredRun(folder, clock=self._clock, stale_after_s=self._stale_after_s)

    def __repr__(self) -> str:
        """Name the folder."""
        return f"<hpctrack.Store {self.path}>"


def _is_readable(run: StoredRun) -> bool:
    try:
        _ = run.record
    except HpctrackError:
        return False
    return True
