"""Sweeps on a real cluster: workers, scripts, trials of several ranks, and taking work back."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack import Store
from tests.programs import wait_for

from .cluster import Cluster, Place
from .sweep_desk import HPCTRACK, Desk

pytestmark = pytest.mark.slurm

QUICK = """
import os, hpctrack
run = hpctrack.init(settings={"seal": "manual"})
run.log({"loss": run.config["a"] + run.rank})
print("trial", os.environ["HPCTRACK_TRIAL"], "rank", run.rank, "of", run.place.size,
      "on", os.environ["SLURMD_NODENAME"], "in", os.environ.get("SLURM_STEP_ID"), flush=True)
run.finish()
"""

WAITING = """
import os, pathlib, signal, sys, time
name = f"{os.environ['HPCTRACK_TRIAL']}-{os.environ.get('SLURM_PROCID', '0')}"
def on(number, frame):
    pathlib.Path(f"got-{name}").touch()
    sys.exit(7)
signal.signal(signal.SIGTERM, on)
pathlib.Path(f"began-{name}").touch()
while not os.path.exists("go"):
    time.sleep(0.05)
"""


@pytest.fixture
def desk(cluster: Cluster, cluster_scratch: Place) -> Desk:
    return Desk(cluster, cluster_scratch)


def test_two_submissions_of_one_sweep_run_each_trial_once(desk: Desk) -> None:
    desk.prepare(QUICK, parameters={"a": {"values": list(range(7))}})
    first = desk.sweep("submit", "sweep.yaml", "--workers", "2", "--count", "3")
    assert (first["executor"], first["tasks"]) == ("slurm", 2)
    wait_for(lambda: desk.states(first["id"]))  # else the second may leave nothing for the first
    second = desk.sweep("submit", first["id"], "--workers", "2", "--wait")
    desk.cluster.wait_job(first["jobs"][0])
    desk.cluster.wait_job(second["jobs"][0])
    runs = Store(desk.scratch.host / "store").runs({"sweep": first["id"]})
    assert sorted(run.record.trial for run in runs) == list(range(7))
    assert {run.record.attempts for run in runs} == {1}
    assert sorted(run.config["a"] for run in runs) == list(range(7))
    jobs = [one["job"].partition("_")[0] for one in desk.sweep("status", first["id"])["trials"]]
    assert 0 < jobs.count(first["jobs"][0]) <= 3


def test_a_script_can_be_edited_and_submitted_by_hand(desk: Desk) -> None:
    desk.prepare(
        QUICK,
        parameters={"a": {"values": [1, 2, 3]}},
        slurm={
            "timeout_min": 5,
            "mem_gb": 0.5,
            "setup": ["export FROM_FILE=1"],
            "teardown": ["echo bye"],
        },
    )
    script = desk.type(*HPCTRACK, "sweep", "sbatch", "sweep.yaml", "--workers", "2")
    (desk.scratch.host / "job.sbatch").write_text(script.replace("echo bye", "echo edited"))
    said = desk.type("sbatch", "--parsable", "job.sbatch").strip()
    desk.cluster.wait_job(said)
    (sweep,) = (desk.scratch.host / "store" / "digits" / ".sweeps").iterdir()
    assert desk.states(sweep.name) == ["finished"] * 3
    outputs = [path.read_text() for path in (sweep / "jobs" / "script").iterdir()]
    assert len(outputs) == 2
    assert all("took" in one and one.endswith("edited\n") for one in outputs)
    assert (sweep / "logs" / "0001.log").read_text().count("trial 1 rank 0 of 1 ") == 1


def test_trials_of_four_ranks_follow_each_other_in_one_allocation(desk: Desk) -> None:
    desk.prepare(
        QUICK,
        parameters={"a": {"values": [10, 20, 30]}},
        slurm={"nodes": 2, "tasks_per_node": 2, "timeout_min": 5},
    )
    done = desk.sweep("submit", "sweep.yaml", "--workers", "1", "--wait")
    assert [one["state"] for one in done["status"]["trials"]] == ["finished"] * 3
    assert len({one["job"] for one in done["status"]["trials"]}) == 1
    for number, run in enumerate(Store(desk.scratch.host / "store").runs(order="id")):
        assert run.metric("loss").rank_numbers() == [0, 1, 2, 3]
        assert run.summary["loss"] == 10 * (number + 1)
        log = Path(desk.scratch.host / "store/digits/.sweeps" / done["id"] / "logs")
        lines = (log / f"{number:04d}.log").read_text().splitlines()
        ranks = sorted(line for line in lines if line.startswith("trial"))
        assert [line.split(" on ")[0] for line in ranks] == [
            f"trial {number} rank {rank} of 4" for rank in range(4)
        ]
        assert len({line.split()[-3] for line in ranks}) == 2  # nodes
        assert {line.split()[-1] for line in ranks} == {str(number)}  # steps


def test_a_launcher_like_torchrun_starts_once_on_each_node_and_knows_the_first(desk: Desk) -> None:
    desk.prepare(
        "",
        parameters={"a": {"values": [1]}},
        command=["sh", "launcher.sh", "--rdzv-endpoint=${envvar:SLURMD_NODENAME}:29500", "${args}"],
        slurm={"nodes": 2, "tasks_per_node": 1, "timeout_min": 5},
    )
    (desk.scratch.host / "launcher.sh").write_text('echo "on $SLURMD_NODENAME: $*"\n')
    done = desk.sweep("submit", "sweep.yaml", "--wait")
    (trial,) = done["status"]["trials"]
    log = desk.scratch.host / "store/digits/.sweeps" / done["id"] / "logs/0000.log"
    first, second = sorted(log.read_text().splitlines())
    assert first != second
    assert first.partition(": ")[2] == second.partition(": ")[2]
    assert f"--rdzv-endpoint={trial['host']}:29500 --a=1" in first
    assert f"on {trial['host']}:" in first + second


def test_a_program_that_starts_its_ranks_itself_is_left_to_it(desk: Desk) -> None:
    desk.prepare(
        QUICK,
        parameters={"a": {"values": [10]}},
        command=["srun", "--ntasks=3", "${interpreter}", "${program}"],
        slurm={"nodes": 3, "tasks_per_node": 1, "use_srun": False, "timeout_min": 5},
    )
    done = desk.sweep("submit", "sweep.yaml", "--wait")
    (run,) = Store(desk.scratch.host / "store").runs({"sweep": done["id"]})
    assert run.metric("loss").rank_numbers() == [0, 1, 2]


def test_pause_resume_stop_and_cancel_take_work_back(desk: Desk) -> None:
    desk.prepare(WAITING, parameters={"a": {"values": list(range(6))}}, slurm={"timeout_min": 5})
    submitted = desk.sweep(
        "submit", "sweep.yaml", "--max-trials", "1", "--array-parallelism", "2", "--no-wait"
    )
    sweep, job = submitted["id"], submitted["jobs"][0]
    assert submitted["tasks"] == 6
    wait_for(lambda: desk.has("began-0-0") and desk.has("began-1-0"))

    paused = desk.sweep("pause", sweep)
    assert len(paused["held"]) == 4
    assert paused["running"] == 2
    assert desk.sweep("pause", sweep)["held"] == []  # again: nothing is left to do
    resumed = desk.sweep("resume", sweep)
    assert sorted(resumed["released"]) == sorted(paused["held"])

    stopped = desk.sweep("stop", sweep)
    assert len(stopped["removed"]) == 4
    assert stopped["problems"] == []
    wait_for(lambda: desk.queue(job) == ["RUNNING"] * 2)
    assert desk.sweep("stop", sweep)["removed"] == []
    assert desk.states(sweep) == ["running"] * 2

    cancelled = desk.sweep("cancel", sweep, "--moment", "1")
    assert len(cancelled["ended"]) <= 2  # they may have left by themselves
    wait_for(lambda: not desk.queue(job))
    assert desk.has("got-0-0")
    assert desk.has("got-1-0")
    assert desk.sweep("cancel", sweep)["ended"] == []


def test_a_job_that_its_user_cancels_stays_away(desk: Desk) -> None:
    desk.prepare(WAITING, parameters={"a": {"values": [1, 2]}}, slurm={"timeout_min": 5})
    submitted = desk.sweep("submit", "sweep.yaml", "--no-wait")
    wait_for(lambda: desk.has("began-0-0") and desk.has("began-1-0"))
    desk.type("scancel", submitted["jobs"][0])
    desk.cluster.wait_job(submitted["jobs"][0], "CANCELLED")
    assert desk.queue(submitted["jobs"][0]) == []


def test_jobs_of_a_script_are_found_and_cancelled(desk: Desk) -> None:
    desk.prepare(WAITING, parameters={"a": {"values": [1, 2]}}, slurm={"timeout_min": 5})
    script = desk.type(*HPCTRACK, "sweep", "sbatch", "sweep.yaml", "--workers", "1")
    (desk.scratch.host / "job.sbatch").write_text(script)
    job = desk.type("sbatch", "--parsable", "job.sbatch").strip()
    wait_for(lambda: desk.has("began-0-0"))
    (sweep,) = (desk.scratch.host / "store" / "digits" / ".sweeps").iterdir()
    desk.sweep("cancel", sweep.name, "--moment", "0")
    wait_for(lambda: not desk.queue(job))
    assert desk.has("got-0-0")
    assert not desk.has("began-1-0")


def test_several_agents_of_one_srun_are_workers_of_their_own(desk: Desk) -> None:
    desk.prepare(QUICK, parameters={"a": {"values": [1, 2, 3, 4]}})
    sweep = desk.sweep("create", "sweep.yaml")["id"]
    agent = " ".join([*HPCTRACK, "sweep", "agent", sweep, "--logs"])
    said = desk.type("sbatch", "--parsable", "-n2", "--wrap", f"srun {agent}").strip()
    desk.cluster.wait_job(said)
    runs = Store(desk.scratch.host / "store").runs({"sweep": sweep})
    assert sorted(run.record.trial for run in runs) == [0, 1, 2, 3]
    assert {len(run.ranks()) for run in runs} == {1}
    assert len({one["job"] for one in desk.sweep("status", sweep)["trials"]}) == 1
