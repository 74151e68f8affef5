"""Growing tables of a live file through the HDF5 library alone: neither h5py nor numpy is loaded.

The two take 25 MB and 0.2 s. `hpctrack top` runs for hours on login nodes, where memory is rationed
by user, and looks at a few bytes of each file at a time. For everything else there is h5py.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from hpctrack.core.names import clean
from hpctrack.errors import HpctrackError, NotFoundError, StoreFormatError
from hpctrack.store.holes import Chunks

READ_ATTEMPTS = 24
"""As in `hpctrack.store.hdf5`."""

_ID, _SIZE, _INT = ctypes.c_int64, ctypes.c_uint64, ctypes.c_int
_NO_ADDRESS = 2**64 - 1
_CHUNKED = 2
_STRING_CLASS, _INTEGER_CLASS, _FLOAT_CLASS = 3, 0, 1
_MAX_BYTES = 1 << 20
"""Longest text of an attribute that is believed."""

_CHUNK_SEEN = ctypes.CFUNCTYPE(
    _INT, ctypes.POINTER(_SIZE), ctypes.c_uint, _SIZE, _SIZE, ctypes.c_void_p
)
"""Gets where a chunk begins, its filters, its address and its size."""

LOOKUPS_MAX = 32
"""Chunks that are looked up one by one. Each look is a walk from the first chunk on: those at 6,400
chunks took 1.2 s, and one walk past all of them takes 6 ms."""

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "H5open": (_INT, []),
    "H5Eset_auto2": (_INT, [_ID, ctypes.c_void_p, ctypes.c_void_p]),
    "H5Pcreate": (_ID, [_ID]),
    "H5Pclose": (_INT, [_ID]),
    "H5Pset_cache": (_INT, [_ID, _INT, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_double]),
    "H5Pset_file_locking": (_INT, [_ID, ctypes.c_bool, ctypes.c_bool]),
    "H5Pset_metadata_read_attempts": (_INT, [_ID, ctypes.c_uint]),
    "H5Pget_layout": (_INT, [_ID]),
    "H5Pget_chunk": (_INT, [_ID, _INT, ctypes.POINTER(_SIZE)]),
    "H5Fopen": (_ID, [ctypes.c_char_p, ctypes.c_uint, _ID]),
    "H5Fclose": (_INT, [_ID]),
    "H5Fget_vfd_handle": (_INT, [_ID, _ID, ctypes.POINTER(ctypes.c_void_p)]),
    "H5Dopen2": (_ID, [_ID, ctypes.c_char_p, _ID]),
    "H5Dclose": (_INT, [_ID]),
    "H5Drefresh": (_INT, [_ID]),
    "H5Dget_space": (_ID, [_ID]),
    "H5Dget_type": (_ID, [_ID]),
    "H5Dget_create_plist": (_ID, [_ID]),
    "H5Dget_chunk_info_by_coord": (
        _INT,
        [_ID, ctypes.POINTER(_SIZE), ctypes.c_void_p, ctypes.POINTER(_SIZE), ctypes.c_void_p],
    ),
    "H5Dchunk_iter": (_INT, [_ID, _ID, _CHUNK_SEEN, ctypes.c_void_p]),
    "H5Dread": (_INT, [_ID, _ID, _ID, _ID, _ID, ctypes.c_void_p]),
    "H5Sclose": (_INT, [_ID]),
    "H5Screate_simple": (_ID, [_INT, ctypes.POINTER(_SIZE), ctypes.c_void_p]),
    "H5Sget_simple_extent_dims": (_INT, [_ID, ctypes.POINTER(_SIZE), ctypes.c_void_p]),
    "H5Sselect_hyperslab": (
        _INT,
        [_ID, _INT, ctypes.POINTER(_SIZE), ctypes.c_void_p, ctypes.POINTER(_SIZE), ctypes.c_void_p],
    ),
    "H5Tclose": (_INT, [_ID]),
    "H5Tget_size": (ctypes.c_size_t, [_ID]),
    "H5Tget_class": (_INT, [_ID]),
    "H5Tis_variable_str": (_INT, [_ID]),
    "H5Aexists": (_INT, [_ID, ctypes.c_char_p]),
    "H5Aopen": (_ID, [_ID, ctypes.c_char_p, _ID]),
    "H5Aread": (_INT, [_ID, _ID, ctypes.c_void_p]),
    "H5Aget_type": (_ID, [_ID]),
    "H5Aclose": (_INT, [_ID]),
    "H5free_memory": (_INT, [ctypes.c_void_p]),
}

_MAY_BE_MISSING = frozenset({"H5Dchunk_iter"})
"""What came with HDF5 1.14."""


class ThinFile:
    """A live file, open for reading while somebody writes it.

    HDF5 shares what it knows of a file between all who have it open in one process: a file that
    h5py has open too is not seen to grow. So it is one or the other.

    Parameters
    ----------
    path : Path

    Raises
    ------
    NotFoundError
        There is no such file (any more).
    StoreFormatError
        It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._library = load_library()
        try:
            path.stat()
            self._id = self._open()
        except FileNotFoundError:
            raise NotFoundError(f"{path} is not there") from None
        except OSError as error:
            raise StoreFormatError(f"{path} cannot be read: {error}") from None

    def attributes(self, names: Iterable[str]) -> dict[str, Any]:
        """Return attributes of the root: numbers, and texts made printable; absent ones left out.

        Raises
        ------
        StoreFormatError
            One cannot be read.
        """
        return {
            name: self._read_attribute(name)
            for name in names
            if self._library.H5Aexists(self._id, name.encode()) > 0
        }

    def table(self, name: str, *, known_rows: int = 0) -> ThinTable:
        """Open a one-dimensional table.

        Parameters
        ----------
        name : str
        known_rows : int, optional
            Rows that were there at an earlier look: whether they are is not asked again.

        Raises
        ------
        StoreFormatError
            It is not there, or cannot be read.
        """
        return ThinTable(self, name, known_rows=known_rows)

    def handle(self) -> int:
        """Return the file descriptor."""
        pointer = ctypes.c_void_p()
        self.call("H5Fget_vfd_handle", self._id, 0, ctypes.byref(pointer))
        return int(ctypes.cast(pointer, ctypes.POINTER(_INT)).contents.value)

    def call(self, name: str, *arguments: Any) -> int:
        """Call the library.

        Raises
        ------
        StoreFormatError
            It fails: something is not there, or damaged.
        """
        result = int(getattr(self._library, name)(*arguments))
        if result < 0:
            raise StoreFormatError(f"{self.path} cannot be read: {name} fails")
        return result

    def close(self) -> None:
        """Close the file; its tables come first."""
        if self._id:
            self._library.H5Fclose(self._id)
            self._id = 0

    def open_table(self, name: str) -> int:
        """Return the library's number for a table."""
        return self.call("H5Dopen2", self._id, name.encode(), 0)

    def _open(self) -> int:
        kind = _ID.in_dll(self._library.library, "H5P_CLS_FILE_ACCESS_ID_g").value
        access = self.call("H5Pcreate", kind)
        try:
            # File locks are refused by some Lustre and NFS mounts, and we need none.
            self.call("H5Pset_file_locking", access, False, True)  # noqa: FBT003 - C's signature
            self.call("H5Pset_metadata_read_attempts", access, READ_ATTEMPTS)
            # Without a cache for chunks: each would keep some 100 kB per table and node.
            self.call("H5Pset_cache", access, 0, 0, 0, 0.75)
            reading_while_written = 0x40
            return self.call("H5Fopen", os.fsencode(self.path), reading_while_written, access)
        finally:
            self._library.H5Pclose(access)

    def _read_attribute(self, name: str) -> Any:
        library = self._library
        attribute = self.call("H5Aopen", self._id, name.encode(), 0)
        kind = self.call("H5Aget_type", attribute)
        try:
            size, group = library.H5Tget_size(kind), library.H5Tget_class(kind)
            if group == _STRING_CLASS and library.H5Tis_variable_str(kind) > 0:
                pointer = ctypes.c_void_p()
                self.call("H5Aread", attribute, kind, ctypes.byref(pointer))
                text = ctypes.string_at(pointer.value) if pointer.value else b""
                library.H5free_memory(pointer)
                return clean(text.decode("utf-8", "replace"))
            buffer = ctypes.create_string_buffer(min(size, _MAX_BYTES))
            if size > _MAX_BYTES:
                raise StoreFormatError(f"{self.path}: the attribute {name} is damaged")
            self.call("H5Aread", attribute, kind, buffer)
            if group == _STRING_CLASS:
                return clean(buffer.raw.rstrip(b"\0").decode("utf-8", "replace"))
            return _read_number(buffer.raw, group)
        finally:
            library.H5Tclose(kind)
            library.H5Aclose(attribute)


