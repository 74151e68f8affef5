"""The one thread that follows all projects of a store, so that no page has to look at a folder."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.core.names import is_id
from hpctrack.errors import NotFoundError, StoreError
from hpctrack_server.data.entries import Entries
from hpctrack_server.data.index.project_scan import ProjectScan
from hpctrack_server.data.index.saved import SavedTable
from hpctrack_server.data.index.snapshot import Snapshot

DUTY_SHARE = 0.02
"""Of one core: for looking at runs that have probably not changed."""

IDLE_SHARE = 0.0005
"""The same while nobody looks at the project."""

WATCHED_S = 10.0
"""Somebody looks at a project that was asked for so lately: an open page asks all the time."""

IDLE_S = 5.0
"""So often runs that go on are looked at while nobody does; and durations grow for who does."""

HOT_SHARE = 0.1
"""Of one core, at most: for runs that go on, or have just changed."""

LIVE_SHARE = 0.02
"""Of one core, at most: for each run that goes on."""

WARM_RUNS = 100_000
"""The order of so many names is found before somebody asks for it: 2 s for 1,000,000."""

SLICE_S = 0.05
PUBLISH_S = 1.0
FIRST_WAIT_S = 5.0
"""So long a page waits for a project that has not been read yet; then it shows what is there."""

REFRESH_WAIT_S = 2.0

RESTING_S = 30.0
"""So long a project is left alone that nobody has foreseen the state of."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Followed:
    """A project with its passes."""

    scan: ProjectScan
    steps: Iterator[None] | None
    next_pass_mono_s: float = 0.0
    next_idle_pass_mono_s: float = 0.0
    next_names_mono_s: float = 0.0
    spent_s: float = 0.0
    next_quiet_mono_s: float = 0.0
    next_hot_mono_s: float = 0.0
    asked_mono_s: float = -math.inf


