"""Putting a damaged run in order: salvage what is intact, keep what was there, tidy up."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import (
    DAMAGED_SUFFIX,
    REPAIR_FOLDER_PREFIX,
    SEALED_NAME,
    is_leftover,
    iter_node_files,
)
from hpctrack.errors import BusyError, HpctrackError, NotFoundError, StoreError, StoreFormatError
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.replica_states import read_replicas, write_replicas
from hpctrack.store.salvage import Salvaged, salvage_node_file
from hpctrack.store.salvage_sealed import salvage_sealed_file
from hpctrack.store.seal_lock import hold_lock
from hpctrack.store.space import explain, sync_folder
from hpctrack.store.verify_node import check_node_file
from hpctrack.store.verify_sealed import check_sealed_file


class Deed(StrEnum):
    """What became of a file."""

    SALVAGED = "salvaged"
    """What is intact is in a new file; the damaged one is kept under another name."""
    SET_ASIDE = "set aside"
    """Nothing is intact; it is kept under another name."""
    REMOVED = "removed"
    """It was half of something that nobody will finish."""
    LEFT = "left"
    """It is damaged, and nothing was done."""


@dataclass(frozen=True, slots=True)
class Action:
    """What was done about one file.

    Parameters
    ----------
    file : str
        Its name.
    deed : Deed
    text : str
        One line for people.
    points, lost_points : int
        Saved; and lost, as far as that is known.
    """

    file: str
    deed: Deed
    text: str
    points: int = 0
    lost_points: int = 0


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What was done about a run; no actions if nothing was wrong."""

    run: str
    project: str
    actions: list[Action] = field(default_factory=list)

    @property
    def is_intact(self) -> bool:
        """Whether nothing damaged is left in the run."""
        return all(one.deed != Deed.LEFT for one in self.actions)

    @property
    def given_up(self) -> list[Action]:
        """The files of which nothing could be saved, and which were set aside."""
        return [one for one in self.actions if one.deed == Deed.SET_ASIDE]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "id": self.run,
            "project": self.project,
            "intact": self.is_intact,
            "actions": [
                {
                    "file": one.file,
                    "deed": one.deed,
                    "text": one.text,
                    "points": one.points,
                    "lost_points": one.lost_points,
                }
                for one in self.actions
            ],
        }


