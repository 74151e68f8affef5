"""``hpctrack remote test``: what it finds out about a store of this machine."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from hpctrack.cli.main import run
from hpctrack.errors import ProtocolError, RefusedError
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.sending.probe import probe
from tests.programs import ROOT

Capture = pytest.CaptureFixture[str]

RECEIVE = """
import os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.receiving.receive import Receiver
wall_s = lambda: SYSTEM_CLOCK.wall_s() + {skew_s}
clock = Clock(wall_s=wall_s, mono_s=SYSTEM_CLOCK.mono_s)
policy = Policy(projects=("other",))
Receiver(Path(sys.argv[-1]), FdStream(0, 1), policy=policy, clock=clock).serve()
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> ConnectOptions:
    """A receiver whose clock is an hour ahead, and that takes the project ``other`` only."""
    program = tmp_path / "receive.py"
    program.write_text(RECEIVE.format(root=str(ROOT), skew_s=5430))
    return ConnectOptions(remote_command=f"{shlex.quote(sys.executable)} {program}")


def test_a_store_is_tested_and_not_made(tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "target"
    assert run(["remote", "add", "team", str(target), "--project", "digits"]) == 0
    capsys.readouterr()
    assert run(["remote", "test"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"team: {target}"
    assert lines[1].split() == ["reached", str(target), "by", "local"]
    assert "protocol 3" in lines[2]
    assert lines[3].split(maxsplit=1) == ["clock", "as here"]
    assert lines[5].split(maxsplit=1) == ["runs", "of digits: taken"]
    assert not target.exists()
    assert run(["remote", "test", "team", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["carrier"], told["refusal"], told["project"]) == ("local", "", "digits")
    assert 0 < told["round_trip_s"] < told["connect_s"]


def test_skew_and_refusal_are_told(tmp_path: Path, elsewhere: ConnectOptions) -> None:
    found = probe(str(tmp_path / "x"), project="digits", connect=elsewhere)
    assert found.skew_s == pytest.approx(5430, abs=25)
    assert "other" in found.refusal
    assert probe(str(tmp_path / "x"), project="other", connect=elsewhere).refusal == ""


def test_a_refusal_is_an_exit_code(
    tmp_path: Path, elsewhere: ConnectOptions, capsys: Capture
) -> None:
    words = ["remote", "test", str(tmp_path / "x"), "--remote-command"]
    assert run([*words, str(elsewhere.remote_command), "--project", "digits"]) == 10
    told = capsys.readouterr()
    assert "1h 30m ahead of this one" in told.out
    assert "takes no runs of digits" in told.err


def test_what_cannot_be_used_is_told_as_by_a_push(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="make it first"):
        probe(str(tmp_path / "no" / "store"), project="p")
    with pytest.raises(ProtocolError, match="Welcome"):
        probe(
            str(tmp_path / "x"),
            project="p",
            connect=ConnectOptions(remote_command="echo Welcome to the cluster #"),
        )
