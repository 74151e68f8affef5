"""Programs in jobs of PBS and LSF; the job is played, the programs and agents are real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpctrack import Store, StoredRun
from hpctrack.cli.main import run as run_cli
from tests.programs import wait_for

PROGRAM = """
import hpctrack
run = hpctrack.init("p", settings={"seal": "manual"})
run.log({"a": 1.0}, step=0)
run.finish()
"""

JOBS = {
    "pbs-77_2": {
        "PBS_JOBID": "77[2].server", "PBS_ARRAY_INDEX": "2", "PBS_QUEUE": "workq",
        "PBS_JOBNAME": "train",
    },
    "lsf-812": {"LSB_JOBID": "812", "LSB_JOBINDEX": "0", "LSB_QUEUE": "normal"},
}  # fmt: skip


def run_job(folder: Path, job: dict[str, str]) -> None:
    """Play a batch job: a shell in a session of its own that runs the same program twice."""
    words = [sys.executable, str(folder / "program.py")]
    script = f"{' '.join(words)} && {' '.join(words)}"
    done = subprocess.run(
        ["sh", "-c", script], env={**os.environ, **job}, start_new_session=True, check=False
    )
    assert done.returncode == 0


def find_runs(attempts: int) -> list[StoredRun] | None:
    """Return the two runs, in the order of their ids, when so many attempts have finished."""
    runs = Store().runs(order="id")
    done = [one for one in runs if one.state == "finished" and one.record.attempts == attempts]
    return done if len(done) == 2 else None


@pytest.mark.parametrize("name", JOBS)
def test_programs_of_a_job_are_runs_and_a_rerun_is_their_next_attempt(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    run_job(tmp_path, JOBS[name])
    first, second = wait_for(lambda: find_runs(1))
    assert first.id.startswith(f"{name}-b")
    assert second.id == f"{first.id}-2"
    assert first.record.job == JOBS[name]
    run_job(tmp_path, JOBS[name])
    again = wait_for(lambda: find_runs(2))
    assert [one.id for one in again] == [first.id, second.id]
    assert run_cli(["show", first.id]) == 0
    scheduler, _, number = name.partition("-")
    queue = JOBS[name].get("PBS_QUEUE") or JOBS[name]["LSB_QUEUE"]
    shown = f"job       {scheduler} {number}, partition {queue}"
    assert shown in capsys.readouterr().out
    assert run_cli(["sacct", "--dry-run"]) == 0
    assert capsys.readouterr().out == "no runs of Slurm jobs\n"
