"""One object for live, unsealed and sealed runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import hpctrack
from hpctrack.errors import BusyError, NotFoundError, StoreError, StoreFormatError, UsageError
from hpctrack.store.record import RunRecord
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify import verify_run
from tests.programs import ROOT
from tests.stores import START_S, FakeClock, NodeWriter, write_run


def facts(run: StoredRun) -> dict[str, object]:
    """Everything that must not change when a run is sealed."""
    history = run.history()
    return {
        "record": run.record,
        "metrics": run.metrics(),
        "history": {name: history[name].tolist() for name in history},
        "columns": {
            name: {key: getattr(columns, key).tolist() for key in columns.__slots__}
            for name, columns in run.columns().items()
        },
    }


def test_sealing_changes_the_files_and_nothing_else(tmp_path: Path) -> None:
    folder = write_run(tmp_path, ranks=3)
    before = facts(StoredRun(folder))
    result = seal_run(folder)
    assert (result.points, result.node_files) == (15, 1)
    assert [path.name for path in folder.iterdir()] == ["run.h5"]
    assert facts(StoredRun(folder)) == before
    assert StoredRun(folder).is_sealed


def test_sealing_again_does_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    seal_run(folder)
    content = (folder / "run.h5").read_bytes()
    assert seal_run(folder).node_files == 0
    assert (folder / "run.h5").read_bytes() == content


def test_a_requeue_after_sealing_is_sealed_into_the_same_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path, ranks=1, steps=5)
    seal_run(folder)
    again = NodeWriter(tmp_path, attempt=2)
    session = again.start(0)
    again.points("loss", 0, [3, 4, 5], [30, 40, 50])
    again.end(0, session)
    again.close()
    mixed = StoredRun(folder)
    assert mixed.metric("loss").values.tolist() == [0, 0.01, 0.02, 30, 40, 50]
    assert mixed.metric("loss").recomputed_points == 2
    assert mixed.record.attempts == 2
    before = facts(mixed)
    mixed.close()
    assert seal_run(folder).points == 8
    assert facts(StoredRun(folder)) == before


def test_a_late_step_of_a_later_attempt_replaces_that_step_only(tmp_path: Path) -> None:
    for attempt, steps in ((1, range(0, 100, 10)), (2, (95, 20, 100, 15, 20))):
        writer = NodeWriter(tmp_path, attempt=attempt)
        session = writer.start(0)
        writer.points("eval", 0, list(steps), [attempt * 1000 + step for step in steps])
        writer.end(0, session)
        writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    for _state in ("live", "sealed", "sealed again"):
        series = run.metric("eval").rank(0)
        expected = [0, 10, 30, 40, 50, 60, 70, 80, 90, 95, 20, 100, 15, 20]
        assert series.step.tolist() == expected
        assert series.value[:2].tolist() == [1000, 1010]
        assert run.metric("eval").recomputed_points == 1
        assert len(run.metric("eval", attempt=1)) == 10
        assert run.envelope("eval").points.sum() == len(expected)
        assert run.envelope("eval", window=(20, 21)).low.min() == 2020
        run.close()
        seal_run(tmp_path / "p" / "r", limits=SealLimits(memory_rows=4, piece_rows=3))
        run = StoredRun(tmp_path / "p" / "r")


def test_a_running_run_is_not_sealed(tmp_path: Path) -> None:
    clock = FakeClock()
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.flush()
    with pytest.raises(BusyError, match="is running"):
        seal_run(writer.file.path.parent, clock=clock.clock())
    clock.now_s += 100
    assert seal_run(writer.file.path.parent, clock=clock.clock()).node_files == 1
    assert StoredRun(tmp_path / "p" / "r").state == "crashed"


def test_two_sealers_keep_out_of_each_others_way(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    lock = folder / ".seal.lock"
    lock.touch()
    with pytest.raises(BusyError, match="somebody is sealing"):
        seal_run(folder)
    assert StoredRun(folder).state == "finished"
    clock = FakeClock(lock.stat().st_mtime + 4000)
    assert seal_run(folder, clock=clock.clock()).node_files == 1


def test_nothing_is_removed_when_a_node_file_cannot_be_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    broken = folder / "node-0001.a1-0123abcd.h5"
    broken.write_bytes(b"not HDF5")
    files = sorted(path.name for path in folder.iterdir())
    with pytest.raises(StoreFormatError, match="cannot be read"):
        seal_run(folder)
    assert sorted(path.name for path in folder.iterdir()) == files


def test_a_sealer_that_died_before_it_removed_the_node_files_changes_nothing(
    tmp_path: Path,
) -> None:
    folder = write_run(tmp_path)
    (node_file,) = folder.iterdir()
    content = node_file.read_bytes()
    before = facts(StoredRun(folder))
    seal_run(folder)
    node_file.write_bytes(content)
    assert facts(StoredRun(folder)) == before
    assert StoredRun(folder).is_sealed
    assert seal_run(folder).node_files == 0
    assert [path.name for path in folder.iterdir()] == ["run.h5"]


def test_a_reader_sees_all_points_whenever_a_sealer_comes(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    opened, late = StoredRun(folder), StoredRun(folder)
    before = facts(opened)
    seal_run(folder)
    assert facts(opened) == before
    opened.refresh()
    assert facts(opened) == before
    assert facts(late) == before


def test_a_run_that_is_sealed_after_its_state_was_read_has_its_summary(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    whole = StoredRun(folder).record
    run = StoredRun(folder)
    assert run.state == "finished"
    seal_run(folder)
    assert run.summary == whole.summary != {}
    assert run.record == whole


GROW = """
import sys
from pathlib import Path
from tests.stores import NodeWriter
writer = NodeWriter(Path(sys.argv[1]))
writer.start(0)
for line in sys.stdin:
    writer.points("loss", 0, [int(line)], [float(line)])
    writer.flush()
    print(flush=True)
