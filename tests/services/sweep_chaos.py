"""Trouble for a sweep on a cluster: whatever runs it is killed, at moments that a seed decides.

The test of it takes one seed; by hand, for as many as one has patience for::

    python -m tests.services.sweep_chaos --trials 200 --kills 20 SEED...
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack import Store
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.submission_record import read_submissions
from hpctrack.sweeps.sweep import load_sweep
from hpctrack.sweeps.worker.claims import list_claims
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_results

from .cluster import Cluster, Place
from .cluster_fixture import make_options

ROOT = Path(__file__).resolve().parents[2]
HPCTRACK = Path(sys.executable).with_name("hpctrack")
STEPS = 10

PROGRAM = """
import fcntl, os, time, hpctrack

run = hpctrack.init()
# The kernel gives a lock back when its owner dies: whoever finds it held is the second at once.
lock = open(os.environ["HPCTRACK_TRIAL_DIR"] + "/lock", "a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(f"{lock.name}.twice.{os.getpid()}", "w").close()
x, y = run.config["x"], run.config["y"]
for step in range(%d):
    run.log({"loss": (x - 0.3) ** 2 + y * y + 1 / (step + 1)}, step=step)
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
    "worker": ("submitit.core._submit",),
    "program": ("trial.py",),
    "agent": ("hpctrack.agents.main",),
    "driver": ("sweep", "submit"),
}
"""What stands on the command lines of those that are killed."""

SHARES = {"worker": 5, "program": 5, "agent": 5, "task": 3, "driver": 2}
"""Of 20 kills. A task is ended by scancel, everything else by SIGKILL."""

WORKERS, REINFORCEMENT = 8, 4


def objective(x: float, y: float) -> float:
    """Return what a trial's last report is."""
    return (x - 0.3) ** 2 + y * y + 1 / STEPS


def find_processes(kind: str, store: str) -> list[int]:
    """Return the processes of a kind that work on a store, on all machines."""
    mine = f"HPCTRACK_DIR={store}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            line = b" ".join(words)
            if not Path(os.fsdecode(words[0])).name.startswith("python"):
                continue
            if all(one.encode() in line for one in SIGNS[kind]) and mine in (
                path / "environ"
            ).read_bytes().split(b"\0"):
                found.append(int(path.name))
    return sorted(found)


