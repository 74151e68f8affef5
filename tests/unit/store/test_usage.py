"""What a run has used, summed up: only what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack import StoredRun
from hpctrack.cli import main as cli
from hpctrack.cli.usage_view import describe_usage, read_usage
from hpctrack.store.seal import seal_run
from hpctrack.store.usage import Usage, measure_usage
from tests.stores import START_S, NodeWriter

GIB = 2**30
Capture = pytest.CaptureFixture[str]


def write(store: Path) -> Path:
    """Two nodes with a GPU each; the second one's memory is nearly full."""
    for node in range(2):
        writer = NodeWriter(store, node=node)
        session = writer.start(node, size=2)
        writer.points("loss", node, [0, 1], [1.0, 2.0])
        key = f"GPU-{node}"
        writer.device(key, ranks=[node])
        writer.samples("gpu/util_frac", [0.5, 0.5, 1.0], device=key)
        writer.samples("gpu/memory_used_bytes", [10.0 * GIB, (20.0 + node) * GIB], device=key)
        writer.samples("gpu/memory_total_bytes", [80.0 * GIB], device=key)
        writer.samples("gpu/power_w", [300.0, 300.0, 300.0], device=key)
        writer.samples("host/cpu_util_frac", [0.25, 0.25])
        writer.samples("cgroup/cores_used", [3.0, 3.0])
        writer.samples("cgroup/memory_used_bytes", [GIB, (50.0 - 30 * node) * GIB])
        writer.samples("cgroup/memory_limit_bytes", [(100.0 - 78 * node) * GIB])
        writer.samples("power/node_w", [500.0] * 3)
        writer.end(node, session)
        writer.close()
    return store / "p" / "r"


@pytest.mark.parametrize("is_sealed", [False, True])
def test_everything_that_was_measured_is_summed_up(tmp_path: Path, *, is_sealed: bool) -> None:
    folder = write(tmp_path)
    if is_sealed:
        seal_run(folder)
    run = StoredRun(folder)
    assert measure_usage(run.sensor) == Usage(
        gpus=2,
        gpu_util_mean_frac=0.5,
        gpu_util_max_frac=1.0,
        gpu_memory_mean_bytes=10.0 * GIB,
        gpu_memory_max_bytes=21.0 * GIB,
        gpu_memory_total_bytes=80.0 * GIB,
        gpu_memory_max_frac=21 / 80,
        gpu_power_mean_w=600.0,
        cpu_util_mean_frac=0.25,
        cores_used_mean=6.0,
        cores_source="cgroup/cores_used",
        memory_peak_bytes=20.0 * GIB,
        memory_limit_bytes=22.0 * GIB,
        memory_peak_frac=20 / 22,
        memory_source="cgroup/memory_used_bytes",
        node_power_mean_w=1000.0,
    )
    run.close()


def test_lines_for_people_name_the_source_of_the_carbon_number(tmp_path: Path) -> None:
    run = StoredRun(write(tmp_path))
    lines = describe_usage(*read_usage(run, "DE"))
    assert lines["GPU"] == "50% busy, 100% at the most, 600 W together (2 GPUs)"
    assert lines["GPU memory"] == "10 GiB a GPU, 21 GiB at the most (26% of 80 GiB)"
    assert lines["CPU"] == "6 cores used, those it may use 25% busy by whomever"
    assert lines["memory"] == "20 GiB at the most, 91% of the limit of 22 GiB on that node"
    assert lines["energy"].startswith("0.000556 kWh (2,000 J)")
    assert "by 381 g/kWh (DE: Ember" in lines["CO2"]
    run.close()


def test_without_a_cgroup_the_ranks_of_a_node_are_added_up(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    for rank in range(2):
        session = writer.start(rank, size=2)
        writer.end(rank, session)
        writer.samples("process/rss_bytes", [1.0 * GIB, (2.0 + rank) * GIB], rank=rank)
        writer.samples("process/cores_used", [0.5, 0.5], rank=rank)
        writer.wall_s += 1  # the second one begins when the first one is at its peak
    run = StoredRun(writer.close().parent)
    usage = measure_usage(run.sensor)
    assert usage.memory_peak_bytes == 3.0 * GIB
    assert usage.memory_source == "process/rss_bytes"
    assert (usage.cores_used_mean, usage.cores_source) == (1.0, "process/cores_used")
    assert usage.gpus is None
    run.close()


def test_the_time_between_two_attempts_counts_for_nothing(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.end(0, writer.start(0))
    writer.device("GPU-a")
    writer.samples("gpu/util_frac", [1.0, 1.0], device="GPU-a")
    writer.wall_s = START_S + 10_000
    writer.samples("gpu/util_frac", [0.5, 0.5], device="GPU-a")
    run = StoredRun(writer.close().parent)
    assert measure_usage(run.sensor).gpu_util_mean_frac == 0.75
    run.close()


def test_rare_readings_are_no_gaps(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.end(0, writer.start(0, settings={"telemetry_interval_s": 600.0}))
    writer.device("GPU-a")
    writer.samples("gpu/util_frac", [1.0, 0.5, 0.0], device="GPU-a", every_s=600)
    run = StoredRun(writer.close().parent)
    assert measure_usage(run.sensor).gpu_util_mean_frac == 0.75
    run.close()


def test_where_nothing_was_measured_nothing_is_shown(tmp_path: Path, capsys: Capture) -> None:
    writer = NodeWriter(tmp_path / "store")
    writer.end(0, writer.start(0))
    run = StoredRun(writer.close().parent)
    usage, energy = read_usage(run, "WORLD")
    assert not usage
    assert (energy, usage.to_json(energy), describe_usage(usage, energy)) == (None, {}, {})
    run.close()
    assert cli.run(["show", "r"]) == 0
    assert "used" not in capsys.readouterr().out.split()


def test_show_has_what_was_used_and_takes_grams(tmp_path: Path, capsys: Capture) -> None:
    import json

    write(tmp_path / "store")
    assert cli.run(["show", "r", "--carbon", "100"]) == 0
    out = capsys.readouterr().out
    assert "by 100 g/kWh (own: given by the user)" in out
    assert cli.run(["show", "r", "--json", "--carbon", "DE"]) == 0
    used = json.loads(capsys.readouterr().out)["usage"]
    assert used["gpu_util_max_frac"] == 1.0
    assert used["energy"]["intensity_g_per_kwh"] == 381
    assert cli.run(["show", "r", "--carbon", "XX"]) == 2
    assert "no carbon intensity of 'XX'" in capsys.readouterr().err
