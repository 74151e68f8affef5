"""A real run, and its replica that is kept up meanwhile, with receivers that are killed."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from hpctrack.core.layout import iter_node_files, run_folder
from hpctrack.store.record import State
from hpctrack.store.replica import read_replicas
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.tails import Tail
from hpctrack.sync.sending.tails import TailReader
from tests.programs import start_python
from tests.replicas import Appender, assert_prefix, read_rows

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import hpctrack

run = hpctrack.init(project="p", id="r", dir=sys.argv[1], seal=False, config={"lr": 0.1})
for step in range(1200):
    run.log({"loss": 1.0 / (step + 1), f"late/{step // 300}": step}, step=step)
    if step % 50 == 0:
        run.log({"table": hpctrack.Table(["a"], [[step]])}, step=step)
    if step % 10 == 9:
        run.flush(60)
        print("step", step, flush=True)
        sys.stdin.readline()
run.finish()
"""


class Follower:
    """What is open of the replica all the time."""

    def __init__(self, folder: Path) -> None:
        self.run = StoredRun(folder)
        self.points = 0

    def check(self) -> None:
        """See that it has grown, by whole points."""
        self.run.refresh()
        loss = self.run.columns().get("loss")
        count = len(loss) if loss is not None else 0
        assert count >= self.points
        self.points = count
        if loss is not None:
            assert loss.step.tolist() == list(range(count))
            assert loss.value.tolist() == [1.0 / (step + 1) for step in range(count)]
        assert self.run.record.state == State.RUNNING
        assert self.run.lost == ()


def read_tails(path: Path, folder: Path) -> list[Tail]:
    known = read_replicas(folder).get(path.name)
    with TailReader(path) as reader:
        return list(reader.iter_tails(known.rows if known else {}, time.time()))


def test_a_run_is_followed_on_the_other_side_while_it_logs(tmp_path: Path) -> None:
    there, folder = (
        run_folder(tmp_path / "there", "p", "r"),
        run_folder(tmp_path / "here", "p", "r"),
    )
    folder.mkdir(parents=True)
    chance = random.Random(1)
    kills = 0
    child = start_python(PROGRAM, str(tmp_path / "there"), stdin=subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    try:
        with Appender(folder) as appender:
            follower: Follower | None = None
            while child.stdout.readline():
                for path in iter_node_files(there):
                    for tail in read_tails(path, folder):
                        kill_at = chance.randrange(1, 800) if chance.random() < 0.4 else 0
                        if appender.append(path.name, tail, kill_at=kill_at):
                            kills += 1
                            break
                    if (folder / path.name).exists():
                        follower = follower or Follower(folder)
                        follower.check()
                        assert_prefix(read_rows(folder / path.name), read_rows(path))
                child.stdin.write("go on\n")
                child.stdin.flush()
            _out, errors = child.communicate(timeout=180)
            assert child.returncode == 0, errors
            assert follower is not None
            assert follower.points > 100
            follower.run.close()
            for path in iter_node_files(there):
                for tail in read_tails(path, folder):
                    assert not appender.append(path.name, tail)
    finally:
        child.kill()
        child.communicate()
    assert kills >= 3
    _compare(there, folder)


def _compare(there: Path, here: Path) -> None:
    for path in iter_node_files(there):
        assert read_rows(here / path.name) == read_rows(path)
    runs = [StoredRun(one) for one in (there, here)]
    original, replica = runs
    assert replica.record == original.record
    assert replica.record.state == State.FINISHED
    assert [one.text for one in replica.console(rank=0)] == [
        one.text for one in original.console(rank=0)
    ]
    assert [one.digest for one in replica.media()] == [one.digest for one in original.media()]
    assert len(replica.media()) == 24
    for run in runs:
        run.close()