@dataclass
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
    trials, kills : int
        How many.
    """

    cluster: Cluster
    scratch: Place
    seed: int
    trials: int = 200
    kills: int = 20
    done: list[str] = field(default_factory=list)
    before: int = 0
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.store = f"{self.scratch.inside}/store"
        self.env = {
            "HPCTRACK_DIR": self.store,
            "HPCTRACK_LINGER_S": "2",
            "HPCTRACK_TELEMETRY": "off",
            "HPCTRACK_PROVENANCE": "off",
            "HPCTRACK_CONSOLE": "off",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        for name, text in {
            "trial.py": PROGRAM % STEPS,
            "sweep.yaml": SWEEP.format(trials=self.trials),
        }.items():
            (self.scratch.host / name).write_text(text)
        code = (
            "import os; from hpctrack.sweeps.sweep import create_sweep;"
            "create_sweep(os.environ['HPCTRACK_DIR'], 'sweep.yaml', sweep_id='chaos')"
        )
        self._login("sh", "-c", f'cd {self.scratch.inside} && {sys.executable} -c "{code}"')
        self.sweep = load_sweep(self.scratch.host / "store", "chaos", project="chaos")
        self._words: dict[int, TrialResult] = {}

    def _login(self, *words: str) -> str:
        return self.cluster.run("login", *words, user="alice", env=self.env).stdout

    # -- running

    def submit(self, workers: int) -> None:
        """Have more workers, as a user who waits for them."""
        self.before = len(read_submissions(self.sweep))
        words = ("sweep", "submit", "chaos", "--executor=slurm", f"--workers={workers}", "--wait")
        command = self.cluster.make_command(
            "login", str(HPCTRACK), *words, user="alice", env=self.env
        )
        with (self.scratch.host / "drivers.log").open("ab") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.drivers.append(child)

    def list_tasks(self) -> list[str]:
        """Return the array tasks that wait or run."""
        queue = ("squeue", "-h", "-r", "-u", "alice", "-t", "PD,R", "-o", "%i")
        return sorted(self._login(*queue).split())

    def run(self, timeout_s: float) -> None:
        """Run the sweep to its end through all the trouble."""
        kinds = [kind for kind, share in SHARES.items() for _ in range(share * self.kills // 20)]
        self.rng.shuffle(kinds)
        when = sorted(self.rng.sample(range(WORKERS, self.trials - 5), len(kinds)))
        deadline = time.monotonic() + timeout_s
        self.submit(WORKERS)
        for kind, begun in zip(kinds, when, strict=True):
            self._wait(lambda begun=begun: len(list_claims(self.sweep.folder)) >= begun, deadline)
            time.sleep(self.rng.uniform(0, 0.3))
            self._kill(kind, deadline)
        self._wait(self.is_over, deadline)

    def _wait(self, what: Callable[[], bool], deadline: float) -> None:
        looked = 0.0
        while not what():
            assert time.monotonic() < deadline, f"out of time after {self.done}\n{self.describe()}"
            if time.monotonic() - looked > 2:
                looked = time.monotonic()
                if len(self.list_tasks()) < REINFORCEMENT and not self.is_submitting():
                    self.submit(REINFORCEMENT)
            time.sleep(0.1)

    def is_over(self) -> bool:
        """Tell whether each trial has its last word."""
        self._words = read_results(self.sweep.folder, self._words)
        states = [one.state for one in self._words.values()]
        return sum(one.is_final or one == TrialState.FAILED for one in states) == self.trials

    def _kill(self, kind: str, deadline: float) -> None:
        if kind == "driver" and (self.rng.random() < 0.5 or not self._find(kind)):
            # A new one, which may not have come to submitting.
            self.submit(2)
            self._wait(lambda: bool(self._find(kind)), deadline)
            time.sleep(self.rng.uniform(0, 2))
        self._wait(lambda: bool(self._find(kind)), deadline)
        victim = self.rng.choice(self._find(kind) or [0])
        if isinstance(victim, str):
            self._login("scancel", victim)
        elif victim:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self.done.append(f"{kind} {victim}")

    def _find(self, kind: str) -> Sequence[int | str]:
        return self.list_tasks() if kind == "task" else find_processes(kind, self.store)

    def is_submitting(self) -> bool:
        """Tell whether a driver has not come to waiting yet."""
        is_alive = bool(self.drivers) and self.drivers[-1].poll() is None
        new = read_submissions(self.sweep)[self.before :]
        return is_alive and not any(one.workers for one in new)

    def describe(self) -> str:
        """Return how things stand."""
        words = read_results(self.sweep.folder)
        states = Counter(one.state.value for one in words.values())
        stuck = [n for n in range(self.trials) if n not in words or not words[n].state.is_over]
        return f"{dict(states)}, not over: {stuck}, tasks: {self.list_tasks()}"

    # -- looking

    def list_wrongs(self) -> Iterator[str]:
        """Yield all that is not as if nothing had happened."""
        sweep, everyone = self.sweep, range(self.trials)
        points = {n: sweep.parameters(n) for n in everyone}
        values = {n: objective(**points[n]) for n in everyone}
        words = read_results(sweep.folder)
        claims = list_claims(sweep.folder)
        for n in everyone:
            word = words.get(n)
            if word is None or word.state != TrialState.FINISHED or word.value != values[n]:
                yield f"trial {n} ended as {word}"
            elif word.attempt != claims[n]:
                yield f"trial {n} ended with attempt {word.attempt} of {claims[n]}"
        if set(words) != set(everyone) or set(claims) != set(everyone):
            yield "there are trials that nobody wanted"
        for path in sweep.folder.path.glob("work/*/*twice*"):
            yield f"two at once: {path}"
        yield from self._list_wrong_records(points, values)
        yield from self._list_wrong_runs(points, values)

    def _list_wrong_records(
        self, points: Mapping[int, Mapping[str, float]], values: Mapping[int, float]
    ) -> Iterator[str]:
        with Search.open(self.sweep) as search:
            records = search.records()
        finished = [one for one in records if one.state.value == "finished"]
        told = {one.configuration: (one.parameters, one.values) for one in finished}
        wanted = {n: (points[n], (values[n],)) for n in points}
        if len(finished) != len(points) or told != wanted:
            yield f"the study differs: {len(finished)} finished, {len(records)} in all"
        others = Counter(one.state.value for one in records if one not in finished)
        if others:
            yield f"the study has others: {others}"

    def _list_wrong_runs(
        self, points: Mapping[int, Mapping[str, float]], values: Mapping[int, float]
    ) -> Iterator[str]:
        runs = Store(self.scratch.host / "store").runs()
        names = Counter(run.id for run in runs)
        if names != Counter(self.sweep.run_id(n) for n in points):
            yield f"the runs differ: {len(runs)}"
        for run in runs:
            n = run.record.trial
            if run.state != "finished":
                yield f"run {run.id} is {run.state}, attempts {run.record.attempts}"
            elif run.summary.get("loss") != values[n] or run.config != points[n]:
                yield f"run {run.id} says {run.summary}, {run.config}"
            elif run.metric("loss").rank(0).step.tolist() != list(range(STEPS)):
                yield f"run {run.id} has steps {run.metric('loss').rank(0).step.tolist()}"
            run.close()

    def list_orphans(self) -> list[int]:
        """Return programs that nobody waits for."""
        return find_processes("program", self.store)


def main() -> None:
    """Do it for some seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--timeout", type=float, default=300.0)
    options = parser.parse_args()
    failed = 0
    with Cluster(options=make_options()) as cluster:
        for seed in options.seeds:
            began = time.monotonic()
            scratch = cluster.make_scratch(f"chaos-{seed}")
            chaos = Chaos(cluster, scratch, seed, options.trials, options.kills)
            try:
                chaos.run(options.timeout)
                wrongs = [*chaos.list_wrongs()]
            except AssertionError as error:
                wrongs = [str(error)]
            wrongs += [f"left over: {one}" for one in chaos.list_orphans()]
            took = time.monotonic() - began
            attempts = Counter(list_claims(chaos.sweep.folder).values())
            print(
                f"seed {seed}: {took:.0f} s, attempts {dict(attempts)}, {Counter(one.split()[0] for one in chaos.done)}"
            )
            if wrongs:
                failed += 1
                print(*chaos.done, *wrongs, sep="\n  ")
                kept = Path(f"/tmp/chaos-{seed}")
                subprocess.run(["cp", "-r", str(scratch.host), str(kept)], check=False)
                print(f"  kept in {kept}")
            sys.stdout.flush()
            chaos._login("scancel", "-u", "alice")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
