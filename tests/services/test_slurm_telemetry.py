"""Telemetry inside real Slurm jobs: the job's fake GPUs, played by a stub of NVIDIA's library."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest

from hpctrack import Store, StoredRun
from hpctrack.errors import NotFoundError
from tests.capabilities import require_program
from tests.programs import ROOT, wait_for
from tests.stubs.nvml.devices import h100, make_uuid
from tests.stubs.nvml.driver import Script, build_library

from .cluster import Cluster, Place

pytestmark = pytest.mark.slurm

PROGRAM = """
import os, sys, time, hpctrack
if len(sys.argv) > 1:  # as many programs do: a GPU for each rank
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["SLURM_LOCALID"]
run = hpctrack.init("p", group=os.environ["SLURM_JOB_NAME"])
ends_s, step = time.monotonic() + 300, 0
while time.monotonic() < ends_s and not os.path.exists(os.environ["SLURM_JOB_NAME"] + ".enough"):
    sum(number * number for number in range(20_000))
    run.log({"step": step}, step=step)
    step += 1
run.finish()
"""


def run_job(
    cluster: Cluster, scratch: Place, name: str, *options: str, gpus: int, words: str = ""
) -> None:
    environ = {
        "HPCTRACK_DIR": f"{scratch.inside}/store",
        "HPCTRACK_TELEMETRY": "auto",
        "HPCTRACK_TELEMETRY_INTERVAL_S": "0.5",
        "LD_LIBRARY_PATH": f"{scratch.inside}/stub",
        "NVML_STUB_SCRIPT": f"{scratch.inside}/nvml.txt",
        "PYTHONPATH": str(ROOT),
    }
    job = cluster.submit(
        f"--job-name={name}",
        f"--chdir={scratch.inside}",
        f"--output={scratch.inside}/{name}.out",
        *options,
        f"--wrap=srun --mpi=none {sys.executable} program.py {words}",
        env=environ,
    )
    # An agent on a busy node begins to measure seconds after its ranks have begun.
    wait_for(lambda: has_measured(scratch, name, gpus))
    (scratch.host / f"{name}.enough").touch()
    cluster.wait_job(job)


def has_measured(scratch: Place, name: str, gpus: int) -> bool:
    """Tell whether there are two samples and more of each GPU, and of what else is looked at."""
    if not (scratch.host / "store").is_dir():
        return False
    for run in Store(scratch.host / "store").runs({"group": name}):
        with suppress(NotFoundError):
            cores = run.sensor("process/cores_used").of(rank=0).value
            hosts = run.sensor("host/memory_used_bytes").streams
            return bool(hosts) and cores.max(initial=0) > 0 and len(run.energy().by_rank) == gpus
    return False


def find(scratch: Place, name: str) -> StoredRun:
    (run,) = Store(scratch.host / "store").runs({"group": name})
    return run


def test_a_job_is_told_of_its_own_gpus_cores_and_memory(
    cluster: Cluster, cluster_scratch: Place
) -> None:
    require_program("gcc")
    (cluster_scratch.host / "program.py").write_text(PROGRAM)
    build_library(cluster_scratch.host / "stub")
    answers = {"count": "2", **h100(0), **h100(1)}
    Script(cluster_scratch.host / "nvml.txt", answers)
    run_job(cluster, cluster_scratch, "one", "-wn1", "--gres=gpu:1", gpus=1)
    run_job(cluster, cluster_scratch, "two", "-wn1", "-n2", "--gres=gpu:2", gpus=2, words="each")
    run = find(cluster_scratch, "one")
    (gpu,) = run.devices("gpu")
    assert (gpu.key, gpu.ranks, gpu.host) == (make_uuid(0), (0,), "n1")
    assert run.sensor("gpu/power_w").streams[0].device == gpu.key
    assert run.sensor("process/cores_used").of(rank=0).value.max() > 0
    assert {one.host for one in run.sensor("host/memory_used_bytes").streams} == {"n1"}
    run = find(cluster_scratch, "two")
    assert {one.key: one.ranks for one in run.devices("gpu")} == {
        make_uuid(0): (0,),
        make_uuid(1): (1,),
    }
    energy = run.energy()
    assert set(energy.by_rank) == {0, 1}
    assert energy.joules > 0
