"""What this side has to send: chosen runs, sealed if they have ended, hashed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.core.layout import (
    ACCOUNTING_NAME,
    SEALED_NAME,
    SWEEP_NAME,
    SWEEPS_FOLDER,
    iter_run_folders,
)
from hpctrack.core.names import check_id
from hpctrack.errors import BusyError, HpctrackError, InvalidNameError, NotFoundError
from hpctrack.store.record import State
from hpctrack.store.seal import seal_run
from hpctrack.store.store import Store
from hpctrack.store.stored_run import StoredRun
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.wire.messages import Item, ItemKind, Key


class Skipped(StrEnum):
    """Why a run is not offered to the other side."""

    RUNNING = "running"
    BUSY = "being sealed"
    UNSEALED = "not sealed"
    TO_SEAL = "to be sealed"
    """Only said by a dry run: the real one seals and sends it."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class LeftRun:
    """A run that stays here.

    Parameters
    ----------
    key : Key
    why : Skipped
    text : str
        More about it, for people.
    """

    key: Key
    why: Skipped
    text: str = ""


@dataclass(slots=True)
class Gathered:
    """What can be sent, and what not."""

    paths: dict[Item, Path] = field(default_factory=dict)
    left: list[LeftRun] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which runs are meant.

    Parameters
    ----------
    folders : tuple of Path
        Of the runs.
    is_everything : bool
        No run was named; the projects' sweeps go too, and not only those of the runs.
    project : str or None
        Only this one.
    """

    folders: tuple[Path, ...]
    is_everything: bool
    project: str | None = None


def choose_runs(store: Store, runs: Sequence[str], project: str | None) -> Choice:
    """Find the runs that the user means.

    Parameters
    ----------
    store : Store
        Where.
    runs : sequence of str
        Ids or names; empty means all.
    project : str or None
        Only this one.

    Raises
    ------
    NotFoundError, UsageError
        No run, or several, or no project have that name.
    """
    if runs:
        named = (store.run(one, project=project).folder for one in runs)
        return Choice(folders=tuple(dict.fromkeys(named)), is_everything=False, project=project)
    if project is not None and not (store.path / check_id(project, what="project")).is_dir():
        raise NotFoundError(
            f"no project {project!r} in {store.path}",
            hint=f"projects: {', '.join(store.projects()) or 'none'}",
        )
    folders = tuple(iter_run_folders(store.path, project))
    return Choice(folders=folders, is_everything=True, project=project)


def gather(
    store: Path,
    choice: Choice,
    *,
    seal: bool,
    dry_run: bool,
    accounting: bool,
    stale_after_s: float,
    clock: Clock,
    on_run: Callable[[str], None],
) -> Gathered:
    """Seal what has ended, and hash what is sealed.

    Parameters
    ----------
    store : Path
        The store's folder.
    choice : Choice
        Which runs.
    seal : bool
        Seal runs that have ended.
    dry_run : bool
        Seal nothing, only say what would be sealed.
    accounting : bool
        Whether the other side understands what Slurm counted.
    stale_after_s : float
        A live run that is silent for so long has ended.
    clock : Clock
        For that.
    on_run : callable
        Told each run's name before the work on it.

    Returns
    -------
    Gathered
    """
    cache = HashCache(store)
    gathered = Gathered()
    sweeps: set[tuple[str, str]] = set()
    for folder in choice.folders:
        key = Key(ItemKind.RUN, folder.parent.name, folder.name)
        on_run(str(key))
        run = StoredRun(folder, clock=clock, stale_after_s=stale_after_s)
        try:
            left = _find_obstacle(run, key, seal=seal)
            if left is not None and left.why == Skipped.TO_SEAL and not dry_run:
                left = _seal(run, key, clock, stale_after_s)
            if left is None and not choice.is_everything and run.told.sweep:
                sweeps.add((run.project, run.told.sweep))
            if left is None:
                _add(gathered, key, folder / SEALED_NAME, store, cache)
                if accounting:
                    _add_accounting(gathered, run, key, store, cache)
        except (HpctrackError, OSError) as error:
            left = LeftRun(key, Skipped.UNREADABLE, str(getattr(error, "message", error)))
        finally:
            run.close()
        if left is not None:
            gathered.left.append(left)
    for key, path in _iter_sweeps(store, choice, sweeps):
        _add(gathered, key, path, store, cache)
    cache.save()
    return gathered


def _find_obstacle(run: StoredRun, key: Key, *, seal: bool) -> LeftRun | None:
    """Return why a run cannot be sent as it is, or None."""
    check_id(key.project, what="project")
    check_id(key.id, what="run id")
    if run.is_sealed:
        return None
    record = run.told
    if record.state == State.RUNNING or any(one.state == State.RUNNING for one in record.ranks):
        return LeftRun(key, Skipped.RUNNING)
    return LeftRun(key, Skipped.TO_SEAL if seal else Skipped.UNSEALED)


def _seal(run: StoredRun, key: Key, clock: Clock, stale_after_s: float) -> LeftRun | None:
    try:
        seal_run(run.folder, clock=clock, stale_after_s=stale_after_s)
    except BusyError as error:
        return LeftRun(key, Skipped.BUSY, error.message)
    run.refresh()
    return None


def _add(gathered: Gathered, key: Key, path: Path, store: Path, cache: HashCache) -> None:
    with path.open("rb") as file:
        sha256, size_bytes = cache.hash_file(file, str(path.relative_to(store)))
    gathered.paths[Item(key, sha256, size_bytes)] = path


def _add_accounting(
    gathered: Gathered, run: StoredRun, key: Key, store: Path, cache: HashCache
) -> None:
    """Add what Slurm counted; whatever is wrong with it does not keep the run here."""
    found = run.accounting
    if found is None or (found.get("project"), found.get("run")) != (key.project, key.id):
        return
    with contextlib.suppress(OSError):
        aside = replace(key, kind=ItemKind.ACCOUNTING)
        _add(gathered, aside, run.folder / ACCOUNTING_NAME, store, cache)


def _iter_sweeps(
    store: Path, choice: Choice, named: Iterable[tuple[str, str]]
) -> Iterator[tuple[Key, Path]]:
    """Yield the descriptions of the sweeps that go along."""
    if choice.is_everything:
        projects = [store / choice.project] if choice.project else sorted(store.iterdir())
        found = [path for one in projects for path in sorted(one.glob(f"{SWEEPS_FOLDER}/*"))]
    else:
        found = [store / project / SWEEPS_FOLDER / sweep for project, sweep in sorted(named)]
    for folder in found:
        key = Key(ItemKind.SWEEP, folder.parent.parent.name, folder.name)
        try:
            check_id(key.project, what="project")
            check_id(key.id, what="sweep id")
        except InvalidNameError:
            continue
        if (folder / SWEEP_NAME).is_file():
            yield key, folder / SWEEP_NAME
