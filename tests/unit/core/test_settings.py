from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hpctrack.core.settings import Settings, copy_environment, list_settings, load_settings


def test_an_argument_beats_the_environment_beats_a_file_beats_the_default(tmp_path: Path) -> None:
    (tmp_path / "hpctrack.toml").write_text('project = "file"\ngroup = "file"\nname = "file"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    environ = {"HPCTRACK_PROJECT": "env", "HPCTRACK_GROUP": "env", "HOME": str(tmp_path)}
    loaded = load_settings({"project": "argument", "name": None}, environ=environ, cwd=below)
    assert loaded.problems == ()
    assert (loaded.values.project, loaded.values.group, loaded.values.name) == (
        "argument",
        "env",
        "file",
    )
    assert loaded.origins["project"] == "argument"
    assert loaded.origins["group"] == "environment"
    assert loaded.origins["name"].endswith("hpctrack.toml")
    assert loaded.origins["mode"] == "default"


def test_a_file_further_down_beats_the_users_own(tmp_path: Path) -> None:
    user = tmp_path / ".config" / "hpctrack"
    user.mkdir(parents=True)
    (user / "hpctrack.toml").write_text('project = "user"\ngroup = "user"\n')
    (tmp_path / "hpctrack.toml").write_text('project = "here"\n')
    loaded = load_settings(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert (loaded.values.project, loaded.values.group) == ("here", "user")


@pytest.mark.parametrize(
    ("environ", "parts"),
    [
        ({"HPCTRACK_PROJCT": "x"}, ["HPCTRACK_PROJCT", "'project'"]),
        ({"HPCTRACK_LINGER_S": "soon"}, ["linger_s", "not a float"]),
        ({"HPCTRACK_STRICT": "maybe"}, ["strict", "not a bool"]),
        ({"HPCTRACK_MODE": "onlin"}, ["mode", "disabled"]),
        ({"HPCTRACK_ZZZZZZ": "1"}, ["HPCTRACK_ZZZZZZ", "hpctrack config"]),
    ],
)
def test_a_wrong_setting_is_named_ignored_and_explained(
    environ: dict[str, str], parts: list[str], tmp_path: Path
) -> None:
    loaded = load_settings(environ=environ, cwd=tmp_path)
    (problem,) = loaded.problems
    for part in parts:
        assert part in str(problem)
    assert loaded.values == Settings()


def test_a_file_that_is_no_toml_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "hpctrack.toml").write_text("project = \n")
    (problem,) = load_settings(environ={}, cwd=tmp_path).problems
    assert "hpctrack.toml" in problem.message


def test_every_setting_has_help_and_a_default_of_its_type() -> None:
    for name, one in list_settings().items():
        assert one.help, name
        assert isinstance(one.default, (str, int, float, bool)), name


def test_lists_in_a_file_become_comma_separated(tmp_path: Path) -> None:
    (tmp_path / "hpctrack.toml").write_text('tags = ["a", "b"]\n')
    assert load_settings(environ={}, cwd=tmp_path).values.tags == "a,b"


def test_mistakes_in_a_file_are_told_with_their_line_and_the_nearest_word(tmp_path: Path) -> None:
    path = tmp_path / "hpctrack.toml"
    path.write_text(
        """\
projct = "a"
[[rules]]
metric = "loss"
is = "nan"
[[rules]]
name = "second"
metrc = "loss"
[[rules]]
metric = "loss"
is = "nam"
do = ["stop"]
[[rules]]
metric = "loss"
"is" = "nan"
do = ["comand: curl -H secret"]
"""
    )
    problems = load_settings({}, environ={"HOME": "/"}, cwd=tmp_path).problems
    assert [(one.message, one.hint) for one in problems] == [
        (f"unknown setting 'projct' ({path}, line 1)", "did you mean 'project'?"),
        (
            f"rule 'second' is left out: unknown key 'metrc' ({path}, line 7)",
            "did you mean 'metric'?",
        ),
        (f"rule 3 is left out: is = 'nam' ({path}, line 10)", 'only "nan": NaN or infinite'),
        (
            f"rule 4 is left out: do has an unknown action 'comand' ({path}, line 15)",
            "did you mean 'command'?",
        ),
    ]


def test_rules_in_one_line_are_found_by_their_setting(tmp_path: Path) -> None:
    path = tmp_path / "hpctrack.toml"
    path.write_text('project = "a"\nrules = [{metrc = "loss"}]\n')
    (problem,) = load_settings({}, environ={"HOME": "/"}, cwd=tmp_path).problems
    assert problem.message == f"rule 1 is left out: unknown key 'metrc' ({path}, line 2)"


def test_a_copy_of_the_environment_can_be_made_while_others_set_variables() -> None:
    is_over = threading.Event()

    def set_and_remove() -> None:
        number = 0
        while not is_over.is_set():
            os.environ[f"HT_COPY_{number % 50}"] = "x"
            os.environ.pop(f"HT_COPY_{(number - 25) % 50}", None)
            number += 1

    thread = threading.Thread(target=set_and_remove)
    thread.start()
    try:
        for _time in range(500):
            assert copy_environment()["PATH"] == os.environ["PATH"]
    finally:
        is_over.set()
        thread.join()
        for number in range(50):
            os.environ.pop(f"HT_COPY_{number}", None)
