"""Ranks that an MPI launcher starts inside a batch script, and their run after a requeue."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpctrack import Store
from tests.programs import ROOT, wait_for

from .cluster import Cluster, Place

pytestmark = pytest.mark.slurm

RANKS = 4

PROGRAM = """
import os, signal, sys, time, hpctrack
run = hpctrack.init("p", settings={"seal": "manual"})
signal.signal(signal.SIGTERM, lambda *_: (run.mark_preempting(), run.flush(90), os._exit(1)))
is_again = "SLURM_RESTART_COUNT" in os.environ
steps = 20 if is_again or os.environ["WHICH"] == "first" else 10**9
for step in range(steps):
    run.log({"a": step, "attempt": run.place.attempt}, step=step)
    if step == 30:
        open(f"logging{run.rank}", "w").close()
    time.sleep(0.01)
print(run.rank, run.id, flush=True)
run.finish()
"""

SCRIPT = """#!/bin/bash
WHICH=first {launcher} -n 4 {python} program.py
WHICH=second {launcher} -n 4 {python} program.py
"""


@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param("mpirun.openmpi --map-by ppr:2:node", marks=pytest.mark.openmpi),
        pytest.param(f"{Path(sys.executable).parent}/mpiexec -ppn 2", marks=pytest.mark.mpi),
    ],
    ids=["openmpi", "mpich"],
)
def test_all_ranks_of_a_requeued_mpirun_are_the_second_attempt_of_its_run(
    cluster: Cluster, cluster_scratch: Place, launcher: str
) -> None:
    folder = cluster_scratch.host
    (folder / "program.py").write_text(PROGRAM)
    script = folder / "job.sh"
    script.write_text(SCRIPT.format(launcher=launcher, python=sys.executable))
    job = cluster.submit(
        *("-N2", "--ntasks-per-node=2", "--requeue", "--open-mode=append"),
        f"--chdir={cluster_scratch.inside}",
        f"--output={cluster_scratch.inside}/job.out",
        f"{cluster_scratch.inside}/job.sh",
        env={
            "HPCTRACK_DIR": f"{cluster_scratch.inside}/store",
            "HPCTRACK_LINGER_S": "0.5",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        },
    )
    try:
        wait_for(lambda: len(list(folder.glob("logging*"))) == RANKS)
        cluster.run("login", "scontrol", "requeue", str(job), user="alice")
        cluster.wait_job(job, timeout_s=180)
    finally:
        print((folder / "job.out").read_text())
    runs = Store(folder / "store").runs(order="created")
    assert len(runs) == 2, "a run for each mpirun of the script"
    for run in runs:
        assert run.id.startswith(f"{job}-")
        assert (run.state, run.record.attempts, run.record.size) == ("finished", 2, RANKS)
        assert [one.exit_code for one in run.ranks()] == [0] * RANKS
        assert {one.host for one in run.ranks()} == {"n1", "n2"}
        metric = run.metric("attempt")
        assert metric.rank_numbers() == list(range(RANKS))
        assert set(metric.values.tolist()) == {2}
        assert run.metric("a").rank(0).step.tolist() == list(range(20))
        assert metric.attempt(1).rank_numbers() == list(range(RANKS))
    assert len(runs[0].metric("a").attempt(1).rank(0)) == 20
    assert len(runs[1].metric("a").attempt(1).rank(0)) > 30
