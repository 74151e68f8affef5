"""What every test gets: a clean environment, folders of its own, and a strict skip policy."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.capabilities import MARKERS, check_part, list_obstacles, list_required, require_program

pytest_plugins = ["tests.services.cluster_fixture", "tests.services.postgres"]

# A machine that is busy makes any example slow now and then: that is no fault of the product.
settings.register_profile("patient", settings(), deadline=None)
# For scripts/test --fast: the whole suite looks at more.
settings.register_profile("quick", settings(), deadline=None, max_examples=40)
settings.load_profile("patient")

FOREIGN = ("HPCTRACK_", "SLURM_", "OMPI_", "PMI_", "PMIX_", "TORCHELASTIC_", "MPI_LOCAL", "I_MPI_")
KEPT = {"HPCTRACK_TEST_REQUIRE"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Hide launchers, settings and home; give agents a short private folder and no patience."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) and name not in KEPT:
            monkeypatch.delenv(name)
    # Hundreds of programs are started here, and each would compile hpctrack anew.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    # A socket's path has at most 107 bytes, pytest's folders are longer.
    runtime = Path(tempfile.mkdtemp(prefix="ht-"))
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("HPCTRACK_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("HPCTRACK_LINGER_S", "0.2")
    monkeypatch.setenv("HPCTRACK_CONSOLE", "off")
    monkeypatch.setenv("HPCTRACK_TELEMETRY", "off")
    monkeypatch.setenv("HPCTRACK_PROVENANCE", "off")
    monkeypatch.setenv("HPCTRACK_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("TMPDIR", str(runtime))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    yield
    shutil.rmtree(runtime, ignore_errors=True)


PARTS = ("slurm", "browser", "ssh")
"""Markers whose tests take long: they begin first."""

SHARED = {"slurm", "ssh"}
"""Markers whose tests share one costly part: one process runs them all."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares fixtures when several processes run the tests."""

    def find_part(item: pytest.Item) -> str:
        return next((name for name in PARTS if item.get_closest_marker(name)), "")

    for item in items:
        part, file = find_part(item), item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(part if part in SHARED else file))
    places = {name: place for place, name in enumerate(PARTS)}
    items.sort(key=lambda item: places.get(find_part(item), len(PARTS)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, or fail it where it was promised."""
    for marker in MARKERS:
        if item.get_closest_marker(marker):
            check_part(marker, list_obstacles(marker))


def pytest_report_header() -> str:
    """Say what is enabled, and what not."""
    states = [f"{marker}: {'NO' if list_obstacles(marker) else 'yes'}" for marker in MARKERS]
    required = ", ".join(sorted(list_required())) or "none"
    return f"real parts: {', '.join(states)}; required: {required}"


_failures: list[str] = []
_second_tries: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what failed, for the last lines of the log."""
    outcome: str = report.outcome  # a plugin has one more than pytest knows
    told = {"failed": _failures, "rerun": _second_tries}.get(outcome)
    if told is not None:
        lines = [line for line in report.longreprtext.splitlines() if line.startswith("E  ")]
        told.append(f"{report.nodeid} ({report.when}): {' | '.join(lines[:3])[:600]}")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Name the failures at the very end: an internal error of pytest drops its own summary."""
    if hasattr(config, "workerinput"):
        return
    for title, told in (("failed once, then run again", _second_tries), ("failed", _failures)):
        if told:
            print(f"\n{title}:", *told, sep="\n  ", flush=True)


@pytest.fixture
def program() -> Callable[[str], str]:
    """Return a function that finds a program or fails the test."""
    return require_program
