"""Replicas on disks that fill up: refused, readable, and going on when there is room again."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.core.layout import run_folder
from hpctrack.errors import StoreFullError
from hpctrack.store.replica import read_replicas
from hpctrack.store.verify import verify_run
from hpctrack.store.vocabulary import TABLE_ROW_BYTES
from hpctrack.sync.sending.tails import TailReader
from tests.faults import disks
from tests.replicas import Appender, assert_prefix, read_rows, write_some
from tests.stores import START_S, NodeWriter

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("kind", ["ext4", "ext2", "tmpfs"])
def test_a_full_disk_refuses_a_tail_and_keeps_the_replica(kind: str, tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path / "there")
    writer.start(0)
    for number in range(20):
        write_some(writer, number, points=4000)
    path = writer.close()
    rows = read_rows(path)
    with TailReader(path) as reader:
        tails = list(reader.iter_tails({}, START_S + 100, limit_bytes=100_000))
    with disks.mounted(kind, tmp_path) as disk:
        folder = run_folder(disk, "p", "r")
        folder.mkdir(parents=True)
        with Appender(folder) as appender:
            taken = refused = 0
            for number, tail in enumerate(tails):
                if number == len(tails) // 2:
                    disks.fill(disk)
                try:
                    appender.append(path.name, tail)
                except StoreFullError:
                    refused += 1
                    break
                taken += 1
            assert (taken, refused) == (len(tails) // 2, 1)
            found = read_rows(folder / path.name)
            assert_prefix(found, rows)
            noted = read_replicas(folder)[path.name].rows
            assert noted == {name: len(found[name]) // TABLE_ROW_BYTES[name] for name in found}
            assert verify_run(folder).errors() == []
            for tail in tails[taken:]:
                with pytest.raises(StoreFullError):
                    appender.append(path.name, tail)
                break
            (disk / "filler").unlink()
            for tail in tails[taken:]:
                appender.append(path.name, tail)
        assert read_rows(folder / path.name) == rows
        assert [one.name for one in folder.iterdir() if one.name.endswith(".tmp")] == []


def grow(writer: NodeWriter, appender: Appender) -> None:
    for number in range(1, 200):
        write_some(writer, number, points=4000)
        appender.sync(writer.file.path, as_of_wall_s=START_S)


def test_little_room_is_used_before_a_tail_is_refused(tmp_path: Path) -> None:
    """What was taken for a tail is given back."""
    writer = NodeWriter(tmp_path / "there")
    writer.start(0)
    with disks.mounted("ext4", tmp_path) as disk:
        folder = run_folder(disk, "p", "r")
        folder.mkdir(parents=True)
        with Appender(folder) as appender:
            write_some(writer, 0)
            appender.sync(writer.file.path, as_of_wall_s=START_S)
            disks.fill(disk, leave_bytes=12 * disks.MIB)
            with pytest.raises(StoreFullError):
                grow(writer, appender)
        size_bytes = (folder / writer.file.path.name).stat().st_size
        assert size_bytes > 6 * disks.MIB
