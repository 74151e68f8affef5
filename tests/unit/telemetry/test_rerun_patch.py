"""Changes that were not committed, put back by the script that runs something again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack.telemetry.provenance.child import Programs
from hpctrack.telemetry.provenance.git import read_git
from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.rerun import make_plan
from tests.repositories import make_repository
from tests.reruns import make_recorded, run, subject, write


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, Any]:
    return make_recorded(tmp_path)


def test_changes_of_lines_that_were_secrets_are_left_to_the_user(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    recorded["git"] |= {"diff": recorded["git"]["diff"].replace("-one", "-***"), "diff_masked": 1}
    script = write(make_plan(subject(recorded)), tmp_path / "new")
    done = run(script)
    assert done.returncode == 1
    assert "lines that look like secrets were not recorded" in done.stderr
    assert not done.stdout
    (tmp_path / "new" / "rerun-r1" / "code" / "sub" / "data.txt").write_text("mended\n")
    assert " mended 3" in run(script).stdout


def test_a_secret_beside_a_change_does_not_keep_it_from_being_applied(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    made = make_repository(tmp_path / "secret", a__txt="1\n2\nTOKEN=planted12\n4\n5\n6\n7\n8\n")
    made.write("show.py", "print(open('a.txt').read().split())\n")
    commit = made.commit()
    made.write("a.txt", "1\n2a\n2b\nTOKEN=planted12\n5\n6\n7\n8\n9")
    diff = Masker().diff(made.git("diff", "--full-index") + "\n")
    assert "planted" not in diff
    recorded["git"] |= {"top": str(made.top), "commit": commit, "diff": diff, "diff_masked": 1}
    recorded["program"] = {"argv": [sys.executable, "show.py"], "cwd": str(made.top)}
    done = run(write(make_plan(subject(recorded)), tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['1', '2a', '2b', 'TOKEN=planted12', '5', '6', '7', '8', '9']\n"


def test_a_binary_change_does_not_keep_others_from_being_applied(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    recorded["git"]["diff"] += (
        f"diff --git a/a.bin b/a.bin\nindex {'0' * 40}..{'1' * 40} 100644\n"
        "Binary files a/a.bin and b/a.bin differ\n"
    )
    done = run(write(make_plan(subject(recorded)), tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    assert " two é 3" in done.stdout


def test_changes_that_do_not_fit_are_not_forgotten(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    recorded["git"]["diff"] = recorded["git"]["diff"].replace("-one", "-1")
    script = write(make_plan(subject(recorded)), tmp_path / "new")
    for _time in range(2):
        done = run(script)
        assert done.returncode == 1
        assert "the changes do not fit the commit" in done.stderr
        assert not done.stdout


def test_programs_are_found_in_the_order_in_which_they_were(recorded: dict[str, Any]) -> None:
    prefix = recorded["python"]["prefix"]
    recorded["environment"]["PATH"] = f"{prefix}/bin:/usr/bin"
    assert '\nexport PATH="$bin:$PATH"\n' in make_plan(subject(recorded)).script
    recorded["environment"]["PATH"] = "/usr/bin:/bin"
    assert '\nexport PATH="$PATH:$bin"\n' in make_plan(subject(recorded)).script


def test_submodules_come_to_the_commit_that_was_used(
    recorded: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file's path is no address that git takes for a submodule, unless it is allowed.
    for name, value in {"COUNT": "1", "KEY_0": "protocol.file.allow", "VALUE_0": "always"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    library = make_repository(tmp_path / "library", a__txt="first\n")
    first = library.git("rev-parse", "HEAD")
    library.write("a.txt", "second\n")
    library.commit()
    made = make_repository(tmp_path / "whole", show__py="print(open('my mod/a.txt').read())\n")
    made.git("submodule", "--quiet", "add", str(library.top), "my mod")
    commit = made.commit()
    made.git("-C", "my mod", "checkout", "--quiet", first)
    facts, _missing = read_git(str(made.top), Programs(environ=os.environ), Masker())
    recorded["git"] = facts
    assert facts["commit"] == commit
    recorded["program"] = {"argv": [sys.executable, "show.py"], "cwd": str(made.top)}
    done = run(write(make_plan(subject(recorded)), tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "first\n\n"
