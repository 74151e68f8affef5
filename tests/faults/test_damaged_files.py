"""A file of a run, cut or changed anywhere: an error or the intact part, no crash, no lie."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.programs import ROOT


@pytest.mark.parametrize(
    ("kind", "cases"),
    [
        pytest.param("sealed", 150, id="sealed: errors or what was written"),
        pytest.param("live", 40, id="live, cut or its structure changed: a prefix of it"),
        pytest.param("holes", 80, id="live, blocks of it lost: nothing that was not logged"),
        pytest.param("rows", 40, id="live, changed anywhere: answers or errors"),
    ],
)
def test_damage_anywhere_gives_an_error_or_the_intact_part(kind: str, cases: int) -> None:
    program = [sys.executable, "-m", "tests.damage", kind, "0", str(cases)]
    found = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{found.stdout[-200:]}\n{found.stderr[-4000:]}"
    assert found.stdout.count("case ") == cases
