"""Sealed files that somebody has added to: everything that a receiver must not take."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.hdf5_bytes import Blocks, iter_messages

_LINK = 6
_NO_ADDRESS = 2**64 - 1


@dataclass(frozen=True)
class Addition:
    """What is added to a sealed file.

    Parameters
    ----------
    name : str
    add : callable
        Gets the file, open for writing.
    code : str
        Why it is to be refused.
    where : str
        The object that is named.
    """

    name: str
    add: Callable[[Any], None]
    code: str
    where: str


def add_to(data: bytes, path: Path, add: Callable[[Any], None]) -> bytes:
    """Return a file's bytes with something added."""
    path.write_bytes(data)
    with h5py.File(path, "r+", libver=("v110", "v110"), locking=False) as file:
        add(file)
    return path.read_bytes()


def _external_link(file: Any) -> None:
    file["metrics/out"] = h5py.ExternalLink("/etc/passwd", "/")


def _external_record(file: Any) -> None:
    del file["record"]
    file["record"] = h5py.ExternalLink("other.h5", "/record")


def _external_in_crowd(file: Any) -> None:
    for number in range(200):
        file[f"metrics/copy{number:03d}"] = file["heap"]
    file["metrics/zzz"] = h5py.ExternalLink("other.h5", "/record")


def _soft_link(file: Any) -> None:
    file["system/soft"] = h5py.SoftLink("/record")


def _external_storage(file: Any) -> None:
    file.create_dataset("system/0", (100,), "u1", external=[("/etc/passwd", 0, 100)])


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((10,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (10,))
    file.create_virtual_dataset("metrics/virtual", layout)


def _virtual_without_end(file: Any) -> None:
    # The library opens the sources of such a one when it is asked how long it is.
    layout = h5py.VirtualLayout((10,), "f8", maxshape=(None,))
    source = h5py.VirtualSource("other.h5", "x", (10,), maxshape=(None,))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset("metrics/virtual", layout)


def _lzf(file: Any) -> None:
    file.create_dataset("extra", data=np.zeros(100), compression="lzf")


def _plugin(file: Any) -> None:
    _with_filters(file, lambda properties: properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL))


def _twice_deflated(file: Any) -> None:
    def choose(properties: Any) -> None:
        properties.set_deflate(9)
        properties.set_filter(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FLAG_OPTIONAL, (9,))

    _with_filters(file, choose)


def _with_filters(file: Any, choose: Callable[[Any], None]) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((100,))
    choose(properties)
    space = h5py.h5s.create_simple((100,))
    h5py.h5d.create(file.id, b"extra", h5py.h5t.NATIVE_DOUBLE, space, properties)


def _endless(file: Any) -> None:
    file.create_dataset("extra", (2**50,), "f8", chunks=(1000,))


def _many_endless(file: Any) -> None:
    # Each is 2**64 bytes and a bit: a sum that turns over is small again.
    for number in range(8):
        file.create_dataset(f"metrics/m{number}", (2**61 + 1,), "f8", chunks=(1000,))


def _large_chunk(file: Any) -> None:
    file.create_dataset("extra", (10,), "f8", chunks=(2**27,), maxshape=(None,))


def _references(file: Any) -> None:
    file.create_dataset("extra", (1,), h5py.ref_dtype)


def _big_endian(file: Any) -> None:
    file.create_dataset("extra", (1,), ">f8")


def _odd_numbers(file: Any) -> None:
    kind = h5py.h5t.IEEE_F64LE.copy()
    kind.set_fields(63, 53, 10, 0, 52)
    space = h5py.h5s.create_simple((1,))
    h5py.h5d.create(file.id, b"extra", kind, space)


def _gaps(file: Any) -> None:
    kind = np.dtype({"names": ["a", "b"], "formats": ["<u4", "<u4"], "offsets": [0, 100]})
    file.create_dataset("extra", (1,), kind)


def _varying(file: Any) -> None:
    file.create_dataset("extra", data=["a", "bc"], dtype=h5py.string_dtype())


def _named_type(file: Any) -> None:
    file["extra"] = np.dtype("f8")


def _newer(file: Any) -> None:
    file.attrs["format"] = np.int64(99)


def _live(file: Any) -> None:
    file.attrs["kind"] = np.bytes_(b"hpctrack-live")


def _incomplete(file: Any) -> None:
    del file["nodes"]


