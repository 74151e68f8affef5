"""What /proc says of one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.telemetry.process_files import (
    parse_io,
    parse_numa_maps,
    parse_pss,
    parse_schedstat,
    parse_stat,
    parse_status,
    parse_switches,
)
from tests.nodes import Node

MIB = 1024 * 1024


def test_stat_with_brackets_and_blanks_in_the_name(tmp_path: Path) -> None:
    stat = parse_stat(Node(tmp_path, "slurm-v1").files.read("proc/4242/stat"))
    assert (stat.state, stat.ppid, stat.threads, stat.starttime) == ("S", 4200, 17, 918273)
    assert (stat.utime, stat.stime, stat.cutime, stat.cstime) == (90210, 4410, 120, 44)
    assert (stat.minflt, stat.cminflt, stat.majflt, stat.cmajflt) == (51200, 310, 12, 3)
    assert (stat.rss, stat.processor) == (401408, 33)


@pytest.mark.parametrize("text", ["", "1 (a) S 1 2", "1 (a"])
def test_a_torn_stat_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of int(), of rindex(), or ours
        parse_stat(text)


def test_status_of_a_rank(tmp_path: Path) -> None:
    text = Node(tmp_path, "slurm-v1").files.read("proc/4242/status")
    status = parse_status(text)
    assert status.cores == {0, 1, 2, 3, 32, 33, 34, 35}
    assert status.nodes == {0, 1}
    assert status.rss_peak_bytes == 1664 * MIB
    assert status.swap_bytes == 512 * 1024
    assert status.namespace_pids == (4242,)
    assert parse_switches(text) == (5120, 77)


def test_what_status_does_not_tell_is_not_made_up() -> None:
    status = parse_status("Name:\tkthreadd\nThreads:\t1\n")
    assert status.rss_peak_bytes is None
    assert status.swap_bytes is None
    assert status.cores == frozenset()
    assert parse_switches("Name:\tx\n") is None


def test_io_schedstat_and_pss() -> None:
    text = (
        "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\n"
        "cancelled_write_bytes: 7\n"
    )
    assert parse_io(text) == (1, 2, 5, 6)
    with pytest.raises(ValueError, match="rchar"):
        parse_io("rchar: 1\n")
    assert parse_schedstat("1500000000 500000000 77\n") == (1.5, 0.5)
    assert parse_schedstat("") is None
    assert parse_pss("Rss: 9 kB\nPss:     8 kB\nPss_Anon: 3 kB\n") == 8192
    assert parse_pss("") is None


def test_numa_maps_counts_pages_of_their_own_size(tmp_path: Path) -> None:
    found = parse_numa_maps(Node(tmp_path, "slurm-v1").files.read("proc/4242/numa_maps"))
    assert found == {0: (900 + 200_000 + 30) * 4096, 1: 62_144 * 4096 + 8 * 2 * MIB}


def test_the_parsers_read_this_machine() -> None:
    proc = Path("/proc/self")
    assert parse_stat((proc / "stat").read_text()).threads >= 1
    assert parse_io((proc / "io").read_text()).read > 0
    status = parse_status((proc / "status").read_text())
    assert status.cores
    assert status.rss_peak_bytes
    assert status.rss_peak_bytes > 1e6
    assert parse_switches((proc / "status").read_text())
    assert parse_pss((proc / "smaps_rollup").read_text())
