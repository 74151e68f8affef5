from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hpctrack.scheduler.commands import ask_scontrol, read_job_facts
from hpctrack.scheduler.job_facts import JobFacts, add_shown, read_slurm
from hpctrack.scheduler.others import read_other
from hpctrack.scheduler.scontrol import find_job
from hpctrack.scheduler.sizes import GIB, MIB
from tests.unit.scheduler.recorded import read

TASK = {
    "SLURM_JOB_ID": "24221219", "SLURM_ARRAY_JOB_ID": "24220929", "SLURM_ARRAY_TASK_ID": "421",
    "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "sweep", "SLURM_JOB_PARTITION": "general",
    "SLURM_JOB_NODELIST": "c[01-03]", "SLURM_JOB_NUM_NODES": "3", "SLURM_NTASKS": "12",
    "SLURM_CPUS_PER_TASK": "2", "SLURM_MEM_PER_CPU": "4000", "SLURM_GPUS": "a100:2,v100:1",
    "SLURM_RESTART_COUNT": "2", "SLURM_CLUSTER_NAME": "oak", "SLURM_JOB_USER": "ana",
    "SLURM_JOB_START_TIME": "1764291600", "SLURM_JOB_END_TIME": "1764295200",
    "SLURM_SUBMIT_DIR": "/home/ana", "SLURM_SUBMIT_HOST": "oak1",
}  # fmt: skip


def slurm(**more: str) -> JobFacts:
    facts = read_slurm({**TASK, **more})
    assert facts is not None
    return facts


def test_the_environment_says_who_the_job_is() -> None:
    facts = slurm()
    assert (facts.shown_id, facts.job_id, facts.step_id) == ("24220929_421", "24221219", "0")
    assert facts.nodes == ("c01", "c02", "c03")
    assert (facts.tasks, facts.cpus_per_task, facts.gpus, facts.restarts) == (12, 2, 3, 2)
    assert (facts.limit_s, facts.start_wall_s) == (3600, 1_764_291_600)
    assert facts.memory is not None
    assert (facts.memory.per, facts.memory.size_bytes) == ("cpu", 4000 * MIB)
    json.dumps(facts.to_json())


def test_outside_any_job_there_is_none() -> None:
    assert read_slurm({}) is None
    assert read_other({"JOB_ID": "7", "PBS_O_HOST": "x"}) is None
    assert read_job_facts({"PATH": ""}) is None


def test_the_first_attempt_has_no_restarts_and_all_of_a_node_is_no_memory() -> None:
    facts = read_slurm({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "0"})
    assert facts is not None
    assert (facts.restarts, facts.memory, facts.limit_s, facts.nodes) == (0, None, None, ())
    assert facts.to_json() == {"scheduler": "slurm", "job_id": "7", "restarts": 0}


@pytest.mark.parametrize("word", ["HET", "PACK"])
def test_components_of_a_heterogeneous_job_are_listed(word: str) -> None:
    groups = {f"SLURM_JOB_ID_{word}_GROUP_{n}": str(12 + n) for n in range(2)}
    assert slurm(**{f"SLURM_{word}_SIZE": "2"}, **groups).het_job_ids == ("12", "13")


def test_what_scontrol_shows_is_added() -> None:
    shown = find_job(read("23.11", "scontrol.txt"), "4711")
    facts = read_slurm({"SLURM_JOB_ID": "4711", "SLURM_SUBMIT_DIR": "/here"})
    assert shown is not None
    assert facts is not None
    found = add_shown(facts, shown)
    assert (found.name, found.user, found.account, found.qos) == ("train", "dora", "ml", "high")
    assert (found.limit_s, found.restarts, found.comment) == (43_200, 1, "ablation")
    assert found.tres_asked["mem"] == 64 * GIB
    assert (found.submit_dir, found.script) == ("/here", "/users/dora/train.sbatch")
    assert found.start_wall_s is not None
    json.dumps(found.to_json(), allow_nan=False)


def test_an_unlimited_job_can_be_written_as_json() -> None:
    shown = find_job(read("19.05", "scontrol.txt"), "24230001")
    assert shown is not None
    found = add_shown(slurm(), shown).to_json()
    assert found["limit_s"] == "UNLIMITED"
    assert found["dependency"] == "afterok:24221219"
    json.dumps(found, allow_nan=False)
    wide = find_job(read("22.05", "scontrol-oneliner.txt"), "13")
    assert wide is not None
    assert add_shown(slurm(), wide).het_job_ids == ("12", "13")


