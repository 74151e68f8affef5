"""Which process belongs to which rank."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.process_trees import (
    NEW_MAX,
    ProcessTrees,
    find_root,
    is_host_pid_namespace,
)
from tests.nodes import Node

STAT = "{pid} (x) S {ppid} 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid} 0 0 0" + " 0" * 14 + " 3 0\n"


class Processes:
    """A /proc of processes that can be made, moved and ended."""

    def __init__(self, root: Path) -> None:
        self.node = Node(root)
        self.newest = 0
        self.add(1, 0)

    def add(self, pid: int, ppid: int, *, inner: str = "") -> None:
        self.node.write(f"proc/{pid}/stat", STAT.format(pid=pid, ppid=ppid))
        self.node.write(f"proc/{pid}/status", f"Name:\tx\nNSpid:\t{pid}{inner}\n")
        self.newest = pid
        self.node.write("proc/loadavg", f"0.1 0.1 0.1 1/9 {self.newest}\n")

    def end(self, pid: int) -> None:
        for path in (self.node.root / f"proc/{pid}").iterdir():
            path.unlink()
        (self.node.root / f"proc/{pid}").rmdir()


def test_descendants_belong_to_the_nearest_rank(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    for pid, ppid in ((5, 1), (10, 5), (11, 10), (12, 11), (20, 5), (30, 11), (31, 30), (40, 1)):
        made.add(pid, ppid)
    trees = ProcessTrees(made.node.files)
    trees.update({10, 20, 30}, 0.0)
    assert {root: set(pids) for root, pids in trees.members.items()} == {
        10: {10, 11, 12},
        20: {20},
        30: {30, 31},
    }
    assert [trees.find_root(pid) for pid in (12, 20, 31, 40, 5, 99)] == [
        10,
        20,
        30,
        None,
        None,
        None,
    ]


def test_new_processes_are_found_only_if_any_was_made(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    made.add(10, 1)
    trees = ProcessTrees(made.node.files)
    trees.update({10}, 0.0)
    made.node.write("proc/11/stat", STAT.format(pid=11, ppid=10))  # nothing tells of it
    trees.update({10}, 1.0)
    assert set(trees.members[10]) == {10}
    made.add(12, 11)
    trees.update({10}, 2.0)
    assert set(trees.members[10]) == {10, 11, 12}
    made.node.write("proc/13/stat", STAT.format(pid=13, ppid=10))
    trees.update({10}, 100.0)  # from time to time all are looked at
    assert set(trees.members[10]) == {10, 11, 12, 13}


def test_a_number_that_is_given_away_again_is_the_new_processes(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    for pid, ppid in ((5, 1), (10, 1), (20, 10), (21, 10), (22, 1), (23, 10)):
        made.add(pid, ppid)
    trees = ProcessTrees(made.node.files)
    trees.update({5, 10}, 0.0)
    made.node.write("proc/loadavg", "0.1 0.1 0.1 1/9 4\n")  # numbers have started over
    trees.update({5, 10}, 1.0)
    trees.forget(10, 20)
    trees.forget(10, 21)
    made.add(23, 1)  # its parent has ended
    made.add(20, 5)
    made.add(21, 1)
    made.add(22, 5)
    trees.update({5, 10}, 2.0)
    assert trees.members == {5: [5, 20, 22], 10: [10, 23]}
    assert (trees.find_root(20), trees.find_root(21)) == (5, None)


def test_threads_have_numbers_and_are_no_processes(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    made.add(10, 1)
    trees = ProcessTrees(made.node.files)
    trees.update({10}, 0.0)
    made.add(12, 10)
    words = STAT.format(pid=11, ppid=10).split()
    words[37] = "-1"  # the signal that its parent gets when it ends: none
    made.node.write("proc/11/stat", " ".join(words))
    trees.update({10}, 1.0)
    assert trees.members == {10: [10, 12]}


def test_many_new_processes_are_found_in_the_list_of_all(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    made.add(10, 1)
    trees = ProcessTrees(made.node.files)
    trees.update({10}, 0.0)
    made.add(10 + 2 * NEW_MAX, 10)
    trees.update({10}, 1.0)
    assert set(trees.members[10]) == {10, 10 + 2 * NEW_MAX}


def test_real_children_are_found_by_their_numbers_and_threads_are_not() -> None:
    script = """
