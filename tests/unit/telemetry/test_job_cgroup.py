"""Memory, kills, processors and pressure of the job's cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.telemetry.cgroup_cpu import parse_quota
from hpctrack.telemetry.job_cgroup import CgroupReader, find_obstacles
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.pressure import parse_pressure
from hpctrack.telemetry.reading import Reading
from tests.nodes import Node, codes, values, watch

GIB = 2**30
V1 = "sys/fs/cgroup/memory/slurm/uid_1000/job_812345"
V2 = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_4711"


def read(reader: CgroupReader, mono_s: float, *pids: int) -> Reading:
    reading = Reading()
    reader.read(watch(mono_s, *pids), reading)
    return reading


def test_memory_of_a_slurm_job_in_version_1(tmp_path: Path) -> None:
    found = values(read(CgroupReader(Node(tmp_path, "slurm-v1").files), 0.0, 4242))
    assert found["cgroup/memory_limit_bytes"] == 64 * GIB
    assert found["cgroup/memory_charged_bytes"] == 38 * GIB
    assert found["cgroup/memory_charged_peak_bytes"] == 48 * GIB
    assert found["cgroup/memory_used_bytes"] == 32 * GIB
    assert found["cgroup/memory_used_frac"] == 0.5
    assert found["cgroup/cpu_s_total"] == pytest.approx(4521.098765432)
    assert "cgroup/cpu_quota_cores" not in found
    assert not [name for name in found if "pressure" in name]  # nor has the node any


def test_memory_processors_and_pressure_in_version_2(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v2")
    reader = CgroupReader(node.files)
    found = values(read(reader, 0.0, 5151, 5152))
    assert found["cgroup/memory_limit_bytes"] == 32 * GIB
    assert found["cgroup/memory_used_bytes"] == 12 * GIB
    assert found["cgroup/memory_used_frac"] == 0.375
    assert found["cgroup/cpu_s_total"] == 7200.0
    assert found["cgroup/cpu_pressure_some_frac"] == 0.125
    assert found["cgroup/cpu_pressure_full_s_total"] == pytest.approx(1.234567)
    assert found["cgroup/io_pressure_full_frac"] == 0.02
    assert "cgroup/cpu_quota_cores" not in found
    assert "cgroup/cpu_throttled_frac" not in found
    assert reader.cpuset() == frozenset(range(8))
    node.replace(f"{V2}/cpu.stat", "usage_usec 7200000000", "usage_usec 7216000000")
    assert values(read(reader, 4.0, 5151, 5152))["cgroup/cores_used"] == 4.0


def test_a_job_named_by_its_sluid(tmp_path: Path) -> None:
    reader = CgroupReader(Node(tmp_path, "slurm-sluid").files)
    found = values(read(reader, 0.0, 6161))
    assert found["cgroup/memory_limit_bytes"] == 8 * GIB
    assert found["cgroup/memory_used_frac"] == 0.25
    assert reader.cpuset() == {4, 5}
    assert reader.job
    assert reader.job.owner
    assert reader.job.owner.name == "sEKNKTV3WPV500"


def test_a_container_that_sees_itself_as_the_top(tmp_path: Path) -> None:
    found = values(read(CgroupReader(Node(tmp_path, "container").files), 0.0, 1))
    assert found["cgroup/memory_limit_bytes"] == 4 * GIB
    assert found["cgroup/memory_used_bytes"] == 0.75 * GIB
    assert found["cgroup/cpu_quota_cores"] == 1.5


def test_the_tightest_limit_counts_and_of_equal_ones_the_outermost(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    node.write(f"{V1}/step_0/memory.limit_in_bytes", 8 * GIB)
    node.write(f"{V1}/step_0/memory.usage_in_bytes", 2 * GIB)
    node.write(f"{V1}/step_0/memory.stat", "total_inactive_file 0\n")
    found = values(read(CgroupReader(node.files), 0.0, 4242))
    assert found["cgroup/memory_limit_bytes"] == 8 * GIB
    assert found["cgroup/memory_used_frac"] == 0.25


def test_the_memory_of_the_whole_machine_is_not_told_as_the_jobs(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    node.write("proc/4242/cgroup", "7:memory:/\n2:cpuset:/\n11:cpu,cpuacct:/\n")
    node.write("sys/fs/cgroup/cpu,cpuacct/cpuacct.usage", 1)
    reader = CgroupReader(node.files)
    assert values(read(reader, 0.0, 4242)) == {}
    assert reader.cpuset() == frozenset()


def test_controllers_that_the_job_shares_with_all_others_are_not_told_as_its_own(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path, "slurm-v1")
    shared = "11:cpu,cpuacct:/system.slice/slurmd.service"
    node.replace(
        "proc/4242/cgroup", "11:cpu,cpuacct:/slurm/uid_1000/job_812345/step_0/task_0", shared
    )
    folder = "sys/fs/cgroup/cpu,cpuacct/system.slice/slurmd.service"
    node.write(f"{folder}/cpuacct.usage", 10**12)
    node.write(f"{folder}/cpu.cfs_quota_us", 300000)
    node.write(f"{folder}/cpu.cfs_period_us", 100000)
    found = values(read(CgroupReader(node.files), 0.0, 4242))
    assert found["cgroup/memory_used_frac"] == 0.5
    assert "cgroup/cpu_s_total" not in found
    assert found["cgroup/cpu_quota_cores"] == 3.0  # which holds for all of them together


def test_without_cgroup_or_proc_nothing_is_told(tmp_path: Path) -> None:
    assert read(CgroupReader(KernelFiles(tmp_path)), 0.0, 1) == Reading()
    Node(tmp_path).write("proc/1/cgroup", "0::/a\n")
    assert read(CgroupReader(KernelFiles(tmp_path)), 0.0, 1) == Reading()


# -- kills ---------------------------------------------------------------------------------------


def test_a_kill_at_the_limit_in_version_1(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    reader = CgroupReader(node.files)
    assert read(reader, 0.0, 4242).happenings == []
    node.write(f"{V1}/memory.failcnt", 5)
    assert read(reader, 1.0, 4242).happenings == []
    node.replace("proc/vmstat", "oom_kill 2", "oom_kill 3")
    node.replace(f"{V1}/step_0/task_1/memory.oom_control", "oom_kill 0", "oom_kill 1")
    (event,) = read(reader, 2.0, 4242).happenings
    assert (event.level, event.code) == ("error", "oom-kill")
    assert "a process of this job" in event.text
    assert "limit of 64 GiB was reached" in event.text
    assert "--mem" in event.text
    assert read(reader, 3.0, 4242).happenings == []


def test_a_kill_in_version_2_though_the_first_rank_is_gone(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v2")
    reader = CgroupReader(node.files)
    read(reader, 0.0, 5151, 5152)
    node.write(f"{V2}/memory.events", "low 0\nhigh 0\nmax 99\noom 1\noom_kill 2\n")
    node.write("proc/vmstat", "oom_kill 2\n")
    (event,) = read(reader, 1.0, 5152).happenings
    assert "2 processes of this job" in event.text
    assert "limit of 32 GiB was reached" in event.text


def test_a_kill_because_the_node_is_full(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v2")
    reader = CgroupReader(node.files)
    read(reader, 0.0, 5151)
    node.replace(f"{V2}/memory.events", "oom_kill 0", "oom_kill 1")
    node.write("proc/vmstat", "oom_kill 1\n")
    (event,) = read(reader, 1.0, 5151).happenings
    assert "node itself was full" in event.text


def test_a_kill_of_another_job_is_not_ours(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v2")
    reader = CgroupReader(node.files)
    read(reader, 0.0, 5151)
    node.write("proc/vmstat", "oom_kill 1\n")
    assert read(reader, 1.0, 5151).happenings == []


def test_a_kill_that_may_be_anybodys_is_told_as_such(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.write("proc/9/cgroup", "0::/\n")
    node.write("proc/vmstat", "oom_kill 1\n")
    reader = CgroupReader(node.files)
    read(reader, 0.0, 9)
    node.write("proc/vmstat", "oom_kill 2\n")
    (event,) = read(reader, 1.0, 9).happenings
    assert (event.level, event.code) == ("warning", "oom-kill")
    assert "cannot be told" in event.text


def test_kills_are_found_where_the_kernel_does_not_count_them_for_the_machine(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path, "slurm-v1")
    (node.root / "proc/vmstat").unlink()
    reader = CgroupReader(node.files)
    read(reader, 0.0, 4242)
    node.replace(f"{V1}/step_0/task_0/memory.oom_control", "oom_kill 0", "oom_kill 1")
    assert codes(read(reader, 1.0, 4242).happenings) == ["oom-kill"]


# -- processors ----------------------------------------------------------------------------------


def test_a_container_that_is_stopped_for_its_quota_is_warned_about_once(tmp_path: Path) -> None:
    node = Node(tmp_path, "container")
    reader = CgroupReader(node.files)
    happenings = []
    reading = Reading()
    for second in range(4):
        stat = f"usage_usec {second}\nnr_periods {1000 + 100 * second}\n"
        node.write("sys/fs/cgroup/cpu.stat", f"{stat}nr_throttled {10 + 40 * second}\n")
        reading = read(reader, float(second), 1)
        happenings += reading.happenings
    assert values(reading)["cgroup/cpu_throttled_frac"] == 0.4
    assert codes(happenings) == ["cpu-throttled"]
    assert "1.5 cores" in happenings[0].text


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000\n", None), ("50000 100000", 0.5), ("", None), ("1 0", None)]
)
def test_quota(text: str, cores: float | None) -> None:
    assert parse_quota(text) == cores


def test_quota_of_version_1_is_the_tightest_of_all_levels(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    for folder, quota in (("uid_1000", 400000), ("uid_1000/job_812345", 200000)):
        node.write(f"sys/fs/cgroup/cpu,cpuacct/slurm/{folder}/cpu.cfs_quota_us", quota)
        node.write(f"sys/fs/cgroup/cpu,cpuacct/slurm/{folder}/cpu.cfs_period_us", 100000)
    found = values(read(CgroupReader(node.files), 0.0, 4242))
    assert found["cgroup/cpu_quota_cores"] == 2.0


# -- pressure ------------------------------------------------------------------------------------


def test_pressure_of_the_node_where_the_cgroup_tells_none(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v2")
    for resource in ("cpu", "memory", "io"):
        (node.root / f"{V2}/{resource}.pressure").unlink()
    found = {
        name: value
        for name, value in values(read(CgroupReader(node.files), 0.0, 5151)).items()
        if "pressure" in name
    }
    assert found == {
        "host/cpu_pressure_some_frac": 0.7,
        "host/cpu_pressure_some_s_total": pytest.approx(0.000111),
    }


def test_pressure_of_nonsense_is_none() -> None:
    assert parse_pressure("") == {}
    assert parse_pressure("some avg10=x\n") == {}


# -- obstacles -----------------------------------------------------------------------------------


def test_what_is_missing_is_told_with_what_to_do(tmp_path: Path) -> None:
    node = Node(tmp_path, "container")
    assert find_obstacles(node.files) == []
    (node.root / "sys/fs/cgroup/cgroup.events").unlink()
    found = find_obstacles(node.files)
    assert len(found) == 2
    assert "TaskPlugin=task/cgroup" in found[0].remedy
    (node.root / "sys/fs/cgroup").rename(node.root / "hidden")
    found = find_obstacles(node.files)
    assert [one.why for one in found] == [
        "/sys/fs/cgroup: not there, so no memory and its limit",
        "/sys/fs/cgroup: not there, so no CPU quota",
    ]
    node.write("proc/self/mountinfo", "")
    assert "no cgroup with the controller memory" in find_obstacles(node.files)[0].why
    (node.root / "proc/self/cgroup").unlink()
    assert "not there" in find_obstacles(node.files)[0].why


def test_this_machine() -> None:
    reader = CgroupReader(KernelFiles())
    first, second = read(reader, 0.0), read(reader, 1.0)
    assert all(value >= 0 for value in values(second).values())
    assert first.happenings == []
