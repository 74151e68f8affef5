"""Durations, sizes, resources and node lists, as Slurm writes them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.core.byte_sizes import show_bytes
from hpctrack.scheduler.durations import parse_duration, parse_moment, show_slurm_time
from hpctrack.scheduler.hostlist import HOSTS_MAX, expand_hosts, fold_hosts, try_expand_hosts
from hpctrack.scheduler.sizes import (
    GIB,
    MIB,
    parse_request,
    parse_size,
    show_slurm_size,
)
from hpctrack.scheduler.tres import count_gpus, parse_tres


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1-02:03:04", 93_784),
        ("02:03:04", 7_384),
        ("451-06:00:24", 38_988_024),
        ("12:00:00", 43_200),
        ("03:04.567", 184.567),
        ("00:00:00", 0),
        ("00:41", 41),
        ("1-02", 93_600),
        ("1-02:30", 95_400),
        ("UNLIMITED", math.inf),
        ("Partition_Limit", None),
        ("INVALID", None),
        ("N/A", None),
        ("", None),
        ("1:2:3:4", None),
    ],
)
def test_durations_are_read(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.integers(0, 10**9))
def test_a_time_limit_survives_being_written_and_read(seconds: int) -> None:
    assert parse_duration(show_slurm_time(seconds)) == seconds


def test_no_limit_survives_it_too() -> None:
    assert parse_duration(show_slurm_time(math.inf)) == math.inf


def test_moments_are_read_as_seconds_and_as_local_time() -> None:
    assert parse_moment("1764291600") == 1_764_291_600
    here = datetime(2025, 11, 28, 1, 0, tzinfo=UTC).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    assert parse_moment(here) == 1_764_291_600
    assert [parse_moment(one) for one in ("Unknown", "None", "N/A", "", "Ystday")] == [None] * 5


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("64G", 64 * GIB),
        ("3.1M", 3.1 * MIB),
        ("4224K", 4224 * 1024),
        ("312.50G", 312.5 * GIB),
        ("3250585600", 3_250_585_600),
        ("0", 0),
        ("1.5T", 1536 * GIB),
        ("4000Mc", None),
        ("", None),
        ("16Q", None),
    ],
)
def test_sizes_are_read(text: str, size_bytes: float | None) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "total_bytes"),
    [
        ("4000Mc", 8 * 4000 * MIB),
        ("2000Mn", 2 * 2000 * MIB),
        ("64G", 64 * GIB),
        ("2Gn", 4 * GIB),
        ("191846Mn", 2 * 191_846 * MIB),
    ],
)
def test_a_request_per_cpu_or_node_is_multiplied_and_one_for_the_job_is_not(
    text: str, total_bytes: float
) -> None:
    request = parse_request(text)
    assert request is not None
    assert request.total_bytes(nodes=2, cpus=8) == total_bytes


@pytest.mark.parametrize("text", ["0n", "0", "0Mn", "", "?"])
def test_a_request_for_all_of_a_node_is_no_number(text: str) -> None:
    assert parse_request(text) is None


@given(st.integers(1, 10**7))
def test_a_size_survives_being_written_and_read(mebibytes: int) -> None:
    assert parse_size(show_slurm_size(mebibytes * MIB)) == mebibytes * MIB


def test_sizes_are_shown_short() -> None:
    shown = [show_bytes(one) for one in (64 * GIB, 3.1 * GIB, 380 * MIB, 2048 * GIB, 500_000)]
    assert shown == ["64 GiB", "3.1 GiB", "380 MiB", "2 TiB", "488 KiB"]


def test_resources_are_read_by_name() -> None:
    found = parse_tres("cpu=4,mem=64G,node=1,billing=4,gres/gpu:a100=2,license/m@flex=1")
    assert found == {
        "cpu": 4,
        "mem": 64 * GIB,
        "node": 1,
        "billing": 4,
        "gres/gpu:a100": 2,
        "license/m@flex": 1,
    }
    usage = parse_tres("cpu=00:01:02,energy=0,fs/disk=1234,mem=3174400K,pages=12,vmem=0")
    assert (usage["cpu"], usage["mem"], usage["fs/disk"]) == (62, 3_174_400 * 1024, 1234)
    assert parse_tres("(null)") == parse_tres("") == parse_tres("cpu,=3,x=?") == {}


def test_gpus_are_counted_once() -> None:
    assert count_gpus(parse_tres("gres/gpu=4,gres/gpu:a100=4")) == 4
    assert count_gpus(parse_tres("gres/gpu:a100=2,gres/gpu:v100=1")) == 3
    assert count_gpus(parse_tres("cpu=2,gres/gpumem=40G")) == 0


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[1-3,05-07]", ["n1", "n2", "n3", "n05", "n06", "n07"]),
        ("n[08-11]", ["n08", "n09", "n10", "n11"]),
        ("a,b[1,3]x,c", ["a", "b1x", "b3x", "c"]),
        ("r[0-1]n[1-2]", ["r0n1", "r0n2", "r1n1", "r1n2"]),
        ("", []),
    ],
)
def test_node_lists_are_expanded(text: str, names: list[str]) -> None:
    assert expand_hosts(text) == names


@pytest.mark.parametrize(
    "text",
    ["n[1-", "n1]", "n[[1]]", "n[a-b]", "n[3-1]", "n[]", f"n[0-{HOSTS_MAX}]", "n[1-999]" * 3],
)
def test_what_is_no_node_list_is_an_error_and_fills_no_memory(text: str) -> None:
    with pytest.raises(ValueError, match=r"node|brackets|range"):
        expand_hosts(text)
    assert try_expand_hosts(text) == []


@pytest.mark.parametrize("text", ["(null)", "None assigned", ""])
def test_a_job_without_nodes_has_none(text: str) -> None:
    assert try_expand_hosts(text) == []


NAMES = st.one_of(
    st.builds(
        lambda stem, number, width: f"{stem}{number:0{width}d}",
        st.sampled_from(["n", "gpu-", "r1n", ""]),
        st.integers(0, 1200),
        st.integers(0, 4),
    ),
    st.from_regex(r"[a-z]([a-z0-9-]{0,12}[a-z0-9])?", fullmatch=True),
)


@given(st.lists(NAMES, max_size=60))
def test_a_node_list_survives_being_folded_and_expanded(names: list[str]) -> None:
    assert expand_hosts(fold_hosts(names)) == names


@given(st.text(alphabet="n0123456789[]-,", max_size=30))
def test_whatever_is_in_a_node_list_it_is_a_list_or_a_value_error(text: str) -> None:
    try:
        expected = expand_hosts(text)
    except ValueError:
        expected = []
    assert try_expand_hosts(text) == expected


def test_a_row_of_nodes_is_folded_into_one_word() -> None:
    assert fold_hosts([f"n{number:02d}" for number in range(1, 13)]) == "n[01-12]"
    assert fold_hosts(["n1", "n2", "n10", "login"]) == "n[1-2,10],login"
