"""How Slurm ends jobs, and what is left of their runs. The cluster is real; jobs run at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpctrack import Store, StoredRun
from tests.programs import ROOT, wait_for

from .cluster import Cluster, Place

pytestmark = pytest.mark.slurm

PROGRAM = """
import os, signal, sys, time, hpctrack
what = sys.argv[1]
again = "SLURM_RESTART_COUNT" in os.environ
run = hpctrack.init("p", group=what, settings={"seal": "manual"})
if what == "preempted":
    # what a user's handler does; a flag would do as well
    signal.signal(signal.SIGTERM, lambda *_: (run.mark_preempting(), run.flush(), os._exit(1)))
slowest_s, step = 0.0, 0
while step < (50 if again else 10**9):
    began_s = time.perf_counter()
    run.log({"a": step}, step=step)
    slowest_s = max(slowest_s, time.perf_counter() - began_s)
    assert slowest_s < 1
    step += 1
    with open(what + ".step", "w") as file:
        file.write(str(step))
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


def read_step(scratch: Place, what: str) -> int:
    path = scratch.host / f"{what}.step"
    return int(path.read_text() or 0) if path.exists() else 0


def find(scratch: Place, what: str) -> StoredRun:
    (run,) = Store(scratch.host / "store").runs({"group": what})
    return run


def check_prefix(run: StoredRun, *, at_least: int) -> None:
    """Nothing is missing in the middle, and the end is not further back than a flush or two."""
    steps = run.metric("a").steps.tolist()
    assert steps == list(range(len(steps)))
    assert len(steps) >= at_least
    assert not run.record.ledger.get("dropped_points")


def show(scratch: Place, run: StoredRun) -> str:
    command = [str(Path(sys.executable).with_name("hpctrack")), "show", run.id]
    done = subprocess.run(
        [*command, "--store", str(scratch.host / "store")],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout


def test_jobs_that_slurm_ends_keep_what_they_logged(
    cluster: Cluster, cluster_scratch: Place
) -> None:
    (cluster_scratch.host / "program.py").write_text(PROGRAM)
    jobs = {
        "cancelled": start(cluster, cluster_scratch, "cancelled", "-wn1"),
        "terminated": start(cluster, cluster_scratch, "terminated", "-wn1"),
        "preempted": start(
            cluster, cluster_scratch, "preempted", "-wn2", "-ppreempt", "--requeue", "-c4"
        ),
    }
    for what in jobs:
        wait_for(lambda what=what: read_step(cluster_scratch, what) > 30, timeout_s=60)  # type: ignore[misc]
    steps = {what: read_step(cluster_scratch, what) for what in jobs}
    cluster.run("login", "scancel", str(jobs["cancelled"]), user="alice")
    # The time limit's own signals, without its minute: TERM to the whole job, and later KILL.
    signal_all = ("scancel", "--full", "--signal=TERM", str(jobs["terminated"]))
    cluster.run("login", *signal_all, user="alice")
    winner = cluster.submit("-wn2", "-pdebug", "-c4", "--wrap=sleep 1")
    cluster.wait_job(jobs["cancelled"], "CANCELLED")
    cluster.wait_job(jobs["terminated"], {"FAILED", "CANCELLED"})
    cluster.wait_job(winner)
    cluster.wait_job(jobs["preempted"], timeout_s=60)
    for what in ("cancelled", "terminated"):
        run = wait_for(lambda what=what: ended(find(cluster_scratch, what)))  # type: ignore[misc]
        check_prefix(run, at_least=steps[what])
        assert run.state == "failed"
        assert "lost" in show(cluster_scratch, run)
    run = find(cluster_scratch, "preempted")
    assert (run.state, run.record.attempts) == ("finished", 2)
    assert run.metric("a").steps.tolist()[:50] == list(range(50))
    assert "2" in show(cluster_scratch, run)


def ended(run: StoredRun) -> StoredRun | None:
    return None if run.state == "running" else run
