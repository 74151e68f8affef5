"""The runs that have been looked at, each read again only when it may have changed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpctrack.core.clock import Clock
from hpctrack.core.layout import (
    ANNOTATIONS_FOLDER,
    FileStamp,
    has_run_files,
    run_folder,
)
from hpctrack.core.names import check_id
from hpctrack.errors import HpctrackError, InvalidNameError, NotFoundError, StoreFormatError
from hpctrack.store.annotation_file import find_annotation_stamp
from hpctrack.store.record import RunRecord, State
from hpctrack.store.stored_run import StoredRun

Fingerprint = tuple[tuple[str, int, int, int], ...]

REREAD_SHARE = 4.0
"""A live run is left alone for this many times as long as its last reading took: however many
people watch a huge run, the one reading thread has time for everybody else."""

REREAD_MIN_S = 0.2

REREAD_BROKEN_S = 10.0
"""A run that cannot be read is tried again: the file system may have been at fault."""


TROUBLE = (
    OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError,
)  # fmt: skip
"""Whatever a damaged file can raise."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a damaged file can raise into an error of ours."""
    try:
        yield
    except HpctrackError:
        raise
    except TROUBLE as error:
        raise StoreFormatError(f"{what} cannot be read: {error}") from error


VERSIONS = itertools.count(1)
"""One for all runs: a run that has left and come back is not taken for what it was."""


@dataclass(slots=True)
class Entry:
    """One run, with what was last read of it."""

    run: StoredRun
    version: int = 0
    fingerprint: Fingerprint = ()
    record: RunRecord | None = None
    error: HpctrackError | None = None
    is_archived: bool = False
    is_deleted: bool = False
    sizes: dict[str, int] = field(default_factory=dict)
    synced_wall_s: float | None = None
    next_read_mono_s: float = 0.0

    @property
    def label(self) -> str:
        """The run as messages name it."""
        return f"{self.run.project}/{self.run.id}"

    @property
    def is_live(self) -> bool:
        """Whether something may still be written: a failed run can have ranks that go on."""
        if self.record is None:
            return False
        states = {self.record.state, *(one.state for one in self.record.ranks)}
        return State.RUNNING in states

    def has_only_grown(self) -> bool:
        """Tell, for next to nothing, whether only points have come since it was read."""
        try:
            return self.record is not None and self.run.has_only_grown()
        except (HpctrackError, *TROUBLE):
            return False  # reading it says what is wrong

    def grow(self) -> dict[str, Any]:
        """Take in new points, after `has_only_grown`, and return the summary if it is another.

        Raises
        ------
        HpctrackError
            They cannot be read.
        """
        with reading(self.label):
            summary = self.run.grow_summary()
            if self.record is None or summary == self.record.summary:
                return {}
            plain: dict[str, Any] = make_plain_text(summary)
            self.record = replace(self.record, summary=plain)
            self.version = next(VERSIONS)
            return plain

    def read(self) -> RunRecord:
        """Return the record.

        Raises
        ------
        HpctrackError
            The run cannot be read.
        """
        if self.record is None:
            raise self.error or NotFoundError(f"no run {self.label}")
        return self.record


