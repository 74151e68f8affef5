"""Provenance of processes that are no ranks, or gone, or say strange things; without an agent."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpctrack.agents import provenance as module
from hpctrack.agents.provenance import Provenance
from hpctrack.core.clock import SYSTEM_CLOCK
from tests.programs import wait_for


def collect(**hello: Any) -> list[dict[str, Any]]:
    made = Provenance(0, {"provenance": "auto"}, clock=SYSTEM_CLOCK)
    made.begin({"rank": 0, "local_rank": 0, **hello})
    return [json.loads(one.body) for one in made.take(is_last=True)]


@contextmanager
def sleeping(env: dict[str, str]) -> Iterator[int]:
    """Start a program that is no Python; yield its id when the kernel can tell its arguments."""
    child = subprocess.Popen(["sleep", "100"], env=env)
    try:
        wait_for(Path(f"/proc/{child.pid}/cmdline").read_bytes)
        yield child.pid
    finally:
        child.kill()
        child.wait()


def test_a_process_that_is_gone_is_told() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    told = {"argv": ["python", "x.py", "--token", "planted99"], "script": "/x/x.py"}
    parts = collect(pid=child.pid, python=told)
    assert "ended before" in parts[0]["missing"]["process"]
    assert parts[0]["program"]["argv"] == ["python", "x.py", "--token", "***"]


def test_somebody_elses_process_is_not_taken_for_the_ranks() -> None:
    told = {"argv": ["python", "x.py"], "script": "/x/x.py", "executable": "/nowhere/python"}
    with sleeping({"SLURM_SECRET": "1", "OMP_A": "1"}) as pid:
        parts = collect(pid=pid, python=told)
    assert "another one" in parts[0]["missing"]["process"]
    assert "environment" not in parts[0]


def test_a_c_program_without_a_word_about_itself_is_described() -> None:
    with sleeping({"OMP_A": "1", "PATH": os.environ["PATH"]}) as pid:
        parts = collect(pid=pid)
    whole = {key: value for one in parts for key, value in one.items()}
    assert whole["program"]["argv"] == ["sleep", "100"]
    assert whole["environment"]["OMP_A"] == "1"
    assert "python" not in whole


def test_a_client_that_does_not_say_who_it_is_is_left_alone() -> None:
    assert collect(python={"argv": ["x"]}) == []
    assert collect(pid=-1) == []


def test_nonsense_from_a_client_costs_nothing() -> None:
    strange: list[Any] = [
        [], "x", {"argv": 5, "path": [1, None, {}], "version": 3, "script": {}},
    ]  # fmt: skip
    for told in strange:
        assert collect(pid=os.getpid(), python=told)


def test_the_end_waits_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_WAIT_S", 0.2)
    monkeypatch.setattr(Provenance, "_memory", {})  # other tests have looked at this process
    made = Provenance(0, {"provenance": "auto"}, clock=SYSTEM_CLOCK)
    monkeypatch.setattr(made, "_iter_parts", lambda *_arguments: _hang())
    made.begin({"rank": 0, "local_rank": 0, "pid": os.getpid()})
    assert made.take(is_last=True) == []


def _hang() -> Any:
    time.sleep(2)
    yield from ()


def test_a_secret_in_a_jobs_comment_does_not_get_into_the_record() -> None:
    said = {
        "pid": 1,
        "rank": 0,
        "job": {"SLURM_JOB_COMMENT": "token=planted-9Xq7 run 3", "SLURM_JOB_NODELIST": "n[1-3]"},
    }
    Provenance(0, {"provenance": "off"}, clock=SYSTEM_CLOCK).begin(said)
    job = said["job"]
    assert isinstance(job, dict)
    assert "planted" not in job["SLURM_JOB_COMMENT"]
    assert "run 3" in job["SLURM_JOB_COMMENT"]
    assert job["SLURM_JOB_NODELIST"] == "n[1-3]"
