"""Opening our HDF5 files for reading, with the one setting that h5py does not offer.

A reader in SWMR mode that meets a checksum it does not expect reads again, up to 100 times,
sleeping twice as long each time: on a truncated file that takes hours (tried). So the number of
attempts is set in the HDF5 library itself.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

from hpctrack.core.names import clean
from hpctrack.core.settings import environment
from hpctrack.errors import NotFoundError, StoreFormatError
from hpctrack.store.schema import FORMAT_VERSION
from hpctrack.store.thin_hdf5 import import_h5py

READ_ATTEMPTS = 24
"""The n-th attempt waits 2**n ns: 24 wait 17 ms in all, longer than any flush (5 ms) was seen."""


LOCKING = "HDF5_USE_FILE_LOCKING"


_left: set[tuple[int, int]] = set()
"""Device and inode of the files that this process has left: HDF5 still takes them for open."""


def note_left(descriptor: int) -> None:
    """Remember a file that this process writes no more but HDF5 has not closed.

    HDF5 would give who opens it again the writer's own file, whose descriptor leads elsewhere and
    whose attempts to read are not limited: it hung for hours (tried). By another driver HDF5 does
    not recognise it.
    """
    there = os.fstat(descriptor)
    _left.add((there.st_dev, there.st_ino))


def ignore_locks() -> None:
    """Have HDF5 lock nothing in this process, even where the environment insists on locks.

    For processes that are ours alone, before h5py is imported; what they start inherits the
    environment as it was. In a user's process HDF5 obeys the user.
    """
    asked = environment().get(LOCKING, "")
    if asked.upper() in {"TRUE", "1"}:
        os.putenv(LOCKING, "FALSE")
        try:
            import h5py  # noqa: F401, PLC0415 - HDF5 looks when it is loaded, and never again
        finally:
            os.putenv(LOCKING, asked)


CACHE_SLOTS = 521
CACHE_BYTES = 65536
"""HDF5's cache of each table of a live file. Its default, 1 MB, is 3 MB for each file, of which
sealing and `hpctrack show` open many; chunks that do not fit are read straight from the page cache,
as fast."""


DAMAGED_HINT = (
    "`hpctrack repair` saves what is whole; sync an intact copy or restore a backup to have all"
    " of it; other runs are not affected"
)


def open_file(path: Path, *, kind: str, swmr: bool) -> Any:
    """Open one of our files for reading, checked.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What its root must say that it is.
    swmr : bool
        Whether somebody may be writing it.

    Raises
    ------
    NotFoundError
        There is no such file (any more: sealing removes node files).
    StoreFormatError
        It is not ours, broken, or too new.
    """
    h5py = import_h5py()  # here: a listing that the index answers does without its 70 ms
    try:
        file = h5py.File(_open(path, swmr=swmr))
    except FileNotFoundError:
        raise NotFoundError(f"{path} is not there") from None
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        is_lock = "unable to lock" in str(error)
        hint = f"{LOCKING}=TRUE insists on locks: unset it" if is_lock else DAMAGED_HINT
        raise StoreFormatError(f"{path} cannot be read: {error}", hint=hint) from None
    try:
        attributes = file.attrs
        found = plain(attributes["kind"]) if "kind" in attributes else None
        version = int(attributes["format"]) if found == kind else 0
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        file.close()
        raise StoreFormatError(f"{path} is broken: {error}", hint=DAMAGED_HINT) from None
    if found != kind:
        file.close()
        raise StoreFormatError(f"{path} is not a {kind} file")
    if version > FORMAT_VERSION:
        file.close()
        raise StoreFormatError(
            f"{path} has format {version}, this hpctrack reads up to {FORMAT_VERSION}",
            hint="pip install --upgrade hpctrack",
        )
    return file


def _open(path: Path, *, swmr: bool) -> Any:
    h5py = import_h5py()
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # File locks are refused by some Lustre and NFS mounts, and we need none.
    access.set_file_locking(False, True)  # noqa: FBT003 - h5py's signature
    if swmr:
        _limit_attempts(access)
        access.set_cache(0, CACHE_SLOTS, CACHE_BYTES, 0.0)
    if _left:
        there = path.stat()
        if (there.st_dev, there.st_ino) in _left:
            access.set_fapl_log(b"", 0, 0)  # the usual driver under another name; logs nothing
    flags = h5py.h5f.ACC_RDONLY | (h5py.h5f.ACC_SWMR_READ if swmr else 0)
    return h5py.h5f.open(os.fsencode(path), flags, access)


def _limit_attempts(access: Any) -> None:
    library = find_library()
    if library is not None:
        from h5py._objects import phil  # noqa: PLC0415 - see `open_file`

        with phil:  # past h5py nobody else keeps other threads out
            library.H5Pset_metadata_read_attempts(
                ctypes.c_int64(access.id), ctypes.c_uint(READ_ATTEMPTS)
            )


@cache
def find_library() -> ctypes.CDLL | None:
    """Return the HDF5 library that h5py has loaded, under whatever name it was built."""
    try:
        maps = Path("/proc/self/maps").read_text().splitlines()
    except OSError:  # no /proc: the file can be read all the same
        return None
    for line in maps:
        path = line.partition("/")[2]
        name = path.rpartition("/")[2]
        if name.startswith("libhdf5") and "_hl" not in name:
            library = ctypes.CDLL(f"/{path}")
            if hasattr(library, "H5Pset_metadata_read_attempts"):
                return library
    return None


def plain(value: Any) -> Any:
    """Return an attribute as Python's own; a text that damage has made unprintable, printable."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return clean(value) if isinstance(value, str) else getattr(value, "item", lambda: value)()
