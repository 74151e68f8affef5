"""What ranks use: on a node that was written down, and of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.process_details import ProcessDetails
from hpctrack.telemetry.processes import PAGE_BYTES, TICKS_PER_S, Processes
from hpctrack.telemetry.reading import Reading
from tests.nodes import FREE, Node, values, watch

KIB = 1024


class Reader:
    """Both readers of processes, one after the other, as in the source."""

    def __init__(self, files: KernelFiles) -> None:
        self.processes = Processes(files)
        self.details = ProcessDetails(files, self.processes, clock=FREE)

    def read(self, mono_s: float, *pids: int) -> Reading:
        reading = Reading()
        self.processes.read(watch(mono_s, *pids), reading)
        self.details.read(watch(mono_s, *pids), reading)
        return reading


def test_a_rank_and_its_child_at_the_first_look(tmp_path: Path) -> None:
    found = values(Reader(Node(tmp_path, "slurm-v1").files).read(0.0, 4242), pid=4242)
    assert found == {
        "process/rss_bytes": (401408 + 50000) * PAGE_BYTES,
        "process/rss_peak_bytes": 1703936 * KIB,
        "process/swap_bytes": 512 * KIB,
        "process/pss_bytes": (1228800 + 100000) * KIB,
        "process/cpu_s_total": (90210 + 4410 + 120 + 44 + 5000 + 500) / TICKS_PER_S,
        "process/count": 2,
        "process/threads": 18,
        "process/core": 33,
        "process/voluntary_switches_total": 5120 + 880 + 9,
        "process/involuntary_switches_total": 77 + 23 + 1,
        "process/minor_faults_total": 51200 + 310 + 1000,
        "process/major_faults_total": 12 + 3 + 1,
        "process/read_bytes_total": 5046586572 + 1000,
        "process/written_bytes_total": 92274688 + 100,
        "process/disk_read_bytes_total": 4831838208,
        "process/disk_written_bytes_total": 83886080,
    }


def test_rates_come_with_the_second_look(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    reader = Reader(node.files)
    reader.read(0.0, 4242)
    node.replace("proc/4242/stat", " 90210 4410 ", f" {90210 + 3 * TICKS_PER_S} 4410 ")
    node.replace("proc/4242/io", "rchar: 5046586572", f"rchar: {5046586572 + 8000}")
    node.replace("proc/4300/stat", " 1000 0 1 0 ", " 1000 0 5 0 ")
    found = values(reader.read(2.0, 4242), pid=4242)
    assert found == {
        "process/rss_bytes": (401408 + 50000) * PAGE_BYTES,
        "process/cores_used": 1.5,
        "process/minor_faults_per_s": 0.0,
        "process/major_faults_per_s": 2.0,
        "process/read_bytes_per_s": 4000.0,
        "process/written_bytes_per_s": 0.0,
        "process/disk_read_bytes_per_s": 0.0,
        "process/disk_written_bytes_per_s": 0.0,
    }


def test_what_a_rank_hides_is_not_told_as_zero(tmp_path: Path, as_nobody: None) -> None:
    node = Node(tmp_path, "slurm-v1")
    (node.root / "proc/4242/io").chmod(0)
    (node.root / "proc/4242/smaps_rollup").unlink()
    reader = Reader(node.files)
    names = {one.name for second in (0.0, 1.0) for one in reader.read(second, 4242).samples}
    assert "process/cores_used" in names
    assert "process/minor_faults_total" in names
    assert not {name for name in names if "read" in name.replace("threads", "") or "pss" in name}


def test_a_rank_that_ended_or_never_was_costs_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    reader = Reader(node.files)
    reader.read(0.0, 4242)
    (node.root / "proc/4242/stat").unlink()
    assert reader.read(1.0, 4242, 777, 0).samples == []
    assert reader.read(2.0).samples == []


BUSY = """
import os, sys
for line in sys.stdin:
    if line == "work\\n":
        begin = os.times()
        while sum(os.times()[:2]) - sum(begin[:2]) < 0.3:
            pass
    elif line == "child\\n":
        pid = os.fork()
        if not pid:
            begin = os.times()
            while sum(os.times()[:2]) - sum(begin[:2]) < 0.3:
                pass
            os._exit(0)
        os.waitpid(pid, 0)
    elif line == "write\\n":
        with open(sys.argv[1], "wb", buffering=0) as file:
            file.write(bytes(1_000_000))
    print("done", flush=True)
"""


class Program:
    """A real rank that does what it is told."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self.pid = child.pid

    def do(self, what: str) -> None:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(f"{what}\n")
        self._child.stdin.flush()
        assert self._child.stdout.readline() == "done\n"


@contextmanager
def program(folder: Path) -> Iterator[Program]:
    command = [sys.executable, "-c", BUSY, str(folder / "file")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        yield Program(child)
        child.communicate(timeout=60)


def test_real_work_of_a_rank_and_of_children_that_are_gone(tmp_path: Path) -> None:
    with program(tmp_path) as rank:
        rank.do("nothing")
        reader = Reader(KernelFiles())
        reader.read(0.0, rank.pid)
        meter = reader.processes.ranks[rank.pid].meter
        before = meter.total
        for what in ("work", "child", "write"):
            rank.do(what)
        found = values(reader.read(1.0, rank.pid), pid=rank.pid)
    grown = [new - old for new, old in zip(meter.total, before, strict=True)]
    assert grown[0] / TICKS_PER_S == pytest.approx(found["process/cores_used"])
    assert grown[0] / TICKS_PER_S >= 0.55  # twice 0.3 s, in ticks of 0.01 s
    assert found["process/written_bytes_per_s"] >= 1_000_000
    assert found["process/minor_faults_per_s"] > 0
    assert found["process/rss_bytes"] > 1e6


def test_real_memory_of_processes_that_share_counts_once(tmp_path: Path) -> None:
    with program(tmp_path) as one, program(tmp_path) as other:
        one.do("nothing")
        other.do("nothing")
        reader = Reader(KernelFiles())
        deadline_s = time.monotonic() + 60
        pss: dict[int, float] = {}
        rss: dict[int, float] = {}
        second = 0.0
        while len(pss) < 2 and time.monotonic() < deadline_s:
            reading = reader.read(second, one.pid, other.pid)
            pss |= {o.pid: o.value for o in reading.samples if o.name == "process/pss_bytes"}
            rss = {o.pid: o.value for o in reading.samples if o.name == "process/rss_bytes"}
            second += 1.0
    assert all(0 < pss[pid] < rss[pid] for pid in (one.pid, other.pid))
    assert os.getpid() not in pss
