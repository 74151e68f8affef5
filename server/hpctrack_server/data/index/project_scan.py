"""One project's runs, followed: what is new, changed, edited, broken or gone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.core.clock import Clock
from hpctrack.core.layout import FileStamp
from hpctrack.errors import HpctrackError
from hpctrack.store.annotation_file import iter_annotated
from hpctrack.store.index import Index, IndexEntry
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.entries import Entries, Entry, make_encodable, reading
from hpctrack_server.data.frames import BrokenFrame, RunFrame, iter_flat
from hpctrack_server.data.index.accounted import read_efficiency
from hpctrack_server.data.index.looking import (
    NO_FILES,
    Followed,
    Look,
    annotations_folder,
    find_mtime_ns,
    iter_run_names,
    look_at_run,
)
from hpctrack_server.data.index.saved import SavedTable
from hpctrack_server.data.index.snapshot import Snapshot
from hpctrack_server.data.index.tiers import STAMP, FreshRun, Tiers

BATCH_RUNS = 500
HOT_S = 120.0
"""A run that has just changed is looked at often for so long: it may change again."""

WAITING_MAX = 1000
"""Folders without files that are looked at often; somebody may be about to write there."""

VALUES_SHARE = 0.00125
VALUES_MIN_S, VALUES_MAX_S = 1.0, 10.0
"""Between two looks at the latest values of all runs that go on: as short as that share of a core
allows. That a run ends, or says something, is seen at the next tick."""

FULL_S = 30.0
"""A run that goes on is read in full at least so often: what a tick looks at may miss something."""

SETTLED_S = 2.0
"""A folder that changed so lately may change again without telling: some clocks tick in seconds."""

YOUNG_S = 0.5
"""Two changes can fall into one tick of the file system's clock."""

BROKEN_RETRY_S = 10.0
BROKEN_LOOKS = 200
"""Broken runs that a tick looks at in turn, if it has time: somebody may mend them."""

_ABSENT = (None, "", ())
TRUSTED_RUNS = 20_000
"""The saved table of a larger project is shown before its runs have been looked at."""


