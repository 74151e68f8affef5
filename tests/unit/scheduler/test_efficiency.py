"""Worked out by hand from the recorded output of each version."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from hpctrack.scheduler.advice import advise, show_span
from hpctrack.scheduler.efficiency import Efficiency, measure
from hpctrack.scheduler.sacct import Life, Row, gather_lives, parse_rows
from hpctrack.scheduler.sizes import GIB, MIB
from hpctrack.store.gpu_use import GpuUse
from tests.unit.scheduler.recorded import VERSIONS, read

KIB = 1024


def life(version: str, shown_id: str, number: int = -1) -> Life:
    found = gather_lives(parse_rows(read(version, "sacct.txt")))
    return [one for one in found if one.job.shown_id == shown_id][number]


def row(step: str = "", **fields: Any) -> Row:
    name = f"1.{step}" if step else "1"
    texts = {key: str(value) for key, value in fields.items()}
    return Row({"JobID": name, "JobIDRaw": name, "State": "COMPLETED", **texts})


def gpu(busy_frac: float, *, measured_s: float = 950.0) -> GpuUse:
    return GpuUse(
        host="n1", device="GPU-a", busy_frac=busy_frac, peak_frac=busy_frac, measured_s=measured_s
    )


def test_the_example_of_everybody_gets_the_advice_of_everybody() -> None:
    used = measure(life("23.11", "4711"))
    assert used.time_frac == pytest.approx(41 / 720)
    assert used.cpu_frac == pytest.approx((9 * 3600 + 30 * 60 + 24) / (2460 * 16))
    assert used.memory_bytes == 3_250_586 * KIB
    assert used.memory_frac == pytest.approx(3.1 / 64, rel=1e-4)
    assert (used.wait_s, used.since_submit_s, used.energy_j) == (1620, 1620, 2_952_000)
    assert (used.gpus, used.gpu_frac, used.tasks) == (2, None, 2)
    found = advise(used)
    assert found.text == "asked for 64 GiB, used 3.1 GiB; 12 h, used 41 min"
    assert found.options == ("--mem=4G", "--time=1:00:00")
    assert str(found).endswith("used 41 min; next time --mem=4G --time=1:00:00")


def test_a_request_per_cpu_is_answered_per_cpu() -> None:
    used = measure(life("19.05", "25569410"))
    assert used.memory_asked_bytes == 4000 * MIB
    assert used.memory_per == "cpu"
    assert used.memory_bytes == 62_328 * KIB
    assert used.cpu_frac == pytest.approx((19 * 3600 + 28 * 60 + 36) / 76_488)
    assert advise(used).options == ("--mem-per-cpu=256M",)


def test_a_request_per_node_is_multiplied_by_the_nodes() -> None:
    used = measure(life("20.11", "6196869"))
    assert used.memory_asked_bytes == 20 * 191_846 * MIB
    # The sum over the tasks, not the largest of them times 720; extern is not counted.
    assert used.memory_bytes == (1_296_000_000 + 20_264) * KIB
    assert used.node_memory_bytes == (36 * 2_264_748 + 20_264) * KIB
    assert (used.limit_s, used.time_frac) == (math.inf, None)
    assert advise(used).options == ("--mem=100G",)


def test_memory_that_is_told_for_the_whole_job_is_not_multiplied() -> None:
    used = measure(life("21.08", "8205048"))
    assert used.memory_asked_bytes == 312.5 * GIB
    assert used.memory_bytes == 1_764_224 * KIB
    assert advise(used).text == (
        "asked for 312 GiB, used 1.7 GiB; 1 h, used 2 min; 80 CPUs, kept 6.6 busy"
    )


def test_how_memory_was_asked_for_may_come_from_the_job_itself() -> None:
    used = measure(life("21.08", "8205048"), memory_per="cpu")
    assert advise(used).options[0] == "--mem-per-cpu=256M"


def test_a_step_that_was_killed_for_memory_makes_the_job_one() -> None:
    for version, job in (("21.08", "8205999"), ("22.05", "3"), ("22.05", "4")):
        used = measure(life(version, job))
        assert used.state == "OUT_OF_MEMORY"
        assert advise(used).text.startswith("was killed for memory: ")
    assert advise(measure(life("21.08", "8205999"))).options == ("--mem=48G",)


def test_a_job_that_ran_out_of_time_is_told_to_ask_for_more() -> None:
    used = measure(life("24.11", "90001"))
    assert used.time_frac == pytest.approx(3618 / 3600)
    assert used.node_memory_bytes == (2 * 1_900_000 + 12_000) * KIB
    assert str(advise(used)) == "ran out of time after 1 h: ask for more, or checkpoint and requeue"


@pytest.mark.parametrize(("version", "job"), [("22.05", "2"), ("22.05", "10"), ("25.05", "120045")])
def test_a_job_that_did_not_end_well_says_nothing_of_what_it_needs(version: str, job: str) -> None:
    assert str(advise(measure(life(version, job)))) == ""


def test_of_a_running_job_only_what_does_not_change_is_told() -> None:
    used = measure(life("25.05", "120045"))
    assert (used.state, used.cpus, used.wait_s) == ("RUNNING", 8, 1)
    assert (used.elapsed_s, used.cpu_s, used.memory_bytes, used.energy_j) == (None,) * 4


def test_memory_of_steps_at_the_same_time_adds_up() -> None:
    used = measure(life("22.05", "14"))
    assert used.memory_bytes == (19_768 + 90_944 + 90_912) * KIB
    one = {"MaxRSS": "1G", "NTasks": 1, "NNodes": 1}
    first = row("0", Start=1_000_000, End=1_000_100, **one)
    second = row("1", Start=1_000_100, End=1_000_200, **one)
    at_once = row("1", Start=1_000_050, End=1_000_150, **one)
    job = row(AllocCPUS=1, NNodes=1, ElapsedRaw=200)
    assert measure(Life(job, (first, second))).memory_bytes == GIB
    assert measure(Life(job, (first, at_once))).memory_bytes == 2 * GIB


def test_without_a_sum_the_largest_task_counts_for_all() -> None:
    step = row("0", MaxRSS="1G", NTasks=8, NNodes=2, Start=1_000_000, End=1_000_009)
    used = measure(Life(row(AllocCPUS=8, NNodes=2, ElapsedRaw=9), (step,)))
    assert (used.memory_bytes, used.node_memory_bytes) == (8 * GIB, 4 * GIB)


def test_all_of_a_node_is_measured_against_what_was_given() -> None:
    job = row(ReqMem="0n", AllocTRES="cpu=4,mem=120G,node=1", AllocCPUS=4, NNodes=1, ElapsedRaw=9)
    assert measure(Life(job)).memory_asked_bytes == 120 * GIB


def test_zero_is_not_available() -> None:
    step = row("batch", MaxRSS="0", TRESUsageInTot="cpu=00:00:00,mem=0", NTasks=1, NNodes=1)
    job = row(AllocCPUS=4, ElapsedRaw=3600, TotalCPU="00:00:00", ConsumedEnergyRaw="0")
    used = measure(Life(job, (step,)))
    assert (used.cpu_s, used.cpu_frac, used.memory_bytes, used.energy_j) == (None,) * 4
    assert str(advise(used)) == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_everything_that_is_measured_is_json(version: str) -> None:
    for one in gather_lives(parse_rows(read(version, "sacct.txt"))):
        used = measure(one, gpus=[gpu(0.1)])
        json.dumps(used.to_json(), allow_nan=False)
        for share in (used.cpu_frac, used.memory_frac, used.time_frac, used.gpu_frac):
            assert share is None or 0 <= share < 1.2


def completed(**more: Any) -> Efficiency:
    facts: dict[str, Any] = {"state": "COMPLETED", "elapsed_s": 3600.0, "nodes": 1, "cpus": 1}
    return Efficiency(**{**facts, **more})


def test_a_job_that_used_what_it_asked_for_gets_no_advice() -> None:
    well = completed(
        limit_s=5400.0, cpu_frac=0.95, memory_bytes=6.0 * GIB, memory_asked_bytes=8.0 * GIB
    )
    assert str(advise(well)) == ""


def test_memory_that_was_nearly_used_up_is_told_without_a_number() -> None:
    tight = completed(memory_bytes=63.0 * GIB, memory_asked_bytes=64.0 * GIB)
    assert str(advise(tight)) == "asked for 64 GiB, used 63 GiB, which is tight"


def test_of_a_short_job_nothing_is_concluded_but_its_time() -> None:
    short = completed(
        elapsed_s=10.0, limit_s=7200.0, cpus=8, cpu_frac=0.1,
        memory_bytes=2.0 * MIB, memory_asked_bytes=64.0 * GIB,
    )  # fmt: skip
    assert str(advise(short)) == "asked for 2 h, used 10 s; next time --time=0:05:00"


GPUS = {"AllocTRES": "cpu=4,node=1,gres/gpu=4", "ElapsedRaw": 1000}


def measure_gpus(*gpus: GpuUse, steps: tuple[Row, ...] = (), **fields: Any) -> Efficiency:
    return measure(Life(row(**{**GPUS, **fields}), steps), gpus=gpus)


def test_the_use_of_gpus_is_the_mean_over_those_that_were_given_and_the_time() -> None:
    used = measure_gpus(gpu(0.5), gpu(0.1), gpu(0.0), gpu(0.0))
    assert used.gpu_frac == pytest.approx(0.15)
    assert (used.gpu_source, used.gpus_measured, used.gpus_unused) == ("telemetry", 4, 2)
    assert used.gpu_measured_frac == pytest.approx(0.95)
    said = "asked for 4 GPUs, kept 0.6 of them busy on average, 2 of them never"
    assert str(advise(used)) == said
    later = measure_gpus(gpu(1.0, measured_s=100), *[gpu(0.0, measured_s=300)] * 3)
    assert later.gpu_frac == pytest.approx(0.1)


def test_two_gpus_that_were_never_seen_at_work_are_told_however_busy_the_others_were() -> None:
    used = measure_gpus(gpu(1.0), gpu(0.0), gpu(1.0), gpu(0.0))
    assert str(advise(used)) == "asked for 4 GPUs, kept 2 of them busy on average, 2 of them never"
    assert str(advise(measure_gpus(*[gpu(0.9)] * 4))) == ""


def test_one_gpu_is_told_by_its_time() -> None:
    used = measure_gpus(gpu(0.12), AllocTRES="gres/gpu:a100=1")
    assert str(advise(used)) == "asked for 1 GPU, kept it busy 12 % of the time"


def test_of_gpus_and_times_that_nobody_measured_nothing_is_concluded() -> None:
    nothing = measure_gpus()
    assert (nothing.gpu_frac, nothing.gpus_measured, nothing.gpu_source) == (None, None, "")
    some = measure_gpus(gpu(0.0), gpu(0.0))
    assert (some.gpu_frac, some.gpus_measured, some.gpus_unused) == (0.0, 2, 2)
    assert some.gpu_measured_frac == pytest.approx(0.475)
    short = measure_gpus(*[gpu(0.0, measured_s=500)] * 4)
    assert (short.gpu_frac, short.gpu_measured_frac) == (0.0, 0.5)
    running = measure_gpus(gpu(0.5), State="RUNNING")
    assert running.gpu_frac is None
    for used in (nothing, some, short, running):
        assert str(advise(used)) == ""


def test_it_is_not_guessed_which_of_the_gpus_of_a_node_are_the_jobs() -> None:
    for given in ("gres/gpu=1", "cpu=4"):
        used = measure_gpus(gpu(0.5), gpu(0.0), AllocTRES=given)
        assert (used.gpu_frac, used.gpus_measured) == (None, None)


def test_what_slurm_has_seen_of_gpus_is_told_as_such_where_we_have_seen_nothing() -> None:
    ave = "cpu=00:00:10,gres/gpumem=400M,gres/gpuutil=90"
    step = row("0", NTasks=2, TRESUsageInAve=ave)
    used = measure_gpus(steps=(step,))
    assert used.gpu_source == "sacct"
    assert used.gpu_frac == pytest.approx(0.45)
    assert str(advise(used)) == ""  # it is what was seen at one moment
    assert measure_gpus(gpu(0.5), steps=(step,)).gpu_source == "telemetry"
    for said in ("cpu=00:00:10", "gres/gpuutil=0", "gres/gpuutil=5000"):
        other = measure_gpus(steps=(row("0", NTasks=2, TRESUsageInAve=said),))
        assert (other.gpu_frac, other.gpu_source) == (None, "")


@pytest.mark.parametrize("minutes", [1, 7, 29, 41, 95, 400, 1500, 5000])
def test_a_proposed_time_has_headroom_and_is_below_what_was_asked_for(minutes: int) -> None:
    used = completed(elapsed_s=minutes * 60.0, limit_s=14 * 86_400.0)
    (option,) = advise(used).options
    days, _, clock = option.removeprefix("--time=").rpartition("-")
    hours, mins, _secs = map(int, clock.split(":"))
    proposed = (int(days or 0) * 24 + hours) * 60 + mins
    assert 1.2 * minutes <= proposed <= max(5, 2 * minutes)


def test_times_are_shown_short() -> None:
    shown = [show_span(one) for one in (35, 2460, 43_200, 5400, 183_600, 86_400)]
    assert shown == ["35 s", "41 min", "12 h", "1 h 30 min", "2 d 3 h", "1 d"]
