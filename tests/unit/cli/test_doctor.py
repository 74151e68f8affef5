"""What ``hpctrack doctor`` says of set-ups with something wrong in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STUB = Path(__file__).resolve().parents[2] / "stubs/amd"


def call(cwd: Path, *words: str, **environ: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Run it as its own program; return its exit code, and the findings of each subject."""
    done = subprocess.run(
        [sys.executable, "-m", "hpctrack", "doctor", "--json", *words],
        cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(done.stdout)["findings"]:
        found.setdefault(one["what"], []).append(one)
    return done.returncode, found


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HPCTRACK_DIR", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(one for one in sys.path if one))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_run_is_tried_where_runs_are_to_be_and_leaves_nothing(tmp_path: Path) -> None:
    code, found = call(tmp_path, "--store", str(tmp_path / "a" / "store"))
    assert code == 0
    assert "will be made" in found["store"][0]["text"]
    assert found["run"][0]["text"].endswith(f"read back in {tmp_path}")
    assert not list(tmp_path.glob(".hpctrack-doctor*"))
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_a_store_in_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for store in ("file", "file/below"):
        code, found = call(tmp_path, "--store", store)
        assert code == 1
        (one,) = found["store"]
        assert one["level"] == "bad"
        assert f"{tmp_path}/file is no folder; set HPCTRACK_DIR" in one["text"]
        assert found["run"][0]["level"] == "ok"  # the rest is in order


def test_mistakes_in_the_settings_are_told_with_their_line_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "hpctrack.toml"
    path.write_text('mdoe = "offline"\n')
    code, found = call(tmp_path)
    assert code == 1
    assert [one["text"] for one in found["settings"]] == [
        f"unknown setting 'mdoe' ({path}, line 1) (did you mean 'mode'?)"
    ]


def test_the_rules_of_the_user_are_not_executed_by_the_test_run(tmp_path: Path) -> None:
    (tmp_path / "hpctrack.toml").write_text(
        f'[[rules]]\nmetric = "*"\nabove = 0.0\ndo = ["command: touch {tmp_path}/executed"]\n'
    )
    code, found = call(tmp_path)
    assert (code, found["run"][0]["level"]) == (0, "ok")
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_a_job_whose_scheduler_does_not_answer_is_told(tmp_path: Path) -> None:
    job = {"SLURM_JOB_ID": "77", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}
    code, found = call(tmp_path, PATH=str(tmp_path), **job)
    assert code == 0
    assert found["scontrol"][0]["text"].startswith("there is no scontrol here")
    program = tmp_path / "scontrol"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    code, found = call(tmp_path, PATH=str(tmp_path), **job)
    assert code == 0
    assert "does not answer for job 77" in found["scontrol"][0]["text"]
    assert found["run"][0]["level"] == "ok"


def test_of_the_gpus_it_says_which_would_be_recorded(tmp_path: Path) -> None:
    gpus = [
        {"uuid": f"{place}-uuid", "bdf": f"0000:0{place}:00.0", "asic": {"market_name": "MI300X"}}
        for place in range(3)
    ]
    script = tmp_path / "amd.json"
    script.write_text(json.dumps({"gpus": gpus}))
    environ = {
        "PYTHONPATH": f"{STUB}:{os.environ['PYTHONPATH']}", "AMD_STUB_SCRIPT": str(script),
        "ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1",
    }  # fmt: skip
    code, found = call(tmp_path, **environ)
    assert code == 0
    told = {one["text"]: one["level"] for one in found["gpu"] if "MI300X" in one["text"]}
    lists = "ROCR_VISIBLE_DEVICES=1,2, HIP_VISIBLE_DEVICES=1"
    assert told == {
        f"MI300X (0-uuid): would not be recorded here: {lists}": "note",
        f"MI300X (1-uuid): would not be recorded here: {lists}": "note",
        "MI300X (2-uuid): would be recorded here": "ok",
    }
    assert any(one["text"].startswith("textual") for one in found["package"])
