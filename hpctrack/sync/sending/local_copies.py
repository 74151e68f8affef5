"""Which runs need not stay here any more, and how they go: the half of a sync that deletes.

A run's folder goes only if all of this holds at that moment, under the lock that sealing takes:

- this push has seen the other side confirm the sealed file by its hash, and what Slurm counted of
  the run and what people wrote about it, if there is any;
- the other side's file is not this very one, over a file system that both sides see;
- these files are read again, to their last byte, and have those hashes;
- nothing else than a sealed run is in the folder: no node file, so nobody records into it, and
  nothing that hpctrack does not know;
- it ended long enough ago that no requeue and no resume will want it, and it was not preempted;
- its sweep is over: the other trials learn from it.

The sealed file goes last. Whenever this is killed, either a whole sealed run is left, or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.core.layout import (
    ACCOUNTING_NAME,
    ANNOTATIONS_FOLDER,
    RULES_FOLDER,
    SEAL_LOCK_NAME,
    SEALED_NAME,
    STOP_NAME,
    NodeFileName,
    read_agreement_name,
    run_folder,
)
from hpctrack.errors import BusyError, HpctrackError
from hpctrack.store.record import RunRecord, State
from hpctrack.store.seal_lock import hold_lock
from hpctrack.store.stored_run import StoredRun
from hpctrack.sync.sending.push_result import SAME_FILE, ItemResult, Status
from hpctrack.sync.wire.messages import ItemKind

DAY_S = 86_400.0

CONFIRMED = frozenset({Status.SENT, Status.REPLACED, Status.PRESENT})


class Kept(StrEnum):
    """Why a run's folder stays."""

    GONE = "it is not here any more"
    SAME = "the other side looks at this very file, and has no copy"
    LIVE = "it is recorded into, or not sealed"
    BUSY = "it is being sealed"
    RECENT = "it ended lately"
    PREEMPTED = "it was preempted and may go on"
    SWEEP = "its sweep is going on"
    ACCOUNTING = "what Slurm counted of it has not been confirmed"
    ANNOTATIONS = "what was written about it has not been confirmed"
    FOREIGN = "there are files beside it that hpctrack does not know"
    CHANGED = "it has changed since the other side confirmed it"
    UNREADABLE = "it cannot be read"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Confirmed:
    """A run that the other side has, by its own word.

    Parameters
    ----------
    project, id : str
    sha256 : str
        Of the sealed file.
    accounting_sha256, annotations_sha256 : str
        Of what Slurm counted and what people wrote; empty if the other side has confirmed none.
    is_same_file : bool
        The other side has no file of its own.
    """

    project: str
    id: str
    sha256: str
    accounting_sha256: str = ""
    annotations_sha256: str = ""
    is_same_file: bool = False

    def __str__(self) -> str:
        """Return what people call it."""
        return f"{self.project}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is to become, or has become, of a local copy.

    Parameters
    ----------
    run : Confirmed
    kept : Kept or None
        Why it stays; None if it goes.
    size_bytes : int
        What that frees.
    """

    run: Confirmed
    kept: Kept | None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What makes a copy stay.

    Parameters
    ----------
    keep_s : float
        How long after a run's end.
    is_sweep_over : callable
        Told project and sweep id.
    clock : Clock
    stale_after_s : float
        A live run that is silent for so long has ended.
    """

    keep_s: float
    is_sweep_over: Callable[[str, str], bool]
    clock: Clock
    stale_after_s: float = 60.0


def list_confirmed(items: Iterable[ItemResult]) -> list[Confirmed]:
    """Return the runs that a push has found at the other side, or brought there."""
    some = [one for one in items if one.status in CONFIRMED]
    found = [one for one in some if one.sha256]
    same = [one for one in some if one.reason == SAME_FILE and one.key.kind == ItemKind.RUN]
    hashes = {(one.key.kind, one.key.project, one.key.id): one.sha256 for one in found}
    return [
        Confirmed(
            project=project,
            id=run,
            sha256=sha256,
            accounting_sha256=hashes.get((ItemKind.ACCOUNTING, project, run), ""),
            annotations_sha256=hashes.get((ItemKind.ANNOTATIONS, project, run), ""),
        )
        for (kind, project, run), sha256 in hashes.items()
        if kind == ItemKind.RUN
    ] + [
        Confirmed(project=one.key.project, id=one.key.id, sha256="", is_same_file=True)
        for one in same
    ]


def judge(
    run: Confirmed,
    record: RunRecord,
    files: Mapping[str, float],
    rules: Rules,
    *,
    hashes: Mapping[str, str],
) -> Kept | None:
    """Decide about one run. Pure, but for the sweep that is asked about.

    Parameters
    ----------
    run : Confirmed
    record : RunRecord
        As it is here.
    files : mapping
        Everything in its folder, and `ANNOTATIONS_FOLDER` if people wrote about it: name and time
        of the last change.
    rules : Rules
    hashes : mapping
        SHA-256 of the files that matter, by name; empty before they were read.

    Returns
    -------
    Kept or None
        None: it may go.
    """
    if run.is_same_file:
        return Kept.SAME
    return (
        _judge_folder(record, files)
        or _judge_age(run, record, files, rules)
        or _judge_hashes(run, files, hashes)
    )


