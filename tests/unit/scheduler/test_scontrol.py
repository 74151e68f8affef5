from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.scheduler.scontrol import ShownJob, find_job, parse_jobs
from hpctrack.scheduler.sizes import GIB, MIB
from tests.unit.scheduler.recorded import VERSIONS, read


def job(version: str, job_id: str, name: str = "scontrol.txt") -> ShownJob:
    found = find_job(read(version, name), job_id)
    assert found is not None
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_job_of_every_version_has_what_all_versions_tell(version: str) -> None:
    jobs = parse_jobs(read(version, "scontrol.txt"))
    assert jobs
    for one in jobs:
        assert one.job_id.isdigit()
        assert one.fields["UserId"].endswith(")")
        assert {"JobName", "JobState", "Partition", "WorkDir", "QOS"} <= one.fields.keys()
        assert one.restarts is not None
        assert one.tres_given or one.fields["JobState"] == "PENDING"
        assert "(null)" not in one.fields.values()


def test_one_line_and_many_lines_say_the_same() -> None:
    wide = parse_jobs(read("22.05", "scontrol-oneliner.txt"))
    tall = parse_jobs(read("22.05", "scontrol.txt"))
    assert [one.fields for one in wide] == [one.fields for one in tall]
    assert len(wide) == 14


@pytest.mark.parametrize("name", ["scontrol.txt", "scontrol-oneliner.txt"])
def test_free_text_may_hold_spaces_and_what_looks_like_a_key(name: str) -> None:
    found = job("22.05", "1", name)
    assert found.fields["JobName"] == "a job x=1|y"
    assert found.fields["Comment"] == "lr=0.1 Reason=me"
    assert found.fields["StdOut"] == "/dev/null"
    assert "Reason" not in found.fields


def test_a_submit_line_does_not_end_at_its_own_options() -> None:
    found = job("25.05", "120045")
    assert found.fields["SubmitLine"] == "salloc --mem=16G --comment=Account=me -c8"
    assert (found.fields["Account"], found.fields["Comment"]) == ("dev", "Account=me State=x")
    assert found.moment("StartTime") == 1_756_720_801
    assert job("19.05", "24221219").fields["Command"] == "/home/ana/sweep.sh --lr=0.1 --epochs 3"
    assert job("21.08", "8205999").fields["Partition"] == "gpu"


def test_resources_limits_and_nodes_are_read() -> None:
    found = job("23.11", "4711")
    assert found.tres_asked["gres/gpu:h100"] == 2
    assert found.tres_given["mem"] == 64 * GIB
    assert (found.limit_s, found.restarts, found.nodes) == (43_200, 1, ("nid001234",))
    assert job("20.11", "5412936").nodes == ("h07", "h09", "h10")
    assert job("19.05", "24230001").limit_s == math.inf
    assert job("25.05", "120050").limit_s is None
    assert job("25.05", "120050").nodes == ()


@pytest.mark.parametrize(
    ("version", "job_id", "per", "size_bytes"),
    [
        ("19.05", "24221219", "node", 16_000 * MIB),
        ("19.05", "24230001", "cpu", 2 * GIB),
        ("24.11", "90001", "cpu", 2 * GIB),
        ("25.05", "120045", "node", 16 * GIB),
    ],
)
def test_memory_is_read_with_what_it_was_asked_for(
    version: str, job_id: str, per: str, size_bytes: float
) -> None:
    asked = job(version, job_id).memory_asked
    assert asked is not None
    assert (asked.per, asked.size_bytes) == (per, size_bytes)


def test_a_job_that_is_not_shown_is_none() -> None:
    assert find_job(read("22.05", "scontrol.txt"), "99") is None
    assert parse_jobs("slurm_load_jobs error: Invalid job id specified\n") == []


@given(st.text(max_size=200))
def test_whatever_is_printed_is_read_without_an_error(text: str) -> None:
    assert len(parse_jobs(text)) <= text.count("JobId=")
    assert parse_jobs(f"JobId=1 JobName={text}\n   UserId=a(1)")[0].job_id == "1"
