"""Live node files that are open for reading, each of them once in this process.

HDF5 gives a second opening of a file the chunks' index that the first one knows, and refreshes no
table that is open twice: who looked at a live run again, while the first look was still open, got
what was there the first time. So all readers of a file share one handle, and of each table one.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from hpctrack.store.hdf5 import open_file
from hpctrack.store.schema import LIVE_KIND

_lock = threading.Lock()
_open: WeakValueDictionary[tuple[int, int], LiveFile] = WeakValueDictionary()
"""By device and inode: a file that is open keeps its inode from any other."""


class LiveFile:
    """A live node file; get one from `open_live`.

    Parameters
    ----------
    file : h5py.File
        The file.

    Attributes
    ----------
    handle : int
        Its descriptor; -1 when it is closed: the number may be another file's by then.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.handle = int(file.id.get_vfd_handle())
        self._users = 0
        self._tables: dict[str, Any] = {}

    @property
    def attrs(self) -> Any:
        """Attributes of the root; they never change."""
        return self._file.attrs

    def table(self, name: str) -> Any:
        """Return a table as it is now.

        Raises
        ------
        OSError, RuntimeError, KeyError, ValueError, TypeError
            As h5py does.
        """
        with _lock:
            found = self._tables.get(name)
            if found is None:
                found = self._tables[name] = self._file[name]
            else:
                found.refresh()
        return found

    def close(self) -> None:
        """Close the file, unless somebody else reads it."""
        with _lock:
            self._users -= 1
            if self._users == 0:
                self.handle = -1
                self._tables.clear()
                self._file.close()


def open_live(path: Path) -> LiveFile:
    """Open a live node file, or join who has opened it; `LiveFile.close` is for each opening.

    Raises
    ------
    NotFoundError, StoreFormatError
        As `open_file`.
    """
    with _lock:
        found = _find(path)
        if found is None:
            file = open_file(path, kind=LIVE_KIND, swmr=True)
            found = LiveFile(file)
            there = os.fstat(found.handle)
            _open[there.st_dev, there.st_ino] = found
        found._users += 1  # noqa: SLF001 - under the lock of both
    return found


def _find(path: Path) -> LiveFile | None:
    try:
        there = path.stat()
    except OSError:
        return None  # `open_file` says what is wrong
    found = _open.get((there.st_dev, there.st_ino))
    return found if found is not None and found._users else None  # noqa: SLF001


def _forget_lock() -> None:
    global _lock  # noqa: PLW0603 - a thread that the child does not have may hold it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)
