"""Stop, pause, resume and cancel, with Slurm's commands as small programs on PATH."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack.cli.main import run
from hpctrack.sweeps.control import Wish, read_control
from hpctrack.sweeps.slurm_queue import join_tasks
from hpctrack.sweeps.submission.script import make_comment
from hpctrack.sweeps.submission.wishing import make_wish
from hpctrack.sweeps.submission_record import Worker, confirm, reserve
from hpctrack.sweeps.sweep import Sweep, create_sweep
from hpctrack.sweeps.worker.process import read_stamp
from tests.programs import wait_for

NOTE = """#!/bin/sh
echo "$(basename "$0") $@" >> "$SLURM_FAKE/told"
if [ -e "$SLURM_FAKE/refuse" ]; then echo "slurm error: Access denied" >&2; exit 1; fi
"""
SQUEUE = """#!/bin/sh
cat "$SLURM_FAKE/queue" 2>/dev/null
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("scancel", NOTE), ("scontrol", NOTE), ("squeue", SQUEUE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_FAKE", str(folder))
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    config = {"method": "grid", "parameters": {"a": {"values": [1, 2, 3]}}}
    made = create_sweep(tmp_path / "store", config, sweep_id="s")
    workers = tuple(Worker(job=f"50_{task}") for task in range(5))
    confirm(made, reserve(made, "slurm", tasks=5), workers)
    return made


def told(slurm: Path) -> list[str]:
    path = slurm / "told"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def fill(slurm: Path, sweep: Sweep, *, held: bool = False) -> None:
    reason = "JobHeldUser" if held else "JobArrayTaskLimit"
    lines = [
        f"50_4|PENDING|{reason}|(null)", f"50_3|PENDING|{reason}|(null)",
        f"50_2|PENDING|{reason}|(null)", "50_1|RUNNING|None|(null)",
        f"61_0|PENDING|Priority|{make_comment(sweep)}", "70|PENDING|Priority|somebody's | own",
        "500_0|RUNNING|None|(null)",
    ]  # fmt: skip
    (slurm / "queue").write_text("".join(f"{line}\n" for line in lines))


def test_stop_takes_away_what_waits_and_leaves_what_runs(slurm: Path, sweep: Sweep) -> None:
    fill(slurm, sweep)
    end = make_wish(sweep, Wish.STOP)
    assert read_control(sweep.folder).wish == Wish.STOP
    assert told(slurm) == ["scancel --state=PENDING 50_[2-4] 61_[0]"]
    assert set(end.removed) == {"50_2", "50_3", "50_4", "61_0"}
    assert (end.running, end.problems, end.before) == (1, [], Wish.RUN)
    (slurm / "queue").write_text("50_1|RUNNING|None|(null)\n")
    again = make_wish(sweep, Wish.STOP)
    assert (again.removed, again.running, again.before) == ([], 1, Wish.STOP)
    assert told(slurm) == []


def test_pause_holds_what_waits_and_resume_gives_it_back(slurm: Path, sweep: Sweep) -> None:
    fill(slurm, sweep)
    assert len(make_wish(sweep, Wish.PAUSE).held) == 4
    assert told(slurm) == ["scontrol hold 50_[2-4] 61_[0]"]
    fill(slurm, sweep, held=True)
    assert make_wish(sweep, Wish.PAUSE).held == ["61_0"]  # one that nobody has held yet
    told(slurm)
    end = make_wish(sweep, Wish.RUN)
    assert set(end.released) == {"50_2", "50_3", "50_4"}
    assert told(slurm) == ["scontrol release 50_[2-4]"]
    assert read_control(sweep.folder).wish == Wish.RUN


def test_cancel_ends_what_has_not_left_after_a_moment(slurm: Path, sweep: Sweep) -> None:
    fill(slurm, sweep)
    end = make_wish(sweep, Wish.CANCEL, moment_s=0.0)
    assert told(slurm) == ["scancel --state=PENDING 50_[2-4] 61_[0]", "scancel 50_[1]"]
    assert end.ended == ["50_1"]
    assert make_wish(sweep, Wish.STOP, moment_s=0.0).wish == Wish.CANCEL  # it is too late for that
    (slurm / "queue").write_text("")
    assert make_wish(sweep, Wish.CANCEL).ended == []


def test_what_slurm_refuses_is_told(slurm: Path, sweep: Sweep) -> None:
    fill(slurm, sweep)
    (slurm / "refuse").touch()
    end = make_wish(sweep, Wish.PAUSE)
    assert end.held == []
    assert end.problems == ["scontrol hold: slurm error: Access denied"]
    (slurm / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert "does not answer" in make_wish(sweep, Wish.STOP).problems[0]
    assert read_control(sweep.folder).wish == Wish.STOP


def test_processes_of_this_machine_are_asked_to_end(tmp_path: Path, sweep: Sweep) -> None:
    program = f"import time; open({str(tmp_path / 'up')!r}, 'w').close(); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for((tmp_path / "up").exists)
        stamp = read_stamp(child.pid)
        workers = (
            Worker(job="1", pid=child.pid, stamp=stamp), Worker(job="2", pid=1, stamp="nobody"),
        )  # fmt: skip
        confirm(sweep, reserve(sweep, "local", tasks=2), workers)
        assert make_wish(sweep, Wish.STOP).running == 1
        assert make_wish(sweep, Wish.CANCEL, moment_s=0.0).signalled == [child.pid]
        assert child.wait(timeout=120) == -15
        assert make_wish(sweep, Wish.CANCEL).signalled == []
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("stop", "sweep s stops: "),
        ("pause", "sweep s is paused: "),
        ("resume", "no worker is left; submit some:  hpctrack sweep submit s"),
        ("cancel", "sweep s is cancelled: "),
    ],
)
def test_commands_say_what_they_did(
    slurm: Path, sweep: Sweep, capsys: pytest.CaptureFixture[str], command: str, words: str
) -> None:
    line = ["sweep", command, "s", "--store", str(sweep.store)]
    assert run(line) == 0
    assert words in capsys.readouterr().out
    assert run([*line, "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (said["id"], said["before"], said["running"]) == ("s", said["wish"], 0)
    assert run(["sweep", command, "nosuch", "--store", str(sweep.store)]) == 3


def test_many_tasks_are_a_few_words() -> None:
    assert join_tasks(["50_3", "50_1", "7", "50_2", "50_9", "51_0"]) == [
        "7",
        "50_[1-3,9]",
        "51_[0]",
    ]
