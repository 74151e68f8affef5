"""``hpctrack edit`` and ``hpctrack ls --tag``, as users type them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store
from hpctrack.store.seal import seal_run
from tests.commands import Capture, call
from tests.stores import write_run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default store, with three runs of two projects."""
    monkeypatch.setenv("USER", "ann")
    path = tmp_path / "store"
    write_run(path, run="one", project="digits")
    seal_run(write_run(path, run="two", project="digits"))
    write_run(path, run="three", project="words")
    return path


def call_json(capsys: Capture, *arguments: str) -> Any:
    code, out, err = call(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_run_gets_a_name_notes_and_tags(store: Path, capsys: Capture) -> None:
    code, out, err = call(
        capsys, "edit", "one", "--name", "best so far", "--notes", "why\nso", "--add-tag", "paper",
        "--add-tag", "seed 3",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out == "digits/one: best so far; tags paper, seed 3; notes why ...\n"
    run = Store(store).run("best so far")
    assert (run.id, run.notes, run.tags) == ("one", "why\nso", ["paper", "seed 3"])
    assert run.annotations.entries["name"].by == "ann"
    _code, shown, _err = call(capsys, "show", "best so far")
    assert "best so far" in shown
    assert "paper, seed 3" in shown
    assert any(line.split()[:1] == ["edited"] and "by ann" in line for line in shown.splitlines())
    assert call_json(capsys, "show", "one")["annotations"]["name"]["value"] == "best so far"
    assert "best so far" in call(capsys, "ls")[1]


def test_several_runs_are_edited_at_once_and_listed_by_their_tags(
    store: Path, capsys: Capture
) -> None:
    call(capsys, "edit", "one", "--add-tag", "todo")
    found = call_json(
        capsys,
        "edit",
        "one",
        "digits/two",
        "three",
        "one",
        "--add-tag",
        "x",
        "--remove-tag",
        "todo",
    )  # fmt: skip
    assert [(run["id"], run["tags"], run["changed"]) for run in found["runs"]] == [
        ("one", ["x"], True),
        ("two", ["x"], True),
        ("three", ["x"], True),
    ]
    call(capsys, "edit", "two", "--add-tag", "y")
    assert listed(capsys, "--tag", "x") == {"one", "two", "three"}
    assert listed(capsys, "-t", "x", "-t", "y") == {"two"}
    assert listed(capsys, "-t", "x", "--project", "words", "--state", "finished") == {"three"}
    assert listed(capsys, "-t", "nobody's") == set()


def listed(capsys: Capture, *arguments: str) -> set[str]:
    return {run["id"] for run in call_json(capsys, "ls", *arguments)["runs"]}


def test_an_edit_that_changes_nothing_says_so(store: Path, capsys: Capture) -> None:
    call(capsys, "edit", "one", "--add-tag", "x")
    _code, out, _err = call(capsys, "edit", "one", "--add-tag", " x ")
    assert out == "digits/one: calm-lake-1; tags x; as it was\n"


def test_notes_come_from_stdin(
    store: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("öne\ntwo\n".encode())))
    assert call(capsys, "edit", "one", "--notes", "-")[0] == 0
    assert Store(store).run("one").notes == "öne\ntwo"


def test_notes_are_changed_in_the_users_editor(
    store: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    # An editor takes longer than the tick of a file system's clock.
    editor.write_text('#!/bin/sh\nsleep 0.02\necho "and more" >> "$1"\ntouch -d tomorrow "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    call(capsys, "edit", "one", "--notes", "some")
    code, _out, err = call(capsys, "edit", "one", "--edit-notes")
    assert (code, err) == (0, "")
    assert Store(store).run("one").notes == "some\nand more"
    monkeypatch.setenv("EDITOR", "true")
    _code, out, _err = call(capsys, "edit", "one", "--edit-notes")
    assert "as it was" in out


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["one"], 2, "nothing is to be changed"),
        (["one", "two", "--name", "x"], 2, "are for one run"),
        (["one", "--notes", "x", "--edit-notes"], 2, "give one"),
        (["one", "--remove-tag", "x"], 3, "it has no tag 'x'"),
        (["one", "two", "--remove-tag", "x"], 3, "they have no tag 'x'"),
        (["one", "--add-tag", ""], 2, "a tag is empty"),
        (["one", "--add-tag", "x", "--remove-tag", "x"], 2, "added and removed"),
        (["one", "two", "--add-tag", "x" * 300], 2, "300 characters"),
        (["one", "nope", "--add-tag", "x"], 3, "no run 'nope'"),
        ([], 2, "Missing argument 'RUN...'"),
    ],
)
def test_a_mistake_changes_no_run(
    arguments: list[str], code: int, part: str, store: Path, capsys: Capture
) -> None:
    found, _out, err = call(capsys, "edit", *arguments)
    assert found == code, err
    assert part in err
    assert not list(store.glob("*/.annotations/*.json"))


def test_what_commands_a_terminal_is_not_printed(store: Path, capsys: Capture) -> None:
    _code, out, _err = call(capsys, "edit", "one", "--name", "\x1b[2Jx", "--notes", "a\tb")
    assert "\x1b" not in out
    assert "\N{REPLACEMENT CHARACTER}[2Jx" in out


def test_archived_and_deleted_runs_are_left_out_and_come_back(store: Path, capsys: Capture) -> None:
    _code, out, _err = call(capsys, "edit", "one", "--archive")
    assert out == "digits/one: calm-lake-1; archived\n"
    call(capsys, "edit", "two", "--delete")
    assert listed(capsys) == {"three"}
    assert call_json(capsys, "ls")["hidden"] == 2
    code, _out, err = call(capsys, "ls", "--project", "digits")
    assert (code, err) == (0, "2 archived or deleted runs are not shown; --all shows them\n")
    assert listed(capsys, "--all") == {"one", "two", "three"}
    assert Store(store).run("two").deleted
    assert {run.id for run in Store(store).runs({"deleted": False})} == {"one", "three"}
    call(capsys, "edit", "one", "two", "--restore", "--unarchive")
    assert listed(capsys) == {"one", "two", "three"}


def test_marks_can_be_set_by_the_run_itself(store: Path) -> None:
    run = Store(store).run("one")
    run.archived = True
    assert run.archived
    run.update()
    assert Store(store).run("one").archived
    assert not Store(store).run("one").deleted
