"""Runs that are to be run again, and the shell that does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hpctrack.telemetry.provenance.files import encode
from hpctrack.telemetry.provenance.rerun import SCRIPT, Plan, Subject
from tests.repositories import make_repository


def subject(provenance: dict[str, Any], **more: Any) -> Subject:
    return Subject(id="r1", project="p", created_wall_s=1e9, provenance=provenance, **more)


def write(plan: Plan, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {SCRIPT: plan.script, **plan.files}.items():
        (folder / name).write_bytes(encode(text))
    return folder / SCRIPT


def run(script: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(script), *words], cwd=script.parent, capture_output=True, text=True,
        env={**os.environ, **environ}, check=False, timeout=180,
    )  # fmt: skip


SHOW = """
import os, sys
print(sys.argv[1:], os.getcwd(), open("data.txt").read().strip(), os.environ.get("OMP_NUM_THREADS"))
print(os.environ.get("HPCTRACK_PROJECT"), os.environ.get("HPCTRACK_RUN_ID"))
"""


def make_recorded(tmp_path: Path) -> dict[str, Any]:
    """What was recorded of a program in a subfolder of a repository with changes."""
    made = make_repository(tmp_path / "old" / "code", README="x\n")
    made.write("sub/show.py", SHOW)
    made.write("sub/data.txt", "one\n")
    commit = made.commit()
    made.write("sub/data.txt", "two é\n")
    diff = made.git("diff", "--full-index") + "\n"
    top = str(made.top)
    return {
        "program": {
            "argv": [sys.executable, "show.py", "--out", f"{top}/out dir", "it's"],
            "cwd": f"{top}/sub",
        },
        "git": {
            "top": top, "commit": commit, "remotes": {"origin": "https://***@localhost:1/a.git"},
            "dirty": True, "diff": diff, "untracked": ["notes.txt"],
        },
        "python": {
            "version": sys.version.split()[0], "executable": sys.executable, "prefix": sys.prefix,
            "base_prefix": sys.base_prefix, "packages": {},
        },
        "environment": {
            "OMP_NUM_THREADS": "3", "HF_HUB_TOKEN": "***", "CUDA_VISIBLE_DEVICES": "0",
            "HPCTRACK_RUN_ID": "old",
        },
    }  # fmt: skip
