"""``hpctrack sacct`` on a login node, with a real slurmdbd; and jobs that ask about themselves."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest

from hpctrack import Store, StoredRun
from tests.capabilities import require_program
from tests.programs import ROOT, wait_for
from tests.stubs.nvml.devices import h100
from tests.stubs.nvml.driver import Script, build_library

from .cluster import Cluster, Place

pytestmark = pytest.mark.slurm

GOOD_S = 65
"""Advice about memory takes a job of a minute: of a shorter one Slurm may have seen nothing."""

PROGRAM = """
import os, sys, time, hpctrack
what, again = sys.argv[1], "SLURM_RESTART_COUNT" in os.environ
run = hpctrack.init("p", group=what)
run.log({"a": 1.0}, step=0)
run.flush(90)
open(f"{what}.logged{int(again)}", "w").close()
data = bytearray(100_000_000)
if what == "memory":
    data = bytearray(2_000_000_000)
if what == "limit" or (what == "requeued" and not again):
    time.sleep(600)
if what == "good":
    time.sleep(GOOD_S)
    began_s = time.process_time()
    while time.process_time() - began_s < 0.5:
        pass
run.finish()
sys.exit(3 if what == "failed" else 0)
""".replace("GOOD_S", str(GOOD_S))

FACTS = """
import json
from hpctrack.core.settings import environment
from hpctrack.scheduler.commands import read_job_facts
facts = read_job_facts(environment(), timeout_s=60)
print(json.dumps(facts.to_json()))
"""


@pytest.fixture
def scratch(accounting_cluster: Cluster, request: pytest.FixtureRequest) -> Place:
    """A fresh folder of alice's with the program in it."""
    require_program("gcc")
    place = accounting_cluster.make_scratch(re.sub(r"\W+", "-", request.node.name)[:60])
    build_library(place.host / "stub")
    Script(place.host / "nvml.txt", {"count": "1", **h100(0)})
    (place.host / "program.py").write_text(PROGRAM)
    (place.host / "facts.py").write_text(FACTS)
    return place


def environment(scratch: Place) -> dict[str, str]:
    return {
        "HPCTRACK_DIR": f"{scratch.inside}/store",
        "HPCTRACK_LINGER_S": "0.2",
        "HPCTRACK_TELEMETRY": "auto",
        "HPCTRACK_TELEMETRY_INTERVAL_S": "2",
        "LD_LIBRARY_PATH": f"{scratch.inside}/stub",
        "NVML_STUB_SCRIPT": f"{scratch.inside}/nvml.txt",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }


def start(cluster: Cluster, scratch: Place, what: str, *options: str, srun: str = "exec") -> int:
    return cluster.submit(
        f"--chdir={scratch.inside}",
        f"--output={scratch.inside}/{what}.out",
        "--open-mode=append",
        *options,
        f"--wrap={srun} {sys.executable} program.py {what}",
        env=environment(scratch),
    )


def tell(cluster: Cluster, scratch: Place, *words: str) -> Any:
    """Return what a command says as JSON on the login node."""
    command = (sys.executable, "-m", "hpctrack", *words, "--json")
    done = cluster.run("login", *command, user="alice", env=environment(scratch), timeout_s=180)
    return json.loads(done.stdout)


def ask(cluster: Cluster, scratch: Place, *words: str) -> dict[str, Any]:
    """Return what ``hpctrack sacct`` says, by group."""
    told = tell(cluster, scratch, "sacct", *words)["runs"]
    groups = {run.id: run.group for run in Store(scratch.host / "store").runs()}
    return {groups[one["id"]]: one for one in told}


def outcome(cluster: Cluster, scratch: Place, what: str) -> str:
    return str(ask(cluster, scratch)[what]["outcome"])


def logged(scratch: Place, what: str, *, again: bool = False) -> bool:
    return (scratch.host / f"{what}.logged{int(again)}").exists()


