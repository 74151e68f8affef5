"""A store that fails under a program: the loop goes on, and no point is lost or doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import hpctrack
from tests.capabilities import require_program
from tests.faults import disks
from tests.programs import ROOT, list_agents, run_python, wait_for

pytestmark = pytest.mark.faults

PROGRAM = """
import json, sys, time, hpctrack
run = hpctrack.init("p", id="r")
step, slowest_s = 0, 0.0
for line in sys.stdin:
    for _ in range(2000):
        before = time.perf_counter()
        run.log({"loss": step, "accuracy": -step}, step=step)
        slowest_s = max(slowest_s, time.perf_counter() - before)
        step += 1
    run.flush(90)
    print(step, flush=True)
is_whole = run.finish()
print(json.dumps({"steps": step, "slowest_s": slowest_s, "is_whole": is_whole}))
"""

QUOTA_BYTES = 2 * disks.MIB

SLOWEST_S = 10
"""For a call of log(), on a machine that has more to do than it can."""


class Program:
    """A program that logs 4,000 points at a time, whenever it is told to."""

    def __init__(self, store: Path, spill: Path, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                **environ,
                "HPCTRACK_DIR": str(store),
                "HPCTRACK_SPILL_DIR": str(spill),
                "HPCTRACK_LINGER_S": "0.1",
            },
        )

    def log(self) -> None:
        """Let it log once, and wait until its agent has it."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip().isdigit()

    def finish(self, turns: int) -> tuple[dict[str, float], str]:
        """Let it log some more and end; return what it says of itself, and its warnings."""
        out, err = self.process.communicate("go\n" * turns, timeout=180)
        assert self.process.returncode == 0, err
        wait_for(lambda: not list_agents())
        return json.loads(out.splitlines()[-1]), err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start programs that are gone when the test is over."""
    with ExitStack() as stack:

        def begin(store: Path, **environ: str) -> Program:
            program = Program(store, tmp_path / "spill", **environ)
            stack.callback(program.process.communicate)
            stack.callback(program.process.kill)
            return program

        yield begin


def read_steps(*stores: Path) -> list[int]:
    """Return the steps of all points of both metrics, checked, in the order of the stores."""
    found: list[int] = []
    for store in stores:
        for run in hpctrack.Store(store).runs():
            loss, accuracy = run.metric("loss"), run.metric("accuracy")
            assert loss.values.tolist() == loss.steps.tolist()
            assert (-accuracy.values).tolist() == loss.values.tolist()
            assert not run.record.ledger.get("dropped_points")
            found += loss.steps.tolist()
            run.close()
    return found


def build_shim(name: str, folder: Path) -> Path:
    """Build a library that stands before the kernel, and return it."""
    shim, source = folder / f"{name}.so", Path(__file__).with_name(f"{name}.c")
    command = [require_program("gcc"), "-shared", "-fPIC", "-O1", "-o", str(shim), str(source)]
    subprocess.run(command, check=True)
    return shim


def check(program: Program, *stores: Path, turns: int = 3) -> None:
    said, warned = program.finish(turns)
    assert said["slowest_s"] < SLOWEST_S, "log() waits for no disk"
    assert said["is_whole"]
    assert "the run goes on in" in warned
    assert read_steps(*stores) == list(range(int(said["steps"])))


def test_a_disk_that_fills_up_costs_a_program_nothing(
    tmp_path: Path, start: Callable[..., Program]
) -> None:
    with disks.mounted("ext4", tmp_path) as disk:
        program = start(disk / "store")
        program.log()
        disks.fill(disk)
        check(program, disk / "store", tmp_path / "spill", turns=20)


def test_a_quota_that_is_used_up_costs_a_program_nothing(
    tmp_path: Path, start: Callable[..., Program]
) -> None:
    program = start(
        tmp_path / "quota",
        LD_PRELOAD=str(build_shim("quota", tmp_path)),
        TEST_QUOTA_DIR=str(tmp_path / "quota"),
        TEST_QUOTA_BYTES=str(QUOTA_BYTES),
    )
    program.log()
    check(program, tmp_path / "quota", tmp_path / "spill", turns=20)
    (file,) = (tmp_path / "quota" / "p" / "r").glob("node-*.h5")
    assert file.stat().st_size <= QUOTA_BYTES


def test_a_disk_that_goes_read_only_costs_a_program_nothing(
    tmp_path: Path, start: Callable[..., Program]
) -> None:
    with disks.mounted("ext4", tmp_path) as disk:
        program = start(disk / "store")
        program.log()
        disks.make_read_only(disk)
        check(program, disk / "store", tmp_path / "spill")


def test_a_disk_that_answers_with_errors_costs_a_program_nothing_that_it_has_kept(
    tmp_path: Path, start: Callable[..., Program]
) -> None:
    with disks.mounted("ext4", tmp_path) as disk:
        program = start(disk / "store")
        program.log()
        disks.shut_down(disk)
        said, warned = program.finish(3)
        assert said["slowest_s"] < SLOWEST_S
        assert "the run goes on in" in warned
        disks.mount_again(tmp_path)
        assert read_steps(disk / "store", tmp_path / "spill") == list(range(int(said["steps"])))


def test_what_a_failed_disk_may_have_lost_is_counted(
    tmp_path: Path, start: Callable[..., Program]
) -> None:
    with disks.mounted("ext4", tmp_path) as disk:
        program = start(disk / "store")
        program.log()
        disks.shut_down(disk, is_synced=False)
        said, warned = program.finish(3)
        assert said["slowest_s"] < SLOWEST_S
        (run,) = hpctrack.Store(tmp_path / "spill").runs()
        recorded = len(run.metric("loss")) + len(run.metric("accuracy"))
        unsafe = run.record.ledger["unsafe_points"]
        run.close()
    assert unsafe == 4000
    assert recorded + unsafe == 2 * said["steps"]
    assert "the disk may not have 4,000 points" in warned


NO_LOCKS = """
import fcntl, json, subprocess, sys, hpctrack
from pathlib import Path
store = Path(sys.argv[1])
store.mkdir()
with open(store / "probe", "w") as probe:
    try:
        fcntl.flock(probe, fcntl.LOCK_EX)
    except OSError:
        print("cannot be locked")
