"""How Slurm ends jobs, and what is left of their runs. The cluster is real; jobs run at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store, StoredRun
from tests.programs import ROOT, wait_for

from .cluster import Cluster, Place

pytestmark = pytest.mark.slurm

FLUSHED_STEPS = 75
"""Calls of `PROGRAM` in 1.5 s: 50 ms are promised, these machines are shared."""

PROGRAM = """
import os, signal, sys, time, hpctrack
what = sys.argv[1]
again = "SLURM_RESTART_COUNT" in os.environ
run = hpctrack.init("p", group=what, settings={"seal": "manual"})
rank = run.rank
if what in {"preempted", "requeued"}:
    # what a user's handler does; a flag would do as well
    signal.signal(signal.SIGTERM, lambda *_: (run.mark_preempting(), run.flush(90), os._exit(1)))
if what == "limit":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
progress = os.open(f"{what}.step{rank}", os.O_CREAT | os.O_WRONLY)
slowest_s, step = 0.0, 0
while step < (50 if again else 10**9):
    began_s = time.perf_counter()
    run.log({"a": step}, step=step)
    slowest_s = max(slowest_s, time.perf_counter() - began_s)
    assert slowest_s < 20
    step += 1
    os.pwrite(progress, b"%12d" % step, 0)
    time.sleep(0.02)