class Entries:
    """All entries of a store. Not safe for several threads.

    Parameters
    ----------
    path : Path
        The store's folder.
    clock : Clock
        Wall time tells whether a live run's agent is still there.
    stale_after_s : float
        How long it may be silent.
    reread_share : float, optional
        A live run is left alone for this many times as long as its last reading took.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        stale_after_s: float,
        reread_share: float = REREAD_SHARE,
    ) -> None:
        self._reread_share = reread_share
        self.path = path
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._entries: dict[Path, Entry] = {}

    def project_names(self) -> list[str]:
        """Return the folders that can be projects; none of their runs is read."""
        return sorted(one.name for one in self.path.iterdir() if one.is_dir() and _is_id(one.name))

    def run(self, project: str, run_id: str) -> Entry:
        """Return one run, as it is now; whether it can be read is told by `Entry.read`.

        Raises
        ------
        NotFoundError
            There is no such run.
        """
        folder = self._find_folder(project, run_id)
        return self._fresh(folder, find_annotation_stamp(self.path, project, run_id))

    def fresh(self, folder: Path, edited: FileStamp | None) -> Entry:
        """Return a run of which it is known that it is there, as it is now.

        Parameters
        ----------
        folder : Path
        edited : FileStamp or None
            Of its annotations.
        """
        return self._fresh(folder, edited)

    def peek(self, folder: Path) -> Entry | None:
        """Return what was last read of a run, without a look at it."""
        return self._entries.get(folder)

    def forget(self, folder: Path) -> None:
        """Close a run's files and forget what was read of it."""
        entry = self._entries.pop(folder, None)
        if entry is not None:
            entry.run.close()

    def make_run(self, project: str, run_id: str) -> StoredRun:
        """Return an own view of a run's files, which nobody else uses.

        Raises
        ------
        NotFoundError
            There is no such run.
        """
        folder = self._find_folder(project, run_id)
        return StoredRun(folder, clock=self._clock, stale_after_s=self._stale_after_s)

    def close(self) -> None:
        """Close all files."""
        for entry in self._entries.values():
            entry.run.close()
        self._entries.clear()

    def _find_folder(self, project: str, run_id: str) -> Path:
        folder = run_folder(self.path, project, run_id)
        if not folder.is_dir() or not has_run_files(folder):
            self.forget(folder)
            raise NotFoundError(f"no run {run_id!r} in project {project!r}")
        return folder

    def _fresh(self, folder: Path, edited: FileStamp | None) -> Entry:
        entry = self._entries.get(folder)
        if entry is None:
            run = StoredRun(folder, clock=self._clock, stale_after_s=self._stale_after_s)
            entry = self._entries[folder] = Entry(run)
        fingerprint = _fingerprint(folder, edited)
        is_settled = not entry.is_live and entry.error is None
        begun_mono_s = self._clock.mono_s()
        if fingerprint == entry.fingerprint and (
            is_settled or begun_mono_s < entry.next_read_mono_s
        ):
            return entry
        if entry.is_live and begun_mono_s < entry.next_read_mono_s:
            return entry
        self._reread(entry, fingerprint, edited)
        took_s = self._clock.mono_s() - begun_mono_s
        rest_s = REREAD_BROKEN_S if entry.error else max(REREAD_MIN_S, took_s * self._reread_share)
        entry.next_read_mono_s = begun_mono_s + took_s + rest_s
        return entry

    def _reread(self, entry: Entry, fingerprint: Fingerprint, edited: FileStamp | None) -> None:
        before = (entry.fingerprint, entry.record, entry.sizes)
        entry.fingerprint = fingerprint
        try:
            self._read_into(entry)
        except NotFoundError:
            # Sealing has just replaced the node files: what is there now can be read.
            entry.fingerprint = _fingerprint(entry.run.folder, edited)
            try:
                self._read_into(entry)
            except HpctrackError as error:
                entry.record, entry.error = None, error
        except HpctrackError as error:
            entry.record, entry.error = None, error
        if not entry.is_live:
            entry.run.close()  # file handles are for runs that grow
        if (entry.fingerprint, entry.record, entry.sizes) != before:
            entry.version = next(VERSIONS)

    def _read_into(self, entry: Entry) -> None:
        with reading(entry.label):
            entry.run.refresh()
            entry.record, entry.error = make_encodable(entry.run.record), None
            entry.is_archived, entry.is_deleted = entry.run.archived, entry.run.deleted
            entry.synced_wall_s = entry.run.synced_wall_s
            entry.sizes = {} if entry.run.is_sealed else entry.run.metric_sizes()


def make_encodable(record: RunRecord) -> RunRecord:
    """Return the record with only such text as can be sent.

    JSON can hold half a surrogate pair, and Python makes them of file names that are not UTF-8;
    neither a page nor a socket can.
    """
    plain = record.to_json()
    made = make_plain_text(plain)
    return record if made is plain else RunRecord.from_json(made)


def make_plain_text(value: Any) -> Any:
    """Return a JSON-able value with only such text as can be sent; the same one if it has."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return _replace_halves(value)
    return value


def _replace_halves(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_replace_halves(key): _replace_halves(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace_halves(item) for item in value]
    return value


def _fingerprint(folder: Path, edited: FileStamp | None) -> Fingerprint:
    """Tell the files of a run, and what people have said of it, from what they were before."""
    found = [(ANNOTATIONS_FOLDER, *edited)] if edited else []
    try:
        for one in folder.iterdir():
            if one.suffix == ".h5":
                facts = one.stat()
                found.append((one.name, facts.st_size, facts.st_mtime_ns, facts.st_ino))
    except FileNotFoundError:
        return ()
    return tuple(sorted(found))


def _is_id(name: str) -> bool:
    try:
        check_id(name, what="name")
    except InvalidNameError:
        return False
    return True
