"""The command line as users type it, on real stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from hpctrack.cli import main as cli
from tests.commands import Capture, call
from tests.stores import FakeClock, NodeWriter, write_run


def call_json(capsys: Capture, *arguments: str) -> Any:
    code, out, err = call(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The default store, with a good and a failed run."""
    path = tmp_path / "store"
    write_run(path, run="good", project="digits")
    writer = NodeWriter(path, run="bad", project="digits")
    for rank in range(3):
        session = writer.start(rank, size=3)
        writer.points("loss", rank, range(2), [1.0, float("nan")])
        writer.end(rank, session, exit_code=None if rank == 1 else 0)
    writer.close()
    return path


def all_commands() -> list[str]:
    group = cli.hpctrack
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            found += [f"{name} {one}" for one in command.list_commands(click.Context(command))]
        found.append(name)
    return found


@pytest.mark.parametrize("name", all_commands())
def test_every_command_has_help_with_an_example(name: str, capsys: Capture) -> None:
    code, out, _err = call(capsys, *name.split(), "--help")
    assert code == 0
    assert f"hpctrack {name}" in out
    assert "Example" in out


def test_help_lists_what_there_is(capsys: Capture) -> None:
    _code, out, _err = call(capsys, "--help")
    for name in ["run", "ls", "show", "seal", "sync", "receive", "sweep", "server", "doctor"]:
        assert f"  {name} " in out
    assert "Exit codes" in out


def test_ls_lists_runs_and_their_states(store: Path, capsys: Capture) -> None:
    _code, out, _err = call(capsys, "ls")
    assert "good" in out
    assert "finished" in out
    assert "failed" in out
    found = call_json(capsys, "ls", "--state", "failed")
    assert [run["id"] for run in found["runs"]] == ["bad"]
    assert call_json(capsys, "ls", "-o", "id", "-n", "1")["runs"][0]["id"] == "bad"


def test_ls_names_broken_runs_and_goes_on(store: Path, capsys: Capture) -> None:
    (file,) = (store / "digits" / "bad").iterdir()
    file.write_bytes(b"x")
    code, out, err = call(capsys, "ls")
    assert code == 0
    assert "good" in out
    assert "broken: digits/bad" in err
    assert call_json(capsys, "ls")["broken"][0]["id"] == "bad"


def test_show_names_the_dead_rank(store: Path, capsys: Capture) -> None:
    code, out, _err = call(capsys, "show", "bad")
    assert code == 0
    assert "failed" in out
    (line,) = [line for line in out.splitlines() if " lost " in line and "1001" in line]
    assert line.split()[:3] == ["1", "lost", "n1"]


def test_show_prints_json_without_nan(store: Path, capsys: Capture) -> None:
    found = call_json(capsys, "show", "digits/bad")
    assert found["summary"] == {"loss": None}
    assert found["metrics"] == {"loss": 6}
    assert [rank["state"] for rank in found["ranks"]] == ["finished", "lost", "finished"]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["show", "nope"], 3, "no run 'nope'"),
        (["ls", "--project", "nope"], 3, "no project 'nope'"),
        (["ls", "--store", "/nowhere"], 3, "no store at /nowhere"),
        (["ls", "-o", "nonsense"], 2, "unknown key 'nonsense'"),
        (["seal"], 2, "name runs"),
        (["lss"], 2, "No such command"),
    ],
)
def test_mistakes_have_an_exit_code_and_a_message(
    arguments: list[str], code: int, part: str, store: Path, capsys: Capture
) -> None:
    found, _out, err = call(capsys, *arguments)
    assert found == code
    assert part in err
    assert "Traceback" not in err


def test_an_unknown_setting_is_an_error_with_the_nearest_name(
    store: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCTRACK_PROJCT", "x")
    code, _out, err = call(capsys, "ls")
    assert code == 2
    assert "did you mean 'project'?" in err


def test_seal_says_what_it_did(store: Path, capsys: Capture) -> None:
    _code, out, _err = call(capsys, "seal", "good")
    assert "sealed 10 points from 1 node files" in out
    found = call_json(capsys, "seal", "--all")
    assert {run["id"]: run["node_files"] for run in found["runs"]} == {"good": 0, "bad": 1}


def test_seal_all_leaves_running_runs_alone(tmp_path: Path, capsys: Capture) -> None:
    import time

    writer = NodeWriter(tmp_path / "store", wall_s=time.time())
    writer.start(0)
    writer.flush()
    found = call_json(capsys, "seal", "--all")
    assert found["runs"][0]["error"] == "busy"
    code, _out, err = call(capsys, "seal", "r")
    assert code == 5
    assert "is running" in err
    writer.close()
    assert FakeClock().now_s


def test_run_tracks_any_program(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(["run", "--project", "any", "--tag", "x", "--", "sh", "-c", "echo hi; exit 3"])
    assert caught.value.code == 3
    assert "hi" in capfd.readouterr().out
    (found,) = call_json(capfd, "ls")["runs"]
    assert (found["state"], found["tags"]) == ("failed", ["x"])
    assert found["config"]["command"] == ["sh", "-c", "echo hi; exit 3"]


def test_config_shows_where_each_value_comes_from(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCTRACK_SEAL", "manual")
    rows = {row["name"]: row for row in call_json(capsys, "config")["settings"]}
    assert (rows["seal"]["value"], rows["seal"]["origin"]) == ("manual", "environment")
    assert rows["mode"]["origin"] == "default"


def test_doctor_records_a_run_and_is_content(capsys: Capture) -> None:
    code, out, _err = call(capsys, "doctor", "--json")
    findings = {one["what"]: one for one in json.loads(out)["findings"]}
    assert findings["run"]["level"] == "ok"
    assert code == 0


def test_doctor_says_when_the_store_cannot_be_read(store: Path, capsys: Capture) -> None:
    (file,) = (store / "digits" / "bad").iterdir()
    file.write_bytes(b"x")
    with pytest.raises(SystemExit):
        cli.run(["doctor"])
    assert "digits/bad" in capsys.readouterr().out


def test_a_working_folder_that_is_gone_is_told(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HPCTRACK_DIR", raising=False)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    code, _out, err = call(capsys, "ls")
    assert code == 3
    assert "the working folder is gone" in err
