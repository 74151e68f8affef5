"""``hpctrack ls --live``: what runs now."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpctrack.cli import main as cli
from tests.stores import NodeWriter, write_run
from tests.unit.cli.top.made_runs import STEPS, write_live_run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that goes on beside one that is over."""
    monkeypatch.setenv("HPCTRACK_STALE_AFTER_S", "600")
    path = tmp_path / "store"
    write_live_run(path, start_s=time.time() - STEPS)
    write_run(path, run="over")
    return path


def test_only_what_runs_is_listed(store: Path, capsys: Capture) -> None:
    assert cli.run(["ls", "--live"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "project", "id", "name", "user", "state", "age", "step", "steps/s", "gpu", "ranks", "hosts",
        "sign",
    ]  # fmt: skip
    assert row.split()[:5] == ["p", "r", "calm-lake-1", "alice", "running"]
    assert row.split()[-6:-1] == ["39", "1", "46%", "4", "2"]


def test_json_has_numbers_and_null_for_what_is_not_known(store: Path, capsys: Capture) -> None:
    writer = NodeWriter(store, run="fresh", wall_s=time.time())
    writer.start(0)
    writer.flush()
    assert cli.run(["ls", "--live", "--json", "-o", "step"]) == 0
    fresh, old = json.loads(capsys.readouterr().out)["runs"]
    assert (fresh["id"], fresh["step"], fresh["rate"], fresh["gpu_util"]) == (
        "fresh",
        None,
        None,
        None,
    )
    assert (old["step"], old["hosts"]) == (39, 2)
    assert old["gpu_util"] == pytest.approx(0.455)
    assert cli.run(["ls", "--live", "--json", "-o", "-step", "-n", "1"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["runs"]] == ["r"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--watch", "1"], "--watch goes with --live"),
        (["--live", "-s", "failed"], "--state does not"),
        (["--live", "-o", "nonsense"], "unknown key 'nonsense'"),
        (["--live", "--store", "/nowhere"], "no store at /nowhere"),
    ],
)
def test_mistakes_are_told(store: Path, capsys: Capture, arguments: list[str], part: str) -> None:
    assert cli.run(["ls", *arguments]) in {2, 3}
    assert part in capsys.readouterr().err


def test_where_nothing_runs_it_says_so(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path / "store")
    assert cli.run(["ls", "--live"]) == 0
    assert capsys.readouterr().out == "no run is going on\n"


def test_in_a_pipe_tables_follow_each_other_without_escape_sequences(store: Path) -> None:
    words = [sys.executable, "-m", "hpctrack", "ls", "--live", "--watch", "0.1"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    lines = [child.stdout.readline() for _line in range(6)]
    child.kill()
    child.communicate()
    assert [one.split()[0] for one in lines] == ["project", "p"] * 3
    assert not any("\x1b" in one for one in lines)


@pytest.mark.slow
def test_on_a_terminal_only_lines_that_change_are_written_again(store: Path) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "hpctrack", "ls", "--live", "--watch", "0.2"]
    child = subprocess.Popen(words, stdout=theirs, env={**os.environ, "COLUMNS": "140"})
    os.close(theirs)
    written, deadline = b"", time.monotonic() + 60
    while written.count(b"\x1b[2;1H") < 4:
        assert time.monotonic() < deadline, written
        if select.select([ours], [], [], 1.0)[0]:
            written += os.read(ours, 4096)
    child.kill()
    child.wait()
    os.close(ours)
    assert written.count(b"project") == 1
