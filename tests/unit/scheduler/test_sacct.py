from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.scheduler.commands import DELIMITER
from hpctrack.scheduler.sacct import FIELDS, Life, gather_lives, parse_rows
from hpctrack.scheduler.sizes import MIB
from tests.unit.scheduler.recorded import VERSIONS, read


def lives(version: str, shown_id: str) -> list[Life]:
    found = gather_lives(parse_rows(read(version, "sacct.txt")))
    return [one for one in found if one.job.shown_id == shown_id]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_of_every_version_is_read(version: str) -> None:
    rows = parse_rows(read(version, "sacct.txt"))
    assert rows
    for row in rows:
        # These files do not have what Slurm has seen of GPUs.
        assert set(row.fields) == set(FIELDS) - {"TRESUsageInAve"}
        assert row.job_id.isdigit()
        assert row.state.replace("_", "").isalpha()
        assert row.moment("Submit") is not None
    kept = sum(1 + len(one.steps) for one in gather_lives(rows))
    assert kept == len(rows)


def test_a_requeued_job_has_two_lives_each_with_its_own_steps() -> None:
    first, second = lives("22.05", "6")
    assert (first.job.state, second.job.state) == ("REQUEUED", "COMPLETED")
    assert [one.step for one in first.steps] == [one.step for one in second.steps] == ["batch"]
    assert first.steps[0].state == "CANCELLED"
    assert first.is_final
    # Slurm submits it anew when it requeues it.
    assert second.job.moment("Submit") == first.job.moment("End")
    assert [one.job.state for one in lives("20.11", "6200001")] == ["NODE_FAIL", "COMPLETED"]


def test_a_task_of_an_array_has_a_number_of_its_own() -> None:
    (task,) = lives("22.05", "5_3")
    assert (task.job.job_id, task.job.gpus, task.job.nodes) == ("8", 2, 2)
    assert task.step("0") is not None
    (last,) = lives("22.05", "5_4")
    assert last.job.job_id == "5"


def test_components_of_a_heterogeneous_job_are_jobs() -> None:
    (leader,), (other,) = lives("22.05", "12+0"), lives("22.05", "12+1")
    assert (leader.job.job_id, other.job.job_id) == ("12", "13")
    assert [one.step for one in other.steps] == ["0"]


def test_who_cancelled_is_no_part_of_the_state() -> None:
    (job,) = lives("22.05", "10")
    assert (job.job.state, job.job.limit_s) == ("CANCELLED", math.inf)
    assert job.job.exit_code == (0, 0)
    (never,) = lives("19.05", "23000233")
    assert (never.job.state, never.job.elapsed_s, never.job.cpu_s) == ("CANCELLED", 0, None)


def test_a_name_may_hold_the_delimiter() -> None:
    (job,) = lives("19.05", "23000233")
    assert job.job.fields["JobName"] == "big|name"
    (job,) = lives("22.05", "1")
    assert job.job.fields["JobName"] == "a job x=1|y"


def test_a_name_may_hold_a_newline_and_what_unicode_takes_for_one() -> None:
    text = "JobID|State|JobName\n1|FAILED|two\nlines\u2028and\x1cmore\n1.batch|FAILED|batch\n"
    job, step = parse_rows(text)
    assert job.fields["JobName"] == "two\nlines\u2028and\x1cmore"
    assert (step.step, step.state) == ("batch", "FAILED")


def test_pending_and_running_jobs_are_not_final() -> None:
    (pending,) = lives("22.05", "11")
    assert not pending.is_final
    assert pending.job.moment("Start") is None
    (running,) = lives("25.05", "120045")
    assert not running.is_final
    assert [one.step for one in running.steps] == ["interactive", "extern"]
    (array,) = lives("25.05", "120050_[0-9%2]")
    assert (array.job.job_id, array.job.limit_s) == ("120050", None)


def test_what_was_not_measured_is_none() -> None:
    (job,) = lives("22.05", "1")
    batch = job.steps[0]
    assert batch.energy_j is None
    assert (job.job.task_rss_bytes, job.job.sum_rss_bytes) == (None, None)
    (typed,) = lives("23.11", "4711")
    assert typed.job.energy_j == 2_952_000
    assert typed.job.gpus == 2
    assert typed.steps[0].task_rss_bytes is None


def test_what_we_ask_for_is_answered_exactly() -> None:
    asked = parse_rows(read("22.05", "sacct-as-asked.txt"), delimiter=DELIMITER)
    found = gather_lives(asked)
    assert [one.job.shown_id for one in found] == ["1", "6", "5_3", "5_4", "6", "9", "12+0", "12+1"]
    first = found[0]
    assert first.job.moment("Start") == 1_795_829_040
    assert first.steps[0].task_rss_bytes == 314_748_928
    assert first.job.cpu_s == pytest.approx(4.284)
    asked_for = first.job.memory_asked
    assert asked_for is not None
    assert asked_for.total_bytes(nodes=1, cpus=2) == 900 * MIB


def test_steps_without_their_job_are_passed_over() -> None:
    assert gather_lives(parse_rows("JobID|JobIDRaw|State\n7.0|7.0|FAILED\n")) == []


@given(st.text(alphabet="|\nJobIDState0123.+_ ", max_size=200))
def test_whatever_is_printed_is_read_without_an_error(text: str) -> None:
    for row in parse_rows(f"JobID|JobIDRaw|State|ExitCode|End\n{text}"):
        assert isinstance(row.state, str)
        assert row.exit_code is None or len(row.exit_code) == 2
        row.moment("End")
    parse_rows(text)
