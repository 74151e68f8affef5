"""What is recorded of a real Slurm job, and running it again by a real sbatch."""

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

PYTHON = sys.executable

PROGRAM = """
import os, random, sys
import hpctrack
generator = random.Random(int(sys.argv[1]))
with hpctrack.init("p") as run:
    rank = run.place.rank
    for step in range(5):
        run.log({"loss": generator.random() + rank}, step=step)
"""

SCRIPT = """#!/bin/bash
#SBATCH --job-name=traced
#SBATCH -N2
#SBATCH --ntasks-per-node=1
#SBATCH --output=out-%j
export API_TOKEN=planted9secret
cd {code}
srun {python} train.py 7
"""


@pytest.fixture
def code(cluster: Cluster, cluster_scratch: Place) -> str:
    """A repository of alice's with a change that is not committed."""
    folder = f"{cluster_scratch.inside}/code"
    git = (
        f"mkdir {folder} && cd {folder} && git init -q -b main && cat > train.py && git add -A && "
        "git -c user.name=a -c user.email=a@b commit -q -m x && echo '# changed' >> train.py"
    )
    cluster.run("login", "bash", "-c", git, user="alice", input=PROGRAM)
    return folder


def environment(scratch: Place, **more: str) -> dict[str, str]:
    return {
        "HPCTRACK_DIR": f"{scratch.inside}/store",
        "HPCTRACK_LINGER_S": "0.5",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'server'}",
        "OMP_NUM_THREADS": "1",
        **more,
    }


def only_new(store: Path, known: set[str]) -> StoredRun:
    def look() -> StoredRun | None:
        runs = list(Store(store).runs()) if store.is_dir() else []
        return next((one for one in runs if one.id not in known and one.is_sealed), None)

    return wait_for(look)


def run_again(cluster: Cluster, scratch: Place, run: str) -> str:
    """Write the script on the login node and submit it; return what sbatch said."""
    place = f"{scratch.inside}/again"
    words = [PYTHON, "-m", "hpctrack", "rerun", run, "-o", place]
    env = environment(scratch)
    cluster.run("login", *words, user="alice", env=env)
    shell = f"cd {scratch.inside} && bash again/rerun.sh"
    done = cluster.run("login", "bash", "-c", shell, user="alice", env=env, timeout_s=180)
    return done.stdout


def test_a_batch_job_tells_its_script_and_runs_again(
    cluster: Cluster, cluster_scratch: Place, code: str
) -> None:
    store = cluster_scratch.host / "store"
    job = cluster.submit(
        f"--chdir={cluster_scratch.inside}", script=SCRIPT.format(code=code, python=PYTHON),
        env=environment(cluster_scratch),
    )  # fmt: skip
    cluster.wait_job(job, timeout_s=180)
    run = only_new(store, set())
    told = run.provenance
    assert told["job_script"]["text"] == SCRIPT.format(code=code, python=PYTHON).replace(
        "planted9secret", "***"
    )
    assert told["job_script"]["from"] in {"spool", "scontrol"}
    assert told["git"]["top"] == code
    assert "+# changed" in told["git"]["diff"]
    assert told["environment"]["SLURM_JOB_ID"] == str(job)
    assert told["program"]["argv"] == [PYTHON, "train.py", "7"]
    assert told["program"]["cwd"] == code
    other = run.find_provenance(node=1)
    assert other["of"]["host"] != told["of"]["host"]
    assert "git" not in other
    assert b"planted9secret" not in run.files()[0].read_bytes()
    # The working tree goes on.
    cluster.run("login", "git", "-C", code, "checkout", "-q", ".", user="alice")
    said = run_again(cluster, cluster_scratch, run.id)
    number = int(said.split()[-1])
    cluster.wait_job(number, timeout_s=180)
    again = only_new(store, {run.id})
    for rank in range(2):
        one, other_one = (each.metric("loss").rank(rank).value.tolist() for each in (run, again))
        assert one == other_one
    assert again.provenance["git"]["diff"] == told["git"]["diff"]
    assert again.provenance["git"]["top"] == f"{cluster_scratch.inside}/rerun-{run.id}/code"


def test_a_job_of_srun_alone_has_no_script_and_gets_one(
    cluster: Cluster, cluster_scratch: Place, code: str
) -> None:
    store = cluster_scratch.host / "store"
    shell = f"cd {code} && srun -N2 -n2 --time=5 {PYTHON} train.py 7"
    env = environment(cluster_scratch)
    cluster.run("ctl", "bash", "-c", shell, user="alice", env=env, timeout_s=180)
    run = only_new(store, set())
    told = run.provenance
    assert "job_script" not in told
    assert "no batch script" in told["missing"]["job_script"]
    said = run_again(cluster, cluster_scratch, run.id)
    made = (cluster_scratch.host / "again" / "job.sh").read_text()
    assert "#SBATCH --nodes=2\n#SBATCH --ntasks=2" in made
    cluster.wait_job(int(said.split()[-1]), timeout_s=180)
    again = only_new(store, {run.id})
    assert again.record.size == 2
    for rank in range(2):
        one, other = (each.metric("loss").rank(rank).value.tolist() for each in (run, again))
        assert one == other


def test_two_jobs_are_compared(cluster: Cluster, cluster_scratch: Place, code: str) -> None:
    env = environment(cluster_scratch)
    for seed in ("7", "8"):
        words = ["srun", "-N1", "-n1", f"--chdir={code}", PYTHON, "train.py", seed]
        cluster.run("ctl", *words, user="alice", env=env, timeout_s=180)
    store = cluster_scratch.host / "store"
    wait_for(lambda: len([one for one in Store(store).runs() if one.is_sealed]) == 2 or None)
    first, second = sorted(one.id for one in Store(store).runs())
    done = cluster.run(
        "login", PYTHON, "-m", "hpctrack", "diff", first, second, "--json", user="alice", env=env,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    told: dict[str, Any] = json.loads(done.stdout)
    assert set(told["differences"]) == {"summary", "command"}
