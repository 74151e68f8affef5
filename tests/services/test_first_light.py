"""The whole path on a real Slurm cluster: MPI ranks, a killed rank, a sweep, a requeue."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from hpctrack import Store, StoredRun
from tests.programs import ROOT, wait_for

from .cluster import Cluster, Place

pytestmark = pytest.mark.slurm

PYTHON = sys.executable
HPCTRACK = str(Path(sys.executable).with_name("hpctrack"))
TRAINING = str(ROOT / "slurm" / "train_digits.py")

Points = dict[tuple[int, str], list[tuple[int, float]]]


def environment(scratch: Place, **more: str) -> dict[str, str]:
    """Return what a user of the cluster would export."""
    return {
        "HPCTRACK_DIR": f"{scratch.inside}/store",
        "HPCTRACK_PROJECT": "digits",
        "HPCTRACK_LINGER_S": "0.5",
        "REPO": str(ROOT),
        "PYTHON": PYTHON,
        "HPCTRACK": HPCTRACK,
        "OMP_NUM_THREADS": "1",
        **more,
    }


def printed_points(output: str) -> Points:
    """Read what the ranks printed behind each log()."""
    found: Points = {}
    for line in output.splitlines():
        match = re.match(r"POINT (\d+) (\d+) (\S+) (\S+)$", line)
        if match:
            key = int(match[1]), match[3]
            found.setdefault(key, []).append((int(match[2]), float(match[4])))
    return found


def stored_points(run: StoredRun) -> Points:
    """Read the same from the store."""
    found: Points = {}
    for name in run.metrics():
        metric = run.metric(name)
        for rank in metric.rank_numbers():
            series = metric.rank(rank)
            found[rank, name] = list(zip(series.step.tolist(), series.value.tolist(), strict=True))
    return found


def hpctrack(*arguments: str, store: Path) -> subprocess.CompletedProcess[str]:
    """Call the command line on the host, where the scratch folder is visible too."""
    return subprocess.run(
        [HPCTRACK, *arguments, "--store", str(store)], capture_output=True, text=True, check=False
    )


def test_six_mpi_ranks_on_three_nodes_are_one_run(cluster: Cluster, cluster_scratch: Place) -> None:
    env = environment(cluster_scratch, HPCTRACK_SEAL="manual")
    training = [PYTHON, TRAINING, "--epochs", "2", "--print-points"]
    done = cluster.run(
        "ctl", "srun", "--mpi=pmi2", "-N3", "-n6", *training, user="alice", timeout_s=180, env=env
    )
    store = cluster_scratch.host / "store"
    (run,) = Store(store).runs()
    assert [path.name[:9] for path in run.files()] == ["node-0000", "node-0001", "node-0002"]
    assert (run.state, run.record.size, run.record.nodes) == ("finished", 6, 3)
    assert {rank.host for rank in run.ranks()} == {"n1", "n2", "n3"}
    assert [rank.rank for rank in run.ranks()] == list(range(6))
    assert {rank.exit_code for rank in run.ranks()} == {0}
    printed = printed_points(done.stdout)
    assert len(printed) == 6 * 4
    assert stored_points(run) == printed
    assert run.metric("loss").matrix().shape == (6, len(printed[0, "loss"]))
    run.close()

    # The last agent may still be closing its file.
    wait_for(lambda: hpctrack("seal", "--all", store=store).returncode == 0)
    assert [path.name for path in run.folder.iterdir()] == ["run.h5"]
    (again,) = Store(store).runs()
    assert stored_points(again) == printed
    assert again.record.job["SLURM_JOB_ID"] == again.id.split(".")[0]
    assert not np.isnan(again.metric("accuracy").matrix().values).any()


def test_the_sbatch_script_runs_unchanged_and_seals_itself(
    cluster: Cluster, cluster_scratch: Place
) -> None:
    job = cluster.submit(
        f"--chdir={cluster_scratch.inside}",
        str(ROOT / "slurm" / "train_mpi.sbatch"),
        "--epochs=1",
        env=environment(cluster_scratch),
    )
    cluster.wait_job(job, timeout_s=180)
    output = (cluster_scratch.host / f"train-{job}.out").read_text()
    assert "test accuracy" in output
    assert "nothing lost" in output
    (run,) = Store(cluster_scratch.host / "store").runs()
    assert run.id == f"{job}.0"
    assert run.state == "finished"
    wait_for(lambda: run.is_sealed or None)


class Output:
    """Reads a child's output as it comes."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(child,))
        self._thread.start()

    def _read(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout
        with child.stdout as stream:
            self.lines.extend(stream)

    def join(self) -> str:
        self._thread.join()
        return "".join(self.lines)


@pytest.fixture
def six_ranks(
    cluster: Cluster, cluster_scratch: Place
) -> Iterator[tuple[subprocess.Popen[str], Output]]:
    """Six ranks that train alone, so that the death of one does not stop the others."""
    training = [PYTHON, TRAINING, "--local", "--epochs=4", "--pause=0.08", "--print-points"]
    command = cluster.make_command(
        "ctl",
        "srun",
        "-N3",
        "--ntasks-per-node=2",
        *training,
        user="alice",
        env=environment(cluster_scratch),
    )
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    output = Output(child)
    try:
        yield child, output
    finally:
        child.terminate()
        child.wait()
        output.join()


def find_rank(lines: list[str], rank: int) -> Mapping[str, str] | None:
    """Return where a rank said it is, once it has logged a while."""
    points = sum(line.startswith(f"POINT {rank} ") for line in lines)
    for line in list(lines):
        match = re.match(rf"RANK {rank} (?P<host>\S+) (?P<pid>\d+) (?P<run>\S+) ", line)
        if match and points > 100:
            return match.groupdict()
    return None


def test_a_killed_rank_costs_nothing_that_it_had_logged(
    cluster: Cluster,
    cluster_scratch: Place,
    six_ranks: tuple[subprocess.Popen[str], Output],
) -> None:
    child, output = six_ranks
    place = wait_for(lambda: find_rank(output.lines, 3))
    assert place
    assert place["host"] == "n2"
    cluster.run(place["host"], "kill", "-9", place["pid"])
    assert child.wait(timeout=180) != 0
    printed = printed_points(output.join())
    store = cluster_scratch.host / "store"
    run = Store(store).run(place["run"])

    def has_ended() -> bool:
        run.refresh()
        return run.state != "running"

    wait_for(has_ended)
    assert run.state == "failed"
    assert {rank.rank: str(rank.state) for rank in run.ranks()} == {
        **dict.fromkeys((0, 1, 2, 4, 5), "finished"),
        3: "lost",
    }
    stored = stored_points(run)
    for key, points in printed.items():
        # Between the last print and the kill, one more step may have been logged.
        kept = stored[key] if key[0] != 3 else stored[key][: len(points)]
        assert kept == points, key
    assert len(stored[3, "loss"]) < len(stored[2, "loss"])
    shown = hpctrack("show", place["run"], store=store)
    (line,) = [line for line in shown.stdout.splitlines() if " lost " in line and "n2" in line]
    assert line.split()[:4] == ["3", "lost", "n2", place["pid"]]


def test_a_requeue_is_the_next_attempt_of_the_same_run(
    cluster: Cluster, cluster_scratch: Place
) -> None:
    program = """
import os, sys, time, hpctrack
again = "SLURM_RESTART_COUNT" in os.environ
with hpctrack.init(settings={"seal": "manual"}) as run:
    for step in range(8 if again else 0, 12 if again else 10):
        run.log({"loss": step + (100 if again else 0)}, step=step)
    if not again:
        run.flush(90)
        open("ready", "w").close()
        time.sleep(600)
"""
    (cluster_scratch.host / "program.py").write_text(program)
    job = cluster.submit(
        f"--chdir={cluster_scratch.inside}",
        "--requeue",
        f"--wrap={PYTHON} program.py",
        env=environment(cluster_scratch),
    )
    wait_for((cluster_scratch.host / "ready").exists)
    cluster.run("login", "scontrol", "requeue", str(job), user="alice")
    cluster.wait_job(job, timeout_s=180)
    (run,) = Store(cluster_scratch.host / "store").runs()
    assert run.id.startswith(f"{job}-b")
    assert (run.state, run.record.attempts) == ("finished", 2)
    metric = run.metric("loss")
    assert metric.steps.tolist() == list(range(12))
    assert metric.values.tolist() == [*range(8), 108, 109, 110, 111]
    assert metric.recomputed_points == 2


SWEEP = """
program: {program}
method: grid
name: digits
metric: {{name: accuracy, goal: maximize}}
parameters:
  lr: {{values: [0.01, 0.05, 0.2, 0.5]}}
  hidden: {{values: [8, 32]}}
  epochs: {{value: 1}}
command: ["${{interpreter}}", "${{program}}", "--local", "${{args}}"]
slurm: {{timeout_min: 5, cpus_per_task: 1}}
"""


def check_sweep(store: Path, sweep: str) -> None:
    """Eight finished runs of one group, each with its own configuration."""
    runs = Store(store).runs({"sweep": sweep})
    assert len(runs) == 8
    assert {run.state for run in runs} == {"finished"}
    assert {run.record.group for run in runs} == {sweep}
    assert {run.record.trial for run in runs} == set(range(8))
    tried = {(run.config["lr"], run.config["hidden"]) for run in runs}
    assert tried == {(lr, hidden) for lr in (0.01, 0.05, 0.2, 0.5) for hidden in (8, 32)}
    assert all(run.summary["accuracy"] > 0.05 for run in runs)
    assert all(int(run.record.job["SLURM_ARRAY_TASK_ID"]) < 8 for run in runs)


def test_a_sweep_of_eight_trials_through_submitit(cluster: Cluster, cluster_scratch: Place) -> None:
    (cluster_scratch.host / "sweep.yaml").write_text(SWEEP.format(program=TRAINING))
    done = cluster.run(
        "login",
        HPCTRACK,
        "sweep",
        "submit",
        f"{cluster_scratch.inside}/sweep.yaml",
        "--executor=slurm",
        "--wait",
        "--json",
        user="alice",
        timeout_s=240,
        env=environment(cluster_scratch),
    )
    sweep = json.loads(done.stdout)["id"]
    check_sweep(cluster_scratch.host / "store", sweep)


def test_a_sweep_as_a_plain_job_array(cluster: Cluster, cluster_scratch: Place) -> None:
    env = environment(cluster_scratch)
    (cluster_scratch.host / "sweep.yaml").write_text(SWEEP.format(program=TRAINING))
    file = f"{cluster_scratch.inside}/sweep.yaml"
    made = cluster.run("login", HPCTRACK, "sweep", "create", file, "--json", user="alice", env=env)
    sweep = json.loads(made.stdout)["id"]
    job = cluster.submit(
        "--array=0-3",
        f"--output={cluster_scratch.inside}/%A_%a.out",
        str(ROOT / "slurm" / "sweep.sbatch"),
        sweep,
        env=env,
    )
    cluster.wait_job(job, timeout_s=240)
    check_sweep(cluster_scratch.host / "store", sweep)
