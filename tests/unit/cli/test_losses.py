"""Every command says that something of a run is missing, and nothing of runs that are whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import pytest

from hpctrack import Store
from hpctrack.cli import main as cli
from hpctrack.store.repair import repair_run
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.stores import START_S, FakeClock, NodeWriter, write_run

Capture = pytest.CaptureFixture[str]

SAID = "incomplete: p/lossy: 18,160 points dropped, 2 refused: value"

READERS = (
    ("tail", "RUN", "-n", "1"),
    ("stragglers", "RUN", "--metric", "loss"),
    ("diff", "RUN", "whole"),
    ("logs", "RUN"),
    ("media", "RUN"),
    ("seal", "RUN"),
)


def call(capsys: Capture, *arguments: str) -> tuple[str, str]:
    capsys.readouterr()
    code = cli.run(list(arguments))
    found = capsys.readouterr()
    assert code in {0, 1}, found.err
    return found.out, found.err


def call_json(capsys: Capture, *arguments: str) -> Any:
    return json.loads(call(capsys, *arguments, "--json")[0])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The default store: a run that had to drop points, and one that had not."""
    path = tmp_path / "store"
    write_run(path, run="whole")
    writer = NodeWriter(path, run="lossy")
    session = writer.start(0)
    writer.points("loss", 0, range(9), [1.0] * 9)
    ledger = {"dropped_points": 18_160, "refused": {"value": 2}, "agents_lost": 1}
    writer.event(EventKind.LEDGER, ledger, session=session)
    writer.end(0, session)
    writer.close()
    return path


@pytest.mark.parametrize("is_sealed", [False, True])
@pytest.mark.parametrize("arguments", READERS, ids=[one[0] for one in READERS])
def test_a_line_on_stderr_says_what_is_missing(
    arguments: tuple[str, ...], *, is_sealed: bool, store: Path, capsys: Capture
) -> None:
    if is_sealed:
        for run in ("whole", "lossy"):
            seal_run(store / "p" / run)
    for run in ("whole", "lossy"):
        _out, err = call(capsys, *(run if one == "RUN" else one for one in arguments))
        assert err.count(SAID) == (run == "lossy")
        assert err.count("incomplete") == (run == "lossy")


def test_json_has_the_losses_in_words(store: Path, capsys: Capture) -> None:
    words = ["18,160 points dropped", "2 refused: value"]
    assert call_json(capsys, "logs", "lossy")["lost"] == words
    assert call_json(capsys, "media", "lossy")["lost"] == words
    assert call_json(capsys, "stragglers", "lossy", "--metric", "loss")["missing"] == words
    assert call_json(capsys, "diff", "whole", "lossy")["lost"] == {"p/lossy": words}
    out, _err = call(capsys, "tail", "lossy", "--json")
    assert json.loads(out.splitlines()[-1])["lost"] == words
    (sealed,) = call_json(capsys, "seal", "lossy")["runs"]
    assert (sealed["lost"], sealed["ledger"]["dropped_points"]) == (words, 18_160)


def test_ls_has_a_column_only_if_something_is_missing(store: Path, capsys: Capture) -> None:
    for _time in range(2):
        out, _err = call(capsys, "ls")
        assert out.splitlines()[0].split()[4] == "lost"
        assert out.count("18,160 points dropped +1") == 1
        lost = {one["id"]: one["lost"] for one in call_json(capsys, "ls")["runs"]}
        assert lost == {"lossy": ["18,160 points dropped", "2 refused: value"], "whole": []}
        # The second time the listing index answers.
        seal_run(store / "p" / "lossy")
        call(capsys, "ls")
    out, _err = call(capsys, "ls", "-s", "failed")
    assert "lost" not in out


def test_verify_notes_it_and_the_run_is_intact(store: Path, capsys: Capture) -> None:
    out, _err = call(capsys, "verify")
    assert "note: incomplete: 18,160 points dropped" in out
    assert "2 runs are intact" in out
    assert out.count("incomplete") == 2


def test_sync_says_what_is_missing_of_what_it_sends(
    store: Path, tmp_path: Path, capsys: Capture
) -> None:
    target = str(tmp_path / "there")
    _out, err = call(capsys, "sync", "--no-accounting", target)
    assert (err.count(SAID), err.count("incomplete")) == (1, 1)
    _out, err = call(capsys, "sync", "--no-accounting", target)
    assert "incomplete" not in err


def test_python_readers_say_it(store: Path) -> None:
    runs = {run.id: run for run in Store(store).runs()}
    lossy, whole = runs["lossy"], runs["whole"]
    assert lossy.lost == ("18,160 points dropped", "2 refused: value")
    assert lossy.ledger["dropped_points"] == 18_160
    assert (whole.lost, whole.ledger) == ((), {})
    said = "incomplete: 18,160 points dropped, 2 refused: value"
    for run in (lossy, whole):
        metric = run.metric("loss")
        found = (
            run,
            metric,
            metric.attempt(1),
            run.history(),
            run.stragglers("loss"),
        )
        for one in found:
            assert (said in repr(one)) == (run is lossy)
        run.close()


