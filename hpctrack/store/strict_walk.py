"""Looking for anything in an HDF5 file that a sealed file does not have, by the HDF5 library.

For `hpctrack.store.strict_worker`, a process that may die of what the library does with a file
that somebody has made up. The walk opens an object only when it has seen that a hard link leads to
it, and it looks at how a dataset is stored before it asks for anything else: what leads out of the
file is found, never followed.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
from h5py import h5a, h5d, h5f, h5fd, h5g, h5l, h5o, h5p, h5s, h5t
from h5py._objects import phil

from hpctrack.store.hdf5 import find_library, plain
from hpctrack.store.schema import FORMAT_VERSION, SEALED_KIND
from hpctrack.store.skeleton.limits import (
    CHUNK_BYTES_MAX,
    DEFLATE,
    DEFLATE_RATIO_MAX,
    FLETCHER32,
    is_our_pipeline,
)
from hpctrack.store.skeleton.summary import REQUIRED_NAMES, Skeleton

OBJECTS_MAX = 5_000_000
ATTRIBUTES_MAX = 256
ATTRIBUTE_BYTES_MAX = 65536
DEPTH_MAX = 16
PIECE_BYTES = 1024 * 1024
CHECKSUM_BYTES = 4
WHERE_CHARS = 200
"""A name may have 64 KiB, and an answer has to fit into a line."""

SUPERBLOCK_BYTES = 48
SIGNATURE = b"\x89HDF\r\n\x1a\n"
NO_ADDRESS = b"\xff" * 8


class ForeignFileError(Exception):
    """Ends the walk: the file has something that a sealed file does not have.

    Parameters
    ----------
    code : str
        As in `hpctrack.sync.wire.refusal.REASONS`.
    where : str
        The object in the file.
    """

    def __init__(self, code: str, where: str = "/") -> None:
        super().__init__(code, where)
        self.code = code
        self.where = where


def forbid_plugins() -> None:
    """Have the library load no filter from anywhere in this process."""
    library = find_library()
    if library is not None:
        with phil:  # past h5py nobody else keeps other threads out
            library.H5PLset_loading_state(0)
    while h5py.h5pl.size():
        h5py.h5pl.remove(0)


def walk_file(descriptor: int) -> Skeleton:
    """Look at everything in a file.

    Parameters
    ----------
    descriptor : int
        Of the file, open for reading.

    Raises
    ------
    ForeignFileError
        It is not a sealed file, or more than that.
    """
    size_bytes = os.fstat(descriptor).st_size
    _check_superblock(os.pread(descriptor, SUPERBLOCK_BYTES, 0), size_bytes)
    access = h5p.create(h5p.FILE_ACCESS)
    try:
        # Read through Python: HDF5 insists on a path, and a file in memory has none.
        with open(descriptor, "rb", buffering=0, closefd=False) as data:
            access.set_fileobj_driver(h5fd.fileobj_driver, data)
            file = h5f.open(b"foreign", h5f.ACC_RDONLY, access)
            try:
                return _Walk(file, descriptor, size_bytes).run()
            finally:
                file.close()
    except ForeignFileError:
        raise
    except Exception:  # noqa: BLE001 - a made-up file can raise anything in h5py
        raise ForeignFileError("not-a-run") from None


def _check_superblock(data: bytes, size_bytes: int) -> None:
    """Take a file that begins as ours do: at once, without extensions, closed, and whole.

    Raises
    ------
    ForeignFileError
        It begins otherwise.
    """
    head = data[8:12]
    is_ours = data[:8] == SIGNATURE and head in {b"\2\x08\x08\0", b"\3\x08\x08\0"}
    is_ours = is_ours and data[12:20] == bytes(8) and data[20:28] == NO_ADDRESS
    if not is_ours or int.from_bytes(data[28:36], "little") != size_bytes:
        raise ForeignFileError("not-a-run")


@dataclass(frozen=True, slots=True)
class _Found:
    path: bytes
    depth: int


class _Walk:
    def __init__(self, file: Any, descriptor: int, size_bytes: int) -> None:
        self._file = file
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._logical_bytes = 0
        self._seen: set[int] = set()

    def run(self) -> Skeleton:
        root = h5g.open(self._file, b"/")
        told = self._read_root(root)
        left = [_Found(b"/", 0)]
        while left:
            one = left.pop()
            left += self._visit(one)
            if len(self._seen) + len(left) > OBJECTS_MAX or one.depth > DEPTH_MAX:
                raise ForeignFileError("bomb", _show(one.path))
        for name in REQUIRED_NAMES:
            if not root.links.exists(name):
                raise ForeignFileError("not-a-run", f"/{name.decode()}")
        return told

    def _read_root(self, root: Any) -> Skeleton:
        attributes = h5py.Group(root).attrs
        self._check_attributes(root, "/")
        told = {name: plain(attributes[name]) for name in ("kind", "format", "project", "run")}
        if told["kind"] != SEALED_KIND:
            raise ForeignFileError("not-a-run")
        if int(told["format"]) > FORMAT_VERSION:
            raise ForeignFileError("too-new")
        kind, project, run = (str(told[name]) for name in ("kind", "project", "run"))
        return Skeleton(kind, int(told["format"]), project, run)

    def _visit(self, one: _Found) -> Iterator[_Found]:
        """Check an object; yield what its links lead to."""
        found = h5o.open(self._file, one.path)
        where = _show(one.path)
        if isinstance(found, h5d.DatasetID):
            self._check_dataset(found, where)
        elif not isinstance(found, h5g.GroupID):
            raise ForeignFileError("not-a-run", where)
        self._check_attributes(found, where)
        if isinstance(found, h5g.GroupID):
            for name, address in _list_hard_links(found, one.path):
                if address not in self._seen:
                    self._seen.add(address)
                    yield _Found(_join(one.path, name), one.depth + 1)

    def _check_attributes(self, found: Any, where: str) -> None:
        count = h5a.get_num_attrs(found)
        if count > ATTRIBUTES_MAX:
            raise ForeignFileError("bomb", where)
        for number in range(count):
            attribute = h5a.open(found, index=number)
            _check_type(attribute.get_type(), where, can_vary=True)
            size = (
                attribute.get_type().get_size() * attribute.get_space().get_simple_extent_npoints()
            )
            if size > ATTRIBUTE_BYTES_MAX:
                raise ForeignFileError("bomb", where)

    def _check_dataset(self, found: Any, where: str) -> None:
        # First what would make the library look elsewhere; then what it would have to hold.
        layout = found.get_create_plist()
        if layout.get_external_count():
            raise ForeignFileError("external-storage", where)
        if layout.get_layout() == h5d.VIRTUAL:
            raise ForeignFileError("virtual-dataset", where)
        filters = [layout.get_filter(number)[0] for number in range(layout.get_nfilters())]
        if not is_our_pipeline(filters):
            raise ForeignFileError("filter", where)
        kind = found.get_type()
        _check_type(kind, where)
        space = found.get_space()
        if space.get_simple_extent_type() == h5s.SIMPLE:
            shape = space.get_simple_extent_dims()
        else:
            shape = ()
        self._logical_bytes += math.prod(shape) * kind.get_size()
        if self._logical_bytes > self._size_bytes * DEFLATE_RATIO_MAX:
            raise ForeignFileError("bomb", where)
        if layout.get_layout() == h5d.CHUNKED:
            self._check_chunks(
                found, filters, math.prod(layout.get_chunk()) * kind.get_size(), where
            )

    def _check_chunks(self, found: Any, filters: list[int], chunk_bytes: int, where: str) -> None:
        """Unpack what could become too large: the library does not stop where the chunk should end.

        Raises
        ------
        ForeignFileError
            It does become too large, or there is too little of it.
        """
        if chunk_bytes > CHUNK_BYTES_MAX:
            raise ForeignFileError("bomb", where)
        tail = CHECKSUM_BYTES if FLETCHER32 in filters else 0
        deflated = 1 << filters.index(DEFLATE) if DEFLATE in filters else 0

        def check(chunk: Any) -> str | None:
            # The library crashes on a chunk without room for its checksum (tried, HDF5 2.0).
            if chunk.size <= tail or chunk.byte_offset + chunk.size > self._size_bytes:
                return "not-a-run"
            is_packed = deflated and not chunk.filter_mask & deflated
            if not is_packed or chunk.size * DEFLATE_RATIO_MAX <= CHUNK_BYTES_MAX:
                return None
            pieces = self._iter_pieces(chunk.byte_offset, chunk.size - tail)
            return "bomb" if _unpacks_beyond(pieces, chunk_bytes) else None

        code = found.chunk_iter(check)
        if code:
            raise ForeignFileError(code, where)

    def _iter_pieces(self, start: int, size: int) -> Iterator[bytes]:
        for at in range(start, start + size, PIECE_BYTES):
            yield os.pread(self._descriptor, min(PIECE_BYTES, start + size - at), at)


def _unpacks_beyond(pieces: Iterator[bytes], limit_bytes: int) -> bool:
    """Tell whether a zlib stream is longer than so many bytes; damage is not looked for."""
    machine, total = zlib.decompressobj(), 0
    try:
        for piece in pieces:
            left = piece
            while left and not machine.eof:
                total += len(machine.decompress(left, PIECE_BYTES))
                if total > limit_bytes:
                    return True
                left = machine.unconsumed_tail
    except zlib.error:
        return False
    return False


def _list_hard_links(group: Any, path: bytes) -> list[tuple[bytes, int]]:
    """Return names of links and addresses of what they lead to.

    Raises
    ------
    ForeignFileError
        One of them leads by another way.
    """
    links: list[tuple[bytes, int]] = []

    def note(name: bytes, info: Any) -> tuple[str, bytes] | None:
        code = _judge_link(name, info.type)
        if code is None and len(links) > OBJECTS_MAX:
            code = "bomb"
        links.append((name, int(info.u)))
        return None if code is None else (code, name)

    # Not raised there: h5py makes something else of it.
    found = group.links.iterate(note, info=True)[0]
    if found is not None:
        code, name = found
        # A link that is not one by its name cannot be named either.
        raise ForeignFileError(code, "/" if code == "not-a-run" else _show(_join(path, name)))
    return links


def _judge_link(name: bytes, kind: int) -> str | None:
    if kind == h5l.TYPE_SOFT:
        return "soft-link"
    if kind != h5l.TYPE_HARD:
        return "external-link"
    # The library would take these for a path, or for the group itself.
    return "not-a-run" if not name or name == b"." or b"/" in name else None


def _check_type(kind: Any, where: str, *, can_vary: bool = False) -> None:
    """Take plain numbers, texts, and rows of numbers: nothing whose bytes lie in a heap elsewhere.

    Raises
    ------
    ForeignFileError
        It is something else.
    """
    group = kind.get_class()
    if group == h5t.STRING and (can_vary or not kind.is_variable_str()):
        return
    if _is_number(kind):
        return
    if group != h5t.COMPOUND or can_vary:
        raise ForeignFileError("not-a-run", where)
    total = 0
    for number in range(kind.get_nmembers()):
        member = kind.get_member_type(number)
        if not _is_number(member) or kind.get_member_offset(number) != total:
            raise ForeignFileError("not-a-run", where)
        total += member.get_size()
    if total != kind.get_size():
        raise ForeignFileError("not-a-run", where)


def _is_number(kind: Any) -> bool:
    """Tell whether a type is one of ours: HDF5 crashes on others made for that (tried)."""
    return kind.get_class() in {h5t.INTEGER, h5t.FLOAT} and any(kind.equal(one) for one in _NUMBERS)


_NUMBERS = (
    h5t.STD_U8LE,
    h5t.STD_U16LE,
    h5t.STD_U32LE,
    h5t.STD_U64LE,
    h5t.STD_I8LE,
    h5t.STD_I16LE,
    h5t.STD_I32LE,
    h5t.STD_I64LE,
    h5t.IEEE_F32LE,
    h5t.IEEE_F64LE,
)


def _join(path: bytes, name: bytes) -> bytes:
    return path.rstrip(b"/") + b"/" + name


def _show(path: bytes) -> str:
    return path.decode("utf-8", "replace")[:WHERE_CHARS]
