"""The journal: torn lines, full disks, lost lines, and who may write."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.storages.journal import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from hpctrack.errors import StoreError, StoreFullError
from hpctrack.sweeps.search.journal import JournalFile, JournalRewrittenError
from hpctrack.sweeps.search.journal_lock import LinkLock, describe_process, is_dead

RECORDS = [{"op_code": 6, "trial_id": at, "values": [at / 3]} for at in range(5)]


def read(path: Path) -> list[dict[str, Any]]:
    return list(JournalFile(path).read_logs(0))


def test_records_come_back_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "search/journal.log"
    file = JournalFile(path)
    file.append_logs(RECORDS[:2])
    file.append_logs(RECORDS[2:])
    assert list(file.read_logs(0)) == RECORDS
    assert list(file.read_logs(3)) == RECORDS[3:]
    assert list(file.read_logs(5)) == []
    assert read(path) == RECORDS


def test_a_reader_that_gave_up_in_the_middle_goes_on_there(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "j")
    file.append_logs(RECORDS)
    logs = iter(file.read_logs(0))
    assert [next(logs), next(logs)] == RECORDS[:2]
    assert list(file.read_logs(2)) == RECORDS[2:]


def test_a_batch_is_one_write(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "j")
    with file.batch():
        for one in RECORDS:
            file.append_logs([one])
        assert list(file.read_logs(0)) == []
        assert read(tmp_path / "j") == []
    assert list(file.read_logs(0)) == RECORDS


def test_a_batch_that_fails_writes_nothing(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "j")
    with suppress(KeyError), file.batch():
        file.append_logs(RECORDS)
        raise KeyError
    assert read(tmp_path / "j") == []


def test_a_journal_cut_at_any_byte_of_its_last_record_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    file = JournalFile(path)
    file.append_logs(RECORDS[:3])
    size_bytes = path.stat().st_size
    file.append_logs([RECORDS[3]])
    whole = path.read_bytes()
    for cut in range(size_bytes, len(whole) + 1):
        torn = tmp_path / "torn.log"
        torn.write_bytes(whole[:cut])
        reader = JournalFile(torn)
        assert list(reader.read_logs(0)) == RECORDS[: 3 if cut < len(whole) else 4]
        JournalFile(torn).append_logs([RECORDS[4]])
        # A record that lacks nothing but its line feed is one as soon as the line ends.
        kept = RECORDS[:4] if cut >= len(whole) - 1 else RECORDS[:3]
        assert read(torn) == [*kept, RECORDS[4]]
        # Who had read what was before the tear reads on from there.
        seen = 3 if cut < len(whole) else 4
        assert list(reader.read_logs(seen)) == [*kept, RECORDS[4]][seen:]


def test_a_study_cut_at_any_byte_of_its_last_record_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    storage = JournalStorage(JournalFile(path))
    study = storage.create_new_study([StudyDirection.MINIMIZE], "s")
    for at in range(2):
        storage.create_new_trial(study, make_trial(at))
    before = path.stat().st_size
    storage.set_trial_state_values(1, TrialState.COMPLETE, [0.5])
    whole = path.read_bytes()
    for cut in range(before, len(whole) + 1):
        torn = tmp_path / "torn.log"
        torn.write_bytes(whole[:cut])
        first, second = (JournalStorage(JournalFile(torn)) for _ in range(2))
        assert first.create_new_trial(study, make_trial(2)) == 2
        if not first.get_trial(1).state.is_finished():
            second.set_trial_state_values(1, TrialState.COMPLETE, [0.5])
        for one in (first, second, JournalStorage(JournalFile(torn))):
            trials = one.get_all_trials(study)
            assert [trial.params["x"] for trial in trials] == [0.0, 0.1, 0.2]
            assert trials[1].values == [0.5]


def make_trial(at: int) -> Any:
    return create_trial(
        state=TrialState.RUNNING,
        params={"x": at / 10},
        distributions={"x": FloatDistribution(0, 1)},
    )


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size: what a full disk does, done by the kernel."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room_bytes", [0, 1, 20])
def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, room_bytes: int) -> None:
    path = tmp_path / "journal.log"
    file = JournalFile(path)
    file.append_logs(RECORDS * 2000)
    before = path.read_bytes()
    with largest_file(len(before) + room_bytes), pytest.raises(StoreFullError):
        file.append_logs([RECORDS[0]])
    assert path.read_bytes() == before
    file.append_logs([RECORDS[0]])
    assert read(path) == [*RECORDS * 2000, RECORDS[0]]


def test_a_folder_that_cannot_be_written_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "search").write_text("a file")
    with pytest.raises(StoreError):
        JournalFile(tmp_path / "search/journal.log")


def test_a_journal_that_is_gone_is_an_error_of_the_store(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "search/journal.log")
    shutil.rmtree(tmp_path / "search")
    with pytest.raises(StoreError):
        list(file.read_logs(0))
    with pytest.raises(StoreError):
        file.append_logs(RECORDS)


@pytest.mark.parametrize("lost", ["the last record", "a part of it", "all"])
def test_lines_that_a_server_lost_are_noticed(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "j"
    file = JournalFile(path)
    file.append_logs(RECORDS)
    assert list(file.read_logs(0)) == RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    kept = {"the last record": lines[:-1], "a part of it": [*lines[:-1], lines[-1][:4]], "all": []}
    path.write_bytes(b"".join(kept[lost]))
    with pytest.raises(JournalRewrittenError):
        list(file.read_logs(5))
    JournalFile(path).append_logs([{"op_code": 6, "trial_id": 77, "values": None}] * 3)
    with pytest.raises(JournalRewrittenError):
        list(file.read_logs(5))


# -- the lock


def make_lock(tmp_path: Path, **options: Any) -> LinkLock:
    (tmp_path / "j").touch()
    return LinkLock(tmp_path / "j", **options)


def list_names(tmp_path: Path) -> list[str]:
    return sorted(one.name for one in tmp_path.iterdir() if one.name != "home")


def test_a_lock_leaves_nothing(tmp_path: Path) -> None:
    lock = make_lock(tmp_path)
    for _ in range(3):
        with lock.hold():
            assert (tmp_path / "j.lock").exists()
            assert lock.is_mine()
        assert not (tmp_path / "j.lock").exists()
    lock.close()
    assert list_names(tmp_path) == ["j"]


def test_what_killed_processes_have_left_is_removed_after_a_day(tmp_path: Path) -> None:
    lock = make_lock(tmp_path)
    old, young = tmp_path / ".j.lock-old", tmp_path / ".j.lock-young"
    for one in (old, young):
        one.write_text("{}")
    os.utime(old, (1, 1))
    with lock.hold():
        assert not old.exists()
        assert young.exists()
        inode = (tmp_path / "j.lock").stat().st_ino
        lock._mine.unlink()  # as another one does with ours after a day
        assert (tmp_path / "j.lock").stat().st_ino == inode
    with lock.hold():
        assert lock._is_lock_mine()


def test_a_journal_can_be_read_by_who_may_not_write(tmp_path: Path) -> None:
    JournalFile(tmp_path / "j").append_logs(RECORDS)
    before = (tmp_path / "j").stat().st_mtime_ns
    assert read(tmp_path / "j") == RECORDS
    assert (tmp_path / "j").stat().st_mtime_ns == before
    assert list_names(tmp_path) == [next(iter(tmp_path.glob(".j.lock-*"))).name, "j"]


HOLDER = """
import sys, time
from pathlib import Path
from hpctrack.sweeps.search.journal_lock import LinkLock
with LinkLock(Path(sys.argv[1])).hold():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.wait()
        for stream in (holder.stdin, holder.stdout):
            if stream is not None:
                stream.close()


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    lock = make_lock(tmp_path)
    with another_holder(tmp_path / "j") as holder:
        holder.kill()
        holder.wait()
        started_s = time.monotonic()
        with lock.hold():
            assert lock.is_mine()
        # Not by patience, which takes half a minute: the process is known to be dead.
        assert time.monotonic() - started_s < 25


