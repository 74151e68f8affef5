"""The code that a program ends with, by programs that end."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.programs import only_run, run_python

CAUGHT = """
try:
    sys.exit(3)
except SystemExit:
    pass
"""

PARSER = """
import argparse
try:
    argparse.ArgumentParser().parse_args(["--x"])
except SystemExit:
    run.log({"a": 1})
"""

ENDINGS = {
    "exit(5)": ("exit(5)", 5, "failed"),
    "quit": ("quit()", 0, "finished"),
    "quit with a text": ("quit('no data')", 1, "failed"),
    "caught": (f"{CAUGHT}\nrun.log({{'a': 1}})", 0, "finished"),
    "caught and left by another": (f"{CAUGHT}\nrun.log({{'a': 1}})\nsys.exit(4)", 4, "failed"),
    "of a parser": (
        f"{PARSER}\nrun.log({{'a': 1}})",
        0,
        "finished",
    ),
    "in a thread": (
        "import threading\nt = threading.Thread(target=sys.exit, args=(4,))\nt.start(); t.join()",
        0,
        "finished",
    ),
    "logged on the way out": (
        "try: sys.exit(3)\nfinally:\n    for _ in range(3): run.log({'a': 1})",
        3,
        "failed",
    ),
    "logged at exit": (
        "import atexit\natexit.register(lambda: run.log({'a': 1}))\nsys.exit(3)",
        3,
        "failed",
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_run_ends_as_the_program_does(ending: str, tmp_path: Path) -> None:
    text, code, state = ENDINGS[ending]
    begin = "import sys, hpctrack\nrun = hpctrack.init('p')\nrun.log({'a': 1})\n"
    done = run_python(begin + textwrap.dedent(text))
    assert done.returncode == code, done.stderr
    found = only_run(tmp_path / "store")
    assert (found.state, found.ranks()[0].exit_code) == (state, code)


def test_exit_still_says_how_to_leave() -> None:
    code = "before = repr(exit)\nimport hpctrack\nhpctrack.init('p')\nprint(repr(exit) == before)"
    assert run_python(code).stdout.strip() == "True"


def test_os_exit_is_the_systems_own_again_when_the_run_has_finished() -> None:
    code = """
    import os
    before = os._exit
    import hpctrack
    run = hpctrack.init("p")
    print(os._exit is before)
    run.finish()
    print(os._exit is before)
    """
    done = run_python(code, env={"HPCTRACK_CONSOLE": "redirect"})
    assert done.stdout.split() == ["False", "True"], done.stderr
