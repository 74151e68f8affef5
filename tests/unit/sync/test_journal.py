"""What a receiver leaves in the log and in the book, and when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpctrack.sync.receiving.journal import FLUSH_INTERVAL_S, Event, Journal
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.upkeep.audit import Actor, iter_events
from hpctrack.sync.upkeep.quotas import UsageBook, list_usage
from hpctrack.sync.wire.messages import ItemKind, Key, Outcome, Result
from hpctrack.sync.wire.refusal import ItemRefusal
from tests.stores import FakeClock


@pytest.fixture
def store_fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "digits").mkdir()
    UsageBook(tmp_path).recount("digits")
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def rows(number: int) -> Event:
    key = Key(ItemKind.LIVE, "digits", "one", f"node-{number:04d}.h5")
    return Event(Result(number, Outcome.APPENDED), key, 100, "ab" * 32, 100)


def test_lines_about_rows_wait_for_company(store_fd: int, tmp_path: Path) -> None:
    clock = FakeClock()
    journal = Journal(store_fd, Policy(), Actor("ana"), clock.clock())
    for number in (0, 1, 1, 2):
        journal.note([rows(number)])
    assert [one["bytes"] for one in iter_events(tmp_path)] == [100]
    clock.now_s += FLUSH_INTERVAL_S
    journal.note([rows(1)])
    found = [(one["id"], one["bytes"]) for one in iter_events(tmp_path)]
    assert found[1:] == [("one/node-0001.h5", 300), ("one/node-0002.h5", 100)]
    journal.note([rows(1)])
    journal.close()
    assert len(list(iter_events(tmp_path))) == 4
    assert list_usage(tmp_path) == {"digits": 600}


def test_files_are_logged_before_they_are_acknowledged(store_fd: int, tmp_path: Path) -> None:
    journal = Journal(store_fd, Policy(quota_bytes=150), Actor("ana"), FakeClock().clock())
    key = Key(ItemKind.RUN, "digits", "one")
    journal.note([rows(0)])
    journal.note([rows(0)])
    journal.note([Event(Result(1, Outcome.PUBLISHED), key, 40, "ab" * 32, 40)])
    assert [one["kind"] for one in iter_events(tmp_path)] == ["live", "live", "run"]
    with pytest.raises(ItemRefusal):
        journal.check_room(key, 1)
    journal.note([Event(Result(2, Outcome.PRESENT), key)])
    assert len(list(iter_events(tmp_path))) == 3


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_nothing_comes_in_where_no_log_can_be_written(
    store_fd: int, tmp_path: Path, what: str
) -> None:
    path, outside = tmp_path / ".server/audit.jsonl", tmp_path / "outside"
    if what == "link":
        path.symlink_to(outside)
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match=r"audit\.jsonl"):
        Journal(store_fd, Policy(), Actor("ana"), FakeClock().clock())
    assert not outside.exists()
