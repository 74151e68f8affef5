"""The arithmetic of benchmarks: medians, ratios, verdicts, and the count of opened files."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks.rows import (
    Row,
    Samples,
    Target,
    find_error,
    median,
    percentile,
    ratio,
    show_number,
    worst,
)
from scripts.benchmarks.tracing import count_opened


@pytest.mark.parametrize(
    ("relation", "limit", "value", "verdict"),
    [
        ("<=", 2.5, 2.5, "met"),
        ("<=", 2.5, 2.6, "missed"),
        (">=", 40, 39, "missed"),
        (">=", 40, 41, "met"),
        ("==", 0, 0, "met"),
        ("==", 0, 1, "missed"),
        ("<=", 1, None, "not measured"),
    ],
)
def test_a_verdict_follows_from_target_and_value(
    relation: str, limit: float, value: float | None, verdict: str
) -> None:
    row = Row(what="x", value=value, unit="us", target=Target(relation, limit))
    assert row.verdict == verdict


def test_medians_and_ratios_leave_out_rounds_that_failed() -> None:
    samples: Samples = {
        "a": [{"us": 2.0}, {"error": "exit 1"}, {"us": 6.0}, {"us": 4.0}],
        "b": [{"us": 1.0}, {"us": 1.0}, {"us": 1.0}, {"us": 4.0}],
    }
    assert median(samples["a"], "us") == 4.0
    assert worst(samples["a"], "us") == 6.0
    assert find_error(samples["a"]) == "exit 1"
    assert find_error(samples["b"]) is None
    assert ratio(samples, "us", of="a", to="b") == 2.0  # of 2, 6 and 1: by round, then the median
    assert ratio(samples, "us", of="a", to="absent") is None
    assert median([], "us") is None


def test_numbers_are_shown_with_three_digits() -> None:
    assert [show_number(one) for one in (None, 0.0, 1.2345, 12345.6, 10_000_000)] == [
        "-", "0", "1.23", "12,346", "10,000,000",
    ]  # fmt: skip
    assert percentile(range(100), 99) == 99


def test_opened_files_are_those_of_the_process_and_its_threads_up_to_the_mark(
    tmp_path: Path,
) -> None:
    trace = tmp_path / "trace"
    trace.write_text(
        '10 openat(AT_FDCWD, "/a", O_RDONLY) = 3\n'
        '10 openat(AT_FDCWD, "/missing", O_RDONLY) = -1 ENOENT (No such file or directory)\n'
        "10 clone3({flags=CLONE_VM|CLONE_THREAD, child_tid=0x7} <unfinished ...>\n"
        '11 openat(AT_FDCWD, "/by-a-thread", O_RDONLY <unfinished ...>\n'
        "10 <... clone3 resumed> => {parent_tid=[11]}, 88) = 11\n"
        "11 <... openat resumed>) = 4\n"
        "10 clone(child_stack=NULL, flags=SIGCHLD) = 12\n"
        '12 openat(AT_FDCWD, "/by-a-child", O_RDONLY) = 3\n'
        '10 openat(AT_FDCWD, "the-mark", O_RDONLY) = -1 ENOENT (No such file or directory)\n'
        '10 openat(AT_FDCWD, "/too-late", O_RDONLY) = 3\n'
    )
    assert count_opened(trace, "the-mark") == 2
    with pytest.raises(ValueError, match="not in the trace"):
        count_opened(trace, "another")