def ask_length(path: Path) -> None:
    """Make an NFS client ask how long a file is: it does whenever one is opened."""
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


class ThinTable:
    """A table as far as its bytes are really there; see `hpctrack.store.table_reader`.

    Parameters
    ----------
    file : ThinFile
    name : str
    known_rows : int, optional
        See `ThinFile.table`.

    Attributes
    ----------
    rows, told_rows : int
        How many are there, and how many there are by what the file says, as of the last `refresh`.
    row_bytes : int
    """

    def __init__(self, file: ThinFile, name: str, *, known_rows: int = 0) -> None:
        self._file = file
        self._library = load_library()
        self._id = file.open_table(name)
        self._kind = file.call("H5Dget_type", self._id)
        self.row_bytes = int(self._library.H5Tget_size(self._kind))
        self._chunk_rows = self._read_chunk_rows()
        self.told_rows = 0
        self._whole_rows = known_rows - known_rows % (self._chunk_rows or 1)
        self._chunks = Chunks(self._chunk_rows, self.row_bytes)
        self.rows = self._count_rows()

    def refresh(self) -> None:
        """See what has been written since."""
        self._file.call("H5Drefresh", self._id)
        self.rows = self._count_rows()

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of rows; fewer if they are not there.

        Raises
        ------
        StoreFormatError
            They cannot be read.
        """
        count = min(stop, self.rows) - start
        if count <= 0:
            return b""
        data = self._read(start, count)
        torn = self._chunks.find_torn(data, start, self._read_row)
        if torn:
            mended = bytearray(data)
            for row in torn:
                mended[row * self.row_bytes : (row + 1) * self.row_bytes] = bytes(self.row_bytes)
            data = bytes(mended)
        return data

    def _read_row(self, row: int) -> bytes:
        return self._read(row, 1) if 0 <= row < self.rows else b""

    def _read(self, start: int, count: int) -> bytes:
        buffer = ctypes.create_string_buffer(count * self.row_bytes)
        target = self._file.call("H5Screate_simple", 1, ctypes.byref(_SIZE(count)), None)
        source = self._file.call("H5Dget_space", self._id)
        try:
            first, number = _SIZE(start), _SIZE(count)
            self._file.call(
                "H5Sselect_hyperslab",
                source,
                0,
                ctypes.byref(first),
                None,
                ctypes.byref(number),
                None,
            )
            self._file.call("H5Dread", self._id, self._kind, target, source, 0, buffer)
        finally:
            self._library.H5Sclose(target)
            self._library.H5Sclose(source)
        return buffer.raw

    def close(self) -> None:
        """Let go of the table."""
        if self._id:
            self._library.H5Tclose(self._kind)
            self._library.H5Dclose(self._id)
            self._id = 0

    def _read_chunk_rows(self) -> int:
        layout = self._file.call("H5Dget_create_plist", self._id)
        try:
            if self._library.H5Pget_layout(layout) != _CHUNKED:
                return 0
            rows = _SIZE()
            self._file.call("H5Pget_chunk", layout, 1, ctypes.byref(rows))
            return int(rows.value)
        finally:
            self._library.H5Pclose(layout)

    def _read_told_rows(self) -> int:
        space = self._file.call("H5Dget_space", self._id)
        size = _SIZE()
        try:
            self._file.call("H5Sget_simple_extent_dims", space, ctypes.byref(size), None)
        finally:
            self._library.H5Sclose(space)
        return int(size.value)

    def _count_rows(self) -> int:
        """Count the rows up to the first chunk that is not there; full ones are asked for once."""
        total = self.told_rows = self._read_told_rows()
        if not self._chunk_rows:
            return total
        try:
            end = os.fstat(self._file.handle()).st_size
        except OSError as error:
            raise StoreFormatError(f"{self._file.path} cannot be read: {error}") from None
        addresses = self._find_chunks(total)
        while self._whole_rows < total:
            start = self._whole_rows
            address = addresses.get(start) if addresses else self._find_chunk(start)
            if address is None:
                return start
            self._chunks.place(start, address)
            count = min(self._chunk_rows, total - start)
            there = min(count, max(0, (end - address) // self.row_bytes))
            if there < self._chunk_rows:
                return start + there
            self._whole_rows = start + self._chunk_rows
        return total

    def _find_chunks(self, total: int) -> dict[int, int]:
        """Return the addresses of all chunks if many are to be looked at and the library can."""
        found: dict[int, int] = {}
        wanted = (total - self._whole_rows) // self._chunk_rows
        if wanted > LOOKUPS_MAX and hasattr(self._library, "H5Dchunk_iter"):

            def see(start: Any, _filters: int, address: int, _size: int, _data: Any) -> int:
                found[start[0]] = address
                return 0

            # Where the list of chunks was cut it fails: what it has found by then is there.
            self._library.H5Dchunk_iter(self._id, 0, _CHUNK_SEEN(see), None)
        return found

    def _find_chunk(self, start: int) -> int | None:
        address = _SIZE(_NO_ADDRESS)
        result = self._library.H5Dget_chunk_info_by_coord(
            self._id, ctypes.byref(_SIZE(start)), None, ctypes.byref(address), None
        )
        is_there = result >= 0 and address.value != _NO_ADDRESS
        return int(address.value) if is_there else None


_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - a thread that the child does not have may hold it
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


def import_h5py() -> Any:
    """Return h5py, imported while no other thread is in HDF5: it calls HDF5 as it is imported.

    Without that a thread that read by this module died of a segmentation fault, one time in three.
    """
    if "h5py._objects" in sys.modules and not _is_importing():
        return sys.modules["h5py"]
    with _lock:
        import h5py  # noqa: PLC0415 - that is the point

        return h5py


def _is_importing() -> bool:
    spec = getattr(sys.modules.get("h5py"), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


class _OneByOne:
    """Calls of a library, one at a time: HDF5 is not made for threads.

    h5py has a lock of its own for the same reason; where it is loaded that is taken, too.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        for name in _SIGNATURES:
            if name not in _MAY_BE_MISSING or hasattr(library, name):
                setattr(self, name, _take_turns(getattr(library, name)))


