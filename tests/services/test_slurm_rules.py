"""Rules in real jobs: a real time limit, a real scancel, a real requeue."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store, StoredRun
from tests.programs import ROOT, wait_for

from .cluster import Cluster, Place

pytestmark = pytest.mark.slurm

PROGRAM = """
import os, signal, sys, time, hpctrack
what, got = sys.argv[1], []
signal.signal(signal.SIGUSR1, lambda *_: got.append(time.time()))
run = hpctrack.init("p", group=what, settings={"seal": "manual"})
begun = time.time()
while not got and time.time() < begun + 300:
    run.log({"loss": 1.0 if what == "limit" or run.step < 50 else float("nan")})
    if what == "requeue" and "SLURM_RESTART_COUNT" in os.environ and run.step > 200:
        break
    time.sleep(0.02)
if got:
    with open(f"{what}.checkpoint{run.rank}", "x") as file:
        file.write(f"{run.step}")
run.finish()
"""


def start(
    cluster: Cluster, scratch: Place, what: str, rule: dict[str, Any], *options: str, srun: str = ""
) -> int:
    env = {
        "HPCTRACK_DIR": f"{scratch.inside}/store",
        "HPCTRACK_LINGER_S": "0.5",
        "HPCTRACK_HEARTBEAT_S": "1",
        "HPCTRACK_RULES": json.dumps([rule]),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    return cluster.submit(
        f"--chdir={scratch.inside}",
        f"--output={scratch.inside}/{what}.out",
        *options,
        f"--wrap=exec {srun} {sys.executable} program.py {what}",
        env=env,
    )


def find(scratch: Place, what: str) -> StoredRun:
    (run,) = Store(scratch.host / "store").runs({"group": what})
    return run


def read_notes(scratch: Place, what: str) -> list[str]:
    return [one["text"] for one in find(scratch, what).record.warnings if "rule" in one]


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_rules_save_before_the_limit_cancel_and_do_not_repeat_after_a_requeue(
    cluster: Cluster, cluster_scratch: Place
) -> None:
    (cluster_scratch.host / "program.py").write_text(PROGRAM)
    limit = start(
        *(cluster, cluster_scratch, "limit", {"time_left_min": 1.5, "do": ["mark", "signal"]}),
        *("-N2", "-wn1,n2", "--ntasks-per-node=1", "--time=2"),
        srun="srun --mpi=none",
    )
    nan = {"metric": "loss", "is": "nan"}
    cancel = start(
        cluster, cluster_scratch, "cancel", {**nan, "do": ["mark", "cancel"]}, "-wn3", "--time=5"
    )
    once = {**nan, "do": ["command: echo $SLURM_JOB_ID $HPCTRACK_RUN_ID >> told"]}
    requeue = start(cluster, cluster_scratch, "requeue", once, "-wn3", "--requeue", "--time=5")
    told = cluster_scratch.host / "told"

    cluster.wait_job(cancel, "CANCELLED", timeout_s=180)
    assert find(cluster_scratch, "cancel").tags == ("rule:loss-is-nan",)
    wait_for(lambda: read(told), timeout_s=120)
    cluster.run("login", "scontrol", "requeue", str(requeue), user="alice")

    cluster.wait_job(limit, timeout_s=240)
    for rank in range(2):
        assert int(read(cluster_scratch.host / f"limit.checkpoint{rank}")) > 0
    run = find(cluster_scratch, "limit")
    assert (run.state, run.tags) == ("finished", ["rule:time-left-1.5-min"])
    notes = read_notes(cluster_scratch, "limit")
    assert sum("left to the job's time limit" in one for one in notes) == 1
    assert sum("SIGUSR1 sent to rank" in one for one in notes) == 2, notes
    names = [path.name for path in (run.folder / ".rules").iterdir()]
    assert names == ["time-left-1.5-min.a1"]

    cluster.wait_job(requeue, timeout_s=180)
    run = find(cluster_scratch, "requeue")
    assert run.record.attempts == 2
    assert told.read_text() == f"{requeue} {run.id}\n"
    assert "executed in attempt 1" in read_notes(cluster_scratch, "requeue")[-1]