class ProjectScan:
    """Follows a project. Not safe for several threads.

    Parameters
    ----------
    store : Path
    project : str
    entries : Entries
        Through which runs are read.
    clock : Clock
    saved : SavedTable
    token : str
        Of this process: begins the versions.
    """

    def __init__(
        self,
        store: Path,
        project: str,
        *,
        entries: Entries,
        clock: Clock,
        saved: SavedTable,
        token: str,
    ) -> None:
        self.project = project
        self._store = store
        self._path = os.fspath(store / project)
        self._entries = entries
        self._clock = clock
        self._saved = saved
        self._token = token
        self._tiers = Tiers()
        self._broken: dict[str, tuple[BrokenFrame, int, float]] = {}
        self._waiting: set[str] = set()
        self._hot: dict[str, tuple[int, float]] = {}
        self._followed: dict[str, Followed] = {}
        self._next_values_mono_s = 0.0
        self._edited: dict[str, FileStamp] = {}
        self._listed: Mapping[tuple[str, str], IndexEntry] = {}
        self._names_mtime_ns = self._edits_mtime_ns = -1
        self._watch_edits_until_s = 0.0
        self._version = self._turns = 0
        self._unsaved = 0
        self.pending = 0
        self.is_changed = True
        self.is_complete = False
        """All runs have been looked at once, or were known from before."""

    # -- what the scanner asks for ---------------------------------------------------------------

    def build(self, *, is_following: bool = True) -> Iterator[None]:
        """Read what there is, from the saved table and the store, in small steps."""
        table = self._saved.load()
        if table is not None:
            self._tiers.add_table(table)
        else:
            self._listed = Index(self._store).load(self.project)
        if not is_following:
            self.is_complete = True
            return
        self._list_edits()
        if len(self._tiers) > TRUSTED_RUNS:
            self.is_complete = True
            yield
        self.pending = sum(1 for _ in iter_run_names(self._path)) - len(self._tiers)
        yield from self.pass_over(is_thorough=True)
        self._listed = {}
        self.pending, self.is_complete = 0, True
        if self._unsaved:
            self._tiers.merge()
            self.save()

    def pass_over(self, *, is_thorough: bool) -> Iterator[None]:
        """Look for runs that are new or gone, and, if thorough, at all others.

        Raises
        ------
        OSError
            The project's folder cannot be listed.
        """
        self._names_mtime_ns = self._find_settled_mtime_ns()
        generation = self._tiers.generation
        seen = [np.zeros(len(one.alive), bool) for one in self._tiers.frozen]
        names: set[str] = set()  # of those that are no rows of tables
        batch: list[str] = []
        for name in iter_run_names(self._path):
            batch.append(name)
            if len(batch) >= BATCH_RUNS:
                yield from self._look_at_batch(batch, names, seen, is_thorough=is_thorough)
                batch = []
                self._tiers.settle()
                if generation != self._tiers.generation:
                    seen, generation = [], -1
        yield from self._look_at_batch(batch, names, seen, is_thorough=is_thorough)
        if generation == self._tiers.generation:
            self._forget_unseen(names, seen)
        if self._tiers.settle() and self._unsaved > len(self._tiers) // 100:
            self.save()

    def _find_settled_mtime_ns(self) -> int:
        """Return when names last changed; -1 if that is so young that it may yet happen again."""
        mtime_ns = find_mtime_ns(self._path)
        age_s = self._clock.wall_s() - mtime_ns * 1e-9
        return -1 if abs(age_s) < YOUNG_S else mtime_ns

    def tick(self, *, budget_s: float) -> bool:
        """Look at what changes often; return whether a pass for new names is due.

        Parameters
        ----------
        budget_s : float
            For runs that go on; at least one is looked at, unless it is 0.
        """
        now_s = self._clock.mono_s()
        mtime_ns = find_mtime_ns(annotations_folder(self._path))
        if mtime_ns != self._edits_mtime_ns or now_s < self._watch_edits_until_s:
            self._find_edits(mtime_ns, now_s)
        if budget_s:
            self._look_at_hot(now_s + budget_s)
        return find_mtime_ns(self._path) != self._names_mtime_ns

    def snapshot(self) -> Snapshot:
        """Return everything as it is known now."""
        self._version += self.is_changed
        self.is_changed = False
        segments, alive = self._tiers.segments()
        broken = tuple(self._broken[one][0] for one in sorted(self._broken))
        return Snapshot(
            segments,
            alive,
            version=f"{self._token}-{self._version}",
            turns=self._turns,
            broken=broken,
            pending=max(self.pending, 0),
        )

    @property
    def has_live(self) -> bool:
        """Whether a run goes on, whose duration grows."""
        return any(one.is_live for one in self._tiers.fresh.values())

    def grow_durations(self) -> None:
        """Let the duration of what goes on here be as of now."""
        now_s = self._clock.wall_s()
        for row in self._tiers.live_rows().values():
            if row.get("created") and not row.get("@synced"):
                row["duration"] = max(0.0, now_s - row["created"])

    def save(self) -> None:
        """Keep the table for the next start, if anything new is in it."""
        if self._unsaved and len(self._tiers.frozen) == 1:
            table = self._tiers.frozen[0]
            segment = table.segment
            self._saved.save(segment if table.alive.all() else segment.filter(table.alive))
            self._unsaved = 0

    def drop(self) -> None:
        """Close all files of a project that is gone."""
        self._entries.close()

    def close(self) -> None:
        """Close all files, and save what is known, also if it is only a part.

        Not a large table for the sake of a few runs: they are found again sooner.
        """
        self._entries.close()
        count = len(self._tiers)
        if self._unsaved and (count <= TRUSTED_RUNS or self._unsaved > count // 100):
            self._tiers.merge()
            self.save()

    # -- looking ---------------------------------------------------------------------------------

    def _look_at_batch(
        self, batch: list[str], names: set[str], seen: list[Any], *, is_thorough: bool
    ) -> Iterator[None]:
        stamps = self._tiers.find_stamps(batch, seen or None)
        for number, (name, known) in enumerate(zip(batch, stamps, strict=True)):
            if known is None or is_thorough:
                self._look_at(name, known)
            if name in self._tiers.fresh or name in self._broken:
                names.add(name)
            if number % 25 == 0 or known is None:
                yield

    def _look_at(self, name: str, known: int | None = None) -> None:
        """Read a run if it is not as it was; one that is followed is looked at by `tick`."""
        followed = self._followed.get(name)
        if followed is not None and self._clock.mono_s() < followed.until_mono_s:
            return
        look = look_at_run(f"{self._path}/{name}", self._edited.get(name))
        if name in self._broken:
            known = self._broken[name][1]
        if look.stamp == NO_FILES:
            if known is not None:
                self._forget([name])
            if len(self._waiting) < WAITING_MAX:
                self._waiting.add(name)
        elif look.stamp != known:
            self._read(name, look, is_known=known is not None)

    def _look_at_hot(self, until_s: float) -> None:
        """Look at runs that may change at any moment, those first that waited longest."""
        begun_s = self._clock.mono_s()
        are_values_due = begun_s >= self._next_values_mono_s
        for name in [*self._waiting]:
            self._waiting.discard(name)
            self._look_at(name)
        for name in list(self._hot):
            stamp, since_s = self._hot.pop(name)
            fresh = self._tiers.fresh.get(name)
            if fresh is not None and fresh.is_live:
                if self._is_followed(name):
                    self._hot[name] = (stamp, since_s)
                    if are_values_due:
                        self._take_values(name, fresh)
                else:
                    self._read_again(name)
            elif self._clock.mono_s() - since_s < HOT_S:
                self._hot[name] = (stamp, since_s)  # `_take` may set it anew
                self._look_at(name, stamp)
            if self._clock.mono_s() > until_s:
                break
        now_s = self._clock.mono_s()
        if are_values_due:
            rest_s = min(max((now_s - begun_s) / VALUES_SHARE, VALUES_MIN_S), VALUES_MAX_S)
            self._next_values_mono_s = begun_s + rest_s
        self._look_at_broken(now_s, until_s)

    def _look_at_broken(self, now_s: float, until_s: float) -> None:
        """Try runs again: of which a file is another one now, or that were at rest for a while."""
        for name in [*itertools.islice(self._broken, BROKEN_LOOKS)]:
            self._broken[name] = known = self._broken.pop(name)  # the last one in turn
            look = self._read_again if known[2] <= now_s else self._look_at
            look(name)
            if self._clock.mono_s() > until_s:
                break

    def _is_followed(self, name: str) -> bool:
        """Tell whether of a run that goes on nothing but points can have changed."""
        followed = self._followed.get(name)
        folder, now_s = f"{self._path}/{name}", self._clock.mono_s()
        return followed is not None and followed.has_only_grown(folder, now_s)

    def _take_values(self, name: str, known: FreshRun) -> None:
        """Let the row of a run that goes on have its latest values."""
        try:
            found = self._followed[name].entry.grow()
        except HpctrackError:
            self._followed.pop(name, None)  # reading it says what is wrong
            return
        values = {f"summary.{key}": one for key, one in iter_flat(found)}
        known.row.update({key: one for key, one in values.items() if one not in _ABSENT})
        self.is_changed |= bool(values)

    def _read_again(self, name: str) -> None:
        look = look_at_run(f"{self._path}/{name}", self._edited.get(name))
        self._read(name, look, is_known=True)

    def _list_edits(self) -> None:
        self._edits_mtime_ns = find_mtime_ns(annotations_folder(self._path))
        self._edited = dict(iter_annotated(self._store, self.project))

    def _find_edits(self, mtime_ns: int, now_s: float) -> None:
        """Read runs again of which people have said something new."""
        if mtime_ns != self._edits_mtime_ns:
            # Two edits can fall into one tick of the file system's clock.
            self._watch_edits_until_s = now_s + 2.0
        before = self._edited
        self._list_edits()
        changed = {one for one, stamp in self._edited.items() if before.get(one) != stamp}
        changed |= before.keys() - self._edited.keys()
        names = sorted(changed)
        for name, known in zip(names, self._tiers.find_stamps(names), strict=True):
            self._followed.pop(name, None)
            self._look_at(name, known)

    # -- reading ---------------------------------------------------------------------------------

    def _read(self, name: str, look: Look, *, is_known: bool) -> None:
        if look.stamp == NO_FILES:
            self._forget([name])
            return
        folder = self._store / self.project / name
        edited = self._edited.get(name)
        listed = self._listed.get((self.project, name))
        if listed is not None and listed.stamp == look.sealed:
            frame = self._read_listed(folder, listed, is_annotated=edited is not None)
            if frame is not None:
                self._take(name, look, frame, is_new=True, is_known=is_known)
                return
        try:
            with reading(f"{self.project}/{name}"):
                self._read_files(name, look, folder, edited, is_known=is_known)
        except HpctrackError as error:
            self._take_broken(name, look, error)
            self._entries.forget(folder)

    def _read_files(
        self, name: str, look: Look, folder: Path, edited: FileStamp | None, *, is_known: bool
    ) -> None:
        """Read a run's own files.

        Raises
        ------
        HpctrackError
            They cannot be read.
        """
        before = self._entries.peek(folder)
        version, read_s = (before.version, before.next_read_mono_s) if before else (-1, -1.0)
        mtime_ns = find_mtime_ns(str(folder))
        entry = self._entries.fresh(folder, edited)
        if entry.next_read_mono_s != read_s:  # it was read, and not left alone for a while
            self._follow(name, mtime_ns, entry)
        known = self._tiers.fresh.get(name)
        if entry.version == version and known is not None and known.is_live == entry.is_live:
            known.stamp = look.stamp
            known.row[STAMP] = look.stamp
            self._hot[name] = (look.stamp, self._clock.mono_s())
            return
        synced_s = entry.synced_wall_s
        frame = RunFrame(
            record=entry.read(),
            version=entry.version,
            is_live=entry.is_live,
            now_wall_s=synced_s or self._clock.wall_s(),
            is_archived=entry.is_archived,
            is_deleted=entry.is_deleted,
        )
        is_new = entry.version != version
        self._take(name, look, frame, is_new=is_new, is_known=is_known, synced_s=synced_s)
        if not entry.is_live:
            self._entries.forget(folder)

    def _follow(self, name: str, mtime_ns: int, entry: Entry) -> None:
        """Note that a run that goes on has just been read, and how its folder was before."""
        if entry.is_live and abs(self._clock.wall_s() - mtime_ns * 1e-9) > SETTLED_S:
            self._followed[name] = Followed(entry, mtime_ns, self._clock.mono_s() + FULL_S)
        else:
            self._followed.pop(name, None)

    def _read_listed(
        self, folder: Path, listed: IndexEntry, *, is_annotated: bool
    ) -> RunFrame | None:
        """Return a sealed run from what listings have remembered of it."""
        run = StoredRun(folder, clock=self._clock, listed=listed, is_annotated=is_annotated)
        try:
            with reading(f"{self.project}/{folder.name}"):
                return RunFrame(
                    record=make_encodable(run.brief),
                    version=0,
                    is_live=False,
                    now_wall_s=self._clock.wall_s(),
                    is_archived=run.archived,
                    is_deleted=run.deleted,
                )
        except HpctrackError:
            return None  # its file is read instead
        finally:
            run.close()

    def _take(
        self,
        name: str,
        look: Look,
        frame: RunFrame,
        *,
        is_new: bool,
        is_known: bool,
        synced_s: float | None = None,
    ) -> None:
        row = {key: value for key, value in frame.row().items() if value not in _ABSENT}
        if not frame.record.created_wall_s:
            row.pop("created", None)
            row.pop("duration", None)
        for mark in ("archived", "deleted"):
            if not row[mark]:
                del row[mark]
        if look.is_accounted:
            row.update(read_efficiency(self._store / self.project / name))
        if synced_s:
            row["@synced"] = True
        fresh, before = FreshRun(row, look.stamp, frame.is_live), self._tiers.fresh.get(name)
        self._turns += before is None or before.standing != fresh.standing
        self._tiers.put(name, fresh, is_known=is_known)
        if not frame.is_live:
            self._followed.pop(name, None)  # it may be requeued
        self._broken.pop(name, None)
        self._waiting.discard(name)
        if frame.is_live or look.sealed is None or (is_new and self.is_complete):
            self._hot[name] = (look.stamp, self._clock.mono_s())
        if is_new:
            self._unsaved += not frame.is_live
            self.pending -= self.pending > 0
            self.is_changed = True

    def _take_broken(self, name: str, look: Look, error: HpctrackError) -> None:
        # Where the store lies is nobody's business who only looks at it.
        message = error.message.replace(f"{self._store}/", "")
        frame = BrokenFrame(id=name, message=message, hint=error.hint or "")
        before = self._broken.get(name)
        self.pending -= before is None and self.pending > 0
        self._broken[name] = (frame, look.stamp, self._clock.mono_s() + BROKEN_RETRY_S)
        is_news = bool(self._tiers.remove([name])) or before is None or before[0] != frame
        self.is_changed |= is_news
        self._turns += is_news

    def _forget(self, names: list[str]) -> None:
        known = self._tiers.remove(names)
        for name in names:
            known += self._broken.pop(name, None) is not None
            self._hot.pop(name, None)
            self._followed.pop(name, None)
            self._entries.forget(self._store / self.project / name)
        if known:
            self.is_changed = True
            self._turns += 1
            self._unsaved += known

    def _forget_unseen(self, names: set[str], seen: list[Any]) -> None:
        """Forget the runs whose folders were not there in a whole pass."""
        gone = [one for one in (*self._tiers.fresh, *self._broken) if one not in names]
        for table, found in zip(self._tiers.frozen, seen, strict=True):
            rows = np.flatnonzero(table.alive & ~found)
            gone += table.segment.take(["id"], rows)["id"] if len(rows) else []
        # What was read again meanwhile has moved: only what is not there is forgotten.
        gone = [one for one in gone if look_at_run(f"{self._path}/{one}", None).stamp == NO_FILES]
        if gone:
            self._forget(gone)
