"""Memory, disks and network of the node."""

from __future__ import annotations

from pathlib import Path

from hpctrack.telemetry import disks, memory, network
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import Reading
from tests.nodes import Node, values, watch

KIB = 1024


def read(
    subject: memory.NodeMemory | disks.Disks | network.Network, mono_s: float = 0.0
) -> Reading:
    reading = Reading()
    subject.read(watch(mono_s), reading)
    return reading


def test_memory_of_the_node(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    assert values(read(memory.NodeMemory(node.files))) == {
        "host/memory_total_bytes": 263921468 * KIB,
        "host/memory_available_bytes": 131072000 * KIB,
        "host/memory_used_bytes": (263921468 - 131072000) * KIB,
        "host/swap_total_bytes": 4194300 * KIB,
        "host/swap_used_bytes": 1024 * KIB,
    }
    node.write("proc/meminfo", "MemTotal: 4 kB\nMemFree: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n")
    assert values(read(memory.NodeMemory(node.files))) == {"host/memory_total_bytes": 4 * KIB}


def test_whole_disks_only_and_each_byte_once(tmp_path: Path) -> None:
    node = Node(tmp_path, "storage")
    subject = disks.Disks(node.files)
    first = read(subject)
    assert {one.key: one.name for one in first.devices} == {
        "sda": "MZ7LH480HAHQ0D3",
        "nvme0n1": "SAMSUNG MZWLJ1T9HBJR-00007",
    }
    facts = {one.key: one.facts for one in first.devices}
    assert facts["sda"] == {"size_bytes": 937703088 * 512, "is_rotational": False}
    assert first.samples == []
    node.replace("proc/diskstats", "sda 1000 10 80000", "sda 1020 10 80400")
    node.replace("proc/diskstats", "160000 1800 0 5000", "160008 1800 0 6000")
    second = values(read(subject, 2.0))
    assert second["disk/read_bytes_per_s sda"] == 200 * 512
    assert second["disk/written_bytes_per_s sda"] == 4 * 512
    assert second["disk/reads_per_s sda"] == 10
    assert second["disk/busy_frac sda"] == 0.5
    assert second["disk/read_bytes_per_s nvme0n1"] == 0
    assert not [name for name in second if "sda1" in name or "dm-0" in name or "loop0" in name]


def test_a_disk_whose_counters_begin_anew_has_no_rate_for_once(tmp_path: Path) -> None:
    node = Node(tmp_path, "storage")
    subject = disks.Disks(node.files)
    read(subject)
    line = "   8       0 sda 1 0 8 0 0 0 0 0 0 0 0\n"
    node.write("proc/diskstats", line)
    assert read(subject, 1.0).samples == []
    node.write("proc/diskstats", line.replace("sda 1 0 8", "sda 2 0 16"))
    assert values(read(subject, 2.0))["disk/read_bytes_per_s sda"] == 8 * 512


def test_interfaces_with_hardware_only(tmp_path: Path) -> None:
    node = Node(tmp_path, "storage")
    subject = network.Network(node.files)
    first = read(subject)
    assert {one.key: one.facts for one in first.devices} == {
        "eno1": {"link_bits_per_s": 25_000_000_000, "mtu_bytes": 9000},
        "ib0": {},
    }
    node.replace("proc/net/dev", "eno1:1000000000 1000000    1    2", "eno1:1000004000 1000002 2 2")
    second = values(read(subject, 2.0))
    assert second["net/received_bytes_per_s eno1"] == 2000
    assert second["net/received_packets_per_s eno1"] == 1
    assert second["net/errors_per_s eno1"] == 0.5
    assert second["net/sent_bytes_per_s ib0"] == 0
    assert not [name for name in second if "bond0" in name or " lo" in name]


def test_interfaces_of_a_container_have_no_hardware(tmp_path: Path) -> None:
    node = Node(tmp_path)
    numbers = " 0" * 16
    node.write("proc/net/dev", f"head\n  lo:{numbers}\n  eth0:{numbers}\n")
    assert [one.key for one in read(network.Network(node.files)).devices] == ["eth0"]


def test_nothing_there_is_no_error_but_an_obstacle(tmp_path: Path) -> None:
    files = KernelFiles(tmp_path)
    for subject in (disks.Disks(files), network.Network(files)):
        assert read(subject) == Reading()
    for module in (disks, network, memory):
        (found,) = module.find_obstacles(files)
        assert found.why.endswith("not there")


def test_this_machine() -> None:
    files = KernelFiles()
    found = values(read(memory.NodeMemory(files)))
    assert 0 < found["host/memory_used_bytes"] < found["host/memory_total_bytes"]
    for subject in (disks.Disks(files), network.Network(files)):
        read(subject)
        samples = read(subject, 1.0).samples
        assert all(one.value >= 0 for one in samples)
