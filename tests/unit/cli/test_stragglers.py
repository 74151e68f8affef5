"""``hpctrack stragglers`` on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hpctrack.cli import main as cli
from tests.stores import NodeWriter

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The default store with a run: rank 2 of 4 is slow from step 60, rank 3 stops at step 40."""
    path = tmp_path / "store"
    writer = NodeWriter(path, run="slow")
    times = np.full((4, 100), 1.0)
    times[2, 60:] = 1.5
    for rank in range(4):
        writer.start(rank, size=4)
    writer.table("step_time", range(3), times[:3], np.arange(100) + writer.wall_s)
    writer.table("step_time", [3], times[3:, :40], np.arange(40) + writer.wall_s)
    writer.close()
    return path


def test_slow_and_silent_ranks_are_printed(store: Path, capsys: Capture) -> None:
    assert cli.run(["stragglers", "slow"]) == 0
    out = capsys.readouterr().out
    assert "step_time of 4 ranks in 100 steps" in out
    assert "rank 2" in out
    assert "1.50x" in out
    assert "still slow" in out
    assert "silent: rank 3 on n1 since step 39" in out
    assert "lost: 20.0 s" in out


def test_json_has_everything(store: Path, capsys: Capture) -> None:
    assert cli.run(["stragglers", "slow", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["rank"] for one in found["stragglers"]] == [2]
    assert found["stragglers"][0]["since_step"] == 60
    assert found["stragglers"][0]["intervals"][0]["until_step"] is None
    assert found["silent"][0]["last_step"] == 39


def test_nothing_to_name_is_said(store: Path, capsys: Capture) -> None:
    assert cli.run(["stragglers", "slow", "--margin", "0.9"]) == 0
    assert "no stragglers" in capsys.readouterr().out
    assert cli.run(["stragglers", "slow", "--metric", "step_tim"]) == 3
    assert "did you mean step_time" in capsys.readouterr().err


def test_two_equal_groups_are_said_with_who_is_silent(tmp_path: Path, capsys: Capture) -> None:
    writer = NodeWriter(tmp_path / "store", run="even")
    for rank in range(4):
        writer.start(rank, size=4)
    times = np.full((4, 100), 1.0)
    times[2:] = 1.25
    for ranks, steps in (([0, 1, 2], 100), ([3], 60)):
        part = times[ranks, :steps]
        writer.table("step_time", ranks, part, np.arange(steps) + writer.wall_s)
    writer.close()
    assert cli.run(["stragglers", "even"]) == 0
    out = capsys.readouterr().out
    assert "cannot tell: ranks 2, 3 take 25% longer than the other 2 ranks" in out
    assert "silent: rank 3" in out
    assert "no stragglers" not in out


def test_too_few_ranks_are_said(tmp_path: Path, capsys: Capture) -> None:
    writer = NodeWriter(tmp_path / "store", run="small")
    writer.start(0)
    writer.table("step_time", [0], np.ones((1, 50)), np.arange(50) + writer.wall_s)
    writer.close()
    assert cli.run(["stragglers", "small"]) == 0
    assert "cannot tell: logged by 1 rank:" in capsys.readouterr().out
