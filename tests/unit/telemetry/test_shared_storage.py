"""Lustre and NFS as a node uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.telemetry import lustre, nfs
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import Reading
from tests.nodes import Node, values, watch

STATS = "proc/fs/lustre/llite/scratch-ffff8f2a3c4d5000/stats"
MOUNTS = "proc/self/mountstats"


def read(subject: lustre.Lustre | nfs.NfsMounts, mono_s: float = 0.0) -> Reading:
    reading = Reading()
    subject.read(watch(mono_s), reading)
    return reading


def test_a_lustre_client_with_its_numbers_in_proc(tmp_path: Path) -> None:
    node = Node(tmp_path, "storage")
    subject = lustre.Lustre(node.files)
    (device,) = read(subject).devices
    assert device.kind == "mount"
    assert (device.name, device.facts) == ("Lustre scratch", {"mount_point": "/lustre/scratch"})
    node.replace(STATS, "1048576 1073741824", "1048576 1073761824")
    node.replace(STATS, "close                     90", "close                     110")
    node.replace(STATS, "getattr                   1000", "getattr                   1005")
    second = values(read(subject, 10.0))
    key = device.key
    assert second[f"lustre/read_bytes_per_s {key}"] == 2000
    assert second[f"lustre/written_bytes_per_s {key}"] == 0
    assert second[f"lustre/closes_per_s {key}"] == 2
    assert second[f"lustre/metadata_operations_per_s {key}"] == 2.5
    assert f"lustre/renames_per_s {key}" not in second


def test_a_lustre_client_of_today_with_its_numbers_in_debugfs(tmp_path: Path) -> None:
    node = Node(tmp_path, "lustre-debugfs")
    subject = lustre.Lustre(node.files)
    (device,) = read(subject).devices
    assert device.facts == {"mount_point": "/lustre/work"}
    name = "sys/kernel/debug/lustre/llite/work-ffff9bc043537800/stats"
    node.replace(name, "1048576 2097152 654321", "1048576 4097152 654321")
    node.replace(name, "mknod                     2", "mknod                     12")
    second = values(read(subject, 2.0))
    assert second[f"lustre/written_bytes_per_s {device.key}"] == 1_000_000
    assert second[f"lustre/creates_per_s {device.key}"] == 5


def test_lustre_counters_that_were_cleared_give_no_rate_for_once(tmp_path: Path) -> None:
    node = Node(tmp_path, "storage")
    subject = lustre.Lustre(node.files)
    read(subject)
    node.write(STATS, "snapshot_time  1.0 secs.nsecs\n")
    found = values(read(subject, 1.0))
    assert not any("bytes" in name for name in found)
    assert all(value >= 0 for value in found.values())


def test_lines_of_lustre_statistics() -> None:
    text = "x 1 samples [regs]\ny 2 samples [usec] 1 2 3 4\nz 3 secs.nsecs\nw a samples [b]\n"
    assert lustre.parse_client_stats(text) == {"x": (1, "regs", None), "y": (2, "usec", 3)}


def test_obstacles_of_lustre(tmp_path: Path, as_nobody: None) -> None:
    node = Node(tmp_path, "lustre-debugfs")
    assert lustre.find_obstacles(node.files) == []
    debug = node.root / "sys/kernel/debug"
    debug.chmod(0)
    (found,) = lustre.find_obstacles(node.files)
    assert "permission denied" in found.why
    assert "mount -o remount,mode=755" in found.remedy
    assert read(lustre.Lustre(node.files)) == Reading()
    debug.chmod(0o755)
    (debug / "lustre").rename(debug / "gone")
    assert "tell nothing" in lustre.find_obstacles(node.files)[0].why
    node.write("proc/self/mounts", "")
    assert lustre.find_obstacles(node.files)[0].remedy == ""


def test_an_nfs_mount_in_two_places_counts_once(tmp_path: Path) -> None:
    node = Node(tmp_path, "storage")
    subject = nfs.NfsMounts(node.files)
    (device,) = read(subject).devices
    assert (device.key, device.name) == ("nfs:/home", "NFS nas01:/export/home")
    assert device.facts == {"mount_point": "/home", "version": "4.2"}
    text = (node.root / MOUNTS).read_text()
    text = text.replace("1210214218 600000", "1210224218 600000")
    text = text.replace("READ: 1298 1298", "READ: 1308 1309").replace("79386 79407", "79486 79607")
    node.write(MOUNTS, text)
    second = values(read(subject, 2.0))
    assert second == {
        "nfs/read_bytes_per_s nfs:/home": 5000,
        "nfs/written_bytes_per_s nfs:/home": 0,
        "nfs/operations_per_s nfs:/home": 5,
        "nfs/retransmissions_per_s nfs:/home": 0.5,
        "nfs/timeouts_per_s nfs:/home": 0,
        "nfs/rtt_s nfs:/home": pytest.approx(0.010),
        "nfs/latency_s nfs:/home": pytest.approx(0.020),
        "nfs/read_rtt_s nfs:/home": pytest.approx(0.010),
        "nfs/read_latency_s nfs:/home": pytest.approx(0.020),
    }


def test_other_mounts_and_torn_lines_are_passed_over() -> None:
    text = (
        "device a:/b mounted on /mnt with space with fstype nfs statvers=1.0\n\tbytes: 1 2\n"
        "\topts:\trw,vers=3,x\n\tREAD: 1 1\n\tWRITE: 1 1 0 x 0 0 0 0\n"
        "device tmpfs mounted on /tmp with fstype tmpfs\n\tbytes: 1 2 3 4 5 6 7 8\n"
        "device x mounted on /y with fstype nfsd\n"
    )
    (mount,) = nfs.parse_mountstats(text)
    assert (mount.source, mount.point, mount.version) == ("a:/b", "/mnt with space", "3")
    assert mount.read_bytes is None
    assert mount.operations == {}


def test_obstacles_of_nfs(tmp_path: Path) -> None:
    assert "not there" in nfs.find_obstacles(KernelFiles(tmp_path))[0].why
    node = Node(tmp_path, "storage")
    assert nfs.find_obstacles(node.files) == []
    node.write(MOUNTS, "device proc mounted on /proc with fstype proc\n")
    assert "no NFS" in nfs.find_obstacles(node.files)[0].why
    assert read(nfs.NfsMounts(node.files)) == Reading()
