"""Reading the kernel's small files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.telemetry.kernel_files import (
    KernelFiles,
    first_number,
    format_cpu_list,
    parse_cpu_list,
    parse_pairs,
)


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
