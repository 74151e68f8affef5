"""The units and the cron line in ``scripts``: they parse, and what they start is understood."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.programs import ROOT

SERVICE = ROOT / "scripts/hpctrack-sync.service"
TIMER = ROOT / "scripts/hpctrack-sync.timer"
CRON = ROOT / "scripts/hpctrack-sync.cron"
FIELD = re.compile(r"(\*|\d+)(-\d+)?(/\d+)?(,\d+)*\Z")

HPCTRACK = """\
#!/bin/sh
exec {python} -P -c 'import sys; sys.path.insert(0, sys.argv.pop(1))
from hpctrack.cli.main import main; main()' {root} "$@"
"""


def parse(path: Path) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


@pytest.fixture
def home() -> Path:
    """A home with an hpctrack where the units and the line look for it."""
    home = Path.home()
    program = home / ".local/bin/hpctrack"
    program.parent.mkdir(parents=True)
    program.write_text(
        HPCTRACK.format(python=shlex.quote(sys.executable), root=shlex.quote(str(ROOT)))
    )
    program.chmod(0o755)
    return home


def find_cron_line() -> str:
    lines = [line for line in CRON.read_text().splitlines() if line and line[0] != "#"]
    assert len(lines) == 1
    return lines[0]


def test_the_units_fit_together() -> None:
    service, timer = parse(SERVICE), parse(TIMER)
    assert service["Service"]["Type"] == "oneshot"
    assert service["Service"]["ExecStart"].split()[1:] == ["sync", "--quiet"]
    assert {"OnStartupSec", "OnUnitInactiveSec"} <= set(timer["Timer"])
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(home: Path) -> None:
    folder = home / ".config/systemd/user"
    folder.mkdir(parents=True)
    for unit in (SERVICE, TIMER):
        shutil.copy(unit, folder)
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", "--man=no", SERVICE.name, TIMER.name],
        cwd=folder,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "hpctrack" in line]
    assert (done.returncode, said) == (0, [])


def test_the_cron_line_is_one_and_pushes_to_the_default_remote(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *fields, command = find_cron_line().split(None, 5)
    assert len(fields) == 5
    assert all(FIELD.match(one) for one in fields)
    assert "%" not in command  # a new line, for cron
    (home / "hpctrack-store").mkdir()
    target = tmp_path / "target"
    monkeypatch.delenv("HPCTRACK_DIR")
    # As cron does it: /bin/sh, and hardly any environment.
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    program = str(home / ".local/bin/hpctrack")
    subprocess.run(
        [program, "remote", "add", "team", str(target)], env=environ, check=True, timeout=60
    )
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
