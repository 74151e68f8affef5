"""Sealed files are recognised without the HDF5 library; nothing else is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from hpctrack.store.skeleton import FAST_BYTES_MAX, Skeleton, check_batch
from tests.foreign_files import (
    ADDITIONS,
    Addition,
    add_to,
    lead_to,
    make_false_count,
    make_old_header,
    make_short_chunk,
    make_user_link,
)
from tests.hdf5_bytes import Blocks, iter_messages
from tests.unit.store.sealed_kinds import KINDS, few_metrics, leaf_of_metrics, tree_of_metrics


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return few_metrics(tmp_path_factory.mktemp("sealed")).read_bytes()


def is_known(data: bytes) -> bool:
    return check_batch([data]) != [None]


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_every_kind_of_sealed_file_is_known(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    found = Skeleton("hpctrack-sealed", 1, path.parent.parent.name, path.parent.name)
    assert check_batch([path.read_bytes(), memoryview(path.read_bytes())]) == [found, found]


@pytest.mark.parametrize("one", ADDITIONS, ids=lambda one: one.name)
def test_what_a_sealed_file_does_not_have_is_not_known(
    one: Addition, sealed: bytes, tmp_path: Path
) -> None:
    made = add_to(sealed, tmp_path / "made.h5", one.add)
    before, found, after = check_batch([sealed, made, sealed])
    assert before == after
    assert before is not None
    if one.name in {"newer", "live"}:
        assert found is not None
        assert found != before
    else:
        assert found is None


def test_a_link_of_an_unknown_type_is_not_known(sealed: bytes, tmp_path: Path) -> None:
    assert not is_known(make_user_link(sealed, tmp_path / "made.h5"))


def test_an_object_with_an_old_header_is_not_known(sealed: bytes, tmp_path: Path) -> None:
    header = make_old_header(tmp_path / "old.h5")
    assert not is_known(lead_to(sealed, b"system", header))


def test_a_header_is_looked_at_wherever_it_is(sealed: bytes, tmp_path: Path) -> None:
    def add(file: h5py.File) -> None:
        file.create_dataset("out", (100,), "u1", external=[("/etc/passwd", 0, 100)])

    made = add_to(sealed, tmp_path / "made.h5", add)
    with h5py.File(tmp_path / "made.h5") as file:
        place = h5py.h5o.get_info(file["out"].id).addr
    block = next(one for one in Blocks(made).all if one.start == place)
    header = made[place : place + block.length + 4]
    assert is_known(lead_to(sealed, b"system", plain_header(sealed)))
    assert not is_known(lead_to(sealed, b"system", header))


def plain_header(data: bytes) -> bytes:
    """Return the header of a dataset of one chunk."""
    for block in Blocks(data).all:
        if block.kind == "OHDR" and 0x08 in {
            kind for kind, _at, _size in iter_messages(data, block)
        }:
            return data[block.start : block.start + block.length + 4]
    raise AssertionError


@pytest.mark.parametrize("make", [leaf_of_metrics, tree_of_metrics])
def test_links_of_large_groups_are_found_by_their_tree(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    """A record that leads into the name of a link makes the library see another link there."""
    data = make(tmp_path).read_bytes()
    leaf = next(one for one in reversed(Blocks(data).all) if one.kind == "BTLF")
    records = (leaf.length - 6) // 11
    assert is_known(data)
    for number in (0, records - 1):
        whole = bytearray(data)
        at = leaf.start + 6 + 11 * number + 5
        (offset,) = struct.unpack_from("<I", whole, at)
        whole[at : at + 4] = struct.pack("<I", offset + 1)
        assert not is_known(bytes(Blocks(data).mend(whole)))


def test_a_tree_that_tells_of_more_links_is_not_known(sealed: bytes) -> None:
    assert not is_known(make_false_count(sealed))


def test_a_chunk_without_room_for_its_checksum_is_not_known(sealed: bytes, tmp_path: Path) -> None:
    assert not is_known(make_short_chunk(sealed, tmp_path / "made.h5"))


def test_a_loop_of_links_ends(sealed: bytes, tmp_path: Path) -> None:
    def add(file: h5py.File) -> None:
        file["metrics/loop"] = file["/"]

    assert not is_known(add_to(sealed, tmp_path / "made.h5", add))


def test_a_header_that_continues_in_itself_ends(sealed: bytes) -> None:
    whole, blocks = bytearray(sealed), Blocks(sealed)
    pieces = [one for one in blocks.all if one.kind == "OCHK"]
    places = [
        at
        for one in blocks.all
        if one.kind in {"OHDR", "OCHK"}
        for kind, at, _size in iter_messages(sealed, one)
        if kind == 0x10
    ]
    for at in places:
        whole[at : at + 16] = struct.pack("<QQ", pieces[0].start, pieces[0].length + 4)
    assert not is_known(bytes(blocks.mend(whole)))


def test_a_file_with_another_beginning_is_not_known(sealed: bytes, tmp_path: Path) -> None:
    extended = tmp_path / "extended.h5"
    with h5py.File(extended, "w", libver=("v110", "v110"), fs_strategy="page") as file:
        file.attrs["kind"] = "hpctrack-sealed"
    longer = bytearray(sealed) + b"x"
    for data in (
        b"",
        b"\x89HDF\r\n\x1a\n",
        bytes(512) + sealed,
        sealed[:-1],
        bytes(longer),
        sealed[:11] + b"\1" + sealed[12:],
        extended.read_bytes(),
        b"#!/bin/sh\n" + bytes(100),
        bytes(100_000),
        b"\xff" * 100_000,
    ):
        assert not is_known(data)


def test_a_root_that_says_it_twice_is_not_known(sealed: bytes) -> None:
    """The library believes the first attribute of a name, others may believe the last."""
    whole, blocks = bytearray(sealed), Blocks(sealed)
    at = sealed.index(b"made_by\0")
    whole[at : at + 8] = b"project\0"
    assert not is_known(bytes(blocks.mend(whole)))


def test_a_large_file_is_left_to_the_library(sealed: bytes) -> None:
    whole = bytearray(sealed.ljust(FAST_BYTES_MAX + 1, b"\0"))
    whole[28:36] = struct.pack("<Q", len(whole))
    assert not is_known(bytes(whole))
    assert is_known(bytes(whole[:28] + struct.pack("<Q", len(whole) - 1) + whole[36:-1]))
