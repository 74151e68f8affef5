"""Finding the job's cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.telemetry.cgroups import (
    Cgroup,
    JobCgroup,
    find_owner,
    parse_memberships,
    parse_mounts,
    place_cgroup,
)
from hpctrack.telemetry.kernel_files import KernelFiles
from tests.nodes import Node

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "kind", "name", "job"),
    [
        ("/slurm/uid_7/job_12/step_0/task_3", "slurm", "12", "/slurm/uid_7/job_12"),
        ("/slurm_node3/uid_7/job_12/step_batch", "slurm", "12", "/slurm_node3/uid_7/job_12"),
        (
            "/system.slice/slurmstepd.scope/job_12/step_extern/user/task_special",
            "slurm",
            "12",
            "/system.slice/slurmstepd.scope/job_12",
        ),
        (
            "/hpc.slice/n1_slurmstepd.scope/s5K1KKYAYG5D00/step_0/user/task_0",
            "slurm",
            "s5K1KKYAYG5D00",
            "/hpc.slice/n1_slurmstepd.scope/s5K1KKYAYG5D00",
        ),
        ("/pbs_jobs.service/jobid/99.srv", "pbs", "99.srv", "/pbs_jobs.service/jobid/99.srv"),
        ("/pbs_jobs.service/jobs/99.srv/x", "pbs", "99.srv", "/pbs_jobs.service/jobs/99.srv"),
        ("/lsf/prod/job.55.1701.1700000/x", "lsf", "55", "/lsf/prod/job.55.1701.1700000"),
        ("/torque/8.server/vp1", "torque", "8.server", "/torque/8.server"),
        ("/UGE/123.1", "gridengine", "123.1", "/UGE/123.1"),
        (f"/docker/{HEX}", "docker", HEX, f"/docker/{HEX}"),
        (f"/system.slice/docker-{HEX}.scope", "docker", HEX, f"/system.slice/docker-{HEX}.scope"),
        (
            f"/user.slice/user-7.slice/user@7.service/user.slice/libpod-{HEX}.scope/container",
            "podman",
            HEX,
            f"/user.slice/user-7.slice/user@7.service/user.slice/libpod-{HEX}.scope",
        ),
        (
            f"/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-{HEX}.scope",
            "kubernetes",
            HEX,
            f"/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-{HEX}.scope",
        ),
        (f"/kubepods/pod1-2/{HEX}", "kubernetes", HEX, f"/kubepods/pod1-2/{HEX}"),
        (
            f"/system.slice/slurmstepd.scope/job_3/step_0/user/task_0/docker-{HEX}.scope",
            "slurm",
            "3",
            "/system.slice/slurmstepd.scope/job_3",
        ),
    ],
)  # fmt: skip
def test_jobs_and_containers_are_recognised(path: str, kind: str, name: str, job: str) -> None:
    assert find_owner(path) == (kind, name, job)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/user.slice/user-1000.slice/session-3.scope",
        "/system.slice/slurmd.service",
        "/system.slice/slurmstepd.scope/system",
        "/system.slice/slurmstepd.scope/s5K1KKYAYG5D",  # too short
        "/system.slice/slurmstepd.scope/s5K1KKYAYGILOU",  # letters that no SLUID has
        "/my/job_12/step_0",
    ],
)
def test_others_are_of_nobody(path: str) -> None:
    assert find_owner(path) is None


def test_controllers_of_version_1_have_a_path_each(tmp_path: Path) -> None:
    job = JobCgroup(Node(tmp_path, "slurm-v1").files, 4242)
    assert job.owner == ("slurm", "812345", "/slurm/uid_1000/job_812345")
    memory = "sys/fs/cgroup/memory"
    assert job.find("memory") == Cgroup(1, memory, "/slurm/uid_1000/job_812345")
    own = job.find_own("memory")
    assert own
    assert own.levels() == [
        f"{memory}/slurm/uid_1000/job_812345/step_0/task_0",
        f"{memory}/slurm/uid_1000/job_812345/step_0",
        f"{memory}/slurm/uid_1000/job_812345",
        f"{memory}/slurm/uid_1000",
        f"{memory}/slurm",
        memory,
    ]
    assert job.find("cpu") == job.find("cpuacct")
    assert job.find("") is None
    assert job.find("io") is None


def test_version_2_has_one_path(tmp_path: Path) -> None:
    job = JobCgroup(Node(tmp_path, "slurm-v2").files, 5151)
    here = "/system.slice/slurmstepd.scope/job_4711"
    assert job.owner == ("slurm", "4711", here)
    expected = Cgroup(2, "sys/fs/cgroup", here)
    assert job.find("memory") == job.find("cpu") == job.find("") == expected


def test_hybrid_nodes_have_controllers_in_version_1_and_the_rest_in_version_2() -> None:
    memberships = parse_memberships("4:memory:/a\n1:name=systemd:/b\n0::/c\n")
    mounts = parse_mounts(
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw shared:4 master:2 - cgroup2 cgroup2 rw\n"
        "torn line\n"
    )
    assert place_cgroup("memory", memberships, mounts) == Cgroup(1, "sys/fs/cgroup/memory", "/a")
    assert place_cgroup("", memberships, mounts) == Cgroup(2, "sys/fs/cgroup/unified", "/c")
    assert place_cgroup("cpu", memberships, mounts) == Cgroup(2, "sys/fs/cgroup/unified", "/c")


@pytest.mark.parametrize(
    ("root", "path", "below"),
    [
        ("/", "/docker/x", "/docker/x"),
        ("/docker/x", "/docker/x", ""),
        ("/docker/x", "/docker/x/y", "/y"),
        ("/docker/x", "/docker/xy", None),
        ("/", "/../../other", None),
        ("/", "/", ""),
    ],
)
def test_a_part_of_the_hierarchy_may_be_mounted(root: str, path: str, below: str | None) -> None:
    mounts = parse_mounts(f"1 2 0:3 {root} /my\\040cgroup rw - cgroup2 cgroup rw\n")
    found = place_cgroup("memory", {"": path}, mounts)
    assert (found and found.path) == below
    assert found is None or found.mount == "my cgroup"


def test_a_container_that_sees_only_its_own_folder_under_the_hosts_name(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.write("proc/9/cgroup", f"4:memory:/docker/{HEX}\n3:cpuset:/docker/{HEX}\n2:cpu:/\n")
    node.write(
        "proc/self/mountinfo",
        f"1 2 0:3 /docker/{HEX} /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
        "1 2 0:4 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n",
    )
    job = JobCgroup(node.files, 9)
    assert job.owner == ("docker", HEX, f"/docker/{HEX}")
    assert job.find("memory") == Cgroup(1, "sys/fs/cgroup/memory", "")
    assert job.find("cpu") is None  # there it is with all others
    assert job.find_own("cpu") == Cgroup(1, "sys/fs/cgroup/cpu", "")


def test_a_removed_cgroup_is_told_without_the_remark() -> None:
    assert parse_memberships("0::/a/b (deleted)\nodd\n") == {"": "/a/b"}


def test_the_top_of_the_machine_is_told_from_the_top_of_a_container(tmp_path: Path) -> None:
    node = Node(tmp_path, "container")
    job = JobCgroup(node.files, "self")
    cgroup = job.find("memory")
    assert cgroup == Cgroup(2, "sys/fs/cgroup", "")
    assert not job.is_top(cgroup, cgroup.folder)
    (node.root / "sys/fs/cgroup/cgroup.events").unlink()
    assert job.is_top(cgroup, cgroup.folder)


def test_this_machine_has_a_cgroup_for_this_process() -> None:
    files = KernelFiles()
    job = JobCgroup(files, "self")
    found = [job.find(name) for name in ("memory", "cpu", "")]
    assert any(found)
    assert all(files.has(one.folder) for one in found if one)
