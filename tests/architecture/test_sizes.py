"""Maxima rot, medians do not: limits for files, functions and parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.programs import ROOT

FILE_MAX_LINES = 500
FUNCTION_MAX_LINES = 80
POSITIONAL_MAX = 5
INIT_MAX_LINES = 80

SOURCES = sorted(
    path
    for folder in ("hpctrack", "server", "tests", "scripts", "slurm")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)


BANNED = {"utils", "helpers", "common", "misc", "base", "manager", "handler", "processor"}


# One test for all files: a thousand tests of a millisecond each took ten seconds.
def test_files_and_functions_stay_small() -> None:
    assert [one for path in SOURCES for one in list_problems(path)] == []


def test_no_module_is_named_after_nothing() -> None:
    assert [path for path in SOURCES if path.stem in BANNED] == []


def list_problems(path: Path) -> Iterator[str]:
    name, text = path.relative_to(ROOT), path.read_text()
    lines = len(text.splitlines())
    if lines > (INIT_MAX_LINES if path.name == "__init__.py" else FILE_MAX_LINES):
        yield f"{name}: {lines} lines"
    for node in list_functions(ast.parse(text)):
        size = (node.end_lineno or node.lineno) - node.lineno + 1
        if size > FUNCTION_MAX_LINES:
            yield f"{name}: {node.name}: {size} lines"
        count = len(node.args.posonlyargs) + len(node.args.args)
        if name.parts[0] != "tests" and count > POSITIONAL_MAX + 1:
            yield f"{name}: {node.name}: {count} positional parameters"


# Functions stand among statements: not to look into expressions is a third of the time.
def list_functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    rest: list[ast.AST] = [tree]
    while rest:
        node = rest.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, part, ())
            rest.extend(inner if isinstance(inner, list) else ())