run.finish()
"""


def environment(scratch: Place) -> dict[str, str]:
    return {
        "HPCTRACK_DIR": f"{scratch.inside}/store",
        "HPCTRACK_LINGER_S": "0.5",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }


def start(cluster: Cluster, scratch: Place, what: str, *options: str) -> int:
    return cluster.submit(
        f"--chdir={scratch.inside}",
        f"--output={scratch.inside}/{what}.out",
        *options,
        f"--wrap=exec {sys.executable} program.py {what}",
        env=environment(scratch),
    )


def read_step(scratch: Place, what: str, rank: int = 0) -> int:
    path = scratch.host / f"{what}.step{rank}"
    return int(path.read_text() or 0) if path.exists() else 0


def wait_until_logging(scratch: Place, what: str, rank: int = 0) -> None:
    """Wait until the rank is at work and its agent too: on a cold node that takes seconds."""

    def look() -> bool:
        if not (scratch.host / "store").is_dir() or read_step(scratch, what, rank) <= 30:
            return False
        found = Store(scratch.host / "store").runs({"group": what})
        return any("a" in run.metrics() and rank in run.metric("a").rank_numbers() for run in found)

    wait_for(look)


def find(scratch: Place, what: str) -> StoredRun:
    (run,) = Store(scratch.host / "store").runs({"group": what})
    return run


def find_ended(scratch: Place, what: str) -> StoredRun:
    """Wait until the run is no longer shown as running."""

    def look() -> StoredRun | None:
        run = find(scratch, what)
        return None if run.state == "running" else run

    return wait_for(look)


def check_prefix(run: StoredRun, rank: int = 0, *, at_least: int) -> None:
    """Nothing is missing in the middle, and the end is not further back than a flush or two."""
    steps = run.metric("a").rank(rank).step.tolist()
    assert steps == list(range(len(steps)))
    assert len(steps) >= at_least
    assert not run.record.ledger.get("dropped_points")


def are_all_lost(run: StoredRun) -> bool:
    return {one.state for one in run.ranks()} == {"lost"}


def tell(scratch: Place, *words: str) -> Any:
    """Return what a command says as JSON."""
    command = [str(Path(sys.executable).with_name("hpctrack")), *words, "--json"]
    done = subprocess.run(
        [*command, "--store", str(scratch.host / "store")],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return json.loads(done.stdout)


def test_jobs_that_slurm_ends_keep_what_they_logged(
    cluster: Cluster, cluster_scratch: Place
) -> None:
    (cluster_scratch.host / "program.py").write_text(PROGRAM)
    jobs = {
        "limit": start(cluster, cluster_scratch, "limit", "-wn1", "--time=1"),
        "cancelled": start(cluster, cluster_scratch, "cancelled", "-wn1"),
        "terminated": start(cluster, cluster_scratch, "terminated", "-wn1"),
    }
    for what in jobs:
        wait_until_logging(cluster_scratch, what)
    steps = {what: read_step(cluster_scratch, what) for what in jobs}
    cluster.run("login", "scancel", str(jobs["cancelled"]), user="alice")
    signal_all = ("scancel", "--full", "--signal=TERM", str(jobs["terminated"]))
    cluster.run("login", *signal_all, user="alice")
    cluster.wait_job(jobs["cancelled"], "CANCELLED")
    cluster.wait_job(jobs["terminated"], {"FAILED", "CANCELLED"})
    # It ignores SIGTERM, so what ends it is the SIGKILL after it, agent and all.
    cluster.wait_job(jobs["limit"], "TIMEOUT", timeout_s=150)
    steps["limit"] = read_step(cluster_scratch, "limit") - FLUSHED_STEPS
    assert steps["limit"] > 0
    for what in jobs:
        run = find_ended(cluster_scratch, what)
        check_prefix(run, at_least=steps[what])
        assert run.state in {"failed", "crashed"}
        (rank,) = tell(cluster_scratch, "show", run.id)["ranks"]
        assert rank["state"] == "lost"
    listed = {one["id"]: one["state"] for one in tell(cluster_scratch, "ls")["runs"]}
    assert listed == {
        find(cluster_scratch, what).id: find(cluster_scratch, what).state for what in jobs
    }


def test_a_job_that_makes_way_is_preempted_and_goes_on(
    cluster: Cluster, cluster_scratch: Place
) -> None:
    (cluster_scratch.host / "program.py").write_text(PROGRAM)
    preempted = start(
        cluster, cluster_scratch, "preempted", "-wn2", "-ppreempt", "--requeue", "-c4"
    )
    requeued = start(cluster, cluster_scratch, "requeued", "-wn1", "--requeue")
    steps = {}
    for what in ("preempted", "requeued"):
        wait_until_logging(cluster_scratch, what)
        steps[what] = read_step(cluster_scratch, what)
    winner = cluster.submit("-wn2", "-pdebug", "-c4", "--wrap=sleep 1")
    cluster.run("login", "scontrol", "requeuehold", str(requeued), user="alice")
    held = find_ended(cluster_scratch, "requeued")
    assert held.state == "preempted"
    check_prefix(held, at_least=steps["requeued"])
    listed = {one["id"]: one["state"] for one in tell(cluster_scratch, "ls")["runs"]}
    assert listed[held.id] == "preempted"
    wait_for(lambda: cluster.job_states(requeued) == ["PENDING"])
    cluster.run("login", "scontrol", "release", str(requeued), user="alice")
    cluster.wait_job(winner)
    for what, job in (("preempted", preempted), ("requeued", requeued)):
        cluster.wait_job(job, timeout_s=180)
        run = find(cluster_scratch, what)
        assert (run.state, run.record.attempts) == ("finished", 2)
        assert run.metric("a").steps.tolist()[:50] == list(range(50))
        first = run.metric("a").attempt(1).steps.tolist()
        assert first == list(range(len(first)))
        assert len(first) >= steps[what]
        shown = tell(cluster_scratch, "show", run.id)
        assert (shown["state"], shown["attempts"]) == ("finished", 2)


def test_a_lost_node_costs_its_last_moments(cluster: Cluster, cluster_scratch: Place) -> None:
    (cluster_scratch.host / "program.py").write_text(PROGRAM)
    job = cluster.submit(
        *("-N2", "-wn1,n3", "--ntasks-per-node=1", "--no-requeue"),
        f"--chdir={cluster_scratch.inside}",
        f"--output={cluster_scratch.inside}/node.out",
        f"--wrap=srun --mpi=none {sys.executable} program.py node",
        env=environment(cluster_scratch),
    )
    for rank in range(2):
        wait_until_logging(cluster_scratch, "node", rank)
    try:
        cluster.kill_node("n3")
        steps = read_step(cluster_scratch, "node", 1)
        cluster.wait_job(job, {"NODE_FAIL", "FAILED", "CANCELLED"}, timeout_s=180)
    finally:
        cluster.run("login", "scancel", str(job), user="alice", check=False)
        cluster.boot("n3")
    run = find_ended(cluster_scratch, "node")
    assert run.state in {"failed", "crashed"}
    check_prefix(run, 0, at_least=steps)
    check_prefix(run, 1, at_least=steps - FLUSHED_STEPS)
    wait_for(
        lambda: {one.state for one in find(cluster_scratch, "node").ranks()} == {"lost"},
        timeout_s=180,
    )
    shown = tell(cluster_scratch, "show", run.id)
    assert [(one["rank"], one["host"]) for one in shown["ranks"]] == [(0, "n1"), (1, "n3")]