ADDITIONS = [
    Addition("external link", _external_link, "external-link", "/metrics/out"),
    Addition("external record", _external_record, "external-link", "/record"),
    Addition("external in a crowd", _external_in_crowd, "external-link", "/metrics/zzz"),
    Addition("soft link", _soft_link, "soft-link", "/system/soft"),
    Addition("external storage", _external_storage, "external-storage", "/system/0"),
    Addition("virtual", _virtual, "virtual-dataset", "/metrics/virtual"),
    Addition("virtual without end", _virtual_without_end, "virtual-dataset", "/metrics/virtual"),
    Addition("lzf", _lzf, "filter", "/extra"),
    Addition("plug-in", _plugin, "filter", "/extra"),
    Addition("twice deflated", _twice_deflated, "filter", "/extra"),
    Addition("endless", _endless, "bomb", "/extra"),
    Addition("many endless", _many_endless, "bomb", "/metrics/m7"),
    Addition("large chunk", _large_chunk, "bomb", "/extra"),
    Addition("references", _references, "not-a-run", "/extra"),
    Addition("big-endian", _big_endian, "not-a-run", "/extra"),
    Addition("odd numbers", _odd_numbers, "not-a-run", "/extra"),
    Addition("gaps", _gaps, "not-a-run", "/extra"),
    Addition("varying texts", _varying, "not-a-run", "/extra"),
    Addition("named type", _named_type, "not-a-run", "/extra"),
    Addition("newer", _newer, "too-new", "/"),
    Addition("live", _live, "not-a-run", "/"),
    Addition("incomplete", _incomplete, "not-a-run", "/nodes"),
]


def make_user_link(data: bytes, path: Path) -> bytes:
    """Return a file with a link of a type that some program would have to register."""
    whole = bytearray(add_to(data, path, _external_link))
    blocks = Blocks(bytes(whole))
    for block in blocks.all:
        if block.kind in {"OHDR", "OCHK"}:
            for kind, at, _size in iter_messages(bytes(whole), block):
                if (
                    kind == _LINK
                    and whole[at + 1] & 0x08
                    and whole[at + 2] == h5py.h5l.TYPE_EXTERNAL
                ):
                    whole[at + 2] = 77
    return bytes(blocks.mend(whole))


def lead_to(data: bytes, name: bytes, header: bytes) -> bytes:
    """Return a file with a header behind its end, to which the link of a name leads."""
    whole = bytearray(data)
    blocks = Blocks(data)
    place = len(whole) + -len(whole) % 8
    whole += bytes(place - len(whole)) + header
    whole[28:36] = struct.pack("<Q", len(whole))
    link = bytes([1, 0, len(name)]) + name
    at = data.index(link) + len(link)
    assert data.count(link) == 1
    whole[at : at + 8] = struct.pack("<Q", place)
    return bytes(blocks.mend(whole))


def make_old_header(path: Path) -> bytes:
    """Return the header of a dataset as HDF5 1.6 wrote it."""
    with h5py.File(path, "w", libver="earliest") as file:
        made = file.create_dataset("x", (0,), "f8")
        place = h5py.h5o.get_info(made.id).addr
    data = path.read_bytes()
    assert data[place] == 1
    return data[place : place + 16 + int.from_bytes(data[place + 8 : place + 12], "little")]


def make_bomb(data: bytes, path: Path, size_bytes: int) -> bytes:
    """Return a file with a chunk of 8,000 bytes that unpacks to so many."""
    machine = zlib.compressobj(9, wbits=-15)
    piece = machine.compress(bytes(1 << 20)) + machine.flush(zlib.Z_FULL_FLUSH)
    packed = b"\x78\x01" + piece * (size_bytes >> 20) + b"\3\0" + bytes(4)

    def add(file: Any) -> None:
        made = file.create_dataset("extra", (1000,), "f8", chunks=(1000,), compression="gzip")
        made.id.write_direct_chunk((0,), packed)

    return add_to(data, path, add)


def make_short_chunk(data: bytes, path: Path) -> bytes:
    """Return a file with a chunk that is shorter than the checksum at its end."""

    def add(file: Any) -> None:
        made = file.create_dataset("extra", (8,), "f8", chunks=(8,), fletcher32=True)
        made.id.write_direct_chunk((0,), b"abc")

    return add_to(data, path, add)


def make_endless_heap(data: bytes, path: Path) -> bytes:
    """Return a file with a text in a heap without an end, which the library looks for for ever."""

    def add(file: Any) -> None:
        del file.attrs["project"]
        file.attrs["project"] = "p" * 200

    whole = bytearray(add_to(data, path, add))
    at = whole.index(b"GCOL")
    whole[at + 16 :] = bytes(len(whole) - at - 16)
    return bytes(whole)


def make_false_count(data: bytes) -> bytes:
    """Return a file whose tree of links says that it has more: the library sorts what is not."""
    whole = bytearray(data)
    blocks = Blocks(data)
    for block in blocks.all:
        if block.kind == "BTHD":
            whole[block.start + 26 : block.start + 34] = struct.pack("<Q", 2**20)
    return bytes(blocks.mend(whole))
