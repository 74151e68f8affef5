"""The HDF5 library looks at foreign files in a process of its own: everything has its code."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpctrack.store.strict_check import StrictChecker, Verdict
from tests.foreign_files import (
    ADDITIONS,
    Addition,
    add_to,
    lead_to,
    make_bomb,
    make_endless_heap,
    make_false_count,
    make_old_header,
    make_short_chunk,
    make_user_link,
)
from tests.unit.store.sealed_kinds import KINDS, few_metrics

BOMB_BYTES = 300 << 20


@pytest.fixture(scope="module")
def checker() -> Iterator[StrictChecker]:
    with StrictChecker() as checker:
        yield checker


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return few_metrics(tmp_path_factory.mktemp("sealed")).read_bytes()


@pytest.mark.parametrize("make", KINDS[::3], ids=lambda make: make.__name__)
def test_sealed_files_are_taken(
    make: Callable[[Path], Path], checker: StrictChecker, tmp_path: Path
) -> None:
    path = make(tmp_path)
    found = checker.check_bytes(path.read_bytes())
    assert not found.code
    assert found.skeleton is not None
    assert found.skeleton.project == path.parent.parent.name
    with path.open("rb") as file:
        assert checker.check_descriptor(file.fileno()) == found


@pytest.mark.parametrize("one", ADDITIONS, ids=lambda one: one.name)
def test_what_a_sealed_file_does_not_have_is_named(
    one: Addition, checker: StrictChecker, sealed: bytes, tmp_path: Path
) -> None:
    made = add_to(sealed, tmp_path / "made.h5", one.add)
    assert checker.check_bytes(made) == Verdict(one.code, one.where)


def test_a_link_of_an_unknown_type_leads_out_too(
    checker: StrictChecker, sealed: bytes, tmp_path: Path
) -> None:
    made = make_user_link(sealed, tmp_path / "made.h5")
    assert checker.check_bytes(made) == Verdict("external-link", "/metrics/out")


def test_an_object_with_an_old_header_is_looked_at(
    checker: StrictChecker, sealed: bytes, tmp_path: Path
) -> None:
    made = lead_to(sealed, b"system", make_old_header(tmp_path / "old.h5"))
    assert not checker.check_bytes(made).code


def test_a_chunk_that_unpacks_to_too_much_is_a_bomb(
    checker: StrictChecker, sealed: bytes, tmp_path: Path
) -> None:
    made = make_bomb(sealed, tmp_path / "made.h5", BOMB_BYTES)
    assert len(made) < BOMB_BYTES / 900
    assert checker.check_bytes(made) == Verdict("bomb", "/extra")


def test_many_numbers_that_are_all_alike_are_no_bomb(
    checker: StrictChecker, sealed: bytes, tmp_path: Path
) -> None:
    def add(file: h5py.File) -> None:
        values = np.zeros(40_000_000, "u1")
        file.create_dataset("extra", data=values, chunks=(4_000_000,), compression="gzip")

    assert not checker.check_bytes(add_to(sealed, tmp_path / "made.h5", add)).code


def test_a_chunk_without_room_for_its_checksum_is_refused(
    checker: StrictChecker, sealed: bytes, tmp_path: Path
) -> None:
    made = make_short_chunk(sealed, tmp_path / "made.h5")
    assert checker.check_bytes(made) == Verdict("not-a-run", "/extra")


def test_a_file_that_crashes_the_library_is_refused_and_the_next_one_taken(
    sealed: bytes,
) -> None:
    with StrictChecker() as checker:
        assert checker.check_bytes(make_false_count(sealed)) == Verdict("not-a-run")
        assert not checker.check_bytes(sealed).code


@pytest.mark.slow
def test_a_file_that_is_searched_for_ever_is_refused_and_the_next_one_taken(
    sealed: bytes, tmp_path: Path
) -> None:
    made = make_endless_heap(sealed, tmp_path / "made.h5")
    with StrictChecker(timeout_s=6) as checker:
        assert checker.check_bytes(made) == Verdict("not-a-run")
        assert not checker.check_bytes(sealed).code


def test_a_name_without_end_is_cut(checker: StrictChecker, sealed: bytes, tmp_path: Path) -> None:
    def add(file: h5py.File) -> None:
        file["x" * 60_000] = h5py.SoftLink("/record")

    found = checker.check_bytes(add_to(sealed, tmp_path / "made.h5", add))
    assert found == Verdict("soft-link", "/" + "x" * 199)


def test_a_loop_of_links_is_harmless(checker: StrictChecker, sealed: bytes, tmp_path: Path) -> None:
    def add(file: h5py.File) -> None:
        file["metrics/loop"] = file["/"]

    assert not checker.check_bytes(add_to(sealed, tmp_path / "made.h5", add)).code


def test_other_files_are_refused(checker: StrictChecker, sealed: bytes, tmp_path: Path) -> None:
    old = tmp_path / "old.h5"
    with h5py.File(old, "w", libver="earliest") as file:
        file["x"] = 1
    extended = tmp_path / "extended.h5"
    with h5py.File(extended, "w", libver=("v110", "v110"), fs_strategy="page") as file:
        file["x"] = 1
    behind = tmp_path / "behind.h5"
    with h5py.File(behind, "w", libver=("v110", "v110"), userblock_size=512) as file:
        file["x"] = 1
    for data in (b"", b"text", sealed[:-1], sealed + b"x", bytes(512) + sealed):
        assert checker.check_bytes(data) == Verdict("not-a-run")
    for path in (old, extended, behind):
        assert checker.check_bytes(path.read_bytes()) == Verdict("not-a-run")


def test_the_process_ends_with_who_started_it(sealed: bytes) -> None:
    checker = StrictChecker()
    checker.check_bytes(sealed)
    child = checker._child
    assert child is not None
    assert checker._connection is not None
    checker._connection.close()
    assert child.wait(120) == 0
    checker.close()


def test_it_opens_no_files(checker: StrictChecker, sealed: bytes, tmp_path: Path) -> None:
    """What an external link names is not even looked for."""
    secret = tmp_path / "other.h5"
    os.mkfifo(secret)  # whoever opened it would wait for ever

    def add(file: h5py.File) -> None:
        file["metrics/out"] = h5py.ExternalLink(str(secret), "/")
        layout = h5py.VirtualLayout((10,), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "x", (10,))
        file.create_virtual_dataset("metrics/a", layout)

    made = add_to(sealed, tmp_path / "made.h5", add)
    assert checker.check_bytes(made).code in {"external-link", "virtual-dataset"}
