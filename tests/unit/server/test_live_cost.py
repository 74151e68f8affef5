"""Looks that cost next to nothing miss nothing: ends, requeues, files replaced, dead writers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpctrack.core.layout import SEALED_NAME
from hpctrack.store.annotation_file import edit_annotations
from hpctrack.store.seal import seal_run
from hpctrack_server.data.entries import Entries
from hpctrack_server.data.index.project_scan import ProjectScan
from hpctrack_server.data.index.query import RunQuery
from hpctrack_server.data.index.saved import SavedTable
from hpctrack_server.data.index.scanner import IDLE_S, WATCHED_S, Scanner
from hpctrack_server.data.series.live_feed import LiveFeeds, Tick
from hpctrack_server.data.series.open_runs import OpenRuns
from hpctrack_server.data.series.query import RankChoice
from tests.stores import FakeClock, NodeWriter, write_run

SOURCE = ("p", "r")
LOOKS = 6
"""As many as see to it that everything is looked at, a second apart."""


class Scene:
    """A live run, its table and its charts, under a clock of our own."""

    def __init__(self, store: Path) -> None:
        # The folder's time is the machine's: it is long settled.
        self.time = FakeClock(now_s=2_000_000_000.0)
        self.store = store
        clock = self.time.clock()
        self.writer = self.begin(steps=10)
        self.feeds = LiveFeeds(store, clock=clock, stale_after_s=60.0)
        self.table = Scanner(
            store, clock=clock, stale_after_s=60.0, interval_s=1.0, cache=store / "cache"
        )
        self.look()
        self.row()

    def begin(self, *, attempt: int = 1, steps: int) -> NodeWriter:
        writer = NodeWriter(self.store, attempt=attempt, wall_s=self.time.now_s)
        writer.start(0)
        self.add(writer, range(steps))
        return writer

    def add(self, writer: NodeWriter, steps: range) -> None:
        writer.wall_s = self.time.now_s
        writer.points("loss", 0, steps, [float(one) for one in steps])
        writer.flush()

    def look(self, looks: int = 1) -> list[Tick]:
        wanted = {SOURCE: frozenset({RankChoice.MEAN})}
        return [self.feeds.look(wanted)[SOURCE] for _ in range(looks)]

    def row(self) -> dict[str, Any]:
        """Return the table's row as a page sees it that has been open for a while."""
        self.table.snapshot("p")
        for _ in range(2):
            self.time.now_s += 1.5
            self.table.refresh()
        found = self.table.snapshot("p")
        query = RunQuery()
        rows = found.order(query, found.find(query, now_wall_s=self.time.now_s), 1)
        return {key: values[0] for key, values in found.take([*found.kinds], rows).items()}

    def close(self) -> None:
        self.feeds.close()
        self.table.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.close()


def test_a_table_has_the_latest_values_of_a_run_that_only_grows(scene: Scene) -> None:
    for stop in (11, 13, 5000):
        scene.add(scene.writer, range(stop - 1, stop))
        row = scene.row()
        assert (row["summary.loss"], row["state"]) == (stop - 1, "running")


def test_what_a_run_says_and_what_people_say_of_it_is_seen(scene: Scene) -> None:
    assert scene.row()["name"] == "calm-lake-1"
    scene.writer.points("fresh", 0, [0], [7.0])
    scene.writer.flush()
    assert scene.row()["summary.fresh"] == 7
    edit_annotations(scene.store, "p", "r", name="edited", by="bob")
    assert scene.row()["name"] == "edited"


def test_a_run_that_ends_is_over(scene: Scene) -> None:
    scene.writer.end(0, 0)
    scene.writer.close()
    assert scene.row()["state"] == "finished"
    assert scene.look(LOOKS)[-1].is_over


@pytest.mark.parametrize("pause_s", [1.0, 4.0, 20.0])
def test_a_run_that_has_ended_and_starts_again_is_seen_at_the_next_look(
    scene: Scene, pause_s: float
) -> None:
    scene.writer.end(0, 0)
    scene.writer.close()
    assert scene.row()["state"] == "finished"
    scene.time.now_s += pause_s
    again = scene.begin(attempt=2, steps=3)
    row = scene.row()
    assert (row["state"], row["attempts"], row["summary.loss"]) == ("running", 2, 2)
    again.end(0, 0)
    again.close()
    assert scene.row()["state"] == "finished"


