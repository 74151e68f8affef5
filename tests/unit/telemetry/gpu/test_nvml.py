"""NVIDIA GPUs: the real pynvml on a stub of NVML that plays scripted devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.telemetry.gpu_source import COUNTERS, VALUES
from hpctrack.telemetry.reading import WatchedRank
from tests.stubs.nvml.devices import GIB, H100, h100, make_uuid, prefixed, v100
from tests.stubs.nvml.driver import RANK, StartTelemetry, build_library, codes, values

UUID = make_uuid(0)

EIGHT = {key: value for place in range(8) for key, value in h100(place).items()}


def test_a_hopper_says_all_that_it_can(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry(h100(0))
    first = telemetry.read(0.0)
    assert first.happenings == []
    (device,) = first.devices
    assert (device.kind, device.key, device.name) == ("gpu", UUID, H100)
    assert device.facts["driver_version"] == "580.65.06"
    assert device.facts["compute_capability"] == "9.0"
    assert device.facts["memory_total_bytes"] == 80 * GIB
    assert values(first, UUID) == {
        "util_frac": 0.87,
        "memory_util_frac": 0.41,
        "encoder_util_frac": 0.0,
        "decoder_util_frac": 0.0,
        "memory_used_bytes": 40 * GIB,
        "memory_reserved_bytes": 600 * 1024**2,
        "memory_total_bytes": 80 * GIB,
        "power_w": pytest.approx(512.345),
        "power_instant_w": pytest.approx(603.21),
        "power_limit_w": 700.0,
        "temp_c": 61.0,
        "memory_temp_c": 70.0,
        "sm_clock_mhz": 1755.0,
        "sm_clock_max_mhz": 1980.0,
        "memory_clock_mhz": 2619.0,
        "memory_clock_max_mhz": 2619.0,
        "clock_event_reasons": 4.0,
        "pcie_link_generation": 5.0,
        "pcie_link_width": 16.0,
        "pcie_replay_total": 0.0,
        "ecc_corrected_volatile_total": 0.0,
        "ecc_uncorrected_volatile_total": 0.0,
        "ecc_corrected_aggregate_total": 0.0,
        "ecc_uncorrected_aggregate_total": 0.0,
        "remapped_rows_corrected": 0.0,
        "remapped_rows_uncorrected": 0.0,
        "remapped_rows_pending": 0.0,
        "remapped_rows_failed": 0.0,
        "energy_j_total": 0.0,
    }


def test_what_needs_two_readings_comes_with_the_second(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry(h100(0))
    telemetry.read(0.0)
    second = values(telemetry.read(1.0), UUID)
    assert second["sm_active_frac"] == 0.7125
    assert second["sm_occupancy_frac"] == 0.33
    assert second["tensor_active_frac"] == 0.52
    assert second["dram_active_frac"] == 0.64
    assert second["graphics_active_frac"] == 0.875
    assert second["pcie_tx_bytes_per_s"] == 100 * 1024**2
    assert second["nvlink_rx_bytes_per_s"] == 300 * 1024**2


def test_every_name_is_in_the_catalogue(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry({**h100(0), **v100(1), "gpu.1.field.138": "5"})
    told = {sample.name for moment in (0.0, 1.0) for sample in telemetry.read(moment).samples}
    known = {f"gpu/{name}" for name in VALUES} | {f"gpu/{name}_per_s" for name in COUNTERS}
    assert told - known == {"gpu/energy_j_total"}


def test_an_old_board_has_no_sample_for_what_it_lacks(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry(v100(0))
    telemetry.read(0.0)
    second = values(telemetry.read(1.0), UUID)
    assert second["util_frac"] == 0.55
    assert second["power_w"] == 250.0
    # Its power_w is of the moment already: said once.
    assert "power_instant_w" not in second
    assert not [name for name in second if "active" in name or "nvlink" in name]
    assert "memory_temp_c" not in second
    absences = telemetry.list_absences(UUID)
    assert absences["sm_active_frac"].startswith("not supported")
    assert absences["remapped_rows_pending"].startswith("not supported")


def test_an_old_board_counts_retired_pages_and_turns_its_fan(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, _ = start_telemetry(v100(0))
    first = values(telemetry.read(0.0), UUID)
    assert first["retired_pages_single_bit"] == 2
    assert first["retired_pages_double_bit"] == 1
    assert first["fan_frac"] == 0.35
    assert first["pcie_replay_total"] == 7
    assert first["pcie_tx_bytes_per_s"] == 1000 * 1024
    assert first["pcie_rx_bytes_per_s"] == 2000 * 1024


def test_what_is_not_supported_is_asked_once_and_not_each_second(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, script = start_telemetry(h100(0))
    script.start_log()
    for moment in range(30):
        telemetry.read(float(moment))
    assert script.count_calls("nvmlDeviceGetFanSpeed", "gpu.0") == 1
    assert script.count_calls("nvmlDeviceGetPcieThroughput", "gpu.0") == 0
    assert script.count_calls("nvmlDeviceGetUtilizationRates", "gpu.0") == 30
    # Once per reading, and once at first to learn what power_w means.
    assert script.count_calls("nvmlDeviceGetFieldValues", "gpu.0") == 31
    assert script.count_calls("nvmlDeviceGetEnforcedPowerLimit", "gpu.0") <= 4


def test_a_failure_without_a_reason_is_not_repeated_for_ever(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, script = start_telemetry(
        {**h100(0), "gpu.0.error.nvmlDeviceGetPowerUsage": "999", "gpu.0.field.82": "!999"}
    )
    script.start_log()
    for moment in range(20):
        read = values(telemetry.read(float(moment)), UUID)
        assert "power_w" not in read
        assert "memory_temp_c" not in read
    assert script.count_calls("nvmlDeviceGetPowerUsage", "gpu.0") == 5
    assert telemetry.list_absences(UUID)["power_w"].startswith("the driver fails")
    assert telemetry.list_absences(UUID)["memory_temp_c"].startswith("the driver fails")


def test_a_passing_failure_costs_one_sample(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry(h100(0))
    name = "gpu.0.error.nvmlDeviceGetPowerUsage"
    for moment in range(0, 40, 2):
        script.change({name: 999})
        assert "power_w" not in values(telemetry.read(float(moment)), UUID)
        script.change({name: None})
        assert "power_w" in values(telemetry.read(moment + 1.0), UUID)


@pytest.mark.parametrize(
    "function",
    ["nvmlDeviceGetFieldValues", "nvmlGpmSampleGet", "nvmlDeviceGetProcessUtilization"],
)
def test_failures_that_pass_are_never_too_many(
    start_telemetry: StartTelemetry, function: str
) -> None:
    telemetry, script = start_telemetry(h100(0))
    telemetry.read(0.0)
    for moment in range(1, 25, 2):
        script.change({f"gpu.0.error.{function}": 999})
        telemetry.read(float(moment))
        script.change({f"gpu.0.error.{function}": None})
        telemetry.read(moment + 1.0)
    script.start_log()
    telemetry.read(30.0)
    assert script.count_calls(function, "gpu.0") == 1


def test_permission_that_is_missing_is_told_by_its_name(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry({**h100(0), "gpu.0.error.nvmlDeviceGetPowerUsage": "4"})
    assert "power_w" not in values(telemetry.read(0.0), UUID)
    assert telemetry.list_absences(UUID)["power_w"] == "no permission"


def test_numbers_that_cannot_be_are_not_told(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry(
        {**h100(0), "gpu.0.util": "4294967295 20", "gpu.0.gpm.2": "nan", "gpu.0.gpm.5": "250"}
    )
    telemetry.read(0.0)
    second = values(telemetry.read(1.0), UUID)
    assert "util_frac" not in second
    assert second["memory_util_frac"] == 0.2
    assert "sm_active_frac" not in second
    assert "tensor_active_frac" not in second


def test_energy_counts_from_when_we_came_and_survives_a_wrap_and_a_reset(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, script = start_telemetry({**h100(0), "gpu.0.field.83": str(2**32 - 300_000)})

    def read(moment: float, millijoules: int) -> float:
        script.change({"gpu.0.field.83": millijoules})
        return values(telemetry.read(moment), UUID)["energy_j_total"]

    assert values(telemetry.read(0.0), UUID)["energy_j_total"] == 0
    assert read(1.0, 2**32 - 100_000) == pytest.approx(200)
    assert read(2.0, 400_000) == pytest.approx(700)
    assert read(3.0, 900_000_000_000) == pytest.approx(700)  # impossible: not believed
    assert read(4.0, 900_000_400_000) == pytest.approx(1_100)
    assert read(5.0, 250_000) == pytest.approx(1_350)  # the driver was loaded anew


def test_links_without_counters_of_performance_are_rates_of_counters(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, script = start_telemetry(
        {**v100(0), "gpu.0.field.138": "1000", "gpu.0.field.139": "0"}
    )
    telemetry.read(0.0)
    script.change({"gpu.0.field.138": 5000, "gpu.0.field.139": 100})
    second = values(telemetry.read(2.0), UUID)
    assert second["nvlink_tx_bytes_per_s"] == 2000 * 1024
    assert second["nvlink_rx_bytes_per_s"] == 50 * 1024
    script.change({"gpu.0.field.138": 10})
    third = values(telemetry.read(4.0), UUID)
    assert "nvlink_tx_bytes_per_s" not in third  # a counter that fell is no rate
    assert third["nvlink_rx_bytes_per_s"] == 0


def test_processes_have_memory_and_shares(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry(
        {
            **h100(0),
            "gpu.0.compute": f"4242:{30 * GIB},5000:{GIB},77:NA",
            "gpu.0.graphics": f"4242:{30 * GIB},88:{2 * GIB}",
            "gpu.0.mps": f"99:{3 * GIB}",
            "gpu.0.shares": "4242:60:1000,5000:5:900",
        }
    )
    first = telemetry.read(0.0)
    assert values(first, UUID, 4242) == {"process_memory_bytes": 30 * GIB}
    script.change({"gpu.0.shares": "4242:61:2000,5000:5:900,1:30:2000,88:201:2000"})
    second = telemetry.read(1.0)
    assert values(second, UUID, 4242) == {
        "process_memory_bytes": 30 * GIB,
        "process_sm_util_frac": 0.61,
    }
    assert values(second, UUID, 5000) == {"process_memory_bytes": GIB}  # did nothing since
    assert values(second, UUID, 88) == {"process_memory_bytes": 2 * GIB}  # 201 percent is rubbish
    assert values(second, UUID, 99) == {"process_memory_bytes": 3 * GIB}
    assert values(second, UUID, 77) == {}  # its memory is not available
    assert values(second, UUID, 1) == {}  # a number of no process


def test_process_numbers_of_another_namespace_are_not_told(
    start_telemetry: StartTelemetry, machine_root: Path
) -> None:
    (machine_root / "proc/self/ns/pid").unlink()
    (machine_root / "proc/self/ns/pid").symlink_to("pid:[4026532299]")
    telemetry, _ = start_telemetry({**h100(0), "gpu.0.compute": f"4242:{GIB}"})
    read = telemetry.read(0.0)
    assert not [sample for sample in read.samples if sample.pid]
    assert "PID namespace" in telemetry.list_absences(UUID)["processes"]


def test_only_the_devices_of_the_ranks_are_read(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry(EIGHT)
    ranks = [WatchedRank(10, 0, "5"), WatchedRank(11, 1, f"{make_uuid(2)[:9]},{make_uuid(5)}")]
    script.start_log()
    read = telemetry.read(0.0, ranks)
    assert [device.key for device in read.devices] == [make_uuid(2), make_uuid(5)]
    assert {sample.device for sample in read.samples} == {make_uuid(2), make_uuid(5)}
    assert script.count_calls("nvmlDeviceGetUtilizationRates", "gpu.0") == 0
    assert telemetry.find_keys(ranks[1]) == [make_uuid(2), make_uuid(5)]


def test_ranks_come_and_go_and_a_device_is_described_once(start_telemetry: StartTelemetry) -> None:
    telemetry, _ = start_telemetry(EIGHT)
    one, two = WatchedRank(10, 0, "0"), WatchedRank(11, 1, "1")
    assert [device.key for device in telemetry.read(0.0, [one]).devices] == [make_uuid(0)]
    assert [device.key for device in telemetry.read(1.0, [one, two]).devices] == [make_uuid(1)]
    later = telemetry.read(2.0, [two])
    assert later.devices == []
    assert {sample.device for sample in later.samples} == {make_uuid(1)}
    assert telemetry.read(3.0, []).samples == []
    assert telemetry.read(4.0, [one]).devices == []


def test_devices_are_numbered_by_their_place_on_the_bus(start_telemetry: StartTelemetry) -> None:
    # The driver lists them in another order.
    buses = {0: "00000000:C1:00.0", 1: "00000000:1B:00.0", 2: "00000000:81:00.0"}
    answers = {key: value for place in buses for key, value in h100(place).items()}
    answers |= {f"gpu.{place}.bus": bus for place, bus in buses.items()}
    telemetry, _ = start_telemetry(answers)
    rank = WatchedRank(10, 0, "0,2,1")
    telemetry.read(0.0, [rank])
    assert telemetry.find_keys(rank) == [make_uuid(1), make_uuid(0), make_uuid(2)]


@pytest.mark.parametrize("code", [4, 15, 999])
def test_a_device_that_is_refused_does_not_exist_for_us(
    start_telemetry: StartTelemetry, code: int
) -> None:
    # Slurm has given us the last two of four; the driver lists all, and refuses the handles.
    answers = {key: value for place in range(4) for key, value in h100(place).items()}
    answers |= {f"gpu.{place}.error.nvmlDeviceGetHandleByIndex_v2": str(code) for place in (0, 1)}
    telemetry, _ = start_telemetry(answers)
    rank = WatchedRank(10, 0, "1")
    read = telemetry.read(0.0, [rank])
    assert telemetry.find_keys(rank) == [make_uuid(3)]
    assert {sample.device for sample in read.samples} == {make_uuid(3)}


def test_nothing_is_opened_before_there_is_a_rank(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry(h100(0))
    script.start_log()
    assert telemetry.read(0.0, []).happenings == []
    assert script.count_calls("nvmlInitWithFlags") == 0


def test_a_driver_of_2021_is_asked_in_its_own_words(
    start_telemetry: StartTelemetry, tmp_path: Path
) -> None:
    library = build_library(tmp_path / "old", "-DOLD_DRIVER")
    telemetry, _ = start_telemetry(
        {**v100(0), "gpu.0.compute": f"4242:{GIB}", "gpu.0.reasons": "4"}, library=library
    )
    first = telemetry.read(0.0)
    assert first.happenings == []
    read = values(first, UUID)
    assert read["temp_c"] == 55
    assert read["clock_event_reasons"] == 4
    # It counts what the driver keeps for itself as used, and cannot tell it.
    assert read["memory_used_bytes"] == 10 * GIB + 300 * 1024**2
    assert "memory_reserved_bytes" not in read
    assert values(first, UUID, 4242) == {"process_memory_bytes": GIB}


def test_the_numa_node_of_a_device_is_a_fact(
    start_telemetry: StartTelemetry, machine_root: Path
) -> None:
    folder = machine_root / "sys/bus/pci/devices/0000:18:00.0"
    folder.mkdir(parents=True)
    (folder / "numa_node").write_text("1\n")
    telemetry, _ = start_telemetry({**h100(0), **h100(1)})
    one, other = telemetry.read(0.0).devices
    assert one.facts["numa_node"] == 1
    assert "numa_node" not in other.facts


def test_throttling_and_failing_memory_are_told(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry(h100(0))
    assert codes(telemetry.read(0.0)) == []
    script.change(prefixed("gpu.0", {"reasons": 0x40, "field.4": 1, "field.144": 1}))
    assert codes(telemetry.read(1.0)) == ["gpu-throttled"]
    assert sorted(codes(telemetry.read(11.0))) == ["gpu-ecc", "gpu-memory-failing"]


def test_an_xid_is_told_with_its_device(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry({**EIGHT, "event.1": "3 31"})
    ranks = [WatchedRank(10, 0, "3,4")]
    assert codes(telemetry.read(0.0, ranks)) == []  # it was before we listened
    script.change({"event.2": "4 94", "event.3": "0 48", "event.4": "3 13"})
    told = telemetry.read(1.0, ranks).happenings
    assert [(one.code, one.device) for one in told] == [
        ("gpu-xid", make_uuid(4)),
        ("gpu-xid", make_uuid(3)),
    ]
    assert "Xid 94" in told[0].text
    assert telemetry.read(2.0, ranks).happenings == []


def test_a_driver_without_events_is_read_all_the_same(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry({**h100(0), "gpu.0.events": "!3", "event.1": "0 31"})
    for moment in range(3):
        script.change({f"event.{moment + 2}": "0 31"})
        read = telemetry.read(float(moment), [RANK])
        assert read.happenings == []
        assert read.samples


def test_eight_boards_and_all_processes_are_read_each_time(
    start_telemetry: StartTelemetry,
) -> None:
    answers = {**EIGHT}
    for place in range(8):
        pids = ",".join(f"{5000 + 16 * place + rank}:{GIB}" for rank in range(16))
        answers[f"gpu.{place}.compute"] = pids
    telemetry, _ = start_telemetry(answers)
    telemetry.read(0.0)
    for moment in range(1, 31):
        assert len(telemetry.read(float(moment)).samples) >= 8 * (25 + 16)
