"""Trouble for a sweep on a cluster: whatever runs it is killed, at moments that a seed decides.

A test does it with one seed; by hand, as root, for as many as one has patience for::

    python -m tests.services.sweep_chaos --trials 200 --kills 20 SEED...
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import hpctrack
from hpctrack import Store
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.submission_record import read_submissions
from hpctrack.sweeps.sweep import Sweep, create_sweep, load_sweep
from hpctrack.sweeps.worker.claims import list_claims
from hpctrack.sweeps.worker.loop import run_worker
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_results

from .cluster import Cluster, Place
from .cluster_fixture import make_options
from .sweep_desk import HPCTRACK, Desk

STEPS = 10

PROGRAM = f"""
import fcntl, os, time, hpctrack

run = hpctrack.init()
# The kernel gives a lock back when its owner dies: whoever finds it held is the second at once.
lock = open(os.environ["HPCTRACK_TRIAL_DIR"] + "/lock", "a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(f"{{lock.name}}.twice.{{os.getpid()}}", "w").close()
x, y = run.config["x"], run.config["y"]
for step in range({STEPS}):
    run.log({{"loss": (x - 0.3) ** 2 + y * y + 1 / (step + 1)}}, step=step)
    time.sleep(0.03)
run.finish()
"""

SWEEP = """
program: trial.py
method: random
seed: 7
run_cap: {trials}
max_retries: 20
project: chaos
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{min: 0.0, max: 1.0}}
  y: {{min: -1.0, max: 1.0}}