def _judge_folder(record: RunRecord, files: Mapping[str, float]) -> Kept | None:
    is_live = SEALED_NAME not in files or any(NodeFileName.parse(one) for one in files)
    if is_live or record.state == State.RUNNING:
        return Kept.LIVE
    return None if all(map(_is_known, files)) else Kept.FOREIGN


def _judge_age(
    run: Confirmed, record: RunRecord, files: Mapping[str, float], rules: Rules
) -> Kept | None:
    if record.state == State.PREEMPTED:
        return Kept.PREEMPTED
    # Of a run that crashed nobody knows the end; it was sealed after it.
    last_wall_s = record.ended_wall_s or files[SEALED_NAME]
    if rules.clock.wall_s() - last_wall_s < rules.keep_s:
        return Kept.RECENT
    if record.sweep and not rules.is_sweep_over(run.project, record.sweep):
        return Kept.SWEEP
    return None


def _judge_hashes(
    run: Confirmed, files: Mapping[str, float], hashes: Mapping[str, str]
) -> Kept | None:
    for name, wanted, kept in (
        (SEALED_NAME, run.sha256, Kept.CHANGED),
        (ACCOUNTING_NAME, run.accounting_sha256, Kept.ACCOUNTING),
        (ANNOTATIONS_FOLDER, run.annotations_sha256, Kept.ANNOTATIONS),
    ):
        if name in files and (not wanted or hashes.get(name, wanted) != wanted):
            return kept
    return None


def find_deletable(store: Path, confirmed: Iterable[Confirmed], rules: Rules) -> list[Judged]:
    """Say of each run whether it may go, without reading it whole: for the question before."""
    found = []
    for one in confirmed:
        folder = run_folder(store, one.project, one.id)
        try:
            kept = _look(folder, one, rules, hashes={})
            size_bytes = 0 if kept else _measure(folder)
        except (HpctrackError, OSError):
            kept, size_bytes = Kept.UNREADABLE if folder.is_dir() else Kept.GONE, 0
        found.append(Judged(run=one, kept=kept, size_bytes=size_bytes))
    return found


def delete_copy(store: Path, run: Confirmed, rules: Rules) -> Judged:
    """Delete one run's folder if all of the rules hold now.

    Parameters
    ----------
    store : Path
        The store's folder.
    run : Confirmed
        By the push that has just ended.
    rules : Rules

    Returns
    -------
    Judged
        It may have been kept after all.
    """
    folder = run_folder(store, run.project, run.id)
    if not folder.is_dir():
        return Judged(run=run, kept=Kept.GONE)
    try:
        with hold_lock(folder, rules.clock):
            hashes = {
                name: _hash(path) for name, path in _list_hashed(folder).items() if path.is_file()
            }
            kept = _look(folder, run, rules, hashes=hashes)
            if kept:
                return Judged(run=run, kept=kept)
            size_bytes = _measure(folder)
            _delete(folder)
    except BusyError:
        return Judged(run=run, kept=Kept.BUSY)
    except (HpctrackError, OSError):
        return Judged(run=run, kept=Kept.UNREADABLE)
    # A run that has begun anew meanwhile keeps its folder.
    with contextlib.suppress(OSError):
        folder.rmdir()
    return Judged(run=run, kept=None, size_bytes=size_bytes)


def _look(folder: Path, run: Confirmed, rules: Rules, *, hashes: Mapping[str, str]) -> Kept | None:
    stored = StoredRun(folder, clock=rules.clock, stale_after_s=rules.stale_after_s)
    with closing(stored):
        files = {entry.name: entry.lstat().st_mtime for entry in folder.iterdir()}
        notes = _list_hashed(folder)[ANNOTATIONS_FOLDER]
        if notes.exists():
            files[ANNOTATIONS_FOLDER] = notes.stat().st_mtime
        return judge(run, stored.told, files, rules, hashes=hashes)


def _list_hashed(folder: Path) -> dict[str, Path]:
    """Return what the other side must have, by the names that `judge` calls it."""
    return {
        SEALED_NAME: folder / SEALED_NAME,
        ACCOUNTING_NAME: folder / ACCOUNTING_NAME,
        ANNOTATIONS_FOLDER: folder.parent / ANNOTATIONS_FOLDER / f"{folder.name}.json",
    }


def _is_known(name: str) -> bool:
    known = {SEALED_NAME, ACCOUNTING_NAME, ANNOTATIONS_FOLDER, STOP_NAME, RULES_FOLDER}
    known.add(SEAL_LOCK_NAME)
    return name in known or read_agreement_name(name) is not None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _measure(folder: Path) -> int:
    files = (one for one in folder.rglob("*") if one.is_file() and one.name != SEAL_LOCK_NAME)
    return sum(one.lstat().st_size for one in files)


def _delete(folder: Path) -> None:
    """Delete what `_is_known` knows, the sealed file last; the lock is its holder's."""
    for entry in folder.iterdir():
        if entry.name == RULES_FOLDER:
            shutil.rmtree(entry)
        elif entry.name not in {SEALED_NAME, SEAL_LOCK_NAME}:
            entry.unlink()
    _list_hashed(folder)[ANNOTATIONS_FOLDER].unlink(missing_ok=True)
    (folder / SEALED_NAME).unlink()