def ask(*words):
    command = [sys.executable, "-m", "hpctrack", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
run = hpctrack.init("p", id="r", settings={"seal": "manual"})
for step in range(100):
    run.log({"a": step})
assert run.flush(60)
print(ask("show", "r")["state"])
run.finish()
ask("seal", "r")
print(ask("verify", "r")["runs"][0]["intact"])
for turn in range(2):
    print([one["id"] for one in ask("ls")["runs"]])
if sys.argv[2] == "FALSE":
    print(len(hpctrack.Store(store).run("r").metric("a")))
else:
    try:
        hpctrack.Store(store).run("r").metric("a")
    except hpctrack.HpctrackError as error:
        print(error.hint)
"""


@pytest.mark.parametrize("locking", ["TRUE", "FALSE"])
def test_a_file_system_without_locks_is_as_good_as_any(tmp_path: Path, locking: str) -> None:
    store, log = tmp_path / "store", tmp_path / "asked"
    environment = {
        "LD_PRELOAD": str(build_shim("nolocks", tmp_path)),
        "TEST_NO_LOCKS_DIR": str(store),
        "TEST_NO_LOCKS_LOG": str(log),
        "HDF5_USE_FILE_LOCKING": locking,
        "PYTHONPATH": str(ROOT),
    }
    done = run_python(NO_LOCKS, str(store), locking, env=environment, timeout_s=200)
    assert done.returncode == 0, done.stderr
    first, *said, last = done.stdout.splitlines()
    assert first == "cannot be locked"
    assert said == ["running", "True", "['r']", "['r']"]
    assert "hpctrack: warning" not in done.stderr
    asked = set(log.read_text().split())
    if locking == "FALSE":
        assert last == "100"
        assert asked == {str(store / "probe")}, "nothing of ours asks for a lock"
    else:
        assert last == "HDF5_USE_FILE_LOCKING=TRUE insists on locks: unset it"
