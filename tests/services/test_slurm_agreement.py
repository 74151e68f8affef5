"""Trials of several nodes: their ranks stop at the same place, and a requeue is not stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hpctrack import Store
from hpctrack.core.trial_wire import Report
from tests.programs import ROOT, wait_for
from tests.trial_workers import WorkerDouble, trial_environment

from .cluster import Cluster, Place

pytestmark = pytest.mark.slurm

PROGRAM = """
import json, os, random, sys, time
import hpctrack
mode = sys.argv[1]
run = hpctrack.init(raise_pruned=mode == "step", settings={"quiet": True, "seal": "manual"})
chance = random.Random(run.rank)
calls = step = 0
try:
    for step in range(20_000):
        time.sleep(chance.expovariate(1 / 0.01))
        run.log({"loss": 1.0, "mine": run.rank}, step=step)
        if mode == "call":
            calls += 1
            if run.should_stop():
                break
except hpctrack.Pruned:
    pass
life = os.environ.get("SLURM_RESTART_COUNT", "0")
with open(f"end{life}.{run.rank}", "w") as file:
    json.dump({"calls": calls, "step": step, "why": run.stop_reason,
               "host": os.uname().nodename}, file)
run.finish()
if life == "0" and mode == "call":
    time.sleep(300)
"""

RANKS = 4


@pytest.fixture
def worker(cluster_scratch: Place, monkeypatch: pytest.MonkeyPatch) -> WorkerDouble:
    """A worker in the scratch, by a relative path: a socket's has at most 107 bytes."""
    monkeypatch.chdir(cluster_scratch.host)
    return WorkerDouble(Path("s"), lambda reports: "bad" if reports[-1].step >= 150 else "")


def submit(cluster: Cluster, scratch: Place, mode: str) -> int:
    (scratch.host / "program.py").write_text(PROGRAM)
    env = trial_environment(f"{scratch.inside}/s") | {
        "HPCTRACK_DIR": f"{scratch.inside}/store",
        "HPCTRACK_LINGER_S": "0.5",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    del env["HPCTRACK_ATTEMPT"]
    return cluster.submit(
        *("-N2", "--ntasks-per-node=2", "--requeue", "--open-mode=append"),
        f"--chdir={scratch.inside}",
        f"--output={scratch.inside}/job.out",
        f"--wrap=srun {sys.executable} program.py {mode}",
        env=env,
    )


def read_ends(scratch: Place, life: int) -> list[dict[str, object]]:
    """Return how all ranks ended; nothing while one has not."""
    paths = sorted(scratch.host.glob(f"end{life}.*"))
    texts = [path.read_text() for path in paths]
    return [json.loads(text) for text in texts] if len(texts) == RANKS and all(texts) else []


@pytest.mark.parametrize("mode", ["step", "call"])
def test_ranks_of_two_nodes_stop_together_again_and_again(
    cluster: Cluster, cluster_scratch: Place, worker: WorkerDouble, mode: str
) -> None:
    job = submit(cluster, cluster_scratch, mode)
    try:
        check(wait_for(lambda: read_ends(cluster_scratch, 0), timeout_s=120))
        if mode == "call":
            # The next life is the same run; the promises of the last one are none of its own.
            later: list[Report] = []
            worker.said.clear()
            worker.decide = lambda reports: "bad" if reports[-1].step >= 300 else ""
            cluster.run("login", "scontrol", "requeue", str(job), user="alice")
            again = wait_for(lambda: read_ends(cluster_scratch, 1), timeout_s=180)
            check(again)
            assert again[0]["step"] >= 300, later  # type: ignore[operator]
        cluster.wait_job(job, timeout_s=180)
    finally:
        print((cluster_scratch.host / "job.out").read_text())
        worker.close()
    run = Store(cluster_scratch.host / "store").run("t")
    assert run.record.attempts == (2 if mode == "call" else 1)
    metric = run.metric("mine")
    last = [int(metric.rank(rank).step[-1]) for rank in range(RANKS)]
    assert len(set(last)) == 1


def check(found: list[dict[str, object]]) -> None:
    assert len({(one["calls"], one["step"]) for one in found}) == 1, found
    assert {one["why"] for one in found} == {"sweep: bad"}, found
    assert len({one["host"] for one in found}) == 2
