"""Maxima rot, medians do not: limits for files, functions and parameters."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.programs import ROOT

FILE_MAX_LINES = 500
FUNCTION_MAX_LINES = 80
POSITIONAL_MAX = 5
INIT_MAX_LINES = 75

SOURCES = sorted(
    path
    for folder in ("hpctrack", "server", "tests", "scripts", "slurm")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    lines = len(text.splitlines())
    limit = INIT_MAX_LINES if path.name == "__init__.py" else FILE_MAX_LINES
    assert lines <= limit, f"{lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            assert size <= FUNCTION_MAX_LINES, f"{node.name}: {size} lines"
            if path.parts[len(ROOT.parts)] != "tests":
                count = len(node.args.posonlyargs) + len(node.args.args)
                assert count <= POSITIONAL_MAX + 1, f"{node.name}: {count} positional parameters"


BANNED = {"utils", "helpers", "common", "misc", "base", "manager", "handler", "processor"}


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_no_module_is_named_after_nothing(path: Path) -> None:
    assert path.stem not in BANNED
