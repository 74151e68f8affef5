"""Runs that are injured while they record, and what is left of them. Processes are real.

The value of a point follows from its rank and step, so that a wrong one is seen whatever else has
happened. The second half is a program of its own, as in `tests.damage`: HDF5 may crash or hang on a
broken file.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from hpctrack.errors import HpctrackError
from hpctrack.store.repair import repair_run
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify import verify_run
from tests.damage import (
    CASE_TIMEOUT_S,
    blank,
    cut,
    flip,
    flip_metadata,
    lose,
    make_old,
    swap,
)
from tests.programs import ROOT, list_agents, rank_environment, start_python, wait_for

BUFFER_BYTES = 65536
"""Rings are not smaller than 512 KiB: some 13,000 points."""

STARVING_POINTS = 20_000
"""More than that: a stopped agent costs some."""

BASE = 1_000_000

RANK = """
import os, sys, hpctrack
run = hpctrack.init("p", settings={"seal": "manual", "buffer_bytes": int(sys.argv[2])})
progress = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
run.log({"a": float(run.rank * 1_000_000)}, step=0)
step = 1
assert run.flush(60)
print("ready", flush=True)
for line in sys.stdin:
    if line == "finish\\n":
        break
    for _number in range(int(line)):
        run.log({"a": float(run.rank * 1_000_000 + step)}, step=step)
        step += 1
        os.pwrite(progress, b"%12d" % step, 0)
run.finish()
"""

Points = set[tuple[int, int]]
"""Rank and step."""


class Rank:
    """A rank that logs when it is told to.

    Attributes
    ----------
    is_exact : bool
        Whether each of its points must be in the files or in the ledger: its agent lived when it
        ended.
    """

    def __init__(self, number: int, size: int, folder: Path) -> None:
        self.is_exact = True
        self._told = 1
        self._is_orphan = False
        self._progress = folder / f"progress{number}"
        environ = {
            **rank_environment(number, size),
            "HPCTRACK_DIR": str(folder / "store"),
            "HPCTRACK_RUNTIME_DIR": str(folder),
            "HPCTRACK_LINGER_S": "0.1",
            # A stopped agent would hold the pipes that we read to their end.
            "HPCTRACK_CONSOLE": "off",
        }
        words = (str(self._progress), str(BUFFER_BYTES))
        self._child = start_python(RANK, *words, env=environ, stdin=subprocess.PIPE)

    @property
    def is_alive(self) -> bool:
        """Whether it has been neither killed nor finished."""
        return self._child.poll() is None

    @property
    def returned(self) -> int:
        """How many calls of ``log`` have returned."""
        text = self._progress.read_text() if self._progress.exists() else ""
        return int(text or 1)

    def begin(self) -> None:
        """Wait until it is at work."""
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "ready\n", self._child.communicate()[1]

    def log(self, count: int) -> None:
        """Tell it to log so many points."""
        self._told += count
        self._say(str(count))

    def settle(self) -> None:
        """Wait until it has logged all that it was told to, or is dead."""
        wait_for(lambda: not self.is_alive or self.returned == self._told)

    def lose_agent(self) -> None:
        """Note that its agent is killed: a dead rank has left its last points to it."""
        self.is_exact &= self.is_alive
        self._is_orphan = True

    def kill(self) -> None:
        """Kill it; an agent that it has not found yet cannot take what it leaves."""
        self.is_exact &= not (self.is_alive and self._is_orphan)
        self._child.kill()
        self._child.communicate()

    def finish(self) -> None:
        """Let it end by itself, without an error."""
        self._say("finish")
        _out, errors = self._child.communicate(timeout=180)
        assert self._child.returncode == 0, errors

    def _say(self, word: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(f"{word}\n")
        self._child.stdin.flush()


class Job:
    """Ranks of one node and their agent."""

    def __init__(self, folder: Path, size: int = 2) -> None:
        self._folder = folder
        self.ranks = [Rank(number, size, folder) for number in range(size)]
        for rank in self.ranks:
            rank.begin()
        (self.run,) = (folder / "store").glob("p/*")

    def log(self, number: int, count: int) -> None:
        """Let a rank log so many points; whatever follows happens meanwhile."""
        if self.ranks[number].is_alive:
            self.ranks[number].log(count)

    def settle(self) -> None:
        """Wait until the ranks have logged what they were told to."""
        for rank in self.ranks:
            rank.settle()

    def kill_rank(self, number: int) -> None:
        """Kill a rank in the middle of what it does."""
        self.ranks[number].kill()

    def kill_agent(self) -> None:
        """Kill the agent in the middle of what it does."""
        self._signal(signal.SIGKILL)
        for rank in self.ranks:
            rank.lose_agent()

    def kill_all(self) -> None:
        """Kill the whole tree, as the end of a job does."""
        self.kill_agent()
        for rank in self.ranks:
            rank.kill()
        self._signal(signal.SIGKILL)

    def stop_agent(self) -> None:
        """Let the agent stand still."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Let the ranks that live finish, and wait until the agent has left."""
        self.go_on()
        for rank in self.ranks:
            if rank.is_alive:
                rank.finish()
        wait_for(lambda: not self._list_agents(), timeout_s=60)

    def clear(self) -> None:
        """Leave no process behind."""
        for rank in self.ranks:
            rank.kill()
        self._signal(signal.SIGKILL)

    def _list_agents(self) -> list[int]:
        return list_agents(self._folder)

    def _signal(self, number: int) -> None:
        for pid in self._list_agents():
            os.kill(pid, number)


