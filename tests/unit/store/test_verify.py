"""Damage is found, what is intact is salvaged, and nothing is ever made worse."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpctrack.errors import BusyError, NotFoundError, StoreFormatError
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.repair import Deed, repair_run
from hpctrack.store.schema import EVENT, EventKind, Place
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify import Severity, verify_run
from tests.damage import PICTURE, STEPS, assert_prefix, make_old, make_run
from tests.stores import NodeWriter


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an intact run, not to be changed."""
    return make_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """An intact run that ended some time ago."""
    copy = tmp_path / "p" / "r"
    shutil.copytree(whole, copy)
    make_old(copy)
    return copy


def node_file(folder: Path) -> Path:
    (path,) = folder.glob("node-*.h5")
    return path


def change(path: Path, how: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    how(data)
    path.write_bytes(data)
    os.utime(path, (time.time() - 1000, time.time() - 1000))


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)
    os.utime(path, (time.time() - 1000, time.time() - 1000))


def test_an_intact_run_is_intact_live_and_sealed(folder: Path) -> None:
    report = verify_run(folder)
    assert report.findings == []
    assert (report.files, report.points) == (1, 2 * STEPS)
    assert repair_run(folder).actions == []
    seal_run(folder)
    sealed = verify_run(folder)
    assert sealed.findings == []
    assert (sealed.files, sealed.points) == (1, 2 * STEPS)
    assert sealed.to_json()["intact"] is True


def test_a_run_that_is_being_written_is_intact(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path, wall_s=time.time())
    writer.start(0)
    writer.points("loss", 0, [0], [1.0])
    writer.flush()
    folder = tmp_path / "p" / "r"
    report = verify_run(folder)
    assert report.is_intact
    assert [one.what for one in report.findings] == ["is being written"]
    with pytest.raises(BusyError, match="was written"):
        repair_run(folder)
    writer.close()


def test_a_cut_node_file_is_named_and_salvaged(folder: Path) -> None:
    path = node_file(folder)
    size = path.stat().st_size
    cut(path, size - 300_000)
    report = verify_run(folder)
    assert not report.is_intact
    assert any("rows are not there" in one.what for one in report.errors(path.name))
    with pytest.raises(StoreFormatError, match="a part is missing"):
        seal_run(folder)
    result = repair_run(folder)
    (action,) = result.actions
    assert (action.deed, result.is_intact) == (Deed.SALVAGED, True)
    assert action.points + action.lost_points == 2 * STEPS
    assert sum(assert_prefix(folder).values()) == action.points
    assert path.with_name(f"{path.name}.damaged").stat().st_size == size - 300_000
    after = verify_run(folder)
    assert after.is_intact
    assert {one.severity for one in after.findings} == {Severity.NOTE}
    said = [one.what for one in after.findings if one.what.startswith("incomplete: ")]
    assert said
    assert all("lost with a damaged file" in one for one in said)
    assert repair_run(folder).actions == []
    assert seal_run(folder).points == action.points


def test_a_file_whose_head_is_gone_is_salvaged_whole(folder: Path) -> None:
    path = node_file(folder)
    change(path, lambda data: data.__setitem__(slice(0, 48), bytes(48)))
    assert not verify_run(folder).is_intact
    (action,) = repair_run(folder).actions
    assert (action.deed, action.points, action.lost_points) == (Deed.SALVAGED, 2 * STEPS, 0)
    run = StoredRun(folder)
    assert (run.config, run.state) == ({"lr": 0.1}, "finished")
    run.close()
    with NodeReader(path) as reader:
        (where,) = [
            one.json() for one in reader.read_events().events if one.kind == EventKind.PAYLOAD
        ]
        assert reader.read_bytes(Place.BLOBS, where["offset"], where["size"]) == PICTURE


def test_a_hole_in_the_points_costs_only_the_hole(folder: Path) -> None:
    path = node_file(folder)

    def punch(data: bytearray) -> None:
        at = data.find((4000).to_bytes(8, "little"), 20_000)
        data[at : at + 32 * 500] = bytes(32 * 500)

    change(path, punch)
    found = verify_run(folder).errors()
    assert any("points have no time" in one.what for one in found)
    (action,) = repair_run(folder).actions
    assert action.points == 2 * STEPS - 500
    assert sum(assert_prefix(folder).values()) == 2 * STEPS - 500


