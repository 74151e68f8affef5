"""Which GPUs the ranks of a node have, seen from the agent's cgroup."""

from __future__ import annotations

from pathlib import Path

from hpctrack.telemetry.gpu_scope import find_scope, read_cgroup
from hpctrack.telemetry.gpu_source import Gpu
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import WatchedRank

GPUS = [Gpu(uuid=f"GPU-{place}a", name="H100", model="H100") for place in range(4)]

STEP = "/system.slice/slurmstepd.scope/job_7/step_0/user"


def write_cgroups(root: Path, paths: dict[str, str]) -> None:
    for pid, text in paths.items():
        folder = root / "proc" / pid
        folder.mkdir(parents=True)
        (folder / "cgroup").write_text(text)


def test_the_job_has_what_any_of_its_ranks_has(tmp_path: Path) -> None:
    ranks = [WatchedRank(10, 0, "3"), WatchedRank(11, 1, "1"), WatchedRank(12, 2, "1")]
    scope = find_scope(ranks, GPUS, environ={}, files=KernelFiles(tmp_path))
    assert scope.gpus == [GPUS[1], GPUS[3]]
    assert scope.by_rank == {ranks[0]: (GPUS[3],), ranks[1]: (GPUS[1],), ranks[2]: (GPUS[1],)}
    assert scope.happenings == []


def test_numbers_count_only_what_the_cgroup_lets_us_open(tmp_path: Path) -> None:
    # Two jobs, each with CUDA_VISIBLE_DEVICES=0: this one was given the third GPU of the node.
    rank = WatchedRank(10, 0, "0")
    scope = find_scope(
        [rank], [GPUS[2]], environ={"SLURM_GPUS_ON_NODE": "1"}, files=KernelFiles(tmp_path)
    )
    assert scope.by_rank == {rank: (GPUS[2],)}


def test_on_nvidias_gpus_amds_lists_mean_nothing(tmp_path: Path) -> None:
    rank = WatchedRank(10, 0, "1", rocr_gpus="2", hip_gpus="0")
    scope = find_scope([rank], GPUS, environ={}, files=KernelFiles(tmp_path))
    assert scope.by_rank == {rank: (GPUS[1],)}
    other = WatchedRank(10, 0, None, rocr_gpus="2")
    scope = find_scope([other], GPUS, environ={}, files=KernelFiles(tmp_path))
    assert scope.by_rank == {other: tuple(GPUS)}


def test_a_wrong_number_in_amds_lists_is_told_with_both(tmp_path: Path) -> None:
    rank = WatchedRank(10, 0, None, rocr_gpus="2,3", hip_gpus="2")
    scope = find_scope([rank], GPUS, environ={}, files=KernelFiles(tmp_path), vendor="amd")
    assert scope.gpus == []
    (told,) = scope.happenings
    assert told.text.startswith("visible GPUs '2,3' and of these '2': '2' names no GPU")


def test_a_slice_brings_the_gpu_that_it_is_of(tmp_path: Path) -> None:
    whole = Gpu(uuid="GPU-x", name="H100", is_sliced=True)
    slices = [Gpu(uuid=f"MIG-{place}", name="1g.10gb", parent="GPU-x") for place in range(2)]
    rank = WatchedRank(10, 0, "MIG-1")
    scope = find_scope([rank], [whole, *slices], environ={}, files=KernelFiles(tmp_path))
    assert scope.gpus == [whole, slices[1]]
    assert scope.by_rank[rank] == (slices[1],)


def test_a_task_in_another_cgroup_may_have_another_gpu_by_the_same_number(tmp_path: Path) -> None:
    write_cgroups(tmp_path, {"self": f"0::{STEP}/task_0\n", "10": f"0::{STEP}/task_0\n"})
    write_cgroups(tmp_path, {"11": f"0::{STEP}/task_1\n"})
    ranks = [WatchedRank(10, 0, "0"), WatchedRank(11, 1, "0")]
    environ = {"SLURM_GPUS_ON_NODE": "4"}
    scope = find_scope(ranks, [GPUS[1]], environ=environ, files=KernelFiles(tmp_path))
    assert scope.by_rank == {ranks[0]: (GPUS[1],)}
    assert [happening.code for happening in scope.happenings] == ["gpu-out-of-reach"]


def test_a_task_in_another_cgroup_is_understood_where_the_step_has_all_that_we_have(
    tmp_path: Path,
) -> None:
    write_cgroups(tmp_path, {"self": f"0::{STEP}/task_0\n", "11": f"0::{STEP}/task_1\n"})
    rank = WatchedRank(11, 1, "2")
    scope = find_scope(
        [rank], GPUS, environ={"SLURM_GPUS_ON_NODE": "4"}, files=KernelFiles(tmp_path)
    )
    assert scope.by_rank == {rank: (GPUS[2],)}


def test_a_uuid_is_understood_from_any_cgroup(tmp_path: Path) -> None:
    write_cgroups(tmp_path, {"self": "0::/a\n", "11": "0::/b\n"})
    rank = WatchedRank(11, 1, "GPU-1a")
    scope = find_scope(
        [rank], [GPUS[1]], environ={"SLURM_GPUS_ON_NODE": "4"}, files=KernelFiles(tmp_path)
    )
    assert scope.by_rank == {rank: (GPUS[1],)}


def test_a_list_that_names_what_is_not_there_is_told_once(tmp_path: Path) -> None:
    ranks = [WatchedRank(10 + place, place, "0,8") for place in range(3)]
    scope = find_scope(ranks, GPUS, environ={}, files=KernelFiles(tmp_path))
    assert scope.gpus == [GPUS[0]]
    assert [happening.code for happening in scope.happenings] == ["gpu-list-cut"]
    assert "'8' names no GPU" in scope.happenings[0].text


def test_a_list_that_says_there_is_none_is_no_mistake(tmp_path: Path) -> None:
    for listing in ("", "-1", "NoDevFiles", "0,-1,1"):
        scope = find_scope(
            [WatchedRank(10, 0, listing)], GPUS, environ={}, files=KernelFiles(tmp_path)
        )
        assert scope.happenings == []


def test_different_gpus_counted_by_speed_are_told_instead_of_guessed(tmp_path: Path) -> None:
    gpus = [GPUS[0], Gpu(uuid="GPU-other", name="A100", model="A100")]
    rank = WatchedRank(10, 0, "1")
    scope = find_scope([rank], gpus, environ={}, files=KernelFiles(tmp_path))
    assert scope.gpus == []
    assert rank not in scope.by_rank
    assert [happening.code for happening in scope.happenings] == ["gpu-order-unknown"]
    known = find_scope(
        [rank], gpus, environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, files=KernelFiles(tmp_path)
    )
    assert known.gpus == [gpus[1]]


def test_the_cgroup_of_devices_is_found_in_both_versions(tmp_path: Path) -> None:
    path = "/slurm/uid_1/job_7/step_0/task_0"
    old = f"12:devices:{path}\n11:memory:/slurm/uid_1/job_7\n1:name=systemd:/\n"
    write_cgroups(tmp_path, {"1": old, "2": "0::/job_7:odd\n", "3": "nonsense\n"})
    assert read_cgroup(KernelFiles(tmp_path), 1) == path
    assert read_cgroup(KernelFiles(tmp_path), 2) == "/job_7:odd"
    assert read_cgroup(KernelFiles(tmp_path), 3) == ""
    assert read_cgroup(KernelFiles(tmp_path), 4) == ""
