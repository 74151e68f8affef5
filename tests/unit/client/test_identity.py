from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpctrack.client.identity import make_identity
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
