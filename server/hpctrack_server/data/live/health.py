"""How a store is: its size, what cannot be read, who has pushed lately."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.errors import HpctrackError
from hpctrack.sync.upkeep.audit import AuditLine, iter_events
from hpctrack_server.data.frames import BrokenFrame
from hpctrack_server.data.index.run_index import RunIndex

MEASURE_MAX_S = 2.0
"""A page waits no longer for the sizes; of a larger store they are told as lower bounds."""

BROKEN_MAX = 500
"""Runs listed for each project; more are counted."""

SYNCS_DAYS = 14
SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectHealth:
    """One project.

    Parameters
    ----------
    size_bytes : int
        Of its files, as far as they were measured.
    is_measured : bool
        Whether that is all of them.
    broken : tuple of BrokenFrame
    more_broken : int
        How many more there are.
    """

    name: str
    runs: int
    running: int
    size_bytes: int
    is_measured: bool
    broken: tuple[BrokenFrame, ...]
    more_broken: int = 0


@dataclass(slots=True)
class Push:
    """What one user has sent to one project."""

    user: str
    address: str
    project: str
    last_wall_s: float = 0.0
    items: int = 0
    size_bytes: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """The store.

    Parameters
    ----------
    projects : tuple of ProjectHealth
    disk_bytes, free_bytes : int
        Of the file system; 0 if it is not there.
    free_inodes : int or None
        None where the file system does not count them.
    pushes : tuple of Push
        Of the last 14 days, the newest first.
    note : str
        Why there are no pushes, if that is known.
    problem : str
        Why the store cannot be looked at, as when its file system is not mounted.
    """

    projects: tuple[ProjectHealth, ...]
    disk_bytes: int
    free_bytes: int
    free_inodes: int | None
    pushes: tuple[Push, ...] = field(default=())
    note: str = ""
    problem: str = ""

    @property
    def size_bytes(self) -> int:
        """Bytes of all projects, as far as they were measured."""
        return sum(one.size_bytes for one in self.projects)

    @property
    def is_measured(self) -> bool:
        """Whether all files were measured."""
        return all(one.is_measured for one in self.projects)


def read_health(store: Path, index: RunIndex, *, clock: Clock) -> StoreHealth:
    """Look at the store.

    Notes
    -----
    Touches every folder for at most `MEASURE_MAX_S`; everything else is known to the index.
    """
    try:
        facts = os.statvfs(store)
    except OSError as error:
        problem = f"The store cannot be looked at: {error.strerror}. Is its file system mounted?"
        return StoreHealth(
            projects=(), disk_bytes=0, free_bytes=0, free_inodes=None, problem=problem
        )
    until_s = clock.mono_s() + MEASURE_MAX_S
    projects = []
    for frame in index.projects():
        size_bytes, is_measured = measure_folder(store / frame.name, clock, until_s)
        broken = index.broken(frame.name)
        projects.append(
            ProjectHealth(
                name=frame.name, runs=frame.runs, running=frame.running, size_bytes=size_bytes,
                is_measured=is_measured, broken=broken[:BROKEN_MAX],
                more_broken=max(0, len(broken) - BROKEN_MAX),
            )
        )  # fmt: skip
    pushes, note = _read_pushes(store, clock.wall_s() - SYNCS_DAYS * SECONDS_PER_DAY)
    return StoreHealth(
        projects=tuple(projects),
        disk_bytes=facts.f_blocks * facts.f_frsize,
        free_bytes=facts.f_bavail * facts.f_frsize,
        free_inodes=facts.f_favail if facts.f_files else None,
        pushes=pushes,
        note=note,
    )


def measure_folder(folder: Path, clock: Clock, until_s: float) -> tuple[int, bool]:
    """Return the bytes of all files below a folder, and whether the time sufficed.

    Links are not followed: what they lead to is not the store's.
    """
    total = 0
    for number, size in enumerate(_iter_sizes(str(folder))):
        total += size
        if number % 256 == 0 and clock.mono_s() > until_s:
            return total, False
    return total, True


def _iter_sizes(folder: str) -> Iterator[int]:
    stack = [folder]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                found = list(entries)
        except OSError:
            continue  # it has just gone
        for one in found:
            try:
                if one.is_dir(follow_symlinks=False):
                    stack.append(one.path)
                else:
                    yield one.stat(follow_symlinks=False).st_size
            except OSError:
                continue


def _read_pushes(store: Path, since_wall_s: float) -> tuple[tuple[Push, ...], str]:
    try:
        events = list(islice(iter_events(store, since_wall_s=since_wall_s), 1_000_000))
    except (HpctrackError, OSError) as error:
        return (), f"the log of pushes cannot be read: {error}"
    return sum_up_pushes(events), ""


def sum_up_pushes(events: list[AuditLine]) -> tuple[Push, ...]:
    """Return who has sent how much to which project, the latest first. Pure."""
    found: dict[tuple[str, str, str], Push] = {}
    for event in events:
        key = (
            str(event.get("user", "")),
            str(event.get("address", "")),
            str(event.get("project", "")),
        )
        push = found.setdefault(key, Push(*key))
        push.last_wall_s = max(push.last_wall_s, float(event["wall_s"]))
        if event.get("action") == "refused":
            push.refused += 1
        else:
            push.items += 1
            push.size_bytes += _read_count(event.get("bytes"))
    return tuple(sorted(found.values(), key=lambda one: -one.last_wall_s))


def _read_count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
