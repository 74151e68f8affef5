"""What every test gets: a clean environment, folders of its own, and a strict skip policy."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.services.cluster_fixture"]

FOREIGN = ("HPCTRACK_", "SLURM_", "OMPI_", "PMI_", "PMIX_", "TORCHELASTIC_", "MPI_LOCAL", "I_MPI_")
KEPT = {"HPCTRACK_TEST_REQUIRE", "HPCTRACK_SCREENSHOTS"}

REQUIREMENTS = {
    "slurm": "slurmctld",
    "ssh": "sshd",
    "mpi": "mpiexec",
    "browser": "chromium",
}
"""Marker and the program that tells whether its real part is here."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Hide launchers, settings and home; give agents a short private folder and no patience."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) and name not in KEPT:
            monkeypatch.delenv(name)
    # A socket's path has at most 107 bytes, pytest's folders are longer.
    runtime = Path(tempfile.mkdtemp(prefix="ht-"))
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("HPCTRACK_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("HPCTRACK_LINGER_S", "0.2")
    monkeypatch.setenv("HPCTRACK_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("TMPDIR", str(runtime))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    yield
    shutil.rmtree(runtime, ignore_errors=True)


def required() -> set[str]:
    """Return the parts that must be here: all of them under CI."""
    if os.environ.get("CI", "").lower() == "true":
        return set(REQUIREMENTS)
    return set(filter(None, os.environ.get("HPCTRACK_TEST_REQUIRE", "").split(",")))


def find_program(name: str) -> str | None:
    """Return the path of a program, daemons' folders included."""
    venv = os.path.dirname(os.path.abspath(os.sys.executable))  # type: ignore[attr-defined] # noqa: PTH100, PTH120
    return shutil.which(name, path=f"{venv}:{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, or fail it where it must run."""
    missing = {
        marker: program for marker, program in REQUIREMENTS.items() if not find_program(program)
    }
    if os.getuid() != 0:
        missing["slurm"] = "root"
    for item in items:
        for marker, program in missing.items():
            if item.get_closest_marker(marker) and marker not in required():
                item.add_marker(pytest.mark.skip(reason=f"needs {program}"))


def pytest_report_header() -> str:
    """Say what is enabled, and what not."""
    states = [
        f"{marker}: {'yes' if find_program(program) else 'NO'}"
        for marker, program in REQUIREMENTS.items()
    ]
    return "real parts: " + ", ".join(states) + f"; required: {sorted(required()) or 'none'}"


@pytest.fixture
def program() -> Callable[[str], str]:
    """Return a function that finds a program or fails the test."""

    def find(name: str) -> str:
        path = find_program(name)
        if path is None:
            pytest.fail(f"{name} is not installed")
        return path

    return find
