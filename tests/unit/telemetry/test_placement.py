"""Where ranks are, on a node that was written down, and the warnings that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.numa import describe_cores, read_pci_node, read_topology
from hpctrack.telemetry.placement import Placement
from hpctrack.telemetry.process_details import ProcessDetails
from hpctrack.telemetry.processes import TICKS_PER_S, Processes
from hpctrack.telemetry.reading import Reading
from tests.nodes import FREE, Node, codes, values, watch

STAT = (
    "{pid} (app) R 1 0 0 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 {threads} 0 7 0 0 100"
    + " 0" * 14
    + " 0 0\n"
)


class Reader:
    """The readers of ranks that stand before the placement, and it."""

    def __init__(self, files: KernelFiles, busy: Mapping[int, float]) -> None:
        self._processes = Processes(files)
        self._details = ProcessDetails(files, self._processes, clock=FREE)
        self.placement = Placement(
            files, self._processes, self._details, find_busy=lambda: busy, clock=FREE
        )

    def read(self, mono_s: float, *pids: int) -> Reading:
        reading = Reading()
        for part in (self._processes, self._details, self.placement):
            part.read(watch(mono_s, *pids), reading)
        return reading


def write_rank(node: Node, pid: int, cores: str, *, ticks: int = 0, threads: int = 1) -> None:
    node.write(f"proc/{pid}/stat", STAT.format(pid=pid, ticks=ticks, threads=threads))
    node.write(f"proc/{pid}/status", f"Name:\tapp\nCpus_allowed_list:\t{cores}\n")


def test_memory_of_a_rank_by_numa_node(tmp_path: Path) -> None:
    reader = Reader(Node(tmp_path, "slurm-v1").files, {})
    found = values(reader.read(0.0, 4242), pid=4242)
    assert found["process/cores_allowed"] == 8
    pages = 900 + 200_000 + 30
    assert found["process/numa_local_frac"] == pytest.approx(pages / (pages + 62_144 + 8 * 512))


def test_nodes_with_one_numa_node_are_spared_the_look(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    (node.root / "sys/devices/system/node/node1/cpulist").unlink()
    (node.root / "sys/devices/system/node/node1").rmdir()
    found = values(Reader(node.files, {}).read(0.0, 4242), pid=4242)
    assert "process/numa_local_frac" not in found


def test_sharing_is_warned_about_once_when_it_lasts(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.write("sys/devices/system/cpu/online", "0-3\n")
    reader = Reader(node.files, {0: 1.0, 1: 0.0, 2: 0.02, 3: 0.9})
    events = []
    for second in range(100):
        for pid in (11, 12):
            write_rank(node, pid, "0", ticks=second * TICKS_PER_S // 2)
        write_rank(node, 13, "3", ticks=second * TICKS_PER_S)
        reading = reader.read(float(second), 11, 12, 13)
        events += [(second, one) for one in reading.happenings]
    ((second, event),) = events
    assert event.code == "cores-shared"
    assert event.text.startswith("ranks 0-1 share core 0 while cores 1-2 of this job are idle")
    assert 30 <= second <= 40


def test_a_process_with_several_runs_shares_with_nobody(tmp_path: Path) -> None:
    node = Node(tmp_path)
    reader = Reader(node.files, {0: 1.0, 1: 0.0})
    for second in range(100):
        write_rank(node, 11, "0", ticks=second * TICKS_PER_S)
        assert reader.read(float(second), 11, 11).happenings == []


def test_sharing_for_a_moment_is_no_warning(tmp_path: Path) -> None:
    node = Node(tmp_path)
    reader = Reader(node.files, {0: 1.0, 1: 0.0})
    events = []
    for second in range(100):
        cores = "0" if second % 25 < 15 else "0-1"
        for pid in (11, 12):
            write_rank(node, pid, cores, ticks=second * TICKS_PER_S // 2)
        events += reader.read(float(second), 11, 12).happenings
    assert events == []


def test_threads_that_wait_are_measured_where_a_rank_uses_up_its_cores(tmp_path: Path) -> None:
    node = Node(tmp_path)
    reader = Reader(node.files, {0: 1.0, 1: 0.0, 2: 0.0})
    events = []
    for second in range(100):
        write_rank(node, 11, "0", ticks=second * TICKS_PER_S, threads=2)
        for thread in (11, 21):
            ran, waited = second * 5 * 10**8, second * 5 * 10**8
            node.write(f"proc/11/task/{thread}/schedstat", f"{ran} {waited} 9\n")
        events += reader.read(float(second), 11).happenings
    assert codes(events) == ["cores-too-few"]
    assert "2 threads on core 0 wait 50% of the time" in events[0].text


def test_topology_of_the_node(tmp_path: Path) -> None:
    files = Node(tmp_path, "slurm-v1").files
    topology = read_topology(files)
    assert topology.nodes_of(frozenset({3, 40})) == {0}
    assert topology.nodes_of(frozenset({3, 20})) == {0, 1}
    assert topology.physical(frozenset({0, 32, 1})) == 2
    assert topology.physical(frozenset({7})) == 1  # nothing is told of it
    assert describe_cores(frozenset({7})) == "core 7"
    assert describe_cores(frozenset({7, 8, 9})) == "cores 7-9"


@pytest.mark.parametrize(
    ("address", "node"),
    [
        ("0000:17:00.0", 0),
        ("00000000:CA:00.0", 1),
        ("0000:00:02.0", None),
        ("0000:99:00.0", None),
        ("nonsense", None),
    ],
)
def test_numa_node_of_a_device(address: str, node: int | None, tmp_path: Path) -> None:
    assert read_pci_node(Node(tmp_path, "slurm-v1").files, address) == node


def test_this_machine_has_a_topology() -> None:
    topology = read_topology(KernelFiles())
    assert topology.physical(frozenset(topology.siblings)) >= 1