def test_a_hole_in_the_points_is_not_read_or_sealed_as_points(folder: Path) -> None:
    # What a file system has not written of a file when its node lost power.
    with h5py.File(node_file(folder), "r") as file:
        at = file["points"].id.get_chunk_info(1).byte_offset
    change(node_file(folder), lambda data: data.__setitem__(slice(at, at + 3200), bytes(3200)))
    assert sum(assert_prefix(folder).values()) == 2 * STEPS - 100
    with pytest.raises(StoreFormatError, match="100 points without a time"):
        seal_run(folder)
    repair_run(folder)
    assert seal_run(folder).points == 2 * STEPS - 100


def test_points_that_are_all_gone_are_none(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path, wall_s=0.0)
    writer.points("loss", 0, [0, 0], [0.0, 0.0])
    folder = writer.close().parent
    assert StoredRun(folder).metrics() == []


def test_a_name_whose_bytes_are_said_to_be_elsewhere_is_damage(folder: Path) -> None:
    with h5py.File(node_file(folder), "r") as file:
        events = file["events"]
        rows = events[:]
        first = events.id.get_chunk_info(0).byte_offset
    named = int(np.flatnonzero(rows["kind"] == EventKind.NAME)[0])
    fields = EVENT.fields
    assert fields
    at = first + named * EVENT.itemsize + fields["flags"][1]
    change(node_file(folder), lambda data: data.__setitem__(at, Place.TEXT))
    assert set(assert_prefix(folder)) == {"acc"}
    assert not verify_run(folder).is_intact


def test_a_run_that_is_open_sees_that_it_was_repaired(folder: Path) -> None:
    with h5py.File(node_file(folder), "r") as file:
        at = file["points"].id.get_chunk_info(1).byte_offset
    change(node_file(folder), lambda data: data.__setitem__(slice(at, at + 3200), bytes(3200)))
    run = StoredRun(folder)
    assert run.sources()[0].facts["points"] == 2 * STEPS
    assert repair_run(folder).actions
    run.refresh()
    assert run.sources()[0].facts["points"] == 2 * STEPS - 100
    run.close()


def test_a_picture_with_other_bytes_is_found(folder: Path) -> None:
    path = node_file(folder)
    change(path, lambda data: data.__setitem__(data.find(PICTURE[:256]) + 7, 99))
    (error,) = verify_run(folder).errors()
    assert "has other bytes than were written" in error.what
    (action,) = repair_run(folder).actions
    assert (action.deed, action.lost_points) == (Deed.SALVAGED, 0)
    assert "lost: 1 events" in action.text


def test_what_cannot_be_salvaged_is_left_unless_forced(folder: Path) -> None:
    path = node_file(folder)
    path.write_bytes(b"nothing of ours")
    make_old(folder)
    result = repair_run(folder)
    assert [one.deed for one in result.actions] == [Deed.LEFT]
    assert not result.is_intact
    assert path.read_bytes() == b"nothing of ours"
    assert [one.deed for one in repair_run(folder, force=True).actions] == [Deed.SET_ASIDE]
    assert [one.name for one in folder.iterdir()] == [f"{path.name}.damaged"]


def test_halves_of_killed_writers_are_removed_when_they_are_old(folder: Path) -> None:
    names = [".node-0000.a1-0123abcd.h5.tmp", ".probe-0123abcd.tmp", "run.h5.77.tmp"]
    for name in names:
        (folder / name).touch()
    (folder / ".repair-0123").mkdir()
    assert repair_run(folder).actions == []
    warned = {one.file for one in verify_run(folder).findings if one.severity == "warning"}
    assert warned == {*names, ".repair-0123"}
    make_old(folder)
    assert {one.file for one in repair_run(folder).actions} == {*names, ".repair-0123"}
    assert verify_run(folder).findings == []


def test_somebodys_copy_of_a_sealed_file_is_left_alone(folder: Path) -> None:
    seal_run(folder)
    shutil.copy(folder / "run.h5", folder / "run.h5.bak")
    make_old(folder)
    (finding,) = verify_run(folder).findings
    assert finding.severity == Severity.NOTE
    assert repair_run(folder, force=True).actions == []
    assert (folder / "run.h5.bak").exists()


def test_a_damaged_sealed_file_is_only_touched_when_forced(folder: Path) -> None:
    seal_run(folder)
    path = folder / "run.h5"
    with_damage = bytearray(path.read_bytes())
    at = find_column(path, "acc")
    with_damage[at : at + 40] = bytes(40)
    path.write_bytes(with_damage)
    report = verify_run(folder)
    assert any("is damaged" in one.what for one in report.errors("run.h5"))
    assert [one.deed for one in repair_run(folder).actions] == [Deed.LEFT]
    assert path.read_bytes() == with_damage
    (action,) = repair_run(folder, force=True).actions
    assert (action.deed, action.points, action.lost_points) == (Deed.SALVAGED, STEPS, STEPS)
    assert (folder / "run.h5.damaged").read_bytes() == with_damage
    assert assert_prefix(folder) == {"loss": STEPS}
    assert StoredRun(folder).state == "finished"
    assert seal_run(folder).points == STEPS
    assert verify_run(folder).is_intact