def test_what_the_agent_survived_is_no_loss(tmp_path: Path, capsys: Capture) -> None:
    writer = NodeWriter(tmp_path / "store")
    session = writer.start(0)
    writer.event(EventKind.LEDGER, {"agents_lost": 2, "dropped_frames": 0}, session=session)
    writer.end(0, session)
    writer.close()
    (run,) = Store(tmp_path / "store").runs()
    assert run.lost == ()
    assert "incomplete" not in repr(run)
    assert "lost" not in call(capsys, "ls")[0]
    assert "agents_lost" in call(capsys, "show", "r")[0]


# -- files that were cut -------------------------------------------------------------------------


def cut_run(store: Path, *, run: str = "cut", is_closed: bool = True) -> Path:
    """Write a run of 100,000 points and cut its file in the middle of them; return its folder."""
    writer = NodeWriter(store, run=run)
    session = writer.start(0)
    for start in range(0, 100_000, 10_000):
        steps = range(start, start + 10_000)
        writer.points("loss", 0, steps, [float(one) for one in steps])
        writer.flush()
    if is_closed:
        writer.end(0, session)
    path = writer.close() if is_closed else writer.file.path
    os.truncate(path, path.stat().st_size // 2)
    return path.parent


def test_what_is_missing_of_a_cut_file_is_told_by_all(tmp_path: Path, capsys: Capture) -> None:
    store = tmp_path / "store"
    write_run(store, run="whole")
    folder = cut_run(store)
    (run,) = (one for one in Store(store).runs() if one.id == "cut")
    there = len(run.metric("loss"))
    missing = f"{100_000 - there:,} points cannot be read"
    assert 0 < there < 100_000
    assert missing in run.lost
    assert missing in repr(run.metric("loss"))
    run.close()
    said = "`hpctrack verify p/cut` tells more"
    assert missing in call(capsys, "ls")[0]
    shown = call(capsys, "show", "cut")[0]
    assert f"{100_000 - there:,}" in shown
    assert "`hpctrack verify p/cut` says of which files" in shown
    assert missing in call_json(capsys, "show", "cut")["lost"]
    for arguments in READERS[:-1]:
        err = call(capsys, *("cut" if one == "RUN" else one for one in arguments))[1]
        assert missing in err
        assert said in err
    # And it stays on record when the file has been put in order.
    assert repair_run(folder).is_intact
    seal_run(folder)
    (run,) = (one for one in Store(store).runs() if one.id == "cut")
    assert len(run.metric("loss")) == there
    assert f"{100_000 - there:,} points lost with a damaged file" in run.lost
    assert "points lost with a damaged file" in call(capsys, "ls")[0]


def test_a_file_that_somebody_writes_is_not_called_damaged(tmp_path: Path) -> None:
    """Over NFS a reader may not know yet how long the file is."""
    clock = FakeClock(START_S)
    folder = cut_run(tmp_path, is_closed=False)
    run = StoredRun(folder, clock=clock.clock())
    assert (run.state, run.lost) == ("running", ())
    clock.now_s += 1000.0  # its agent is gone
    run.refresh()
    assert run.state == "crashed"
    assert any("points cannot be read" in one for one in run.lost)
    run.close()


def test_what_cannot_be_opened_at_all_is_counted(tmp_path: Path) -> None:
    write_run(tmp_path)
    (whole,) = (tmp_path / "p" / "r").iterdir()
    whole.with_name("node-0001.a1-00000000.h5").write_bytes(b"nothing of ours")
    (run,) = Store(tmp_path).runs()
    assert run.lost == ("1 file cannot be read",)


def test_a_second_repair_adds_to_what_the_first_one_lost(tmp_path: Path) -> None:
    folder = cut_run(tmp_path)
    repair_run(folder)
    (path,) = folder.glob("node-*.h5")
    os.truncate(path, path.stat().st_size * 3 // 4)
    repair_run(folder)
    (run,) = Store(tmp_path).runs()
    there = len(run.metric("loss"))
    assert run.lost[0] == f"{100_000 - there:,} points lost with a damaged file"
    run.close()


def test_what_is_lost_of_a_sealed_file_stays_on_record(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    writer.event(EventKind.LEDGER, {"dropped_points": 3}, session=session)
    for name in ("acc", "loss"):
        writer.points(name, 0, range(50_000), [one * 0.1 for one in range(50_000)])
    writer.end(0, session)
    folder = writer.close().parent
    sealed = seal_run(folder).path
    data = bytearray(sealed.read_bytes())
    with h5py.File(sealed) as file:
        at = file["metrics/0/value"].id.get_chunk_info(0)
    data[at.byte_offset + at.size // 2] ^= 0xFF
    sealed.write_bytes(data)
    assert repair_run(folder, force=True).is_intact
    seal_run(folder)
    (run,) = Store(tmp_path).runs()
    lost = 100_000 - sum(len(one) for one in run.columns().values())
    assert lost > 0
    assert run.lost == ("3 points dropped", f"{lost:,} points lost with a damaged file")


def test_points_that_a_disk_lost_in_the_middle_of_a_file_are_counted(tmp_path: Path) -> None:
    folder = write_run(tmp_path, ranks=1, steps=9000)
    (path,) = folder.iterdir()
    with h5py.File(path, swmr=True) as file:
        at = file["points"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[at : at + 4096] = bytes(4096)
    path.write_bytes(data)
    (run,) = Store(tmp_path).runs()
    assert len(run.metric("loss")) == 9000 - 4096 // 32
    assert run.lost == ("128 points cannot be read",)
    run.close()
