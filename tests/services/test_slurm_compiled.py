"""Ranks in C under a real Slurm: every rank's values, signals, and one that has no wrapper."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from hpctrack import Store
from tests.compiled.building import EXAMPLES, build
from tests.programs import ROOT, wait_for

from .cluster import Cluster, Place

pytestmark = [pytest.mark.slurm, pytest.mark.cc]

TRACKED = (sys.executable, "-m", "hpctrack", "run", "--")


def environment(scratch: Place) -> dict[str, str]:
    return {
        "HPCTRACK_DIR": f"{scratch.inside}/store",
        "HPCTRACK_LINGER_S": "0.5",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'server'}",
        "OMP_NUM_THREADS": "1",
    }


def build_decay(scratch: Place) -> str:
    """Build the example where the nodes see it; return its path there."""
    build("gcc", "c99", EXAMPLES / "decay.c", into=scratch.host)
    return f"{scratch.inside}/decay"


def test_four_ranks_in_c_on_two_nodes_are_one_run(cluster: Cluster, cluster_scratch: Place) -> None:
    program = build_decay(cluster_scratch)
    done = cluster.run(
        "ctl", "srun", "-N2", "-n4", *TRACKED, program,
        user="alice", timeout_s=180, env=environment(cluster_scratch),
    )  # fmt: skip
    assert done.stdout == "done after 200 steps\n" * 4
    (run,) = Store(cluster_scratch.host / "store").runs()
    assert (run.state, run.record.size, run.record.nodes) == ("finished", 4, 2)
    assert [one.exit_code for one in run.ranks()] == [0] * 4
    for name in ("residual", "heat/total", "heat/hottest"):
        assert run.metric(name).rank_numbers() == [0, 1, 2, 3]
        assert run.metric(name).matrix().shape == (4, 200)
    assert not run.record.ledger


def test_a_task_without_a_wrapper_joins_the_run_of_a_python_task(
    cluster: Cluster, cluster_scratch: Place
) -> None:
    program = build_decay(cluster_scratch)
    waits = (
        "import os, time, hpctrack\n"
        "run = hpctrack.init('mixed')\n"
        "run.log({'python': 1.0}, step=0)\n"
        "run.flush(90)\n"
        "open('begun', 'w').close()\n"
        "while not os.path.exists('done'): time.sleep(0.02)\n"
        "run.finish()\n"
    )
    (cluster_scratch.host / "waits.py").write_text(waits)
    (cluster_scratch.host / "tasks.conf").write_text(
        f"0 {sys.executable} waits.py\n"
        f"1 sh -c 'while [ ! -e begun ]; do sleep 0.02; done; {program}; touch done'\n"
    )
    done = cluster.run(
        "ctl", "srun", f"--chdir={cluster_scratch.inside}", "-N1", "-n2", "--multi-prog",
        f"{cluster_scratch.inside}/tasks.conf",
        user="alice", timeout_s=180, env=environment(cluster_scratch),
    )  # fmt: skip
    assert "done after 200 steps" in done.stdout
    assert "no agent" not in done.stderr
    (run,) = Store(cluster_scratch.host / "store").runs()
    assert (run.project, run.state, run.record.size) == ("mixed", "finished", 2)
    assert run.metric("residual").rank(1).step.tolist() == list(range(200))


COUNTS = """
trap 'echo got >>signals' USR1
echo ready >>ready
while [ ! -e enough ]; do sleep 0.05; done
"""


def test_a_signal_from_slurm_reaches_the_program_once(
    cluster: Cluster, cluster_scratch: Place
) -> None:
    (cluster_scratch.host / "counts.sh").write_text(COUNTS)
    job = cluster.submit(
        f"--chdir={cluster_scratch.inside}",
        f"--wrap=srun {shlex.join([*TRACKED, 'sh', 'counts.sh'])}",
        env=environment(cluster_scratch),
    )
    wait_for((cluster_scratch.host / "ready").exists)
    signals = cluster_scratch.host / "signals"
    for count in range(1, 4):
        cluster.run("login", "scancel", "--signal=USR1", str(job), user="alice")
        wait_for(lambda count=count: signals.exists() and len(read(signals)) >= count)  # type: ignore[misc]
    (cluster_scratch.host / "enough").touch()
    cluster.wait_job(job, timeout_s=180)
    assert read(signals) == ["got"] * 3


def read(path: Path) -> list[str]:
    return path.read_text().splitlines()
