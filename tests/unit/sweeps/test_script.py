"""Batch scripts that people read, edit and submit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack.cli.main import run
from hpctrack.sweeps.schema.slurm_block import KEYS
from hpctrack.sweeps.submission.plan import TEARDOWN_RUNNER, Wanted, plan_submission
from hpctrack.sweeps.submission.script import make_script
from hpctrack.sweeps.sweep import Sweep, create_sweep
from tests.programs import wait_for

EVERYTHING: dict[str, Any] = {
    "name": "a job", "partition": "gpu", "account": "a1", "qos": "long", "comment": "it's mine",
    "constraint": "a100|h100", "exclude": "n[1-3]", "nodelist": "n7", "gres": "gpu:1",
    "dependency": "afterok:5", "wckey": "w", "mail_type": "END", "mail_user": "a@b.c",
    "mem_per_cpu": "2G", "mem_per_gpu": "9G", "timeout_min": 90, "nodes": 2, "tasks_per_node": 4,
    "cpus_per_task": 8, "cpus_per_gpu": 4, "array_parallelism": 3, "signal_delay_s": 120,
    "gpus_per_node": 4, "gpus_per_task": 1, "setup": ["module load cuda", "export A='b c'"],
    "teardown": ["rm -f x"], "srun_args": ["--mpi=pmix"], "stderr_to_stdout": False,
    "use_srun": True, "mem_gb": 1.5, "exclusive": True,
    "additional_parameters": {"reservation": "r 1", "no-kill": True, "requeue": False},
}  # fmt: skip


def make(tmp_path: Path, **slurm: Any) -> Sweep:
    (tmp_path / "train.py").touch()
    config = {
        "method": "grid",
        "program": "train.py",
        "project": "digits",
        "parameters": {"a": {"values": [1, 2, 3, 4, 5]}},
        "slurm": slurm,
    }
    return create_sweep(tmp_path / "my store", config, sweep_id="s")


def write(sweep: Sweep, **wanted: int) -> str:
    return make_script(sweep, plan_submission(sweep, Wanted(**wanted), is_script=True))


def check(script: str) -> None:
    """Bash and shellcheck find nothing wrong."""
    shellcheck = str(Path(sys.executable).with_name("shellcheck"))
    for command in (["bash", "-n"], [shellcheck, "-"]):
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_key_of_the_block_is_in_the_script(tmp_path: Path) -> None:
    assert set(EVERYTHING) == KEYS
    script = write(make(tmp_path, **EVERYTHING), max_trials=2)
    check(script)
    lines = script.splitlines()
    for line in (
        "--job-name='a job'", "--comment='it'\"'\"'s mine'", "--array=0-2", "--time=90",
        "--partition=gpu", "--constraint='a100|h100'", "--mail-type=END", "--mem-per-cpu=2G",
        "--nodes=2", "--ntasks-per-node=4", "--cpus-per-task=8", "--gpus-per-node=4", "--mem=1536M",
        "--exclusive", "--signal=B:USR2@120", "--reservation='r 1'", "--no-kill",
        f"--chdir={tmp_path}",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in lines
    options = [line for line in lines if line.startswith("#SBATCH")]
    assert not any("requeue" in line or "srun" in line or "setup" in line for line in options)
    assert lines.index("export A='b c'") < lines.index("rm -f x")
    (agent,) = (line for line in lines if " sweep agent " in line)
    assert agent.startswith("run_worker ")
    assert f"--store '{tmp_path}/my store'" in agent
    assert "--max-trials 2" in agent
    assert not any(line.startswith("srun") for line in lines)


def test_a_plain_script_ends_with_the_worker(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    script = write(sweep, parallelism=2, workers=4)
    check(script)
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "#SBATCH --array=0-3%2" in lines
    assert lines[-1].startswith("exec ")
    assert lines.index("trap '' USR2") < len(lines) - 1
    (output,) = (line.partition("=")[2] for line in lines if line.startswith("#SBATCH --output"))
    assert Path(output.strip("'")).parent.is_dir()


def test_a_file_is_created_first_and_the_script_is_all_that_stdout_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").touch()
    (tmp_path / "s.yaml").write_text(
        "method: grid\nprogram: train.py\nparameters: {a: {values: [1]}}\n"
    )
    assert run(["sweep", "sbatch", "s.yaml"]) == 0
    found = capsys.readouterr()
    check(found.out)
    (made,) = tmp_path.glob("*/*/.sweeps/*")
    assert found.err == f"created sweep {made.name} in project uncategorized\n"
    assert made.name in found.out
    assert run(["sweep", "sbatch", made.name]) == 0
    assert capsys.readouterr().out == found.out


WORKER = """
import os, signal, sys, time
seen = []
def on(number, frame):
    seen.append(signal.Signals(number).name)
    open(seen[-1], "w").close()
for name in ("SIGUSR2", "SIGTERM"):
    signal.signal(getattr(signal, name), on)
open("ready", "w").close()
while "SIGTERM" not in seen:
    time.sleep(0.02)
print(*seen, flush=True)
sys.exit(3)
"""


def test_the_shell_before_a_teardown_hands_the_warning_on_and_outlives_the_end(
    tmp_path: Path,
) -> None:
    script = "\n".join([
        "trap '' USR2", *TEARDOWN_RUNNER, "code=0",
        f'run_worker {sys.executable} -c "$WORKER" || code=$?', "echo bye", 'exit "$code"',
    ])  # fmt: skip
    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "WORKER": WORKER}, process_group=0,
    )  # fmt: skip
    wait_for((tmp_path / "ready").exists)
    os.kill(shell.pid, 12)  # SIGUSR2 to the shell alone, as Slurm does
    wait_for((tmp_path / "SIGUSR2").exists)
    os.killpg(shell.pid, 15)  # to all, as at the time limit
    out, _ = shell.communicate(timeout=120)
    assert out.splitlines() == ["SIGUSR2 SIGTERM", "bye"]
    assert shell.returncode == 3
