"""The node as one source."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpctrack.core.clock import Clock
from hpctrack.telemetry.host import HostSource, describe_obstacles
from hpctrack.telemetry.reading import Reading, Source, Watch, WatchedRank
from tests.nodes import FREE, Node, codes, values, watch

GROUPS = {
    "host",
    "process",
    "core",
    "cgroup",
    "disk",
    "net",
    "fabric",
    "lustre",
    "nfs",
    "power",
    "energy",
}


@pytest.fixture
def sleepers() -> Iterator[list[int]]:
    children = [subprocess.Popen(["sleep", "600"]) for _ in range(4)]
    yield [one.pid for one in children]
    for child in children:
        child.kill()
        child.wait()


def test_it_is_a_source(tmp_path: Path) -> None:
    source: Source = HostSource(root=tmp_path)
    assert source.name == "host"
    source.close()


@pytest.mark.parametrize(
    ("name", "pid", "some"),
    [
        ("slurm-v1", 4242, "cgroup/memory_limit_bytes"),
        ("slurm-v2", 5151, "cgroup/memory_limit_bytes"),
        ("slurm-sluid", 6161, "cgroup/memory_limit_bytes"),
        ("container", 1, "cgroup/cpu_quota_cores"),
        ("storage", 7, "fabric/link_bits_per_s"),
        ("lustre-debugfs", 7, "lustre/reads_per_s"),
        ("power-intel", 7, "energy/dram_j_total"),
        ("power-amd", 7, "energy/cpu_package_j_total"),
        ("power-cray", 7, "energy/node_j_total"),
        ("power-grace", 7, "power/module_w"),
    ],
)
def test_every_node_that_was_written_down_is_read(
    name: str, pid: int, some: str, tmp_path: Path
) -> None:
    node = Node(tmp_path, name)
    for missing in ("proc/stat", "proc/meminfo"):
        if not node.files.has(missing):
            node.write(missing, "")
    source = HostSource(root=node.root, clock=FREE)
    readings = [source.read(watch(float(second), pid)) for second in range(3)]
    samples = [sample for one in readings for sample in one.samples]
    assert some in {one.name for one in samples}
    assert [one.happenings for one in readings] == [[], [], []]
    assert all(one.value >= 0 for one in samples)


def test_cores_are_those_of_the_cpuset_or_else_of_the_ranks(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    source = HostSource(root=node.root, clock=FREE)
    source.read(watch(0.0, 4242))
    assert source.find_cores() == {0, 1, 2, 3, 32, 33, 34, 35}
    node.write("proc/4242/cgroup", "")
    node.replace("proc/4242/status", "Cpus_allowed_list:\t0-3,32-35", "Cpus_allowed_list:\t1,2")
    source = HostSource(root=node.root, clock=FREE)
    source.read(watch(0.0, 4242))
    assert source.find_cores() == {1, 2}
    assert source.find_root(4300) == 4242
    assert source.find_root(4200) is None


def test_a_subject_that_fails_costs_no_other_and_is_told_once(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1", "storage")
    node.write("proc/stat", "cpu0 1 2 nonsense 4\n")
    node.write("proc/net/dev", "eno1:" + " 1" * 15 + " x\n")
    source = HostSource(root=node.root, clock=FREE)
    first, second = source.read(watch(0.0, 4242)), source.read(watch(1.0, 4242))
    assert codes(first.happenings) == ["telemetry-failed", "telemetry-failed"]
    assert first.happenings[0].text.startswith("cores: a reading failed (ValueError")
    assert second.happenings == []
    names = {one.name for one in second.samples}
    assert {"cgroup/memory_used_bytes", "host/memory_used_bytes", "nfs/operations_per_s"} <= names
    assert not {name for name in names if name.startswith(("core/", "net/"))}


def test_a_subject_that_is_dear_is_read_less_often(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1", "storage")
    spent_s = iter(range(100_000))
    # By this clock every subject costs a second.
    clock = Clock(wall_s=float, mono_s=float, cpu_s=lambda: float(next(spent_s)))
    source = HostSource(root=node.root, clock=clock)
    looks = [source.read(watch(float(second), 4242)) for second in range(0, 1000, 10)]
    names = [{one.name for one in look.samples} for look in looks]
    assert sum("host/memory_total_bytes" in one for one in names) == 3
    assert sum("nfs/operations_per_s" in one for one in names) == 2  # the first has no rates


def test_a_machine_without_proc_and_sys_gives_a_line_each_and_no_sample(tmp_path: Path) -> None:
    source = HostSource(root=tmp_path)
    reading = source.read(watch(0.0, 1))
    assert reading.samples == []
    assert {one.code for one in reading.happenings} <= {"telemetry-failed"}
    assert source.read(watch(1.0, 1)) == Reading()
    subjects = [one.subject for one in describe_obstacles(tmp_path)]
    assert set(subjects) == {
        "cores",
        "memory",
        "cgroup",
        "pressure",
        "disks",
        "network",
        "fabric",
        "lustre",
        "nfs",
        "power",
    }


def test_a_container_with_pids_of_its_own_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (node.root / "proc/self/ns").mkdir(parents=True)
    (node.root / "proc/self/ns/pid").symlink_to("pid:[4026532999]")
    assert "pids" in [one.subject for one in describe_obstacles(tmp_path)]


def test_real_ranks_on_this_machine(sleepers: list[int]) -> None:
    source = HostSource(clock=FREE)
    ranks = tuple(WatchedRank(pid, rank) for rank, pid in enumerate(sleepers))
    devices, samples = [], []
    for _look in range(3):
        reading = source.read(Watch(time.time(), time.monotonic(), ranks))
        devices += reading.devices
        samples += reading.samples
        assert "telemetry-failed" not in codes(reading.happenings)
    source.close()
    assert {one.pid for one in samples} == {0, *sleepers}
    assert {one.name.split("/")[0] for one in samples} <= GROUPS
    assert {"host/memory_used_bytes", "process/rss_bytes", "process/cores_used"} <= {
        one.name for one in samples
    }
    assert all(one.value >= 0 for one in samples)
    keys = [one.key for one in devices]
    assert len(set(keys)) == len(keys)
    assert {one.device for one in samples} - {""} <= set(keys)
    assert source.find_root(sleepers[0]) == sleepers[0]


def test_obstacles_of_this_machine_are_one_line_each() -> None:
    for one in describe_obstacles():
        assert one.subject
        assert one.why
        assert "\n" not in one.text


def test_values_of_a_reading_can_be_told_apart(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1", "storage", "power-intel")
    source = HostSource(root=node.root, clock=FREE)
    for second in range(40):
        reading = source.read(watch(float(second), 4242))
        names = [(one.name, one.device, one.pid) for one in reading.samples]
        assert len(set(names)) == len(names)
        assert values(reading)
