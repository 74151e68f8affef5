"""The runs that charts are drawn of, kept open for the thread that calculates."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.core.layout import SEALED_NAME, has_run_files, run_folder
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.store.open_sealed import OpenSealed
from hpctrack.store.record import RunRecord, State
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.entries import VERSIONS, reading

OPEN_MAX = 128
"""Runs whose index and handles are kept; a page draws 20, and a few people look at once."""

SIZES_MAX = 4096
"""Runs whose metrics are remembered, a few kilobytes each."""

CHECK_S = 0.25
"""A run that was looked at just now has not changed: a page asks for it a dozen times."""

REREAD_SHARE = 4.0
"""A live run is left alone for this many times as long as its last reading took."""

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(slots=True)
class OpenRun:
    """A run with what is known of it.

    Parameters
    ----------
    run : StoredRun
    version : int
        Differs whenever the run was seen to have changed, also from any that the run had when it
        was open before: values are kept longer than files are.
    began_wall_s : float
        UTC seconds.
    is_live : bool
        Whether something may still be written.
    sizes : dict of str to int
        Points of each metric, superseded ones included.
    """

    run: StoredRun
    version: int = 0
    began_wall_s: float = 0.0
    is_live: bool = True
    sizes: dict[str, int] = field(default_factory=dict)
    _sealed: OpenSealed | None = None
    _stamp: Stamp = ()
    _next_check_mono_s: float = 0.0

    @property
    def label(self) -> str:
        """The run as messages name it."""
        return f"{self.run.project}/{self.run.id}"

    def sealed(self) -> OpenSealed | None:
        """Return the sealed file, open; None if there is more to the run than that.

        Raises
        ------
        HpctrackError
            It cannot be read.
        """
        if self._sealed is None and not self.is_live and self.run.is_sealed:
            self._sealed = OpenSealed(self.run.folder / SEALED_NAME)
        return self._sealed

    def close(self) -> None:
        """Close its files."""
        self.run.close()
        if self._sealed is not None:
            self._sealed.close()
            self._sealed = None

    def refresh(self, clock: Clock) -> None:
        """Look whether the run has changed, and read again what may have.

        Raises
        ------
        HpctrackError
            It cannot be read.
        """
        now_mono_s = clock.mono_s()
        if now_mono_s < self._next_check_mono_s:
            return
        self._next_check_mono_s = now_mono_s + CHECK_S
        stamp = find_stamp(self.run.folder)
        if stamp == self._stamp and not self.is_live:
            return
        with reading(self.label):
            self._reread(stamp)
        self._stamp = stamp
        took_s = clock.mono_s() - now_mono_s
        self._next_check_mono_s = now_mono_s + took_s + max(CHECK_S, took_s * REREAD_SHARE)

    def _reread(self, stamp: Stamp) -> None:
        try:
            self._read(stamp)
        except NotFoundError:
            self._read(stamp)  # sealing has just replaced the node files

    def _read(self, stamp: Stamp) -> None:
        if self._sealed is not None:
            self._sealed.close()  # it has been replaced
            self._sealed = None
        if name_files(stamp) == name_files(self._stamp) and self.run.has_only_grown():
            self.run.grow()
        else:
            self.run.refresh()
        record = self.run.told
        sizes = self.run.metric_sizes()
        is_live = is_going_on(record)
        if not is_live:
            self.version = hash((self.run.folder, stamp))  # the same when it is opened again
        elif sizes != self.sizes or not self.is_live or not self.version:
            self.version = next(VERSIONS)
        self.began_wall_s, self.sizes, self.is_live = record.created_wall_s, sizes, is_live
        if not is_live:
            self.run.close()  # file handles are for runs that grow


class OpenRuns:
    """Runs by project and id, the least recently used closed. Not safe for several threads.

    Parameters
    ----------
    store : Path
        The store's folder.
    clock : Clock
    stale_after_s : float
        How long a live run may be silent.
    limit : int, optional
        How many stay open.
    """

    def __init__(
        self, store: Path, *, clock: Clock, stale_after_s: float, limit: int = OPEN_MAX
    ) -> None:
        self._store = store
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._limit = limit
        self._open: OrderedDict[Path, OpenRun] = OrderedDict()
        self._sizes: OrderedDict[Path, tuple[Stamp, dict[str, int]]] = OrderedDict()

    def get(self, project: str, run_id: str) -> OpenRun:
        """Return a run as it is now.

        Raises
        ------
        NotFoundError
            There is no such run.
        HpctrackError
            It cannot be read.
        """
        folder = run_folder(self._store, project, run_id)
        found = self._open.get(folder)
        if found is None:
            if not folder.is_dir() or not has_run_files(folder):
                raise NotFoundError(f"no run {run_id!r} in project {project!r}")
            run = StoredRun(folder, clock=self._clock, stale_after_s=self._stale_after_s)
            found = self._open[folder] = OpenRun(run)
        self._open.move_to_end(folder)
        try:
            found.refresh(self._clock)
        except HpctrackError:
            self._open.pop(folder).close()
            raise
        while len(self._open) > self._limit:
            self._open.popitem(last=False)[1].close()
        return found

    def sizes(self, project: str, run_id: str) -> dict[str, int]:
        """Return the number of points of each metric of a run, without keeping it open.

        Raises
        ------
        HpctrackError
            There is no such run, or it cannot be read.
        """
        folder = run_folder(self._store, project, run_id)
        opened = self._open.get(folder)
        if opened is not None and opened.is_live:
            return self.get(project, run_id).sizes
        stamp = find_stamp(folder)
        held = self._sizes.get(folder)
        if held and held[0] == stamp:
            return held[1]
        if [name for name, *_facts in stamp] != [SEALED_NAME]:
            return self.get(project, run_id).sizes  # it grows, or is not there
        with reading(f"{project}/{run_id}"):
            found = SealedReader(folder / SEALED_NAME).metric_sizes()
        self._sizes[folder] = (stamp, found)
        while len(self._sizes) > SIZES_MAX:
            self._sizes.popitem(last=False)
        return found

    def close(self) -> None:
        """Close all."""
        for one in self._open.values():
            one.close()
        self._open.clear()


def is_going_on(record: RunRecord) -> bool:
    """Tell whether something may still be written: a failed run can have ranks that go on."""
    return State.RUNNING in {record.state, *(one.state for one in record.ranks)}


def name_files(stamp: Stamp) -> list[tuple[str, int]]:
    """Return which files a run has, however much is in them."""
    return [(name, inode) for name, _size, _mtime_ns, inode in stamp]


def find_stamp(folder: Path) -> Stamp:
    """Tell the files of a run from what they were before."""
    try:
        facts = [(one.name, one.stat()) for one in folder.iterdir() if one.suffix == ".h5"]
    except FileNotFoundError:
        return ()
    return tuple(sorted((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in facts))