import subprocess, sys, threading
input()
threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
input()
child.communicate(b"\\n")
"""
    rank = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert rank.stdin is not None
    assert rank.stdout is not None
    try:
        trees = ProcessTrees(KernelFiles())
        trees.update({rank.pid}, 0.0)
        assert trees.members == {rank.pid: [rank.pid]}
        print(file=rank.stdin, flush=True)
        child = int(rank.stdout.readline())
        trees.update({rank.pid}, 1.0)
        assert set(trees.members[rank.pid]) == {rank.pid, child}
    finally:
        rank.communicate("\n", timeout=60)


def test_an_orphan_stays_with_its_rank_and_so_do_its_children(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    for pid, ppid in ((10, 1), (11, 10), (12, 11)):
        made.add(pid, ppid)
    trees = ProcessTrees(made.node.files)
    trees.update({10}, 0.0)
    made.end(11)
    trees.forget(10, 11)
    made.add(12, 1)
    made.add(13, 12)
    trees.update({10}, 1.0)
    assert set(trees.members[10]) == {10, 12, 13}
    made.add(14, 13)
    trees.update({10}, 100.0)
    assert set(trees.members[10]) == {10, 12, 13, 14}


def test_a_rank_that_comes_later_takes_its_children_with_it(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    for pid, ppid in ((10, 1), (11, 10), (12, 11)):
        made.add(pid, ppid)
    trees = ProcessTrees(made.node.files)
    trees.update({10}, 0.0)
    trees.update({10, 11}, 1.0)
    assert {root: set(pids) for root, pids in trees.members.items()} == {10: {10}, 11: {11, 12}}
    trees.update({11}, 2.0)
    assert {root: set(pids) for root, pids in trees.members.items()} == {11: {11, 12}}


def test_a_rank_that_has_ended_has_no_members(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    made.add(10, 1)
    trees = ProcessTrees(made.node.files)
    trees.update({10, 999}, 0.0)
    assert trees.members == {10: [10]}
    trees.forget(10, 10)
    assert trees.members == {10: []}


def test_a_number_of_an_inner_namespace_is_found_if_it_is_of_one_rank_only(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    made.add(1000, 1, inner="\t7")
    made.add(1001, 1000, inner="\t8")
    made.add(2000, 1, inner="\t7")
    made.add(9, 1)
    trees = ProcessTrees(made.node.files)
    trees.update({1000, 2000}, 0.0)
    assert trees.find_root(8) == 1000
    assert trees.find_root(7) is None
    assert trees.find_root(9) is None  # there is such a process, and it is none of ours


def test_a_loop_of_parents_ends(tmp_path: Path) -> None:
    made = Processes(tmp_path)
    made.add(10, 11)
    made.add(11, 10)
    made.add(12, 1)
    assert find_root(10, {12}, made.node.files) is None
    trees = ProcessTrees(made.node.files)
    trees.update({12}, 0.0)
    assert trees.members == {12: [12]}


def test_real_grandchildren_are_found() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    files = KernelFiles()
    try:
        trees = ProcessTrees(files)
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            trees.update({child.pid}, time.monotonic())
            if len(trees.members.get(child.pid, ())) > 1:
                break
            time.sleep(0.02)
        grandchild = next(pid for pid in trees.members[child.pid] if pid != child.pid)
        assert trees.find_root(grandchild) == child.pid
        assert find_root(grandchild, {child.pid}, files) == child.pid
        assert find_root(os.getpid(), {child.pid}, files) is None
    finally:
        child.communicate(b"\n", timeout=60)
    assert is_host_pid_namespace(files) in (True, False)
