"""What commands say of a run of another machine: how it was, and when that was."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hpctrack.core.layout import run_folder
from tests.commands import Capture, call
from tests.replicas import sync_node_file
from tests.stores import write_run
from tests.unit.cli.top.made_runs import STEPS, write_live_run

AGO_S = 185.0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A run that went on three minutes ago, when it was looked at, beside one of this machine."""
    path = tmp_path / "store"
    start_s = time.time() - AGO_S - STEPS
    for writer in write_live_run(tmp_path / "there", start_s=start_s):
        sync_node_file(
            writer.file.path, run_folder(path, "p", "r"), as_of_wall_s=time.time() - AGO_S
        )
    write_run(path, run="over")
    return path


def test_a_listing_has_a_column_for_it_if_there_are_such_runs(store: Path, capsys: Capture) -> None:
    _code, out, _err = call(capsys, "ls", "--store", str(store), "-o", "id")
    header, over, there = out.splitlines()
    assert header.split()[:6] == ["project", "id", "name", "state", "as", "of"]
    assert there.split()[3:7] == ["running", "3m", "05s", "ago"]
    assert over.split()[3:5] == ["finished", "1970-01-12"]
    _code, out, _err = call(capsys, "ls", "--store", str(store), "--json")
    found = {one["id"]: one["synced_wall_s"] for one in json.loads(out)["runs"]}
    assert found == {"over": None, "r": pytest.approx(time.time() - AGO_S, abs=30)}


def test_one_run_says_it_behind_its_state(store: Path, capsys: Capture) -> None:
    _code, out, _err = call(capsys, "show", "r", "--store", str(store))
    assert "running (as of 3m 0" in out.splitlines()[0]
    _code, out, _err = call(capsys, "show", "over", "--store", str(store))
    assert "as of" not in out
    _code, out, _err = call(capsys, "show", "r", "--store", str(store), "--json")
    assert json.loads(out)["synced_wall_s"] == pytest.approx(time.time() - AGO_S, abs=30)


def test_rates_and_ages_are_as_of_then(store: Path, capsys: Capture) -> None:
    _code, out, _err = call(capsys, "ls", "--live", "--store", str(store), "--json")
    (row,) = json.loads(out)["runs"]
    assert row["state"] == "running"
    assert row["age_s"] == pytest.approx(STEPS, abs=5)
    assert row["silent_s"] < 30
    assert row["rate"] == pytest.approx(1.0, abs=0.3)
    assert row["synced_wall_s"] == pytest.approx(time.time() - AGO_S, abs=30)
