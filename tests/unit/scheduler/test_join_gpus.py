"""How busy a job's GPUs were: from the run's own samples into its accounting, for people too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpctrack import Store
from hpctrack.cli.main import run as run_cli
from hpctrack.store.gpu_use import GpuUse, measure_gpu_use
from hpctrack.store.seal import seal_run
from tests.stores import NodeWriter
from tests.unit.scheduler.slurm_double import SacctDouble, make_rows

START_S = 1_764_290_000.0

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def sacct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SacctDouble:
    double = SacctDouble(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(double.folder))
    monkeypatch.setenv("HPCTRACK_DIR", str(tmp_path / "store"))
    return double


def write(
    store: Path,
    gpus: Mapping[str, Sequence[float]],
    *,
    node: int = 0,
    attempt: int = 1,
    start_s: float = START_S,
    sensor: str = "gpu/util_frac",
) -> Path:
    """Write a run in job 7 whose GPUs were sampled each second."""
    writer = NodeWriter(store, node=node, attempt=attempt, wall_s=start_s)
    restarts = {"SLURM_RESTART_COUNT": str(attempt - 1)} if attempt > 1 else {}
    job = {"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "here", **restarts}
    session = writer.start(node, size=2, job=job, wall_s=start_s)
    for key, values in gpus.items():
        writer.device(key)
        writer.samples(sensor, values, device=key)
    writer.wall_s = start_s + 100
    writer.end(node, session)
    return writer.close().parent


def tell(sacct: SacctDouble, gpus: int, *, seconds: int = 100) -> None:
    tres = f"cpu=4,mem=65536M,node=1,gres/gpu={gpus}"
    sacct.tell(make_rows("7", start=START_S, end=START_S + seconds, AllocTRES=tres))


def ask(capsys: Capture) -> dict[str, Any]:
    assert run_cli(["sacct", "--all", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["runs"]
    return dict(told["accounting"]["attempts"][-1])


@pytest.mark.parametrize("is_sealed", [False, True])
def test_the_command_tells_how_busy_the_gpus_of_all_nodes_were(
    tmp_path: Path, sacct: SacctDouble, capsys: Capture, *, is_sealed: bool
) -> None:
    half = [1.0] * 50 + [0.2] * 50
    write(tmp_path / "store", {"GPU-a": half, "GPU-b": [0.0] * 100})
    folder = write(tmp_path / "store", {"GPU-c": [0.0] * 100, "GPU-d": [0.0] * 100}, node=1)
    if is_sealed:
        seal_run(folder)
    tell(sacct, 4)
    entry = ask(capsys)
    used = entry["efficiency"]
    assert used["gpu_frac"] == pytest.approx(0.15, abs=0.01)
    assert (used["gpus"], used["gpus_measured"], used["gpus_unused"]) == (4, 4, 3)
    assert (used["gpu_source"], used["gpu_measured_frac"]) == ("telemetry", pytest.approx(0.99))
    assert "; 4 GPUs, kept 0.6 of them busy on average, 3 of them never;" in entry["advice"]
    assert run_cli(["sacct", "--all"]) == 0
    head, line, _advice = capsys.readouterr().out.splitlines()
    assert line[: head.index("gpu") + 3].endswith("15 %")
    assert run_cli(["show", folder.name]) == 0
    assert ", GPU 15 %," in capsys.readouterr().out


def test_samples_of_another_attempt_do_not_count(
    tmp_path: Path, sacct: SacctDouble, capsys: Capture
) -> None:
    write(tmp_path / "store", {"GPU-a": [1.0] * 90}, start_s=START_S - 1000)
    write(tmp_path / "store", {"GPU-a": [0.1] * 90}, attempt=2)
    tell(sacct, 1)
    assert ask(capsys)["efficiency"]["gpu_frac"] == pytest.approx(0.1)


def test_what_was_not_measured_is_not_available(
    tmp_path: Path, sacct: SacctDouble, capsys: Capture
) -> None:
    write(tmp_path / "store", {})
    tell(sacct, 2)
    used = ask(capsys)["efficiency"]
    assert used["gpus"] == 2
    names = ("gpu_frac", "gpus_measured", "gpu_measured_frac", "gpus_unused")
    assert {used[name] for name in names} == {None}
    assert run_cli(["sacct", "--all"]) == 0
    assert " - " in capsys.readouterr().out.splitlines()[1]


@pytest.mark.parametrize(
    ("given", "seconds", "shown"),
    [(2, 100, "50 % of 1 of 2"), (1, 400, "50 % in 25 % of the time")],
)
def test_a_part_that_was_measured_is_called_a_part(
    given: int, seconds: int, shown: str, sacct: SacctDouble, capsys: Capture
) -> None:
    write(sacct.folder.parent / "store", {"GPU-a": [0.5] * 101})
    tell(sacct, given, seconds=seconds)
    assert run_cli(["sacct"]) == 0
    out = capsys.readouterr().out
    assert shown in out
    assert "GPU" not in out.splitlines()[-1]  # no advice


def test_what_slurm_has_seen_is_named(tmp_path: Path, sacct: SacctDouble, capsys: Capture) -> None:
    write(tmp_path / "store", {})
    job, step = make_rows("7", start=START_S, end=START_S + 100, AllocTRES="gres/gpu=2")
    sacct.tell([job, {**step, "TRESUsageInAve": "cpu=00:01:00,gres/gpuutil=150"}])
    assert run_cli(["sacct"]) == 0
    assert "75 % (Slurm)" in capsys.readouterr().out
    assert ask(capsys)["efficiency"]["gpu_source"] == "sacct"


def test_gaps_and_what_lies_outside_do_not_count_and_slices_are_read_too(tmp_path: Path) -> None:
    values = [0.0] * 10 + [0.5] * 10 + [1.0] * 10
    write(tmp_path, {"MIG-a": values}, sensor="gpu/graphics_active_frac")
    write(tmp_path, {"MIG-a": values}, sensor="gpu/graphics_active_frac", attempt=2,
          start_s=START_S + 1000)  # fmt: skip
    find = Store(tmp_path).run("r").sensor

    def measure(since_s: float, until_s: float) -> list[GpuUse]:
        return measure_gpu_use(find, since_wall_s=START_S + since_s, until_wall_s=START_S + until_s)

    (whole,) = measure(0, 2000)
    assert whole.measured_s == 58  # not the time between the attempts
    assert whole.busy_frac == pytest.approx(np.average([0.0, 0.5, 1.0], weights=[10, 10, 9]))
    (part,) = measure(10, 20)
    assert (part.busy_frac, part.peak_frac, part.measured_s) == (0.5, 0.5, 10)
    (first,) = measure(0, 10)
    assert (first.busy_frac, first.peak_frac) == (0.0, 0.0)
    assert measure(100, 900) == []


def test_rare_samples_are_no_gaps(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path, wall_s=START_S)
    session = writer.start(0, settings={"telemetry_interval_s": 160.0})
    writer.device("GPU-a")
    writer.samples("gpu/util_frac", [0.5] * 11, device="GPU-a", every_s=160)
    writer.end(0, session)
    writer.close()
    find = Store(tmp_path).run("r").sensor
    (use,) = measure_gpu_use(find, since_wall_s=START_S, until_wall_s=START_S + 1600)
    assert (use.busy_frac, use.measured_s) == (0.5, 1600)
