"""Rank detection, on environments as the launchers really set them."""

from __future__ import annotations

import pytest

from hpctrack.client.ranks import RankInfo, detect_rank

SRUN = {
    "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_PROCID": "4", "SLURM_LOCALID": "0",
    "SLURM_NODEID": "2", "SLURM_NTASKS": "6", "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3)",
}  # fmt: skip
BATCH = {
    "SLURM_JOB_ID": "4711", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
    "SLURM_NTASKS": "6",
}  # fmt: skip
OPENMPI = {
    "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": "prterun-n1-1234@1", "PMIX_RANK": "3",
}  # fmt: skip
HYDRA = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1",
    "TORCHELASTIC_RUN_ID": "abc", "TORCHELASTIC_RESTART_COUNT": "2", "MASTER_ADDR": "n1",
    "MASTER_PORT": "29500",
}  # fmt: skip


def place(info: RankInfo) -> tuple[str, int, int, int, int, int]:
    return info.launcher, info.rank, info.size, info.local_rank, info.local_size, info.node


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("none", 0, 1, 0, 1, 0)),
        (SRUN, ("slurm", 4, 6, 0, 2, 2)),
        (BATCH, ("none", 0, 1, 0, 1, 0)),
        (OPENMPI, ("openmpi", 3, 4, 1, 2, 1)),
        (BATCH | OPENMPI, ("openmpi", 3, 4, 1, 2, 1)),
        (HYDRA, ("mpich", 1, 2, 1, 2, 0)),
        (HYDRA | {"I_MPI_ROOT": "/opt"}, ("intelmpi", 1, 2, 1, 2, 0)),
        (SRUN | {"PMI_RANK": "4", "PMI_SIZE": "6"}, ("slurm", 4, 6, 0, 2, 2)),
        (SRUN | HYDRA, ("mpich", 1, 2, 1, 2, 0)),
        (TORCHRUN, ("torchrun", 5, 8, 1, 4, 1)),
        (BATCH | TORCHRUN, ("torchrun", 5, 8, 1, 4, 1)),
        ({"PMIX_RANK": "2", "PMIX_NAMESPACE": "x"}, ("pmix", 2, 1, 0, 1, 0)),
    ],
)
def test_every_launcher_tells_its_rank(
    environ: dict[str, str], expected: tuple[str, int, int, int, int, int]
) -> None:
    assert place(detect_rank(environ)) == expected


def test_the_batch_scripts_procid_is_no_rank() -> None:
    assert detect_rank(BATCH).size == 1


def test_a_requeue_and_an_elastic_restart_count_as_attempts() -> None:
    assert detect_rank(SRUN).attempt == 1
    assert detect_rank(SRUN | {"SLURM_RESTART_COUNT": "2"}).attempt == 3
    assert detect_rank(TORCHRUN).attempt == 3


@pytest.mark.parametrize(
    ("text", "node", "expected"), [("2(x3)", 2, 2), ("3,1", 1, 1), ("4(x2),1", 2, 1), ("", 0, 6)]
)
def test_tasks_per_node_are_read_from_slurms_short_form(
    text: str, node: int, expected: int
) -> None:
    environ = SRUN | {"SLURM_STEP_TASKS_PER_NODE": text, "SLURM_NODEID": str(node)}
    assert detect_rank(environ).local_size == expected


def test_an_initialised_mpi_is_asked_only_when_nobody_else_knows() -> None:
    assert detect_rank({}, lambda: (3, 4)).rank == 3
    assert detect_rank(SRUN, lambda: (0, 1)).rank == 4
    assert detect_rank({}, lambda: None) == RankInfo()


def test_garbage_in_a_number_is_not_believed() -> None:
    assert detect_rank(HYDRA | {"PMI_RANK": "x"}).rank == 0
