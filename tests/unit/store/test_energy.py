"""Joules out of samples: counters, power, gaps, idle GPUs, shares of ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpctrack import StoredRun
from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.carbon import find_intensity
from hpctrack.store.seal import seal_run
from tests.stores import START_S, NodeWriter


def begin(store: Path, node: int = 0, **more: Any) -> NodeWriter:
    writer = NodeWriter(store, node=node, attempt=more.pop("attempt", 1))
    writer.wall_s = more.pop("start_s", START_S)
    lasted_s = more.pop("lasted_s", 0.0)
    session = writer.start(node, size=2, **more)
    writer.points("loss", node, range(10), [1.0] * 10)
    writer.wall_s += lasted_s
    writer.end(node, session)
    writer.wall_s -= lasted_s
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


def test_a_node_meter_that_does_not_move_hides_neither_power_nor_devices(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.device("GPU-a")
    writer.samples("energy/node_j_total", [7.0, 7.0, 7.0])
    writer.samples("gpu/energy_j_total", [0.0, 200.0, 400.0], device="GPU-a")
    found = end(writer).energy()
    assert found.joules == 400
    assert "n1: the node's meter (it told nothing)" in found.missing
    again = begin(tmp_path / "power")
    again.samples("energy/node_j_total", [7.0])
    again.samples("power/node_w", [300.0] * 3)
    assert end(again).energy().joules == 600


def test_a_node_meter_that_moves_rarely_is_continued_by_its_power(tmp_path: Path) -> None:
    writer = begin(tmp_path, lasted_s=480)
    totals = [0.0] * 30 + [900_000.0] * 19  # known until second 300
    writer.samples("energy/node_j_total", totals, every_s=10)
    writer.samples("power/node_w", [2000.0] * 49, every_s=10)
    found = end(writer).energy()
    assert found.joules == 900_000 + 180 * 2000
    assert found.missing == ()


def test_a_node_meter_that_tells_less_than_its_devices_is_not_the_total(tmp_path: Path) -> None:
    writer = begin(tmp_path, lasted_s=100)
    writer.device("GPU-a")
    writer.samples("gpu/energy_j_total", [200.0 * one for one in range(101)], device="GPU-a")
    writer.wall_s += 80
    writer.samples("power/node_w", [300.0] * 21)
    found = end(writer).energy()
    assert found.joules == found.by_host["n1"] == 20_000
    (told,) = (one for one in found.missing if "meter (" in one)
    assert told == (
        "n1: the node's meter (it told 6,000 J in 20 s, less than its devices: 20,000 J)"
    )


def test_time_in_which_nothing_was_measured_is_named(tmp_path: Path) -> None:
    writer = begin(tmp_path, lasted_s=10)
    writer.samples("power/node_w", [100.0] * 5)
    found = end(writer).energy()
    assert found.joules == 400
    assert found.missing == (
        "n1: 6.0 s of 10.0 s (the node's meter was measured for 40% of the run's time)",
    )
    again = begin(tmp_path / "whole", lasted_s=10)
    again.samples("power/node_w", [100.0] * 11)
    assert end(again).energy().missing == ()


@pytest.mark.parametrize("every_s", [160.0, 600.0])
def test_rare_readings_are_no_gaps(tmp_path: Path, every_s: float) -> None:
    settings = {"telemetry_interval_s": every_s}
    writer = begin(tmp_path, settings=settings, lasted_s=3 * every_s)
    writer.device("GPU-a")
    writer.samples("gpu/energy_j_total", [0.0, 10.0, 20.0, 30.0], device="GPU-a", every_s=every_s)
    assert end(writer).energy().joules == 30
    # But what lies between two attempts is one, however near they are.
    start_s = START_S + 4 * every_s
    writer = begin(tmp_path, settings=settings, lasted_s=every_s, attempt=2, start_s=start_s)
    writer.device("GPU-a")
    writer.samples("gpu/energy_j_total", [70.0, 80.0], device="GPU-a", every_s=every_s)
    run = end(writer)
    assert run.energy().joules == 40
    run.close()
    seal_run(run.folder)
    assert StoredRun(run.folder).energy().joules == 40


def test_a_host_with_another_number_at_the_next_attempt_is_the_same_host(tmp_path: Path) -> None:
    for attempt in (1, 2):
        when_s = START_S + 1000 * attempt
        writer = NodeWriter(tmp_path, node=attempt, attempt=attempt, host="n1", wall_s=when_s)
        writer.end(0, writer.start(0))
        writer.device("GPU-a")
        writer.samples("gpu/energy_j_total", [0.0, 10.0], device="GPU-a")
        writer.samples("gpu/util_frac", [0.0, 0.0], device="GPU-a")
        writer.close()
    found = StoredRun(tmp_path / "p" / "r").energy()
    assert (found.joules, found.idle_j) == (20, 20)


def test_what_slices_use_is_not_told_apart_and_that_is_said(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.device("GPU-a")
    writer.samples("gpu/parent_energy_j_total", [0.0, 500.0], device="GPU-a")
    with pytest.raises(NotFoundError, match="no energy was measured") as caught:
        end(writer).energy()
    assert "slices is not told apart" in str(caught.value)
    assert "500 J" in str(caught.value)
    writer = begin(tmp_path / "more")
    writer.device("GPU-a")
    writer.samples("energy/cpu_package_j_total", [0.0, 100.0])
    writer.samples("gpu/parent_power_w", [500.0, 500.0], device="GPU-a")
    found = end(writer).energy()
    assert found.joules == 100
    assert found.missing[0] == (
        "n1: the job's slices of 1 GPUs (power of slices is not told apart; "
        "with all others on them these GPUs used 500 J)"
    )


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