def test_the_lock_of_a_process_that_lives_is_waited_for(tmp_path: Path) -> None:
    lock = make_lock(tmp_path)
    with another_holder(tmp_path / "j") as holder:
        inode = (tmp_path / "j.lock").stat().st_ino
        assert holder.stdin is not None
        holder.stdin.close()
        with lock.hold():
            assert (tmp_path / "j.lock").stat().st_ino != inode


def hold_from_afar(tmp_path: Path) -> Path:
    """Make a lock of a process of another host, of which nobody knows whether it lives."""
    far = tmp_path / ".j.lock-far"
    far.write_text(json.dumps({**describe_process(), "host": "far", "boot": "x"}))
    os.link(far, tmp_path / "j.lock")
    return far


def test_the_lock_of_another_host_that_never_changes_is_taken_over(tmp_path: Path) -> None:
    lock = make_lock(tmp_path, grace_s=0.3)
    far = hold_from_afar(tmp_path)
    with lock.hold():
        assert lock._is_lock_mine()
        assert far.stat().st_nlink == 1
    assert "j.lock" not in list_names(tmp_path)


def test_a_lock_is_not_taken_over_while_the_file_grows(tmp_path: Path) -> None:
    lock = make_lock(tmp_path, grace_s=2.0)  # a busy machine may let the writer wait for a second
    hold_from_afar(tmp_path)
    from threading import Thread

    got: list[float] = []

    def take() -> None:
        with lock.hold():
            got.append(time.monotonic())

    waiter = Thread(target=take)
    waiter.start()
    for _ in range(60):
        with (tmp_path / "j").open("a") as file:
            file.write("x")
        time.sleep(0.05)
    grown_s = time.monotonic()
    waiter.join(180)
    assert got[0] > grown_s


