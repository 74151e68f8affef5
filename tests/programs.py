"""Running small programs as a user would: a fresh Python, its own process, real agents."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from hpctrack import Store, StoredRun

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]


def run_python(
    code: str, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 180
) -> subprocess.CompletedProcess[str]:
    """Run a Python program from its text and return what became of it."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start_python(
    code: str, *arguments: str, env: Mapping[str, str] | None = None, stdin: int | None = None
) -> subprocess.Popen[str]:
    """Start a Python program; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env={**os.environ, **(env or {})},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rank_environment(rank: int, size: int, *, run: str = "job", node: int = 0) -> dict[str, str]:
    """Return the environment that torchrun gives a rank."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "GROUP_RANK": str(node),
        "TORCHELASTIC_RUN_ID": run,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }


def wait_for(what: Callable[[], T | None], *, timeout_s: float = 90) -> T:
    """Call until the result is true, and return it, or fail."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = what()
        if result:
            return result
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain; last: {result!r}"
        time.sleep(0.02)


def list_agents(folder: Path | None = None) -> list[int]:
    """Return the agents of this test, or of a runtime folder: it is on their command line."""
    mine = folder or os.environ["HPCTRACK_RUNTIME_DIR"]
    found = subprocess.run(
        ["pgrep", "-f", f"folder.*{mine}"], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def only_run(store: Path | str) -> StoredRun:
    """Return the one run of a store."""
    (found,) = Store(store).runs()
    return found