def repair_run(
    folder: Path, *, clock: Clock = SYSTEM_CLOCK, stale_after_s: float = 60.0, force: bool = False
) -> RepairResult:
    """Salvage what is intact of a run's damaged files, and remove what killed writers left.

    Parameters
    ----------
    folder : Path
        The run's folder.
    clock : Clock, optional
        Tells what is old.
    stale_after_s : float, optional
        A file that was touched more recently may be somebody's.
    force : bool, optional
        Also files that were written just now, a damaged sealed file, and setting aside what
        cannot be salvaged at all.

    Returns
    -------
    RepairResult

    Raises
    ------
    NotFoundError
        There is no such folder.
    BusyError
        The run is running, or being sealed.
    StoreError, StoreFullError
        The folder cannot be written; the damaged files are as they were.

    Notes
    -----
    Safe to interrupt and to repeat. A damaged file is never removed: its name gets
    `DAMAGED_SUFFIX` behind it, which readers pass over, in the moment in which the new file
    takes its place.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no run {folder.name!r} in project {folder.parent.name!r}")
    result = RepairResult(folder.name, folder.parent.name)
    try:
        with hold_lock(folder, clock):
            now_wall_s = clock.wall_s()
            if not force:
                _refuse_if_alive(folder, now_wall_s, stale_after_s)
            _remove_leftovers(folder, result, now_wall_s - (0 if force else stale_after_s))
            replicas = read_replicas(folder)
            for path in list(iter_node_files(folder)):
                found = check_node_file(path, now_wall_s=now_wall_s, stale_after_s=stale_after_s)
                if not found.errors:
                    continue
                if path.name in replicas and not force:
                    result.actions.append(_leave_replica(path, found.errors[0]))
                    continue
                result.actions.append(_repair_node_file(path, found.errors[0], force=force))
                if replicas.pop(path.name, None) is not None:
                    # What was salvaged is this machine's own: nothing more may be added to it.
                    write_replicas(folder, replicas, is_durable=True)
            _repair_sealed_file(folder / SEALED_NAME, result, force=force)
    except OSError as error:
        raise explain(error, folder) from None
    return result


def _refuse_if_alive(folder: Path, now_wall_s: float, stale_after_s: float) -> None:
    for path in iter_node_files(folder):
        try:
            with NodeReader(path) as reader:
                source = reader.read_events()
            # Nobody adds to a replica as long as we hold the lock.
            is_open = not source.is_closed and source.as_of_wall_s is None
            seen_wall_s = source.pulse_wall_s
        except NotFoundError:
            continue
        except StoreFormatError:
            is_open, seen_wall_s = True, path.stat().st_mtime
        if is_open and now_wall_s - seen_wall_s < stale_after_s:
            raise BusyError(
                f"{path.name} was written {max(0.0, now_wall_s - seen_wall_s):.0f} s ago",
                hint="wait until the run has ended; --force does not",
            )


def _remove_leftovers(folder: Path, result: RepairResult, before_wall_s: float) -> None:
    for path in sorted(folder.iterdir()):
        if is_leftover(path.name) and path.lstat().st_mtime <= before_wall_s:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            result.actions.append(
                Action(path.name, Deed.REMOVED, "left by somebody who was killed")
            )


def _repair_node_file(path: Path, problem: str, *, force: bool) -> Action:
    scratch = _make_scratch(path.parent)
    try:
        saved = salvage_node_file(path, scratch)
        if saved.points or saved.events:
            aside = _keep(path)
            saved.paths[0].replace(path)
            sync_folder(path.parent)
            return _tell(path.name, saved, aside)
    except StoreFormatError as error:
        problem = error.message
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _give_up(path, problem, force=force)


def _leave_replica(path: Path, problem: str) -> Action:
    text = (
        f"{problem}; it is a copy: the sealed file comes with a sync after its run has ended,"
        " or salvage what can be read with --force"
    )
    return Action(path.name, Deed.LEFT, text)


def _repair_sealed_file(path: Path, result: RepairResult, *, force: bool) -> None:
    """Salvage a sealed file, only when told to: somebody else may have an intact copy."""
    found = check_sealed_file(path) if path.exists() else None
    if found is None or not found.errors:
        return
    if not force:
        text = f"{found.errors[0]}; sync an intact copy, or salvage what can be read with --force"
        result.actions.append(Action(path.name, Deed.LEFT, text))
        return
    scratch = _make_scratch(path.parent)
    try:
        saved = salvage_sealed_file(path, scratch)
    except HpctrackError as error:
        if not isinstance(error, StoreFormatError):
            raise
        result.actions.append(_give_up(path, error.message, force=True))
    else:
        # Readers pass over node files that the sealed file names, until it is gone.
        _set_aside_doubles(path.parent, saved.node_ids)
        for one in saved.paths:
            one.replace(path.parent / one.name)
        aside = _keep(path)
        path.unlink()
        sync_folder(path.parent)
        result.actions.append(_tell(path.name, saved, aside))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _set_aside_doubles(folder: Path, inside: frozenset[str]) -> None:
    """Take node files away that a killed sealer left: what is in them has just been salvaged."""
    for path in list(iter_node_files(folder)):
        with contextlib.suppress(HpctrackError):
            with NodeReader(path) as reader:
                is_double = str(reader.facts.get("uuid")) in inside
            if is_double:
                _keep(path)
                path.unlink()


def _tell(name: str, saved: Salvaged, aside: Path) -> Action:
    text = f"{saved.points} points and {saved.events} events saved"
    if str(saved.lost):
        text += f"; lost: {saved.lost}"
    text += f"; the damaged file is {aside.name}"
    return Action(name, Deed.SALVAGED, text, saved.points, saved.lost.points)


def _give_up(path: Path, problem: str, *, force: bool) -> Action:
    if not force:
        text = f"nothing can be salvaged ({problem}); --force sets it aside"
        return Action(path.name, Deed.LEFT, text)
    aside = _keep(path)
    path.unlink()
    sync_folder(path.parent)
    text = f"nothing could be salvaged ({problem}); it is {aside.name} now"
    return Action(path.name, Deed.SET_ASIDE, text)


def _keep(path: Path) -> Path:
    """Give a damaged file a second name that readers pass over; the first is replaced next."""
    for number in range(1, 1000):
        more = "" if number == 1 else f".{number}"
        aside = path.with_name(f"{path.name}{DAMAGED_SUFFIX}{more}")
        try:
            os.link(path, aside)
        except FileExistsError:
            if aside.samefile(path):
                return aside  # by a repair that was killed at the next step
            continue
        except OSError:  # no hard links here
            if aside.exists():
                continue
            shutil.copy2(path, aside)
        return aside
    raise StoreError(f"{path} has been repaired 999 times")


def _make_scratch(folder: Path) -> Path:
    scratch = folder / f"{REPAIR_FOLDER_PREFIX}{secrets.token_hex(4)}"
    scratch.mkdir()
    return scratch