def test_who_lost_the_lock_writes_nothing_before_it_has_it_again(tmp_path: Path) -> None:
    path = tmp_path / "j"
    lock = LinkLock(path, grace_s=0.2)
    file = JournalFile(path, lock)
    with lock.hold():
        # As after a stop of the process: time has passed, and another one has taken over.
        (tmp_path / "j.lock").unlink()
        far = hold_from_afar(tmp_path)
        lock._since_mono_s -= 10
        assert not lock.is_mine()
        assert file._append(b"late\n") is False
    assert (tmp_path / "j.lock").stat().st_ino == far.stat().st_ino  # it is not ours to release
    assert path.read_bytes() == b""
    file.append_logs(RECORDS)
    assert read(path) == RECORDS


def test_breaking_puts_back_a_lock_that_came_in_between(tmp_path: Path) -> None:
    lock = make_lock(tmp_path)
    far = hold_from_afar(tmp_path)
    lock._break(far.stat().st_ino + 1)
    assert (tmp_path / "j.lock").stat().st_ino == far.stat().st_ino


def test_only_a_process_of_this_host_is_known_to_be_dead() -> None:
    mine = describe_process()
    child = subprocess.Popen(["true"])
    child.wait()
    dead = {**mine, "pid": child.pid}
    assert is_dead(json.dumps(dead).encode())
    assert is_dead(json.dumps({**mine, "start": "1"}).encode())  # the number was given again
    assert not is_dead(json.dumps(mine).encode())
    assert not is_dead(json.dumps({**dead, "host": "far"}).encode())
    assert not is_dead(json.dumps({**dead, "boot": "before"}).encode())
    assert not is_dead(json.dumps({**dead, "pids": "pid:[1]"}).encode())
    for broken in (b"", b"[]", b"{}", b"\xff", b'{"pid": "x"}'):
        assert not is_dead(broken)


def test_a_process_that_stands_still_in_its_turn_holds_nobody_up_for_ever(tmp_path: Path) -> None:
    first, second = make_lock(tmp_path, grace_s=0.2), make_lock(tmp_path, grace_s=0.2)
    with first._turn.take(), second.hold():
        assert second.is_mine()
    with first.hold():
        assert first.is_mine()


def test_a_fork_takes_the_lock_as_itself(tmp_path: Path) -> None:
    lock = make_lock(tmp_path)
    with lock.hold():
        pass
    mine = lock._mine
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with lock.hold():
                code = 0 if lock._mine != mine else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


WRITER = """
import random, sys, time
from pathlib import Path
from hpctrack.sweeps.search.journal import JournalFile
file = JournalFile(Path(sys.argv[1]))
for at in range(10**9):
    file.append_logs([{"op_code": 6, "writer": sys.argv[2], "at": at, "pad": "x" * 5000}])
    time.sleep(random.uniform(0, 0.01))
"""


def test_killed_writers_lose_nobody_elses_records(tmp_path: Path) -> None:
    path = tmp_path / "j"
    JournalFile(path)
    for turn in range(4):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"{turn}.{at}"])
            for at in range(3)
        ]
        try:
            target = path.stat().st_size + 100_000
            deadline_s = time.monotonic() + 60
            while path.stat().st_size < target and time.monotonic() < deadline_s:
                time.sleep(0.01)
        finally:
            for one in writers:
                one.send_signal(signal.SIGKILL)
                one.wait()
    counts: dict[str, list[int]] = {}
    for record in read(path):
        counts.setdefault(record["writer"], []).append(record["at"])
    assert len(counts) >= 6
    for written in counts.values():
        assert written == list(range(len(written)))
    JournalFile(path).append_logs(RECORDS)
    assert read(path)[-len(RECORDS) :] == RECORDS


def test_errors_of_a_full_disk_are_told_from_others(tmp_path: Path) -> None:
    from hpctrack.sweeps.search.journal import _store_error

    for number in (errno.ENOSPC, errno.EDQUOT):
        assert isinstance(_store_error(tmp_path, OSError(number, "full")), StoreFullError)
    assert not isinstance(_store_error(tmp_path, OSError(errno.EIO, "broken")), StoreFullError)
