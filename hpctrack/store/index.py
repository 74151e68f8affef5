"""What listings need of sealed runs, remembered: a cache that may vanish at any time.

`docs/decisions/0012-the-index-is-a-cache.md` says why it is made like this. One SQLite file per
store and user, in the user's cache folder; it is never changed, only replaced as a whole, so no
lock is taken, on whatever file system a home folder lies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from hpctrack.core import __version__
from hpctrack.core.layout import FileStamp
from hpctrack.core.settings import environment
from hpctrack.core.wire import make_plain
from hpctrack.store.record import RunRecord

INDEX_VERSION = 1

_TABLES = """
create table meta (version integer, made_by text, store blob);
create table runs (
  project text, id text, size integer, mtime_ns integer, inode integer, record text, sum integer,
  primary key (project, id)
) without rowid;
"""

_DEFAULTS = RunRecord(id="", project="").to_json()
"""What is left out: a third of the text of an ordinary run."""

RunKey = tuple[str, str]
"""Project and id."""


class IndexEntry(NamedTuple):
    """One sealed run.

    Parameters
    ----------
    stamp : FileStamp
        Of the sealed file that was read.
    text : str
        Its record as JSON, without the ranks and what is as by default.
    """

    stamp: FileStamp
    text: str

    @classmethod
    def of(cls, stamp: FileStamp, record: RunRecord) -> IndexEntry:
        """Make an entry of what was read."""
        found = replace(record, ranks=()).to_json()
        told = {key: value for key, value in found.items() if value != _DEFAULTS.get(key)}
        return cls(stamp, json.dumps(told, default=make_plain, separators=(",", ":")))

    def read(self) -> RunRecord | None:
        """Return the record without its ranks, or None if it is damaged."""
        try:
            return RunRecord.from_json(json.loads(self.text))
        except (ValueError, TypeError, LookupError, AttributeError):
            return None


class Index:
    """The index of one store. Nothing here raises: what cannot be had is not there.

    Parameters
    ----------
    store : Path
        The store's folder.
    """

    def __init__(self, store: Path) -> None:
        self._store = os.fsencode(os.path.realpath(store))  # a path need not be a text
        token = hashlib.sha256(self._store).hexdigest()[:24]
        self.path = cache_folder() / f"runs-{token}.sqlite"

    def load(self, project: str | None = None) -> dict[RunKey, IndexEntry]:
        """Return what is known of the runs of a project, or of all.

        Notes
        -----
        20 ms for 10,000 runs; a record is only parsed when somebody looks at it.
        """
        try:
            with contextlib.closing(self._open()) as database:
                return _read(database, self._store, project)
        except (sqlite3.Error, OSError, ValueError, TypeError):
            return {}

    def save(self, entries: Mapping[RunKey, IndexEntry]) -> bool:
        """Replace everything that is known; return whether that worked.

        Notes
        -----
        Several processes may do so at once: the last one wins, and what the others knew is found
        again by the next listing. 0.1 s for 10,000 runs.
        """
        scratch = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            data = _make_database(self._store, entries)
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            scratch.replace(self.path)
        except (sqlite3.Error, OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            return False
        return True

    def _open(self) -> sqlite3.Connection:
        # "immutable" also means that no lock is asked for.
        path = quote(os.fsencode(self.path))
        return sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)


def cache_folder() -> Path:
    """Return the user's cache folder of hpctrack; it need not be there."""
    environ = environment()
    home = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/")) / ".cache"
    return Path(home) / "hpctrack"


def is_worth_saving(*, new: int, gone: int, total: int) -> bool:
    """Tell whether what has changed costs more to find again than the index costs to write.

    Reading a sealed file's record takes 1 ms or more, writing the index 10 us per run.
    """
    return new >= max(1, total // 100) or gone > total // 4


def _read(
    database: sqlite3.Connection, store: bytes, project: str | None
) -> dict[RunKey, IndexEntry]:
    meta = database.execute("select version, made_by, store from meta").fetchone()
    if meta != (INDEX_VERSION, __version__, store):
        return {}
    where, values = (" where project = ?", (project,)) if project else ("", ())
    rows = database.execute(
        f"select project, id, size, mtime_ns, inode, record, sum from runs{where}",  # noqa: S608 - a constant
        values,
    )
    return {
        (one, run): IndexEntry(FileStamp(size, mtime_ns, inode), text)
        for one, run, size, mtime_ns, inode, text, found in rows
        if isinstance(text, str) and zlib.crc32(text.encode()) == found
    }


def _make_database(store: bytes, entries: Mapping[RunKey, IndexEntry]) -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        database.execute("insert into meta values (?, ?, ?)", (INDEX_VERSION, __version__, store))
        database.executemany("insert into runs values (?, ?, ?, ?, ?, ?, ?)", _rows(entries))
        database.commit()
        return database.serialize()


def _rows(entries: Mapping[RunKey, IndexEntry]) -> Iterable[tuple[object, ...]]:
    for (project, run), entry in sorted(entries.items(), key=lambda one: one[0]):
        stamp = entry.stamp
        yield (
            project,
            run,
            stamp.size_bytes,
            stamp.mtime_ns,
            stamp.inode,
            entry.text,
            zlib.crc32(entry.text.encode()),
        )
