"""Building and running programs in C, C++ and Fortran."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hpctrack.cli.cflags_cmd import INCLUDE
from tests.programs import ROOT

EXAMPLES = ROOT / "docs" / "how-to" / "examples"

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2")

TRACKED = (sys.executable, "-m", "hpctrack", "run", "--")


def build(compiler: str, standard: str, source: Path, *, into: Path) -> Path:
    """Build a program of one file, and with Fortran the module, with all warnings as errors."""
    parts = [source]
    if compiler == "gfortran":
        client = compile_file("gcc", "c99", INCLUDE / "hpctrack.c", into=into)
        parts = [INCLUDE / "hpctrack.f90", source, client]
    program = into / source.stem
    call(*_compile(compiler, standard, into), *parts, "-o", program)
    return program


def compile_file(compiler: str, standard: str, source: Path, *, into: Path) -> Path:
    """Compile one file with all warnings as errors."""
    result = into / f"{source.name}.o"
    call(*_compile(compiler, standard, into), "-c", source, "-o", result)
    return result


def _compile(compiler: str, standard: str, into: Path) -> tuple[str | Path, ...]:
    more = f"-J{into}" if compiler == "gfortran" else "-pthread"
    return (compiler, f"-std={standard}", *STRICT, f"-I{INCLUDE}", more)


def call(*command: str | Path) -> None:
    """Run a compiler; what it says is the failure's text."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr


def run_tracked(
    *command: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 180
) -> subprocess.CompletedProcess[str]:
    """Run a program by `hpctrack run` and return what became of it."""
    return subprocess.run(
        [*TRACKED, *command],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def start_tracked(
    *command: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a program by `hpctrack run`; the caller ends it."""
    return subprocess.Popen(
        [*TRACKED, *command],
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def say(child: subprocess.Popen[str], answer: str = "") -> None:
    """Have a program go on that waits for a line; wait for what it prints then."""
    assert child.stdin
    assert child.stdout
    child.stdin.write("\n")
    child.stdin.flush()
    if answer:
        assert child.stdout.readline() == f"{answer}\n"


def end(child: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a program's end, check its code, and return what it said on standard error."""
    _out, errors = child.communicate(timeout=180)
    assert child.returncode == code, errors
    return errors