def read_points(folder: Path) -> Points:
    """Return the points of a run; each has the value that was logged, and is there once."""
    run = StoredRun(folder)
    try:
        columns = run.columns().get("a")
        if columns is None:
            return set()
        ranks, steps = columns.rank.tolist(), columns.step.tolist()
        assert columns.value.tolist() == [r * BASE + s for r, s in zip(ranks, steps, strict=True)]
        found = set(zip(ranks, steps, strict=True))
        assert len(found) == len(ranks), "some points are there twice"
        return found
    finally:
        run.close()


# -- a program of its own ------------------------------------------------------------------------

LIVE = {"cut": cut, "flip metadata": None, "flip": flip, "blank": blank, "lose": lose}
SEALED = {
    "sealed, cut": cut,
    "sealed, flip": flip,
    "sealed, blank": blank,
    "sealed, swap": swap,
    "sealed, lose": lose,
}
DAMAGES = (*LIVE, *SEALED)
MAY_BE_WRONG = ("flip", "blank")
"""Of a live file's own rows nobody can tell a changed value."""


def check_damages(folder: Path, damages: list[tuple[str, int]]) -> None:
    """Damage copies of a run, and look whether what is left is intact or known to be damaged."""
    command = [sys.executable, "-m", "tests.injuries", str(folder), json.dumps(damages)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stdout[-500:]}\n{done.stderr[-3000:]}"


def main(whole: Path, damages: list[tuple[str, int]]) -> None:
    """Try each damage; the first that is answered wrongly ends the program."""
    expected = read_points(whole)
    for number, (kind, seed) in enumerate(damages):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "p" / whole.name
            shutil.copytree(whole, folder)
            make_old(folder)
            print(f"{number}: {kind} {seed}", flush=True)
            signal.alarm(CASE_TIMEOUT_S)
            _check(folder, kind, random.Random(seed), expected)
            signal.alarm(0)


def _check(folder: Path, kind: str, chance: random.Random, expected: Points) -> None:
    if kind in SEALED:
        seal_run(folder, force=True)
        assert read_points(folder) == expected, "sealing has changed something"
    path = chance.choice(sorted(folder.glob("*.h5")))
    damage = (LIVE | SEALED)[kind] or flip_metadata(path)
    path.write_bytes(damage(chance, bytearray(path.read_bytes())))
    make_old(folder)
    is_intact = verify_run(folder).is_intact
    try:
        found = read_points(folder)
        assert found <= expected, "points that nobody has logged"
        assert found == expected or not is_intact, "points are missing, but verify finds nothing"
    except AssertionError:
        if kind not in MAY_BE_WRONG:
            raise
    except HpctrackError as error:
        if is_intact:
            raise AssertionError("verify finds nothing") from error
    assert repair_run(folder, force=True).is_intact
    if any(folder.glob("*.h5")):
        report = verify_run(folder)
        assert report.is_intact, report.errors()
        if kind not in MAY_BE_WRONG:
            assert read_points(folder) <= expected
    assert repair_run(folder, force=True).actions == []


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