def install_scontrol(folder: Path, code: str) -> dict[str, str]:
    path = folder / "scontrol"
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{code}\n")
    path.chmod(0o755)
    return {"PATH": str(folder), "SLURM_JOB_ID": "1", "SACCT_FORMAT": "user"}


def test_scontrol_is_asked_for_this_job_with_times_in_seconds(tmp_path: Path) -> None:
    text = read("22.05", "scontrol-oneliner.txt")
    environ = install_scontrol(
        tmp_path,
        f"assert sys.argv[1:] == ['--oneliner', 'show', 'job', '1'], sys.argv\n"
        f"assert os.environ['SLURM_TIME_FORMAT'] == '%s'\n"
        f"assert 'SACCT_FORMAT' not in os.environ\nprint({text!r})",
    )
    facts = read_job_facts(environ, timeout_s=60)
    assert facts is not None
    assert facts.comment == "lr=0.1 Reason=me"


@pytest.mark.parametrize("code", ["sys.exit(1)", "time.sleep(600)", "print('?')"])
def test_a_controller_that_does_not_answer_costs_only_what_it_knows(
    tmp_path: Path, code: str
) -> None:
    environ = install_scontrol(tmp_path, code)
    timeout_s = 0.5 if "sleep" in code else 60
    assert ask_scontrol("1", environ, timeout_s=timeout_s) is None
    facts = read_job_facts(environ, timeout_s=timeout_s)
    assert facts is not None
    assert facts.job_id == "1"


OTHERS = {
    "pbs": {
        "PBS_JOBID": "77[2].server.example.org", "PBS_ARRAY_INDEX": "2", "PBS_JOBNAME": "train",
        "PBS_QUEUE": "workq", "PBS_O_HOST": "login1", "PBS_O_WORKDIR": "/home/ben",
    },
    "lsf": {
        "LSB_JOBID": "812", "LSB_JOBINDEX": "0", "LSB_JOBNAME": "train", "LSB_QUEUE": "normal",
        "LSB_HOSTS": "n1 n1 n2", "LSB_MCPU_HOSTS": "n1 2 n2 1", "LSB_DJOB_NUMPROC": "3",
        "LSB_RESTART": "Y", "LSB_PROJECT_NAME": "bio", "LS_SUBCWD": "/home/ben",
    },
    "sge": {
        "JOB_ID": "55", "SGE_TASK_ID": "undefined", "JOB_NAME": "train", "QUEUE": "all.q",
        "NSLOTS": "8", "NHOSTS": "1", "RESTARTED": "0", "SGE_O_HOST": "login1",
    },
    "cobalt": {"COBALT_JOBID": "9", "COBALT_PARTNAME": "1", "COBALT_PROJECT": "cfd"},
    "flux": {"FLUX_JOB_ID": "ƒ2uRx4pRb", "FLUX_JOB_SIZE": "4", "FLUX_JOB_NNODES": "2"},
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_schedulers_tell_who_the_job_is(name: str) -> None:
    facts = read_other(OTHERS[name])
    assert facts is not None
    assert facts.scheduler == name
    expected = {"pbs": "77_2", "lsf": "812", "sge": "55", "cobalt": "9", "flux": "f2uRx4pRb"}
    assert facts.shown_id == expected[name]
    json.dumps(facts.to_json())


def test_other_schedulers_tell_where_and_how_large() -> None:
    found = {name: read_other(environ) for name, environ in OTHERS.items()}
    pbs, lsf, sge, flux = found["pbs"], found["lsf"], found["sge"], found["flux"]
    assert pbs is not None
    assert lsf is not None
    assert sge is not None
    assert flux is not None
    assert (pbs.partition, pbs.submit_host, pbs.restarts) == ("workq", "login1", None)
    assert (lsf.nodes, lsf.node_count, lsf.tasks, lsf.restarts) == (("n1", "n2"), 2, 3, 1)
    assert (sge.partition, sge.tasks, sge.node_count, sge.restarts) == ("all.q", 8, 1, 0)
    assert (flux.tasks, flux.node_count) == (4, 2)
