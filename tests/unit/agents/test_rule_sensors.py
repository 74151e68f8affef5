"""Rules about sensors and time, on made-up readings."""

from __future__ import annotations

from typing import Any

import pytest

from hpctrack.agents.rule_sensors import (
    GPU_SENSORS,
    MEMORY_SENSOR,
    PROCESS_SENSOR,
    SensorRules,
    find_gap_s,
)
from hpctrack.agents.rule_times import check_quiet, check_time_left
from hpctrack.agents.rules import Firing, Idleness, show_time
from hpctrack.core.rule_reading import parse_rule
from hpctrack.telemetry.reading import Sample

GPU = "gpu/util_frac"


def test_the_names_of_gpu_sensors_are_those_that_this_file_uses() -> None:
    assert GPU in GPU_SENSORS


class Readings:
    """A rule, and readings 10 s apart."""

    def __init__(self, raw: dict[str, Any], gap_s: float = 60.0) -> None:
        self.rules = SensorRules(gap_s)
        self.rules.add(parse_rule(raw))
        self.now_s = 0.0

    def take(self, *samples: Sample, after_s: float = 10.0) -> list[Firing]:
        self.now_s += after_s
        own = [(one, one.pid - 100 if one.pid else -1) for one in samples]
        return self.rules.take(own, self.now_s)


def test_memory_near_its_limit_fires_at_the_first_reading_and_once() -> None:
    readings = Readings({"memory_frac": 0.9})
    assert readings.take(Sample(MEMORY_SENSOR, 0.9), Sample("host/memory_used_frac", 1.0)) == []
    (firing,) = readings.take(Sample(MEMORY_SENSOR, 0.931))
    assert firing.text == "the job uses 93.1% of its memory limit on this node"
    assert readings.take(Sample(MEMORY_SENSOR, 0.99)) == []


def test_a_sensor_must_be_above_for_the_whole_time_and_each_device_for_itself() -> None:
    readings = Readings({"sensor": "gpu/temp_*", "above": 85, "for_s": 30})

    def take(hot: float, other: float = 20.0, after_s: float = 10.0) -> list[Firing]:
        samples = [Sample("gpu/temp_c", hot, "GPU-1"), Sample("gpu/temp_c", other, "GPU-2")]
        return readings.take(*samples, after_s=after_s)

    assert [take(90), take(90), take(20, 90), take(90), take(90), take(90)] == [[]] * 6
    (firing,) = take(91)
    assert firing.text == "gpu/temp_c of GPU-1 is 91, above 85 for 30 s"
    assert firing.source == "gpu/temp_c"


def test_a_gap_in_the_readings_proves_nothing() -> None:
    readings = Readings({"sensor": "a/b", "below": 1, "for_s": 100})
    assert readings.take(Sample("a/b", 0.0)) == []
    assert readings.take(Sample("a/b", 0.0), after_s=500) == []
    for _time in range(9):
        assert readings.take(Sample("a/b", 0.0)) == []
    assert readings.take(Sample("a/b", 0.0))


def test_a_sensor_of_a_process_is_told_with_its_rank() -> None:
    readings = Readings({"sensor": "process/rss_bytes", "above": 5})
    (firing,) = readings.take(Sample("process/rss_bytes", 4.0, pid=100), Sample(
        "process/rss_bytes", 6.0, pid=103
    ))  # fmt: skip
    assert firing.rank == 3


def test_gpus_must_all_be_idle_without_a_pause() -> None:
    readings = Readings({"gpu_idle_min": 1})

    def take(*shares: float) -> list[Firing]:
        return readings.take(*(Sample(GPU, one, f"GPU-{at}") for at, one in enumerate(shares)))

    for _time in range(6):
        assert take(0.0, 0.5) == []
    for _time in range(6):
        assert take(0.0, 0.01) == []
    assert take(0.2, 0.0) == []
    for _time in range(6):
        assert take(0.0, 0.0) == []
    (firing,) = take(0.0, 0.0)
    assert "idle for 60 s" in firing.text


