"""What of a GPU's readings a user is told."""

from __future__ import annotations

from hpctrack.telemetry.gpu_health import QUIET_S, REPEAT_S, GpuHealth
from hpctrack.telemetry.gpu_reasons import HARMFUL_BITS, explain_xid, name_reasons
from hpctrack.telemetry.gpu_source import Gpu

GPU = Gpu(uuid="GPU-1", name="H100", pci_bus_id="00000000:18:00.0")


def test_reasons_have_names() -> None:
    assert name_reasons(0) == []
    assert name_reasons(0x41) == ["idle", "too hot (hardware)"]
    assert name_reasons(0x8000) == ["reason 0x8000"]


def test_a_busy_gpu_at_its_power_limit_is_well() -> None:
    assert HARMFUL_BITS == 0x8 | 0x20 | 0x40 | 0x80
    assert GpuHealth(GPU).note({"clock_event_reasons": 0x4}, 0.0) == []


def test_throttling_is_told_when_it_begins_and_when_it_has_been_over_for_a_while() -> None:
    health = GpuHealth(GPU)
    hot, well = {"clock_event_reasons": 0x44}, {"clock_event_reasons": 0x4}
    (begin,) = health.note(hot, 0.0)
    assert (begin.level, begin.code, begin.device) == ("warning", "gpu-throttled", "GPU-1")
    assert "too hot (hardware)" in begin.text
    assert "00000000:18:00.0" in begin.text
    assert health.note(hot, 1.0) == []
    assert health.note(well, 2.0) == []
    assert health.note(hot, 3.0) == []  # it comes and goes: one story
    assert health.note(well, 3.0 + QUIET_S - 1) == []
    (end,) = health.note(well, 3.0 + QUIET_S)
    assert end.code == "gpu-throttle-over"
    assert health.note(well, 100.0) == []


def test_another_reason_to_throttle_is_told_too() -> None:
    health = GpuHealth(GPU)
    health.note({"clock_event_reasons": 0x20}, 0.0)
    (more,) = health.note({"clock_event_reasons": 0xA0}, 1.0)
    assert "external power brake" in more.text


def test_memory_errors_count_from_when_we_came() -> None:
    health = GpuHealth(GPU)
    name = "ecc_uncorrected_volatile_total"
    assert health.note({name: 3}, 0.0) == []
    assert health.note({name: 3}, 10.0) == []
    (told,) = health.note({name: 5}, 20.0)
    assert (told.level, told.code) == ("error", "gpu-ecc")
    assert "2 uncorrected" in told.text
    assert health.note({name: 0}, 30.0) == []  # the driver was loaded anew


def test_memory_that_waits_for_repair_is_told_once() -> None:
    health = GpuHealth(GPU)
    (told,) = health.note({"remapped_rows_pending": 1}, 0.0)
    assert (told.level, told.code) == ("warning", "gpu-memory-failing")
    assert health.note({"remapped_rows_pending": 1}, 10.0) == []
    (worse,) = health.note({"remapped_rows_pending": 1, "remapped_rows_failed": 1}, 20.0)
    assert worse.level == "error"


def test_an_xid_is_explained_and_a_flood_of_them_is_counted() -> None:
    health = GpuHealth(GPU)
    (first,) = health.note_xid(31, 0.0)
    assert (first.level, first.code) == ("warning", "gpu-xid")
    assert "Xid 31: the program used memory that is not its own" in first.text
    for moment in range(1, 50):
        assert health.note_xid(31, float(moment)) == []
    (other,) = health.note_xid(79, 50.0)
    assert other.level == "error"
    (again,) = health.note_xid(31, REPEAT_S)
    assert "49 times more" in again.text


def test_an_xid_that_we_know_nothing_of_is_told_by_its_number() -> None:
    assert explain_xid(999)[0] == "error"
