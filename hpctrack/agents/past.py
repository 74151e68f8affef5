"""What earlier launches left in a run's folder. Reads files; never raises for a broken one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.clock import Clock
from hpctrack.core.layout import SEALED_NAME, NodeFileName, iter_node_files
from hpctrack.errors import HpctrackError
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.schema import EventKind
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.stored_run import StoredRun

FRESH_S = 10.0
"""A file that has no rank yet and is younger is taken for one of this launch: another node's agent
has made it a moment ago."""

FILE_TYPES = frozenset({"file", "code"})
"""Types of what a run keeps and what belongs to no step."""

_LOOKS = 10
_LOOK_WAIT_S = 0.02


@dataclass(frozen=True, slots=True)
class Past:
    """What was there.

    Parameters
    ----------
    step : int or None
        The last step that counts, of numbers and of media; None if nothing was logged.
    config, summary : dict
        As readers see them.
    name, tags, notes : str, tuple of str, str
        As readers see them.
    """

    step: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""


def choose_attempt(folder: Path, launch: str, asked_attempt: int, *, clock: Clock) -> int:
    """Return the attempt that this launch's points belong to.

    Parameters
    ----------
    folder : Path
        The run's; need not exist.
    launch : str
        This launch's token.
    asked_attempt : int
        What the scheduler says: 1 plus the number of requeues.
    clock : Clock
        Tells how old a file is.

    Returns
    -------
    int
        That of this launch's files on other nodes if there are any; else one more than any other
        launch's, and at least ``asked_attempt``: points of two launches never mix.

    Notes
    -----
    Reads the newest attempt's files only, usually one. Two launches that use the same id and begin
    in the same second may both become the same attempt.
    """
    highest = 0
    for attempt, found in _iter_launches(folder, clock):
        if found == launch:
            return attempt
        highest = max(highest, attempt)
    return max(asked_attempt, highest + 1)


def has_past(folder: Path, launch: str, *, clock: Clock) -> bool:
    """Tell whether another launch has recorded into the run; copies that a fork began do not."""
    return any(found != launch for _attempt, found in _iter_launches(folder, clock))


def read_past(folder: Path, before_attempt: int, *, clock: Clock) -> Past:
    """Return what the attempts before one had come to.

    Parameters
    ----------
    folder : Path
        The run's.
    before_attempt : int
        Points of this and later attempts are left out.
    clock : Clock
        For the run's state.
    """
    run = StoredRun(folder, clock=clock)
    try:
        record = run.record
        step = find_last_step(run, before_attempt)
        return Past(step, record.config, record.summary, record.name, record.tags, record.notes)
    except HpctrackError:
        return Past()
    finally:
        run.close()


def find_last_step(run: StoredRun, before_attempt: int) -> int | None:
    """Return the last step of numbers and media that counts; None without any.

    Parameters
    ----------
    run : StoredRun
    before_attempt : int
        Points of this and later attempts are left out.
    """
    last: int | None = None
    for name in run.metrics():
        columns = run.columns([name])[name]
        current = columns.take(columns.attempt < before_attempt).current()
        if len(current):
            top = int(np.max(current.step))
            last = top if last is None else max(last, top)
    for item in run.media():
        if item.attempt < before_attempt and item.type not in FILE_TYPES:
            last = item.step if last is None else max(last, item.step)
    return last


def _iter_launches(folder: Path, clock: Clock) -> Iterator[tuple[int, str]]:
    """Yield attempt and launch of the newest files, as far as they decide anything.

    Files of one attempt belong to one launch, so that the first that can be read speaks for all;
    of older attempts only the number matters.
    """
    if not folder.is_dir():
        return
    by_attempt: dict[int, list[Path]] = {}
    for path in iter_node_files(folder):
        name = NodeFileName.parse(path.name)
        if name is not None and name.attempt > 0:
            by_attempt.setdefault(name.attempt, []).append(path)
    for attempt in sorted(by_attempt, reverse=True):
        launches = (_read_launch(path, clock) for path in by_attempt[attempt])
        # A file of nobody yet is passed over; a file that cannot be read is somebody else's.
        launch = next((one for one in launches if one is not None), None)
        if launch is not None:
            yield attempt, launch
    if (folder / SEALED_NAME).exists():
        try:
            yield SealedReader(folder / SEALED_NAME).read_record().attempts, ""
        except HpctrackError:
            yield 1, ""


def _read_launch(path: Path, clock: Clock) -> str | None:
    """Return the launch that a node file belongs to; None if it is too young to tell."""
    for _look in range(_LOOKS):
        try:
            with NodeReader(path) as reader:
                told = reader.facts.get("launch")
                if told:
                    return str(told)
                for event in reader.read_events().events:
                    if event.kind == EventKind.START:
                        return str(event.json().get("launch", ""))
                age_s = clock.wall_s() - float(reader.facts.get("created_wall_s", 0.0))
        except HpctrackError:
            return ""
        if age_s > FRESH_S:
            return ""
        # Its first rank is written within one flush.
        time.sleep(_LOOK_WAIT_S)
    return None