@pytest.mark.parametrize("table", ["heap", "events", "index"])
def test_a_damaged_table_of_a_sealed_file_costs_no_points(folder: Path, table: str) -> None:
    seal_run(folder)
    with h5py.File(folder / "run.h5") as file:
        found = file[table].id.get_chunk_info(0)
    at = found.byte_offset + found.size // 2
    change(folder / "run.h5", lambda data: data.__setitem__(at, data[at] ^ 0x40))
    (action,) = repair_run(folder, force=True).actions
    assert (action.deed, action.points, action.lost_points) == (Deed.SALVAGED, 2 * STEPS, 0)
    assert ("lost" in action.text) == (table != "index")
    assert assert_prefix(folder) == {"loss": STEPS, "acc": STEPS}
    assert verify_run(folder).is_intact
    assert seal_run(folder).points == 2 * STEPS


def test_of_a_damaged_heap_one_chunk_is_lost(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    for number in range(4):
        writer.event(EventKind.NOTE, {"text": f"{number}" + os.urandom(70_000).hex()})
    writer.end(0, session)
    folder = writer.close().parent
    seal_run(folder)
    with h5py.File(folder / "run.h5") as file:
        found = file["heap"].id.get_chunk_info(2)
    change(folder / "run.h5", lambda data: data.__setitem__(found.byte_offset + 99, 0))
    change(folder / "run.h5", lambda data: data.__setitem__(found.byte_offset + 100, 0))
    repair_run(folder, force=True)
    record = StoredRun(folder).record
    assert record.state == "finished"
    assert [one["text"][0] for one in record.warnings] == ["0", "3"]


def find_column(path: Path, metric: str) -> int:
    """Return where the bytes of a metric's values are."""
    import h5py

    with h5py.File(path, "r") as file:
        for _name, group, *_rest in json.loads(file["index"][0])["metrics"]:
            if _name == metric:
                offset: int = file["metrics"][group]["value"].id.get_chunk_info(0).byte_offset
                return offset
    raise AssertionError(metric)


def test_a_repair_of_two_attempts_sealed_keeps_them_apart(tmp_path: Path) -> None:
    for attempt in (1, 2):
        writer = NodeWriter(tmp_path, attempt=attempt)
        session = writer.start(0)
        steps = range(3 * attempt, 3 * attempt + 6)
        writer.points("loss", 0, steps, [attempt + step / 100 for step in steps])
        writer.points("other", 0, steps, [1.0] * 6)
        writer.end(0, session)
        writer.close()
    folder = tmp_path / "p" / "r"
    seal_run(folder)
    expected = StoredRun(folder).metric("loss").values.tolist()
    at = find_column(folder / "run.h5", "other")
    change(folder / "run.h5", lambda data: data.__setitem__(slice(at, at + 8), bytes(8)))
    repair_run(folder, force=True)
    run = StoredRun(folder)
    assert run.metric("loss").values.tolist() == expected
    assert run.metric("loss").recomputed_points == 3
    assert run.record.attempts == 2
    run.close()


def test_a_run_under_another_name_is_found(folder: Path) -> None:
    moved = folder.with_name("other")
    folder.rename(moved)
    assert "it is of run 'r', not 'other'" in [one.what for one in verify_run(moved).errors()]
    seal_run(moved, force=True)
    with pytest.raises(NotFoundError):
        verify_run(folder)


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "p" / "r").mkdir(parents=True)
    (finding,) = verify_run(tmp_path / "p" / "r").findings
    assert finding.what == "the run has no files"


def test_losses_of_two_repairs_add_up(folder: Path) -> None:
    for count in (100, 50):
        path = node_file(folder)
        with h5py.File(path, "r") as file:
            at = file["points"].id.get_chunk_info(1).byte_offset
        data = bytearray(path.read_bytes())
        data[at : at + 32 * count] = bytes(32 * count)
        path.write_bytes(data)
        make_old(folder)
        repair_run(folder)
    assert StoredRun(folder).record.ledger == {"unsalvaged_points": 150}
    seal_run(folder)
    assert StoredRun(folder).record.ledger == {"unsalvaged_points": 150}
