"""Starting trials of several tasks, and workers that somebody started by hand."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from hpctrack.agents.job_end import name_job
from hpctrack.client.ranks import detect_rank
from hpctrack.errors import SweepError
from hpctrack.sweeps.sweep import Sweep, make_sweep
from hpctrack.sweeps.worker.launch import as_agent, make_launch, signal_ranks

JOB = {"SLURM_JOB_ID": "52", "SLURM_ARRAY_JOB_ID": "50", "SLURM_ARRAY_TASK_ID": "1"}
STEP = {
    **JOB, "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_NTASKS": "4", "PMI_RANK": "1",
    "SLURM_CPUS_PER_TASK": "2", "HOME": "/home/a",
}  # fmt: skip
BY_DEFAULT = ["--export=ALL", "--kill-on-bad-exit=1"]


def make(tmp_path: Path, **slurm: Any) -> Sweep:
    config = {"method": "grid", "parameters": {"a": {"values": [1]}}, "slurm": slurm}
    return make_sweep(tmp_path, config, sweep_id="s")


@pytest.mark.parametrize(
    ("slurm", "words"),
    [
        ({}, []),
        ({"cpus_per_task": 4, "gpus_per_node": 2}, []),
        ({"nodes": 2}, ["srun", "--nodes=2", "--ntasks-per-node=1", "--ntasks=2", *BY_DEFAULT]),
        (
            {"tasks_per_node": 3},
            ["srun", "--nodes=1", "--ntasks-per-node=3", "--ntasks=3", *BY_DEFAULT],
        ),
        (
            {"nodes": 2, "tasks_per_node": 4, "cpus_per_task": 8, "srun_args": ["--mpi=x", "-l"]},
            [
                "srun", "--nodes=2", "--ntasks-per-node=4", "--cpus-per-task=8", "--ntasks=8",
                *BY_DEFAULT,
                "--mpi=x", "-l",
            ],
        ),
        ({"nodes": 2, "use_srun": False}, []),
        (
            {"use_srun": True},
            ["srun", "--nodes=1", "--ntasks-per-node=1", "--ntasks=1", *BY_DEFAULT],
        ),
    ],
)  # fmt: skip
def test_several_tasks_are_started_by_srun(
    tmp_path: Path, slurm: dict[str, Any], words: list[str]
) -> None:
    assert make_launch(make(tmp_path, **slurm), JOB) == words


def test_a_rank_starts_no_ranks(tmp_path: Path) -> None:
    assert make_launch(make(tmp_path, tasks_per_node=4), STEP) == []


def test_several_tasks_need_an_allocation(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no Slurm job"):
        make_launch(make(tmp_path, nodes=2), {})


def test_a_task_of_an_array_is_never_named_by_its_own_number() -> None:
    assert name_job(JOB) == "50_1"
    assert name_job({"SLURM_JOB_ID": "52"}) == "52"
    assert name_job({}) == ""


def test_workers_of_one_srun_are_no_ranks_of_one_run(tmp_path: Path) -> None:
    environ = as_agent(make(tmp_path), STEP)
    assert detect_rank(environ).size == 1
    assert environ == {
        **JOB, "SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_CPUS_PER_TASK": "2",
        "HOME": "/home/a",
    }  # fmt: skip


def test_the_environment_of_a_batch_script_stays_as_it_is(tmp_path: Path) -> None:
    batch = {**JOB, "SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2"}
    assert as_agent(make(tmp_path, nodes=2, tasks_per_node=2), batch) == batch


def test_an_agent_that_would_call_srun_in_a_step_is_refused(tmp_path: Path) -> None:
    shape = make(tmp_path, nodes=2)
    with pytest.raises(SweepError, match="started by one"):
        as_agent(shape, STEP)
    with pytest.raises(SweepError):
        as_agent(shape, {**JOB, "SLURM_STEP_ID": "3", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"})
    in_salloc = {**JOB, "SLURM_STEP_ID": "4294967290", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}
    assert as_agent(shape, in_salloc) == {**JOB, "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}


def test_ranks_are_told_by_slurm_and_the_worker_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "scancel").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    (tmp_path / "scancel").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert signal_ranks(JOB, signal.SIGTERM)
    assert asked.read_text() == "--signal=TERM 50_1\n"
    assert not signal_ranks(JOB, signal.SIGKILL)
    assert not signal_ranks({}, signal.SIGTERM)
    monkeypatch.setenv("PATH", "/nowhere")
    assert not signal_ranks(JOB, signal.SIGTERM)