def test_gpus_that_are_not_seen_are_not_idle() -> None:
    readings = Readings({"gpu_idle_min": 1})
    for _time in range(30):
        assert readings.take(Sample("host/load", 0.0)) == []
    for _time in range(4):
        assert readings.take(Sample(GPU, 0.0, "GPU-1")) == []
    # The driver hangs: what it said before is too old to count.
    for _time in range(6):
        readings.take(Sample("host/load", 0.0))
    assert readings.take(Sample("host/load", 0.0)) == []


def test_a_gpu_that_is_lost_does_not_keep_the_others_from_being_idle() -> None:
    readings = Readings({"gpu_idle_min": 2})
    readings.take(Sample(GPU, 0.9, "GPU-0"), Sample(GPU, 0.0, "GPU-1"))
    found = [readings.take(Sample(GPU, 0.0, "GPU-1")) for _time in range(13)]
    assert [len(one) for one in found] == [0] * 11 + [1, 0]


def test_readings_that_are_far_apart_are_no_gap() -> None:
    assert find_gap_s(10) == 60
    assert find_gap_s(300) > 2 * 300


# -- time ----------------------------------------------------------------------------------------

HANG = parse_rule({"hang_min": 15})
SILENT = parse_rule({"silent_min": 15})
BUSY, UNKNOWN = Idleness(is_known=True), Idleness(is_known=False)


def idle(since_s: float) -> Idleness:
    return Idleness(is_known=True, since_s=since_s)


@pytest.mark.parametrize(
    ("cpu", "gpu", "is_hung"),
    [
        (idle(90), UNKNOWN, True),
        (idle(90), BUSY, True),
        (BUSY, idle(90), True),
        (BUSY, UNKNOWN, False),
        (BUSY, BUSY, False),
        (UNKNOWN, UNKNOWN, False),
        (idle(600), BUSY, False),
    ],
)
def test_a_hang_is_silence_while_something_idles_as_long(
    cpu: Idleness, gpu: Idleness, is_hung: bool
) -> None:
    seen = {"its processes are idle": cpu, "its GPUs are idle": gpu}
    firing = check_quiet(HANG, now_s=1000, logged_s=95, idle=seen)
    assert (firing is not None) == is_hung
    assert check_quiet(HANG, now_s=900, logged_s=95, idle=seen) is None


def test_silence_alone_is_enough_for_a_rule_that_asks_for_no_more() -> None:
    firing = check_quiet(SILENT, now_s=1000, logged_s=70, idle={})
    assert firing is not None
    assert firing.text == "no rank of this node has logged anything for 15.5 min"


def test_what_is_idle_is_followed_by_process() -> None:
    rules = SensorRules(60)
    own = [(Sample(PROCESS_SENSOR, 1.0, pid=7), 0), (Sample(PROCESS_SENSOR, 0.01, pid=8), 1)]
    rules.take(own, 10.0)
    assert not rules.processes.look(10.0, [7, 8, 9]).is_known
    assert rules.processes.look(10.0, [7, 8]).since_s is None
    assert rules.processes.look(10.0, [8]).since_s == 10.0
    rules.take([(Sample(PROCESS_SENSOR, 0.0, pid=pid), 0) for pid in (7, 8)], 20.0)
    found = rules.processes.look(20.0, [7, 8])
    assert (found.since_s, found.has_worked) == (20.0, True)
    assert not rules.processes.look(100.0, [7, 8]).is_known


def test_the_time_that_is_left() -> None:
    rule = parse_rule({"time_left_min": 10})
    assert check_time_left(rule, 601) is None
    for left_s, words in ((599.0, "10 min"), (90.0, "90 s"), (-3.0, "0 s")):
        firing = check_time_left(rule, left_s)
        assert firing is not None
        assert firing.text == f"{words} left to the job's time limit"
    assert show_time(754) == "12.6 min"
