"""The promises of the architecture, proved."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hpctrack
from hpctrack import errors
from hpctrack.cli import main as cli
from hpctrack.client.config import Config, Summary
from hpctrack.core.settings import ENV_PREFIX, Settings
from tests.programs import ROOT

lint = Path(sys.executable).with_name("lint-imports")


def test_layers_and_homes_of_packages_hold() -> None:
    done = subprocess.run(
        [str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    for name in hpctrack.__all__:
        thing = getattr(hpctrack, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(thing), name


def error_classes() -> dict[str, type[errors.HpctrackError]]:
    return {
        name: thing
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and issubclass(thing, errors.HpctrackError)
    }


def test_the_drawing_of_the_errors_is_the_code() -> None:
    drawn: dict[str, tuple[str, int]] = {}
    stack: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([│├└─ ]*)(\w+Error)\s+(\d+)", line)
        if found:
            depth = len(found[1]) // 4
            stack[depth:] = [found[2]]
            drawn[found[2]] = (stack[depth - 1] if depth else "Exception", int(found[3]))
    real = {
        name: (kind.__mro__[1].__name__, kind.exit_code) for name, kind in error_classes().items()
    }
    assert drawn == real


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in error_classes().values()]
    assert len(codes) == len(set(codes))


def test_the_exit_codes_in_the_help_are_the_errors() -> None:
    told = {int(number) for number in re.findall(r"\b(\d+) [a-z]", cli.EXIT_CODES)}
    assert {kind.exit_code for kind in error_classes().values()} <= told


@pytest.mark.parametrize("page", ["config", "exit-codes", "errors", "wire", "format", "cli"])
def test_reference_pages_exist(page: str) -> None:
    assert (ROOT / "docs" / "reference" / f"{page}.md").is_file()


def test_every_test_that_a_page_names_exists() -> None:
    there = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    for page in (ROOT / "docs").rglob("*.md"):
        named = set(re.findall(r"`(test_\w+)`", page.read_text()))
        assert named <= there, f"{page.name}: {sorted(named - there)}"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "config.md").read_text()
    for name in Settings.field_names:
        assert f"`{name}`" in text, name
        assert f"`{ENV_PREFIX}{name.upper()}`" in text, name


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    for name in cli.COMMANDS:
        assert f"## hpctrack {name}" in text, name


def test_every_error_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "errors.md").read_text()
    for name in error_classes():
        assert f"`{name}`" in text, name


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_modules_import_without_configuration() -> None:
    for path in sorted((ROOT / "hpctrack" / "core").glob("*.py")):
        name = f"hpctrack.core.{path.stem}" if path.stem != "__init__" else "hpctrack.core"
        assert importlib.import_module(name).__doc__


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


INNER = frozenset({
    "detach", "look_soon", "look_with", "on_message", "open", "restate", "restore", "tell",
    "wait_for_past",
})  # fmt: skip
"""What only this package calls."""

NO_RANKS = frozenset({"agent", "sweep"})
"""Functions for whoever starts programs, not for the ranks of one."""

WHOSE = re.compile(r"per-rank|rank-0|rank 0|any rank|every rank", re.IGNORECASE)


def test_every_call_of_a_rank_says_whose_it_is() -> None:
    calls = {
        f"{owner.__name__}.{name}": thing
        for owner in (hpctrack.Run, Config, Summary)
        for name, thing in inspect.getmembers(owner)
        if not name.startswith("_")
        and name not in INNER
        and not hasattr(dict, name)
        and inspect.getdoc(thing)
    }
    calls |= {
        name: getattr(hpctrack, name)
        for name in hpctrack.__all__
        if inspect.isfunction(getattr(hpctrack, name)) and name not in NO_RANKS
    }
    silent = [
        name
        for name, thing in calls.items()
        if not isinstance(thing, str | bool) and not WHOSE.search(inspect.getdoc(thing) or "")
    ]
    assert silent == []
