"""``hpctrack sweep``, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from hpctrack.cli.main import run
from hpctrack.cli.sweep.submission_cmd import TimeSpan

FILE = """\
method: grid
program: train.py
project: digits
metric: {name: loss}
parameters:
  a: {values: [1, 2]}
  b: {parameters: {c: {value: x}}}
"""


@pytest.fixture(autouse=True)
def sweep_file(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(FILE)
    (tmp_path / "train.py").write_text("import sys; sys.exit(sys.argv[1] == '--a=2')")


def create(capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["sweep", "create", "sweep.yaml", "--json"]) == 0
    return str(json.loads(capsys.readouterr().out)["id"])


def test_create_prints_the_id_and_the_line_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "create", "sweep.yaml", "--id", "mine"]) == 0
    out = capsys.readouterr().out
    assert "created sweep mine in project digits: grid, 2 trials" in out
    assert "hpctrack sweep submit mine\n" in out


def test_the_line_to_paste_names_another_store(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["sweep", "create", "sweep.yaml", "--store", "my store"]) == 0
    assert f"--store '{tmp_path}/my store'" in capsys.readouterr().out


def test_projects_come_from_argument_file_and_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def project(*more: str) -> str:
        assert run(["sweep", "create", "sweep.yaml", "--json", *more]) == 0
        return str(json.loads(capsys.readouterr().out)["project"])

    monkeypatch.setenv("HPCTRACK_PROJECT", "from-settings")
    assert project("-p", "given") == "given"
    assert project() == "digits"
    (tmp_path / "sweep.yaml").write_text(FILE.replace("project: digits\n", ""))
    assert project() == "from-settings"


def test_a_wrong_file_is_an_error_with_a_line_and_no_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "sweep.yaml").write_text(FILE.replace("values", "vlaues"))
    assert run(["sweep", "create", "sweep.yaml"]) == 2
    err = capsys.readouterr().err
    assert "sweep.yaml, line 6" in err
    assert "did you mean 'values'?" in err
    assert run(["sweep", "create", "none.yaml"]) == 3
    assert run(["sweep", "create", "."]) == 2
    assert run(["sweep", "submit", "none.yml"]) == 3
    assert run(["sweep", "status", "nosuch"]) == 3


def test_create_says_that_the_program_is_elsewhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    program = tmp_path / "elsewhere.py"
    (tmp_path / "other.yaml").write_text(
        f"method: random\nprogram: {program}\nparameters: {{a: {{value: 1}}}}\n"
    )
    assert run(["sweep", "create", "other.yaml"]) == 0
    assert "note: there is no" in capsys.readouterr().err
    program.touch()
    assert run(["sweep", "create", "other.yaml"]) == 0
    assert "note: there is no" not in capsys.readouterr().err


def test_a_dry_run_does_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = ["sweep", "submit", "sweep.yaml", "--executor", "local", "--dry-run"]
    assert run(line) == 0
    out = capsys.readouterr().out
    assert "to local, " in out
    assert "for at most 2 trials" in out
    assert "trial 1: a=2, b.c=x" in out
    assert run([*line, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [one["parameters"] for one in plan["trials"]] == [
        {"a": 1, "b": {"c": "x"}},
        {"a": 2, "b": {"c": "x"}},
    ]
    assert not (tmp_path / "store").exists()


def test_one_trial_runs_here_and_ends_with_its_programs_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep_id = create(capsys)
    assert run(["sweep", "trial", sweep_id, "0"]) == 0
    assert run(["sweep", "trial", sweep_id, "1"]) == 1
    assert run(["sweep", "trial", sweep_id, "2"]) == 11
    capsys.readouterr()
    assert run(["sweep", "status", sweep_id, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert [(one["state"], one["exit_code"]) for one in status["trials"]] == [
        ("finished", 0),
        ("failed", 1),
    ]
    assert run(["sweep", "status", sweep_id]) == 0
    out = capsys.readouterr().out
    assert "1 finished, 1 failed" in out
    assert "b.c" in out
    assert run(["sweep", "best", sweep_id]) == 3


def test_sweeps_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "store").mkdir()
    assert run(["sweep", "ls"]) == 0
    assert capsys.readouterr().out == "no sweeps\n"
    sweep_id = create(capsys)
    assert run(["sweep", "ls"]) == 0
    assert sweep_id in capsys.readouterr().out
    assert run(["sweep", "ls", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["sweeps"]
    assert (entry["id"], entry["trial_count"]) == (sweep_id, 2)


@pytest.mark.parametrize(
    "command",
    [
        "create",
        "submit",
        "sbatch",
        "agent",
        "stop",
        "pause",
        "resume",
        "cancel",
        "ls",
        "status",
        "best",
        "trial",
    ],
)
def test_every_command_has_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(["sweep", command, "--help"]) == 0
    assert f"hpctrack sweep {command}" in capsys.readouterr().out.partition("Examples:")[2]


def test_an_agent_takes_the_trials_here_and_tells_of_failures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep_id = create(capsys)
    assert run(["sweep", "agent", sweep_id, "--count", "1", "--logs"]) == 0
    assert f"took 1 trial of sweep {sweep_id} (1 finished, 0 failed)" in capsys.readouterr().err
    assert run(["sweep", "agent", sweep_id, "--json", "--time-limit", "2h"]) == 11
    end = json.loads(capsys.readouterr().out)
    assert (end["taken"], end["failed"], end["should_requeue"]) == (1, 1, False)
    assert run(["sweep", "agent", sweep_id]) == 0
    assert run(["sweep", "agent", "nosuch"]) == 3
    assert run(["sweep", "agent", sweep_id, "--count", "0"]) == 2


@pytest.mark.parametrize(
    ("text", "span_s"),
    [
        ("90", 5400), ("1.5h", 5400), ("30s", 30), ("10m", 600), ("2d", 172800), ("01:30:00", 5400),
        ("1-00:30", 88200), ("2:05", 7500),
    ],
)  # fmt: skip
def test_a_time_is_written_as_for_slurm_or_with_a_unit(text: str, span_s: float) -> None:
    assert TimeSpan().convert(text, None, None) == span_s


@pytest.mark.parametrize("text", ["", "x", "-3", "0", "nan", "1e999", "1:2:3:4", "h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no time"):
        TimeSpan().convert(text, None, None)