def test_what_slurm_counted_is_joined_to_each_run(
    accounting_cluster: Cluster, scratch: Place
) -> None:
    cluster = accounting_cluster
    jobs = {
        "limit": start(cluster, scratch, "limit", "-wn3", "--time=1", "--mem=600M"),
        "good": start(
            cluster, scratch, "good", "-wn1", "-n2", "--mem=3500M", "--time=2:00:00",
            "--gres=gpu:1", srun="srun --mpi=none",
        ),
        "requeued": start(cluster, scratch, "requeued", "-wn2", "--requeue", "--mem=600M"),
        "failed": start(cluster, scratch, "failed", "-wn3", "--mem=600M"),
        "array": start(cluster, scratch, "array", "-wn2", "--array=3", "--mem=600M"),
    }  # fmt: skip
    if cluster.options.cgroups:
        jobs["memory"] = start(cluster, scratch, "memory", "-wn2", "--mem=600M")
    wait_for(lambda: logged(scratch, "requeued"), timeout_s=120)
    wait_for(lambda: outcome(cluster, scratch, "requeued") == "running")
    cluster.run("login", "scontrol", "requeue", str(jobs["requeued"]), user="alice")
    ends = {"good": "COMPLETED", "failed": "FAILED", "requeued": "COMPLETED", "limit": "TIMEOUT"}
    ends |= {"array": "COMPLETED", "memory": "OUT_OF_MEMORY"}
    for what, job in jobs.items():
        cluster.wait_job(job, ends[what], timeout_s=240)

    # What has been final before is not asked for, so all of it is found with `--all`.
    def look() -> dict[str, Any] | None:
        found = ask(cluster, scratch, "--all")
        done = found.keys() == jobs.keys() and all(
            one["outcome"] == "joined" and one["accounting"]["attempts"][-1]["state"] == ends[what]
            for what, one in found.items()
        )
        return found if done else None

    found = wait_for(look, timeout_s=240)
    last = {what: one["accounting"]["attempts"][-1] for what, one in found.items()}
    assert {what: one["state"] for what, one in last.items()} == {what: ends[what] for what in jobs}
    assert last["failed"]["exit_code"] == [3, 0]
    assert last["array"]["job"] == f"{jobs['array']}_3"
    check_good(last["good"], jobs["good"])
    check_requeued(found["requeued"]["accounting"]["attempts"])
    assert last["limit"]["advice"].startswith("ran out of time after 1 min")
    assert 0.9 < last["limit"]["efficiency"]["time_frac"] < 3
    if "memory" in jobs:
        assert last["memory"]["advice"] == (
            "was killed for memory: 600 MiB were not enough; next time --mem=1G"
        )
    check_sync(cluster, scratch, len(jobs))


def check_good(entry: dict[str, Any], job: int) -> None:
    used = entry["efficiency"]
    assert (entry["job"], entry["step"], entry["step_state"]) == (str(job), "0", "COMPLETED")
    assert used["elapsed_s"] >= GOOD_S
    assert (used["limit_s"], used["cpus"], used["tasks"], used["nodes"]) == (7200, 2, 2, 1)
    assert used["cpu_s"] > 1
    assert 0 < used["cpu_frac"] < 1
    assert used["memory_asked_bytes"] == 3500 * 1024**2
    # Two ranks with 100 MB each.
    assert 200_000_000 < used["memory_bytes"] < 1_500_000_000
    assert used["wait_s"] >= 0
    assert used["energy_j"] is None
    assert (used["gpus"], used["gpus_measured"], used["gpu_source"]) == (1, 1, "telemetry")
    assert used["gpu_frac"] == pytest.approx(0.87)
    assert used["gpu_measured_frac"] > 0.5
    assert entry["advice"].startswith("asked for 3.4 GiB, used ")
    memory, time = entry["options"]
    assert memory.startswith("--mem=")
    assert time == "--time=0:05:00"


def check_requeued(entries: list[dict[str, Any]]) -> None:
    assert [(one["attempt"], one["state"]) for one in entries] == [
        (1, "REQUEUED"),
        (2, "COMPLETED"),
    ]
    assert entries[0]["end_wall_s"] <= entries[1]["start_wall_s"]
    assert entries[1]["restarts"] == 1


def check_sync(cluster: Cluster, scratch: Place, count: int) -> None:
    """The runs go to another store with what Slurm counted."""

    # A run whose agent was killed counts as running until it has been silent for a minute; until
    # then it goes as one that goes on, without what Slurm counted.
    def look() -> list[StoredRun] | None:
        tell(cluster, scratch, "sync", f"{scratch.inside}/target")
        runs = Store(scratch.host / "target").runs()
        are_final = all(one.accounting and one.accounting["is_final"] for one in runs)
        return runs if len(runs) == count and are_final else None

    runs = wait_for(look, timeout_s=300)
    shown = tell(cluster, scratch, "show", runs[0].id)
    assert shown["accounting"]["attempts"]


def test_a_job_learns_from_scontrol_what_it_is(accounting_cluster: Cluster, scratch: Place) -> None:
    cluster = accounting_cluster
    job = cluster.submit(
        *("-N2", "-n2", "--mem=300M", "--time=7", "--gres=gpu:1", "-J", "my job x=1"),
        *("--comment=lr=0.1 Reason=mine", f"--chdir={scratch.inside}", "--output=facts.out"),
        f"--wrap={sys.executable} facts.py",
        env=environment(scratch),
    )
    cluster.wait_job(job, timeout_s=180)
    facts = json.loads((scratch.host / "facts.out").read_text())
    assert (facts["job_id"], facts["name"]) == (str(job), "my job x=1")
    assert (facts["comment"], facts["state"]) == ("lr=0.1 Reason=mine", "RUNNING")
    assert (facts["limit_s"], facts["restarts"], facts["user"]) == (420, 0, "alice")
    assert facts["nodes"] == ["n1", "n2"]
    assert facts["memory"] == {"size_bytes": 300 * 1024**2, "per": "node"}
    assert facts["tres_given"]["gres/gpu"] == 2
    assert facts["submit_wall_s"] <= facts["start_wall_s"] < facts["end_wall_s"]
