"""Pushes to a folder of this machine: a real ``hpctrack receive`` in a child process."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store
from hpctrack.cli.main import run
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.errors import (
    BusyError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    StoreFormatError,
    SyncError,
    UsageError,
)
from hpctrack.store import replica
from hpctrack.store.record import State
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.tails import Tail
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import Status
from hpctrack.sync.sending.tails import TailReader
from hpctrack.sync.wire.messages import ItemKind, Outcome
from tests.programs import wait_for
from tests.replicas import write_some
from tests.stores import NodeWriter
from tests.unit.sync.conftest import Connect
from tests.unit.sync.made_stores import has_only_sealed, hash_files, log_runs, make_blob, make_item


def statuses(store: Path, target: Path, **options: object) -> dict[str, str]:
    result = push(store, str(target), **options)  # type: ignore[arg-type]
    return {str(one.key): one.status for one in result.items}


def test_two_pushes_make_equal_stores_and_the_second_sends_nothing(
    source: Path, target: Path
) -> None:
    first = push(source, str(target))
    assert (first.sent, first.skipped, first.refused) == (3, 0, 0)
    assert first.size_bytes == sum(path.stat().st_size for path in source.rglob("run.h5"))
    assert hash_files(target) == hash_files(source)
    stamps = {path: path.stat().st_mtime_ns for path in target.rglob("run.h5")}
    second = push(source, str(target))
    assert (second.sent, second.present, second.size_bytes) == (0, 3, 0)
    assert {path: path.stat().st_mtime_ns for path in target.rglob("run.h5")} == stamps
    assert [run.id for run in Store(target).runs(order="id")] == ["one", "one", "two"]


def test_only_what_was_named_is_sent(source: Path, target: Path) -> None:
    assert statuses(source, target, runs=["two"]) == {"digits/two": Status.SENT}
    assert statuses(source, target, project="other") == {"other/one": Status.SENT}
    assert statuses(source, target) == {
        "digits/one": Status.SENT,
        "digits/two": Status.PRESENT,
        "other/one": Status.PRESENT,
    }


def test_runs_that_have_ended_are_sealed_first(tmp_path: Path, target: Path) -> None:
    store = tmp_path / "unsealed"
    log_runs(store, "digits/one", seal=False)
    assert statuses(store, target, seal=False, live=False) == {"digits/one": Status.SKIPPED}
    assert statuses(store, target, dry_run=True) == {"digits/one": Status.WOULD_SEND}
    assert not target.exists()
    assert not (store / "digits/one/run.h5").exists()
    assert statuses(store, target) == {"digits/one": Status.SENT}
    assert hash_files(target) == hash_files(store)


RECORD = """
import sys, hpctrack
run = hpctrack.init(project="digits", id="live", dir=sys.argv[1])
run.log({"loss": 1.0})
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_running_run_stays_here_if_only_sealed_ones_are_wanted(
    source: Path, target: Path
) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", RECORD, str(source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        wait_for(lambda: any((source / "digits/live").glob("node-*.h5")))
        result = push(source, str(target), live=False)
        assert {one.key.id: one.reason for one in result.runs if one.reason} == {"live": "running"}
        assert (result.sent, result.skipped) == (3, 1)
        assert not (target / "digits/live").exists()
    finally:
        program.communicate(b"\n", timeout=60)


def test_a_sweep_goes_along(source: Path, target: Path) -> None:
    for project in ("digits", "other"):
        folder = source / project / ".sweeps" / "abc"
        folder.mkdir(parents=True)
        (folder / "sweep.json").write_text('{"id": "abc"}')
    result = push(source, str(target), project="digits")
    assert [one.status for one in result.sweeps] == [Status.SENT]
    assert (target / "digits/.sweeps/abc/sweep.json").read_text() == '{"id": "abc"}'
    assert [one.status for one in push(source, str(target)).sweeps] == [Status.PRESENT, Status.SENT]


