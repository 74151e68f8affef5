"""Quotas and the book of what projects hold."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from hpctrack.core.clock import Clock
from hpctrack.errors import InvalidNameError, StoreFormatError
from hpctrack.sync.upkeep.quotas import (
    ANY_PROJECT,
    QuotaGate,
    UsageBook,
    find_limit,
    list_usage,
    measure_project,
    read_quotas,
    set_quota,
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    for run in ("one", "two"):
        (path / "digits" / run).mkdir(parents=True)
        (path / "digits" / run / "run.h5").write_bytes(b"x" * 500)
    return path


def test_what_counts_are_sizes_once_per_file_and_no_links(store: Path, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * 10_000)
    (store / "digits" / "link").symlink_to(big)
    (store / "digits" / "folder").symlink_to(tmp_path)
    os.link(store / "digits" / "one" / "run.h5", store / "digits" / "two" / "again.h5")
    (store / "digits" / ".blobs" / "ab").mkdir(parents=True)
    (store / "digits" / ".blobs" / "ab" / "c").write_bytes(b"x" * 11)
    assert measure_project(store, "digits") == 1011
    assert measure_project(store, "none") == 0


def test_the_quota_is_the_least_of_project_and_key() -> None:
    quotas = {"digits": 100, ANY_PROJECT: 50}
    assert find_limit(quotas, "digits", None) == 100
    assert find_limit(quotas, "digits", 70) == 70
    assert find_limit(quotas, "other", 70) == 50
    assert find_limit({}, "other", None) is None
    assert find_limit({"digits": 0}, "digits", None) == 0


def test_quotas_are_set_and_taken_away(store: Path) -> None:
    assert read_quotas(store) == {}
    set_quota(store, "digits", 1000)
    set_quota(store, ANY_PROJECT, 10)
    assert read_quotas(store) == {"*": 10, "digits": 1000}
    assert set_quota(store, "digits", None) == {"*": 10}
    with pytest.raises(InvalidNameError):
        set_quota(store, "../x", 1)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"digits": -1}', '{"a": true}', '{"a": "5"}'])
def test_damaged_quotas_stop_everything(store: Path, text: str) -> None:
    (store / ".server").mkdir()
    (store / ".server" / "quotas.json").write_text(text)
    with pytest.raises(StoreFormatError, match="damaged"):
        QuotaGate(store)
    with pytest.raises(StoreFormatError):
        set_quota(store, "digits", 5)


def test_a_gate_says_how_much_more_may_come(store: Path) -> None:
    gate = QuotaGate(store)
    assert gate.room_bytes("digits") is None
    assert not (store / ".server" / "usage.json").exists()
    gate = QuotaGate(store, 1500)
    assert gate.room_bytes("digits") == 500
    gate.add("digits", 400)
    assert gate.room_bytes("digits") == 100
    gate.add("digits", 200)
    assert gate.room_bytes("digits") == 0
    gate.add("digits", -300)
    assert gate.room_bytes("digits") == 200
    gate.commit()
    assert list_usage(store) == {"digits": 1300}
    assert QuotaGate(store, 1500).room_bytes("digits") == 200


def test_a_gate_learns_at_each_commit_what_others_did(store: Path) -> None:
    ours, theirs = QuotaGate(store, 2000), QuotaGate(store, 2000)
    assert ours.room_bytes("digits") == theirs.room_bytes("digits") == 1000
    theirs.add("digits", 600)
    theirs.commit()
    assert ours.room_bytes("digits") == 1000  # by so much two may exceed it together
    set_quota(store, "digits", 1900)
    ours.commit()
    assert ours.room_bytes("digits") == 300


def test_what_was_stored_before_it_was_counted_is_not_counted_twice(store: Path) -> None:
    gate = QuotaGate(store, 5000)
    (store / "digits" / "three").write_bytes(b"x" * 100)
    gate.add("digits", 100)
    assert gate.room_bytes("digits") == 3900
    gate.commit()
    assert gate.room_bytes("digits") == 3900


def test_many_writers_add_up(store: Path) -> None:
    UsageBook(store).recount("digits")

    def add() -> None:
        book = UsageBook(store)
        for _ in range(30):
            book.add("digits", 7)
            book.save()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert list_usage(store)["digits"] == 1000 + 4 * 30 * 7


def test_a_recount_forgets_no_addition_made_meanwhile(store: Path) -> None:
    UsageBook(store).recount("digits")
    adding = UsageBook(store)

    def clock_that_adds() -> float:
        adding.add("digits", 50)
        adding.save()
        return 1.0

    # The time is asked for between counting and writing.
    clock = Clock(wall_s=clock_that_adds, mono_s=lambda: 0.0)
    assert UsageBook(store, clock=clock).recount("digits") == 1050


@pytest.mark.parametrize("text", ["", "[]", "{", '{"projects": {"digits": 5}}', "\0\0"])
def test_a_damaged_book_is_counted_anew(store: Path, text: str) -> None:
    (store / ".server").mkdir()
    (store / ".server" / "usage.json").write_text(text)
    assert UsageBook(store).used_bytes("digits") == 1000
    assert json.loads((store / ".server" / "usage.json").read_text())["projects"]["digits"]


def test_asking_is_cheap(store: Path) -> None:
    gate = QuotaGate(store, 1 << 40)
    gate.room_bytes("digits")
    began_s = time.thread_time()
    for _ in range(2000):
        gate.room_bytes("digits")
        gate.add("digits", 1)
    assert (time.thread_time() - began_s) / 2000 < 20e-6  # 1 us on an idle machine
