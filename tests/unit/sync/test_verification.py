"""What a receiver takes, and what it says of the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hpctrack.store.skeleton import FAST_BYTES_MAX
from hpctrack.sync.receiving.verification import check_file, check_small, read_extent
from hpctrack.sync.wire.messages import ItemKind, Key
from hpctrack.sync.wire.refusal import REASONS, ItemRefusal, describe
from tests.foreign_files import ADDITIONS, Addition, add_to, make_bomb
from tests.hdf5_bytes import Blocks
from tests.unit.store.sealed_kinds import KINDS, few_metrics

RUN = Key(ItemKind.RUN, "p", "r")
SWEEP = Key(ItemKind.SWEEP, "p", "r")
ACCOUNTING = Key(ItemKind.ACCOUNTING, "p", "r")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return few_metrics(tmp_path_factory.mktemp("sealed"))


@pytest.fixture(scope="module")
def sealed(path: Path) -> bytes:
    return path.read_bytes()


def code_of(refusal: ItemRefusal | None) -> str:
    return refusal.code if refusal else ""


def test_files_that_come_together_are_judged_one_by_one(sealed: bytes) -> None:
    accounting = {"kind": "hpctrack-accounting", "asked_wall_s": 1.0, "attempts": []}
    whose = {"project": "p", "run": "r"}
    files = [
        (RUN, sealed),
        (Key(ItemKind.RUN, "p", "other"), sealed),
        (Key(ItemKind.RUN, "other", "r"), sealed),
        (RUN, b"#!/bin/sh\nrm -rf /\n"),
        (RUN, sealed[:-1]),
        (RUN, b""),
        (SWEEP, b'{"method": "grid"}'),
        (SWEEP, b"[]"),
        (SWEEP, b"[" * 100_000),
        (SWEEP, sealed),
        (ACCOUNTING, json.dumps({**accounting, **whose}).encode()),
        (ACCOUNTING, json.dumps({**accounting, "project": "x", "run": "r"}).encode()),
        (ACCOUNTING, b"{}"),
        (RUN, sealed),
    ]
    assert [code_of(one) for one in check_small(files)] == [
        "",
        "other-run",
        "other-run",
        "not-a-run",
        "not-a-run",
        "not-a-run",
        "",
        "not-a-sweep",
        "not-a-sweep",
        "not-a-sweep",
        "",
        "other-run",
        "not-accounting",
        "",
    ]


@pytest.mark.parametrize("one", ADDITIONS, ids=lambda one: one.name)
def test_a_file_that_has_more_is_refused_and_told_why(
    one: Addition, sealed: bytes, tmp_path: Path
) -> None:
    made = add_to(sealed, tmp_path / "made.h5", one.add)
    refusal, after = check_small([(RUN, made), (RUN, sealed)])
    assert after is None
    assert refusal is not None
    assert refusal.code == one.code
    assert refusal.code in REASONS
    sentence = describe(refusal.code, refusal.facts)
    assert "$" not in sentence
    assert one.where == "/" or one.code == "not-a-run" or one.where in sentence
    assert code_of(check_file(tmp_path / "made.h5", RUN)) == one.code


@pytest.mark.parametrize("make", KINDS[1::4], ids=lambda make: make.__name__)
def test_sealed_files_are_taken_from_disk_too(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    assert check_file(path, RUN) is None
    assert code_of(check_file(path, Key(ItemKind.RUN, "p", "other"))) == "other-run"


def test_a_bomb_in_a_large_file_is_found(sealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "made.h5"
    made = make_bomb(sealed, path, 300 << 20)
    assert len(made) > FAST_BYTES_MAX
    assert code_of(check_file(path, RUN)) == "bomb"


def test_a_file_of_any_size_is_looked_at(sealed: bytes, tmp_path: Path) -> None:
    path, size_bytes = tmp_path / "made.h5", 1 << 34
    padded = bytearray(sealed)
    padded[28:36] = size_bytes.to_bytes(8, "little")
    path.write_bytes(Blocks(sealed).mend(padded))
    with path.open("r+b") as file:
        file.truncate(size_bytes)
    assert check_file(path, RUN) is None


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        check_file(link, RUN)


@pytest.mark.parametrize(("kind", "limit_bytes"), [("sweep", 1 << 24), ("accounting", 1 << 24)])
def test_text_is_bounded(kind: str, limit_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "text"
    key = Key(ItemKind(kind), "p", "r")
    path.write_bytes(b"{}".ljust(limit_bytes + 1))
    assert code_of(check_file(path, key)) == "too-large"
    assert code_of(check_small([(key, path.read_bytes())])[0]) == "too-large"


def test_an_extent_names_the_node_files_that_went_in(path: Path) -> None:
    extent = read_extent(path)
    assert (extent.points, extent.attempts, len(extent.nodes)) == (9, 1, 1)
    assert all(len(one) >= 8 for one in extent.nodes)