"""


GROW_MUCH = """
import sys
from pathlib import Path
from tests.stores import NodeWriter
writer = NodeWriter(Path(sys.argv[1]))
session = writer.start(0)
for number, line in enumerate(sys.stdin):
    steps = range(number * 5000, number * 5000 + 5000)
    writer.points("loss", 0, steps, [float(step) for step in steps])
    writer.flush()
    print(flush=True)
writer.end(0, session)
writer.close()
"""


def test_a_live_file_of_another_process_grows_under_a_reader(tmp_path: Path) -> None:
    # In one process HDF5 shares what is open between writer and reader; this is how it is used.
    with subprocess.Popen(
        [sys.executable, "-c", GROW, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as writer:
        assert writer.stdin
        assert writer.stdout
        run = None
        for step in range(3):
            writer.stdin.write(f"{step}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "\n"
            run = run or StoredRun(tmp_path / "p" / "r", clock=FakeClock().clock())
            run.refresh()
            assert run.metric("loss").values.tolist() == list(range(step + 1))
        assert run
        run.close()
        writer.stdin.close()
    assert writer.returncode == 0


def test_each_look_at_a_live_run_sees_what_is_there_while_older_looks_are_kept(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "p" / "r"
    with subprocess.Popen(
        [sys.executable, "-c", GROW_MUCH, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as writer:
        assert writer.stdin
        assert writer.stdout
        looks = []
        for count in range(1, 4):
            writer.stdin.write("go\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "\n"
            looks.append(StoredRun(folder, clock=FakeClock().clock()))
            assert len(looks[-1].metric("loss")) == count * 5000
            assert looks[-1].metric("loss").values[-1] == count * 5000 - 1
        looks[1].close()
        looks[1].close()
        looks[0].refresh()
        assert len(looks[0].metric("loss")) == 15000
        writer.stdin.close()
        assert writer.wait() == 0
    # In this process, which has looks open, the run can be checked and sealed all the same.
    assert StoredRun(folder).state == "finished"
    assert verify_run(folder).points == 15000
    assert seal_run(folder).points == 15000
    looks[0].refresh()
    assert len(looks[0].metric("loss")) == 15000


def test_a_live_file_grows_under_a_reader(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.points("loss", 0, [0], [1.0])
    writer.flush()
    run = StoredRun(tmp_path / "p" / "r", clock=FakeClock().clock())
    assert run.state == "running"
    assert len(run.metric("loss")) == 1
    writer.points("loss", 0, [1, 2], [2.0, 3.0])
    writer.points("acc", 0, [1], [0.5])
    writer.flush()
    run.refresh()
    assert run.metric("loss").values.tolist() == [1, 2, 3]
    assert run.summary == {"acc": 0.5, "loss": 3.0}
    writer.end(0, 0)
    writer.close()
    run.refresh()
    assert run.state == "finished"
    run.close()


def test_many_nodes_are_one_run(tmp_path: Path) -> None:
    for node in range(3):
        writer = NodeWriter(tmp_path, node=node)
        for rank in (2 * node, 2 * node + 1):
            session = writer.start(rank, size=6)
            writer.points("loss", rank, range(4), [rank * 10.0 + step for step in range(4)])
            writer.end(rank, session)
        writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    matrix = run.metric("loss").matrix()
    assert matrix.shape == (6, 4)
    assert matrix.values[5].tolist() == [50, 51, 52, 53]
    assert run.record.nodes == 3
    assert [rank.host for rank in run.ranks()] == ["n1", "n1", "n2", "n2", "n3", "n3"]
    assert run.history()["_rank"][:6].tolist() == [0, 1, 2, 3, 4, 5]


def test_rank_is_an_axis(tmp_path: Path) -> None:
    metric = StoredRun(write_run(tmp_path, ranks=4, steps=3)).metric("loss")
    assert metric.rank_numbers() == [0, 1, 2, 3]
    assert metric.rank(2).value.tolist() == [2, 2.01, 2.02]
    assert metric.reduce("mean").value == pytest.approx([1.5, 1.51, 1.52])
    assert metric.reduce("min").value.tolist() == [0, 0.01, 0.02]
    assert metric.reduce("max").value.tolist() == [3, 3.01, 3.02]
    assert metric.reduce("spread").value == pytest.approx([3, 3, 3])
    assert metric.reduce("std").value == pytest.approx(np.std([0, 1, 2, 3]) * np.ones(3))
    assert metric.reduce("p5").value[0] == pytest.approx(0.15)
    with pytest.raises(NotFoundError, match="rank 9"):
        metric.rank(9)
    with pytest.raises(UsageError, match="median"):
        metric.reduce("median")


def test_ranks_that_skip_steps_leave_gaps(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0, size=2)
    writer.start(1, size=2)
    writer.points("a", 0, [0, 2], [1, float("nan")])
    writer.points("a", 1, [1], [5])
    writer.close()
    metric = StoredRun(tmp_path / "p" / "r").metric("a")
    values = metric.matrix().values
    assert np.isnan(values).tolist() == [[False, True, True], [True, False, True]]
    reduced = metric.reduce("mean").value
    assert reduced[:2].tolist() == [1, 5]
    assert np.isnan(reduced[2])


def test_history_becomes_a_data_frame_of_every_kind(tmp_path: Path) -> None:
    run = StoredRun(write_run(tmp_path, ranks=2, steps=3))
    assert list(run.history("loss")) == ["_step", "_rank", "_timestamp", "loss"], "one is enough"
    history = run.history(["loss"])
    assert len(history) == 6
    assert list(history) == ["_step", "_rank", "_timestamp", "loss"]
    for frame in (history.to_pandas(), history.to_polars(), history.to_arrow().to_pandas()):
        assert list(frame["loss"]) == history["loss"].tolist()
    with pytest.raises(NotFoundError, match="no column 'x'"):
        history["x"]


def test_a_metric_that_was_never_logged_is_refused_with_its_neighbours(tmp_path: Path) -> None:
    run = StoredRun(write_run(tmp_path))
    with pytest.raises(NotFoundError, match="did you mean loss"):
        run.metric("lss")
    with pytest.raises(LookupError):
        run.history(["loss", "nope"])


def test_a_run_without_points_has_an_empty_history(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    assert len(run.history()) == 0
    assert run.metrics() == []
    run.close()
    assert seal_run(tmp_path / "p" / "r").points == 0
    assert len(StoredRun(tmp_path / "p" / "r").history()) == 0


@pytest.mark.parametrize("keep", [0, 1, 100, 1000, 5000, 20000])
def test_a_truncated_file_is_an_error_or_its_intact_part(tmp_path: Path, keep: int) -> None:
    folder = write_run(tmp_path)
    (file,) = folder.iterdir()
    data = file.read_bytes()
    file.write_bytes(data[: min(keep, len(data) - 1)])
    store = hpctrack.Store(tmp_path)
    for _run, error in store.broken():
        assert isinstance(error, (StoreError, NotFoundError))
    for run in store.runs():
        assert not run.columns(), "its points' name lies behind the cut"
        run.close()
    assert len(store.runs()) + len(store.broken()) == 1


def test_a_file_of_the_future_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    seal_run(folder)
    with h5py.File(folder / "run.h5", "r+") as file:
        file.attrs["format"] = 99
    with pytest.raises(StoreFormatError, match="format 99"):
        _ = StoredRun(folder).record


def test_one_broken_run_does_not_hide_the_others(tmp_path: Path) -> None:
    write_run(tmp_path, run="good")
    shutil.copytree(write_run(tmp_path, run="bad"), tmp_path / "p" / "worse")
    for name in ("bad", "worse"):
        for file in (tmp_path / "p" / name).iterdir():
            file.write_bytes(file.read_bytes()[:700])
    store = hpctrack.Store(tmp_path)
    assert [run.id for run in store.runs()] == ["good"]
    assert sorted(run.id for run, _error in store.broken()) == ["bad", "worse"]


def test_a_torn_event_is_passed_over(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.event(EventKind.CONFIG, {"a": 1})
    path = writer.close()
    with h5py.File(path, "r+") as file:
        rows = file["events"][:]
        rows["size"][-1] = 10_000_000
        file["events"][:] = rows
    assert StoredRun(path.parent).config == {}


@pytest.mark.hdf5
def test_sealed_files_open_with_the_clusters_old_tools(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    folder = write_run(tmp_path)
    seal_run(folder)
    done = subprocess.run(
        [
            program("h5dump"),
            "-d",
            "/metrics/0/value",
            "-a",
            "/metrics/0/name",
            str(folder / "run.h5"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"loss"' in done.stdout
    assert "1.04" in done.stdout


def test_a_record_survives_json(tmp_path: Path) -> None:
    import json

    record = StoredRun(write_run(tmp_path)).record
    assert RunRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    newer = {**record.to_json(), "from_the_future": 1}
    assert RunRecord.from_json(newer).created_wall_s == START_S
