"""``hpctrack sync`` as it is typed: which store is meant, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpctrack.cli.main import hpctrack, run
from hpctrack.cli.sync.destination import is_place
from tests.unit.sync.made_stores import hash_files

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.fixture(autouse=True)
def in_source(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCTRACK_DIR", str(source))


def call(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = run(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def list_runs(store: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(store)) for path in store.rglob("run.h5"))


def test_the_only_remote_is_meant_if_none_is_named(
    capsys: Capture, source: Path, target: Path
) -> None:
    code, _out, err = call(capsys, "sync")
    assert code == 2
    assert "no remote given" in err
    assert call(capsys, "remote", "add", "team", str(target))[0] == 0
    code, out, err = call(capsys, "sync")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["digits: 2 runs", "other: 1 run"]
    assert out.splitlines()[2].startswith("sent 3 runs")
    assert hash_files(target) == hash_files(source)


def test_a_remote_is_named_with_what_it_is_for(capsys: Capture, target: Path) -> None:
    call(capsys, "remote", "add", "team", target.as_uri(), "--project", "other")
    call(capsys, "remote", "add", "usb", str(target) + "2", "--default")
    assert call(capsys, "sync", "team")[0] == 0
    assert list_runs(target) == ["other/one"]
    assert call(capsys, "sync", "team", "two")[0] == 0
    assert list_runs(target) == ["digits/two", "other/one"]
    assert call(capsys, "sync", "team", "--all")[0] == 0
    assert len(list_runs(target)) == 3
    told = json.loads(call(capsys, "remote", "list", "--json")[1])["remotes"]
    assert [(one["name"], one["is_default"]) for one in told] == [("team", False), ("usb", True)]
    code, _out, err = call(capsys, "sync", "team", "--all", "--project", "digits")
    assert code == 2
    assert "--all" in err


def test_a_bare_word_is_a_remote_or_a_folder_that_is_there(
    capsys: Capture, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(target.parent)
    code, _out, err = call(capsys, "sync", "target")
    assert code == 3
    assert "no remote 'target', and no folder of that name" in err
    assert "./target" in err
    assert call(capsys, "sync", "./target")[0] == 0
    assert call(capsys, "sync", "target")[1].startswith("nothing new")


def test_what_looks_like_a_place_is_never_a_name() -> None:
    assert all(map(is_place, ("ssh://h/p", "host:path", "./x", "..", "~", "a/b", "/x")))
    assert not any(map(is_place, ("login", "a.b", "2")))


def test_scp_form_is_told_what_to_write(capsys: Capture) -> None:
    code, _out, err = call(capsys, "sync", "login:store")
    assert code == 2
    assert "ssh://login/~/store" in err


def test_remotes_that_cannot_be_read_do_not_bother_who_names_a_place(
    capsys: Capture, target: Path
) -> None:
    file = Path("~/.config/hpctrack/remotes.toml").expanduser()
    file.parent.mkdir(parents=True)
    file.write_text("[nonsense")
    assert call(capsys, "sync", str(target))[0] == 0
    code, _out, err = call(capsys, "sync", "login")
    assert code == 2
    assert str(file) in err


def complete(words: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("_HPCTRACK_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    with pytest.raises(SystemExit):
        hpctrack.main(args=[], prog_name="hpctrack")
    return capsys.readouterr().out.split()


def test_names_are_completed(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("login", "lab", "usb"):
        call(capsys, "remote", "add", name, "ssh://h/p")
    assert complete("hpctrack sync l", capsys, monkeypatch) == ["plain,login", "plain,lab"]
    assert complete("hpctrack remote remove u", capsys, monkeypatch) == ["plain,usb"]
    assert complete("hpctrack sync x", capsys, monkeypatch) == ["dir,x"]


def test_quiet_says_nothing_when_all_is_well(capsys: Capture, target: Path) -> None:
    assert call(capsys, "sync", str(target), "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    "words",
    [
        ("--interval", "3"),
        ("--until-done",),
        ("--watch", "--dry-run"),
        ("--triggered", "--watch", "--until-done"),
        ("--bwlimit", "fast"),
        ("--bwlimit", "0"),
        ("--since", "yesterday"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(
    capsys: Capture, target: Path, words: tuple[str, ...]
) -> None:
    assert call(capsys, "sync", str(target), *words)[0] == 2
    assert not target.exists()