def _take_turns(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with _lock:
            if _is_importing():  # by a program of the user's, say: wait for it
                import h5py  # noqa: F401, PLC0415
            objects = sys.modules.get("h5py._objects")
            with getattr(objects, "phil", None) or nullcontext():
                return function(*arguments)

    return call


@cache
def load_library() -> Any:
    """Return the HDF5 library that h5py brings, or else the one that it was built with.

    Its functions may be called from any thread.

    Raises
    ------
    StoreFormatError
        There is none that has what is needed.
    """
    library = _load_bundled() or _load_by_h5py()
    try:
        for name, (result, arguments) in _SIGNATURES.items():
            if name in _MAY_BE_MISSING and not hasattr(library, name):
                continue
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        turns: Any = _OneByOne(library)
    except AttributeError as error:
        raise StoreFormatError(
            f"the HDF5 library is too old: {error}", hint="pip install --upgrade h5py"
        ) from None
    turns.H5open()
    turns.H5Eset_auto2(0, None, None)  # what fails is told by the result
    return turns


def _load_bundled() -> ctypes.CDLL | None:
    found = importlib.util.find_spec("h5py")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parents[1] / "h5py.libs"
    for path in sorted(folder.glob("libhdf5-*.so*")):
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    return None


def _load_by_h5py() -> ctypes.CDLL:
    """Let h5py load the library, wherever it is, and look where that was: 25 MB more."""
    import h5py  # noqa: F401, PLC0415 - where no library lies beside it: conda, builds from source

    from hpctrack.store.hdf5 import find_library  # noqa: PLC0415 - brings numpy

    library = find_library()
    if library is None:
        raise HpctrackError("no HDF5 library was found", hint="pip install --upgrade h5py")
    return library


def _read_number(data: bytes, group: int) -> int | float:
    if group == _INTEGER_CLASS:
        return int.from_bytes(data, "little", signed=True)
    if group == _FLOAT_CLASS and len(data) == ctypes.sizeof(ctypes.c_double):
        return ctypes.c_double.from_buffer_copy(data).value
    raise StoreFormatError("an attribute of an unknown type")
