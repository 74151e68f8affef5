"""A machine with GPUs that a test makes up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.stubs.nvml.driver import Script, StartTelemetry, Telemetry, build_library


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub of a driver of today."""
    return build_library(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def machine_root(tmp_path: Path) -> Path:
    """A root folder in which our process numbers are the machine's."""
    root = tmp_path / "root"
    (root / "proc/self/ns").mkdir(parents=True)
    (root / "proc/self/ns/pid").symlink_to("pid:[4026531836]")
    return root


@pytest.fixture
def start_telemetry(
    nvml_library: Path, machine_root: Path, tmp_path: Path
) -> Iterator[StartTelemetry]:
    """Return a function that starts telemetry on a driver that answers what it is told to."""
    with ExitStack() as stack:

        def start(
            answers: Mapping[str, str],
            *,
            environ: Mapping[str, str] | None = None,
            library: Path = nvml_library,
            python_path: Path | None = None,
        ) -> tuple[Telemetry, Script]:
            script = Script(tmp_path / "nvml.txt", answers)
            telemetry = Telemetry(
                library, script, root=machine_root, environ=environ, python_path=python_path
            )
            return stack.enter_context(closing(telemetry)), script

        yield start
