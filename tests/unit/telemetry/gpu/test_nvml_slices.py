"""GPUs that are divided into slices (MIG): the truth, or nothing, never 100 percent."""

from __future__ import annotations

from hpctrack.telemetry.reading import WatchedRank
from tests.stubs.nvml.devices import GIB, h100, make_slice_uuid, make_uuid, prefixed, sliced
from tests.stubs.nvml.driver import StartTelemetry, codes, values

WHOLE = make_uuid(1)
ONE, TWO = make_slice_uuid(1, 0), make_slice_uuid(1, 1)
ANSWERS = {**h100(0), **sliced(1, ("1g.10gb", "2g.20gb", "3g.40gb"))}
RANK = WatchedRank(10, 0, TWO)


def test_a_slice_has_a_name_and_a_parent(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry(ANSWERS)
    parent, one = telemetry.read(0.0, [RANK]).devices
    assert (parent.kind, parent.key) == ("gpu", WHOLE)
    assert parent.facts["is_sliced"] is True
    assert (one.kind, one.key, one.name, one.parent) == ("mig", TWO, "2g.20gb", WHOLE)
    assert one.facts["multiprocessors"] == 16
    assert one.facts["gpu_instance"] == 8


def test_a_slice_has_its_own_memory_processes_and_activity(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, _ = start_telemetry({**ANSWERS, "gpu.1.mig.1.compute": f"4242:{2 * GIB}"})
    first = telemetry.read(0.0, [RANK])
    assert values(first, TWO, 4242) == {"process_memory_bytes": 2 * GIB}
    second = values(telemetry.read(1.0, [RANK]), TWO)
    assert second == {
        "memory_used_bytes": 3 * GIB,
        "sm_active_frac": 0.21,
        "graphics_active_frac": 0.4,
        "dram_active_frac": 0.1,
    }


def test_nobody_is_asked_for_a_utilisation_that_slices_do_not_have(
    start_telemetry: StartTelemetry,
) -> None:
    # Some drivers answer 100, or garbage, instead of refusing.
    telemetry, script = start_telemetry({**ANSWERS, "gpu.1.util": "100 100"})
    script.start_log()
    names = {sample.name for moment in (0.0, 1.0) for sample in telemetry.read(moment).samples}
    assert "gpu/util_frac" in names  # of the GPU that is whole
    read = telemetry.read(2.0, [RANK])
    assert not [sample for sample in read.samples if "util" in sample.name]
    assert script.count_calls("nvmlDeviceGetUtilizationRates", "gpu.1") == 0
    assert script.count_calls("nvmlDeviceGetProcessUtilization", "gpu.1.mig.1") == 0


def test_power_of_the_whole_is_not_the_slices(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry(ANSWERS)
    read = telemetry.read(0.0, [RANK])
    whole = values(read, WHOLE)
    assert whole["parent_power_w"] == 512.345
    assert whole["parent_energy_j_total"] == 0
    assert whole["temp_c"] == 61
    assert not {"power_w", "energy_j_total", "memory_used_bytes", "util_frac"} & whole.keys()
    assert not [name for name in values(read, TWO) if "power" in name or "energy" in name]


def test_only_the_slices_of_the_job_are_read(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry(ANSWERS)
    ranks = [WatchedRank(10, 0, ONE), WatchedRank(11, 1, f"MIG-{WHOLE}/9/0")]
    read = telemetry.read(0.0, ranks)
    third = make_slice_uuid(1, 2)
    assert {sample.device for sample in read.samples} == {WHOLE, ONE, third}
    assert telemetry.find_keys(ranks[1]) == [third]


def test_slices_that_are_refused_do_not_exist_for_us(start_telemetry: StartTelemetry) -> None:
    refused = {f"gpu.1.mig.{place}.error.*": "4" for place in (0, 2)}
    telemetry, _ = start_telemetry(
        {**sliced(1, ("1g.10gb", "2g.20gb", "3g.40gb")), **refused}
        | prefixed("gpu.0", {"uuid": make_uuid(0), "error.*": 4})
    )
    rank = WatchedRank(10, 0, None)
    read = telemetry.read(0.0, [rank])
    assert telemetry.find_keys(rank) == [TWO]
    assert {sample.device for sample in read.samples} == {WHOLE, TWO}


def test_a_part_of_an_instance_is_not_given_the_activity_of_all_of_it(
    start_telemetry: StartTelemetry,
) -> None:
    answers = sliced(1, ("1c.3g.40gb",))
    telemetry, _ = start_telemetry({**h100(0), **answers})
    rank = WatchedRank(10, 0, ONE)
    for moment in (0.0, 1.0):
        read = values(telemetry.read(moment, [rank]), ONE)
        assert read.keys() <= {"memory_used_bytes", "memory_total_bytes", "memory_reserved_bytes"}
    assert "sm_active_frac" in telemetry.list_absences(ONE)


def test_an_ampere_slice_has_memory_and_nothing_else(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry({**h100(0), **sliced(1, ("1g.10gb",), has_gpm=False)})
    rank = WatchedRank(10, 0, ONE)
    telemetry.read(0.0, [rank])
    read = telemetry.read(1.0, [rank])
    assert values(read, ONE) == {"memory_used_bytes": 3 * GIB}
    assert codes(read) == []


def test_a_slice_whose_driver_does_not_tell_its_profile_is_named_by_its_size(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, _ = start_telemetry({**ANSWERS, "gpu.1.mig.1.name": "A100-SXM4-40GB"})
    assert telemetry.read(0.0, [RANK]).devices[1].name == "2g.20gb"
