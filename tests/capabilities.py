"""Which real parts this machine has, and what becomes of a test whose part is missing.

A marker of pytest's names a part. A test without its part is skipped on a developer's machine and
fails where the part was promised: all that can be installed is under ``CI=true``, and what
``HPCTRACK_TEST_REQUIRE`` lists (``slurm,ssh``).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from scripts.benchmarks.sync_link import list_obstacles as list_missing_for_links
from tests.services.cluster import list_missing

PROGRAMS: Final = {
    "ssh": "sshd",
    "mpi": "mpiexec",
    "openmpi": "mpirun.openmpi",
    "browser": "chromium",
    "nginx": "nginx",
    "hdf5": "h5dump",
    "cc": "gcc",
    "cxx": "g++",
    "fortran": "gfortran",
}
"""Marker and the program that is the part."""

MARKERS: Final = (*PROGRAMS, "slurm", "faults", "netns", "gpu", "gp", "postgres", "torch")

NVIDIA_DEVICE: Final = Path("/dev/nvidiactl")

POSTGRES_FOLDER: Final = Path("/usr/lib/postgresql")

TORCH: Final = Path("/usr/lib/python3/dist-packages/torch")
"""Debian's, for the system's Python: that of PyPI brings gigabytes for GPUs."""

LOOP_CONTROL: Final = Path("/dev/loop-control")

MOUNT_RIGHT: Final = 1 << 21
"""CAP_SYS_ADMIN, by which one may mount; root in a container lacks it."""


def find_program(name: str) -> str | None:
    """Return the path of a program, daemons' folders and this Python's included."""
    venv = Path(sys.executable).parent
    return shutil.which(name, path=f"{venv}:{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin")


def find_postgres() -> str | None:
    """Return the folder of PostgreSQL's programs; Debian keeps them off the path, by version."""
    found = sorted(POSTGRES_FOLDER.glob("*/bin/initdb"), key=lambda path: path.parts[-3].zfill(4))
    return str(found[-1].parent) if found else None


def require_program(name: str) -> str:
    """Return the path of a program that a marker has promised.

    Raises
    ------
    AssertionError
        The program is missing.
    """
    path = find_program(name)
    assert path, f"{name} is not installed"
    return path


def list_obstacles(marker: str) -> list[str]:
    """List what keeps the tests with a marker from running here."""
    if marker == "slurm":
        return list_missing()
    if marker == "netns":
        return list_missing_for_links()
    if marker == "faults":
        return _list_missing_for_mounts()
    parts: dict[str, tuple[object, str]] = {
        "postgres": (find_postgres(), "PostgreSQL's server is not installed"),
        "gpu": (NVIDIA_DEVICE.exists(), "there is no NVIDIA GPU"),
        "torch": (TORCH.exists(), "python3-torch is not installed"),
        "gp": (importlib.util.find_spec("torch"), "torch is not installed"),
    }
    if marker in parts:
        is_here, obstacle = parts[marker]
        return [] if is_here else [obstacle]
    program = PROGRAMS[marker]
    return [] if find_program(program) else [f"{program} is not installed"]


def _list_missing_for_mounts() -> list[str]:
    rights = re.search(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())
    missing = [] if rights and int(rights[1], 16) & MOUNT_RIGHT else ["no right to mount"]
    missing += [] if LOOP_CONTROL.exists() else ["there are no loop devices"]
    for name in ("mkfs.ext4", "mkfs.ext2", "mount", "gcc"):
        missing += [] if find_program(name) else [f"{name} is not installed"]
    return missing


def list_required() -> set[str]:
    """List the parts that must be here."""
    if os.environ.get("CI", "").lower() == "true":
        # No script can install a kernel's loop devices, nor a GPU; torch takes 900 MB and more.
        return set(MARKERS) - {"gpu", "gp"} - ({"faults"} if not LOOP_CONTROL.exists() else set())
    return set(filter(None, os.environ.get("HPCTRACK_TEST_REQUIRE", "").split(",")))


def check_part(marker: str, obstacles: Sequence[str]) -> None:
    """End a test whose part is missing: it fails where the part was promised, else is skipped."""
    if obstacles and marker in list_required():
        pytest.fail(f"{marker} is required: {'; '.join(obstacles)}", pytrace=False)
    elif obstacles:
        pytest.skip("; ".join(obstacles))
