"""Replicas on disks that fill up: refused, readable, and going on when there is room again."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from hpctrack.core.layout import run_folder
from hpctrack.errors import StoreFullError
from hpctrack.store.replica import read_replicas
from hpctrack.store.verify import verify_run
from hpctrack.store.vocabulary import TABLE_ROW_BYTES
from hpctrack.sync.sending.tails import TailReader
from tests.faults import disks
from tests.programs import ROOT
from tests.replicas import Appender, assert_prefix, read_rows, write_some
from tests.stores import START_S, NodeWriter

FLAGS_AT = 11
"""Where a file says that somebody has it open for writing."""

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


def test_a_replica_that_has_to_be_made_anew_waits_for_room(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path / "there")
    writer.start(0)
    with disks.mounted("ext4", tmp_path) as disk:
        folder = run_folder(disk, "p", "r")
        folder.mkdir(parents=True)
        path = folder / writer.file.path.name
        with Appender(folder) as appender:
            write_some(writer, 0, points=100_000)
            appender.sync(writer.file.path, as_of_wall_s=START_S)
            kill_at = 300
            while not path.read_bytes()[FLAGS_AT]:
                write_some(writer, 1)
                with TailReader(writer.file.path) as reader:
                    (tail,) = reader.iter_tails(read_replicas(folder)[path.name].rows, START_S)
                appender.append(path.name, tail, kill_at=kill_at)
                kill_at += 7
            disks.fill(disk)
            found = read_rows(path)
            assert_prefix(found, read_rows(writer.file.path))
            with pytest.raises(StoreFullError):
                appender.sync(writer.file.path, as_of_wall_s=START_S)
            assert read_rows(path) == found
            (disk / "filler").unlink()
            appender.sync(writer.file.path, as_of_wall_s=START_S)
        assert read_rows(path) == read_rows(writer.file.path)
        assert not list(folder.glob(".*.tmp"))


FAILING = """
import os, pickle, sys
from pathlib import Path
from hpctrack.errors import StoreError
from hpctrack.store.growing_file import has_abandoned_files
from hpctrack.store.replica import append_tail
from tests.faults import disks

for line in range(4):
    disk, folder, name, tail = pickle.load(sys.stdin.buffer)
    if disk:
        disks.shut_down(Path(disk))
    try:
        append_tail(Path(folder), name, tail)
        print("taken", flush=True)
    except StoreError as error:
        print("refused", flush=True)
os._exit(0)
"""


def test_a_disk_that_fails_costs_its_own_replica_and_no_other(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path / "there")
    writer.start(0)
    for number in range(4):
        write_some(writer, number)
    path = writer.close()
    with TailReader(path) as reader:
        (tail,) = reader.iter_tails({}, START_S + 100)
    with TailReader(path) as reader:
        first, *_rest = reader.iter_tails({}, START_S + 100, limit_bytes=9000)
    with disks.mounted("ext4", tmp_path) as disk:
        folders = [run_folder(one, "p", "r") for one in (disk, tmp_path / "here")]
        for folder in folders:
            folder.mkdir(parents=True)
        turns = [
            ("", str(folders[0]), path.name, first),
            (str(disk), str(folders[0]), path.name, tail),
            ("", str(folders[0]), path.name, tail),
            ("", str(folders[1]), path.name, tail),
        ]
        done = subprocess.run(
            [sys.executable, "-c", FAILING],
            input=b"".join(map(pickle.dumps, turns)),
            capture_output=True,
            check=False,
            cwd=ROOT,
        )
        assert done.stdout.split() == [b"taken", b"refused", b"refused", b"taken"], done.stderr
        assert done.returncode == 0
    assert read_rows(folders[1] / path.name) == read_rows(path)


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
