"""What ``--delete-local`` deletes, and what it never does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from hpctrack import Store
from hpctrack.cli.main import run
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.store.record import RunRecord, State
from hpctrack.sync.sending.local_copies import (
    DAY_S,
    Confirmed,
    Kept,
    Rules,
    delete_copy,
    find_deletable,
    judge,
    list_confirmed,
)
from hpctrack.sync.sending.push import push

Capture = pytest.CaptureFixture[str]
IN_TWO_WEEKS = Clock(wall_s=lambda: SYSTEM_CLOCK.wall_s() + 14 * DAY_S, mono_s=SYSTEM_CLOCK.mono_s)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def make_rules(clock: Clock = IN_TWO_WEEKS, *, over: bool = True) -> Rules:
    return Rules(keep_s=7 * DAY_S, is_sweep_over=lambda _p, _s: over, clock=clock)


def hash_of(store: Path, name: str) -> str:
    return hashlib.sha256((store / name / "run.h5").read_bytes()).hexdigest()


def confirm(
    store: Path, name: str, *, sha256: str | None = None, accounting_sha256: str = ""
) -> Confirmed:
    project, run_id = name.split("/")
    return Confirmed(
        project=project,
        id=run_id,
        sha256=hash_of(store, name) if sha256 is None else sha256,
        accounting_sha256=accounting_sha256,
    )


def test_what_the_other_side_has_goes_and_nothing_else(source: Path, target: Path) -> None:
    result = push(source, str(target), project="digits")
    confirmed = list_confirmed(result.items)
    assert [str(one) for one in confirmed] == ["digits/one", "digits/two"]
    (source / "digits/one/stop.json").write_text("{}")
    (source / "digits/one/.rules").mkdir()
    (source / "digits/one/.rules/slow").write_text("x")
    size_bytes = sum(path.stat().st_size for path in source.glob("digits/**/*") if path.is_file())
    judged = [delete_copy(source, one, make_rules()) for one in confirmed]
    assert [one.kept for one in judged] == [None, None]
    assert sum(one.size_bytes for one in judged) == size_bytes
    assert list((source / "digits").iterdir()) == []
    assert [run.id for run in Store(source).runs()] == ["one"]
    assert [run.id for run in Store(target).runs(order="id")] == ["one", "two"]
    again = push(source, str(target))
    assert list_confirmed(again.items)[0].project == "other"


def test_the_file_is_read_again_before_it_goes(source: Path) -> None:
    wanted = confirm(source, "digits/one")
    path = source / "digits/one/run.h5"
    stamp = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    # A cache of hashes would be deceived by this.
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert delete_copy(source, wanted, make_rules()).kept in {Kept.CHANGED, Kept.UNREADABLE}
    assert path.exists()


def test_a_run_that_is_recorded_into_again_stays(source: Path) -> None:
    wanted = confirm(source, "digits/one")
    (source / "digits/one/node-0000.a2-0123abcd.h5").write_bytes(b"being made")
    kept = delete_copy(source, wanted, make_rules()).kept
    assert kept in {Kept.LIVE, Kept.UNREADABLE}
    assert (source / "digits/one/run.h5").exists()


def test_a_run_that_is_being_sealed_stays(source: Path) -> None:
    wanted = confirm(source, "digits/one")
    (source / "digits/one/.seal.lock").write_text("elsewhere/? 1 x\n")
    assert delete_copy(source, wanted, make_rules(SYSTEM_CLOCK)).kept == Kept.BUSY
    assert (source / "digits/one/run.h5").exists()


def test_files_that_nobody_knows_keep_the_folder(source: Path) -> None:
    (source / "digits/one/notes.txt").write_text("mine")
    wanted = confirm(source, "digits/one")
    assert delete_copy(source, wanted, make_rules()).kept == Kept.FOREIGN
    assert (source / "digits/one/run.h5").exists()


def test_accounting_that_is_not_over_there_keeps_the_run(source: Path) -> None:
    (source / "digits/one/accounting.json").write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    for wrong in ("", "0" * 64):
        wanted = confirm(source, "digits/one", accounting_sha256=wrong)
        assert delete_copy(source, wanted, make_rules()).kept == Kept.ACCOUNTING
    wanted = confirm(source, "digits/one", accounting_sha256=digest)
    assert delete_copy(source, wanted, make_rules()).kept is None
    assert not (source / "digits/one").exists()


def test_what_people_wrote_goes_along_or_keeps_the_run(source: Path, target: Path) -> None:
    with closing(Store(source).run("digits/one")) as run_:
        run_.tags.append("good")
        run_.update()
    path = source / "digits/.annotations/one.json"
    assert path.exists()
    wanted = confirm(source, "digits/one")
    assert delete_copy(source, wanted, make_rules()).kept == Kept.ANNOTATIONS
    push(source, str(target), project="digits")  # the other side's form of it comes back
    result = push(source, str(target), project="digits")
    (wanted,) = [one for one in list_confirmed(result.items) if one.id == "one"]
    assert delete_copy(source, wanted, make_rules()).kept is None
    assert not path.exists()
    with closing(Store(target).run("digits/one")) as run_:
        assert "good" in run_.tags


def test_a_run_that_is_gone_is_no_trouble(source: Path) -> None:
    wanted = confirm(source, "digits/one")
    shutil.rmtree(source / "digits/one")
    assert find_deletable(source, [wanted], make_rules())[0].kept == Kept.GONE
    assert delete_copy(source, wanted, make_rules()).kept == Kept.GONE


def record(**changes: object) -> RunRecord:
    facts: dict[str, object] = {
        "id": "r",
        "project": "p",
        "name": "r",
        "state": State.FINISHED,
        "created_wall_s": 0.0,
        "ended_wall_s": 100.0,
    }
    return RunRecord(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "now_wall_s", "kept"),
    [
        ({}, 8 * DAY_S, None),
        ({}, 7 * DAY_S, Kept.RECENT),
        ({"state": State.FAILED}, 8 * DAY_S, None),
        ({"state": State.CRASHED, "ended_wall_s": None}, 8 * DAY_S, Kept.RECENT),
        ({"state": State.CRASHED, "ended_wall_s": None}, 10 * DAY_S, None),
        ({"state": State.PREEMPTED}, 80 * DAY_S, Kept.PREEMPTED),
        ({"state": State.RUNNING}, 80 * DAY_S, Kept.LIVE),
        ({"sweep": "s"}, 80 * DAY_S, Kept.SWEEP),
    ],
)
def test_age_state_and_sweep_decide(
    facts: dict[str, object], now_wall_s: float, kept: Kept | None
) -> None:
    clock = Clock(wall_s=lambda: now_wall_s, mono_s=lambda: 0.0)
    rules = make_rules(clock, over=False)
    one = Confirmed(project="p", id="r", sha256="00")
    assert judge(one, record(**facts), {"run.h5": 2 * DAY_S}, rules, hashes={}) == kept


def test_the_command_deletes_and_says_what_it_freed(
    source: Path, target: Path, capsys: Capture
) -> None:
    words = ["sync", str(target), "--store", str(source), "--delete-local"]
    assert run(words) == 0
    out = capsys.readouterr().out
    assert "deleted 0 local copies (0 B); 3 stay: it ended lately" in out
    assert run([*words, "--keep-days", "0", "--dry-run"]) == 0
    assert "would delete 3 local copies" in capsys.readouterr().out
    assert (source / "digits/one/run.h5").exists()
    assert run([*words, "--keep-days", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["deletion"]
    assert sorted(told["deleted"]) == ["digits/one", "digits/two", "other/one"]
    assert told["freed_bytes"] > 0
    assert Store(source).runs() == []
    assert len(Store(target).runs()) == 3


def test_a_run_of_which_the_other_side_has_no_file_of_its_own_stays(
    source: Path, target: Path, capsys: Capture
) -> None:
    push(source, str(target))
    there = target / "digits/one/run.h5"
    there.unlink()
    # As if both machines saw one file system: size, time and inode are the same.
    there.hardlink_to(source / "digits/one/run.h5")
    words = ["sync", str(target), "--store", str(source), "--delete-local", "--keep-days", "0"]
    assert run([*words, "--dry-run"]) == 0
    assert "would delete 2 local copies" in capsys.readouterr().out
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["deletion"]
    assert told["deleted"] == ["digits/two", "other/one"]
    assert told["kept"] == [{"run": "digits/one", "why": Kept.SAME}]
    assert (source / "digits/one/run.h5").exists()
