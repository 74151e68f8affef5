"""Joules out of samples: counters, power, gaps, idle GPUs, shares of ranks."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack import StoredRun
from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.carbon import find_intensity
from hpctrack.store.seal import seal_run
from tests.stores import START_S, NodeWriter


def begin(store: Path, node: int = 0) -> NodeWriter:
    writer = NodeWriter(store, node=node)
    session = writer.start(node, size=2)
    writer.points("loss", node, range(10), [1.0] * 10)
    writer.end(node, session)
    return writer


def end(writer: NodeWriter) -> StoredRun:
    folder = writer.close().parent
    return StoredRun(folder)


def test_a_counter_is_preferred_to_power_and_idle_time_is_told(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.device("GPU-a", ranks=[0])
    writer.samples("gpu/energy_j_total", [1000.0, 1100.0, 1200.0, 1210.0], device="GPU-a")
    writer.samples("gpu/power_w", [500.0] * 4, device="GPU-a")
    writer.samples("gpu/util_frac", [0.9, 0.9, 0.01, 0.01], device="GPU-a")
    found = end(writer).energy(intensity=500, samples=21)
    assert found.joules == 210.0
    assert found.by_device == {("n1", "GPU-a"): 210.0}
    assert found.by_rank == {0: 210.0}
    assert found.idle_frac == pytest.approx(10 / 210)
    assert (found.steps, found.j_per_step, found.j_per_sample) == (10, 21.0, 10.0)
    assert found.kwh == 210 / 3.6e6
    assert found.co2_g == pytest.approx(210 / 3.6e6 * 500)
    assert "n1: processors and memory (no meter can be read)" in found.missing


def test_steps_are_those_of_the_metric_that_has_most_distinct_ones(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    session = writer.start(1)
    writer.points("loss", 1, range(10), [1.0] * 10)  # the same steps of another rank
    writer.points("again", 0, [3] * 40, [1.0] * 40)
    writer.points("most", 0, [*range(20), *range(5)], [1.0] * 25)
    writer.end(1, session)
    writer.samples("power/node_w", [10.0] * 3)
    run = end(writer)
    assert run.energy().steps == 20
    run.close()
    seal_run(run.folder)
    assert StoredRun(run.folder).energy().steps == 20


def test_a_counter_that_stands_still_is_not_believed(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.device("GPU-a")
    writer.samples("gpu/energy_j_total", [7.0, 7.0], device="GPU-a")
    writer.samples("gpu/power_w", [50.0, 50.0], device="GPU-a")
    assert end(writer).energy().joules == 50


def test_power_counts_for_as_long_as_it_held_and_not_while_nobody_read(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.device("GPU-a")
    writer.samples("gpu/power_w", [100.0, 200.0, 100.0], device="GPU-a")
    writer.wall_s = START_S + 4000  # another attempt
    writer.samples("gpu/power_w", [50.0, 50.0], device="GPU-a")
    assert end(writer).energy().joules == 100 + 200 + 50


def test_what_a_counter_grew_between_attempts_is_not_the_runs(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.device("GPU-a")
    writer.samples("gpu/energy_j_total", [0.0, 10.0], device="GPU-a")
    writer.wall_s = START_S + 4000
    writer.samples("gpu/energy_j_total", [9000.0, 9010.0, 5.0, 6.0], device="GPU-a")  # anew at 5
    assert end(writer).energy().joules == 10 + 10 + 1


def test_processors_are_shared_by_cpu_time_and_a_meter_of_the_host_wins(tmp_path: Path) -> None:
    for node in range(2):
        writer = begin(tmp_path, node)
        writer.device("socket-0", kind="socket")
        writer.samples("energy/cpu_package_j_total", [0.0, 80.0], device="socket-0")
        writer.samples("energy/dram_j_total", [0.0, 20.0], device="socket-0")
        for rank, cpu_s in ((2 * node, 3.0), (2 * node + 1, 1.0)):
            writer.samples("process/cpu_s_total", [0.0, cpu_s], rank=rank)
        if node:
            writer.samples("power/node_w", [300.0, 300.0])
        writer.close()
    folder = tmp_path / "p" / "r"
    found = StoredRun(folder).energy()
    assert found.by_host == {"n1": 100.0, "n2": 300.0}
    assert found.by_rank == {0: 75.0, 1: 25.0, 2: 75.0, 3: 25.0}
    assert all(line.startswith("n1") for line in found.missing)
    seal_run(folder)
    assert StoredRun(folder).energy() == found


def test_without_any_meter_there_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no energy was measured"):
        end(begin(tmp_path)).energy()


def test_carbon_intensities_are_named_with_their_source() -> None:
    assert find_intensity("de").g_per_kwh == 381
    assert "2023" in find_intensity().source
    assert find_intensity("12.5").source == "given by the user"
    with pytest.raises(UsageError, match="no carbon intensity of 'XX'"):
        find_intensity("XX")
    with pytest.raises(UsageError, match="cannot be"):
        find_intensity(-1)
