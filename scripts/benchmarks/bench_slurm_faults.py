"""How Slurm ends jobs, and what is left of their runs: on a real cluster, on this machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hpctrack
from scripts.benchmarks.bench_faults import Entry, describe, make_outcome, read_page
from scripts.benchmarks.lab import ROOT, Lab
from scripts.benchmarks.rows import Outcome, Row
from tests.services.cluster import Cluster, Options, Place, list_interpreter_folders, list_missing

LIMIT = "time limit, SIGTERM is ignored: SIGKILL after `KillWait`"
CANCELLED = "scancel, SIGTERM is not handled"
PREEMPTED = "preemption with requeue"
NODE = "a node of two loses power"
NAMES = (LIMIT, CANCELLED, PREEMPTED, NODE)

CALLS = 100_000
"""More than any job lives for."""

START_TIMEOUT_S = 90.0
STALE_S = 90.0
"""Longest wait until a run whose processes are gone without a word is no longer running."""


def bench_slurm_faults(lab: Lab, *, hz: float, calls: int) -> Outcome:
    """Let Slurm end four jobs, each in its way, and look at their loops and runs."""
    missing = list_missing()
    if missing:
        why = "; ".join(missing)
        return Outcome([Row(what=one, value=None, unit="points", note=why) for one in NAMES])
    keep = (str(ROOT), *list_interpreter_folders())
    with Cluster(options=Options(keep=keep)) as cluster:
        scene = Scene(lab, cluster, hz=hz, calls=calls)
        limit = scene.start("limit", "ignore", "-wn1", "--time=1")
        found = {
            CANCELLED: _cancel(scene),
            PREEMPTED: _preempt(scene),
            NODE: _lose_node(scene),
            LIMIT: _reach_limit(scene, limit),
        }
    return make_outcome({name: [found[name]] for name in NAMES})


class Scene:
    """A cluster with jobs that log."""

    def __init__(self, lab: Lab, cluster: Cluster, *, hz: float, calls: int) -> None:
        self.cluster = cluster
        self._lab = lab
        self._calls = calls
        self._hz = hz
        self._scratch: Place = cluster.make_scratch("faults")

    def start(self, name: str, what: str, *options: str, launcher: str = "exec") -> int:
        """Submit a job; its store and pages have its name."""
        self._lab.say(name)
        inside = f"{self._scratch.inside}/{name}"
        told = {"store": inside, "page": f"{inside}.page", "calls": CALLS, "hz": self._hz}
        told |= {"what": what, "out": f"{inside}.out.json"}
        script = Path(self._scratch.host / f"{name}.sh")
        module = "scripts.benchmarks.programs.under_fault"
        program = f"{sys.executable} -P -m {module} '{json.dumps(told)}'"
        script.write_text(f"#!/bin/bash\n{launcher} {program}\n")
        return self.cluster.submit(
            f"--chdir={self._scratch.inside}",
            f"--output={inside}.log",
            "--open-mode=append",
            *options,
            f"{self._scratch.inside}/{name}.sh",
            env={"PYTHONPATH": str(ROOT), "HPCTRACK_LINGER_S": "0.5", "HPCTRACK_SEAL": "manual"},
        )

    def page(self, name: str, suffix: str = "") -> list[Entry]:
        """Return the calls of a job's rank 0, or of another one's."""
        return read_page(self._scratch.host / f"{name}.page{suffix}")

    def wait(self, name: str, suffix: str = "") -> None:
        """Wait until a rank has made so many calls and the store has some of them."""

        def look() -> bool:
            store = self._scratch.host / name
            is_there = store.is_dir() and any(run.metrics() for run in hpctrack.Store(store).runs())
            return is_there and len(self.page(name, suffix)) >= self._calls

        _wait(look, START_TIMEOUT_S)

    def term_s(self, name: str) -> float:
        """Return when the program was told to end, monotonic seconds."""
        return float((self._scratch.host / f"{name}.page.signal").read_text())

    def describe(
        self, name: str, entries: Sequence[Entry], harmed_s: float, *, ends: bool = False
    ) -> dict[str, Any]:
        """Wait until the run is over and say what is left of it."""
        store = self._scratch.host / name
        _wait(lambda: all(run.state != "running" for run in hpctrack.Store(store).runs()), STALE_S)
        return describe(entries, harmed_s, [store], ends=ends)


def _wait(look: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not look() and time.monotonic() < deadline:
        time.sleep(0.1)


def _cancel(scene: Scene) -> dict[str, Any]:
    job = scene.start("cancelled", "", "-wn1")
    scene.wait("cancelled")
    harmed_s = time.monotonic()
    scene.cluster.run("login", "scancel", str(job), user="alice")
    scene.cluster.wait_job(job, "CANCELLED")
    return scene.describe("cancelled", scene.page("cancelled"), harmed_s, ends=True)


def _preempt(scene: Scene) -> dict[str, Any]:
    job = scene.start("preempted", "make way", "-wn2", "-ppreempt", "--requeue", "-c4")
    scene.wait("preempted")
    harmed_s = time.monotonic()
    winner = scene.cluster.submit("-wn2", "-pdebug", "-c4", "--wrap=sleep 1")
    scene.cluster.wait_job(winner)
    scene.cluster.wait_job(job, timeout_s=90)
    entries = [*scene.page("preempted"), *scene.page("preempted", ".again")]
    return scene.describe("preempted", entries, harmed_s)


def _lose_node(scene: Scene) -> dict[str, Any]:
    job = scene.start(
        *("node", "", "-N2", "-wn1,n3", "--ntasks-per-node=1", "--no-requeue"),
        launcher="exec srun --mpi=none",
    )
    for suffix in ("", "1"):
        scene.wait("node", suffix)
    try:
        harmed_s = time.monotonic()
        scene.cluster.kill_node("n3")
        scene.cluster.wait_job(job, {"NODE_FAIL", "FAILED", "CANCELLED"}, timeout_s=90)
    finally:
        scene.cluster.run("login", "scancel", str(job), user="alice", check=False)
        scene.cluster.boot("n3")
    return scene.describe("node", [*scene.page("node"), *scene.page("node", "1")], harmed_s)


def _reach_limit(scene: Scene, job: int) -> dict[str, Any]:
    scene.cluster.wait_job(job, "TIMEOUT", timeout_s=150)
    return scene.describe("limit", scene.page("limit"), scene.term_s("limit"))
