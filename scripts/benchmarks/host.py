"""On what machine, beside what load, with what versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hpctrack
from scripts.benchmarks.peers import PEERS

ROOT = Path(__file__).resolve().parents[2]


def describe_host() -> dict[str, Any]:
    """Return what has to be known about the machine; not its name."""
    return {
        "cpu": _read_cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
    }


def read_load() -> list[float]:
    """Return the load average over 1, 5 and 15 minutes."""
    return [round(one, 2) for one in os.getloadavg()]


def list_versions(peers: Iterable[str]) -> dict[str, str]:
    """Return the versions of us, of what we stand on, and of the peers."""
    own = {"hpctrack": describe_ours()}
    below = {name: importlib.metadata.version(name) for name in ("h5py", "numpy")}
    return own | below | {name: PEERS[name].read_version() for name in peers}


def describe_ours() -> str:
    """Return our version and the checkout's commit."""
    return f"{hpctrack.__version__} ({_describe_commit()})"


def _read_cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _describe_commit() -> str:
    """Return the checkout's commit, with a sign if files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=8"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "no checkout"
    return done.stdout.strip()
