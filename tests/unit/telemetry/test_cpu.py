"""The processors of the job."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hpctrack.telemetry.cpu import Cores, CoreTimes, find_obstacles, find_shares, parse_node_times
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import Reading
from tests.nodes import FREE, Node, values, watch

TIMES = st.tuples(*[st.integers(0, 10_000)] * 8).map(CoreTimes._make)


def read(cores: Cores, mono_s: float) -> Reading:
    reading = Reading()
    cores.read(watch(mono_s), reading)
    return reading


def make(files: KernelFiles, *numbers: int) -> Cores:
    return Cores(files, lambda: frozenset(numbers), clock=FREE)


def test_only_cores_of_the_job_are_read(tmp_path: Path) -> None:
    node = Node(tmp_path, "slurm-v1")
    cores = make(node.files, 0, 32, 33)
    first = read(cores, 0.0)
    assert [one.key for one in first.devices] == ["core-0", "core-32", "core-33"]
    assert first.devices[0].facts == {"socket": 0, "physical_core": 0, "numa_node": 0}
    assert values(first)["core/freq_hz core-0"] == 2_899_998_000
    node.replace("proc/stat", "cpu0 1000 10 200 10000 25 2 5 2", "cpu0 1060 10 220 10010 25 4 8 7")
    node.replace(
        "proc/stat", "cpu32 1000 10 200 10000 25 3 5 2", "cpu32 1000 10 200 10080 45 3 5 2"
    )
    second = read(cores, 1.0)
    assert second.devices == []
    assert values(second) == {
        "core/util_frac core-0": 0.9,
        "core/util_frac core-32": 0.0,
        "host/cores": 2,
        "host/cpu_util_frac": 0.45,
        "host/cpu_user_frac": 0.3,
        "host/cpu_system_frac": 0.125,
        "host/cpu_iowait_frac": 0.1,
        "host/cpu_steal_frac": 0.025,
        "host/load_avg_1m": 8.21,
        "host/tasks_running": 8,
        "host/tasks_blocked": 1,
    }
    assert cores.busy_frac == {0: 0.9, 32: 0.0}


def test_a_core_whose_ticks_stand_still_is_not_told_as_idle(tmp_path: Path) -> None:
    cores = make(Node(tmp_path, "slurm-v1").files, 0, 1)
    read(cores, 0.0)
    assert not [name for name in values(read(cores, 1.0)) if "util" in name]


def test_old_kernels_with_fewer_columns() -> None:
    node = parse_node_times("cpu  1 2 3 4\ncpu0 1 2 3 4\nintr 5\n")
    assert node.cores == {0: CoreTimes(1, 2, 3, 4, 0, 0, 0, 0)}
    assert node.running is None


@given(TIMES, TIMES)
def test_shares_are_shares_whatever_the_counters_do(before: CoreTimes, now: CoreTimes) -> None:
    shares = find_shares(before, now)
    assert shares is None or all(0 <= share <= 1 for share in shares)


def test_this_machine() -> None:
    files = KernelFiles()
    cores = make(files, 0)
    read(cores, 0.0)
    found: dict[str, float] = {}
    for second in range(1, 100_000):
        found = values(read(cores, float(second)))
        if "core/util_frac core-0" in found:
            break
    assert 0 <= found["core/util_frac core-0"] <= 1
    assert find_obstacles(files) == []


def test_no_proc_is_an_obstacle(tmp_path: Path) -> None:
    assert "not there" in find_obstacles(KernelFiles(tmp_path))[0].text