def test_a_run_whose_writer_was_killed_is_over_when_it_has_been_silent_for_long(
    scene: Scene,
) -> None:
    scene.add(scene.writer, range(10, 12))
    assert not scene.look(LOOKS)[-1].is_over
    scene.time.now_s += 61
    assert scene.look(LOOKS)[-1].is_over
    assert scene.row()["state"] == "crashed"


def test_a_file_that_another_one_replaces_is_read_though_it_is_as_long_and_as_old(
    scene: Scene,
) -> None:
    path, before = scene.writer.file.path, scene.writer.file.path.stat()
    copy = path.with_name("copy.tmp")
    scene.add(scene.writer, range(10, 15))
    shutil.copyfile(path, copy)
    os.truncate(copy, before.st_size)
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.replace(path)
    ticks = scene.look(LOOKS)
    assert any(tick.pieces for tick in ticks)
    assert scene.row()["summary.loss"] == 14


def test_a_new_attempt_is_found_though_the_folder_is_as_old_by_its_clock(scene: Scene) -> None:
    folder = scene.writer.file.path.parent
    second_ns = int(scene.time.now_s) * 10**9
    os.utime(folder, ns=(second_ns, second_ns))
    scene.look(LOOKS)
    scene.writer.close()
    again = scene.begin(attempt=2, steps=3)
    os.utime(folder, ns=(second_ns, second_ns))
    assert any(tick.is_stale or tick.pieces for tick in scene.look(LOOKS))
    assert scene.row()["attempts"] == 2
    again.close()


def test_a_broken_file_that_was_mended_is_read_by_a_tick_that_looks_at_nothing_else(
    tmp_path: Path,
) -> None:
    time, store = FakeClock(), tmp_path / "store"
    folders = [write_run(store, run=f"r{number}") for number in range(3)]
    for one in folders:
        seal_run(one)
    path = folders[1] / SEALED_NAME
    whole = path.read_bytes()
    path.write_bytes(b"no HDF5")
    scan = ProjectScan(
        store,
        "p",
        entries=Entries(store, clock=time.clock(), stale_after_s=60.0),
        clock=time.clock(),
        saved=SavedTable(store, "p", folder=tmp_path / "cache"),
        token="t",  # noqa: S106 - begins the versions
    )
    assert list(scan.build())
    assert [one.id for one in scan.snapshot().broken] == ["r1"]
    path.write_bytes(whole)
    scan.tick(budget_s=1.0)
    assert not scan.snapshot().broken
    assert sum(one.sum() for one in scan.snapshot().alive) == len(folders)
    scan.close()


def test_how_many_points_a_run_has_is_known_while_it_grows_is_requeued_and_ends(
    scene: Scene,
) -> None:
    runs = OpenRuns(scene.store, clock=scene.time.clock(), stale_after_s=60.0)

    def count() -> tuple[dict[str, int], bool]:
        scene.time.now_s += 1.5
        return runs.sizes("p", "r"), runs.get("p", "r").is_live

    assert count() == ({"loss": 10}, True)
    version = runs.get("p", "r").version
    scene.add(scene.writer, range(10, 15))
    assert count() == ({"loss": 15}, True)
    assert runs.get("p", "r").version != version
    scene.writer.points("fresh", 0, [0, 1], [7.0, 8.0])
    scene.writer.flush()
    assert count() == ({"loss": 15, "fresh": 2}, True)
    scene.writer.close()
    again = scene.begin(attempt=2, steps=3)
    assert count() == ({"loss": 18, "fresh": 2}, True)
    scene.add(again, range(3, 4))
    assert count() == ({"loss": 19, "fresh": 2}, True)
    again.end(0, 0)
    again.close()
    assert count() == ({"loss": 19, "fresh": 2}, False)
    runs.close()


def test_a_folder_that_is_gone_is_gone(scene: Scene) -> None:
    shutil.rmtree(scene.writer.file.path.parent)
    scene.table.refresh()
    assert len(scene.table.snapshot("p").alive) == 0
    assert scene.look(LOOKS)[-1].is_over


def test_a_project_that_nobody_looks_at_is_read_rarely_and_at_once_when_somebody_does(
    scene: Scene,
) -> None:
    scene.time.now_s += WATCHED_S + IDLE_S
    scene.table._look()  # what its thread does
    version = scene.table._snapshots["p"].version  # without asking for it
    scene.add(scene.writer, range(10, 20))
    scene.time.now_s += 1.5
    scene.table._look()
    assert scene.table._snapshots["p"].version == version
    assert scene.row()["summary.loss"] == 19
