"""Commands as users type them, in this process."""

from __future__ import annotations

import pytest

from hpctrack.cli import main as cli

Capture = pytest.CaptureFixture[str]


def call(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, and what it printed on both streams."""
    capsys.readouterr()
    code = cli.run(list(arguments))
    found = capsys.readouterr()
    return code, found.out, found.err