def test_blobs_go_along_and_what_else_lies_there_does_not(source: Path, target: Path) -> None:
    blob = make_blob(b"weights")
    folder = source / "digits/.blobs" / blob.key.id[:2]
    folder.mkdir(parents=True)
    (folder / blob.key.id).write_bytes(blob.data)
    for name in (f"{blob.key.id}.tmp", "0" * 64, "notes\n", os.fsdecode(b"\xff")):
        (folder / name).write_bytes(b"x")
    found = {one.key: one.status for one in push(source, str(target)).of_kind(ItemKind.BLOB)}
    assert found == {blob.key: Status.SENT}
    found = {one.key: one.status for one in push(source, str(target)).of_kind(ItemKind.BLOB)}
    assert found == {blob.key: Status.PRESENT}


def test_a_run_that_is_refused_does_not_stop_the_others(
    source: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_runs(target, "digits/one", points=30)
    before = hash_files(target)["digits/one/run.h5"]
    code = run(["sync", str(target), "--store", str(source), "--json"])
    told = capsys.readouterr()
    assert code == RefusedError.exit_code
    printed = json.loads(told.out)
    assert (printed["sent"], printed["refused"]) == (2, 1)
    (refused,) = [one for one in printed["runs"] if one["status"] == "refused"]
    assert (refused["id"], refused["reason"]) == ("one", "fewer-points")
    assert "60 points" in refused["text"]
    assert hash_files(target)["digits/one/run.h5"] == before
    assert json.loads(told.err)["error"] == "refused"


def test_a_run_that_has_grown_replaces_the_one_there(source: Path, target: Path) -> None:
    push(source, str(target))
    shutil.rmtree(source / "digits/one")
    log_runs(source, "digits/one", points=30)
    assert statuses(source, target)["digits/one"] == Status.REPLACED
    assert hash_files(target) == hash_files(source)


def test_a_broken_run_stays_here_and_is_told(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = source / "digits" / "broken"
    folder.mkdir()
    (folder / "node-0000.a1-00000000.h5").write_bytes(b"not HDF5")
    assert run(["sync", str(target), "--store", str(source)]) == 4
    out = capsys.readouterr().out
    assert "digits/broken: skipped: " in out
    assert "sent 3 runs" in out


def test_a_second_sync_says_that_there_is_nothing_new(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sync", str(target), "--store", str(source)]) == 0
    assert run(["sync", str(target), "--store", str(source)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "nothing new; 3 runs already there"
    assert not err


def test_a_dry_run_sends_nothing(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sync", str(target), "--store", str(source), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "would send 3 runs; 0 runs already there"
    assert not target.exists()


def test_what_cannot_be_used_is_told_before_anything_is_done(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this very store"):
        push(source, str(source))
    with pytest.raises(NotFoundError):
        push(tmp_path / "absent", str(tmp_path / "x"))
    with pytest.raises(NotFoundError):
        push(source, str(tmp_path / "x"), runs=["absent"])
    with pytest.raises(NotFoundError):
        push(source, str(tmp_path / "x"), project="absent")
    with pytest.raises(RefusedError, match="is not there"):
        push(source, str(tmp_path / "absent" / "store"))


def push_through(source: Path, target: Path, command: str) -> None:
    push(source, str(target), connect=ConnectOptions(remote_command=command))


def test_a_command_that_is_not_there_is_told_with_the_install_line(
    source: Path, target: Path
) -> None:
    with pytest.raises(SyncError, match="has no `hpctrack`") as caught:
        push_through(source, target, "/absent/hpctrack")
    assert "pip install hpctrack" in str(caught.value.hint)


def test_a_chatty_command_is_quoted(source: Path, target: Path) -> None:
    with pytest.raises(ProtocolError, match="Welcome to the cluster"):
        push_through(source, target, "echo Welcome to the cluster #")


def test_a_command_that_ends_at_once_is_told_with_its_last_words(
    source: Path, target: Path
) -> None:
    with pytest.raises(SyncError, match=r"status 3.*the disk is on fire"):
        push_through(source, target, "echo the disk is on fire >&2; exit 3 #")


@pytest.mark.parametrize(
    ("theirs", "told", "behind"),
    [
        ("8, 9, 'hpctrack 7.0'", r"protocol 3, the other 8 to 9 \(hpctrack 7.0\)", "this side"),
        (
            "1, 2, 'hpctrack 0.0'",
            r"protocol 3, the other 1 to 2 \(hpctrack 0.0\)",
            "the other side",
        ),
    ],
)
def test_another_version_is_told_with_both_numbers_and_what_to_update(
    source: Path, target: Path, theirs: str, told: str, behind: str
) -> None:
    code = (
        "import sys; from hpctrack.sync.wire.messages import Hello;"
        " from hpctrack.sync.wire.protocol import MAGIC, encode;"
        " sys.stdout.buffer.write(MAGIC + encode(Hello(%s)));"
        " sys.stdout.flush(); sys.stdin.buffer.read()"
    )
    path = f"PYTHONPATH={shlex.quote(os.pathsep.join(sys.path))}"
    command = f"{path} {shlex.quote(sys.executable)} -c {shlex.quote(code % theirs)}"
    with pytest.raises(ProtocolError, match=told) as caught:
        push_through(source, target, command)
    assert caught.value.hint == f"update hpctrack on {behind}"


def test_receive_tells_people_what_it_is_for(capfd: pytest.CaptureFixture[str]) -> None:
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.execv(  # noqa: S606
            sys.executable,
            [sys.executable, "-c", "from hpctrack.cli.main import main; main(['receive'])"],
        )
    said = b""
    try:
        while data := os.read(terminal, 1000):
            said += data
    except OSError:
        pass  # the terminal's way to say that nobody is there any more
    _pid, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 2
    assert b"hpctrack sync ssh://" in said


def test_a_running_run_goes_on_over_there_until_it_is_sealed(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", RECORD, str(source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        wait_for(lambda: any((source / "digits/live").glob("node-*.h5")))
        wait_for(lambda: "loss" in Store(source).run("live").metrics())
        assert run(["sync", str(target), "--store", str(source)]) == 0
        found = Store(target).run("live")
        assert (found.state, found.metric("loss").values.tolist()) == ("running", [1.0])
        found.close()
        assert not (target / "digits/live/run.h5").exists()
    finally:
        program.communicate(b"\n", timeout=60)
    wait_for(lambda: has_only_sealed(source / "digits/live"))
    result = push(source, str(target))
    assert {one.key.id: one.status for one in result.runs}["live"] == Status.SENT
    assert not list((target / "digits/live").glob("node-*"))
    assert Store(target).run("live").state == "finished"
    assert hash_files(target)["digits/live/run.h5"] == hash_files(source)["digits/live/run.h5"]


def test_a_dry_run_knows_what_is_there_though_it_was_never_hashed(
    source: Path, target: Path
) -> None:
    shutil.copytree(source, target)
    dry = push(source, str(target), dry_run=True)
    assert (dry.would_send, dry.present) == (0, 3)


def test_a_node_file_that_breaks_on_the_way_keeps_nothing_else_back(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = NodeWriter(source, "digits", "live", wall_s=SYSTEM_CLOCK.wall_s())
    writer.start(0)
    write_some(writer, 0)
    iter_tails = TailReader.iter_tails

    def break_off(self: TailReader, *words: Any) -> Iterator[Tail]:
        yield from islice(iter_tails(self, *words, limit_bytes=3000), 2)
        raise StoreFormatError("it cannot be read any more")

    monkeypatch.setattr(TailReader, "iter_tails", break_off)
    result = push(source, str(target))
    (live,) = result.live
    assert (live.status, live.text) == (Status.SKIPPED, "it cannot be read any more")
    assert result.sent == 3
    monkeypatch.undo()
    assert push(source, str(target)).live[0].status == Status.GROWN
    writer.close()


def test_replicas_that_somebody_holds_do_not_end_the_connection(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    writer = NodeWriter(source, "digits", "live", wall_s=SYSTEM_CLOCK.wall_s())
    session = writer.start(0)
    write_some(writer, 0)
    push(source, str(target))
    writer.end(0, session)
    writer.close()
    seal_run(source / "digits/live")
    monkeypatch.setattr(replica, "drop_replicas", _raise_busy)
    peer = connect().greet()
    assert peer.give(make_item(source / "digits/live/run.h5")).outcome == Outcome.PUBLISHED
    peer.finish()
    with closing(StoredRun(target / "digits/live")) as there:
        with closing(StoredRun(source / "digits/live")) as here:
            assert there.metric_sizes() == here.metric_sizes()
        assert there.record.state == State.FINISHED


def _raise_busy(*_words: object) -> None:
    raise BusyError("somebody else writes the replicas")