command: ["${{interpreter}}", "${{program}}"]
slurm: {{timeout_min: 10, cpus_per_task: 1}}
"""

SIGNS = {
    "worker": b"submitit.core._submit",
    "program": b" trial.py",
    "agent": b"hpctrack.agents.main",
    "driver": b" sweep submit ",
}
"""What stands on the command lines of those that are killed."""

SHARES = {"worker": 5, "program": 5, "agent": 5, "task": 3, "driver": 2}
"""Of 20 kills. A task is ended by scancel, everything else by SIGKILL."""

NODES = ("n1", "n2", "n3")

WORKERS, REINFORCEMENT = 8, 4

Points = Mapping[int, tuple[Mapping[str, Any], tuple[float, ...]]]
"""Parameters and values of each configuration that has finished."""


def run_undisturbed(trials: int, folder: Path) -> Points:
    """Run the same sweep in this process, and return what it finds."""
    sweep = create_sweep(folder, SWEEP.format(trials=trials))

    def function() -> None:
        run = hpctrack.init()
        x, y = run.config["x"], run.config["y"]
        run.log({"loss": (x - 0.3) ** 2 + y * y + 1 / STEPS}, step=STEPS - 1)

    run_worker(sweep, function=function)
    return read_points(sweep)


def read_points(sweep: Sweep) -> Points:
    """Return what the study of a sweep knows; twice the same configuration counts as none."""
    with Search.open(sweep) as search:
        records = search.records()
    counts = Counter(one.configuration for one in records)
    return {
        one.configuration: (one.parameters, one.values)
        for one in records
        if one.state.value == "finished" and counts[one.configuration] == 1
    }


def find_processes(kind: str, store: str) -> list[int]:
    """Return the Python processes of a kind that work on a store, on all machines."""
    mine = f"HPCTRACK_DIR={store}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            if not Path(os.fsdecode(words[0])).name.startswith("python"):
                continue
            if SIGNS[kind] in b" ".join(words) and mine in (path / "environ").read_bytes().split(
                b"\0"
            ):
                found.append(int(path.name))
    return sorted(found)


class Chaos:
    """A sweep, those who run it, and what is done to them.

    Parameters
    ----------
    cluster : Cluster
        Where.
    scratch : Place
        For the store and the programs.
    seed : int
        Decides what is killed when.
    trials, kills, power_cuts : int
        How many.

    Attributes
    ----------
    done : list of str
        Who was killed.
    """

    def __init__(
        self,
        cluster: Cluster,
        scratch: Place,
        seed: int,
        *,
        trials: int = 200,
        kills: int = 20,
        power_cuts: int = 0,
    ) -> None:
        self.desk = Desk(cluster, scratch, HPCTRACK_LINGER_S="2", HPCTRACK_CONSOLE="off")
        self.trials = trials
        self.kills = kills
        self.power_cuts = power_cuts
        self.done: list[str] = []
        self._rng = random.Random(seed)
        self._store = self.desk.env["HPCTRACK_DIR"]
        self._words: dict[int, TrialResult] = {}
        self._drivers: list[subprocess.Popen[bytes]] = []
        self._submissions = 0
        self.desk.write("trial.py", PROGRAM)
        self.desk.write("sweep.yaml", SWEEP.format(trials=trials))
        self.id = self.desk.sweep("create", "sweep.yaml")["id"]
        self.sweep = load_sweep(self.desk.store, self.id)

    def run(self, timeout_s: float) -> None:
        """Run the sweep to its end through all the trouble.

        Raises
        ------
        TimeoutError
            The time is up.
        """
        kinds = [kind for kind, share in SHARES.items() for _ in range(share * self.kills // 20)]
        kinds += ["node"] * self.power_cuts
        self._rng.shuffle(kinds)
        # Some trials are left for the last ones.
        when = sorted(self._rng.choices(range(WORKERS, self.trials * 3 // 4), k=len(kinds)))
        deadline = time.monotonic() + timeout_s
        self._submit(WORKERS)
        for kind, begun in zip(kinds, when, strict=True):
            self._wait(lambda begun=begun: len(list_claims(self.sweep.folder)) >= begun, deadline)  # type: ignore[misc]
            time.sleep(self._rng.uniform(0, 0.3))
            if not self._is_over():
                self._kill(kind, deadline)
        self._wait(self._is_over, deadline)

    def _submit(self, workers: int) -> None:
        """Have more workers, as a user who waits for them."""
        self._submissions = len(read_submissions(self.sweep))
        words = ("sweep", "submit", self.id, "--executor=slurm", f"--workers={workers}", "--wait")
        self._drivers.append(self.desk.start(*HPCTRACK, *words, log="drivers.log"))

    def _is_submitting(self) -> bool:
        new = read_submissions(self.sweep)[self._submissions :]
        return self._drivers[-1].poll() is None and not any(one.workers for one in new)

    def _wait(self, what: Callable[[], object], deadline: float) -> None:
        """Wait for something; have more workers meanwhile if few are left."""
        looked_s = 0.0
        while not what():
            if time.monotonic() > deadline:
                raise TimeoutError(f"out of time after {self.done}\n{self._describe()}")
            if time.monotonic() - looked_s > 2:
                looked_s = time.monotonic()
                if not self._is_submitting() and len(self._list_tasks()) < REINFORCEMENT:
                    self._submit(REINFORCEMENT)
            time.sleep(0.1)

    def _kill(self, kind: str, deadline: float) -> None:
        if kind == "driver" and (self._rng.random() < 0.5 or not self._find(kind)):
            # A new one, which may not have come to submitting.
            self._submit(2)
            self._wait(lambda: self._find(kind) or self._is_over(), deadline)
            time.sleep(self._rng.uniform(0, 2))
        self._wait(lambda: self._find(kind) or self._is_over(), deadline)
        victim = self._rng.choice(self._find(kind) or [0])
        if kind == "node":
            self._cut_power(str(victim), deadline)
        elif isinstance(victim, str):
            self.desk.type("scancel", victim)
        elif victim:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self.done.append(f"{kind} {victim}")

    def _cut_power(self, node: str, deadline: float) -> None:
        """Switch a node off, and on again when Slurm has missed it."""
        self.desk.cluster.kill_node(node)
        state = ("sinfo", "-h", "-N", "-n", node, "-p", "debug", "-o", "%T")
        self._wait(lambda: "down" in self.desk.type(*state), deadline)
        self.desk.cluster.boot(node)

    def _find(self, kind: str) -> Sequence[int | str]:
        if kind == "node":
            return NODES
        return self._list_tasks() if kind == "task" else find_processes(kind, self._store)

    def _list_tasks(self) -> list[str]:
        """Return the array tasks that wait or run."""
        queue = ("squeue", "-h", "-r", "-u", "alice", "-t", "PD,R", "-o", "%i")
        return sorted(self.desk.type(*queue).split())

    def _is_over(self) -> bool:
        """Tell whether each trial has its last word."""
        self._words = read_results(self.sweep.folder, self._words)
        ended = [one.state for one in self._words.values() if one.state.is_over]
        return len(ended) == self.trials

    def _describe(self) -> str:
        words = read_results(self.sweep.folder)
        states = Counter(one.state.value for one in words.values())
        stuck = [n for n in range(self.trials) if n not in words or not words[n].state.is_over]
        return f"{dict(states)}, not over: {stuck}, tasks: {self._list_tasks()}"

    def iter_wrongs(self, wanted: Points) -> Iterator[str]:
        """Yield all that is not as if nothing had happened."""
        folder = self.sweep.folder
        words, claims = read_results(folder), list_claims(folder)
        if set(words) != set(claims) or set(words) != set(wanted):
            yield f"{len(words)} trials have spoken, {len(claims)} were taken"
        for number, (_, values) in wanted.items():
            word = words.get(number)
            if word is None or word.state != TrialState.FINISHED or (word.value,) != values:
                yield f"trial {number} ended as {word}"
            elif word.attempt != claims.get(number):
                yield f"trial {number} ended with attempt {word.attempt} of {claims.get(number)}"
        yield from (f"two at once: {path}" for path in folder.path.glob("work/*/*twice*"))
        found = read_points(self.sweep)
        if found != wanted:
            yield f"the study differs: {len(found)} finished"
        yield from self._iter_wrong_runs(wanted)
        yield from (f"left over: {one}" for one in find_processes("program", self._store))

    def _iter_wrong_runs(self, wanted: Points) -> Iterator[str]:
        runs = Store(self.desk.store).runs(order="id")
        if [run.id for run in runs] != [self.sweep.run_id(number) for number in sorted(wanted)]:
            yield f"there are {len(runs)} runs"
        for run in runs:
            parameters, values = wanted[int(run.record.trial or 0)]
            steps = run.metric("loss").rank(0).step.tolist()
            told = {"config": run.config, "last": (run.summary.get("loss"),), "steps": steps}
            if run.state != "finished":
                yield f"run {run.id} is {run.state}"
            elif told != {"config": parameters, "last": values, "steps": [*range(STEPS)]}:
                yield f"run {run.id} has {told}"
            run.close()

    def close(self) -> None:
        """End what may be left."""
        for one in self._drivers:
            one.terminate()
            one.wait()
        self.desk.type("scancel", "-u", "alice")


def main() -> None:
    """Do it for some seeds; what went wrong is kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--power-cuts", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=400.0)
    options = parser.parse_args()
    has_failed = False
    with Cluster(options=make_options()) as cluster, tempfile.TemporaryDirectory() as folder:
        wanted = run_undisturbed(options.trials, Path(folder))
        for seed in options.seeds:
            began_s = time.monotonic()
            scratch = cluster.make_scratch(f"chaos-{seed}")
            chaos = Chaos(
                cluster,
                scratch,
                seed,
                trials=options.trials,
                kills=options.kills,
                power_cuts=options.power_cuts,
            )
            try:
                chaos.run(options.timeout)
                wrongs = [*chaos.iter_wrongs(wanted)]
            except TimeoutError as error:
                wrongs = [str(error)]
            attempts = Counter(list_claims(chaos.sweep.folder).values())
            print(f"seed {seed}: {time.monotonic() - began_s:.0f} s,", end=" ")
            print(f"{len(chaos.done)} kills,", end=" ")
            print(f"trials by attempts {dict(sorted(attempts.items()))}", flush=True)
            chaos.close()
            if wrongs:
                has_failed = True
                kept = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
                print(*chaos.done, *wrongs, f"kept in {kept}", sep="\n  ", flush=True)
                with suppress(shutil.Error):  # sockets cannot be copied
                    shutil.copytree(scratch.host, kept, dirs_exist_ok=True)
    sys.exit(has_failed)


if __name__ == "__main__":
    main()