class Scanner:
    """Keeps a snapshot of every project.

    Parameters
    ----------
    path : Path
        The store's folder.
    clock : Clock
    stale_after_s : float
        How long a live run may be silent.
    interval_s : float
        Time between two looks at what changes often.
    cache : Path, optional
        Where tables are kept; for tests.
    is_following : bool, optional
        False shows the saved tables as they are.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        stale_after_s: float,
        interval_s: float,
        cache: Path | None = None,
        is_following: bool = True,
    ) -> None:
        self.path = path
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._interval_s = interval_s
        self._cache = cache
        self._is_following = is_following
        self._token = secrets.token_hex(3)
        self._followed: dict[str, _Followed] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._has_news = threading.Condition()
        self._rounds = self._awaited = 0
        self._is_looking = False
        self._turns = 0
        self._wanted: list[str] = []
        self._resting: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._is_woken = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow the store, on a thread of its own."""
        self._thread = threading.Thread(target=self._work, name="hpctrack-index", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop, and keep the tables for the next start."""
        self._is_closed = True
        self._is_woken.set()
        if self._thread is None:
            self._finish()
        else:
            self._thread.join(timeout_s)

    def snapshot(self, project: str) -> Snapshot:
        """Return a project's runs as they were a moment ago.

        A project that has not been read is waited for, not longer than `FIRST_WAIT_S`.

        Raises
        ------
        NotFoundError
            There is no such project.
        StoreError
            Nothing of it has been read in time.
        """
        self._note_asked(project)
        found = self._snapshots.get(project)
        if found is not None and (not found.pending or self._has_waited(project)):
            return found
        if not is_id(project) or not (self.path / project).is_dir():
            raise NotFoundError(f"no project {project!r}")
        if self._thread is None:
            self._build_here(project)
            return self._snapshots[project]
        with self._has_news:
            self._wanted.append(project)
            self._is_woken.set()
            begun_s = self._asked.setdefault(project, self._clock.mono_s())
            left_s = begun_s + FIRST_WAIT_S - self._clock.mono_s()
            self._has_news.wait_for(lambda: self._is_read(project), max(left_s, 0.0))
        found = self._snapshots.get(project)
        if found is None:
            raise StoreError(
                f"the runs of project {project!r} are still being read", hint="try again soon"
            )
        return found

    def _note_asked(self, *projects: str) -> None:
        """Look at some projects as often as for somebody who reads them."""
        for project in projects:
            followed = self._followed.get(project)
            if followed is not None:
                was_idle = not self._is_watched(followed)
                followed.asked_mono_s = self._clock.mono_s()
                if was_idle:
                    self._is_woken.set()

    def _is_watched(self, followed: _Followed) -> bool:
        return self._clock.mono_s() - followed.asked_mono_s < WATCHED_S

    def _is_read(self, project: str) -> bool:
        found = self._snapshots.get(project)
        return found is not None and not found.pending

    def _has_waited(self, project: str) -> bool:
        """Tell whether somebody has waited for the project long enough; others need not."""
        asked_s = self._asked.get(project)
        return asked_s is not None and self._clock.mono_s() - asked_s >= FIRST_WAIT_S

    def snapshots(self) -> dict[str, Snapshot]:
        """Return all projects; those that have not been read are waited for as by `snapshot`."""
        if self._thread is None:
            for project in self.list_projects():
                if project not in self._snapshots:
                    self._build_here(project)
            return dict(self._snapshots)
        if not self._rounds:
            with self._has_news:
                self._has_news.wait_for(lambda: self._rounds > 0, FIRST_WAIT_S)
        self._note_asked(*self._snapshots)
        return dict(self._snapshots)

    @property
    def version(self) -> str:
        """Differs whenever a project has come or gone, or one of its runs has turned."""
        return f"{self._token}-{self._turns}"

    def refresh(self) -> None:
        """Wait until a look has begun and ended after now, not for ever."""
        self._note_asked(*self._followed)
        if self._thread is None:
            for followed in self._followed.values():
                self._tick(followed)
            return
        with self._has_news:
            # A look that is under way may have passed by what has just changed.
            wanted = self._rounds + (2 if self._is_looking else 1)
            self._awaited = max(self._awaited, wanted)
            self._is_woken.set()
            self._has_news.wait_for(lambda: self._rounds >= wanted, REFRESH_WAIT_S)

    def list_projects(self) -> list[str]:
        """Return the folders that can be projects."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(one.name for one in entries if is_id(one.name) and one.is_dir())
        except OSError:
            return []

    # -- on the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._is_closed:
            begun_s = self._clock.mono_s()
            with self._has_news:
                self._is_looking = True
            try:
                self._look()
            except Exception:
                log.exception("the index cannot follow %s", self.path)
            with self._has_news:
                self._is_looking = False
                self._rounds += 1
                self._has_news.notify_all()
                is_due = self._wanted or self._awaited > self._rounds
            took_s = self._clock.mono_s() - begun_s
            is_due = is_due and not self._is_closed
            self._is_woken.wait(0 if is_due else max(self._interval_s - took_s, 0.01))
            self._is_woken.clear()
        self._finish()

    def _look(self) -> None:
        """Look once at everything that is due."""
        names = self.list_projects()
        for gone in [one for one in self._followed if one not in names]:
            self._followed.pop(gone).scan.drop()
            self._snapshots.pop(gone, None)
            self._turns += 1
        wanted, self._wanted = self._wanted, []
        for project in dict.fromkeys([*wanted, *names]):
            is_resting = self._resting.get(project, 0.0) > self._clock.mono_s()
            if project not in names or self._is_closed or is_resting:
                continue
            try:
                self._follow(project)
            except Exception:
                log.exception("project %s cannot be followed", project)
                self._resting[project] = self._clock.mono_s() + RESTING_S

    def _follow(self, project: str) -> None:
        if project not in self._followed:
            self._build(project)
            return
        try:
            self._tick(self._followed[project])
        except OSError as error:
            log.warning("project %s cannot be looked at: %s", project, error.strerror)

    def _build(self, project: str) -> None:
        """Read a project for the first time; what others want to see comes in between."""
        followed = self._add(project)
        published_s = self._clock.mono_s()
        begun_s = published_s
        with contextlib.suppress(OSError):
            for _ in followed.scan.build(is_following=self._is_following):
                now_s = self._clock.mono_s()
                is_due = project not in self._snapshots and followed.scan.is_complete
                if (is_due or now_s - published_s > PUBLISH_S) and not self._is_closed:
                    self._publish(followed)
                    self._tend_others(project)
                    published_s = self._clock.mono_s()
                if now_s - begun_s > SLICE_S:
                    time.sleep(0.001)  # the event loop's turn
                    begun_s = self._clock.mono_s()
                if self._is_closed:
                    return
        self._publish(followed)
        if len(self._snapshots[project].alive) > WARM_RUNS:
            self._snapshots[project].ranks("name")

    def _build_here(self, project: str) -> None:
        """Read a project on the caller's thread."""
        followed = self._add(project)
        for _ in followed.scan.build(is_following=self._is_following):
            pass
        self._publish(followed)

    def _add(self, project: str) -> _Followed:
        scan = ProjectScan(
            self.path,
            project,
            entries=Entries(
                self.path,
                clock=self._clock,
                stale_after_s=self._stale_after_s,
                reread_share=1 / LIVE_SHARE,
            ),
            clock=self._clock,
            saved=SavedTable(self.path, project, folder=self._cache),
            token=self._token,
        )
        followed = self._followed[project] = _Followed(scan, None)
        return followed

    def _tend_others(self, project: str) -> None:
        """Look at the other projects while one is read, and begin those that somebody wants."""
        wanted, self._wanted = self._wanted, []
        for name in dict.fromkeys([*wanted, *self._followed]):
            known = self._followed.get(name)
            is_there = known.scan.is_complete if known else (self.path / name).is_dir()
            if name != project and is_there:
                self._follow(name)

    def _tick(self, followed: _Followed) -> None:
        if not self._is_following:
            return
        scan, now_s = followed.scan, self._clock.mono_s()
        is_hot = self._is_watched(followed) or now_s >= followed.next_hot_mono_s
        budget_s = HOT_SHARE * max(self._interval_s, 0.2) if is_hot else 0.0
        are_names_due = scan.tick(budget_s=budget_s)
        if are_names_due and now_s >= followed.next_names_mono_s:
            for _ in scan.pass_over(is_thorough=False):
                pass
            took_s = self._clock.mono_s() - now_s
            followed.next_names_mono_s = now_s + took_s / DUTY_SHARE
        self._go_on(followed)
        is_due = is_hot and scan.has_live and now_s >= followed.next_quiet_mono_s
        if is_due or scan.is_changed:
            scan.grow_durations()
            self._publish(followed)
            followed.next_quiet_mono_s = now_s + IDLE_S
        if is_hot:
            followed.next_hot_mono_s = now_s + IDLE_S

    def _go_on(self, followed: _Followed) -> None:
        """Go on with looking at every run, as far as its share of time allows."""
        begun_s = self._clock.mono_s()
        if followed.steps is None:
            is_watched = self._is_watched(followed)
            next_s = followed.next_pass_mono_s if is_watched else followed.next_idle_pass_mono_s
            if begun_s < next_s:
                return
            followed.steps, followed.spent_s = followed.scan.pass_over(is_thorough=True), 0.0
        budget_s = DUTY_SHARE * max(self._interval_s, 0.2)
        is_over = False
        try:
            while self._clock.mono_s() - begun_s < budget_s and not is_over:
                is_over = next(followed.steps, _OVER) is _OVER
        except OSError:
            is_over = True
        now_s = self._clock.mono_s()
        followed.spent_s += now_s - begun_s
        if is_over:
            followed.steps = None
            followed.next_pass_mono_s = now_s + max(1.0, followed.spent_s / DUTY_SHARE)
            followed.next_idle_pass_mono_s = now_s + max(1.0, followed.spent_s / IDLE_SHARE)

    def _publish(self, followed: _Followed) -> None:
        snapshot = followed.scan.snapshot()
        before = self._snapshots.get(followed.scan.project)
        self._turns += before is None or before.turns != snapshot.turns
        with self._has_news:
            self._snapshots[followed.scan.project] = snapshot
            self._has_news.notify_all()

    def _finish(self) -> None:
        for followed in self._followed.values():
            followed.scan.close()


_OVER = object()
