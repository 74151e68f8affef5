from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpctrack.client.identity import find_job, make_identity, make_launch_token
from hpctrack.client.opening import read_job
from hpctrack.client.ranks import RankInfo, detect_rank
from hpctrack.core.names import check_id
from tests.unit.client.test_ranks import BATCH, OPENMPI, SRUN, TORCHRUN


def run_id(environ: dict[str, str], *, ordinal: int = 0, proc: Path = Path("/proc")) -> str:
    found = make_identity(environ, detect_rank(environ), ordinal=ordinal, proc=proc).run_id
    return check_id(found, what="run id")


def test_all_ranks_of_a_step_have_one_id_whatever_node_they_are_on() -> None:
    ids = {
        run_id(SRUN | {"SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank // 2)})
        for rank in range(6)
    }
    assert ids == {"4711.0"}


def test_a_requeue_keeps_the_id_and_another_step_has_another() -> None:
    assert run_id(SRUN | {"SLURM_RESTART_COUNT": "1"}) == run_id(SRUN)
    assert run_id(SRUN | {"SLURM_STEP_ID": "1"}) != run_id(SRUN)


def test_an_array_task_is_named_by_array_and_index_not_by_its_job_id() -> None:
    array = {"SLURM_ARRAY_JOB_ID": "1200", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "1203"}
    assert run_id(SRUN | array) == "1200_3.0"


def test_two_mpiruns_of_one_job_are_two_runs() -> None:
    one = run_id(BATCH | OPENMPI)
    other = run_id(BATCH | OPENMPI | {"PMIX_NAMESPACE": "prterun-n1-1234@2"})
    assert one != other
    assert one.startswith("4711-")


def test_torchrun_is_named_by_its_rendezvous() -> None:
    assert run_id(TORCHRUN) == run_id(TORCHRUN | {"RANK": "0", "GROUP_RANK": "0"})
    assert run_id(TORCHRUN) != run_id(TORCHRUN | {"TORCHELASTIC_RUN_ID": "other"})


def test_hydra_ranks_of_several_nodes_share_mpiexecs_control_port(tmp_path: Path) -> None:
    environ = {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2"}
    parent = tmp_path / str(os.getppid())
    parent.mkdir()
    words = ["hydra_pmi_proxy", "--control-port", "n1:4711", "--proxy-id", "1"]
    (parent / "cmdline").write_bytes("\0".join(words).encode())
    here = run_id(environ, proc=tmp_path)
    (parent / "cmdline").write_bytes("\0".join([*words[:-1], "2"]).encode())
    assert run_id(environ | {"PMI_RANK": "3"}, proc=tmp_path) == here
    (parent / "cmdline").write_bytes(b"hydra_pmi_proxy\0--control-port\0n1:4712")
    assert run_id(environ, proc=tmp_path) != here


def test_hydra_ranks_of_one_node_share_their_parent() -> None:
    environ = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALNRANKS": "2"}
    assert run_id(environ) == run_id(environ | {"PMI_RANK": "0"})


def test_a_process_that_nobody_launched_gets_a_random_id() -> None:
    assert run_id({}) != run_id({})


def test_the_second_run_of_a_process_has_its_own_id_on_every_rank() -> None:
    assert run_id(SRUN, ordinal=1) == "4711.0-2"


@pytest.mark.parametrize("asked", ["../../etc/passwd", "a b", ".", "x" * 100])
def test_an_id_that_is_not_allowed_is_replaced_alike_on_all_ranks_and_told(asked: str) -> None:
    found = {
        make_identity({}, RankInfo(rank=rank, size=2), asked=asked).run_id for rank in range(2)
    }
    assert len(found) == 1
    identity = make_identity({}, RankInfo(), asked=asked)
    check_id(identity.run_id, what="run id")
    assert "is not allowed" in identity.problem


def test_agents_are_shared_within_a_step_and_not_beyond() -> None:
    def key(environ: dict[str, str]) -> str:
        return make_identity(environ, detect_rank(environ)).job_key

    assert key(SRUN) == key(SRUN | {"SLURM_PROCID": "0"})
    assert len({key(SRUN), key(SRUN | {"SLURM_STEP_ID": "1"}), key(BATCH), key({})}) == 4
    assert key(SRUN) != key(SRUN | {"SLURM_RESTART_COUNT": "1"})
    assert key({"PBS_JOBID": "1.host"}) != key({"LSB_JOBID": "1"}) != key({})


PBS = {"PBS_JOBID": "77.server.example.org"}
LSF = {"LSB_JOBID": "812", "LSB_JOBINDEX": "0"}


@pytest.mark.parametrize(
    ("environ", "job"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "4711"}, "4711"),
        (PBS, "pbs-77"),
        ({"PBS_JOBID": "77[2].server", "PBS_ARRAY_INDEX": "2"}, "pbs-77_2"),
        ({"PBS_JOBID": "77[0].server", "PBS_ARRAY_INDEX": "0"}, "pbs-77_0"),
        ({"PBS_JOBID": "77-3.server", "PBS_ARRAYID": "3"}, "pbs-77_3"),
        (LSF, "lsf-812"),
        (LSF | {"LSB_JOBINDEX": "5"}, "lsf-812_5"),
        ({"JOB_ID": "55", "SGE_TASK_ID": "undefined"}, "sge-55"),
        ({"JOB_ID": "55", "SGE_TASK_ID": "7"}, "sge-55_7"),
        ({"JOB_ID": "55"}, ""),
        ({"COBALT_JOBID": "9"}, "cobalt-9"),
        ({"FLUX_JOB_ID": "ƒ2uRx4pRb"}, "flux-f2uRx4pRb"),
        (PBS | {"SLURM_JOB_ID": "4711"}, "4711"),
    ],
)
def test_every_scheduler_names_its_job(environ: dict[str, str], job: str) -> None:
    assert find_job(environ) == job


@pytest.mark.parametrize("number", ["../../etc", "a b", "7" * 100, "\x00", "-", "[3]"])
def test_a_job_number_that_is_none_gives_an_id_that_is_allowed(number: str) -> None:
    for environ in ({"PBS_JOBID": number}, {"LSB_JOBID": number}, {"FLUX_JOB_ID": number}):
        for found in (run_id(environ), run_id(environ | OPENMPI)):
            assert check_id(found, what="run id") == found


@pytest.mark.parametrize("environ", [PBS, LSF])
def test_jobs_of_other_schedulers_are_in_the_id(environ: dict[str, str]) -> None:
    job = find_job(environ)
    mpi = run_id(environ | OPENMPI)
    assert mpi.startswith(f"{job}-")
    assert mpi == run_id(environ | OPENMPI | {"OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0"})
    assert mpi != run_id(environ | OPENMPI | {"PMIX_NAMESPACE": "prterun-n1-1234@2"})
    torch = run_id(environ | TORCHRUN)
    assert torch == run_id(environ | TORCHRUN | {"RANK": "0", "GROUP_RANK": "0"})
    assert torch.startswith(f"{job}-")


@pytest.mark.parametrize("environ", [PBS, LSF])
def test_a_requeue_of_a_batch_program_keeps_the_id_and_has_another_agent(
    environ: dict[str, str], tmp_path: Path
) -> None:
    def make(tick: int) -> tuple[str, str]:
        session = tmp_path / str(os.getsid(0))
        session.mkdir(exist_ok=True)
        (session / "stat").write_text(f"1 (sh) S {' '.join(['0'] * 18)} {tick} 0")
        (tmp_path / "self").mkdir(exist_ok=True)
        (tmp_path / "self" / "cmdline").write_bytes(b"python\0train.py")
        found = make_identity(environ, detect_rank(environ), proc=tmp_path)
        return found.run_id, found.job_key

    first, second = make(100), make(200)
    assert first[0] == second[0]
    assert first[0].startswith(f"{find_job(environ)}-b")
    assert first[1] != second[1]
    assert make(100) == first


def test_tasks_of_an_lsf_array_share_no_agent_and_no_id() -> None:
    made = [
        make_identity(one, detect_rank(one))
        for one in (LSF | {"LSB_JOBINDEX": index} | OPENMPI for index in ("1", "2"))
    ]
    assert made[0].run_id != made[1].run_id
    assert made[0].job_key != made[1].job_key


def test_a_restart_is_not_the_first_attempt() -> None:
    assert detect_rank(LSF | {"LSB_RESTART": "Y"} | OPENMPI).attempt == 2
    sge = {"JOB_ID": "55", "SGE_TASK_ID": "undefined"}
    assert detect_rank(sge | {"RESTARTED": "1"}).attempt == 2
    assert detect_rank(sge | {"RESTARTED": "0"}).attempt == 1
    assert detect_rank({"RESTARTED": "1"}).attempt == 1


def test_the_jobs_facts_are_told_once_a_node() -> None:
    environ = {
        "SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": "/home/ana", "SLURM_HET_SIZE": "2",
        "SLURM_JOB_ID_HET_GROUP_0": "7", "SLURM_JOB_ID_HET_GROUP_1": "8", "JOB_ID": "other",
        "SECRET": "x", "LSB_HOSTS": "n" * 100_000,
    }  # fmt: skip
    assert read_job(environ, is_first_on_node=False) == {"SLURM_JOB_ID": "7"}
    told = read_job(environ, is_first_on_node=True)
    assert set(told) == set(environ) - {"JOB_ID", "SECRET", "LSB_HOSTS"}
    assert read_job({"HOME": "/root"}, is_first_on_node=True) == {}
    sge = {"JOB_ID": "55", "SGE_TASK_ID": "3"}
    assert read_job(sge, is_first_on_node=False) == sge


def test_a_sweep_counts_the_attempts_of_its_trials_and_their_agent_is_the_jobs() -> None:
    def make(**more: str) -> tuple[int, str, str]:
        environ = SRUN | more
        rank = detect_rank(environ)
        key = make_identity(environ, rank, asked="t").job_key
        return rank.attempt, key, make_launch_token(environ, rank)

    plain, first = make(), make(HPCTRACK_ATTEMPT="1")
    second = make(HPCTRACK_ATTEMPT="2")
    assert (first[0], second[0]) == (1, 2)
    assert plain[1] == first[1] == second[1]
    assert first[2] != second[2]
    assert make(HPCTRACK_ATTEMPT="1", SLURM_RESTART_COUNT="3")[0] == 1
    assert make(HPCTRACK_ATTEMPT="1", SLURM_RESTART_COUNT="3")[1] != first[1]
    assert make(HPCTRACK_ATTEMPT="nonsense")[0] == 1
