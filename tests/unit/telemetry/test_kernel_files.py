"""Reading the kernel's small files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.telemetry.kept_files import KeptFiles
from hpctrack.telemetry.kernel_files import (
    KernelFiles,
    find_number,
    first_number,
    format_cpu_list,
    parse_cpu_list,
    parse_pairs,
)
from tests.leaks import count_files
from tests.nodes import Node


def test_the_real_root_needs_no_slash_at_the_front() -> None:
    files = KernelFiles()
    assert files.read("proc/self/stat").startswith(files.read("proc/self/stat").split()[0])
    assert files.read_small("proc/self/comm") == files.read("proc/self/comm")
    assert files.path("proc/stat") == Path("/proc/stat")
    assert files.why("proc/stat") == files.why("proc") == ""


def test_a_long_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 200_001)
    assert len(KernelFiles(tmp_path).read("long")) == 200_001


def test_what_cannot_be_read_is_nothing_and_the_reason_can_be_asked(tmp_path: Path) -> None:
    files = KernelFiles(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    assert files.peek("nowhere") is None
    assert files.number("nowhere") is None
    assert files.names("nowhere") == []
    assert files.why("nowhere") == "not there"
    assert files.why("folder") == ""
    assert "symbolic links" in files.why("loop")
    with pytest.raises(FileNotFoundError):
        files.read("nowhere")


@pytest.mark.parametrize(
    ("text", "number"),
    [("12\n", 12), ("-1\n", -1), ("4: ACTIVE", None), ("max\n", None), ("", None), (None, None)],
)
def test_first_number(text: str | None, number: int | None) -> None:
    assert first_number(text) == number


def test_pairs_are_in_bytes_and_what_is_no_pair_is_passed_over() -> None:
    text = "MemTotal:       2048 kB\nHugePages_Total:       7\nlow 0\nodd\nname text\n"
    assert parse_pairs(text) == {"MemTotal": 2048 * 1024, "HugePages_Total": 7, "low": 0}


@pytest.mark.parametrize("text", ["", "\n", "a-b", "3-", "0-2,x"])
def test_a_list_of_nonsense_is_no_surprise(text: str) -> None:
    assert parse_cpu_list(text) in (frozenset(), frozenset({0, 1, 2}))


@given(st.frozensets(st.integers(0, 300)))
def test_lists_of_cores_go_there_and_back(cores: frozenset[int]) -> None:
    assert parse_cpu_list(format_cpu_list(cores) + "\n") == cores


def test_one_number_of_many_lines() -> None:
    text = "oom_kill 3\noom 4\nlow 0\nmax -1\n"
    assert [find_number(text, name) for name in ("oom_kill", "oom", "low", "max")] == [3, 4, 0, -1]
    assert [find_number(text, name) for name in ("kill", "oo", "high")] == [None] * 3
    assert find_number("", "oom") is None


def start_child() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)


def test_files_of_processes_are_kept_open_until_these_end_or_are_let_go() -> None:
    kept = KeptFiles(KernelFiles(), "stat")
    before = count_files()
    with start_child() as child:
        for _look in range(3):
            assert kept.read(child.pid).startswith(f"{child.pid} (")
        assert count_files() - before == 1 + 1  # and the child's input
        kept.read(os.getpid())
        kept.retain({child.pid})
        assert count_files() - before == 1 + 1
        child.communicate("\n", timeout=60)
    for _look in range(2):
        with pytest.raises(OSError, match=r"."):
            kept.read(child.pid)
    kept.read(os.getpid())
    kept.close()
    assert count_files() == before


def test_what_is_no_file_of_the_kernels_is_read_anew(tmp_path: Path) -> None:
    node = Node(tmp_path)
    kept = KeptFiles(node.files, "stat")
    for text in ("one", "two"):
        node.write("proc/7/stat", text)
        assert kept.read(7) == text
    (tmp_path / "proc/7/stat").unlink()
    with pytest.raises(FileNotFoundError):
        kept.read(7)
